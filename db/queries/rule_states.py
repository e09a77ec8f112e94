"""States of rules of the general form and their subjects. Inactive subjects have no row."""

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
