"""Copies of the output of runs to files of the user, until they are complete."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from db import raw_sql, timestamps
from db.states import ACTIVE_SQL, ENDED, as_sql


class OutputCopy(NamedTuple):
    """A run whose log, or only one part of it, is still to be copied to `path`."""

    runid: str
    path: str
    umask: int
    is_active: bool
    column: str
    """Column of the path: `copy_to` or `copy_error_to`."""
    is_split: bool
    """True if the error output has a file of its own."""


COLUMNS = ("copy_to", "copy_error_to")
COPIES = tuple(
    f"SELECT i.runid, i.{column}, t.umask, i.status IN {ACTIVE_SQL}, '{column}', t.error IS NOT"
    f" NULL FROM instances i JOIN tasks t ON t.uuid = i.task_id WHERE i.{column} IS NOT NULL"
    for column in COLUMNS
)


TELL_TASK = (
    "UPDATE tasks SET reason = coalesce(reason || '; ', '') || ?1, updated_at = ?2 WHERE uuid ="
    " (SELECT task_id FROM instances WHERE runid = ?3) AND attempts = (SELECT attempt FROM"
    f" instances WHERE runid = ?3) AND status IN {as_sql(ENDED)}"
)


def list_copies(c: Connection) -> list[OutputCopy]:
    """Return the copies that are not complete."""
    return [
        OutputCopy(runid, os.fsdecode(path), umask, bool(active), column, bool(split))
        for query in COPIES
        for runid, path, umask, active, column, split in raw_sql.fetch_tuples(c, query)
    ]


def finish_copies(c: Connection, ended: Sequence[tuple[OutputCopy, str | None]]) -> None:
    """Mark copies as complete or, with a reason, as given up.

    The run shows the reason, and its task too if no later run has ended.
    """
    now = timestamps.now()
    for column in COLUMNS:
        raw_sql.execute_statements(
            c,
            f"UPDATE instances SET {column} = NULL, reason = CASE WHEN ?1 IS NULL THEN reason ELSE"
            " coalesce(reason || '; ', '') || ?1 END, updated_at = ?2 WHERE runid = ?3",
            [(reason, now, copy.runid) for copy, reason in ended if copy.column == column],
        )
    failed = [(reason, now, copy.runid) for copy, reason in ended if reason is not None]
    raw_sql.execute_statements(c, TELL_TASK, failed)
