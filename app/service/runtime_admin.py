"""The runtime and its database, as an administrator sees them."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import Any

from app.errors import Conflict, Storage
from app.health.runner import run_checks
from app.service import board
from app.service.context import Call
from app.service.tasks import views
from db.errors import DiskFull
from db.queries import operations


async def stop(call: Call, *, drain: bool = False) -> dict[str, Any]:
    """Begin to end the runtime; with `drain` when nothing runs any more. It leaves a mark, so that only `serve` starts one again: that is
    noted where a full disk has not even room for that."""
    if call.live is None:
        raise Conflict("no runtime is up; there is nothing to stop.")
    try:
        call.live.mark_stopped(call.by)  # where that is refused nothing was done, and nothing is to stand in the log of operations
    except DiskFull as problem:
        call.note(f"{problem.message}: the next command that needs one starts it again.")
    try:
        with suppress(Storage):  # a disk that is full keeps no runtime from being stopped
            await call.db.write(operations.record, call.by, "stop", "runtime", None, {"drain": drain})
    finally:  # whoever asked may have hung up, and the mark is there
        call.live.stop(drain)
    return {}


async def start(call: Call) -> dict[str, Any]:
    """Go on after a drain was begun; a runtime that is up has nothing else to do for it."""
    if call.live is not None:
        call.live.cancel_drain()
    return {}


async def doctor(call: Call) -> list[dict[str, Any]]:
    """What is not well on this machine, as `taskdeck doctor --json` says it; empty when all is."""
    found = await board.show_status(call)
    tasks = (await views.ls(call, limit=1))["tasks"]
    newest = str(tasks[0]["created_at"]) if tasks else None
    seen = await asyncio.to_thread(lambda: list(run_checks(os.fspath(call.home), found, newest)))
    return [finding.to_dict() for finding in seen if finding.state != "well"]
