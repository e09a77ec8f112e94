"""Schedules and their fire times as the deck holds them, made from the answers of verbs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.core.times import to_unix, to_unix_or_none
from app.translation import tr
from app.tui.style import FIRES, SCHEDULES, STATES, UNKNOWN, Sign


@dataclass(frozen=True, slots=True)
class FireEntry:
    """A handled fire time, and its task if it has one. Times are in UNIX seconds."""

    at: float
    outcome: str
    reason: str = ""
    uuid: str = ""
    number: int | None = None
    status: str = ""
    started_at: float | None = None
    ended_at: float | None = None

    @property
    def sign(self) -> Sign:
        """Sign of the task's status, or of the outcome without a task."""
        if self.outcome in FIRES:
            return FIRES[self.outcome]
        return STATES.get(self.status, UNKNOWN)


@dataclass(frozen=True, slots=True)
class Timeline:
    """Fire times of a schedule in a range: those handled, and those to come in UNIX seconds."""

    fires: tuple[FireEntry, ...] = ()
    upcoming: tuple[float, ...] = ()
    run_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ScheduleEntry:
    """A schedule of the list.

    `next_at` is its next fire time, and `due_at` adds the jitter; both are in UNIX seconds. `fires`
    are the latest ones, newest first. `facts` is the row of `schedule.ls`.
    """

    name: str
    state: str
    kind: str
    words: str
    zone: str
    work: str
    next_at: float | None = None
    due_at: float | None = None
    fires: tuple[FireEntry, ...] = ()
    run_seconds: float | None = None
    paused_until: float | None = None
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def key(self) -> str:
        return f"schedule:{self.name}"

    @property
    def delay(self) -> float:
        """Jitter of this schedule in seconds; 0.0 without a next fire time."""
        if self.next_at is None or self.due_at is None:
            return 0.0
        return self.due_at - self.next_at

    @property
    def sign(self) -> Sign:
        """Sign of the state."""
        return SCHEDULES.get(self.state, UNKNOWN)


def make_schedule(row: Mapping[str, Any]) -> ScheduleEntry:
    """Return the row of an answer of `schedule.ls` or `schedule.show`."""
    return ScheduleEntry(
        row["name"], row["state"], row["kind"], row["words"], row["zone"],
        format_work(row["task"]), to_unix_or_none(row["next_fire"]),
        to_unix_or_none(row.get("due_at") or row["next_fire"]),
        tuple(map(make_fire, row["fires"])), row.get("run_seconds"),
        to_unix_or_none(row.get("paused_until")), row,
    )  # fmt: skip


def make_fire(row: Mapping[str, Any]) -> FireEntry:
    """Return a fire time of an answer."""
    return FireEntry(
        to_unix(row["fire_time"]), row["outcome"], row.get("reason") or "",
        row.get("task_id") or "", row.get("number"), row.get("status") or "",
        to_unix_or_none(row.get("started_at")), to_unix_or_none(row.get("ended_at")),
    )  # fmt: skip


def make_timeline(row: Mapping[str, Any]) -> Timeline:
    """Return a row of an answer of `schedule.timeline`."""
    return Timeline(
        tuple(map(make_fire, row["fires"])),
        tuple(map(to_unix, row["upcoming"])),
        row.get("run_seconds"),
    )


def format_work(task: Mapping[str, Any]) -> str:
    """Return what a schedule runs in one line, unsanitized."""
    if task.get("argv"):
        return shlex.join(map(str, task["argv"]))
    if task.get("template"):
        return " ".join([tr("template"), str(task["template"]), *format_parameters(task)])
    return str(task.get("script") or "").strip()


def format_parameters(task: Mapping[str, Any]) -> list[str]:
    """Return the parameters as typed: `width=320`, `tags:=["a"]`."""
    return [
        f"{name}={value}" if isinstance(value, str) else f"{name}:={json.dumps(value)}"
        for name, value in (task.get("parameters") or {}).items()
    ]
