"""The board as of a past minute. Values that cannot be reconstructed are None or left out."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from app.core import sla
from app.core.board import (
    MAX_ALERTS,
    AlertEntry,
    Board,
    EndedEntry,
    HostFacts,
    NextEntry,
    PoolEntry,
    QueueEntry,
    ResourceUse,
    RunningEntry,
    RuntimeFacts,
    get_midnight,
)
from app.core.text import units
from app.core.text.sanitize import sanitize, truncate
from app.errors import Usage
from app.service.board import (
    FAILED_STATES,
    SHOWN_ENDED,
    SHOWN_NEXT,
    SUCCESSES_FOR,
    TREND,
    Trend,
    build_ended_line,
)
from app.service.context import Call
from app.translation import tr
from db import timestamps
from db.engine import Connection
from db.queries import reads
from db.queries.history import operations, state_at
from db.queries.home import retention
from db.queries.scheduling.resources import parse_named
from db.states import ACTIVE, ENDED, WAITING

DAY = timedelta(days=1)
SHOWN_RUNNING = 1000


async def board_at(call: Call, *, at: str | None = None) -> dict[str, Any]:
    """Return the deck's board at the end of a minute.

    The answer is {at, board, up, first, last, before, after, notes}. `at` is an ISO time, local
    without a zone; without it only the bounds are returned. Times in the answer are UNIX seconds:
    `at` is the minute used, limited to `first` and `last`; `before` and `after` are the nearest
    minutes with a sample. `up` is true if this minute has a sample. Without any sample, all values
    but `notes` are None. `notes` lists gaps.
    """
    return await call.db.read(_build_answer, call, None if at is None else _parse_time(at))


def _parse_time(text: str) -> datetime:
    try:
        return units.resolve_local_time(datetime.fromisoformat(text))
    except (TypeError, ValueError, OverflowError):
        raise Usage(
            '"{said}" is not a time. Give a minute such as 2026-01-31T08:00.',
            said=truncate(sanitize(str(text)), 40),
        ) from None


def _build_answer(c: Connection, call: Call, at: datetime | None) -> dict[str, Any]:
    bounds = state_at.find_bounds(c)
    if bounds is None:
        return dict.fromkeys(("at", "board", "up", "first", "last", "before", "after")) | {
            "notes": [tr("There is no history yet.")]
        }
    first, last = bounds
    minute = min(max(timestamps.format_time(at)[:16] + ":00.000000Z", first), last) if at else last
    before, after = state_at.find_neighbours(c, minute)
    past = PastState(c, call, minute)
    return {
        "at": timestamps.to_unix(minute), "board": past.build_board().as_dict() if at else None,
        "up": past.up,
        "first": timestamps.to_unix(first), "last": timestamps.to_unix(last),
        "before": timestamps.to_unix(before) if before else None,
        "after": timestamps.to_unix(after) if after else None, "notes": past.notes,
    }  # fmt: skip


class PastState:
    """State of the system at a past minute."""

    def __init__(self, c: Connection, call: Call, minute: str) -> None:
        self.c, self.call = c, call
        begin = timestamps.parse_time(minute)
        self.samples = state_at.list_samples(c, timestamps.format_time(begin - TREND), minute)
        self.samples_at_minute = {
            (row.kind, row.name): row for row in self.samples if row.minute == minute
        }
        self.up = bool(self.samples_at_minute)
        sampled_at = max(
            (row.created_at for row in self.samples_at_minute.values()),
            default=timestamps.format_time(begin + timedelta(minutes=1)),
        )
        self.now, self.at = timestamps.parse_time(sampled_at), sampled_at
        self.notes: list[str] = [] if self.up else [tr("Nothing was recorded for this minute.")]
        self.trend = Trend(self.now, self.samples)
        self.queues, self.pools = self._restore_settings()

    def _restore_settings(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return {name: columns} of queues and pools, with later changes reverted."""
        found = {"queue": {row.name: row._asdict() for row in reads.list_queues(self.c)},
                 "pool": {row.name: row._asdict() for row in reads.list_pools(self.c)}}  # fmt: skip
        changes = state_at.list_definition_changes(self.c, self.at)
        if changes is None:
            self.notes.append(tr("Capacities and paused states are as of now."))
        for change in changes or ():
            kind, _, name = change.object.partition(" ")
            revert_operation(
                found[kind], change.verb, name, operations.parse_state(change.before) or {}
            )
        return found["queue"], found["pool"]

    def build_board(self) -> Board:
        running = state_at.list_running(
            self.c, self.at, self._stamp_ago(timedelta(seconds=state_at.LONG_RUN)), SHOWN_RUNNING
        )
        busy = {row.uuid for row in running}
        found = list(
            {row.uuid: row for row in self._find_waiting() if row.uuid not in busy}.values()
        )
        waiting = found[:SHOWN_NEXT]
        states = state_at.map_states(self.c, [*busy, *(row.uuid for row in found)], self.at)
        rerun_tasks = state_at.list_rerun(self.c, self._stamp_ago(DAY), self.at)
        today = self._count_today(rerun_tasks)
        queued, load = self._sum_samples("waiting"), self._sum_samples("running")
        self._note_missing(load, len(running))
        return Board(
            at=self.now.timestamp(),
            home=os.fspath(self.call.home),
            runtime=RuntimeFacts(state="past"),
            host=HostFacts(name=os.uname().nodename),
            counts={}
            if queued is None or load is None
            else {**count_not_queued(found, states), "running": load, "queued": queued},
            today_ok=today.get("succeeded", 0),
            today_failed=sum(today.get(status, 0) for status in FAILED_STATES),
            waiting_total=max(queued or 0, len(waiting)),
            queues=tuple(self._build_queue_lines(group_queued(found, states))),
            pools=tuple(self._build_pool_lines()),
            running=tuple(self._build_running_line(row, states) for row in running),
            next=tuple(self._build_next_line(row, states) for row in waiting),
            ended=tuple(self._build_ended_lines(rerun_tasks)),
            alerts=tuple(self._build_alert_lines()),
            ever=True,
        )

    def _stamp_ago(self, time: timedelta) -> str:
        return timestamps.format_time(self.now - time)

    def _find_waiting(self) -> list[Any]:
        return state_at.list_waiting(self.c, self.at, list(self.queues), SHOWN_NEXT)

    def _count_today(self, rerun_tasks: Sequence[state_at.EndedTask]) -> Counter[str]:
        """Count the tasks that had ended since midnight, by status."""
        midnight_then = self._stamp_ago(self.now - get_midnight(self.now))
        today = Counter(state_at.count_ended_between(self.c, sorted(ENDED), midnight_then, self.at))
        today.update(retention.count_removed(self.c, midnight_then, self.at))
        return today + Counter(row.status for row in rerun_tasks if row.ended_at > midnight_then)

    def _sum_samples(self, column: str) -> int | None:
        """Return the sum over all queues, or None without a sample."""
        return (
            sum(
                getattr(row, column)
                for (kind, _), row in self.samples_at_minute.items()
                if kind == "queue"
            )
            if self.up
            else None
        )

    def _note_missing(self, load: int | None, found: int) -> None:
        if load is not None and found < min(load, SHOWN_RUNNING):
            self.notes.append(
                tr(
                    "{more} more ran: they have been deleted since, or there are too many to list.",
                    more=load - found,
                )
            )

    # -- rows

    def _build_queue_lines(self, queued: Mapping[str, list[Any]]) -> Iterable[QueueEntry]:
        for row in sorted(self.queues.values(), key=lambda row: (-row["priority"], row["name"])):
            name, sample = row["name"], self.samples_at_minute.get(("queue", row["name"]))
            load, waits = (sample.running, sample.waiting) if sample else (None, None)
            by = row["status_by"] if row["status"] != "active" else None
            tasks = queued.get(name, [])
            first = (
                timestamps.to_unix(min(task.created_at for task in tasks))
                if waits and len(tasks) >= waits
                else None
            )
            yield QueueEntry(
                name,
                row["pool"],
                row["capacity"],
                load,  # type: ignore[arg-type]
                waits,  # type: ignore[arg-type]
                first,
                row["status"],
                self._get_queue_word(row, load, tasks),
                row["priority"],
                by,
                self.trend.get_starts(name),
            )

    def _get_queue_word(
        self, row: Mapping[str, Any], load: int | None, queued: Sequence[Any]
    ) -> str:
        """Return the state of a queue.

        The first task is chosen by today's front positions and priorities.
        """
        if self.pools.get(row["pool"], {"status": "active"})["status"] != "active":
            return "pool off"
        if row["status"] != "active":
            return row["status"]
        return (
            "full"
            if (load or 0) >= row["capacity"]
            else "no room"
            if self._lacks_room(row["pool"], queued)
            else "open"
        )

    def _lacks_room(self, pool: str, queued: Sequence[Any]) -> bool:
        """Return whether the first of these tasks needed more than the pool had free."""
        sample, total = self.samples_at_minute.get(("pool", pool)), self.pools.get(pool)
        if not (queued and sample and total) or total.get("kind"):
            return False
        first = min(queued, key=lambda task: (-task.front, -task.priority, task.number))
        free = (
            total["total_cpu"] - (sample.used_cpu or 0),
            total["total_memory"] - (sample.used_memory or 0),
        )
        return first.cpu > free[0] + 1e-6 or first.memory > free[1] + 1e-6

    def _build_pool_lines(self) -> Iterable[PoolEntry]:
        for row in sorted(self.pools.values(), key=lambda row: row["name"]):
            name, cpu, memory, sample = (
                row["name"],
                row["total_cpu"],
                row["total_memory"],
                self.samples_at_minute.get(("pool", row["name"])),
            )
            used = (sample.used_cpu, sample.used_memory) if sample else (None, None)
            measured = (sample.measured_cpu, sample.measured_memory) if sample else (None, None)
            yield PoolEntry(
                name, cpu, memory, *used, row["status"], *measured,  # type: ignore[arg-type]
                self.trend.get_shares(name, "measured_cpu", cpu, measured[0]),
                self.trend.get_shares(name, "measured_memory", memory, measured[1]),
                _list_named(row["resources"], sample.resources if sample else None),
            )  # fmt: skip

    def _build_running_line(self, row: Any, states: Mapping[str, str]) -> RunningEntry:
        began, state = timestamps.to_unix(row.start_time), states.get(row.uuid, "running")
        left = timestamps.to_unix(row.end_time) - self.now.timestamp() if row.end_time else None
        return RunningEntry(
            row.uuid, row.runid, row.number, row.name, row.queue,
            state if state in ACTIVE else "running", row.attempt, began, row.timeout,
            left, row.cpu, row.memory, row.priority,
        )  # fmt: skip

    def _build_next_line(self, row: Any, states: Mapping[str, str]) -> NextEntry:
        state, then = (
            states.get(row.uuid, "queued"),
            timestamps.to_unix(row.became) if row.became else None,
        )
        why = (
            tr("still waits today")
            if then is None
            else tr(
                "{fate} {age} later",
                fate=tr(row.fate),
                age=units.format_age(then - self.now.timestamp()),
            )
        )
        starts = then - self.now.timestamp() if then is not None and row.fate == "started" else None
        at = timestamps.to_unix(row.not_before) if state == "scheduled" and row.not_before else None
        return NextEntry(
            row.uuid, row.number, row.name, row.queue, state if state in WAITING else "queued",
            timestamps.to_unix(row.created_at), why, why,
            row.priority, row.front, starts, at,
        )  # fmt: skip

    def _build_ended_lines(self, rerun_tasks: Sequence[state_at.EndedTask]) -> Sequence[EndedEntry]:
        """Return failures of the last day and tasks that ended in the last hour.

        Newest first. Later retries of a task do not matter.
        """
        hour = self._stamp_ago(SUCCESSES_FOR)
        rows: list[Any] = [
            row for row in rerun_tasks if row.status in FAILED_STATES or row.ended_at > hour
        ]
        rows += state_at.list_ended(
            self.c, FAILED_STATES, self._stamp_ago(DAY), self.at, SHOWN_ENDED
        )
        rows += state_at.list_ended(self.c, ("succeeded", "cancelled"), hour, self.at, SHOWN_ENDED)
        rows = sorted(rows, key=lambda row: row.ended_at, reverse=True)[:SHOWN_ENDED]
        runs = state_at.map_last_runs(self.c, [row.uuid for row in rows], self.at)
        return [build_ended_line(row, runs.get(row.uuid)) for row in rows]

    def _build_alert_lines(self) -> Iterable[AlertEntry]:
        for row in state_at.list_alerts(self.c, self.at, MAX_ALERTS):
            seen = row.acknowledged_at is not None and row.acknowledged_at <= self.at
            yield AlertEntry(
                row.id, row.name, row.severity, "acknowledged" if seen else "firing", row.object,
                *self._get_lateness(row),
                timestamps.to_unix(row.fired_at), row.task_id, row.number,
                row.acknowledged_by if seen else None,
            )  # fmt: skip

    def _get_lateness(self, row: Any) -> tuple[str, str]:
        """Return the lateness text, long and short.

        Return the stored texts if the task is gone or the rule has changed.
        """
        rule = (
            sla.parse_conditions(json.loads(row.conditions))
            if row.conditions and row.created_at and not sla.is_general(json.loads(row.conditions))
            else None
        )
        if rule is None or rule.metric or rule.value != row.limit:
            return row.text, row.short
        started, ended = (
            timestamps.to_unix(at) if at and at <= self.at else None
            for at in (row.first_start, row.ended_at)
        )
        due = timestamps.to_unix(row.not_before) if row.not_before else None
        verdict = sla.judge_task(
            rule,
            sla.TaskTimes(timestamps.to_unix(row.created_at), due, started, ended),
            self.now.timestamp(),
        )
        return (verdict.text, verdict.short) if verdict.late else (row.text, row.short)


