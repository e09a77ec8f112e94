"""The dispatcher's view of the database, and the facts that say why a task waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine

from app.core.scheduling import forecast
from app.core.scheduling.explain import explain_all
from app.core.scheduling.plan import Active, PoolView, QueueView, View, Waiting, plan
from app.core.scheduling.waiting_task import Parent, Subject, Why
from app.core.text import units
from app.service.tasks.similar_runs import kind
from db import timestamps
from db.maintenance import quarantine
from db.queries import dispatch, reads, run_history
from db.rows import LineRow, ParentRow, QueueRow, TaskRow
from db.states import WAITING, Task

WINDOW = 64
REMEMBERED = 30.0
UNKNOWN_FOR = 2.0
"""Seconds for which too few runs are remembered: soon there may be enough, and screens that ask anew would tell otherwise."""


class Habits:
    """How long runs usually take; asked of the database once in 30 s, 2 s while that is not known, not at every round."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, forecast.Usual | None]] = {}
        self._commands: tuple[float, dict[str, forecast.Usual], dict[str, forecast.Usual]] = (-REMEMBERED, {}, {})
        """When the last commands were asked for, how long they took by name, and by kind of name."""

    def of(self, c: Connection, template: str | None) -> forecast.Usual | None:
        """The usual run time of a template; None for ad-hoc tasks and too few runs."""
        if template is None:
            return None
        asked, found = self._known.get(template, (-REMEMBERED, None))
        if time.monotonic() - asked >= (REMEMBERED if found else UNKNOWN_FOR):
            found = forecast.usual(reads.past_run_seconds(c, template))
            self._known[template] = (time.monotonic(), found)
        return found

    def of_run(self, c: Connection, template: str | None, name: str, elapsed: float) -> forecast.Usual | None:
        """What says when a run ends: its template, else the last commands of its name, else those of names that differ in digits only.

        Names say nothing of a run that has taken longer than theirs did: `bash` is not late because another `bash` was short.
        """
        if template is not None:
            return self.of(c, template)
        found = self._command(name)
        if time.monotonic() - self._commands[0] >= (REMEMBERED if found else UNKNOWN_FOR):
            ran = run_history.lately(c)
            self._commands = (time.monotonic(), _usual_by(ran, str), _usual_by(ran, kind))
            found = self._command(name)
        return found if found is not None and elapsed < found.p95 else None

    def _command(self, name: str) -> forecast.Usual | None:
        _, named, alike = self._commands
        return named.get(name) or alike.get(kind(name))


def _usual_by(ran: Sequence[Sequence[Any]], key: Callable[[str], str]) -> dict[str, forecast.Usual]:
    """How long these runs, each a name and its seconds, usually took; only where there are enough."""
    seconds: dict[str, list[float]] = {}
    for name, took, *_ in ran:
        if took is not None:
            seconds.setdefault(key(name), []).append(took)
    return {name: found for name, took in seconds.items() if (found := forecast.usual(took))}


_REMEMBERED: WeakKeyDictionary[Engine, Habits] = WeakKeyDictionary()


def remembered(c: Connection) -> Habits:
    """What the readers of this database have asked for before: for lists, which are read again and again."""
    return _REMEMBERED.setdefault(c.engine, Habits())


def view(c: Connection, habits: Habits, halted: str | None = None, *, closed: bool = True, ahead: int = WINDOW) -> View:
    """What decides, now. With `closed` the windows of full and closed queues are read too, as explaining needs them.

    A window holds four times the free slots of its queue and `ahead` more; with 0 ahead, only as many as there are slots.
    """
    pools = tuple(PoolView(p.name, p.total_cpu, p.total_memory, p.status) for p in reads.pools(c))
    running = {p.name for p in pools if p.status == "active"}
    counted = reads.counters(c)
    queues = tuple(
        _queue(c, habits, row, counted.get((row.name, Task.QUEUED.value), 0), ahead if closed or _starts(row, running) else None)
        for row in reads.queues(c)
    )
    now = timestamps.utcnow()
    active = tuple(_active(c, habits, row, now) for row in dispatch.active(c))
    return View(pools, queues, active, halted, now.timestamp())


def _starts(queue: QueueRow, running: set[str]) -> bool:
    return queue.status == "active" and queue.pool in running and queue.current_load < queue.capacity


