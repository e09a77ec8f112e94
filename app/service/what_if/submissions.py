"""New tasks of a supposed submission, as the forecast needs them."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from app.core.dependency_kinds import ON_FAILURE
from app.core.ids import make_uuid7
from app.core.scheduling.forecasts import run_times
from app.core.scheduling.limits import list_subjects
from app.core.scheduling.plan import LaterTask, QueuedTask
from app.core.scheduling.resources import make_amounts
from app.core.task_spec import TaskSpec
from app.errors import NOT_SUBMITTED, Problem, Usage
from app.service import notifications
from app.service.context import Call
from app.service.scheduling.dispatch_view import RunTimeCache
from app.service.tasks.places import Place
from app.service.tasks.submission import json_lines, submit
from app.service.tasks.submission.batch_dependencies import DependencyEdge
from app.service.tasks.submission.resolution import Resolutions
from app.translation import tr
from db import timestamps
from db.engine import Connection
from db.queries import reads
from db.queries.scheduling.resources import parse_named
from db.states import ENDED, TaskStatus

FIRST_NUMBER = 1 << 62
"""Number of the first supposed task, above all that exist."""
MAX_LINES = 1_000
"""Lines of a supposed submission that are read."""


class NewTasks(NamedTuple):
    """Supposed tasks that are queued or wait for something, and how many would be held."""

    queued: tuple[QueuedTask, ...] = ()
    later: tuple[LaterTask, ...] = ()
    held: int = 0
    rows: Sequence[Mapping[str, Any]] = ()


def parse_lines(text: str) -> list[tuple[int, TaskSpec]]:
    """Return the tasks of JSON lines, with their line numbers. Raise Usage for the first fault."""
    lines = list(json_lines.number_lines(text.split("\n")))
    if not lines:
        raise Usage("there is no task to submit: all lines are blank.")
    if len(lines) > MAX_LINES:
        raise Usage(
            "what-if takes at most {max_lines:,} new tasks, not {n:,}.",
            max_lines=MAX_LINES,
            n=len(lines),
        )
    found = list[tuple[int, TaskSpec]]()
    for number, line in lines:
        spec = json_lines.parse_line(line)
        if isinstance(spec, Problem):
            raise _make_line_problem(number, spec)
        found.append((number, spec))
    return found


def _make_line_problem(number: int, problem: Problem) -> Problem:
    said = problem.message.replace(f" {NOT_SUBMITTED}", "")
    return type(problem)(tr("line {number}: {said}", number=number, said=said), problem.hint)


def make_tasks(
    c: Connection,
    call: Call,
    cache: RunTimeCache,
    lines: Sequence[tuple[int, TaskSpec]],
    resolutions: Resolutions,
    places: Mapping[str, Place],
    booked: Container[str] = (),
) -> NewTasks:
    """Return the tasks of lines as the plan would see them. Raise Problem, as a submission does.

    `booked` are the tags that have bookings.
    """
    origin = submit.Origin(call.by, "/", 0o022, {}, partial(notifications.get_settings, call))
    batch = submit.SubmitBatch(c, origin, make_uuid7(), resolutions)
    batch.queues = {row.name: (row, places[row.name]) for row in reads.list_queues(c)}
    for number, spec in lines:
        try:
            batch.add(spec, number)
        except Problem as problem:
            raise _make_line_problem(number, problem) from None
    edges, unknown = batch.find_parents()
    if unknown:
        at = min(unknown)
        raise _make_line_problem(lines[at][0], unknown[at])
    parents, leaders, held = _find_parents(c, batch.rows, edges)
    limits = next(iter(places.values())).limits
    subjects = [list_subjects(limits, row["tags"], booked) for row in batch.rows]
    tasks = [_to_queued(c, cache, row, at, subjects[at]) for at, row in enumerate(batch.rows)]
    queued, later = list[QueuedTask](), list[LaterTask]()
    for at, (row, task) in enumerate(zip(batch.rows, tasks, strict=True)):
        due = _get_seconds_until(row["not_before"])
        if at in held:
            continue
        if due or parents[at] or leaders[at]:
            later.append(LaterTask(task, due, tuple(parents[at]), tuple(leaders[at])))
        else:
            queued.append(task)
    return NewTasks(tuple(queued), tuple(later), len(held), batch.rows)


def _to_queued(
    c: Connection, cache: RunTimeCache, row: Mapping[str, Any], at: int, subjects: tuple[str, ...]
) -> QueuedTask:
    past = cache.get_past(c, row["template"], row["name"])
    return QueuedTask(
        row["uuid"],
        FIRST_NUMBER + at,
        row["name"],
        row["queue"],
        row["priority"],
        0,
        make_amounts(row["cpu"], row["memory"], parse_named(row["resources"])),
        run_times.estimate_duration(cache.get_usual(c, row["template"]), row["timeout"]),
        row["timeout"],
        run_times.limit_run_times(past.likely, row["timeout"]) if past else (),
        subjects=subjects,
    )


def _find_parents(
    c: Connection, rows: Sequence[Mapping[str, Any]], edges: Sequence[DependencyEdge]
) -> tuple[list[list[int]], list[list[int]], set[int]]:
    """Return the numbers of unmet parents, and of those that need only start, by position.

    The third part are the positions of tasks that stay. A task stays if it is held, waits for a
    failure, or has a parent that stays or never ends as the task needs.
    """
    stored = {e.parent for e in edges if isinstance(e.parent, str)}
    known = {row.uuid: row for row in reads.list_by_uuid(c, list(stored))} if stored else {}
    parents, leaders = ([list[int]() for _ in rows] for _ in range(2))
    stay = {at for at, row in enumerate(rows) if row["hold"]}
    stay |= {edge.task for edge in edges if edge.kind in ON_FAILURE}
    for edge in edges:
        unmet = leaders if edge.kind == "start" else parents
        if isinstance(edge.parent, int):
            unmet[edge.task].append(FIRST_NUMBER + edge.parent)
            continue
        row = known[edge.parent]
        has_begun = edge.kind == "start" and row.status == TaskStatus.RUNNING
        if row.status not in ENDED and not has_begun:
            unmet[edge.task].append(row.number)
        elif edge.kind == "success" and row.status != TaskStatus.SUCCEEDED:
            stay.add(edge.task)
    while more := {
        at
        for at in range(len(rows))
        if at not in stay
        and any(number - FIRST_NUMBER in stay for number in (*parents[at], *leaders[at]))
    }:
        stay |= more
    return parents, leaders, stay


def _get_seconds_until(text: str | None) -> float:
    if not text:
        return 0.0
    return max(0.0, (timestamps.parse_time(text) - timestamps.utcnow()).total_seconds())
