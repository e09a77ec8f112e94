"""Longest waits of the queues, for monitoring."""

from __future__ import annotations

from sqlalchemy import Connection

from db import raw_sql

MAX_SEARCHED = 50
"""Queued tasks of each queue that are searched, those submitted first: 100 queues take 3 ms."""

LONGEST = (
    "SELECT q.name, (SELECT min(since) FROM (SELECT max(created_at, coalesce(not_before,"
    " created_at), coalesce(retry_at, created_at)) AS since FROM tasks WHERE queue = q.name"
    f" AND status = 'queued' ORDER BY created_at LIMIT {MAX_SEARCHED})) AS since"
    " FROM queues q"
)


def map_longest_waits(c: Connection) -> dict[str, str]:
    """Return {queue: time since which its longest waiting task waits}.

    The wait of a task begins when the task could have started: at its start time or its retry.
    """
    return {name: since for name, since in raw_sql.fetch_tuples(c, LONGEST) if since is not None}
