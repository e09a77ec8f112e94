"""File of the search index, `search.db` beside the database.

`search.fts` describes its content. The index can be rebuilt from the tasks at any time. A separate
file keeps it out of the database's size, backups and writer, and any fault is cured by a rebuild.
Readers attach the file read-only as `found`. Without a usable file they attach an empty one in
memory, so that every statement works and nothing counts as indexed. The writer always has the empty
one: no change to a task depends on the file.

Measured at 1,000,000 tasks: 155 MB (288 MB with `detail = full`, and no faster) and 15 s to fill.
`columnsize = 0`, because nothing is ranked. Merges run in steps of `MERGE_PAGES` pages, each a
transaction, so FTS5 never works for long at a time.
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
from db.sqlite_files import make_existing_uri, make_read_only_uri

FORMAT = 2
"""Format of the file, its `user_version`."""
KEPT_MARKS = 32
"""Number of marks kept."""
MERGE_PAGES = 16
"""Pages merged in one transaction."""
BUSY_SECONDS = 10.0
"""Seconds to wait for another program's lock."""

TABLES = (
    (
        "CREATE VIRTUAL TABLE {db}.search USING fts5(text, tokenize = 'trigram case_sensitive 1',"
        " detail = none, columnsize = 0)"
    ),
    "CREATE VIRTUAL TABLE {db}.terms USING fts5vocab(search, row)",
    (
        "CREATE TABLE {db}.about (place INTEGER PRIMARY KEY, mark INTEGER NOT NULL, upto INTEGER"
        " NOT NULL, changed TEXT NOT NULL)"
    ),
)
INSERT_FIRST_MARK = "INSERT INTO about VALUES (1, ?, 0, '[]')"

Execute = Callable[..., Any]
"""Function that executes a statement with its values on a connection."""
Identity = tuple[int, int]
"""Device and inode of a file."""


def get_index_path(database: Path) -> Path:
    """Return the path of a database's index."""
    return database.with_name("search.db")


def get_identity(path: Path) -> Identity | None:
    """Return device and inode of the file at a path, or None."""
    try:
        search_index = os.stat(path)
    except OSError:
        return None
    return search_index.st_dev, search_index.st_ino


def remove_index(path: Path) -> None:
    """Remove an index. Raise OSError.

    Its WAL goes last: a file without its WAL would look usable.
    """
    sqlite_files.remove_database(path)


# --- readers --------------------------------------------------------------------------------


def attach_index(execute: Execute, path: Path) -> None:
    """Attach the index at `path`.

    Raise the driver's errors, or ValueError for another format; then nothing is attached.
    """
    execute("ATTACH ? AS found", (make_read_only_uri(path),))
    search_index = execute("PRAGMA found.user_version").fetchone()[0]
    if search_index != FORMAT:
        execute("DETACH found")
        raise ValueError(f"it has the format {search_index}, this program {FORMAT}")


def attach_empty(execute: Execute) -> None:
    """Attach an empty index in memory."""
    execute("ATTACH ':memory:' AS found")
    for table in TABLES:
        execute(table.format(db="found"))


class AttachedIndex:
    """The search index as attached by readers: the current file, while it is usable."""

    def __init__(self, path: Path, why: str | None = None) -> None:
        self.path = path
        self.why = why
        """Reason why the file is not usable."""
        self._bad: Identity | None = None

    def get_usable(self) -> Identity | None:
        """Return the identity of the file, unless it was disabled."""
        now = get_identity(self.path)
        return None if now == self._bad else now

    def attach_current(self, c: Connection) -> None:
        """Attach the current file to a reader between two transactions."""
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
        """Stop using a file."""
        self._bad, self.why = file, str(getattr(error, "orig", error))

    def enable(self) -> None:
        """Use the current file again."""
        self._bad = self.why = None


def remove_mismatched(database: Path) -> str | None:
    """Remove an index that does not match the database; return the reason.

    Call it before any write: once numbers are assigned again, a mismatch cannot be detected. The
    cause may be an older copy of the database.
    """
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
        with closing(
            sqlite3.connect(make_read_only_uri(database), uri=True, timeout=BUSY_SECONDS)
        ) as c:
            attach_index(c.execute, path)
            fits = c.execute(_MATCHES_DATABASE).fetchone()
    except (sqlite3.Error, ValueError) as error:
        return str(error)
    return None if fits else "it does not match the database"


_MATCHES_DATABASE = """
SELECT 1 FROM about WHERE mark = (SELECT value FROM counters WHERE name = 'search')
  AND place >= (SELECT max(place) - 1 FROM about)
  AND coalesce((SELECT max(id) FROM search_content), 0)
    <= coalesce((SELECT value FROM counters WHERE name = 'task-number'), 0)
"""
"""Condition for a match: the database's mark is one of the latest two in the index, and the
database has assigned every indexed number."""


# --- writer ---------------------------------------------------------------------------------


class IndexWriter:
    """Writer of the search index, with its own connection and thread.

    Its methods raise sqlite3.Error and OSError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.identity: Identity | None = None
        """Identity of the open file."""
        self._c: sqlite3.Connection | None = None

    def create(self) -> int:
        """Replace the file by an empty index and return its mark."""
        self.close()
        new, mark = self.path.with_name(f"{self.path.name}.new"), make_mark()
        remove_index(new)
        remove_index(self.path)
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with closing(sqlite3.connect(make_existing_uri(new), uri=True, isolation_level=None)) as c:
            c.execute("PRAGMA journal_mode=WAL")
            with _transaction(c):
                _create_tables(c, mark)
        os.replace(new, self.path)
        return mark

    def store(self, batch: IndexBatch, text_of: TextOf) -> None:
        """Store a batch in one transaction."""
        texts = [(row.number, text_of(row)) for row in batch.rows]
        with _transaction(self._open_current()) as c:
            write_batch(c, batch, texts)

    def merge(self) -> bool:
        """Run one merge step. Return False if there is nothing to merge."""
        c = self._open_current()
        before = c.total_changes
        c.execute("INSERT INTO search (search, rank) VALUES ('merge', ?)", (MERGE_PAGES,))
        return c.total_changes - before > 1

    def close(self) -> None:
        if self._c is not None:
            self._c.close()
        self._c = self.identity = None

    def _open_current(self) -> sqlite3.Connection:
        """Return a connection to the current file."""
        now = get_identity(self.path)
        if self._c is None or self.identity != now:
            self.close()
            self._c, self.identity = _connect(self.path), now
        return self._c


def _connect(path: Path) -> sqlite3.Connection:
    c = sqlite3.connect(
        make_existing_uri(path),
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    for pragma in (
        "synchronous=NORMAL",
        "journal_size_limit=4194304",
        "temp_store=MEMORY",
        "cache_size=-2048",  # 8 MiB save no CPU, and stay in memory
    ):
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
    """Write a batch into the index tables."""
    changed, (place, upto, _) = json.dumps(batch.changed), batch.known
    c.execute("DELETE FROM search WHERE rowid IN (SELECT value FROM json_each(?))", (changed,))
    # texts of a batch the database has not recorded
    c.execute("DELETE FROM search WHERE rowid > ?", (upto,))
    c.executemany(
        "INSERT INTO search (rowid, text) VALUES (?, ?)",
        [(number, text + TEXT_END) for number, text in texts],
    )
    if batch.mark is not None:
        c.execute(
            "DELETE FROM about WHERE place > ? OR place <= ?", (place, place + 1 - KEPT_MARKS)
        )
        c.execute("INSERT INTO about VALUES (?, ?, ?, ?)", (place + 1, batch.mark, upto, changed))
