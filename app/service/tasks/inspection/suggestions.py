"""Suggestions for waiting tasks, from the database and the machine."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from app import cluster
from app.core.board import DRAINING
from app.core.scheduling.explanations.suggestion import Facts, RunProgress, Suggestion
from app.core.scheduling.explanations.suggestions import find_suggestions
from app.core.scheduling.explanations.waiting_task import Explanation
from app.core.scheduling.plan import DispatchView, QueuedTask
from app.service import machine
from app.service.context import Call
from app.service.scheduling import dispatch_view
from app.service.tasks.inspection import similar_runs
from app.translation import tr
from db import timestamps
from db.engine import Connection
from db.queries import reads
from db.rows import TaskRow

MAX_TASKS = 5
"""Maximum number of tasks of one request that get suggestions."""


def find_task_suggestions(
    c: Connection,
    call: Call,
    run_times: dispatch_view.RunTimeCache,
    rows: Sequence[TaskRow],
    view: DispatchView,
    why: dict[str, Explanation],
) -> dict[str, list[dict[str, Any]]]:
    """Return {uuid: suggestions} for the first waiting tasks among these.

    `why` explains the tasks in the same view.
    """
    waiting = [
        row
        for row in rows
        if row.uuid in why and all(reason.code != "storing" for reason in why[row.uuid].reasons)
    ][:MAX_TASKS]
    if not waiting:
        return {}
    if view.halted is not None:
        return {row.uuid: _suggest_start(call) for row in waiting}
    progress = _read_run_progress(c)
    return {
        row.uuid: [
            _to_dict(suggestion)
            for suggestion in find_suggestions(
                _build_inputs(c, call, run_times, row, view, why[row.uuid], progress)
            )
        ]
        for row in waiting
    }


def _build_inputs(
    c: Connection,
    call: Call,
    run_times: dispatch_view.RunTimeCache,
    row: TaskRow,
    view: DispatchView,
    why: Explanation,
    progress: dict[int, RunProgress],
) -> Facts:
    """Collect the inputs of the suggestions for one task."""
    state = dispatch_view.read_task_states(c, [row], dispatch_view.get_bounds(view))[0]
    return Facts(
        view, state, _find_task(c, run_times, row, view, state.subjects),
        why, progress, similar_runs.learn_from_similar(c, row),
        machine=machine.read_amounts(),
    )  # fmt: skip


def _find_task(
    c: Connection,
    run_times: dispatch_view.RunTimeCache,
    row: TaskRow,
    view: DispatchView,
    subjects: tuple[str, ...],
) -> QueuedTask:
    """Return the task as the plan sees it, also if it is not queued or beyond the view."""
    policy = view.get_policy(row.queue)
    found = dispatch_view.to_waiting(c, run_times, row, policy, subjects=subjects)
    heads = [queue.waiting[0] for queue in view.queues if queue.waiting]
    aged = next((task.aged_since for task in heads if task.uuid == row.uuid), None)
    return replace(found, aged_since=aged)


def _read_run_progress(c: Connection) -> dict[int, RunProgress]:
    """Return age and priority of the active runs, by task number."""
    now = timestamps.utcnow().timestamp()
    return {
        run.number: RunProgress(
            now - timestamps.to_unix(run.start_time) if run.start_time else 0.0, run.priority
        )
        for run in reads.list_running(c)
    }


def _suggest_start(call: Call) -> list[dict[str, Any]]:
    """Suggest starting the runtime if it is down or draining, unless a cluster does so.

    Other halts, such as a full disk, have no suggestion.
    """
    if call.live is not None and call.live.halted != DRAINING:
        return []
    if cluster.find_start_command(os.fspath(call.home)):
        return []
    what = tr("start the runtime") if call.live is None else tr("resume starting tasks")
    return [_to_dict(Suggestion("start", what,
    tr("nothing starts without a runtime") if call.live is None else tr("it is draining"), "start",
                       command=("taskdeck", "serve", "--detach"), said=tr("Resumes starting tasks"),
                       worth=2))]  # fmt: skip


def _to_dict(suggestion: Suggestion) -> dict[str, Any]:
    """Return a suggestion as sent to clients."""
    found = asdict(suggestion)
    return {**found, "command": list(suggestion.command), "undo": list(found["undo"])}
