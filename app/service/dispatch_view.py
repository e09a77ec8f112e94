"""Input of the dispatch plan, and the reasons why tasks wait."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from app.core.scheduling import forecast
from app.core.scheduling.explain import explain_all
from app.core.scheduling.plan import (
    ActiveRun,
    DispatchView,
    PoolView,
    QueuedTask,
    QueueView,
    make_plan,
)
from app.core.scheduling.waiting_task import Explanation, ParentTask, TaskState
from app.core.text import units
from app.service.tasks.similar_runs import mask_digits
from db import timestamps
from db.engine import Connection, Engine
from db.maintenance import quarantine
from db.queries import dispatch, reads, run_history
from db.rows import ParentRow, QueueRow, TaskLineRow, TaskRow
from db.states import WAITING, TaskStatus

WINDOW_SIZE = 64
CACHE_SECONDS = 30.0
UNKNOWN_CACHE_SECONDS = 2.0
"""Seconds for which a lack of runs is cached.

Enough runs may soon exist, and other screens would then disagree.
"""


class RunTimeCache:
    """Cache of usual run times.

    Run times are read once in 30 s, or in 2 s while unknown, and not in every dispatch round.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, forecast.DurationStats | None]] = {}
        self._commands: tuple[
            float, dict[str, forecast.DurationStats], dict[str, forecast.DurationStats]
        ] = (-CACHE_SECONDS, {}, {})
        """Time of the last read, run times by name, and by name without digits."""

    def get_usual(self, c: Connection, template: str | None) -> forecast.DurationStats | None:
        """Return the usual run time of a template.

        Return None for ad-hoc tasks and too few runs.
        """
        if template is None:
            return None
        cached_at, found = self._known.get(template, (-CACHE_SECONDS, None))
        if time.monotonic() - cached_at >= (CACHE_SECONDS if found else UNKNOWN_CACHE_SECONDS):
            found = forecast.compute_duration_stats(reads.list_run_seconds(c, template))
            self._known[template] = (time.monotonic(), found)
        return found

    def get_usual_of_run(
        self, c: Connection, template: str | None, name: str, elapsed: float
    ) -> forecast.DurationStats | None:
        """Return the usual run time of an active run, or None.

        The template decides, else commands of the same name, else names that differ only in digits.
        Run times by name do not apply to a run that has already taken longer: `bash` is not late
        because another `bash` was short.
        """
        if template is not None:
            return self.get_usual(c, template)
        found = self._find_by_name(name)
        if time.monotonic() - self._commands[0] >= (
            CACHE_SECONDS if found else UNKNOWN_CACHE_SECONDS
        ):
            ran = run_history.list_recent(c)
            self._commands = (
                time.monotonic(),
                _group_usual(ran, str),
                _group_usual(ran, mask_digits),
            )
            found = self._find_by_name(name)
        return found if found is not None and elapsed < found.p95 else None

    def _find_by_name(self, name: str) -> forecast.DurationStats | None:
        _, named, alike = self._commands
        return named.get(name) or alike.get(mask_digits(name))


def _group_usual(
    ran: Sequence[Sequence[Any]], key: Callable[[str], str]
) -> dict[str, forecast.DurationStats]:
    """Return usual run times by key, from rows of name and seconds.

    Keys with too few runs are left out.
    """
    seconds: dict[str, list[float]] = {}
    for name, took, *_ in ran:
        if took is not None:
            seconds.setdefault(key(name), []).append(took)
    return {
        name: found
        for name, took in seconds.items()
        if (found := forecast.compute_duration_stats(took))
    }


_CACHES: WeakKeyDictionary[Engine, RunTimeCache] = WeakKeyDictionary()


def get_cache(c: Connection) -> RunTimeCache:
    """Return the run time cache of a database's readers, for frequent lists."""
    return _CACHES.setdefault(c.engine, RunTimeCache())


def read_view(
    c: Connection,
    run_times: RunTimeCache,
    halted: str | None = None,
    *,
    closed: bool = True,
    ahead: int = WINDOW_SIZE,
) -> DispatchView:
    """Read the input of the dispatch plan.

    With `closed`, also read the windows of full and closed queues, which explanations need. A
    window holds four times the free slots of its queue plus `ahead`; with 0 ahead, only as many
    tasks as slots.
    """
    pools = tuple(
        PoolView(p.name, p.total_cpu, p.total_memory, p.status) for p in reads.list_pools(c)
    )
    running = {p.name for p in pools if p.status == "active"}
    counted = reads.read_counters(c)
    queues = tuple(
        _build_queue(
            c,
            run_times,
            row,
            counted.get((row.name, TaskStatus.QUEUED.value), 0),
            ahead if closed or _can_start(row, running) else None,
        )
        for row in reads.list_queues(c)
    )
    now = timestamps.utcnow()
    active = tuple(_build_active(c, run_times, row, now) for row in dispatch.list_active(c))
    return DispatchView(pools, queues, active, halted, now.timestamp())


def _can_start(queue: QueueRow, running: set[str]) -> bool:
    return (
        queue.status == "active" and queue.pool in running and queue.current_load < queue.capacity
    )


