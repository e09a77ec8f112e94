"""Copies of the output of runs to files of the user, until they are complete."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from db import raw_sql, timestamps
from db.states import ACTIVE_SQL


class OutputCopy(NamedTuple):
    """A run whose log is still to be copied to `path`."""

    runid: str
    path: str
    umask: int
    is_active: bool


COPIES = (
    f"SELECT i.runid, i.copy_to, t.umask, i.status IN {ACTIVE_SQL} FROM instances i JOIN tasks t ON"
    " t.uuid = i.task_id WHERE i.copy_to IS NOT NULL"
)


def list_copies(c: Connection) -> list[OutputCopy]:
    """Return the copies that are not complete."""
    return [
        OutputCopy(runid, os.fsdecode(path), umask, bool(active))
        for runid, path, umask, active in raw_sql.fetch_tuples(c, COPIES)
    ]


def finish_copies(c: Connection, ended: Sequence[tuple[str, str | None]]) -> None:
    """Mark copies as complete or, with a reason, as given up; the run shows the reason."""
    now = timestamps.now()
    raw_sql.execute_statements(
        c,
        "UPDATE instances SET copy_to = NULL, reason = CASE WHEN ?1 IS NULL THEN reason ELSE"
        " coalesce(reason || '; ', '') || ?1 END, updated_at = ?2 WHERE runid = ?3",
        [(reason, now, runid) for runid, reason in ended],
    )
