"""Statement timing: connections and cursors that measure what they execute.

A fast statement costs two clock reads and one set lookup (measured in
`tests/db/maintenance/test_slow_queries.py`). Slow statements are kept in memory, a few for each
caller; `slow_queries` stores them. Times are measured in the thread that runs SQLite, so a busy
event loop does not count. A query's time covers its first row and the rows fetched with it.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import Any

from db import timestamps

DEFAULT_THRESHOLD = 0.05
"""Default seconds from which a statement is slow."""
LOCK_WAIT_THRESHOLD = 0.01
"""Seconds from which the start of a transaction counts as a lock wait."""
LOCK_WAIT_ALERT = 1.0
"""Seconds from which a lock wait raises an alert."""
MAX_SLOW_STATEMENTS = 200
"""Maximum number of slow statements kept in memory. The slowest stay."""
MAX_KNOWN_STATEMENTS = 2000
"""Maximum number of statements remembered for index usage."""
MINUTE_LENGTH = len("2026-11-25T10:42")
"""Length of the prefix of stored time that names a minute."""
EXEMPT_CALLERS = ("db.stats", "db.check", "db.verify")
"""Callers that read the whole database on request: slow by nature, never logged."""

_STATEMENT_KINDS = ("SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "VALUES")
_TEXT = re.compile(r"x?'(?:[^']|'')*'", re.I)
_NUMBER = re.compile(r"(?<![\w.\"$:@?])[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?(?![\w.\"])", re.I)
_PLACEHOLDER = r"(?:\?[0-9]*|:[A-Za-z_][A-Za-z_0-9]*|NULL)"
_LIST = re.compile(rf"\(\s*{_PLACEHOLDER}(?:\s*,\s*{_PLACEHOLDER})+\s*\)")
_ROWS = re.compile(r"(\(…\))(?:\s*,\s*\(…\))+")

BoundShape = int | tuple[str, ...]
"""Bound values of a statement: their number, or their names."""

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
    """Return the number or names of bound values, never the values: they are private."""
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


@dataclass(slots=True)
class LockWaits:
    """Lock waits of this process's transactions: count, and total and longest seconds."""

    count: int = 0
    total: float = 0.0
    worst: float = 0.0
    long: tuple[float, float] | None = None
    """The latest wait over `LOCK_WAIT_ALERT` seconds: its end on the monotonic clock, and its
    seconds."""


@dataclass(slots=True)
class MinuteFigures:
    """Slow statements of one minute, and the longest lock wait in seconds."""

    slow: int = 0
    wait: float = 0.0


@dataclass
class SlowLog:
    """Slow statements of one database's connections, until they are taken.

    Thread-safe.
    """

    threshold: float = DEFAULT_THRESHOLD
    least: float = min(DEFAULT_THRESHOLD, LOCK_WAIT_THRESHOLD)
    """Seconds from which an execution is examined at all."""
    waits: LockWaits = field(default_factory=LockWaits)
    minutes: dict[str, MinuteFigures] = field(default_factory=dict)
    """Figures by minute, until they are taken. The key is a prefix of stored time."""
    texts: dict[str, BoundShape] = field(default_factory=dict)
    """Every executed statement, as far as there is room."""
    new_statements: list[str] = field(default_factory=list)
    """Statements not taken yet."""
    _slow: dict[tuple[str, str], SlowStatement] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def set_threshold(self, threshold: float) -> None:
        """Set the seconds from which a statement counts as slow."""
        self.threshold, self.least = threshold, min(threshold, LOCK_WAIT_THRESHOLD)

    def remember_statement(self, statement: str, parameters: Any, many: bool) -> None:
        """Remember a statement that was executed for the first time."""
        if len(self.texts) < MAX_KNOWN_STATEMENTS and statement.lstrip()[:7].upper().startswith(
            _STATEMENT_KINDS
        ):
            with self._lock:
                self.texts[statement] = describe_parameters(
                    (parameters[0] if parameters else ()) if many else parameters
                )
                self.new_statements.append(statement)

    def add_timing(
        self,
        caller: str,
        statement: str,
        parameters: BoundShape,
        seconds: float,
        before: float = 0.0,
    ) -> None:
        """Add the time of a statement.

        Of `seconds`, the first `before` were reported earlier; they count again only if they were
        below the threshold.
        """
        kind = statement.lstrip()[:7].upper()
        if kind.startswith("BEGIN I"):
            self._add_lock_wait(seconds)
        elif (
            seconds >= self.threshold
            and kind.startswith(_STATEMENT_KINDS)
            and caller not in EXEMPT_CALLERS
        ):
            already_counted = before if before >= self.threshold else 0.0
            if not already_counted:
                with self._lock:
                    self._get_minute().slow += 1
            self._add_slow(
                normalize_statement(statement),
                caller,
                statement,
                parameters,
                seconds,
                already_counted,
            )

    def _add_lock_wait(self, seconds: float) -> None:
        if seconds >= LOCK_WAIT_THRESHOLD:
            with self._lock:
                self.waits.count += 1
                self.waits.total += seconds
                self.waits.worst = max(self.waits.worst, seconds)
                minute = self._get_minute()
                minute.wait = max(minute.wait, seconds)
                self.waits.long = (
                    (monotonic(), seconds) if seconds >= LOCK_WAIT_ALERT else self.waits.long
                )

    def _get_minute(self) -> MinuteFigures:
        return self.minutes.setdefault(timestamps.now()[:MINUTE_LENGTH], MinuteFigures())

    def take_minutes(self) -> dict[str, MinuteFigures]:
        """Return the figures by minute and forget them."""
        with self._lock:
            minutes, self.minutes = self.minutes, {}
            return minutes

    def restore_minutes(self, minutes: dict[str, MinuteFigures]) -> None:
        """Merge figures back that could not be stored."""
        with self._lock:
            for at, one in minutes.items():
                kept = self.minutes.setdefault(at, MinuteFigures())
                kept.slow, kept.wait = kept.slow + one.slow, max(kept.wait, one.wait)

    def _add_slow(
        self,
        statement: str,
        caller: str,
        text: str,
        parameters: BoundShape,
        seconds: float,
        already_counted: float,
    ) -> None:
        with self._lock:
            key = (statement, caller)
            if key not in self._slow and not self._make_room(seconds):
                return
            one = self._slow.setdefault(key, SlowStatement(statement, caller, text, parameters))
            one.seconds, one.worst, one.at = seconds, max(one.worst, seconds), timestamps.now()
            one.total += seconds - already_counted
            one.count += 0 if already_counted else 1

    def _make_room(self, seconds: float) -> bool:
        """Make room for a statement by dropping the fastest one.

        Return False if the new statement is the fastest.
        """
        if len(self._slow) >= MAX_SLOW_STATEMENTS:
            quickest = min(self._slow, key=lambda key: self._slow[key].worst)
            if self._slow[quickest].worst >= seconds:
                return False
            del self._slow[quickest]
        return True

    def take_statements(self, texts: int) -> tuple[list[SlowStatement], list[str]]:
        """Return and forget the slow statements, and at most `texts` new statements."""
        with self._lock:
            slow, self._slow = list(self._slow.values()), {}
            fresh, self.new_statements = self.new_statements[:texts], self.new_statements[texts:]
            return slow, fresh

    def restore_statements(self, slow: list[SlowStatement], fresh: list[str]) -> None:
        """Put statements back that could not be stored, as far as there is room."""
        with self._lock:
            self.new_statements = fresh + self.new_statements
            for one in slow[: MAX_SLOW_STATEMENTS - len(self._slow)]:
                self._slow.setdefault((one.statement, one.caller), one)


