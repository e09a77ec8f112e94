"""The file of the index of the tasks' texts, `search.db` beside the database. What is in it: `db.search`.

It can be made again from the tasks at any time. So it is no part of the database, weighs neither on its size nor on its copies nor on its
writer, and whatever ails it is cured by beginning anew. Readers have it attached as `found`, read-only; where there is none that can be
used, an empty one in memory, so that every statement works and nothing counts as indexed. The writer has only ever the empty one: no
change to a task depends on the file, and the few words that are judged there are looked for in the tasks.

Measured at 1,000,000 tasks: 155 MB (with `detail = full` 288 MB and no faster), 15 s of work to fill. `columnsize = 0`, since nothing is
ranked. Merging is asked for in steps of `MERGED` pages, each a transaction: so FTS5 never works for long at a time.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from db import sqlite_files
from db.search.fts import TEXT_END, IndexBatch, TextOf, make_mark
from db.sqlite_files import existing_uri, read_only_uri

FORMAT = 2
"""Of the file, as its `user_version`."""
KEPT_MARKS = 32
"""Marks that it remembers."""
MERGE_PAGES = 16
"""Pages that one transaction merges."""
BUSY_SECONDS = 10.0
"""Seconds to wait for another program that has the file locked."""

TABLES = (
    "CREATE VIRTUAL TABLE {db}.search USING fts5(text, tokenize = 'trigram case_sensitive 1', detail = none, columnsize = 0)",
    "CREATE VIRTUAL TABLE {db}.terms USING fts5vocab(search, row)",
    "CREATE TABLE {db}.about (place INTEGER PRIMARY KEY, mark INTEGER NOT NULL, upto INTEGER NOT NULL, changed TEXT NOT NULL)",
)
INSERT_FIRST_MARK = "INSERT INTO about VALUES (1, ?, 0, '[]')"

Execute = Callable[..., Any]
"""Executes a statement, with its values, on a connection."""
Identity = tuple[int, int]
"""Device and inode of a file."""


def get_index_path(database: Path) -> Path:
    """Where the index of a database is."""
    return database.with_name("search.db")


def get_identity(path: Path) -> Identity | None:
    """Which file is there now."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def remove_index(path: Path) -> None:
    """Take an index away. Its log goes after it: without it a file could not be used, but would seem to. Raises OSError."""
    sqlite_files.remove_database(path)


# --- for readers --------------------------------------------------------------------------------------------------------------------


def attach_index(execute: Execute, path: Path) -> None:
    """Attach the index at `path`. Raises what the driver raises, or ValueError for one of another format; then nothing is attached."""
    execute("ATTACH ? AS found", (read_only_uri(path),))
    found = execute("PRAGMA found.user_version").fetchone()[0]
    if found != FORMAT:
        execute("DETACH found")
        raise ValueError(f"it has the format {found}, this program {FORMAT}")


def attach_empty(execute: Execute) -> None:
    """Attach an empty one in memory."""
    execute("ATTACH ':memory:' AS found")
    for table in TABLES:
        execute(table.format(db="found"))


class AttachedIndex:
    """The index as the readers of a database have it attached: the file that is there now, as long as that is of use."""

    def __init__(self, path: Path, why: str | None = None) -> None:
        self.path = path
        self.why = why
        """Why there is none that could be used, where there was one."""
        self._bad: Identity | None = None

    def get_usable(self) -> Identity | None:
        """The file that can be used."""
        now = get_identity(self.path)
        return None if now == self._bad else now

    def attach_current(self, c: Connection) -> None:
        """Let a reader, which is between two transactions, have what is there now."""
        usable = self.get_usable()
        if "found" not in c.info or c.info["found"] != usable:
            self._attach(c, usable)

    def _attach(self, c: Connection, usable: Identity | None) -> None:
        if "found" in c.info:
            c.exec_driver_sql("DETACH found")
            del c.info["found"]
        if usable is not None:
            try:
                attach_index(c.exec_driver_sql, self.path)
            except (DBAPIError, ValueError) as error:
                self.disable(usable, error)
                usable = None
        if usable is None:
            c.exec_driver_sql("PRAGMA query_only=OFF")
            attach_empty(c.exec_driver_sql)
            c.exec_driver_sql("PRAGMA query_only=ON")
        c.info["found"] = usable

    def disable(self, file: Identity | None, error: Exception) -> None:
        """Use this file no more."""
        self._bad, self.why = file, str(getattr(error, "orig", error))

    def enable(self) -> None:
        """Use the file that is there now."""
        self._bad = self.why = None


