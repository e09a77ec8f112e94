"""The verb `wait`, which answers when tasks have ended."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Sequence
from typing import Any

from app.cluster import advise_start
from app.core.text import units
from app.core.text.sanitize import sanitize
from app.errors import Problem, Stopped, Usage
from app.service.context import Call
from app.service.tasks import lookup
from app.service.tasks.changes.option_values import SECONDS, validate
from app.translation import tr
from db.engine import Connection
from db.queries import reads
from db.rows import TaskRow
from db.states import ENDED, TaskStatus, is_skipped


async def wait(
    call: Call, *, ids: Sequence[str | int], timeout: float | None = None
) -> list[dict[str, Any]]:
    """Wait until all tasks have ended and return their outcomes with exit codes.

    A task that cannot proceed by itself is noted once.
    """
    timeout = validate("timeout", SECONDS, timeout)
    uuids = await call.db.read(lookup.find_all, ids)
    if not uuids:
        raise Usage("which tasks? Give numbers.")
    left = uuids
    if call.live is None:
        if (await call.db.read(_find_unended, left))[0]:
            raise Stopped(
                "no runtime is running, so no end is recorded.", advise_start(os.fspath(call.home))
            )
        return await call.db.read(_read_outcomes, left)
    noted: set[str] = set()
    try:
        async with asyncio.timeout(timeout):
            async for _ in call.live.watch_changes():
                going, left = await call.db.read(_find_unended, left)
                if not going:
                    return await call.db.read(_read_outcomes, uuids)
                _note_stuck(call, going, noted)
    except TimeoutError:
        raise _make_wait_timeout(timeout or 0.0) from None
    # The runtime ends, and cuts the connection: only then does the client ask the next runtime.
    return await asyncio.get_running_loop().create_future()


def _make_wait_timeout(seconds: float) -> Problem:
    problem = Problem(
        "the wait ended after {seconds}; nothing was stopped.",
        seconds=units.format_duration(seconds),
    )
    problem.code, problem.exit_code = "wait-timeout", 6
    return problem


PAGE = 500
"""Tasks looked at together: each change of any task is a reason to look."""
MAX_NOTED = 10
"""Maximum number of notes about tasks that do not proceed."""


def _find_unended(c: Connection, uuids: Sequence[str]) -> tuple[list[Any], list[str]]:
    """Return the first tasks that have not ended, and all that may not have ended."""
    for at in range(0, len(uuids), PAGE):
        if going := reads.list_unended(c, uuids[at : at + PAGE]):
            return going, [*(task.uuid for task in going), *uuids[at + PAGE :]]
    return [], []


def _read_outcomes(c: Connection, uuids: Sequence[str]) -> list[dict[str, Any]]:
    pages = (uuids[at : at + PAGE] for at in range(0, len(uuids), PAGE))
    return [outcome for page in pages for outcome in _read_page(c, page)]


def _read_page(c: Connection, uuids: Sequence[str]) -> list[dict[str, Any]]:
    rows = {row.uuid: row for row in reads.list_by_uuid(c, uuids)}
    last = reads.map_last_runs(
        c, [uuid for uuid in uuids if uuid in rows and rows[uuid].status in ENDED]
    )
    return [_format_outcome(rows.get(uuid), last.get(uuid), uuid) for uuid in uuids]


def _format_outcome(row: TaskRow | None, run: Any, uuid: str) -> dict[str, Any]:
    if row is None:  # The task was deleted during the wait.
        return {"number": None, "name": uuid, "status": TaskStatus.CANCELLED, "exit_code": None,
        "signal": None, "reason": "removed",
                "code": 125}  # fmt: skip
    exit_code, signal = (run.exit_code, run.signal) if run and row.status in ENDED else (None, None)
    return {"number": row.number, "name": row.name, "status": row.status, "exit_code": exit_code,
    "signal": signal,
            "reason": row.reason, "code": 0 if is_skipped(row.status, row.reason)
            else _get_exit_code(row.status, exit_code, signal)}  # fmt: skip


def _get_exit_code(status: str, exit_code: int | None, signal: int | None) -> int:
    """Return the exit code of `wait`."""
    fixed = {
        TaskStatus.SUCCEEDED: 0,
        TaskStatus.TIMED_OUT: 124,
        TaskStatus.CANCELLED: 125,
        TaskStatus.LOST: 125,
    }
    if status in fixed:
        return fixed[TaskStatus(status)]
    return exit_code if exit_code is not None else 128 + signal if signal is not None else 1


def _note_stuck(call: Call, going: Sequence[Any], noted: set[str]) -> None:
    """Note once each task that does not proceed by itself."""
    halted = call.live.halted if call.live else None
    stops = (
        [tr("nothing starts: {halted}", halted=halted)]
        if halted and any(task.status == TaskStatus.QUEUED for task in going)
        else []
    )
    for said in (*stops, *map(_describe_stuck, going)):
        if said and said not in noted and len(noted) < MAX_NOTED:
            noted.add(said)
            call.note(said)


def _describe_stuck(task: Any) -> str | None:
    if task.status == TaskStatus.HELD:
        return tr(
            "#{number} is held: it starts only after taskdeck release {number}", number=task.number
        )
    if task.paused:
        return tr("#{number} is paused until taskdeck resume {number}", number=task.number)
    return _describe_closed(task) if task.status == TaskStatus.QUEUED else None


def _describe_closed(task: Any) -> str | None:
    """Describe what keeps a queue from starting anything, regardless of free resources."""
    queue, pool = sanitize(task.queue), sanitize(task.pool)
    named, drawn = sanitize(shlex.quote(task.queue)), sanitize(shlex.quote(task.pool))
    if task.queue_status != "active":
        return tr(
            "queue {queue} is {queue_status}: #{number} starts only after taskdeck queue"
            " resume {named}",
            queue=queue,
            queue_status=tr(task.queue_status),
            number=task.number,
            named=named,
        )
    if task.pool_status != "active":
        return tr(
            "pool {pool} is {pool_status}: #{number} starts only after taskdeck pool resume"
            " {drawn}",
            pool=pool,
            pool_status=tr(task.pool_status),
            number=task.number,
            drawn=drawn,
        )
    if task.capacity == 0:
        return tr(
            "queue {queue} has capacity 0: #{number} starts only after taskdeck queue set"
            " {named} --capacity 1",
            queue=queue,
            number=task.number,
            named=named,
        )
    return None
