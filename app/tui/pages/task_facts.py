"""Task facts: `show` and `why` replies and board data of one task, and its headline.

All functions are pure. Text from outside is sanitized when it is formatted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.core.board import Board, RunningEntry
from app.core.text import units
from app.core.text.status_glyphs import get_run_status
from app.translation import tr
from app.tui.style import STATES, UNKNOWN, Look, Span
from app.tui.time_format import format_elapsed
from db.states import ACTIVE, ENDED, WAITING


@dataclass(frozen=True, slots=True)
class TaskContext:
    """Data about one task.

    `about` is the reply of verb `about` at time `replied_at`, `tail` the end of the latest log.
    `now` and `replied_at` are UNIX seconds; `room` is the width in cells.
    """

    about: Mapping[str, Any]
    look: Look
    now: float
    room: int
    board: Board | None = None
    tail: tuple[str, ...] = ()
    replied_at: float | None = None

    @property
    def task(self) -> Mapping[str, Any]:
        """Task row as in the reply of `show`."""
        return self.about["task"]

    @property
    def why(self) -> Mapping[str, Any]:
        """Reply of `why`; empty unless the task waits, here or in Slurm."""
        return self.about["why"] or {}

    @property
    def past_use(self) -> Mapping[str, Any] | None:
        """Durations of past runs."""
        return self.about["past"]

    @property
    def reply_age(self) -> float:
        """Seconds since the reply. Relative times in the reply are reduced by this."""
        return 0.0 if self.replied_at is None else max(0.0, self.now - self.replied_at)

    @property
    def runs(self) -> Sequence[Mapping[str, Any]]:
        """Attempts, latest first."""
        return sorted(self.task.get("instances") or (), key=lambda run: -run["attempt"])

    @property
    def status(self) -> str:
        """State of the task, or of its active run."""
        return self._active["status"] if self._active else self.task["status"]

    @property
    def shown_status(self) -> str:
        """State of the task or of its active run, as people see it."""
        run = self._active
        return get_run_status(run["status"], run.get("outer_job")) if run else self.status

    @property
    def _active(self) -> Mapping[str, Any] | None:
        return next((run for run in self.runs if run["status"] in ACTIVE), None)

    @property
    def line(self) -> RunningEntry | None:
        """The run on the board, with current measurements."""
        running = self.board.running if self.board else ()
        return next((line for line in running if line.uuid == self.task["uuid"]), None)

    def parse_time(self, text: str | None) -> datetime | None:
        return datetime.fromisoformat(text) if text else None

    def seconds_since(self, text: str | None) -> float | None:
        """Return the seconds since a stored time."""
        at = self.parse_time(text)
        return None if at is None else self.now - at.timestamp()

    def format_time(self, text: str | None, seconds: bool = True) -> str:
        """Format a stored time."""
        at = self.parse_time(text)
        return (
            units.MISSING
            if at is None
            else units.format_clock_time(at, datetime.fromtimestamp(self.now, UTC), seconds)
        )

    def format_timestamp(self, seconds: float) -> str:
        """Format UNIX seconds."""
        at, now = (datetime.fromtimestamp(moment, UTC) for moment in (seconds, self.now))
        return units.format_clock_time(at, now)


def format_title(facts: TaskContext) -> str:
    """Return `#1049 resnet50-sweep-08`."""
    return f"#{facts.task['number']} {facts.look.sanitize(facts.task['name'])}"


def build_headline(facts: TaskContext) -> tuple[Span, ...]:
    """Return the line with the state and its most important figures."""
    sign = STATES.get(facts.shown_status, UNKNOWN)
    say = (
        _describe_waiting
        if facts.status in WAITING
        else _describe_running
        if facts.status in ACTIVE
        else _describe_ended
    )
    words = "".join(f"   {part}" for part in say(facts) if part)
    return ((f" {facts.look.state(sign)}", sign.style), (facts.look.adapt_text(words), ""))


def _describe_waiting(facts: TaskContext) -> Iterator[str]:
    task = facts.task
    waits = (
        facts.why["waits"] + facts.reply_age
        if "waits" in facts.why
        else facts.seconds_since(task["created_at"])
    )
    yield tr(
        "in {queue} for {age}",
        queue=facts.look.sanitize(task["queue"]),
        age=units.format_age(waits),
    )
    yield tr("priority {priority}", priority=task["priority"])
    yield tr("by {who}", who=facts.look.sanitize(task["submitted_by"]))
    yield format_expected_start(facts)


def format_expected_start(facts: TaskContext) -> str:
    """Return `starts 10:43–10:55 (4–16m)`, `starts by 10:55`, or "" if unknown."""
    near = facts.why.get("expected_in")
    if not near:
        return ""
    first, last = (max(0.0, seconds - facts.reply_age) for seconds in near)
    if is_open_range(near):
        return tr("starts by {range}", range=_format_range(facts, last, last))
    return tr(
        "starts {range} ({wait})",
        range=_format_range(facts, first, last),
        wait=units.format_estimate_range(first, last),
    )


def is_open_range(near: Sequence[float]) -> bool:
    """Return True if only the end of a range is known."""
    return near[0] == 0 < near[-1]


def _format_range(facts: TaskContext, first: float, last: float) -> str:
    """Return `10:43–10:55` for seconds from now."""
    now, *ends = (
        datetime.fromtimestamp(facts.now + seconds, UTC) for seconds in (0.0, first, last)
    )
    return units.format_time_range(ends[0], ends[1], now)


def _describe_running(facts: TaskContext) -> Iterator[str]:
    task, run, line = facts.task, facts.runs[0], facts.line
    ran = facts.seconds_since(run["start_time"])
    limit = line.timeout if line else task["timeout"]
    of = (
        tr(
            " of {limit} ({percent})",
            limit=units.format_duration(limit),
            percent=units.format_percent(ran, limit),
        )
        if limit
        else ""
    )
    yield f"{format_elapsed(ran or 0.0)}{of}"
    yield format_expected_end(facts)
    yield format_attempt(facts, run)
    if line and line.note:
        yield facts.look.sanitize(line.note)


def estimate_end(facts: TaskContext) -> list[float]:
    """Return the earliest and latest seconds from now at which the run ends; empty if unknown.

    The range starts at 0 if only the timeout is known.
    """
    if told := facts.about["ends_in"]:
        return [seconds - facts.reply_age for seconds in told]
    if facts.line is None or facts.line.left is None:
        return []
    left = facts.line.left
    return [0.0, left] if facts.line.at_most and left > 0 else [left, left]


def format_expected_end(facts: TaskContext) -> str:
    """Return when the run ends: `ends 10:46–10:50 (4–8m)` by forecast.

    Return `ends by 10:55 (at most 12m)` by timeout, or "" if unknown.
    """
    near = estimate_end(facts)
    if not near:
        return ""
    if near[-1] < 0:
        return tr("late {age}", age=units.format_age(-near[-1]))
    if is_open_range(near):
        return tr(
            "ends by {range} (at most {most})",
            range=_format_range(facts, near[-1], near[-1]),
            most=units.format_upper_bound(near[-1]),
        )
    first = max(0.0, near[0])
    wait = units.format_estimate_range(first, near[-1])
    return tr("ends {range} ({wait})", range=_format_range(facts, first, near[-1]), wait=wait)


def _describe_ended(facts: TaskContext) -> Iterator[str]:
    task, run = facts.task, next(iter(facts.runs), None)
    how = facts.look.sanitize(task["reason"] or (run or {}).get("reason") or "")
    sign = STATES.get(task["status"], UNKNOWN)
    how = how.removeprefix(sign.english).removeprefix(sign.word).strip()
    took = units.format_duration(measure_run(facts, run))
    if run and run["start_time"]:
        how = (
            tr("{state} after {took}", state=how, took=took) if how else tr("in {took}", took=took)
        )
    when = task["ended_at"] or task["updated_at"]
    yield (
        how
        + tr(
            ", {age} ago ({time})",
            age=units.format_age(facts.seconds_since(when)),
            time=facts.format_time(when),
        )
    )
    if run:
        last = task["retries"] and not _count_left(task)
        yield format_attempt(facts, run) + (tr(", the last") if last else "")


def format_attempt(facts: TaskContext, run: Mapping[str, Any]) -> str:
    """Return `attempt 1 of 2`, or `attempt 1` if none can follow though retries are left."""
    left = _count_left(facts.task)
    if left and facts.task["status"] in ENDED:
        return tr("attempt {attempt}", attempt=run["attempt"])
    return tr("attempt {attempt} of {most}", attempt=run["attempt"], most=run["attempt"] + left)


def _count_left(task: Mapping[str, Any]) -> int:
    return max(0, task["retries"] - task["failures"])


def measure_run(facts: TaskContext, run: Mapping[str, Any] | None) -> float | None:
    """Return the duration of a run in seconds, until now if it is active."""
    if run is None or not run["start_time"]:
        return None
    return (
        run["run_seconds"]
        if run["run_seconds"] is not None and run["end_time"]
        else facts.seconds_since(run["start_time"])
    )