class TimingContext:
    """Timing context of a connection: its slow log and its current caller."""

    __slots__ = ("caller", "log")

    def __init__(self, log: SlowLog) -> None:
        self.log, self.caller = log, ""

    def connection(self, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        """Return a timed connection; a `factory` for sqlite3.connect."""
        connection = TimedConnection(*args, **kwargs)
        connection.timing = self
        return connection


class TimedConnection(sqlite3.Connection):
    """A connection whose statements are timed.

    Cursors come from `sqlite3.Connection.cursor`. A connection keeps a weak reference to every
    cursor, and only that method drops the dead ones. Otherwise each statement would leak 80 bytes.
    """

    timing: TimingContext

    def cursor(self, factory: Callable[[sqlite3.Connection], Any] | None = None) -> Any:
        connection = super().cursor(factory or TimedCursor)
        connection.timing = self.timing
        return connection

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        connection = super().cursor(TimedCursor)
        connection.timing = self.timing
        return connection.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> Any:
        return self.cursor().executemany(sql, parameters)


_execute = sqlite3.Cursor.execute
_fetchall = sqlite3.Cursor.fetchall


class TimedCursor(sqlite3.Cursor):
    """A cursor that times execution and fetching."""

    __slots__ = ("_text", "_took", "timing")
    timing: TimingContext

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        began = perf_counter()
        _execute(self, sql, parameters)
        self._took = took = perf_counter() - began
        self._text, log = sql, self.timing.log
        if sql not in log.texts:
            log.remember_statement(sql, parameters, False)
        if took >= log.least:
            log.add_timing(self.timing.caller, sql, describe_parameters(parameters), took)
        return self

    def executemany(self, sql: str, parameters: Any, /) -> Any:
        """Execute a statement for each row.

        All rows count as one execution, because together they hold the writer.
        """
        parameters = list(parameters)
        began = perf_counter()
        super().executemany(sql, parameters)
        self._took = took = perf_counter() - began
        self._text, log = sql, self.timing.log
        if sql not in log.texts:
            log.remember_statement(sql, parameters, True)
        if took >= log.least and parameters:
            log.add_timing(self.timing.caller, sql, describe_parameters(parameters[0]), took)
        return self

    def fetchall(self) -> list[Any]:
        """Fetch all rows and add the time to that of the execution."""
        began = perf_counter()
        rows = _fetchall(self)
        took, log = perf_counter() - began, self.timing.log
        if took >= log.least or took + self._took >= log.threshold > self._took:
            log.add_timing(
                self.timing.caller,
                self._text,
                log.texts.get(self._text, 0),
                took + self._took,
                self._took,
            )
        return rows

    def __iter__(self) -> Any:
        return iter(self.fetchall())
