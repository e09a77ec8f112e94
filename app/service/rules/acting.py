"""Actions of rules on tasks and queues, done by the same verbs as those of a user.

The operation log names the rule as the author. An action and the record of its attempt are one
transaction, so a crash neither loses nor repeats an action.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from app.core.ids import derive_uuid7
from app.core.rules.actions import get_kind
from app.errors import Problem
from app.service import registry
from app.service.context import Call
from app.service.rules.process_table import read_processes
from db import timestamps
from db.engine import Connection, Database
from db.queries import reads
from db.rows import DeliveryRow

VERBS_OF_TASKS = {"cancel": "cancel", "retry": "retry", "set_priority": "set"}
VERBS_OF_QUEUES = {"pause_queue": "queue.pause", "resume_queue": "queue.resume"}


class RecordingDatabase:
    """A database whose first write also records the attempt, in the same transaction."""

    def __init__(self, db: Database, record: Callable[[Connection], None]) -> None:
        self._db, self._record = db, record
        self.is_recorded = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._db, name)

    async def write(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run `fn(c, …)` as `Database.write` does, and record the attempt."""
        if self.is_recorded:
            return await self._db.write(fn, *args, **kwargs)

        def act(c: Connection) -> Any:
            found = fn(c, *args, **kwargs)
            self._record(c)
            return found

        found = await self._db.write(act)
        self.is_recorded = True
        return found


async def perform(
    call: Call, row: DeliveryRow, record: Callable[[Connection], None]
) -> tuple[str | None, bool]:
    """Perform the action of a delivery; return why it failed, or None, and True if recorded.

    `record` stores a successful attempt.
    """
    name = row.payload["alerts"][0]["name"]
    db = RecordingDatabase(call.db, record)
    call = replace(call, db=cast(Database, db), by=f"rule {name}")
    try:
        problem = await _act(call, row)
    except Problem as error:
        problem = error.message.rstrip(".")
    return problem, db.is_recorded


async def _act(call: Call, row: DeliveryRow) -> str | None:
    kind = get_kind(row.action)
    if kind in VERBS_OF_TASKS:
        return await _act_on_tasks(call, kind, row)
    if kind in VERBS_OF_QUEUES:
        await registry.call_verb(call, VERBS_OF_QUEUES[kind], {"name": row.action[kind]})
    elif kind == "submit":
        await _submit(call, row)
    else:
        return f"this runtime knows no action {kind}"
    return None


async def take_snapshot(call: Call) -> dict[str, Any]:
    """Return the queues, the pools and the busiest processes of this moment."""
    queues, pools = await asyncio.gather(
        call.db.read(reads.list_queues), call.db.read(reads.list_pools)
    )
    active = await call.db.read(reads.list_active)
    pids = {run.pid: run.runid for run in active if run.pid}
    return {
        "at": timestamps.now(),
        "queues": [_pick(row._asdict(), "name", "status", "current_load", "capacity", "priority")
                   for row in queues],
        "pools": [_pick(row._asdict(), "name", "status", "used_cpu", "total_cpu", "used_memory",
                        "total_memory") for row in pools],
        "processes": await asyncio.to_thread(read_processes, pids),
    }  # fmt: skip


def _pick(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names}


async def _act_on_tasks(call: Call, kind: str, row: DeliveryRow) -> str | None:
    """Act on the tasks of the alerts. A task that refuses would refuse a repeat too."""
    uuids: Sequence[str] = [one["task_id"] for one in row.payload["alerts"] if one["task_id"]]
    if not uuids:
        return f"the alert is not about a task, so there is nothing to {kind.replace('_', ' ')}"
    more = {"fields": {"priority": row.action[kind]}} if kind == "set_priority" else {}
    await registry.call_verb(call, VERBS_OF_TASKS[kind], {"ids": list(uuids), **more})
    return None


async def _submit(call: Call, row: DeliveryRow) -> None:
    """Submit a task from the user's directory, with few variables; a repeat submits nothing."""
    milliseconds = int(timestamps.to_unix(row.created_at) * 1000)
    home = Path.home()
    env = {"PATH": os.environ.get("PATH", os.defpath), "HOME": os.fspath(home)}
    given = {"cwd": os.fspath(home), "umask": 0o022, "env": env}
    uuid = derive_uuid7(milliseconds, row.key)
    task = row.action["submit"]
    await registry.call_verb(call, "submit", {"tasks": [task], "uuid": uuid, **given})
