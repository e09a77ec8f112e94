"""Statements written by hand, at the driver's own price.

Through SQLAlchemy a text statement costs some 50 µs around what SQLite does, and a round of the dispatcher runs about thirty. On the
writer's connection they go straight to sqlite3, inside the same transaction; a reader's driver is asynchronous, and there they go
through SQLAlchemy. Rows have their columns as attributes either way.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Mapping, Sequence
from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlalchemy import Connection

Given = Sequence[Any] | Mapping[str, Any]
FAILED = (sqlite3.Error, UnicodeDecodeError)
"""What the driver raises. Where SQLite's own words quote text that is damaged and no UTF-8, it fails at reading those."""


def rows(c: Connection, sql: str, given: Given = ()) -> list[Any]:
    """All rows of a query."""
    driver = c.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        return list(c.exec_driver_sql(sql, _given(given)).all())
    cursor = execute(driver, sql, given)
    shape = _shapes.get(sql) or _shape(sql, cursor)
    return [shape._make(row) for row in cursor]


def column(c: Connection, sql: str, given: Given = ()) -> list[Any]:
    """The first column of a query."""
    return [row[0] for row in rows(c, sql, given)]


def value(c: Connection, sql: str, given: Given = ()) -> Any:
    """The first column of the first row, or None when there is no row."""
    return next(iter(column(c, sql, given)), None)


def run(c: Connection, sql: str, given: Given = ()) -> None:
    """A statement that changes rows."""
    driver = c.connection.driver_connection
    if isinstance(driver, sqlite3.Connection):
        execute(driver, sql, given)
    else:
        c.exec_driver_sql(sql, _given(given))


def run_many(c: Connection, sql: str, given: Sequence[Given]) -> None:
    """A statement that changes rows, once for each of `given`."""
    driver = c.connection.driver_connection
    if given and isinstance(driver, sqlite3.Connection):
        execute(driver, sql, given, many=True)
    elif given:
        c.exec_driver_sql(sql, [_given(one) for one in given])


def execute(driver: Any, sql: str, given: Any, many: bool = False) -> sqlite3.Cursor:
    """The one place where the driver is asked."""
    return driver.executemany(sql, given) if many else driver.execute(sql, given)


def _given(given: Given) -> Any:
    return given if isinstance(given, Mapping) else tuple(given)


_shapes: dict[str, Any] = {}


def _shape(sql: str, cursor: sqlite3.Cursor) -> Any:
    """The row type of a statement, made once: the statements are few, and all that varies in them is bound."""
    return _shapes.setdefault(sql, namedtuple("Row", [column[0] for column in cursor.description], rename=True))
