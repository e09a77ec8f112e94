"""Due times of rules: when a rule fires about a subject that is not done before.

The next ones of each rule are stored. People see them, and they reveal a subject that was late and
done between two passes.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from app.core.rules import active_time
from app.core.rules.evaluate import format_date, format_moment
from app.core.rules.rule_plan import RulePlan
from app.service.rules.snapshot import Snapshot
from db import timestamps
from db.queries.rule_states import DueChange, DueTimeRow

MAX_DUE = 5
"""Due times of a rule that are stored: the next ones."""
MAX_LOOKS = 20
"""Subjects of a rule that are read for the next due times, since none can break the rule yet."""
TOLERANCE = 0.01
"""Seconds by which a due time moves without a change: times are floats."""


class DueTime(NamedTuple):
    """When a rule fires about a subject; `stored_at` is when the time became known."""

    at: float
    subject: str
    title: str
    stored_at: str = ""


class DueList:
    """The next due times of a rule in a pass, one for each subject."""

    def __init__(self) -> None:
        self.times: list[DueTime] = []

    def add(self, due: DueTime) -> None:
        """Add a due time, if it is one of the next ones."""
        if self.is_full_before(due.at):
            return
        known = next((one for one in self.times if one.subject == due.subject), None)
        if known is not None:
            if known.at <= due.at:
                return
            self.times.remove(known)
        insort(self.times, due, key=itemgetter(0))
        del self.times[MAX_DUE:]

    def is_full_before(self, at: float) -> bool:
        """Return whether no due time from this one on is among the next ones."""
        return len(self.times) >= MAX_DUE and self.times[-1].at <= at


def group_due_times(rows: Sequence[DueTimeRow]) -> dict[int, dict[str, DueTime]]:
    """Return {rule id: {subject: its stored due time}}."""
    found: dict[int, dict[str, DueTime]] = {}
    for row in rows:
        found.setdefault(row.sla_id, {})[row.subject] = DueTime(
            timestamps.to_unix(row.due_at), row.subject, row.object, row.updated_at
        )
    return found


def find_due_changes(
    sla_id: int, version: str, before: Mapping[str, DueTime], after: Sequence[DueTime]
) -> Iterator[DueChange]:
    """Yield what differs between the stored due times of a rule and those of a pass."""
    for due in after:
        known = before.get(due.subject)
        if known is None or abs(known.at - due.at) > TOLERANCE or known.title != due.title:
            at = timestamps.from_unix(due.at)
            yield DueChange(sla_id, due.subject, at, due.title, version)
    for subject in before.keys() - {due.subject for due in after}:
        yield DueChange(sla_id, subject, None, "", version)


def describe_lateness(snapshot: Snapshot, plan: RulePlan, due: DueTime) -> str | None:
    """Return in words how a subject was done after its due time; None if it was not."""
    word, done = _find_done(snapshot, plan, due)
    if done is None or done <= due.at or not _applies(plan, due.at, done):
        return None
    return f"was due {format_date(due.at)}, {word} {format_moment(done)}"


def _applies(plan: RulePlan, since: float, until: float) -> bool:
    """Return whether a moment of a time is in the active time of a rule."""
    if active_time.is_active(plan.periods, since):
        return True
    edge = active_time.find_next_change(plan.periods, since)
    return edge is not None and edge < until


def _find_done(snapshot: Snapshot, plan: RulePlan, due: DueTime) -> tuple[str, float | None]:
    kind, _, name = due.subject.partition(":")
    if kind == "name":
        return "succeeded", snapshot.find_last_success(name)
    if kind == "schedule":
        success = snapshot.get_schedule_success(name)
        return "succeeded", timestamps.to_unix(success[1]) if success and success[1] else None
    task = snapshot.past_due_tasks.get(name) if kind == "task" else None
    if task is None or task.status == "cancelled":
        return "", None
    if plan.has_times:
        word, times = "ended", [task.ended_at]
    elif any(ref.metric == "instance.run_seconds" for ref in plan.refs):
        word, times = "ended", [end for _, end in task.runs]
    else:
        word, times = "started", [start for start, _ in task.runs]
    # What began or ended before the due time was stored belongs to an earlier attempt.
    later = [at for at in times if at is not None and at >= due.stored_at]
    return word, min(map(timestamps.to_unix, later), default=None)
