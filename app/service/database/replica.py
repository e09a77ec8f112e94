"""Replica of the database: status and settings."""

from __future__ import annotations

import shlex
from typing import Any

from app.core.text.sanitize import sanitize
from app.errors import Refused, Usage
from app.service.context import Call
from app.translation import tr
from db import timestamps
from db.engine import Connection
from db.queries.home import replicas
from db.queries.home.replicas import Replica

LATE_AFTER = 120.0
"""Lag in seconds above which a replica is late."""


async def status(call: Call) -> dict[str, Any]:
    """Return {"target", "at", "lag", "late", "problem", "promoted", "missed"}.

    `target` is None without a replica. `missed` counts what the replica lacks now.
    """
    return await call.db.read(read_status)


def read_status(c: Connection) -> dict[str, Any]:
    """Return the status of the replica with what it lacks now, None before its first copy."""
    found = replicas.find_replica(c)
    since = found.synced_at if found else None
    return to_dict(found) | {"missed": replicas.count_missed(c, since) if since else None}


async def set_(call: Call, *, to: str) -> dict[str, Any]:
    """Replicate to a folder, or to HOST:FOLDER. Return the status after the first copy."""
    if not to or "\0" in to or "\n" in to or to.startswith("-"):
        raise Usage(
            "the replica needs a folder, or HOST:FOLDER. Nothing was changed.",
            "Use: taskdeck db replica set /mnt/second/taskdeck",
        )
    host, folder = split_target(to)
    if not folder.startswith("/"):
        what = (
            tr("the folder is missing after {host}:", host=sanitize(host))
            if host and not folder
            else tr("the folder of the replica must begin with /")
        )
        raise Usage(
            f"{what}. Nothing was changed.",
            _format_command(
                f"{host}:/mnt/second/taskdeck" if host else "/mnt/second/taskdeck", "Use"
            ),
        )
    if to.startswith(":"):
        raise Usage(
            "the host is missing before the colon. Nothing was changed.",
            _format_command(folder, "On this machine"),
        )
    return await _change_target(call, to.rstrip("/") or "/")


def _format_command(to: str, when: str) -> str:
    """Return a hint with the command for a target."""
    return tr("{when}: taskdeck db replica set {to}", when=when, to=sanitize(shlex.quote(to)))


def split_target(target: str) -> tuple[str, str]:
    """Split HOST:FOLDER. The host is "" for a local folder."""
    host, colon, folder = target.partition(":")
    return (host, folder) if colon and "/" not in host else ("", target)


async def disable(call: Call) -> dict[str, Any]:
    """Stop replication. The replica stays in its folder `was`, None if there was none."""
    before = await call.db.read(replicas.find_replica)
    return {**await _change_target(call, None), "was": before.target if before else None}


async def _change_target(call: Call, to: str | None) -> dict[str, Any]:
    """Change the target. Note that the previous replica stays and becomes stale."""
    if call.live is None:
        raise Refused(
            "the runtime makes the replica, and no runtime is running.", "Start it: taskdeck serve"
        )
    before = await call.db.read(replicas.find_replica)
    found = to_dict(await call.live.replicate(to, call.by))
    if (
        before is not None
        and before.synced_at
        and before.target != to
        and before.problem != replicas.PROMOTED_PROBLEM
    ):
        call.note(
            tr(
                "The replica in {target} stays there and becomes stale: remove its replica.db if"
                " you do not need it.",
                target=sanitize(before.target),
            )
        )
    return found


def to_dict(replica: Replica | None) -> dict[str, Any]:
    """Return the status of a replica as sent to clients, with `lag` in seconds."""
    if replica is None:
        return {
            "target": None,
            "at": None,
            "lag": None,
            "late": False,
            "problem": None,
            "promoted": False,
        }
    since = replica.synced_at
    lag = max(0.0, timestamps.utcnow().timestamp() - timestamps.to_unix(since)) if since else None
    promoted = replica.problem == replicas.PROMOTED_PROBLEM
    late = promoted or (lag > LATE_AFTER if lag is not None else replica.problem is not None)
    return {
        "target": replica.target,
        "at": since,
        "lag": lag,
        "late": late,
        "problem": replica.problem,
        "promoted": promoted,
    }
