"""The warm copy of the database: where it is, and how old."""

from __future__ import annotations

import shlex
from typing import Any

from app.core.text.sanitize import clean
from app.errors import Refused, Usage
from app.service.context import Call
from db import timestamps
from db.queries import replicas
from db.queries.replicas import Replica

LATE = 120.0
"""Seconds from which on a copy is late."""


async def status(call: Call) -> dict[str, Any]:
    """{"target", "at", "lag", "late", "problem", "promoted"}; target is None when there is none."""
    return told(await call.db.read(replicas.find))


async def set_(call: Call, *, to: str) -> dict[str, Any]:
    """Copy to a folder, or HOST:FOLDER, from now on; as `status` after the first copy."""
    if not to or "\0" in to or "\n" in to or to.startswith("-"):
        raise Usage("the copy needs a folder, or HOST:FOLDER. Nothing was changed.", "Type: taskdeck db replica set /mnt/second/taskdeck")
    host, folder = parted(to)
    if not folder.startswith("/"):
        what = f"no folder stands behind {clean(host)}:" if host and not folder else "the folder of the copy must begin with /"
        raise Usage(f"{what}. Nothing was changed.", _typed(f"{host}:/mnt/second/taskdeck" if host else "/mnt/second/taskdeck", "Type"))
    if to.startswith(":"):
        raise Usage("no host stands before the colon. Nothing was changed.", _typed(folder, "On this machine"))
    return await _moved(call, to.rstrip("/") or "/")


def _typed(to: str, when: str) -> str:
    """The command that copies there."""
    return f"{when}: taskdeck db replica set {clean(shlex.quote(to))}"


def parted(target: str) -> tuple[str, str]:
    """Host and folder of HOST:FOLDER; the host is "" for a folder of this machine."""
    host, colon, folder = target.partition(":")
    return (host, folder) if colon and "/" not in host else ("", target)


async def off(call: Call) -> dict[str, Any]:
    """Copy nowhere any more; the copy stays where it `was`, None where there was none."""
    before = await call.db.read(replicas.find)
    return {**await _moved(call, None), "was": before.target if before else None}


async def _moved(call: Call, to: str | None) -> dict[str, Any]:
    """Copy to there from now on. The copy before stays where it lies and gets old, which is noted."""
    if call.live is None:
        raise Refused("a copy is kept by the runtime, and none is up.", "Type: taskdeck serve")
    before = await call.db.read(replicas.find)
    found = told(await call.live.replicate(to, call.by))
    if before is not None and before.synced_at and before.target != to and before.problem != replicas.PROMOTED:
        call.note(f"The copy in {clean(before.target)} stays there, and gets old: remove its replica.db when it is not wanted.")
    return found


def told(replica: Replica | None) -> dict[str, Any]:
    """The copy as verbs answer it; `lag` in seconds."""
    if replica is None:
        return {"target": None, "at": None, "lag": None, "late": False, "problem": None, "promoted": False}
    since = replica.synced_at
    lag = max(0.0, timestamps.utcnow().timestamp() - timestamps.unix(since)) if since else None
    promoted = replica.problem == replicas.PROMOTED
    late = promoted or (lag > LATE if lag is not None else replica.problem is not None)
    return {"target": replica.target, "at": since, "lag": lag, "late": late, "problem": replica.problem, "promoted": promoted}
