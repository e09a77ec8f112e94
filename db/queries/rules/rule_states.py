"""States of rules of the general form and their subjects, and when the next ones are due.

Inactive subjects have no state.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from db import raw_sql, timestamps


class RuleStateRow(NamedTuple):
    """State of a rule for one subject."""

    sla_id: int
    subject: str
    status: str
    since: str
    fired_at: str | None
    clear_since: str | None
    due_at: str | None
    escalated: int


class DueTimeRow(NamedTuple):
    """When a rule fires about a subject that is not done before.

    `object` is the subject in words.
    """

    sla_id: int
    subject: str
    due_at: str
    object: str


class DueChange(NamedTuple):
    """A due time to store, or to delete if `due_at` is None; `version` is that of the rule."""

    sla_id: int
    subject: str
    due_at: str | None
    object: str
    version: str


class NextDue(NamedTuple):
    """The next due time of a rule, and how many more are stored."""

    at: str
    object: str
    more: int


_COLUMNS = ", ".join(RuleStateRow._fields)


def list_states(c: Connection) -> list[RuleStateRow]:
    """Return the states of all rules."""
    found = raw_sql.fetch_tuples(c, f"SELECT {_COLUMNS} FROM rule_states")
    return [RuleStateRow._make(row) for row in found]


def store_states(c: Connection, rows: Sequence[RuleStateRow]) -> None:
    """Insert or replace states."""
    now = timestamps.now()
    raw_sql.execute_statements(
        c,
        f"INSERT INTO rule_states ({_COLUMNS}, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5,"
        " ?6, ?7, ?8, ?9, ?9) ON CONFLICT (sla_id, subject) DO UPDATE SET status ="
        " excluded.status, since = excluded.since, fired_at = excluded.fired_at, clear_since ="
        " excluded.clear_since, due_at = excluded.due_at, escalated = excluded.escalated,"
        " updated_at = excluded.updated_at",
        [(*row, now) for row in rows],
    )


def delete_states(c: Connection, keys: Sequence[tuple[int, str]]) -> None:
    """Delete the states of (rule id, subject)."""
    raw_sql.execute_statements(
        c, "DELETE FROM rule_states WHERE sla_id = ? AND subject = ?", list(keys)
    )


def list_due_times(c: Connection) -> list[DueTimeRow]:
    """Return the stored due times of all rules."""
    found = raw_sql.fetch_tuples(c, "SELECT sla_id, subject, due_at, object FROM due_times")
    return [DueTimeRow._make(row) for row in found]


def map_next_due(c: Connection) -> dict[int, NextDue]:
    """Return {rule id: its next due time}."""
    found = raw_sql.fetch_tuples(
        c, "SELECT sla_id, min(due_at), object, count(*) - 1 FROM due_times GROUP BY sla_id"
    )
    return {sla_id: NextDue(at, title, more) for sla_id, at, title, more in found}


def change_due_times(c: Connection, changes: Sequence[DueChange]) -> None:
    """Store or delete due times. A rule that has changed since keeps none."""
    raw_sql.execute_statements(
        c,
        "DELETE FROM due_times WHERE sla_id = ? AND subject = ?",
        [(one.sla_id, one.subject) for one in changes if one.due_at is None],
    )
    now = timestamps.now()
    raw_sql.execute_statements(
        c,
        "INSERT INTO due_times (sla_id, subject, due_at, object, created_at, updated_at) SELECT ?1,"
        " ?2, ?3, ?4, ?6, ?6 WHERE EXISTS (SELECT 1 FROM slas WHERE id = ?1 AND updated_at = ?5)"
        " ON CONFLICT (sla_id, subject) DO UPDATE SET due_at = excluded.due_at, object ="
        " excluded.object, updated_at = excluded.updated_at",
        [(*one, now) for one in changes if one.due_at is not None],
    )


def read_rules_version(c: Connection) -> Any:
    """Return a value that changes with each change of a rule."""
    return tuple(
        raw_sql.fetch_rows(
            c, "SELECT count(*) AS many, max(id) AS last, max(updated_at) AS at FROM slas"
        )[0]
    )


def list_current_rules(c: Connection, ids: Sequence[int]) -> dict[int, Any]:
    """Return {rule id: (updated_at, enabled)} of rules that still exist."""
    found = raw_sql.fetch_rows(
        c,
        "SELECT id, updated_at, enabled FROM slas WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)),),
    )
    return {row.id: (row.updated_at, bool(row.enabled)) for row in found}
