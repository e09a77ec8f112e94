"""How large the database is and what its indexes are worth: measured, read only, nothing is changed.

Sizes come from `dbstat`, which reads every page of the file once; where SQLite was built without it they are estimated from the rows.
SQLite counts the hits of its own cache, but tells them only to C; of what the process then reads from files, `reading` says how much
the system had in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import psutil
from sqlalchemy import Connection

from db import raw_sql
from db.maintenance import query_plans, slow_queries

SAMPLE = 1000
"""Rows that an estimate looks at."""
OVERHEAD = 12
"""Bytes that a row or an entry takes beside its values, in an estimate."""
MIN_ROWS = 1000
"""Rows from which on a table is large enough that an index could be missing."""

_SIZES = (
    "SELECT name, count(*) AS pages, sum(pgsize) AS bytes, sum(unused) AS unused, "
    "sum(CASE WHEN pagetype = 'leaf' THEN ncell ELSE 0 END) AS leaves, sum(ncell) AS cells FROM dbstat GROUP BY name"
)


class TableSize(NamedTuple):
    """A table: rows, bytes of its own and of all its indexes, and how many of its own bytes are unused."""

    name: str
    rows: int
    bytes: int
    index_bytes: int
    unused: int


class IndexUse(NamedTuple):
    """An index: bytes, statements met whose plan has it, and what else it is for: `unique`, `foreign key`, or None."""

    name: str
    table: str
    columns: tuple[str, ...]
    bytes: int
    used: int
    serves: str | None

    @property
    def unused(self) -> bool:
        """Whether nothing needs it that we know of."""
        return not self.used and self.serves is None


class MissingIndex(NamedTuple):
    """Slow statements walk through this table, and their conditions name these columns."""

    table: str
    columns: tuple[str, ...]
    statements: int


@dataclass(frozen=True, slots=True)
class Stats:
    """All of it. `exact`: measured, else estimated. `used_since`: when statements began to be noted (None: never yet)."""

    exact: bool
    page_bytes: int
    pages: int
    free_pages: int
    tables: Sequence[TableSize]
    indexes: Sequence[IndexUse]
    missing: Sequence[MissingIndex]
    used_since: str | None

    @property
    def fragmentation(self) -> float:
        """The part of the file, 0 to 1, that holds nothing: free pages, and what is unused in the tables' pages."""
        lost = self.free_pages * self.page_bytes + sum(table.unused for table in self.tables)
        return lost / (self.pages * self.page_bytes) if self.pages else 0.0


class _Size(NamedTuple):
    bytes: int
    unused: int
    rows: int


class ReadCounts(NamedTuple):
    """Bytes that this process has read since it began, and those of them that had to come from a disk."""

    bytes: int
    from_disk: int

    @property
    def hits(self) -> float | None:
        """The part, 0 to 1, that was in the system's cache; None before anything was read."""
        return max(0.0, 1 - self.from_disk / self.bytes) if self.bytes else None


def read_counts() -> ReadCounts | None:
    """How much this process has read, its database and what else it looks at; None where the system does not tell (proc(5), `io`)."""
    try:
        found = psutil.Process().io_counters()
    except (psutil.Error, OSError):
        return None
    return ReadCounts(found.read_chars, found.read_bytes)


def read_stats(c: Connection) -> Stats:
    """Look at all of the database: seconds, when it is large."""
    made = _list_tables(c)
    measured = _measure_sizes(c, [name for name, keyed in made.items() if keyed])
    sizes = measured if measured is not None else _estimate_sizes(c, made)
    used, since = slow_queries.read_index_usage(c)
    indexes = [found for table in made for found in _measure_indexes(c, table, sizes, used)]
    weights: Counter[str] = Counter()
    for index in indexes:
        weights[index.table] += index.bytes
    tables = [TableSize(name, sizes[name].rows, sizes[name].bytes, weights[name], sizes[name].unused) for name in made]
    return Stats(
        measured is not None, _read_pragma(c, "page_size"), _read_pragma(c, "page_count"), _read_pragma(c, "freelist_count"),
        sorted(tables, key=lambda table: (-table.bytes - table.index_bytes, table.name)),
        sorted(indexes, key=lambda index: (-index.bytes, index.name)), _find_missing(c, tables), since,
    )  # fmt: skip