def _list_named(totals: str | None, used: str | None) -> tuple[ResourceUse, ...]:
    """Return the named resources of a pool itself, and what runs held of them."""
    held = parse_named(used)
    return tuple(
        ResourceUse(name, total, held.get(name, 0))
        for name, total in sorted(parse_named(totals).items())
    )


def count_not_queued(found: Sequence[Any], states: Mapping[str, str]) -> Counter[str]:
    """Count tasks that were scheduled, blocked or held, by state."""
    return Counter(
        state
        for row in found
        if (state := states.get(row.uuid)) in ("scheduled", "blocked", "held")
    )


def group_queued(found: Sequence[Any], states: Mapping[str, str]) -> dict[str, list[Any]]:
    """Return {queue: tasks that were queued there}."""
    of: dict[str, list[Any]] = {}
    for row in found:
        if states.get(row.uuid) == "queued":
            of.setdefault(row.queue, []).append(row)
    return of


def revert_operation(
    rows: dict[str, dict[str, Any]], verb: str, name: str, before: Mapping[str, Any]
) -> None:
    """Revert one operation in the rows of queues or pools.

    Applied newest first, operations lead back in time.
    """
    done = verb.rpartition(" ")[2]
    if done == "create":
        rows.pop(name, None)
    elif done == "rm":
        rows[name] = dict(before)
    elif name in rows:
        rows[name] |= {key: value for key, value in before.items() if key in rows[name]}
