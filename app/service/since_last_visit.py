"""Summary of events since a user's last visit."""

from __future__ import annotations

from typing import Any

from app.core.text.status_glyphs import FAILED_STATES
from app.service.context import Call
from db import timestamps
from db.engine import Connection
from db.queries import reads
from db.queries.rules import alerts

MAX_NAMED = 6


async def summarize_since(call: Call, *, since: float) -> dict[str, Any]:
    """Summarize the events since a UNIX time.

    Return {"since", "ended": tasks by outcome, "bad": the latest failures, "alerts": alerts that
    fired}.
    """
    return await call.db.read(_summarize, since)


def _summarize(c: Connection, since: float) -> dict[str, Any]:
    stamp = timestamps.from_unix(since)
    return {
        "since": since,
        "ended": reads.count_ended_since(c, stamp),
        "bad": [
            {name: getattr(row, name) for name in ("number", "name", "status", "queue", "reason",
            "ended_at")}
            for row in reads.list_just_ended(c, FAILED_STATES, stamp, MAX_NAMED)
        ],
        "alerts": [
            {"sla": found.alert.name, "severity": found.alert.severity,
            "status": found.alert.status, "object": found.alert.object}
            for found in alerts.list_alerts(c, stamp, 0)
            if found.alert.fired_at >= stamp
        ][:MAX_NAMED],
    }  # fmt: skip
