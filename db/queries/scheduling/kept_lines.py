"""Lines of queued tasks without those that limits stop, kept between rounds.

A limited array may have 100,000 queued tasks that are stopped, and finding the few others passes
all of their rows: 30 ms. So the writer keeps the others. Triggers of its connection note which
rows enter, leave or change, and a line reads only these again.

A kept line holds for these reasons. Only the writer's connection writes; a commit of any other one
changes `data_version`. Each row is read again in two transactions after its change, so a rollback
between them is seen. If a rollback removes the triggers, all lines are forgotten.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from sqlalchemy import Connection

from db import raw_sql
from db.queries.scheduling import limits
from db.queries.scheduling.limits import Exclusion

MAX_ROWS = 512
"""Rows that a kept line has at most; the tasks behind the last one are unknown."""
MAX_CHANGES = 2_000
"""Changed rows after which all lines are read again."""
MAX_AGE = 50
"""Transactions after which a line that nobody asked for is forgotten."""
_EVENTS = {
    "INSERT": ("NEW.status = 'queued'", "NEW"),
    "UPDATE": ("NEW.status = 'queued' OR OLD.status = 'queued'", "NEW"),
    "DELETE": ("OLD.status = 'queued'", "OLD"),
}
_STATE = (
    "SELECT (SELECT count(*) FROM temp.sqlite_master WHERE name GLOB ?),"
    " (SELECT data_version FROM pragma_data_version)"
)
_SERIALS = count()

_Key = tuple[str, bool, tuple[Exclusion, ...]]


@dataclass(slots=True)
class _Line:
    """The first rows of a line; `is_whole` if there are no more."""

    rows: list[Any]
    is_whole: bool
    epoch: int
    """Rows that changed in this epoch or later may differ."""


class KeptLines:
    """Kept lines of the writer's connection, by queue, order and exclusions."""

    def __init__(self) -> None:
        self._name = f"line_{next(_SERIALS)}"
        """Begin of the names of the triggers, and the name of the function that they call."""
        self._driver: Any = None
        self._state: Any = None
        self._transaction: Any = None
        self._epoch = 0
        """Number of transactions that have asked for a line."""
        self._misses_changes = False
        self._changed: dict[str, int] = {}
        """Epoch of the last change by uuid."""
        self._lines: dict[_Key, _Line] = {}

    def list_queued(
        self,
        c: Connection,
        queue: str,
        by_priority: bool,
        limit: int,
        excluded: Sequence[Exclusion],
    ) -> list[Any]:
        """Return the rows of `limits.list_queued`."""
        is_timeless = all(one.longer_than is None for one in excluded)
        if not (is_timeless and isinstance(c.connection.dbapi_connection, sqlite3.Connection)):
            return limits.list_queued(c, queue, by_priority, limit, excluded)
        self._begin(c)
        key = queue, by_priority, tuple(sorted(excluded, key=repr))
        line = self._lines.get(key)
        if line is not None and self._update(c, key, line, limit):
            return line.rows[:limit]
        most = max(limit, MAX_ROWS)
        rows = limits.list_queued(c, queue, by_priority, most, key[2])
        if not self._misses_changes:
            self._lines[key] = _Line(rows, len(rows) < most, self._epoch - 1)
        return rows[:limit]

    def stop(self, c: Connection) -> None:
        """Forget all lines, and remove the triggers."""
        if self._driver is not None:
            self._drop_triggers(c)
            self._driver = None
            self._forget()

    def _begin(self, c: Connection) -> None:
        """Prepare for a transaction: forget lines that may no longer hold."""
        transaction = c.get_transaction()
        if transaction is self._transaction and len(self._changed) <= MAX_CHANGES:
            return
        self._transaction = transaction
        self._epoch += 1
        driver = c.connection.dbapi_connection
        is_unwatched = driver is not self._driver or self._read_state(c) != self._state
        # Earlier changes of this transaction are not known, so it may keep nothing.
        self._misses_changes = is_unwatched or len(self._changed) > MAX_CHANGES
        if is_unwatched:
            self._watch(c, driver)
        elif self._misses_changes:
            self._forget()
        oldest = self._epoch - MAX_AGE
        self._lines = {key: one for key, one in self._lines.items() if one.epoch >= oldest}
        if len(self._changed) > MAX_CHANGES // 2:
            self._changed = {u: epoch for u, epoch in self._changed.items() if epoch >= oldest}

    def _watch(self, c: Connection, driver: Any) -> None:
        """Create the triggers, and forget all lines."""
        self._forget()
        self._drop_triggers(c)
        driver.create_function(self._name, 1, self._note)
        for event, (holds, row) in _EVENTS.items():
            create = (
                f"CREATE TEMP TRIGGER {self._name}_{event} AFTER {event} ON main.tasks"
                f" WHEN {holds} BEGIN SELECT {self._name}({row}.uuid); END"
            )
            raw_sql.execute_statement(c, create)
        self._driver, self._state = driver, self._read_state(c)

    def _drop_triggers(self, c: Connection) -> None:
        for event in _EVENTS:
            raw_sql.execute_statement(c, f"DROP TRIGGER IF EXISTS temp.{self._name}_{event}")

    def _read_state(self, c: Connection) -> Any:
        """Return the number of triggers, and what a commit of another connection changes."""
        return next(iter(raw_sql.fetch_tuples(c, _STATE, (f"{self._name}_*",))))

    def _forget(self) -> None:
        self._lines.clear()
        self._changed.clear()

    def _note(self, uuid: str) -> None:
        if len(self._changed) <= MAX_CHANGES:
            self._changed[uuid] = self._epoch

    def _update(self, c: Connection, key: _Key, line: _Line, limit: int) -> bool:
        """Read the changed rows of a line again; return False if too few rows are known."""
        changed = {uuid for uuid, epoch in self._changed.items() if epoch >= line.epoch}
        line.epoch = self._epoch - 1
        if changed:
            kept = [row for row in line.rows if row.uuid not in changed]
            known = None if line.is_whole else kept[-1] if kept else False
            found = limits.list_queued_among(c, *key, json.dumps(list(changed)))
            line.rows = sorted([*kept, *found], key=_get_place if key[1] else _get_age)
            if known is not None:
                del line.rows[line.rows.index(known) + 1 if known else 0 :]
        return line.is_whole or len(line.rows) >= limit


def _get_place(row: Any) -> tuple[int, int, int]:
    return -row.front, -row.priority, row.number


def _get_age(row: Any) -> tuple[str, int]:
    return row.created_at, row.number
