"""Salvage of a damaged database: every readable row, copied to another file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from db import raw_sql
from db.restore.merge.rows import quote
from db.sqlite_files import make_read_only_uri

_REQUIRED = (
    "pools", "queues", "templates", "slas", "environments", "tasks", "dependencies", "instances",
    "events", "counters", "operations",
    "forgotten", "replicas", "home",
)  # fmt: skip
_SALVAGED = (*_REQUIRED, "groups")
REQUIRED_TABLES = frozenset(_REQUIRED)
"""Tables that every version has and a restore reads."""
DESCRIPTIVE_COLUMNS = {
    "tasks": ("name", "submitted_by", "held_by", "reason"),
    "instances": ("logs", "reason", "stopped_by"),
    "events": ("by", "note"),
    "templates": ("description",), "queues": ("description",), "pools": ("description",),
}  # fmt: skip
"""Descriptive columns. A damaged byte in them does not spoil the row; all other columns decide what
runs, and when."""
MAX_READS = 20_000
"""Maximum number of reads in a damaged table."""


def salvage(present: Path | None, shape: Path, saved: Path) -> None:
    """Copy every readable row of `present` to `saved`.

    The tables of `saved` have the columns of `shape` and no constraints.
    """
    with closing(sqlite3.connect(saved, isolation_level=None)) as to:
        to.execute("PRAGMA journal_mode=OFF")
        columns = {}
        with closing(sqlite3.connect(make_read_only_uri(shape), uri=True)) as like:
            for table in _SALVAGED:
                columns[table] = [row[1] for row in like.execute(f"PRAGMA table_info({table})")]
                to.execute(f"CREATE TABLE {table} ({', '.join(map(quote, columns[table]))})")
        c = None if present is None else _open_damaged(present)
        if c is None:
            return
        with closing(c):
            for table in _SALVAGED:
                _save_table(c, to, table, columns[table])


def _open_damaged(present: Path) -> sqlite3.Connection | None:
    """Return a connection to a damaged database, or None."""
    c = None
    with suppress(*raw_sql.DRIVER_ERRORS):
        c = sqlite3.connect(make_read_only_uri(present), uri=True, timeout=10, isolation_level=None)
        c.text_factory = _decode_text
        c.execute("PRAGMA writable_schema=ON")  # one damaged definition must not hide other tables
        c.execute("BEGIN")  # one lock for thousands of reads
    return c


class _InvalidText(bytes):
    """Stored text that is not UTF-8."""


def _decode_text(stored: bytes) -> str | _InvalidText:
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return _InvalidText(stored)


def _clean_row(row: Sequence[Any], telling: Sequence[bool]) -> list[Any] | None:
    """Return the row with U+FFFD for invalid text in descriptive columns.

    Return None if another column is invalid.
    """
    if any(
        isinstance(value, _InvalidText) and not tells
        for value, tells in zip(row, telling, strict=True)
    ):
        return None
    return [
        value.decode("utf-8", "replace") if isinstance(value, _InvalidText) else value
        for value in row
    ]


def _save_table(
    c: sqlite3.Connection, to: sqlite3.Connection, table: str, wanted: list[str]
) -> None:
    """Copy the readable rows of a table. Raise sqlite3.Error for a failed write."""
    columns, found = _find_readable_columns(c, table, wanted)
    if not found:
        return
    names = ", ".join(map(quote, found))
    left = f"SELECT {columns} FROM {table} NOT INDEXED WHERE rowid BETWEEN ? AND ? ORDER BY rowid"
    insert = f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(found))})"
    telling = [name in DESCRIPTIVE_COLUMNS.get(table, ()) for name in found]
    to.execute("BEGIN")
    for rows in _read_pieces(
        c, f"WITH found ({names}) AS ({left}) SELECT * FROM found", _find_last_rowid(c, table)
    ):
        to.executemany(insert, [row for row in (_clean_row(row, telling) for row in rows) if row])
    to.execute("COMMIT")


def _find_readable_columns(
    c: sqlite3.Connection, table: str, wanted: list[str]
) -> tuple[str, list[str]]:
    """Return the columns to select, and their names.

    With a damaged name but the right number of columns, select all by position. SQLite reports a
    damaged schema once and knows the rest afterwards, hence two attempts.
    """
    present_names: list[bytes] = []
    for _ in range(2):
        with suppress(*raw_sql.DRIVER_ERRORS):
            present_names = [
                name
                for (name,) in c.execute(
                    "SELECT CAST(name AS BLOB) FROM pragma_table_info(?)", (table,)
                )
            ]
    found = [name for name in wanted if name.encode() in present_names]
    if len(found) < len(wanted) == len(present_names):
        return "*", wanted
    return ", ".join(map(quote, found)), found


def _find_last_rowid(c: sqlite3.Connection, table: str) -> int:
    """Return the last rowid, or a limit for the search."""
    try:
        return min(
            c.execute(f"SELECT max(rowid) FROM {table}").fetchone()[0] or 0, MAX_READS * 4096
        )
    except raw_sql.DRIVER_ERRORS:
        return 1 << 24


def _read_pieces(c: sqlite3.Connection, query: str, last: int) -> Iterator[list[tuple[Any, ...]]]:
    """Yield the rows of a table in pieces.

    An unreadable piece is halved until one row remains.
    """
    left, tries = [(at, min(at + 4095, last)) for at in range(0, last + 1, 4096)][::-1], 0
    while left and tries < MAX_READS:
        low, high = left.pop()
        tries += 1
        try:
            yield c.execute(query, (low, high)).fetchall()
        except (*raw_sql.DRIVER_ERRORS, OverflowError):
            if low < high:
                half = (low + high) // 2
                left += [(half + 1, high), (low, half)]
