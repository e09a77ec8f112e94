"""Due times of rules: when a rule fires about a subject that is not done before.

The next ones of each rule are stored, for people to see.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from db import timestamps
from db.queries.rules.rule_states import DueChange, DueTimeRow

MAX_DUE = 5
"""Due times of a rule that are stored: the next ones."""
MAX_LOOKS = 20
"""Subjects of a rule that are read for the next due times, since none can break the rule yet."""
TOLERANCE = 0.01
"""Seconds by which a due time moves without a change: times are floats."""


class DueTime(NamedTuple):
    """When a rule fires about a subject."""

    at: float
    subject: str
    title: str


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
            timestamps.to_unix(row.due_at), row.subject, row.object
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
