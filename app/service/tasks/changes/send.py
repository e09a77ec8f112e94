"""The verb `send`, which writes to the standard input of a running task."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from app.core import task_groups
from app.errors import Conflict, Problem, Refused
from app.service.companions import CompanionConnection
from app.service.context import Call
from app.service.tasks import lookup
from app.translation import tr
from db.engine import Connection
from db.queries import reads
from db.queries.tasks import groups
from db.rows import GroupRow, TaskRow
from db.states import ACTIVE, WAITING, RunStatus, TaskStatus

MAX_TEXT = 64 * 1024
"""Bytes of one call: what a pipe holds."""
START_SECONDS = 1.0
"""Time in which a task that was submitted a moment ago may start."""
ANSWER_SECONDS = 5.0
NOT_STARTED = "not-started"
"""Code of the problem of a task that waits."""


class InputState(NamedTuple):
    """A task, and its active run with the status, if there is one."""

    task: TaskRow
    runid: str | None
    status: str | None


async def send(
    call: Call, *, id: str | int, text: str = "", eof: bool = False, whole: bool = False
) -> dict[str, Any]:
    """Write a text to the input of a running task, then close the input if `eof`.

    Return the bytes that were written and those that the program has not read. Of a text of more
    than 4 KiB, a part may be written; nothing waits for the program. With `whole`, raise Conflict
    unless all was written. For a group, return {group, done, refused} of its running tasks.
    """
    if lookup.has_groups([id]) and (group := await call.db.read(lookup.find_group, id)):
        return await _send_to_group(call, group, text, eof)
    data = text.encode("utf-8", "surrogateescape")
    if len(data) > MAX_TEXT:
        raise Refused(
            "a text has {n:,} bytes, but at most {max_text:,} are sent at once.",
            n=len(data),
            max_text=MAX_TEXT,
        )
    found = await _wait_for_start(call, id)
    answer = {"number": found.task.number, "taken": 0, "unread": 0, "closed": False}
    try:
        async with asyncio.timeout(ANSWER_SECONDS), _connect(call, found) as connection:
            if data:
                answer |= await connection.ask({"do": "write", "text": text})
                if answer["closed"]:
                    raise EOFError
            if eof and answer["taken"] == len(data):
                answer |= await connection.ask({"do": "close"})
    except (OSError, EOFError, TimeoutError):
        raise _make_closed_error(found.task) from None
    if whole and answer["taken"] < len(data):
        raise _make_full_error(answer, len(data))
    return answer


async def _send_to_group(call: Call, group: GroupRow, text: str, eof: bool) -> dict[str, Any]:
    """Write a text to each running task of a group. Raise Conflict if none runs."""
    name = task_groups.format_group(group.number)
    running = await call.db.read(groups.list_uuids, group.number, [TaskStatus.RUNNING])
    if not running:
        raise Conflict(
            "no task of {name} runs. Nothing was sent.", "Its tasks: taskdeck ls {name}", name=name
        )
    answer: dict[str, Any] = {"group": name, "done": [], "refused": []}
    for uuid in running:
        try:
            answer["done"].append(await send(call, id=uuid, text=text, eof=eof, whole=True))
        except Problem as problem:
            answer["refused"].append(lookup.make_refusal(problem, uuid))
    return answer


def _connect(call: Call, found: InputState) -> CompanionConnection:
    assert found.runid is not None
    return CompanionConnection(call.home, found.runid)


async def _wait_for_start(call: Call, ident: str | int) -> InputState:
    """Return a task that runs. Raise a Problem, for a waiting task after a moment."""
    found = await call.db.read(_read_state, ident)
    if _may_start(found) and call.live is not None:
        try:
            async with asyncio.timeout(START_SECONDS):
                async for _ in call.live.watch_changes():
                    found = await call.db.read(_read_state, ident)
                    if not _may_start(found):
                        break
        except TimeoutError:
            pass
    _refuse_closed(found)
    return found


def _read_state(c: Connection, ident: str | int) -> InputState:
    row = lookup.find_task(c, ident)
    runs = [run for run in reads.list_runs(c, row.uuid) if run.status in ACTIVE]
    return InputState(row, *((runs[-1].runid, runs[-1].status) if runs else (None, None)))


def _may_start(found: InputState) -> bool:
    waits = found.task.status in WAITING or found.status == RunStatus.STARTING
    return waits and found.task.stdin


def _refuse_closed(found: InputState) -> None:
    """Raise a problem if the input of a task is not open."""
    task = found.task
    if not task.stdin:
        raise Refused(
            "#{number} has no input: it was submitted without --stdin. Nothing was sent.",
            "With input: taskdeck submit --stdin -- COMMAND",
            number=task.number,
        )
    if task.status in WAITING or found.status == RunStatus.STARTING:
        problem = Conflict(
            "#{number} waits, and its input opens when it starts. Nothing was sent.",
            "Why it waits: taskdeck why {number}",
            number=task.number,
        )
        problem.code = NOT_STARTED
        raise problem
    if found.runid is None:
        raise Conflict("#{number} has ended. Nothing was sent.", number=task.number)


def _make_full_error(answer: dict[str, Any], size: int) -> Conflict:
    number, taken = answer["number"], answer["taken"]
    sent = tr("Nothing was sent.")
    if taken:
        sent = tr("Only {taken:,} of {size:,} bytes were sent.", taken=taken, size=size)
    return Conflict(
        "the input of #{number} is full: {kib:.0f} KiB wait unread. {sent}",
        "See what it does: taskdeck logs {number}",
        number=number,
        kib=answer["unread"] / 1024,
        sent=sent,
    )


def _make_closed_error(task: TaskRow) -> Conflict:
    return Conflict("the input of #{number} is closed. Nothing was sent.", number=task.number)