def _queue(c: Connection, habits: Habits, row: QueueRow, total: int, ahead: int | None) -> QueueView:
    free = max(0, row.capacity - row.current_load)
    most = 0 if ahead is None or not total else 4 * free + ahead if ahead else free
    line = tuple(waiting(c, habits, t) for t in dispatch.window(c, row.name, most)) if most else ()
    since = timestamps.unix(row.status_at) if row.status_at else None
    return QueueView(row.name, row.pool, row.capacity, row.priority, row.status, line, total, row.status_by, since)


def waiting(c: Connection, habits: Habits, t: Any) -> Waiting:
    """A task as the plan knows it, from a row with its columns."""
    usual = habits.of(c, t.template)
    expected = forecast.expected(usual, t.timeout)
    return Waiting(t.uuid, t.number, t.name, t.queue, t.priority, t.front, t.cpu, t.memory, expected, usual is not None, t.timeout)


def _active(c: Connection, habits: Habits, row: Any, now: datetime) -> Active:
    elapsed = (now - timestamps.parse(row.start_time)).total_seconds() if row.start_time else 0.0
    usual = habits.of_run(c, row.template, row.name, elapsed)
    limit = None if row.timeout is None else row.timeout - elapsed
    left = forecast.left(elapsed, usual, row.timeout)
    if left is not None and left <= 0 and limit is not None:  # past runs were wrong about it: what is known of it is its limit
        usual, left = None, limit
    return Active(row.number, row.name, row.queue, row.cpu, row.memory, left, usual is not None, limit)


def next_starts(c: Connection, habits: Habits) -> tuple[View, Sequence[Waiting]]:
    """The view of one round, and what starts in it.

    Mostly the first tasks of each queue just fit its free slots, and nothing behind them matters. Only when one of them
    does not start is it worth to look further.
    """
    seen = view(c, habits, closed=False, ahead=0)
    starts = plan(seen).starts
    if len(starts) < sum(len(queue.waiting) for queue in seen.queues):
        seen = view(c, habits, closed=False)
        starts = plan(seen).starts
    return seen, starts


def reasons(
    c: Connection, habits: Habits, tasks: Sequence[TaskRow | LineRow], halted: str | None, seen: View | None = None
) -> dict[str, Why]:
    """{uuid: why it waits}, for those of these tasks that do."""
    asked = [task for task in tasks if task.status in WAITING]
    if not asked:
        return {}
    seen = seen or view(c, habits, halted)
    places = _places(c, seen, asked)
    answers = explain_all(seen, [(subject, places[subject.uuid]) for subject in subjects(c, asked)])
    return {task.uuid: why for task, why in zip(asked, answers, strict=True)}


def _places(c: Connection, seen: View, tasks: Sequence[TaskRow | LineRow]) -> dict[str, int | None]:
    """Places in their queues: known for the window, counted beyond it."""
    known: dict[str, int | None] = {t.uuid: at for queue in seen.queues for at, t in enumerate(queue.waiting)}
    beyond = [task for task in tasks if task.status == Task.QUEUED and task.uuid not in known]
    for queue in seen.queues:
        mine = [task for task in beyond if task.queue == queue.name]
        if len(mine) == 1:
            known[mine[0].uuid] = reads.position(c, mine[0])
        elif mine:
            places = reads.positions(c, queue.name, mine, queue.waiting_total)
            known |= {task.uuid: places[task.number] for task in mine}
    return {task.uuid: known[task.uuid] if task.status == Task.QUEUED else None for task in tasks}


def subjects(c: Connection, tasks: Sequence[TaskRow | LineRow]) -> list[Subject]:
    """The tasks as the explanation knows them, in their order."""
    parents, now = reads.parents(c, [task.uuid for task in tasks if task.status != Task.QUEUED]), timestamps.utcnow()
    return [_subject(task, parents.get(task.uuid, ()), now) for task in tasks]


def _subject(task: TaskRow | LineRow, parents: Sequence[ParentRow], now: datetime) -> Subject:
    due, again = _until(task.not_before, now), _until(task.retry_at, now)
    at = units.clock(timestamps.parse(task.not_before), now) if task.not_before else None
    waits_for = tuple(Parent(p.number, p.name, p.status, p.kind) for p in parents)
    return Subject(task.uuid, task.number, task.name, task.queue, task.status, task.priority, task.cpu, task.memory,
                   task.held_by if task.hold else None, due, at, again, task.attempts, task.failures, task.retries,
                   waits_for, (task.held_by or "").startswith(quarantine.HELD_BY))  # fmt: skip


def _until(text: str | None, now: datetime) -> float | None:
    return max(0.0, (timestamps.parse(text) - now).total_seconds()) if text else None
