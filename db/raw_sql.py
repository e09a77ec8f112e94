"""Statements written by hand, at the driver's own price.

Through SQLAlchemy a text statement costs some 50 µs around what SQLite does, and a round of the dispatcher runs about thirty. On the
writer's connection they go straight to sqlite3, inside the same transaction. A reader's driver is asynchronous: there a query through
SQLAlchemy is handed to the driver's thread four times (a cursor, execute, fetch, close; 155 µs), and here once (34 µs). Rows have their
columns as attributes either way.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlalchemy import Connection

Parameters = Sequence[Any] | Mapping[str, Any]
DRIVER_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""What the driver raises. Where SQLite's own words quote text that is damaged and no UTF-8, it fails at reading those."""


def fetch_rows(c: Connection, sql: str, given: Parameters = ()) -> list[Any]:
    """All rows of a query."""
    driver = c.connection.driver_connection
    if isinstance(driver, sqlite3.Connection):
        cursor = execute_on_driver(driver, sql, given)
        found, shape = cursor.fetchall(), _row_types.get(sql) or _get_row_type(sql, cursor)
    else:
        from sqlalchemy.util import await_only  # not above: who uses sqlite3 alone needs none of SQLAlchemy

        found, shape = await_only(_fetch_async(driver, sql, given))
    return [shape._make(row) for row in found]


async def _fetch_async(driver: Any, sql: str, given: Parameters) -> tuple[Iterable[Any], Any]:
    """The rows of a query of an asynchronous driver, and their type: only the first time the cursor itself must be had for it."""
    if shape := _row_types.get(sql):
        return await driver.execute_fetchall(sql, given), shape
    async with driver.execute(sql, given) as cursor:
        return await cursor.fetchall(), _get_row_type(sql, cursor)


def fetch_column(c: Connection, sql: str, given: Parameters = ()) -> list[Any]:
    """The first column of a query."""
    return [row[0] for row in fetch_rows(c, sql, given)]


def fetch_value(c: Connection, sql: str, given: Parameters = ()) -> Any:
    """The first column of the first row, or None when there is no row."""
    return next(iter(fetch_column(c, sql, given)), None)


def execute_statement(c: Connection, sql: str, given: Parameters = ()) -> None:
    """A statement that changes rows."""
    driver = c.connection.driver_connection
    if isinstance(driver, sqlite3.Connection):
        execute_on_driver(driver, sql, given)
    else:
        c.exec_driver_sql(sql, _to_parameters(given))


def execute_statements(c: Connection, sql: str, given: Sequence[Parameters]) -> None:
    """A statement that changes rows, once for each of `given`."""
    driver = c.connection.driver_connection
    if given and isinstance(driver, sqlite3.Connection):
        execute_on_driver(driver, sql, given, many=True)
    elif given:
        c.exec_driver_sql(sql, [_to_parameters(one) for one in given])


def execute_on_driver(driver: Any, sql: str, given: Any, many: bool = False) -> sqlite3.Cursor:
    """The one place where the driver is asked."""
    return driver.executemany(sql, given) if many else driver.execute(sql, given)


def _to_parameters(given: Parameters) -> Any:
    return given if isinstance(given, Mapping) else tuple(given)


MAX_ROW_TYPES = 2_000
"""Statements whose row types are kept: the filters of lists make ever new ones, and each takes 6 KiB."""

_row_types: dict[str, Any] = {}


def _get_row_type(sql: str, cursor: sqlite3.Cursor) -> Any:
    """The row type of a statement, made once while there is room; what is asked again and again soon has its own anew."""
    if len(_row_types) >= MAX_ROW_TYPES:
        _row_types.clear()
    return _row_types.setdefault(sql, namedtuple("Row", [column[0] for column in cursor.description], rename=True))
