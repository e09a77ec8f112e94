"""Administration of the runtime: stop, start and doctor."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import Any

from app import cluster
from app.core.board import DRAINING
from app.errors import Conflict, Storage
from app.health.runner import run_checks
from app.service import board
from app.service.context import Call
from app.translation import tr
from db.errors import DiskFull
from db.queries import reads
from db.queries.history import operations


async def stop(call: Call, *, drain: bool = False, resource: str = "") -> dict[str, Any]:
    """Stop the runtime, with `drain` only after the last run has ended.

    A stop marker keeps other commands from starting a new runtime; only `serve` starts one again.
    On a full disk the marker may be missing, which a note reports. A cluster names its `resource`;
    it alone may stop its runtime.
    """
    if call.live is None:
        raise Conflict("no runtime is running; there is nothing to stop.")
    if not resource and not call.live.get_facts().demo:
        cluster.refuse_stop()
    try:
        # Without the marker nothing is done, so no operation must be recorded.
        call.live.mark_stopped(cluster.STOPPED_BY if resource else call.by, resource)
    except DiskFull as problem:
        call.note(
            tr(
                "{problem}: the next command that needs a runtime starts one.",
                problem=problem.message,
            )
        )
    try:
        with suppress(Storage):  # A full disk must not prevent a stop.
            await call.db.write(
                operations.record, call.by, "stop", "runtime", None, {"drain": drain}
            )
    finally:  # The marker exists, so stop even if the caller has hung up.
        call.live.stop(drain)
    return {}


async def start(call: Call) -> dict[str, Any]:
    """Cancel a drain, unless it is one of the cluster. Do nothing without a drain."""
    if call.live is not None:
        if call.live.halted == DRAINING:
            cluster.refuse_start(os.fspath(call.home))
        call.live.cancel_drain()
    return {}


async def doctor(call: Call) -> list[dict[str, Any]]:
    """Return the findings of `taskdeck doctor --json` that are not `well`."""
    found = await board.show_status(call)
    tasks = await call.db.read(lambda c: reads.list_tasks(c, limit=1))
    newest = tasks[0].created_at if tasks else None
    seen = await asyncio.to_thread(lambda: list(run_checks(os.fspath(call.home), found, newest)))
    return [finding.to_dict() for finding in seen if finding.state != "well"]
