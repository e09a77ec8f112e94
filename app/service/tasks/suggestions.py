"""What could help tasks that wait, from the database and the machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection

from app.core.board import DRAINING
from app.core.scheduling.plan import View
from app.core.scheduling.suggestion import Cure, Held, World
from app.core.scheduling.suggestions import cures
from app.core.scheduling.waiting_task import Why
from app.service import dispatch_view
from app.service.context import Call
from app.service.tasks import similar_runs
from db import timestamps
from db.queries import reads
from db.rows import TaskRow

ASKED = 5
"""Cures are worked out for so many tasks of one question."""


def of(
    c: Connection, call: Call, habits: dispatch_view.Habits, rows: Sequence[TaskRow], seen: View, why: dict[str, Why]
) -> dict[str, list[dict[str, Any]]]:
    """{uuid: cures} of the first of these tasks that wait; `why` is their explanation in the same view."""
    waiting = [row for row in rows if row.uuid in why][:ASKED]
    if not waiting:
        return {}
    if seen.halted is not None:
        return {row.uuid: _to_start(call) for row in waiting}
    held = _held(c)
    return {row.uuid: [_told(cure) for cure in cures(_world(c, call, habits, row, seen, why[row.uuid], held))] for row in waiting}


def _world(
    c: Connection, call: Call, habits: dispatch_view.Habits, row: TaskRow, seen: View, why: Why, held: dict[int, Held]
) -> World:
    host = call.live.host() if call.live else None
    return World(
        seen, dispatch_view.subjects(c, [row])[0], dispatch_view.waiting(c, habits, row), why, held, similar_runs.of(c, row),
        cores=host.cores or None if host else None, memory=host.memory_total if host else None,
    )  # fmt: skip


def _held(c: Connection) -> dict[int, Held]:
    """What holds resources, by number."""
    now = timestamps.utcnow().timestamp()
    return {
        run.number: Held(now - timestamps.unix(run.start_time) if run.start_time else 0.0, run.priority)
        for run in reads.running(c)
    }


def _to_start(call: Call) -> list[dict[str, Any]]:
    """When nothing starts at all because nobody starts it; a full disk is not ours to cure."""
    if call.live is not None and call.live.halted != DRAINING:
        return []
    what = "start the runtime" if call.live is None else "let it start things again"
    return [_told(Cure("start", what, "nothing starts without one" if call.live is None else "it is draining", "start",
                       command=("taskdeck", "serve", "--detach"), said="Starts things again", worth=2))]  # fmt: skip


def _told(cure: Cure) -> dict[str, Any]:
    """A cure on the wire."""
    found = asdict(cure)
    return {**found, "command": list(cure.command), "undo": list(found["undo"])}
