"""What is known of one task: answers of `show` and `why` (rows as on the wire) and the board; and its headline.

All of it is pure, and every text from outside is made safe where it is put into words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from app.core.board import Board, RunningEntry
from app.core.text import units
from app.tui.style import STATES, UNKNOWN, Look, Span
from app.tui.time_format import format_elapsed
from db.states import ACTIVE, WAITING


@dataclass(frozen=True, slots=True)
class TaskContext:
    """Everything known of one task. `about` is what that verb answered, as of `asked`; `tail` is the end of its last log.

    `now` and `asked` are UNIX seconds; `room` is cells of width.
    """

    about: Mapping[str, Any]
    look: Look
    now: float
    room: int
    board: Board | None = None
    tail: tuple[str, ...] = ()
    asked: float | None = None

    @property
    def task(self) -> Mapping[str, Any]:
        """As `show` answers it."""
        return self.about["task"]

    @property
    def why(self) -> Mapping[str, Any]:
        """Why it waits; nothing when it does not."""
        return self.about["why"] or {}

    @property
    def past(self) -> Mapping[str, Any] | None:
        """What past runs took."""
        return self.about["past"]

    @property
    def reply_age(self) -> float:
        """Seconds since the answer: what it says of so many seconds from then has come nearer."""
        return 0.0 if self.asked is None else max(0.0, self.now - self.asked)

    @property
    def runs(self) -> Sequence[Mapping[str, Any]]:
        """The attempts, latest first."""
        return sorted(self.task.get("instances") or (), key=lambda run: -run["attempt"])

    @property
    def status(self) -> str:
        """The task's state; of a running one the state of its run."""
        active = next((run["status"] for run in self.runs if run["status"] in ACTIVE), None)
        return active or self.task["status"]

    @property
    def line(self) -> RunningEntry | None:
        """The run on the board, which knows what is measured now."""
        running = self.board.running if self.board else ()
        return next((line for line in running if line.uuid == self.task["uuid"]), None)

    def parse_time(self, text: str | None) -> datetime | None:
        """A stored time."""
        return datetime.fromisoformat(text) if text else None

    def seconds_since(self, text: str | None) -> float | None:
        """Seconds since a stored time."""
        at = self.parse_time(text)
        return None if at is None else self.now - at.timestamp()

    def format_time(self, text: str | None, seconds: bool = True) -> str:
        """A stored time as people read it."""
        at = self.parse_time(text)
        return units.MISSING if at is None else units.format_clock_time(at, datetime.fromtimestamp(self.now, UTC), seconds)

    def format_timestamp(self, seconds: float) -> str:
        """UNIX seconds as people read them."""
        at, now = (datetime.fromtimestamp(moment, UTC) for moment in (seconds, self.now))
        return units.format_clock_time(at, now)


def format_title(facts: TaskContext) -> str:
    """`#1049 resnet50-sweep-08`."""
    return f"#{facts.task['number']} {facts.look.sanitize(facts.task['name'])}"


def build_headline(facts: TaskContext) -> tuple[Span, ...]:
    """The line of the task's state: glyph, word, and the most important figures of that state."""
    sign = STATES.get(facts.status, UNKNOWN)
    say = _describe_waiting if facts.status in WAITING else _describe_running if facts.status in ACTIVE else _describe_ended
    words = "".join(f"   {part}" for part in say(facts) if part)
    return ((f" {facts.look.state(sign)}", sign.style), (facts.look.adapt_text(words), ""))


def _describe_waiting(facts: TaskContext) -> Iterator[str]:
    task = facts.task
    waits = facts.why["waits"] + facts.reply_age if "waits" in facts.why else facts.seconds_since(task["created_at"])
    yield f"in {facts.look.sanitize(task['queue'])} for {units.format_age(waits)}"
    yield f"priority {task['priority']}"
    yield f"by {facts.look.sanitize(task['submitted_by'])}"
    yield format_expected_start(facts)


