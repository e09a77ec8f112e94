"""The runtime and its database, as an administrator sees them."""

from __future__ import annotations

import asyncio
from typing import Any

from app.errors import Conflict
from app.service.call import Call
from db import migrate


async def stop(call: Call, *, drain: bool = False) -> dict[str, Any]:
    """Begin to end the runtime; with `drain` when nothing runs any more. It leaves a mark, so that only `serve` starts one again."""
    if call.live is None:
        raise Conflict("no runtime is up; there is nothing to stop.")
    call.live.stop(drain, call.by)
    return {}


async def check(call: Call) -> dict[str, Any]:
    """Read the whole database and say what is wrong with it."""
    problems = await asyncio.to_thread(migrate.check, call.db.path)
    return {"ok": not problems, "problems": problems}
