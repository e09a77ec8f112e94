"""What statements cost, taken where SQLite is asked: connections whose cursors look at the clock before and after.

A statement that is quick pays two looks at the clock and one look into a set (measured: `tests.db.maintenance.test_slow_queries`). What is slow is
remembered in memory, a few statements of each caller; `db.slowlog` writes it down. The time is that of the thread that asks SQLite: a
loop that is busy does not count. A query's time is that of its first row, and of all that were fetched together.
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
"""Seconds from which on a statement is slow, until the settings say otherwise."""
LOCK_WAIT_THRESHOLD = 0.01
"""Seconds from which on the beginning of a transaction waited for the lock."""
LOCK_WAIT_ALERT = 1.0
"""Seconds from which on such a wait is worth an alert."""
MAX_SLOW_STATEMENTS = 200
"""Slow statements that are remembered, the slowest."""
MAX_KNOWN_STATEMENTS = 2000
"""Texts that are remembered, to know which indexes they use."""
MINUTE_LENGTH = len("2026-11-25T10:42")
"""Characters of a time as it is stored that name its minute."""
EXEMPT_CALLERS = ("db.stats", "db.check", "db.verify")
"""Callers that read all there is because somebody wants to know: slow by nature."""

_STATEMENT_KINDS = ("SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "VALUES")
_TEXT = re.compile(r"x?'(?:[^']|'')*'", re.I)
_NUMBER = re.compile(r"(?<![\w.\"$:@?])[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?(?![\w.\"])", re.I)
_PLACEHOLDER = r"(?:\?[0-9]*|:[A-Za-z_][A-Za-z_0-9]*|NULL)"
_LIST = re.compile(rf"\(\s*{_PLACEHOLDER}(?:\s*,\s*{_PLACEHOLDER})+\s*\)")
_ROWS = re.compile(r"(\(…\))(?:\s*,\s*\(…\))+")

BoundShape = int | tuple[str, ...]
"""What is bound to a statement: how many values, or their names."""

current_caller: ContextVar[str] = ContextVar("caller", default="")
"""Who asks: a verb such as `browse`, or `duty slas`, `dispatcher`, or `start` before that runs."""


@contextmanager
def set_caller(name: str) -> Iterator[None]:
    """What is asked of the database meanwhile is asked by `name`."""
    token = current_caller.set(name)
    try:
        yield
    finally:
        current_caller.reset(token)


def normalize_statement(statement: str) -> str:
    """A statement without what differs from one time to the next: texts and numbers are `?`, lists of values `(…)`."""
    text = _NUMBER.sub("?", _TEXT.sub("?", " ".join(statement.split())))
    return _ROWS.sub(r"\1", _LIST.sub("(…)", text))


def describe_parameters(given: Any) -> BoundShape:
    """What is bound, without the values, which are nobody's business."""
    return tuple(given) if isinstance(given, dict) else len(given)


@dataclass(slots=True)
class SlowStatement:
    """A statement that was slow, for one caller: how often, and the seconds of the last one, the worst one, and all."""

    statement: str
    caller: str
    text: str
    """As it was executed."""
    shape: BoundShape
    seconds: float = 0.0
    worst: float = 0.0
    total: float = 0.0
    count: int = 0
    at: str = ""


@dataclass(slots=True)
class LockWaits:
    """Transactions that waited for the lock since we began: how many, and the seconds of all of them and of the longest."""

    count: int = 0
    total: float = 0.0
    worst: float = 0.0
    long: tuple[float, float] | None = None
    """The last one of over `LONG` seconds: when it ended on the monotonic clock, and its seconds."""


@dataclass(slots=True)
class MinuteFigures:
    """What was slow in a minute: how many statements, and the seconds of the longest wait for the lock."""

    slow: int = 0
    wait: float = 0.0


