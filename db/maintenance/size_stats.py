"""Sizes of the database, its tables and its indexes. Read-only.

Sizes come from `dbstat`, which reads every page of the file once. An SQLite without dbstat gets
estimates from the rows. SQLite reports its cache hits only to C; `read_counts` returns how much of
this process's reads the system's cache served.
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
"""Rows sampled for an estimate."""
OVERHEAD = 12
"""Estimated bytes of a row or entry beside its values."""
MIN_ROWS = 1000
"""Rows from which a table is worth an index."""

_SIZES = (
    "SELECT name, count(*) AS pages, sum(pgsize) AS bytes, sum(unused) AS unused, sum(CASE WHEN"
    " pagetype = 'leaf' THEN ncell ELSE 0 END) AS leaves, sum(ncell) AS cells FROM dbstat GROUP BY"
    " name"
)


class TableSize(NamedTuple):
    """Size of a table in bytes: its own, its indexes', and the unused part of its own."""

    name: str
    rows: int
    bytes: int
    index_bytes: int
    unused: int


class IndexUse(NamedTuple):
    """Size and use of an index.

    `used` counts statements whose plan has the index; `serves` is `unique`, `foreign key` or None.
    """

    name: str
    table: str
    columns: tuple[str, ...]
    bytes: int
    used: int
    serves: str | None

    @property
    def unused(self) -> bool:
        """True if nothing known needs the index."""
        return not self.used and self.serves is None


class MissingIndex(NamedTuple):
    """Columns of a table that slow statements scan for."""

    table: str
    columns: tuple[str, ...]
    statements: int


@dataclass(frozen=True, slots=True)
class Stats:
    """All sizes.

    `exact`: measured, else estimated. `used_since`: start of counting index use (None: never).
    """

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
        """Unused part of the file, 0 to 1.

        Free pages, and unused bytes of the tables' pages.
        """
        lost = self.free_pages * self.page_bytes + sum(table.unused for table in self.tables)
        return lost / (self.pages * self.page_bytes) if self.pages else 0.0


class _Size(NamedTuple):
    bytes: int
    unused: int
    rows: int


class ReadCounts(NamedTuple):
    """Bytes this process has read since its start, and the bytes read from disk."""

    bytes: int
    from_disk: int

    @property
    def hits(self) -> float | None:
        """Part served by the system's cache, 0 to 1; None before the first read."""
        return max(0.0, 1 - self.from_disk / self.bytes) if self.bytes else None


def read_counts() -> ReadCounts | None:
    """Return the bytes this process has read, from all files.

    Return None if the system does not tell (proc(5), `io`).
    """
    try:
        found = psutil.Process().io_counters()
    except (psutil.Error, OSError):
        return None
    return ReadCounts(found.read_chars, found.read_bytes)


def read_stats(c: Connection) -> Stats:
    """Measure the whole database. Takes seconds for a large one."""
    made = _list_tables(c)
    measured = _measure_sizes(c, [name for name, keyed in made.items() if keyed])
    sizes = measured if measured is not None else _estimate_sizes(c, made)
    used, since = slow_queries.read_index_usage(c)
    indexes = [found for table in made for found in _measure_indexes(c, table, sizes, used)]
    weights: Counter[str] = Counter()
    for index in indexes:
        weights[index.table] += index.bytes
    tables = [
        TableSize(name, sizes[name].rows, sizes[name].bytes, weights[name], sizes[name].unused)
        for name in made
    ]
    return Stats(
        measured is not None, _read_pragma(c, "page_size"), _read_pragma(c, "page_count"),
        _read_pragma(c, "freelist_count"),
        sorted(tables, key=lambda table: (-table.bytes - table.index_bytes, table.name)),
        sorted(indexes, key=lambda index: (-index.bytes, index.name)), _find_missing(c, tables),
        since,
    )  # fmt: skip


def _read_pragma(c: Connection, name: str) -> int:
    return raw_sql.fetch_value(c, f"PRAGMA main.{name}")