def format_expected_start(facts: TaskContext) -> str:
    """`starts 10:43–10:55 (~6m)`, `starts by 10:55`; "" when that is not known."""
    near = facts.why.get("expected_in")
    if not near:
        return ""
    first, last = (max(0.0, seconds - facts.reply_age) for seconds in near)
    if is_open_range(near):
        return f"starts by {_format_range(facts, last, last)}"
    return f"starts {_format_range(facts, first, last)} ({units.format_estimate((first + last) / 2)})"


def is_open_range(near: Sequence[float]) -> bool:
    """Whether a range of seconds says no more than its end."""
    return near[0] == 0 < near[-1]


def _format_range(facts: TaskContext, first: float, last: float) -> str:
    """`10:43–10:55`, of seconds from now."""
    now, *ends = (datetime.fromtimestamp(facts.now + seconds, UTC) for seconds in (0.0, first, last))
    return units.format_time_range(ends[0], ends[1], now)


def _describe_running(facts: TaskContext) -> Iterator[str]:
    task, run, line = facts.task, facts.runs[0], facts.line
    ran = facts.seconds_since(run["start_time"])
    limit = task["timeout"]
    of = f" of {units.format_duration(limit)} ({units.format_percent(ran, limit)})" if limit else ""
    yield f"{format_elapsed(ran or 0.0)}{of}"
    yield format_expected_end(facts)
    yield format_attempt(facts, run)
    if line and line.note:
        yield facts.look.sanitize(line.note)


def estimate_end(facts: TaskContext) -> list[float]:
    """The seconds from now between which a run ends, from 0 on when only its limit is known; nothing when that is not known."""
    if told := facts.about["ends_in"]:
        return [seconds - facts.reply_age for seconds in told]
    if facts.line is None or facts.line.left is None:
        return []
    left = facts.line.left
    return [0.0, left] if facts.line.at_most and left > 0 else [left, left]


def format_expected_end(facts: TaskContext) -> str:
    """`ends 10:46–10:50 (~6m)`, by past runs or else by the board; `ends by 10:55 (at most 12m)` by its limit; "" when not known."""
    near = estimate_end(facts)
    if not near:
        return ""
    if near[-1] < 0:
        return f"late {units.format_age(-near[-1])}"
    if is_open_range(near):
        return f"ends by {_format_range(facts, near[-1], near[-1])} (at most {units.format_upper_bound(near[-1])})"
    first = max(0.0, near[0])
    return f"ends {_format_range(facts, first, near[-1])} ({units.format_estimate((first + near[-1]) / 2)})"


def _describe_ended(facts: TaskContext) -> Iterator[str]:
    task, run = facts.task, next(iter(facts.runs), None)
    how = facts.look.sanitize(task["reason"] or (run or {}).get("reason") or "")
    how = how.removeprefix(STATES.get(task["status"], UNKNOWN).word).strip()
    lasted = f"{'after' if how else 'in'} {units.format_duration(measure_run(facts, run))}" if run and run["start_time"] else ""
    when = task["ended_at"] or task["updated_at"]
    yield f"{how} {lasted}".strip() + f", {units.format_age(facts.seconds_since(when))} ago ({facts.format_time(when)})"
    if run:
        yield format_attempt(facts, run) + (", the last" if run["attempt"] > task["retries"] and task["retries"] else "")


def format_attempt(facts: TaskContext, run: Mapping[str, Any]) -> str:
    """`attempt 1 of 2`."""
    return f"attempt {run['attempt']} of {max(run['attempt'], facts.task['retries'] + 1)}"


def measure_run(facts: TaskContext, run: Mapping[str, Any] | None) -> float | None:
    """How long a run took, or has been running."""
    if run is None or not run["start_time"]:
        return None
    return run["run_seconds"] if run["run_seconds"] is not None and run["end_time"] else facts.seconds_since(run["start_time"])
