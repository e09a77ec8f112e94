"""Copy of the manifest in the table `backups`, for queries and the board.

The manifest is authoritative.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from db import schema, timestamps
from db.backup.catalog import Backup


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
