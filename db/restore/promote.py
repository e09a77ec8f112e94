"""A copy of another home's database made a home of its own."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from db import raw_sql
from db.engine import write_engine
from db.errors import Problem
from db.maintenance import integrity
from db.queries import replicas
from db.restore import swap
from db.restore.replica_file import damaged, unreadable
from db.search import index_file
from db.sqlite_files import flush, read_only_uri, remove


def promote(copy: Path, target: Path, by: str) -> int:
    """Check the copy whole and make a database of its own of it; the last number that counts as given. The caller holds the lock.

    It is copied once more: the home it is of, if that still lives, may be writing to it this moment, and is to reach this one no more.
    What an earlier database of the folder has left beside itself is put aside; the copy goes last.
    """
    part = target.with_name(f"{target.name}.promoting")
    remove(part)
    try:
        last = _copied(copy, part, by)
        flush(part)
        swap.logs_aside(target)
        index_file.remove(index_file.beside(target))
        os.rename(part, target)
    finally:
        remove(part)
    flush(target.parent)
    try:
        _require_whole(target, copy)
    except Problem:
        remove(target)
        raise
    remove(copy)
    return last


def _copied(copy: Path, part: Path, by: str) -> int:
    """Make `part` of the copy, if that is whole. Raises Storage."""
    try:
        with closing(sqlite3.connect(read_only_uri(copy), uri=True)) as source, closing(sqlite3.connect(part)) as made:
            source.backup(made)
        part.chmod(0o600)
        _require_whole(part, copy)
        return _made(part, by)
    except raw_sql.FAILED as error:
        raise unreadable(error, copy) from error


def _require_whole(path: Path, copy: Path) -> None:
    """Raises Storage. `path` is what was made of the copy."""
    if wrong := integrity.damage(path) or integrity.disorder(path):
        raise damaged(wrong[0], copy)


def _made(part: Path, by: str) -> int:
    engine = write_engine(part)
    try:
        with engine.begin() as c:
            return replicas.promote(c, by)
    finally:
        engine.dispose()  # which folds the log into the file
