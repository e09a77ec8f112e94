"""Check-ins: the latest success of a program outside of Taskdeck, by name."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from db import raw_sql, timestamps


class CheckinRow(NamedTuple):
    """A check-in: who reported a success, and when."""

    name: str
    at: str
    by: str
    note: str | None


def store_checkin(c: Connection, name: str, by: str, note: str | None) -> str:
    """Store that a program succeeded now, and return the time."""
    now = timestamps.now()
    raw_sql.execute_statements(
        c,
        'INSERT INTO checkins (name, at, "by", note, created_at, updated_at) VALUES (?1, ?2, ?3,'
        ' ?4, ?2, ?2) ON CONFLICT (name) DO UPDATE SET at = excluded.at, "by" = excluded."by",'
        " note = excluded.note, updated_at = excluded.updated_at",
        [(name, now, by, note)],
    )
    return now


def delete_checkin(c: Connection, name: str) -> None:
    """Delete the check-in of a name."""
    raw_sql.execute_statement(c, "DELETE FROM checkins WHERE name = ?", (name,))


def list_checkins(c: Connection) -> list[CheckinRow]:
    """Return the latest check-in of each name."""
    found = raw_sql.fetch_tuples(c, 'SELECT name, at, "by", note FROM checkins ORDER BY name')
    return [CheckinRow._make(row) for row in found]
