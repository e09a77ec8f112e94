"""Subjects of the rules, and what the engine remembers of them between two passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from app.core.rules.rule_plan import Labels
from app.service.rules.facts.probes import Probes
from app.service.rules.facts.rings import Rings
from app.service.rules.facts.run_memory import RunMemory, make_ended_memory, make_started_memory
from db.queries.rules import rule_values
from db.queries.rules.rule_values import CandidateRow, NameFacts, RunRow
from db.states import TaskStatus

FireEnd = tuple[str, str] | None
"""Fire time and end of a task of a schedule, as stored."""
NEVER = float("-inf")
"""UNIX time of the last reading of outcomes that must be read now."""


class Subject(NamedTuple):
    """Something that a rule judges.

    `key` is stored, `title` is shown. `name` is that of the queue, task or schedule. An instance
    has a candidate row, or the row of its ended run.
    """

    kind: str
    key: str
    title: str
    name: str
    labels: Labels
    candidate: CandidateRow | None = None
    run: RunRow | None = None
    fire_time: str | None = None

    age_start: float = 0.0
    """Earliest UNIX time from which an age of a waiting or active instance counts."""


class InstanceGroup:
    """Instances of a phase, the oldest first, by name and by queue."""

    def __init__(self, subjects: Sequence[Subject]) -> None:
        self.subjects = subjects

    @cached_property
    def by_name(self) -> Mapping[str, Sequence[Subject]]:
        """Return {name: instances}."""
        return _group(self.subjects, lambda one: one.name)

    @cached_property
    def by_queue(self) -> Mapping[str, Sequence[Subject]]:
        """Return {queue: instances}."""
        return _group(self.subjects, lambda one: one.labels.queue or "")

    @cached_property
    def full_queues(self) -> Sequence[str]:
        """Return the queues with as many queued tasks as are read."""
        counts = Counter(
            one.labels.queue or ""
            for one in self.subjects
            if one.candidate is not None and one.candidate.status == TaskStatus.QUEUED
        )
        return [name for name, many in counts.items() if many >= rule_values.MAX_CANDIDATES]


def make_source(kind: str, name: str) -> str:
    """Return the part of a source that is about one name."""
    return f"{kind} {name}"


class SourceVersions:
    """Numbers that change whenever what the rules read from a source differs.

    Parts of a source are counted only if they are `watched`.
    """

    def __init__(self) -> None:
        self.watched: Collection[str] = ()
        self._numbers: Counter[str] = Counter()
        self._seen: dict[str, Any] = {}

    def note(self, source: str, data: Any) -> None:
        """Compare the data of a source with those of the last pass."""
        if source not in self._seen or self._seen[source] != data:
            self._seen[source] = data
            self._numbers[source] += 1

    def note_each(self, kind: str, data: Mapping[str, Any]) -> None:
        """Compare the data of each name with those of the last pass."""
        before: Mapping[str, Any] = self._seen.get(kind, {})
        names = before.keys() | data.keys()
        self.note_names(kind, [name for name in names if before.get(name) != data.get(name)])
        self._seen[kind] = data

    def note_names(self, kind: str, names: Iterable[str]) -> None:
        """Note that the data of some names have changed."""
        for name in names:
            self._numbers[kind] += 1
            if (part := make_source(kind, name)) in self.watched:
                self._numbers[part] += 1

    def list_numbers(self, sources: Sequence[str]) -> tuple[int, ...]:
        """Return the present numbers of some sources."""
        return tuple([self._numbers[source] for source in sources])


class Memory:
    """Facts that the engine keeps between passes."""

    def __init__(self, probes: Probes) -> None:
        self.probes = probes
        self.rings = Rings()
        self.versions = SourceVersions()
        self.ended: RunMemory = make_ended_memory()
        self.started: RunMemory = make_started_memory()
        self.names: dict[str, tuple[float, NameFacts]] = {}
        self.last_deletion: str | None = None
        """Time of the last deletion of a task, "" without one; None before the first pass."""
        self.known_names: tuple[float, Sequence[str]] = (NEVER, ())
        self.chosen_names: dict[tuple[str, ...] | None, Sequence[str]] = {}
        """Known names that the globs of a rule match."""
        self.tasks: dict[str, Subject] = {}
        self.schedules: dict[str, tuple[float, FireEnd]] = {}
        self.failed_schedules: dict[str, tuple[float, FireEnd]] = {}
        self.fire_windows: dict[tuple[str, float], tuple[str, float | None]] = {}
        self.instances: Mapping[str, Subject] = {}
        """Waiting and active instances of the last pass, by uuid."""
        self.phases: dict[str, InstanceGroup] = {}
        self.baselines: dict[tuple[str, str, str, int], tuple[float, Sequence[RunRow]]] = {}


def _group(
    subjects: Iterable[Subject], get_name: Callable[[Subject], str]
) -> Mapping[str, Sequence[Subject]]:
    found: dict[str, list[Subject]] = {}
    for one in subjects:
        found.setdefault(get_name(one), []).append(one)
    return found


def get_age_key(one: Subject) -> tuple[float, int]:
    """Return the key by which instances are sorted, the oldest first."""
    if one.candidate is None:
        return float("inf"), 0
    return one.age_start, one.candidate.number
