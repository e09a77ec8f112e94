"""Rows of lists that are not entries of the board."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

from app.core.board import (
    AlertEntry,
    EndedEntry,
    GroupEntry,
    NextEntry,
    PoolEntry,
    ResourceUse,
    RunningEntry,
)
from app.core.text.joining import append_clause
from app.tui.board_words import describe_duration
from app.tui.style import STATES, UNKNOWN
from db.states import SKIP_MARK


class PoolTableRow(NamedTuple):
    """Line of a pool on a wide terminal: its CPU, its memory, or a named resource."""

    pool: PoolEntry
    memory: bool = False
    resource: ResourceUse | None = None

    @property
    def is_first(self) -> bool:
        """True for the line that has the pool's name."""
        return not (self.memory or self.resource)

    @property
    def key(self) -> str:
        """Key of the row: a slash, which names do not contain, ends the pool's own."""
        if self.resource:
            return f"{self.pool.key}/{self.resource.name}"
        return f"{self.pool.key}/memory" if self.memory else self.pool.key


class LingeringRow(NamedTuple):
    """Row that ended a moment ago and keeps its place until `until`."""

    running: RunningEntry
    end: EndedEntry
    until: float

    @property
    def key(self) -> str:
        return self.running.key


class WaitingGroup(NamedTuple):
    """Group of the deck, with the first of its waiting tasks."""

    line: GroupEntry
    first: NextEntry

    @property
    def key(self) -> str:
        return self.line.key


class EndedMembers(NamedTuple):
    """Tasks of a group that ended in the same way one after another, the latest first."""

    group: GroupEntry
    tasks: tuple[EndedEntry, ...]

    @property
    def key(self) -> str:
        """Key of the row: the earliest task stays while later ones come."""
        return f"ended:{self.tasks[-1].uuid}"

    @property
    def number(self) -> int:
        return self.tasks[0].number

    @property
    def status(self) -> str:
        return self.tasks[0].status


def fold_waiting(
    rows: Sequence[NextEntry], groups: Sequence[GroupEntry]
) -> tuple[NextEntry | WaitingGroup, ...]:
    """Return the waiting rows with groups in the place of the tasks that stand for them."""
    known = {group.number: group for group in groups}
    return tuple(
        row if (group := known.get(row.group or 0)) is None else WaitingGroup(group, row)
        for row in rows
    )


def fold_ended(
    rows: Sequence[EndedEntry], groups: Sequence[GroupEntry]
) -> tuple[EndedEntry | EndedMembers, ...]:
    """Return the ended rows, with runs of equal ends of a group as one row."""
    known = {group.number: group for group in groups}
    folded = list[EndedEntry | EndedMembers]()
    for (number, _), run in groupby(rows, key=lambda row: (row.group, row.status)):
        tasks, group = tuple(run), known.get(number or 0)
        folded += tasks if group is None or len(tasks) == 1 else (EndedMembers(group, tasks),)
    return tuple(folded)


def has_subject(alert: AlertEntry) -> bool:
    """Return True if an alert is about tasks, a queue or a schedule: not Taskdeck or the host."""
    return alert.uuid is not None or alert.object.split(" ")[0] not in ("taskdeck", "host", "the")


def format_end(row: EndedEntry) -> str:
    """Return the state and its cause, such as `failed, exit 1 after 3s`."""
    sign = STATES.get(row.status, UNKNOWN)
    if not row.how or row.how.startswith((sign.word, sign.english, SKIP_MARK)):
        return row.how or sign.word
    if row.status == "timed_out" and row.how.endswith(sign.word):  # as the runtime says in Chinese
        return row.how
    return describe_duration(sign.word, row.how) or append_clause(sign.word, row.how)


@dataclass(frozen=True, slots=True)
class SilenceRow:
    """Active silence: its id, what it covers, and its end in UNIX seconds.

    `rule` is the rule that it covers alone, "" for one of matchers. `alerts` counts the open alerts
    that it covers. `facts` is the row of `alert.silences`.
    """

    id: str
    words: str
    until: float
    by: str
    reason: str
    alerts: int
    rule: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def key(self) -> str:
        return f"silence:{self.id}"

    @property
    def matchers(self) -> Mapping[str, list[str]]:
        """Globs by what they match; empty for the silence of a rule."""
        return self.facts.get("matchers") or {}


class AlertName(NamedTuple):
    """Alerts that have a name and no rule: of Taskdeck itself, or of a deleted rule.

    The counts and `until` are those of `RuleRow`.
    """

    name: str
    firing: int = 0
    acknowledged: int = 0
    until: float | None = None


@dataclass(frozen=True, slots=True)
class RuleRow:
    """SLA rule: its name, its sentence, its severity and its state.

    `until` is the end of its silence in UNIX seconds. `has_no_data` is True if nothing was judged
    yet. `level` is its value with its limit, if it compares one. `is_partial` is True if
    the rule leaves something out. `facts` is the row of `sla.ls`.
    """

    name: str
    words: str
    severity: str
    enabled: bool
    firing: int = 0
    acknowledged: int = 0
    until: float | None = None
    late_count: int = 0
    last_late: float | None = None
    has_no_data: bool = False
    level: str = ""
    is_partial: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def key(self) -> str:
        return f"rule:{self.name}"
