"""What is known of one task: answers of `show` and `why` (rows as on the wire) and the board; and its headline.

All of it is pure, and every text from outside is made safe where it is put into words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from app.core import amounts
from app.core.board import Board, RunningLine
from app.tui.look import STATES, STRANGE, Look, Span
from app.tui.times import elapsed

WAITING = frozenset({"scheduled", "blocked", "held", "queued", "retrying"})
ACTIVE = frozenset({"starting", "running", "paused", "stopping"})


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything known of one task. `tail` is the end of its last log; `now` is UNIX seconds; `room` cells of width."""

    task: Mapping[str, Any]
    look: Look
    now: float
    room: int
    why: Mapping[str, Any] = field(default_factory=dict)
    board: Board | None = None
    tail: tuple[str, ...] = ()

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
    def line(self) -> RunningLine | None:
        """The run on the board, which knows what is measured now."""
        running = self.board.running if self.board else ()
        return next((line for line in running if line.uuid == self.task["uuid"]), None)

    def at(self, text: str | None) -> datetime | None:
        """A stored time."""
        return datetime.fromisoformat(text) if text else None

    def ago(self, text: str | None) -> float | None:
        """Seconds since a stored time."""
        at = self.at(text)
        return None if at is None else self.now - at.timestamp()

    def clock(self, text: str | None, seconds: bool = True) -> str:
        """A stored time as people read it."""
        at = self.at(text)
        return amounts.MISSING if at is None else amounts.clock(at, datetime.fromtimestamp(self.now, UTC), seconds)


def title(facts: Facts) -> str:
    """`#1049 resnet50-sweep-08`."""
    return f"#{facts.task['number']} {facts.look.theirs(facts.task['name'])}"


def headline(facts: Facts) -> tuple[Span, ...]:
    """The line of the task's state: glyph, word, and the most important figures of that state."""
    sign = STATES.get(facts.status, STRANGE)
    say = _waits if facts.status in WAITING else _runs if facts.status in ACTIVE else _ended
    words = "".join(f"   {part}" for part in say(facts) if part)
    return ((f" {facts.look.glyph(sign)} {sign.word}", sign.style), (facts.look.own(words), ""))


def _waits(facts: Facts) -> Iterator[str]:
    task = facts.task
    waits = facts.why.get("waits", facts.ago(task["created_at"]))
    yield f"in {facts.look.theirs(task['queue'])} for {amounts.age(waits)}"
    yield f"priority {task['priority']}"
    yield f"by {facts.look.theirs(task['submitted_by'])}"
    yield expected(facts)


def expected(facts: Facts) -> str:
    """`starts 10:43–10:55 (~6m)`; "" when that is not known."""
    near = facts.why.get("expected_in")
    if not near:
        return ""
    now = datetime.fromtimestamp(facts.now, UTC)
    first, last = (datetime.fromtimestamp(facts.now + seconds, UTC) for seconds in near)
    return f"starts {amounts.span(first, last, now)} ({amounts.estimate(sum(near) / 2)})"


def _runs(facts: Facts) -> Iterator[str]:
    task, run, line = facts.task, facts.runs[0], facts.line
    ran = facts.ago(run["start_time"])
    limit = task["timeout"]
    of = f" of {amounts.duration(limit)} ({amounts.percent(ran, limit)})" if limit else ""
    yield f"{elapsed(ran or 0.0)}{of}"
    if line and line.left is not None:
        end = datetime.fromtimestamp(facts.now + max(0.0, line.left), UTC)
        late = f"late {amounts.age(-line.left)}" if line.left < 0 else amounts.estimate(line.left)
        yield f"ends {amounts.clock(end, datetime.fromtimestamp(facts.now, UTC))} ({late})"
    yield attempt(facts, run)
    if line and line.note:
        yield facts.look.theirs(line.note)


def _ended(facts: Facts) -> Iterator[str]:
    task, run = facts.task, next(iter(facts.runs), None)
    how = facts.look.theirs(task["reason"] or (run or {}).get("reason") or "")
    how = how.removeprefix(STATES.get(task["status"], STRANGE).word).strip()
    lasted = f"{'after' if how else 'in'} {amounts.duration(took(facts, run))}" if run and run["start_time"] else ""
    when = task["ended_at"] or task["updated_at"]
    yield f"{how} {lasted}".strip() + f", {amounts.age(facts.ago(when))} ago ({facts.clock(when)})"
    if run:
        yield attempt(facts, run) + (", the last" if run["attempt"] > task["retries"] and task["retries"] else "")


def attempt(facts: Facts, run: Mapping[str, Any]) -> str:
    """`attempt 1 of 2`."""
    return f"attempt {run['attempt']} of {max(run['attempt'], facts.task['retries'] + 1)}"


def took(facts: Facts, run: Mapping[str, Any] | None) -> float | None:
    """How long a run took, or has been running."""
    if run is None or not run["start_time"]:
        return None
    return run["run_seconds"] if run["run_seconds"] is not None and run["end_time"] else facts.ago(run["start_time"])
