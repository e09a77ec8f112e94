"""Queries on bookings of pools for tags."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from db import raw_sql, schema, timestamps


def list_rows(c: Connection) -> list[Any]:
    """Return the bookings that have not ended, by their begin."""
    columns = ", ".join(column.name for column in schema.bookings.c)
    found = f"SELECT {columns} FROM bookings WHERE ends_at > ? ORDER BY begins_at, name"
    return raw_sql.fetch_rows(c, found, (timestamps.now(),))


def remove_ended(c: Connection) -> None:
    """Delete the bookings that have ended."""
    raw_sql.execute_statement(c, "DELETE FROM bookings WHERE ends_at <= ?", (timestamps.now(),))
