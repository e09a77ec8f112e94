"""Large submissions that are killed at each step.

`python -m tests.long.chaos.killed_submissions FOLDER [group]` submits the same lines, or the same
group, to new homes, and kills the n-th submission at its n-th step, until one survives. A step is
the begin or the end of a transaction or of a change of a file. It prints a JSON line for each: the
tasks found after the kill, and the tasks, operations and files after the duty and after a resend of
the command.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.core.ids import make_uuid7
from app.service.context import Call
from app.service.tasks.submission import bulk, submit
from db.engine import Database
from db.queries import reads
from tests.service.calls import execute_sql, open_call, reopen_call

LINES = 251
TEXT = "".join(
    json.dumps({"argv": ["true"], "name": f"t{n}", "after": [f"t{n + 1}"] if n % 2 else []}) + "\n"
    for n in range(LINES)
)
"""Tasks of which every second one waits for the next line."""

GROUP = {"argv": ["true"], "max_running": 8}
APART = (
    "tasks WHERE group_number AND group_number NOT IN (SELECT number FROM groups)",
    "groups WHERE number NOT IN (SELECT group_number FROM tasks WHERE group_number)",
)
"""Tasks without their group, and groups without tasks."""
TOGETHER = ("groups", "tasks WHERE group_number", "(SELECT DISTINCT group_index FROM tasks)")


class StepCounter:
    """Counter of steps that kills its own process at the last one."""

    def __init__(self, last: int) -> None:
        self._left = last

    def take(self) -> None:
        """Count a step."""
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)

    def wrap(self, owner: Any, name: str) -> None:
        """Count a step before and after each call of a function."""
        usual: Callable[..., Any] = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.take()
            found = usual(*args, **kwargs)
            self.take()
            return found

        setattr(owner, name, call)


def main(folder: Path, is_group: bool) -> None:
    """Kill submissions until one survives."""
    bulk.STEP_SECONDS = 0.0
    asyncio.run(_make_home(folder / "0"))  # prepares the database that all others copy
    step, survived = 0, False
    while not survived:
        step += 1
        home, uuid = folder / str(step), make_uuid7()
        (home / "run").mkdir(parents=True)
        if (child := os.fork()) == 0:
            asyncio.run(_submit(home, uuid, StepCounter(step), is_group))
            os._exit(0)
        survived = not os.WIFSIGNALED(os.waitpid(child, 0)[1])
        if (child := os.fork()) == 0:
            asyncio.run(_check(home, uuid, is_group))
            os._exit(0)
        os.waitpid(child, 0)


async def _make_home(home: Path) -> None:
    async with open_call(home):
        pass


async def _submit(home: Path, uuid: str, counter: StepCounter, is_group: bool) -> None:
    async with open_call(home) as call:
        counter.wrap(Database, "_run_transaction")
        for name in ("sync", "link"):
            counter.wrap(bulk.StagedFile, name)
        counter.wrap(Path, "unlink")
        await _send(call, uuid, is_group)


async def _send(call: Call, uuid: str, is_group: bool) -> list[int]:
    """Submit the tasks, and return their numbers."""
    if not is_group:
        return (await submit.submit_lines(call, text=TEXT, uuid=uuid))["numbers"]
    tasks = [json.loads(line) for line in TEXT.splitlines()]
    places = await submit.submit(call, tasks=tasks, uuid=uuid, env={}, group=GROUP)
    return [place["number"] for place in places]


async def _check(home: Path, uuid: str, is_group: bool) -> None:
    async with reopen_call(home) as call:
        found: dict[str, Any] = {"killed": await _count(call)}
        found["apart"] = [await _count_rows(call, what) for what in APART]
        rows = await execute_sql(call, "SELECT status, count(*) FROM tasks GROUP BY status")
        found["counted"] = [await call.db.read(reads.count_by_status), dict(rows)]
        await bulk.finish_interrupted(call.db, home)
        found["duty"] = await _count(call)
        found["files"] = sorted(os.listdir(home / "run" / "submissions"))
        numbers = await _send(call, uuid, is_group)
        found["resent"] = await _count(call)
        found["group"] = [await _count_rows(call, what) for what in (*APART, *TOGETHER)]
        found["answered"] = [min(numbers), max(numbers), len({*numbers})]
    os.write(1, json.dumps(found).encode() + b"\n")


async def _count(call: Call) -> list[int]:
    """Return the numbers of tasks, of those that wait for a parent, and of operations."""
    tables = ("tasks", "tasks WHERE status = 'blocked'", "operations WHERE verb = 'submit'")
    return [await _count_rows(call, what) for what in tables]


async def _count_rows(call: Call, what: str) -> int:
    return (await execute_sql(call, f"SELECT count(*) FROM {what}"))[0][0]


if __name__ == "__main__":
    main(Path(sys.argv[1]), "group" in sys.argv[2:])
