"""Statement timing: connections that time what they execute and keep the slow statements.

A fast statement costs two clock reads and one lookup (measured in
`tests/db/maintenance/test_slow_queries.py`). `slow_queries` stores the slow statements. Times are
measured in the thread that runs SQLite, so a busy event loop does not count. A query's time covers
its first row and the rows fetched with it.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from db import timestamps

DEFAULT_THRESHOLD = 0.05
"""Default seconds from which a statement is slow."""
MAX_SLOW_STATEMENTS = 200
"""Maximum number of slow statements kept in memory until they are stored, and then stored."""
MAX_KNOWN_STATEMENTS = 2000
"""Maximum number of statements remembered for index usage."""
EXEMPT_CALLERS = ("db.stats", "db.check", "db.verify")
"""Callers that read the whole database on request: slow by nature, never logged."""

_STATEMENT_KINDS = ("SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "VALUES")
_TEXT = re.compile(r"x?'(?:[^']|'')*'", re.I)
_NUMBER = re.compile(r"(?<![\w.\"$:@?])[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?(?![\w.\"])", re.I)
_PLACEHOLDER = r"(?:\?[0-9]*|:[A-Za-z_][A-Za-z_0-9]*|NULL)"
_LIST = re.compile(rf"\(\s*{_PLACEHOLDER}(?:\s*,\s*{_PLACEHOLDER})+\s*\)")
_ROWS = re.compile(r"(\(…\))(?:\s*,\s*\(…\))+")

BoundShape = int | tuple[str, ...]
"""Bound values of a statement: their number, or their names. The values themselves are private."""

current_caller: ContextVar[str] = ContextVar("caller", default="")
"""The current caller: a verb such as `browse`, `duty slas`, `dispatcher`, `start` before the
runtime is running, or `stop` after that."""


@contextmanager
def set_caller(name: str) -> Iterator[None]:
    """Attribute the statements of this context to the caller `name`."""
    token = current_caller.set(name)
    try:
        yield
    finally:
        current_caller.reset(token)


def normalize_statement(statement: str) -> str:
    """Return a statement without its values, so that repetitions compare equal.

    Texts and numbers become `?`, lists of values `(…)`.
    """
    text = _NUMBER.sub("?", _TEXT.sub("?", " ".join(statement.split())))
    return _ROWS.sub(r"\1", _LIST.sub("(…)", text))


def describe_parameters(parameters: Any) -> BoundShape:
    """Return the number or names of bound values."""
    return tuple(parameters) if isinstance(parameters, dict) else len(parameters)


@dataclass(slots=True)
class SlowStatement:
    """A slow statement of one caller: count, and last, worst and total seconds."""

    statement: str
    caller: str
    text: str
    """The statement as executed."""
    shape: BoundShape
    seconds: float = 0.0
    worst: float = 0.0
    total: float = 0.0
    count: int = 0
    at: str = ""


@dataclass
class SlowLog:
    """Slow statements of one database's connections, until they are stored.

    Thread-safe.
    """

    threshold: float = DEFAULT_THRESHOLD
    """Seconds from which a statement is slow."""
    texts: dict[str, BoundShape] = field(default_factory=dict[str, BoundShape])
    """Every executed statement, as far as there is room."""
    _slow: dict[tuple[str, str], SlowStatement] = field(
        default_factory=dict[tuple[str, str], SlowStatement]
    )
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def make_connection(self, *args: Any, **kwargs: Any) -> TimedConnection:
        """Return a timed connection; a `factory` for sqlite3.connect."""
        connection = TimedConnection(*args, **kwargs)
        connection.log, connection.caller = self, current_caller.get()
        return connection

    def remember_statement(self, statement: str, parameters: Any) -> None:
        """Remember a statement that was executed for the first time."""
        if len(self.texts) < MAX_KNOWN_STATEMENTS and _is_timed(statement):
            self.texts[statement] = describe_parameters(parameters)

    def add_slow(
        self, caller: str, statement: str, shape: BoundShape, seconds: float, before: float = 0.0
    ) -> None:
        """Add the time of a slow statement, of which `before` seconds were added earlier."""
        if caller in EXEMPT_CALLERS or not _is_timed(statement):
            return
        key = normalize_statement(statement), caller
        with self._lock:
            if len(self._slow) >= MAX_SLOW_STATEMENTS and key not in self._slow:
                return
            slow = self._slow.setdefault(key, SlowStatement(*key, statement, shape))
            slow.seconds, slow.worst, slow.at = seconds, max(slow.worst, seconds), timestamps.now()
            slow.total += seconds - before
            slow.count += not before

    def take_statements(self) -> list[SlowStatement]:
        """Return and forget the slow statements."""
        with self._lock:
            slow, self._slow = self._slow, {}
        return list(slow.values())

    def restore_statements(self, slow: list[SlowStatement]) -> None:
        """Put statements back that could not be stored."""
        with self._lock:
            self._slow = {(one.statement, one.caller): one for one in slow} | self._slow


def _is_timed(statement: str) -> bool:
    return statement.lstrip()[:7].upper().startswith(_STATEMENT_KINDS)


class TimedConnection(sqlite3.Connection):
    """A connection whose statements are timed.

    Cursors come from `sqlite3.Connection.cursor`. A connection keeps a weak reference to every
    cursor, and only that method drops the dead ones. Otherwise each statement would leak 80 bytes.
    """

    log: SlowLog
    caller: str

    def cursor(self, factory: Callable[[sqlite3.Connection], Any] | None = None) -> Any:
        return super().cursor(factory or TimedCursor)

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        return super().cursor(TimedCursor).execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> Any:
        return super().cursor(TimedCursor).executemany(sql, parameters)


_execute = sqlite3.Cursor.execute
_fetchall = sqlite3.Cursor.fetchall


class TimedCursor(sqlite3.Cursor):
    """A cursor that times execution and fetching."""

    __slots__ = ("_text", "_took")
    connection: TimedConnection  # type: ignore[assignment]

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        began = perf_counter()
        _execute(self, sql, parameters)
        self._took = took = perf_counter() - began
        self._text, log = sql, self.connection.log
        if sql not in log.texts:
            log.remember_statement(sql, parameters)
        if took >= log.threshold:
            log.add_slow(self.connection.caller, sql, describe_parameters(parameters), took)
        return self

    def executemany(self, sql: str, parameters: Any, /) -> Any:
        """Execute a statement for each row.

        All rows count as one execution, because together they hold the writer.
        """
        parameters = list(parameters)
        began = perf_counter()
        super().executemany(sql, parameters)
        self._took = took = perf_counter() - began
        self._text, log = sql, self.connection.log
        first = parameters[0] if parameters else ()
        if sql not in log.texts:
            log.remember_statement(sql, first)
        if took >= log.threshold:
            log.add_slow(self.connection.caller, sql, describe_parameters(first), took)
        return self

    def fetchall(self) -> list[Any]:
        """Fetch all rows and add the time to that of the execution."""
        began = perf_counter()
        rows = _fetchall(self)
        took, log = perf_counter() - began + self._took, self.connection.log
        if took >= log.threshold:
            before = self._took if self._took >= log.threshold else 0.0
            shape = log.texts.get(self._text, 0)
            log.add_slow(self.connection.caller, self._text, shape, took, before)
        return rows

    def __iter__(self) -> Any:
        return iter(self.fetchall())
