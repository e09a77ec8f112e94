"""What happened since somebody last looked."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from app.core.text.status_glyphs import BAD
from app.service.context import Call
from db import timestamps
from db.queries import alerts, reads

NAMED = 6


async def away(call: Call, *, since: float) -> dict[str, Any]:
    """Since that UNIX time: {"since", "ended": tasks by outcome, "bad": the latest that went wrong, "alerts": those that fired}."""
    return await call.db.read(_away, since)


def _away(c: Connection, since: float) -> dict[str, Any]:
    stamp = timestamps.from_unix(since)
    return {
        "since": since,
        "ended": reads.ended_since(c, stamp),
        "bad": [
            {name: getattr(row, name) for name in ("number", "name", "status", "queue", "reason", "ended_at")}
            for row in reads.just_ended(c, BAD, stamp, NAMED)
        ],
        "alerts": [
            {"sla": found.alert.name, "severity": found.alert.severity, "status": found.alert.status, "object": found.alert.object}
            for found in alerts.listed(c, stamp, 0)
            if found.alert.fired_at >= stamp
        ][:NAMED],
    }  # fmt: skip