def _build_queue(
    c: Connection, run_times: RunTimeCache, row: QueueRow, total: int, ahead: int | None
) -> QueueView:
    free = max(0, row.capacity - row.current_load)
    most = 0 if ahead is None or not total else 4 * free + ahead if ahead else free
    line = (
        tuple(to_waiting(c, run_times, t) for t in dispatch.list_queued(c, row.name, most))
        if most
        else ()
    )
    since = timestamps.to_unix(row.status_at) if row.status_at else None
    return QueueView(
        row.name,
        row.pool,
        row.capacity,
        row.priority,
        row.status,
        line,
        total,
        row.status_by,
        since,
    )


def to_waiting(c: Connection, run_times: RunTimeCache, t: Any) -> QueuedTask:
    """Convert a row to a waiting task of the plan."""
    usual = run_times.get_usual(c, t.template)
    expected = forecast.estimate_duration(usual, t.timeout)
    return QueuedTask(
        t.uuid,
        t.number,
        t.name,
        t.queue,
        t.priority,
        t.front,
        t.cpu,
        t.memory,
        expected,
        usual is not None,
        t.timeout,
    )


def _build_active(c: Connection, run_times: RunTimeCache, row: Any, now: datetime) -> ActiveRun:
    elapsed = (
        (now - timestamps.parse_time(row.start_time)).total_seconds() if row.start_time else 0.0
    )
    usual = run_times.get_usual_of_run(c, row.template, row.name, elapsed)
    limit = None if row.timeout is None else row.timeout - elapsed
    left = forecast.estimate_remaining(elapsed, usual, row.timeout)
    # The run outlasted past runs, so only its limit is known.
    if left is not None and left <= 0 and limit is not None:
        usual, left = None, limit
    return ActiveRun(
        row.number, row.name, row.queue, row.cpu, row.memory, left, usual is not None, limit
    )


def plan_starts(
    c: Connection, run_times: RunTimeCache
) -> tuple[DispatchView, Sequence[QueuedTask]]:
    """Return the view of one dispatch round and the tasks to start.

    Usually the first tasks of each queue fit its free slots, and no others matter. Only if one of
    them does not start, a larger window is read.
    """
    view = read_view(c, run_times, closed=False, ahead=0)
    starts = make_plan(view).starts
    if len(starts) < sum(len(queue.waiting) for queue in view.queues):
        view = read_view(c, run_times, closed=False)
        starts = make_plan(view).starts
    return view, starts


def explain_waiting(
    c: Connection,
    run_times: RunTimeCache,
    tasks: Sequence[TaskRow | TaskLineRow],
    halted: str | None,
    view: DispatchView | None = None,
) -> dict[str, Explanation]:
    """Return {uuid: why the task waits} for the waiting tasks among these."""
    asked = [task for task in tasks if task.status in WAITING]
    if not asked:
        return {}
    view = view or read_view(c, run_times, halted)
    places = _read_places(c, view, asked)
    answers = explain_all(
        view, [(subject, places[subject.uuid]) for subject in read_subjects(c, asked)]
    )
    return {task.uuid: why for task, why in zip(asked, answers, strict=True)}


def _read_places(
    c: Connection, view: DispatchView, tasks: Sequence[TaskRow | TaskLineRow]
) -> dict[str, int | None]:
    """Return places in the queues: known within the window, counted beyond it."""
    known: dict[str, int | None] = {
        t.uuid: at for queue in view.queues for at, t in enumerate(queue.waiting)
    }
    beyond = [task for task in tasks if task.status == TaskStatus.QUEUED and task.uuid not in known]
    for queue in view.queues:
        tasks_of_queue = [task for task in beyond if task.queue == queue.name]
        if len(tasks_of_queue) == 1:
            known[tasks_of_queue[0].uuid] = reads.count_before(c, tasks_of_queue[0])
        elif tasks_of_queue:
            places = reads.count_before_each(c, queue.name, tasks_of_queue, queue.waiting_total)
            known |= {task.uuid: places[task.number] for task in tasks_of_queue}
    return {
        task.uuid: known[task.uuid] if task.status == TaskStatus.QUEUED else None for task in tasks
    }


def read_subjects(c: Connection, tasks: Sequence[TaskRow | TaskLineRow]) -> list[TaskState]:
    """Return the tasks as the explanation needs them, in order."""
    parents, now = (
        reads.map_parents(c, [task.uuid for task in tasks if task.status != TaskStatus.QUEUED]),
        timestamps.utcnow(),
    )
    return [_build_subject(task, parents.get(task.uuid, ()), now) for task in tasks]


def _build_subject(
    task: TaskRow | TaskLineRow, parents: Sequence[ParentRow], now: datetime
) -> TaskState:
    due, retry_in = _seconds_until(task.not_before, now), _seconds_until(task.retry_at, now)
    at = (
        units.format_clock_time(timestamps.parse_time(task.not_before), now)
        if task.not_before
        else None
    )
    waits_for = tuple(ParentTask(p.number, p.name, p.status, p.kind) for p in parents)
    return TaskState(task.uuid, task.number, task.name, task.queue, task.status, task.priority,
    task.cpu, task.memory,
                   task.held_by if task.hold else None, due, at, retry_in, task.attempts,
                   task.failures, task.retries,
                   waits_for, (task.held_by or "").startswith(quarantine.HELD_BY))  # fmt: skip


def _seconds_until(text: str | None, now: datetime) -> float | None:
    return max(0.0, (timestamps.parse_time(text) - now).total_seconds()) if text else None
