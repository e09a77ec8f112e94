"""Detection of unreadable values: invalid JSON, wrong JSON types, invalid times.

SQLite accepts any text in these columns. A query selects suspicious rows; Python, which reads the
values, decides.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import JSON, Column, Table

from app.translation import tr
from db import schema, timestamps
from db.backup import restore_tool as tool
from db.states import ACTIVE, ENDED, WAITING

RunQuery = Callable[[str], Iterable[Any]]
"""Function that returns the rows of a query."""

MAPPINGS = frozenset({
    ("tasks", "parameters"), ("tasks", "tags"), ("tasks", "env"), ("tasks", "launch"),
    ("instances", "tags"),
    ("environments", "variables"), ("templates", "schema"), ("templates", "parameters"),
    ("slas", "conditions"), ("schedules", "task"), ("schedules", "context"),
    ("deliveries", "action"), ("deliveries", "payload"),
})  # fmt: skip
"""Documents that must be JSON objects."""


def _build_status_condition(words: Iterable[str]) -> str:
    return f"status IN ({', '.join(sorted(repr(str(word)) for word in words))})"


HELD_BY = "taskdeck: "
"""Prefix of `held_by` for a task held as unreadable; the reason follows."""
NO_ENVIRONMENT = "null"
"""Stored value of a quarantined environment. No task can start in it."""
NOT_HELD = (
    f"NOT {_build_status_condition(ENDED)} AND coalesce(substr(held_by, 1, {len(HELD_BY)}), '') <>"
    f" '{HELD_BY}'"
)
"""Condition for unended tasks that are not held as unreadable."""
_ENVIRONMENT = (
    f"(variables <> '{NO_ENVIRONMENT}' OR EXISTS (SELECT 1 FROM main.tasks WHERE env_id ="
    f" environments.sha256 AND {NOT_HELD}))"
)
"""A quarantined environment was already reported. Such an environment counts again once a task
would start in it."""
IN_USE = {
    "tasks": _build_status_condition([*WAITING, "running"]),
    "instances": _build_status_condition(ACTIVE), "alerts": "status <> 'resolved'",
    "environments": _ENVIRONMENT, "pools": "1", "queues": "1", "slas": "1", "templates": "1",
    "replicas": "1", "silences": "1", "schedules": "1", "calendars": "1",
}  # fmt: skip
"""Rows read all the time, by table: one unreadable row would hide all others."""
SMALL_TABLES = {
    table: which
    for table, which in IN_USE.items()
    if table not in ("tasks", "instances", "environments")
}
"""Rows in use of tables that stay small."""
DocumentChecks = Mapping[tuple[str, str], Callable[[Any], object]]
"""Further checks by table and column: they raise ValueError for a meaningless document."""
NO_CHECKS: DocumentChecks = MappingProxyType({})
ALL = {
    table.name: "1"
    for table in schema.metadata.sorted_tables
    if table.dialect_options["sqlite"]["with_rowid"]
} | {"environments": _ENVIRONMENT}
"""Every row, except in the WITHOUT ROWID tables of figures, which are read by key."""
REPAIRABLE = {table: which for table, which in ALL.items() if table != "operations"}
"""Rows that may be rewritten; operations are append-only."""


class UnreadableRow(NamedTuple):
    """A row with unreadable values.

    `values` holds all its documents and times by column.
    """

    table: str
    row: int
    columns: tuple[str, ...]
    values: dict[str, Any]


def describe_unreadable(
    run_query: RunQuery, where: Mapping[str, str] = ALL, judges: DocumentChecks = NO_CHECKS
) -> list[str]:
    """Return the unreadable values, one line for each table and column."""
    many = Counter(
        (row.table, name)
        for row in find_unreadable(run_query, where, judges)
        for name in row.columns
    )
    return [
        tr(
            "{n:,} row of {table} without {type} in {name}"
            if n == 1
            else "{n:,} rows of {table} without {type} in {name}",
            n=n,
            table=table,
            type=_describe_type(table, name),
            name=name,
        )
        for (table, name), n in many.items()
    ]


def _describe_type(table: str, name: str) -> str:
    return "JSON" if is_document(schema.metadata.tables[table].columns[name]) else "a time"


def describe_image(
    path: Path, step: Callable[[], None], where: Mapping[str, str] = ALL
) -> list[str]:
    """Return `describe_unreadable` of a database file that no other process has open.

    `step` is called regularly and may raise to cancel. Raise sqlite3.Error.
    """
    with closing(tool.open_image(str(path))) as c:
        c.set_progress_handler(step, 100_000)
        return describe_unreadable(c.execute, where)


def find_unreadable(
    run_query: RunQuery,
    where: Mapping[str, str] = ALL,
    judges: DocumentChecks = NO_CHECKS,
    of: str = "main",
) -> Iterator[UnreadableRow]:
    """Yield the unreadable rows of the tables and conditions `where`.

    `of` is the attached database. An earlier version may lack some columns.
    """
    for name, condition in where.items():
        there = {
            row[0] for row in run_query(f"SELECT name FROM pragma_table_info('{name}', '{of}')")
        }
        columns = [
            column
            for column in list_checked_columns(schema.metadata.tables[name])
            if column.name in there
        ]
        suspicion = _build_row_suspicion(columns, judges)
        query = (
            f"SELECT rowid, {_quote_columns(columns)} FROM {of}.{name} WHERE ({suspicion}) AND"
            f" {condition}"
        )
        for row, *values in list(run_query(query)) if columns else ():
            found = list(zip(columns, values, strict=True))
            if wrong := tuple(
                c.name
                for c, value in found
                if value is not None and not _is_readable(c, value, judges)
            ):
                yield UnreadableRow(name, row, wrong, {c.name: value for c, value in found})


def list_checked_columns(table: Table) -> list[Column[Any]]:
    """Return the document and time columns of a table.

    In a primary key only times are checked; other key values are looked up, not read.
    """
    return [
        column
        for column in table.columns
        if column.type is schema.Time or is_document(column) and not column.primary_key
    ]


def is_document(column: Column[Any]) -> bool:
    """Return True for a JSON column, False for a time."""
    return isinstance(column.type, JSON)


def _is_readable(column: Column[Any], value: Any, judges: DocumentChecks) -> bool:
    return (
        _is_json(value, _get_key(column), judges)
        if is_document(column)
        else timestamps.is_time(value)
    )


def _is_json(value: Any, key: tuple[str, str], judges: DocumentChecks) -> bool:
    """Return True if Python reads the value. Python also accepts infinite numbers."""
    try:
        # SQLite stores a numeric document as a number
        found = value if isinstance(value, int | float) else json.loads(value)
        if key in judges:
            judges[key](found)
    except (ValueError, TypeError, RecursionError):
        return False
    return isinstance(found, dict) or key not in MAPPINGS


def _get_key(column: Column[Any]) -> tuple[str, str]:
    return column.table.name, column.name


def _build_row_suspicion(columns: list[Column[Any]], judges: DocumentChecks) -> str:
    """Return a condition that includes all rows with an unreadable value.

    Most times of a row are equal, so a time equal to the first one is not parsed again.
    """
    times = [f'"{column.name}"' for column in columns if not is_document(column)]
    return " OR ".join(
        f"({name} IS NOT {times[0]} AND ({suspicion}))" if name in times[1:] else suspicion
        for column in columns
        for name, suspicion in [(f'"{column.name}"', _build_suspicion(column, judges))]
    )


def _build_suspicion(column: Column[Any], judges: DocumentChecks) -> str:
    """Return a condition that includes all unreadable values of a column."""
    if _get_key(column) in judges:
        return "1"
    name = f'"{column.name}"'
    if not is_document(column):
        return (
            f"{name} IS NOT NULL AND ({name} NOT GLOB '{timestamps.TIME_GLOB}' OR date({name}) IS"
            f" NOT substr({name}, 1, 10))"
        )
    if _get_key(column) in MAPPINGS:
        return (
            f"CASE WHEN json_valid({name}) THEN json_type({name}) <> 'object' ELSE {name} IS NOT"
            " NULL END"
        )
    return f"NOT json_valid({name})"


def _quote_columns(columns: Iterable[Column[Any]]) -> str:
    return ", ".join(f'"{column.name}"' for column in columns)