def _list_tables(c: Connection) -> dict[str, bool]:
    """Return {table: True for a WITHOUT ROWID table}."""
    rows = raw_sql.fetch_rows(
        c,
        "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name"
        " NOT LIKE 'sqlite_%'",
    )
    return {row.name: bool(row.wr) for row in sorted(rows)}


def _measure_sizes(c: Connection, keyed: Sequence[str]) -> Mapping[str, _Size] | None:
    """Return {table or index: size}, or None without dbstat.

    Only WITHOUT ROWID tables also have rows in inner pages.
    """
    if not _has_dbstat(c):
        return None
    rows = raw_sql.fetch_rows(c, _SIZES)
    return {
        row.name: _Size(row.bytes, row.unused, row.cells if row.name in keyed else row.leaves)
        for row in rows
    }


def _has_dbstat(c: Connection) -> bool:
    return bool(raw_sql.fetch_rows(c, "SELECT 1 FROM pragma_module_list WHERE name = 'dbstat'"))


def _estimate_sizes(c: Connection, tables: Iterable[str]) -> Mapping[str, _Size]:
    """Estimate sizes by counting rows and weighing a sample of values."""
    found = {}
    for table in tables:
        rows = raw_sql.fetch_value(c, f'SELECT count(*) FROM "{table}"')
        found[table] = _Size(rows * _estimate_width(c, table, _list_columns(c, table)), 0, rows)
        for index in _list_indexes(c, table):
            found[index.name] = _Size(
                rows * _estimate_width(c, table, _list_index_columns(c, index.name)), 0, rows
            )
    return found


def _estimate_width(c: Connection, table: str, columns: Sequence[str]) -> int:
    """Return the average bytes of a row, or of an index entry."""
    values = " + ".join(
        [str(OVERHEAD), *(f'coalesce(length(CAST("{name}" AS BLOB)), 0)' for name in columns)]
    )
    return int(
        raw_sql.fetch_value(
            c, f'SELECT avg({values}) FROM (SELECT * FROM "{table}" LIMIT {SAMPLE})'
        )
        or 0
    )


def _list_columns(c: Connection, table: str) -> tuple[str, ...]:
    return tuple(raw_sql.fetch_column(c, "SELECT name FROM pragma_table_info(?)", (table,)))


def _list_indexes(c: Connection, table: str) -> list[Any]:
    """Return the indexes of a table: name, `single` (unique), `partial`."""
    return raw_sql.fetch_rows(
        c, 'SELECT name, "unique" AS single, partial FROM pragma_index_list(?)', (table,)
    )


def _list_index_columns(c: Connection, index: str) -> tuple[str, ...]:
    return tuple(
        raw_sql.fetch_column(
            c,
            "SELECT name FROM pragma_index_info(?) WHERE name IS NOT NULL ORDER BY seqno",
            (index,),
        )
    )


def _measure_indexes(
    c: Connection, table: str, sizes: Mapping[str, _Size], used: Mapping[str, int]
) -> Iterable[IndexUse]:
    foreign = set(
        raw_sql.fetch_column(c, 'SELECT "from" FROM pragma_foreign_key_list(?)', (table,))
    )
    for index in _list_indexes(c, table):
        if index.name in sizes:  # a WITHOUT ROWID table has no separate key index
            columns = _list_index_columns(c, index.name)
            serves = (
                "unique"
                if index.single
                else "foreign key"
                if columns[:1] and columns[0] in foreign
                else None
            )
            yield IndexUse(
                index.name, table, columns, sizes[index.name].bytes, used.get(index.name, 0), serves
            )


def _find_missing(c: Connection, tables: Sequence[TableSize]) -> list[MissingIndex]:
    """Return the indexes that would save slow statements a scan of a large table."""
    columns = {
        table.name: _list_columns(c, table.name) for table in tables if table.rows >= MIN_ROWS
    }
    partial = {
        index.name for table in columns for index in _list_indexes(c, table) if index.partial
    }
    found = query_plans.find_missing_indexes(
        ((row.statement, row.plan) for row in slow_queries.list_slow(c)), columns, partial
    )
    return [
        MissingIndex(table, asked, many)
        for (table, asked), many in sorted(found.items(), key=lambda item: -item[1])
    ]
