"""Rules that a pass leaves out, since nothing that they read has changed and nothing is due.

A pass still judges the rules that were judged longest ago, for their present values.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from app.core.rules import catalog
from app.core.rules.alert_state import SubjectState
from app.core.rules.evaluate import STRICTLY_LATER, MetricRef
from app.core.rules.rule_plan import RulePlan, list_exact_names
from app.service.rules.evaluation.due_times import DueTime
from app.service.rules.evaluation.levels import AlertText
from app.service.rules.facts.subjects import make_source
from db.rows import SlaRow

IN_TURN = 200
"""Rules that a pass judges even if nothing that they read has changed."""
SOURCES: Mapping[str, Collection[str]] = {
    "instance.run_seconds": (),
    "instance.queued_seconds": (),
    "instance.lateness_seconds": (),
    "instance.attempt": (),
    "instance.exit_code": (),
    "task.seconds_since_success": ("names", "check-ins"),
    "task.consecutive_failures": ("names",),
    "task.success_ratio": ("names",),
    "queue.depth": ("queues",),
    "queue.load_ratio": ("queues",),
    "queue.paused_seconds": ("queues",),
    "queue.oldest_wait_seconds": ("queues", "events"),
    "queue.drain_rate": ("queues", "starts"),
    "pool.cpu_ratio": ("pools",),
    "pool.memory_ratio": ("pools",),
}
"""Sources of each metric, beside its subjects. Other metrics may change at any time."""
_SUBJECTS: Mapping[str, Collection[str]] = {
    "instance": ("waiting", "active", "pools of queues"),
    "task": ("names", "check-ins", "pools of queues"),
    "queue": ("pools of queues",),
    "pool": ("pools",),
}
"""Sources of the subjects of a rule, by their kind. Other kinds may change at any time."""


class Rule(NamedTuple):
    """A rule with its plan and what it reads; `since` is when the rule began to apply."""

    row: SlaRow
    plan: RulePlan
    since: float
    sources: Sequence[str] | None = None


class Reads(NamedTuple):
    """Inputs of a rule except the time: its row, sources, states and due times."""

    version: str
    sources: tuple[int, ...]
    is_inhibited: bool
    states: Mapping[str, SubjectState]
    due: Mapping[str, DueTime]


class Result(NamedTuple):
    """Result of a rule without changes. `next_at` is when the result may change by itself."""

    at: float
    next_at: float
    reads: Reads
    texts: Mapping[str, AlertText]
    is_firing: bool

    def is_valid(self, reads: Reads, now: float) -> bool:
        """Return whether the rule would find the same at a UNIX time."""
        return self.at <= now < self.next_at - 2 * STRICTLY_LATER and self.reads == reads


def list_sources(plan: RulePlan) -> Sequence[str] | None:
    """Return the sources that a rule reads; None if a value may change at any time."""
    if plan.base not in _SUBJECTS or plan.has_forecast or plan.match.schedule is not None:
        return None
    found = {"pools of rules", *_SUBJECTS[plan.base]}
    if plan.ended:
        found.add(plan.ended)
    if plan.has_times and plan.base == "task":
        found.add("schedules")
    for ref in plan.refs:
        sources = _list_sources_of_metric(ref)
        if sources is None:
            return None
        found.update(sources)
    if "names" in found:
        found.add("known names")
    _narrow(found, ("names", "known names", "ended", "failed"), plan.match.task)
    is_by_queue = plan.base in ("instance", "queue")
    _narrow(found, ("queues", "starts") if is_by_queue else ("queues",), plan.match.queue)
    return sorted(found)


def _narrow(found: set[str], kinds: Sequence[str], globs: Sequence[str] | None) -> None:
    """Replace sources by their parts if the rule names each task or queue that it judges."""
    exact = list_exact_names(globs)
    if globs and len(exact) == len(globs):
        for kind in found & {*kinds}:
            found.remove(kind)
            found.update(make_source(kind, name) for name in exact)


def _list_sources_of_metric(ref: MetricRef) -> Collection[str] | None:
    if ref.runs or ref.metric not in SOURCES:
        return None
    if not ref.is_windowed or ref.metric in catalog.WINDOW_METRICS:
        return SOURCES[ref.metric]
    if ref.metric.startswith("instance."):
        return ("starts",) if ref.rate_over else ("names",)
    return None


def list_in_turn(results: Mapping[int, Result]) -> set[int]:
    """Return the ids of the rules that were judged longest ago."""
    by_age = sorted(results, key=lambda key: results[key].at)
    return {*by_age[:IN_TURN]}
