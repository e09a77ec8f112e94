"""The identity of a home: a UUID, which its database and every backup and replica of it carry.

A home keeps it wherever it is moved to. A promoted replica gets one of its own.
"""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy import Connection

from db import raw_sql, timestamps


def create(c: Connection) -> None:
    """Give a new database its UUID."""
    now = timestamps.now()
    raw_sql.execute_statement(
        c,
        "INSERT INTO home (uuid, created_at, updated_at) VALUES (?, ?, ?)",
        (str(uuid4()), now, now),
    )


def read(c: Connection) -> str | None:
    """Return the UUID of the home; None where its row was lost."""
    return raw_sql.fetch_value(c, "SELECT uuid FROM home")


def replace(c: Connection) -> None:
    """Give the database a new UUID, and keep the one it had as `parent`."""
    parent = read(c)
    raw_sql.execute_statement(c, "DELETE FROM home")
    create(c)
    raw_sql.execute_statement(c, "UPDATE home SET parent = ?", (parent,))
