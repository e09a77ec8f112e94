"""Triggers of the writer's connection that note which queued tasks change.

Only the writer's connection writes; a commit of any other one changes `data_version`. What was read
holds if it is read again in two transactions after a change, so a rollback between them is seen. If
a rollback removes the triggers, nothing that was read holds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from itertools import count
from typing import Any

from sqlalchemy import Connection

from db import raw_sql

_EVENTS = {
    "INSERT": ("NEW.status = 'queued'", "NEW", "NEW"),
    "UPDATE": ("NEW.status = 'queued' OR OLD.status = 'queued'", "OLD", "NEW"),
    "DELETE": ("OLD.status = 'queued'", "OLD", "OLD"),
}
_STATE = (
    "SELECT (SELECT count(*) FROM temp.sqlite_master WHERE name GLOB ?),"
    " (SELECT data_version FROM pragma_data_version)"
)
_SERIALS = count()


def is_watchable(c: Connection) -> bool:
    """Return True for the writer's connection."""
    return isinstance(c.connection.dbapi_connection, sqlite3.Connection)


class TaskWatch:
    """Watch that calls `note` with a task's uuid, and its queue before and after a change."""

    def __init__(self, note: Callable[[str, str, str], None]) -> None:
        self._note = note
        self._name = f"watch_{next(_SERIALS)}"
        """Begin of the names of the triggers, and the name of the function that they call."""
        self._driver: Any = None
        self._state: Any = None
        self._transaction: Any = None
        self.epoch = 0
        """Number of transactions that have begun."""
        self.misses_changes = True
        """True if earlier changes of the transaction are unknown, so that it may keep nothing."""

    @property
    def is_active(self) -> bool:
        """True while the triggers may exist."""
        return self._driver is not None

    def begin(self, c: Connection) -> bool:
        """Prepare for a transaction; return False if it has begun before."""
        transaction = c.get_transaction()
        if transaction is self._transaction:
            return False
        self._transaction = transaction
        self.epoch += 1
        driver = c.connection.dbapi_connection
        self.misses_changes = driver is not self._driver or self._read_state(c) != self._state
        if self.misses_changes:
            self._watch(c, driver)
        return True

    def stop(self, c: Connection) -> None:
        """Remove the triggers."""
        self._drop_triggers(c)
        self._driver = self._transaction = None

    def _watch(self, c: Connection, driver: Any) -> None:
        self._drop_triggers(c)
        driver.create_function(self._name, 3, self._note)
        for event, (holds, before, after) in _EVENTS.items():
            create = (
                f"CREATE TEMP TRIGGER {self._name}_{event} AFTER {event} ON main.tasks WHEN {holds}"
                f" BEGIN SELECT {self._name}({after}.uuid, {before}.queue, {after}.queue); END"
            )
            raw_sql.execute_statement(c, create)
        self._driver, self._state = driver, self._read_state(c)

    def _drop_triggers(self, c: Connection) -> None:
        for event in _EVENTS:
            raw_sql.execute_statement(c, f"DROP TRIGGER IF EXISTS temp.{self._name}_{event}")

    def _read_state(self, c: Connection) -> Any:
        """Return the number of triggers, and what a commit of another connection changes."""
        return next(iter(raw_sql.fetch_tuples(c, _STATE, (f"{self._name}_*",))))
