"""Alerts, as people see and acknowledge them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from app.core import sla
from app.core.clean import clean, cut, nearest
from app.errors import NotFound
from app.service import find, slas
from app.service.call import Call
from db import alerts, clock, named, operations
from db.rows import AlertRow


async def ls(call: Call, *, all: bool = False) -> list[dict[str, Any]]:
    """Open alerts, with `all` the resolved ones too; the most severe first, then the oldest."""
    return await call.db.read(lambda c: [as_dict(found) for found in current(c, "" if all else None)])


def current(c: Connection, resolved_since: str | None = None, limit: int = 0) -> list[alerts.OpenAlert]:
    """As `db.alerts.listed`, with the texts of open alerts as of now: what fired at 45m says 57m twelve later."""
    now = clock.utcnow().timestamp()
    return [_fresh(found, now) for found in alerts.listed(c, resolved_since, limit)]


def as_dict(found: alerts.OpenAlert) -> dict[str, Any]:
    """An alert on the wire; `since` is when the limit was reached."""
    row, task = found.alert, found.task
    return {
        "id": row.id, "sla": row.name, "sla_id": row.sla_id, "severity": row.severity, "status": row.status,
        "task_number": task.number if task else None, "task_name": task.name if task else None, "object": row.object,
        "text": row.text, "short": row.short, "since": row.fired_at, "acknowledged_by": row.acknowledged_by,
        "resolved_at": row.resolved_at, "created_at": row.created_at, "updated_at": row.updated_at,
    }  # fmt: skip


async def ack(call: Call, *, ids: Sequence[str | int]) -> dict[str, Any]:
    """Acknowledge alerts by id, or all of an SLA by its name: it stays open, and says who has seen it."""
    return await call.db.write(_acknowledge, call.by, ids)


def _fresh(found: alerts.OpenAlert, now: float) -> alerts.OpenAlert:
    if found.alert.status == "resolved" or found.task is None or found.conditions is None:
        return found
    verdict = sla.judge(sla.parse(found.conditions), slas.facts(found.task), now)
    row = found.alert._replace(text=verdict.text, short=verdict.short, value=verdict.took)
    return found._replace(alert=row)


def _acknowledge(c: Connection, by: str, ids: Sequence[str | int]) -> dict[str, Any]:
    chosen: dict[int, AlertRow] = {}
    refused = []
    for ident in ids:
        try:
            chosen |= {row.id: row for row in _meant(c, str(ident).strip())}
        except NotFound as problem:
            refused.append(find.refusal(problem, ident))
    firing = [row for row in chosen.values() if row.status == "firing"]
    alerts.acknowledge(c, [row.id for row in firing], by)
    _record(c, by, firing)
    return {"done": [_done(row) for row in firing], "refused": refused,
            "notes": [_note(row) for row in chosen.values() if row.status != "firing"]}  # fmt: skip


def _record(c: Connection, by: str, rows: Sequence[AlertRow]) -> None:
    """One operation per SLA, however many alerts it has."""
    before, after = {"status": "firing"}, {"status": "acknowledged"}
    for name in dict.fromkeys(row.name for row in rows):
        objects = [row.object for row in rows if row.name == name]
        about = objects[0] if len(objects) == 1 else f"{len(objects)} tasks"
        operations.record(c, by, "alert ack", f"alert {name} on {about}", before, after)


def _meant(c: Connection, word: str) -> list[AlertRow]:
    """The alerts that an id or an SLA's name stands for."""
    found = alerts.find(c, int(word)) if re.fullmatch(r"[0-9]{1,18}", word) else None
    rows = [found] if found else alerts.of_sla(c, word)
    if not rows and named.sla(c, word) is None:
        near = nearest(word, [row.name for row in named.slas(c)])
        hint = f" Nearest: {clean(near)}." if near else ""
        raise NotFound(f'no alert "{cut(clean(word), 60)}".{hint}', "List: taskdeck alert ls")
    return rows


def _done(row: AlertRow) -> dict[str, Any]:
    return {"id": row.id, "sla": row.name, "object": row.object, "status": "acknowledged"}


def _note(row: AlertRow) -> str:
    by = clean(row.acknowledged_by or "")
    said = f"was acknowledged by {by} already" if row.status == "acknowledged" else "has resolved"
    return f"Alert {row.id} ({clean(row.name)}) {said}."
