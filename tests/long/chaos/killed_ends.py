"""Ends of a task with many children that are killed between the transactions that update them.

`python -m tests.long.chaos.killed_ends FOLDER` cancels the parent in new homes and undoes it. It
kills the n-th runtime at its n-th step, until one survives. A step is the begin or the end of a
transaction. It prints a JSON line for each: the status of each task after the kill and after the
next runtime.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from app.runtime.dispatch.dispatcher import Dispatcher
from app.service.context import Call
from app.service.definitions import queues
from app.service.tasks.changes import actions
from app.service.tasks.submission import submit
from app.service.undo import undo
from db.engine import Database
from db.queries.tasks import pending_parents, transitions
from tests.long.chaos.killed_submissions import StepCounter
from tests.service.calls import execute_sql, open_call, reopen_call

WIDTH = 5
BLOCKED, CANCELLED, QUEUED = "blocked", "cancelled", "queued"
_TASKS: list[dict[str, Any]] = [
    {"name": "parent", "after": []},
    {"name": "waits", "after": []},
    {"name": "held", "after": ["parent"], "hold": True},
    {"name": "both", "after": ["waits"], "after_any": ["parent"]},
    *({"name": f"child{n}", "after": ["parent"]} for n in range(WIDTH)),
    *({"name": f"grandchild{n}", "after": [f"child{n}"]} for n in range(WIDTH)),
    *({"name": f"any{n}", "after_any": ["parent", f"child{n}"]} for n in range(WIDTH)),
    *({"name": f"failure{n}", "after_failure": ["parent"]} for n in range(WIDTH)),
    *({"name": f"start{n}", "after_start": ["parent"]} for n in range(WIDTH)),
    *({"name": f"unneeded{n}", "after": [f"failure{n}"]} for n in range(WIDTH)),
]
BEFORE = {task["name"]: BLOCKED for task in _TASKS} | {
    "parent": QUEUED, "waits": QUEUED, "held": "held",
}  # fmt: skip
AFTER = {
    name: QUEUED if name.startswith(("any", "failure", "start")) else CANCELLED for name in BEFORE
} | {name: BLOCKED for name in BEFORE if name.startswith("unneeded")} | {
    "waits": QUEUED, "both": BLOCKED,
}  # fmt: skip


def main(folder: Path) -> None:
    """Kill ends until one survives."""
    transitions.MAX_CHILDREN, transitions.PIECE, transitions.STEP_SECONDS = 2, 2, 0.0
    asyncio.run(_make_home(folder / "0"))
    step, survived = 0, False
    while not survived:
        step += 1
        home = folder / str(step)
        shutil.copytree(folder / "0", home)
        if (child := os.fork()) == 0:
            asyncio.run(_cancel_and_undo(home, StepCounter(step)))
            os._exit(0)
        survived = not os.WIFSIGNALED(os.waitpid(child, 0)[1])
        if (child := os.fork()) == 0:
            asyncio.run(_check(home))
            os._exit(0)
        os.waitpid(child, 0)


async def _make_home(home: Path) -> None:
    async with open_call(home) as call:
        await queues.queue_pause(call, name="default")
        await submit.submit(call, tasks=[{"argv": ["true"], **task} for task in _TASKS], env={})


async def _cancel_and_undo(home: Path, counter: StepCounter) -> None:
    async with reopen_call(home) as call:
        counter.wrap(Database, "_run_transaction")
        await actions.cancel(call, ids=["parent"])
        await _run_rounds(call)
        ((operation,),) = await execute_sql(call, "SELECT max(id) FROM operations")
        await undo.undo(call, ids=operation)
        await _run_rounds(call)


async def _run_rounds(call: Call) -> None:
    """Do the rounds of a runtime until no child is left to update."""
    assert call.home
    dispatcher = Dispatcher(call.db, call.home)
    dispatcher.handle_event({"is": "hello", "runs": []})
    await dispatcher.run_round()
    while await call.db.read(pending_parents.has_any):
        await dispatcher.run_round()


async def _check(home: Path) -> None:
    async with reopen_call(home) as call:
        found = {"killed": await _map_statuses(call)}
        await _run_rounds(call)
        found["restarted"] = await _map_statuses(call)
    os.write(1, json.dumps(found).encode() + b"\n")


async def _map_statuses(call: Call) -> dict[str, str]:
    return {row[0]: row[1] for row in await execute_sql(call, "SELECT name, status FROM tasks")}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