def _read_pragma(c: Connection, name: str) -> int:
    return raw_sql.fetch_value(c, f"PRAGMA main.{name}")


def _list_tables(c: Connection) -> dict[str, bool]:
    """{table: whether it is kept by its key, without rowids}."""
    rows = raw_sql.fetch_rows(c, "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%'")
    return {row.name: bool(row.wr) for row in sorted(rows)}


def _measure_sizes(c: Connection, keyed: Sequence[str]) -> Mapping[str, _Size] | None:
    """{table or index: size}, or None where there is no dbstat. Only what is kept by its key has rows in inner pages, too."""
    if not _has_dbstat(c):
        return None
    rows = raw_sql.fetch_rows(c, _SIZES)
    return {row.name: _Size(row.bytes, row.unused, row.cells if row.name in keyed else row.leaves) for row in rows}


def _has_dbstat(c: Connection) -> bool:
    return bool(raw_sql.fetch_rows(c, "SELECT 1 FROM pragma_module_list WHERE name = 'dbstat'"))


def _estimate_sizes(c: Connection, tables: Iterable[str]) -> Mapping[str, _Size]:
    """The same by counting rows and weighing the values of some."""
    found = {}
    for table in tables:
        rows = raw_sql.fetch_value(c, f'SELECT count(*) FROM "{table}"')
        found[table] = _Size(rows * _estimate_width(c, table, _list_columns(c, table)), 0, rows)
        for index in _list_indexes(c, table):
            found[index.name] = _Size(rows * _estimate_width(c, table, _list_index_columns(c, index.name)), 0, rows)
    return found


def _estimate_width(c: Connection, table: str, columns: Sequence[str]) -> int:
    """Bytes of a row, or of an entry of an index."""
    values = " + ".join([str(OVERHEAD), *(f'coalesce(length(CAST("{name}" AS BLOB)), 0)' for name in columns)])
    return int(raw_sql.fetch_value(c, f'SELECT avg({values}) FROM (SELECT * FROM "{table}" LIMIT {SAMPLE})') or 0)


def _list_columns(c: Connection, table: str) -> tuple[str, ...]:
    return tuple(raw_sql.fetch_column(c, "SELECT name FROM pragma_table_info(?)", (table,)))


def _list_indexes(c: Connection, table: str) -> list[Any]:
    """The indexes of a table: name, whether each entry is the `single` one of its kind, whether it is `partial`."""
    return raw_sql.fetch_rows(c, 'SELECT name, "unique" AS single, partial FROM pragma_index_list(?)', (table,))


def _list_index_columns(c: Connection, index: str) -> tuple[str, ...]:
    return tuple(raw_sql.fetch_column(c, "SELECT name FROM pragma_index_info(?) WHERE name IS NOT NULL ORDER BY seqno", (index,)))


def _measure_indexes(c: Connection, table: str, sizes: Mapping[str, _Size], used: Mapping[str, int]) -> Iterable[IndexUse]:
    foreign = set(raw_sql.fetch_column(c, 'SELECT "from" FROM pragma_foreign_key_list(?)', (table,)))
    for index in _list_indexes(c, table):
        if index.name in sizes:  # a table that is kept by its key has none of its own for it
            columns = _list_index_columns(c, index.name)
            serves = "unique" if index.single else "foreign key" if columns[:1] and columns[0] in foreign else None
            yield IndexUse(index.name, table, columns, sizes[index.name].bytes, used.get(index.name, 0), serves)


def _find_missing(c: Connection, tables: Sequence[TableSize]) -> list[MissingIndex]:
    """Indexes that would spare slow statements a walk through a large table."""
    columns = {table.name: _list_columns(c, table.name) for table in tables if table.rows >= MIN_ROWS}
    partial = {index.name for table in columns for index in _list_indexes(c, table) if index.partial}
    found = query_plans.find_missing_indexes(((row.statement, row.plan) for row in slow_queries.list_slow(c)), columns, partial)
    return [MissingIndex(table, asked, many) for (table, asked), many in sorted(found.items(), key=lambda item: -item[1])]