@dataclass
class SlowLog:
    """What was slow on the connections of one database, until somebody takes it. Any thread may add to it."""

    threshold: float = DEFAULT_THRESHOLD
    least: float = min(DEFAULT_THRESHOLD, LOCK_WAIT_THRESHOLD)
    """Seconds that anything at all is told from."""
    waits: LockWaits = field(default_factory=LockWaits)
    minutes: dict[str, MinuteFigures] = field(default_factory=dict)
    """{minute: what was slow in it}, until somebody takes it; a minute is the beginning of a time as it is stored."""
    texts: dict[str, BoundShape] = field(default_factory=dict)
    """Every statement that was executed, so far as there is room."""
    fresh: list[str] = field(default_factory=list)
    """Those that nobody took yet."""
    _slow: dict[tuple[str, str], SlowStatement] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def set_threshold(self, threshold: float) -> None:
        """Remember statements that take so many seconds."""
        self.threshold, self.least = threshold, min(threshold, LOCK_WAIT_THRESHOLD)

    def remember_statement(self, statement: str, given: Any, many: bool) -> None:
        """Remember a statement that was not seen before."""
        if len(self.texts) < MAX_KNOWN_STATEMENTS and statement.lstrip()[:7].upper().startswith(_STATEMENT_KINDS):
            with self._lock:
                self.texts[statement] = describe_parameters((given[0] if given else ()) if many else given)
                self.fresh.append(statement)

    def add_timing(self, asker: str, statement: str, given: BoundShape, seconds: float, before: float = 0.0) -> None:
        """A statement took so long; of that, `before` seconds were told already, and count anew only if that was not slow."""
        kind = statement.lstrip()[:7].upper()
        if kind.startswith("BEGIN I"):
            self._add_lock_wait(seconds)
        elif seconds >= self.threshold and kind.startswith(_STATEMENT_KINDS) and asker not in EXEMPT_CALLERS:
            told = before if before >= self.threshold else 0.0
            if not told:
                with self._lock:
                    self._get_minute().slow += 1
            self._add_slow(normalize_statement(statement), asker, statement, given, seconds, told)

    def _add_lock_wait(self, seconds: float) -> None:
        if seconds >= LOCK_WAIT_THRESHOLD:
            with self._lock:
                self.waits.count += 1
                self.waits.total += seconds
                self.waits.worst = max(self.waits.worst, seconds)
                minute = self._get_minute()
                minute.wait = max(minute.wait, seconds)
                self.waits.long = (monotonic(), seconds) if seconds >= LOCK_WAIT_ALERT else self.waits.long

    def _get_minute(self) -> MinuteFigures:
        return self.minutes.setdefault(timestamps.now()[:MINUTE_LENGTH], MinuteFigures())

    def take_minutes(self) -> dict[str, MinuteFigures]:
        """What was slow by the minute, which is forgotten here."""
        with self._lock:
            minutes, self.minutes = self.minutes, {}
            return minutes

    def restore_minutes(self, minutes: dict[str, MinuteFigures]) -> None:
        """What was taken could not be written: it is kept until it can."""
        with self._lock:
            for at, one in minutes.items():
                kept = self.minutes.setdefault(at, MinuteFigures())
                kept.slow, kept.wait = kept.slow + one.slow, max(kept.wait, one.wait)

    def _add_slow(self, statement: str, asker: str, text: str, given: BoundShape, seconds: float, told: float) -> None:
        with self._lock:
            key = (statement, asker)
            if key not in self._slow and not self._make_room(seconds):
                return
            one = self._slow.setdefault(key, SlowStatement(statement, asker, text, given))
            one.seconds, one.worst, one.at = seconds, max(one.worst, seconds), timestamps.now()
            one.total += seconds - told
            one.count += 0 if told else 1

    def _make_room(self, seconds: float) -> bool:
        """Make room for one more, in the place of the quickest; False when that would be itself."""
        if len(self._slow) >= MAX_SLOW_STATEMENTS:
            quickest = min(self._slow, key=lambda key: self._slow[key].worst)
            if self._slow[quickest].worst >= seconds:
                return False
            del self._slow[quickest]
        return True

    def take_statements(self, texts: int) -> tuple[list[SlowStatement], list[str]]:
        """What was slow, which is forgotten here, and at most so many of the statements that nobody took yet."""
        with self._lock:
            slow, self._slow = list(self._slow.values()), {}
            fresh, self.fresh = self.fresh[:texts], self.fresh[texts:]
            return slow, fresh

    def restore_statements(self, slow: list[SlowStatement], fresh: list[str]) -> None:
        """What was taken could not be written: it is kept until it can, as far as nothing newer has its place."""
        with self._lock:
            self.fresh = fresh + self.fresh
            for one in slow[: MAX_SLOW_STATEMENTS - len(self._slow)]:
                self._slow.setdefault((one.statement, one.caller), one)


class TimingContext:
    """A connection's place: what its statements are told to, and who asks on it now."""

    __slots__ = ("caller", "log")

    def __init__(self, log: SlowLog) -> None:
        self.log, self.caller = log, ""

    def connection(self, *args: Any, **kwargs: Any) -> sqlite3.Connection:
        """A connection at this place, as the `factory` of sqlite3.connect."""
        made = TimedConnection(*args, **kwargs)
        made.timing = self
        return made


class TimedConnection(sqlite3.Connection):
    """One whose statements are timed."""

    timing: TimingContext

    def cursor(self, factory: Callable[[sqlite3.Connection], Any] | None = None) -> Any:
        """A cursor that looks at the clock."""
        made = super().cursor(factory) if factory else TimedCursor(self)
        made.timing = self.timing
        return made

    def execute(self, sql: str, given: Any = (), /) -> Any:
        """As always, by a cursor of ours."""
        made = TimedCursor(self)
        made.timing = self.timing
        return made.execute(sql, given)

    def executemany(self, sql: str, given: Any, /) -> Any:
        """As always, by a cursor of ours."""
        return self.cursor().executemany(sql, given)


_execute = sqlite3.Cursor.execute
_fetchall = sqlite3.Cursor.fetchall


class TimedCursor(sqlite3.Cursor):
    """One that times what it executes and what is fetched of it at once."""

    __slots__ = ("_text", "_took", "timing")
    timing: TimingContext

    def execute(self, sql: str, given: Any = (), /) -> Any:
        """As always, timed."""
        began = perf_counter()
        _execute(self, sql, given)
        self._took = took = perf_counter() - began
        self._text, log = sql, self.timing.log
        if sql not in log.texts:
            log.remember_statement(sql, given, False)
        if took >= log.least:
            log.add_timing(self.timing.caller, sql, describe_parameters(given), took)
        return self

    def executemany(self, sql: str, given: Any, /) -> Any:
        """As always; all of them count as one, for so long they hold the writer."""
        given = list(given)
        began = perf_counter()
        super().executemany(sql, given)
        self._took = took = perf_counter() - began
        self._text, log = sql, self.timing.log
        if sql not in log.texts:
            log.remember_statement(sql, given, True)
        if took >= log.least and given:
            log.add_timing(self.timing.caller, sql, describe_parameters(given[0]), took)
        return self

    def fetchall(self) -> list[Any]:
        """As always; it belongs to the time of what was executed."""
        began = perf_counter()
        rows = _fetchall(self)
        took, log = perf_counter() - began, self.timing.log
        if took >= log.least or took + self._took >= log.threshold > self._took:
            log.add_timing(self.timing.caller, self._text, log.texts.get(self._text, 0), took + self._took, self._took)
        return rows

    def __iter__(self) -> Any:
        """All rows, fetched at once."""
        return iter(self.fetchall())
