"""Promotion of a replica to an independent home."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from db import raw_sql
from db.engine import create_write_engine
from db.errors import Problem
from db.maintenance import integrity
from db.queries.home import replicas
from db.restore import swap
from db.restore.replica_file import make_damaged_error, make_unreadable_error
from db.search import index_file
from db.sqlite_files import fsync_path, make_read_only_uri, remove_database


def promote_replica(replica: Path, target: Path, by: str) -> int:
    """Check a replica and make it the database of a home; return the last used number.

    The caller holds the lock. The replica is copied first: its home may still be writing to it and
    must not reach the new database. Side files of an earlier database are moved away. The replica
    is removed last.
    """
    part = target.with_name(f"{target.name}.promoting")
    remove_database(part)
    try:
        last = _copy_replica(replica, part, by)
        fsync_path(part)
        swap.move_side_files(target)
        index_file.remove_index(index_file.get_index_path(target))
        os.rename(part, target)
    finally:
        remove_database(part)
    fsync_path(target.parent)
    try:
        _require_intact(target, replica)
    except Problem:
        remove_database(target)
        raise
    remove_database(replica)
    return last


def _copy_replica(replica: Path, part: Path, by: str) -> int:
    """Make `part` from the replica if it is undamaged. Raise Storage."""
    try:
        with (
            closing(sqlite3.connect(make_read_only_uri(replica), uri=True)) as source,
            closing(sqlite3.connect(part)) as target,
        ):
            source.backup(target)
        part.chmod(0o600)
        _require_intact(part, replica)
        return _promote_copy(part, by)
    except raw_sql.DRIVER_ERRORS as error:
        raise make_unreadable_error(error, replica) from error


def _require_intact(path: Path, replica: Path) -> None:
    """Raise Storage if the database at `path`, made from `replica`, is damaged."""
    if faults := integrity.find_damage(path) or integrity.find_inconsistencies(path):
        raise make_damaged_error(faults[0], replica)


def _promote_copy(part: Path, by: str) -> int:
    engine = create_write_engine(part)
    try:
        with engine.begin() as c:
            return replicas.promote_replica(c, by)
    finally:
        engine.dispose()  # closing checkpoints the WAL
