"""Task names by the value of a metric, so that a rule reads only those near its limit.

A rule over thousands of names needs no verdict on each of them. The order is the same for all rules
that match the same names and compare the same metric.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from app.core.rules.conditions import MetricNode
from app.core.rules.evaluate import MetricRef
from app.core.rules.rule_plan import RulePlan
from app.service.rules.facts.snapshot import Snapshot
from app.service.rules.facts.subjects import Subject
from app.service.rules.facts.values import SubjectValues

FEW = 20
"""Subjects up to which a verdict on each costs less than their order."""
BEFORE_LIMIT = 5
"""Subjects on the good side of the limit that are read for the level and the next due times."""


class Ranking(NamedTuple):
    """Subjects by value, the lowest first.

    `fresh` have never succeeded: their value depends on the age of the rule. `changes_at` is the
    UNIX time at which one of the values changes by itself.
    """

    values: Sequence[float]
    subjects: Sequence[Subject]
    fresh: Sequence[Subject]
    changes_at: float | None


def find_ranked(plan: RulePlan) -> MetricNode | None:
    """Return the comparison of a rule if the values of its subjects alone decide it."""
    node = plan.conditions.when
    if plan.base != "task" or plan.group != "task" or plan.conditions.on_no_data != "ok":
        return None
    if not isinstance(node, MetricNode) or node.baseline is not None:
        return None
    return node if node.op in (">", ">=", "<", "<=") else None


def rank(snapshot: Snapshot, plan: RulePlan, ref: MetricRef) -> Ranking:
    """Return the subjects of a rule by value, once for all rules that match the same."""
    key = ("ranking", plan.match_key, ref)
    if key not in snapshot.levels:
        snapshot.levels[key] = _rank(snapshot, snapshot.list_matching(plan), ref)
    return snapshot.levels[key]


def _rank(snapshot: Snapshot, subjects: Sequence[Subject], ref: MetricRef) -> Ranking:
    pairs: list[tuple[float, int]] = []
    fresh: list[Subject] = []
    times: list[float] = []
    is_age = ref.metric == "task.seconds_since_success"
    for number, subject in enumerate(subjects):
        if is_age and snapshot.find_last_success(subject.name) is None:
            fresh.append(subject)
            continue
        reading = SubjectValues(snapshot, subject, 0.0).read(ref)
        if reading.value is not None:
            pairs.append((reading.value, number))
        if reading.changes_at is not None:
            times.append(reading.changes_at)
    pairs.sort()
    return Ranking(
        [value for value, _ in pairs],
        [subjects[number] for _, number in pairs],
        fresh,
        min(times, default=None),
    )


def list_suspects(ranking: Ranking, node: MetricNode, rule_age: float) -> list[Subject]:
    """Return the subjects that break a rule, the worst first, and some that are next to do so."""
    limit = node.value or 0.0
    values, subjects = ranking.values, ranking.subjects
    at = (bisect_right if node.op in (">", "<=") else bisect_left)(values, limit)
    near = (
        reversed(subjects[max(0, at - BEFORE_LIMIT) :])
        if node.op in (">", ">=")
        else subjects[: at + BEFORE_LIMIT]
    )
    is_broken = rule_age >= limit if node.op in (">", ">=") else rule_age <= limit
    return [*near, *(ranking.fresh if is_broken else ranking.fresh[:BEFORE_LIMIT])]
