"""Rows that are missing in the restored database, copied as they are."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection

from db import raw_sql


def quote(name: str) -> str:
    """Return a name quoted for SQL."""
    return f'"{name}"'


def quote_words(words: Any) -> str:
    """Return words as the inside of an SQL list, sorted."""
    return ", ".join(sorted(f"'{word}'" for word in words))


def has_table(c: Connection, schema: str, name: str) -> bool:
    """Return True if a schema has a table."""
    found = f"SELECT 1 FROM {schema}.sqlite_master WHERE type = 'table' AND name = ?"
    return raw_sql.fetch_value(c, found, (name,)) is not None


def _find_common_columns(c: Connection, table: str) -> str:
    """Return the common columns of both versions of a table."""
    new_columns, old_columns = (
        raw_sql.fetch_column(c, f"SELECT name FROM pragma_table_info(?, '{schema}')", (table,))
        for schema in ("main", "old")
    )
    return ", ".join(quote(name) for name in new_columns if name in old_columns)


def copy_rows(
    c: Connection, table: str, condition: str, instead: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Copy missing rows of a table.

    `instead` replaces quoted columns by expressions.
    """
    names = values = _find_common_columns(c, table)
    for column, expression in instead.items():
        values = values.replace(column, expression)
    raw_sql.execute_statement(
        c,
        f"INSERT OR IGNORE INTO main.{table} ({names}) SELECT {values} FROM old.{table} AS o WHERE"
        f" {condition}",
    )
