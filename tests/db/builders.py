"""Builders of tasks and runs, which go through the transitions that the service uses."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from app.core.ids import make_uuid7
from app.runtime.dispatch.run_verdict import judge_run
from db import timestamps
from db.engine import create_write_engine
from db.queries import reads
from db.queries.tasks import transitions
from db.rows import InstanceRow, TaskRow


def make_task_row(**more: Any) -> dict[str, Any]:
    """Return the row of one task, as a submission makes it."""
    return {
        "uuid": make_uuid7(), "name": "work", "template": None, "type": "exec", "parameters": {},
        "priority": 0, "timeout": None,
        "queue": "default", "cpu": 1.0, "memory": 0.0, "retries": 0, "retry_delay": 1.0,
        "grace": 5.0, "not_before": None,
        "hold": False, "held_by": None, "tags": {}, "env_id": None, "env": None, "cwd": "/",
        "umask": 0o022,
        "launch": {"argv": ["true"]}, "log_limit": None, "notify": None, "resources": None,
        "early_signal": None, "output": None, "stdin": None, "split": None, "error": None,
        "retry_on_oom": None, "submitted_by": "ann",
        "group_number": None, "group_index": None, "sweep": None,
    } | more  # fmt: skip


class TaskBuilder:
    """Tasks and runs of one transaction, named by their uuids and run ids."""

    def __init__(self, c: Connection) -> None:
        self.c = c

    def submit_task(
        self,
        after: Sequence[str] = (),
        after_any: Sequence[str] = (),
        after_failure: Sequence[str] = (),
        after_start: Sequence[str] = (),
        **more: Any,
    ) -> str:
        """Submit one task and return its uuid."""
        row = make_task_row(**more)
        parents = {
            "success": after, "any": after_any, "failure": after_failure, "start": after_start
        }  # fmt: skip
        links = [
            {"task_id": row["uuid"], "parent_id": parent, "kind": kind}
            for kind, uuids in parents.items()
            for parent in uuids
        ]
        transitions.submit(self.c, [row], links, "ann")
        return row["uuid"]

    def read_row(self, uuid: str) -> TaskRow:
        (row,) = reads.list_by_uuid(self.c, [uuid])
        return row

    def read_status(self, uuid: str) -> str:
        return self.read_row(uuid).status

    def list_runs(self, uuid: str) -> list[InstanceRow]:
        return reads.list_runs(self.c, uuid)

    def claim_tasks(self, *uuids: str) -> list[str]:
        """Claim the tasks and return the run ids of those that were waiting."""
        rows = [self.read_row(uuid) for uuid in uuids]
        starts = [
            {"uuid": row.uuid, "runid": make_uuid7(), "queue": row.queue, "pool": "default",
            "cpu": row.cpu, "memory": row.memory, "resources": row.resources,
             "tags": json.dumps(row.tags), "attempt": row.attempts + 1}
            for row in rows
        ]  # fmt: skip
        return [start["runid"] for start in transitions.claim(self.c, starts)]

    def start_run(self, uuid: str) -> str:
        """Claim a task, record its start and return the run id."""
        (runid,) = self.claim_tasks(uuid)
        self.record_start(runid)
        return runid

    def record_start(self, runid: str, boot: str = "b" * 36) -> None:
        event = {"run": runid, "pid": 4242, "ticks": 17, "at": time.time(), "boot": boot}
        transitions.record_starts(self.c, [event])

    def record_end(self, runid: str, code: int | None = 0, **more: Any) -> list[str]:
        """Record that a run ended; return the tasks that ended for good."""
        return transitions.record_ends(
            self.c,
            [{"run": runid, "code": code, "signal": None, "at": time.time(), **more}],
            judge_run,
        )

    def complete_run(self, uuid: str, code: int = 0) -> None:
        """Start and end a run of the task."""
        self.record_end(self.start_run(uuid), code)

    def backdate(self, table: str, key: str, value: str, column: str, days: float) -> None:
        """Set the time in `column` of a row `days` days back."""
        then = timestamps.from_unix(time.time() - days * 86400)
        self.c.exec_driver_sql(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (then, value))


def submit_task_to(path: Path, name: str) -> None:
    """Submit a task to the database at `path`."""
    engine = create_write_engine(path)
    with engine.begin() as c:
        TaskBuilder(c).submit_task(name=name)
    engine.dispose()


def list_task_names(path: Path) -> list[str]:
    """Return the names of all tasks in the order of their numbers."""
    with closing(sqlite3.connect(path)) as c:
        return [name for (name,) in c.execute("SELECT name FROM tasks ORDER BY number")]
