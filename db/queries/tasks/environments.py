"""Environments of tasks, each distinct one stored once."""

from __future__ import annotations

from sqlalchemy import Connection

from db import raw_sql, timestamps


def keep_environment(c: Connection, sha256: str, variables: str) -> None:
    """Store an environment (as JSON), or repair the stored one."""
    insert_new = (
        "INSERT INTO environments (sha256, variables, created_at, updated_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (sha256) DO UPDATE SET variables = excluded.variables, updated_at ="
        " excluded.updated_at WHERE variables IS NOT excluded.variables"
    )
    now = timestamps.now()
    raw_sql.execute_statement(c, insert_new, (sha256, variables, now, now))
