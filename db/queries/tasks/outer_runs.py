"""Runs in an engine beyond this machine: job and node, and those that are active.

The column `outer_job` marks these runs: it is empty from the claim until the job begins.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection

from db import raw_sql
from db.states import ACTIVE_SQL

ACTIVE_OUTER = (
    "SELECT i.runid, i.status, i.stop_reason, i.start_time, t.grace, t.log_limit FROM instances i"
    f" JOIN tasks t ON t.uuid = i.task_id WHERE i.status IN {ACTIVE_SQL}"
    " AND i.outer_job IS NOT NULL"
)


def list_active_outer(c: Connection) -> list[Any]:
    """Return the active runs of outer engines."""
    return raw_sql.fetch_rows(c, ACTIVE_OUTER)


def store_places(c: Connection, events: Iterable[Mapping[str, Any]]) -> None:
    """Store job and node of the runs whose start or end was reported with them."""
    rows = [
        {"runid": event["run"], "job": event["job"], "node": event.get("node") or None}
        for event in events
        if event.get("job")
    ]
    raw_sql.execute_statements(
        c,
        "UPDATE instances SET outer_job = :job, node = :node WHERE runid = :runid AND outer_job IS"
        " NOT NULL",
        rows,
    )


def list_outer_among(c: Connection, runids: Iterable[str]) -> set[str]:
    """Return the runs among these that are in an outer engine."""
    found = (
        "SELECT runid FROM instances WHERE runid IN (SELECT value FROM json_each(?)) AND outer_job"
        " IS NOT NULL"
    )
    return set(raw_sql.fetch_column(c, found, (json.dumps(list(runids)),)))
