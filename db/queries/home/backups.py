"""Copy of the manifest in the table `backups`, for queries and the board.

The manifest is authoritative.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from db import raw_sql, schema, timestamps
from db.backup.catalog import Backup


class GoodBackup(NamedTuple):
    """A verified backup without a problem, and the id of the one that it builds on."""

    id: int
    parent_id: int | None
    created_at: str
    file: str


# SQL text: the board and the rule on the age of backups read them every second.
_GOOD = (
    f"SELECT {', '.join(GoodBackup._fields)} FROM backups WHERE verified_at IS NOT NULL AND problem"
    " IS NULL ORDER BY id DESC"
)


def list_good(c: Connection) -> list[GoodBackup]:
    """Return the good backups, newest first."""
    return [GoodBackup._make(row) for row in raw_sql.fetch_rows(c, _GOOD)]


def find_newest_good(c: Connection) -> GoodBackup | None:
    """Return the newest good backup, or None."""
    found = raw_sql.fetch_rows(c, f"{_GOOD} LIMIT 1")
    return GoodBackup._make(found[0]) if found else None


def list_good_times(c: Connection) -> list[str]:
    """Return when the good backups were made."""
    return [GoodBackup._make(row).created_at for row in raw_sql.fetch_rows(c, _GOOD)]


def write_backup_rows(c: Connection, backups: Sequence[Backup]) -> None:
    """Replace the table's rows by these backups, oldest first."""
    now, table = timestamps.now(), schema.backups
    ids = {one.id: number for number, one in enumerate(backups, 1)}
    c.execute(table.delete())
    if backups:
        c.execute(table.insert(), [
            {"id": ids[one.id], "kind": one.kind, "file": one.path.name,
            "parent_id": ids.get(one.base or ""), "bytes": one.bytes,
             "sha256": bytes.fromhex(one.sha256) or None,
             "verified_at": one.at if one.verified else None, "problem": one.problem,
             "created_at": one.at, "updated_at": now}
            for one in backups
        ])  # fmt: skip