def remove_mismatched(database: Path) -> str | None:
    """Take away an index that is not of this database as it is now, such as that of a newer one which an older copy replaced; why.

    Before anything is written: once its numbers are given out again nobody could tell."""
    path = get_index_path(database)
    if get_identity(path) is None:
        return None
    why = _find_mismatch(database, path)
    if why:
        with suppress(OSError):
            remove_index(path)
    return why


def _find_mismatch(database: Path, path: Path) -> str | None:
    try:
        with closing(sqlite3.connect(read_only_uri(database), uri=True, timeout=BUSY_SECONDS)) as c:
            attach_index(c.execute, path)
            fits = c.execute(_MATCHES_DATABASE).fetchone()
    except (sqlite3.Error, ValueError) as error:
        return str(error)
    return None if fits else "it is not of the database as it is now"


_MATCHES_DATABASE = """
SELECT 1 FROM about WHERE mark = (SELECT value FROM counters WHERE name = 'search') AND place >= (SELECT max(place) - 1 FROM about)
AND coalesce((SELECT max(id) FROM search_content), 0) <= coalesce((SELECT value FROM counters WHERE name = 'task-number'), 0)
"""
"""Of all marks but the last two the batches are in the database; and it has given out every number that is indexed."""


# --- the writer ---------------------------------------------------------------------------------------------------------------------


class IndexWriter:
    """Writes an index, by a connection of its own, in a thread of its own. Raises sqlite3.Error and OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.identity: Identity | None = None
        """The file that it has open."""
        self._c: sqlite3.Connection | None = None

    def create(self) -> int:
        """An empty index in place of whatever there is; its mark."""
        self.close()
        new, mark = self.path.with_name(f"{self.path.name}.new"), make_mark()
        remove_index(new)
        remove_index(self.path)
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with closing(sqlite3.connect(existing_uri(new), uri=True, isolation_level=None)) as c:
            c.execute("PRAGMA journal_mode=WAL")
            with _transaction(c):
                _create_tables(c, mark)
        os.replace(new, self.path)
        return mark

    def store(self, batch: IndexBatch, text_of: TextOf) -> None:
        """Store a batch, in one transaction."""
        texts = [(row.number, text_of(row)) for row in batch.rows]
        with _transaction(self._open_current()) as c:
            write_batch(c, batch, texts)

    def merge(self) -> bool:
        """A step of merging what was stored; False when there is none to do."""
        c = self._open_current()
        before = c.total_changes
        c.execute("INSERT INTO search (search, rank) VALUES ('merge', ?)", (MERGE_PAGES,))
        return c.total_changes - before > 1

    def close(self) -> None:
        """Let go of the file."""
        if self._c is not None:
            self._c.close()
        self._c = self.identity = None

    def _open_current(self) -> sqlite3.Connection:
        """The connection to the file that is there now."""
        now = get_identity(self.path)
        if self._c is None or self.identity != now:
            self.close()
            self._c, self.identity = _connect(self.path), now
        return self._c


def _connect(path: Path) -> sqlite3.Connection:
    c = sqlite3.connect(existing_uri(path), uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    for pragma in ("synchronous=NORMAL", "journal_size_limit=4194304", "temp_store=MEMORY", "cache_size=-8192"):
        c.execute(f"PRAGMA {pragma}")
    return c


@contextmanager
def _transaction(c: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    c.execute("BEGIN IMMEDIATE")
    try:
        yield c
        c.execute("COMMIT")
    except BaseException:
        if c.in_transaction:
            c.execute("ROLLBACK")
        raise


def _create_tables(c: sqlite3.Connection, mark: int) -> None:
    for table in TABLES:
        c.execute(table.format(db="main"))
    c.execute("INSERT INTO search (search, rank) VALUES ('automerge', 0)")
    c.execute(INSERT_FIRST_MARK, (mark,))
    c.execute(f"PRAGMA user_version={FORMAT}")


def write_batch(c: sqlite3.Connection, batch: IndexBatch, texts: list[tuple[int, str]]) -> None:
    """Write a batch into the tables of an index."""
    changed, (place, upto, _) = json.dumps(batch.changed), batch.known
    c.execute("DELETE FROM search WHERE rowid IN (SELECT value FROM json_each(?))", (changed,))
    c.execute("DELETE FROM search WHERE rowid > ?", (upto,))  # of a batch of which the database was never told
    c.executemany("INSERT INTO search (rowid, text) VALUES (?, ?)", [(number, text + TEXT_END) for number, text in texts])
    if batch.mark is not None:
        c.execute("DELETE FROM about WHERE place > ? OR place <= ?", (place, place + 1 - KEPT_MARKS))
        c.execute("INSERT INTO about VALUES (?, ?, ?, ?)", (place + 1, batch.mark, upto, changed))
