"""Detection of unreadable values: invalid JSON, wrong JSON types, invalid times.

SQLite accepts any text in these columns. A query selects suspicious rows; Python, which reads the
values, decides.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import JSON, Column, Connection, Table

from app.translation import tr
from db import raw_sql, schema, timestamps

RunQuery = Callable[[str], Iterable[Any]]
"""Function that returns the rows of a query."""
DocumentChecks = Mapping[tuple[str, str], Callable[[Any], object]]
"""Further checks by table and column: they raise ValueError for a meaningless document."""
NO_CHECKS: DocumentChecks = MappingProxyType({})

MAPPINGS = frozenset({
    ("tasks", "parameters"), ("tasks", "tags"), ("tasks", "env"), ("tasks", "launch"),
    ("instances", "tags"),
    ("environments", "variables"), ("templates", "schema"), ("templates", "parameters"),
    ("slas", "conditions"), ("schedules", "task"), ("schedules", "context"),
    ("deliveries", "action"), ("deliveries", "payload"),
})  # fmt: skip
"""Documents that must be JSON objects."""


class UnreadableValue(NamedTuple):
    """A value that cannot be read; `key` and `value` find its row, as does `rowid`."""

    table: str
    column: str
    rowid: int
    key: str
    value: object

    def __str__(self) -> str:
        return tr(
            "{column} cannot be read where {key} = {value}",
            column=f"{self.table}.{self.column}",
            key=self.key,
            value=repr(self.value),
        )


def describe_unreadable(run_query: RunQuery, judges: DocumentChecks = NO_CHECKS) -> list[str]:
    """Return the unreadable values, one line for each table and column."""
    firsts: dict[tuple[str, str], UnreadableValue] = {}
    counts = Counter[tuple[str, str]]()
    for value in find_unreadable(run_query, judges):
        firsts.setdefault(value[:2], value)
        counts[value[:2]] += 1
    return [
        str(value)
        if counts[place] == 1
        else tr("{first} (and {more:,} more)", first=value, more=counts[place] - 1)
        for place, value in firsts.items()
    ]


def find_first_unreadable(c: Connection, judges: DocumentChecks) -> UnreadableValue | None:
    """Return the first unreadable value of a database, or None."""
    return next(find_unreadable(partial(raw_sql.fetch_tuples, c), judges), None)


def find_unreadable(
    run_query: RunQuery,
    judges: DocumentChecks = NO_CHECKS,
    of: str = "main",
    tables: Iterable[Table] = schema.metadata.sorted_tables,
) -> Iterator[UnreadableValue]:
    """Yield the unreadable values of `tables` in the attached database `of`.

    An earlier version may lack some columns. The WITHOUT ROWID tables hold figures only.
    """
    for table in tables:
        existing = {
            row[0] for row in run_query(f"SELECT name FROM pragma_table_info('{table}', '{of}')")
        }
        columns = [column for column in _list_checked(table) if column.name in existing]
        if not columns or not table.dialect_options["sqlite"]["with_rowid"]:
            continue
        keys = ("number", "name", *table.primary_key.columns.keys())
        key = next(name for name in keys if name in existing)
        names = ", ".join(f'"{name}"' for name in (key, *(column.name for column in columns)))
        suspicion = " OR ".join(_build_suspicion(column, judges) for column in columns)
        query = f"SELECT rowid, {names} FROM {of}.{table} WHERE {suspicion}"
        for rowid, key_value, *values in list(run_query(query)):
            for column, value in zip(columns, values, strict=True):
                if value is not None and not _is_readable(column, value, judges):
                    yield UnreadableValue(table.name, column.name, rowid, key, key_value)


def _list_checked(table: Table) -> list[Column[Any]]:
    """Return the documents and times of a table, but no document of its primary key."""
    return [
        column
        for column in table.columns
        if column.type is schema.Time or isinstance(column.type, JSON) and not column.primary_key
    ]


def _is_readable(column: Column[Any], value: Any, judges: DocumentChecks) -> bool:
    """Return True if Python reads the value. Python also accepts infinite numbers."""
    if column.type is schema.Time:
        return timestamps.is_time(value)
    place = (column.table.name, column.name)
    try:
        # SQLite stores a numeric document as a number
        found = value if isinstance(value, int | float) else json.loads(value)
        if place in judges:
            judges[place](found)
    except (ValueError, TypeError, RecursionError):
        return False
    return isinstance(found, dict) or place not in MAPPINGS


def _build_suspicion(column: Column[Any], judges: DocumentChecks) -> str:
    """Return a condition that includes all unreadable values of a column."""
    name, place = f'"{column.name}"', (column.table.name, column.name)
    if place in judges:
        return "1"
    if column.type is schema.Time:
        return (
            f"({name} IS NOT NULL AND ({name} NOT GLOB '{timestamps.TIME_GLOB}'"
            f" OR date({name}) IS NOT substr({name}, 1, 10)))"
        )
    if place in MAPPINGS:
        return (
            f"CASE WHEN json_valid({name}) THEN json_type({name}) <> 'object'"
            f" ELSE {name} IS NOT NULL END"
        )
    return f"NOT json_valid({name})"
