"""Identity of a home: a UUID in its database, its backups and its replicas.

A moved home keeps its UUID. A promoted replica gets a new one.
"""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy import Connection, delete, insert, select

from db import schema, timestamps


def create(c: Connection, parent: str | None = None, uuid: str | None = None) -> None:
    """Give a database without a UUID the given one, or a new one."""
    now = timestamps.now()
    row = {"uuid": uuid or str(uuid4()), "parent": parent, "created_at": now, "updated_at": now}
    c.execute(insert(schema.home).values(row))


def read(c: Connection) -> str | None:
    """Return the UUID of the home, or None if its row was lost."""
    return c.execute(select(schema.home.c.uuid)).scalar()


def replace(c: Connection) -> None:
    """Give the database a new UUID, and keep the one it had as `parent`."""
    parent = read(c)
    c.execute(delete(schema.home))
    create(c, parent)
