"""Sizes of the database, its tables and its indexes, and the use of the indexes. Read-only.

Sizes come from `dbstat`, which reads every page of the file once. SQLite reports its cache hits
only to C; `read_counts` returns how much of this process's reads the system's cache served.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import psutil
from sqlalchemy import Connection

from db import raw_sql
from db.maintenance import query_plans, slow_queries
from db.statement_timer import BoundShape

MIN_ROWS = 1000
"""Rows from which a table is worth an index."""

HAS_DBSTAT = "SELECT 1 FROM pragma_module_list WHERE name = 'dbstat'"
"""Query with a row if this SQLite has dbstat."""

_MAIN = "t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite_%'"
_SIZES = (
    "SELECT name, sum(pgsize) AS bytes, sum(unused) AS unused, sum(CASE WHEN pagetype = 'leaf' THEN"
    " ncell ELSE 0 END) AS leaves, sum(ncell) AS cells FROM dbstat GROUP BY name"
)
_TABLES = f"SELECT t.name, t.wr AS is_keyed FROM pragma_table_list t WHERE {_MAIN}"
_COLUMNS = "SELECT name FROM pragma_table_info(?)"
_INDEXES = f"""
SELECT i.name, t.name AS "table", i.partial,
  (SELECT json_group_array(name) FROM (SELECT name FROM pragma_index_info(i.name)
    WHERE name IS NOT NULL ORDER BY seqno)) AS columns,
  CASE WHEN i."unique" THEN 'unique' WHEN EXISTS (
    SELECT 1 FROM pragma_foreign_key_list(t.name) f, pragma_index_info(i.name) first
    WHERE first.seqno = 0 AND first.name = f."from") THEN 'foreign key' END AS serves
FROM pragma_table_list t, pragma_index_list(t.name) i WHERE {_MAIN}
"""


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


class MissingIndex(NamedTuple):
    """Columns of a table that slow statements scan for."""

    table: str
    columns: tuple[str, ...]
    statements: int


class Stats(NamedTuple):
    """All sizes.

    `exact` is False if the SQLite in use has no dbstat: then no table and no index is known.
    """

    exact: bool
    page_bytes: int
    pages: int
    free_pages: int
    tables: Sequence[TableSize]
    indexes: Sequence[IndexUse]
    missing: Sequence[MissingIndex]

    @property
    def fragmentation(self) -> float:
        """Unused part of the file, 0 to 1.

        Free pages, and unused bytes of the tables' pages.
        """
        lost = self.free_pages * self.page_bytes + sum(table.unused for table in self.tables)
        return lost / (self.pages * self.page_bytes) if self.pages else 0.0


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


def read_stats(c: Connection, statements: Mapping[str, BoundShape]) -> Stats:
    """Measure the whole database. Takes seconds for a large one.

    `statements` are those that count as uses of an index.
    """
    exact = bool(raw_sql.fetch_rows(c, HAS_DBSTAT))
    sizes = {row.name: row for row in raw_sql.fetch_rows(c, _SIZES)} if exact else {}
    # the key of a WITHOUT ROWID table takes no pages
    indexes = [row for row in raw_sql.fetch_rows(c, _INDEXES) if row.name in sizes]
    weights: Counter[str] = Counter()
    for index in indexes:
        weights[index.table] += sizes[index.name].bytes
    tables = [
        # only WITHOUT ROWID tables also have rows in inner pages
        TableSize(name, size.cells if is_keyed else size.leaves, size.bytes, weights[name],
                  size.unused)
        for name, is_keyed in raw_sql.fetch_tuples(c, _TABLES) if (size := sizes.get(name))
    ]  # fmt: skip
    used = query_plans.count_index_uses(c, statements)
    uses = [
        IndexUse(row.name, row.table, tuple(json.loads(row.columns)), sizes[row.name].bytes,
                 used[row.name], row.serves)
        for row in indexes
    ]  # fmt: skip
    return Stats(
        exact, _read_pragma(c, "page_size"), _read_pragma(c, "page_count"),
        _read_pragma(c, "freelist_count"),
        sorted(tables, key=lambda table: (-table.bytes - table.index_bytes, table.name)),
        sorted(uses, key=lambda index: (-index.bytes, index.name)),
        _find_missing(c, tables, {row.name for row in indexes if row.partial}),
    )  # fmt: skip


def _read_pragma(c: Connection, name: str) -> int:
    return raw_sql.fetch_value(c, f"PRAGMA main.{name}")


def _find_missing(
    c: Connection, tables: Iterable[TableSize], partial: Collection[str]
) -> list[MissingIndex]:
    """Return the indexes that would save slow statements a scan of a large table."""
    columns = {
        table.name: raw_sql.fetch_column(c, _COLUMNS, (table.name,))
        for table in tables
        if table.rows >= MIN_ROWS
    }
    statements = ((row.statement, row.plan) for row in slow_queries.list_slow(c))
    found = query_plans.find_missing_indexes(statements, columns, partial)
    return [MissingIndex(*key, many) for key, many in found.most_common()]
