"""Rules that tasks would miss at their expected starts and ends.

A rule of the general form counts if it is about single tasks and fires at a known time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.core import sla
from app.core.rules import rule_plan
from app.core.rules.evaluate import MetricRef, Reading, SubjectTimes, evaluate
from app.core.rules.rule_plan import Labels, RulePlan
from app.core.scheduling.forecasts.what_if import TaskForecast
from app.service.rules.evaluation.lateness import TOLERANCE, is_applied_between, replace_forecasts
from db import timestamps
from db.engine import Connection
from db.queries import definitions, reads
from db.queries.rules import rule_values
from db.rows import TaskRow


class RuleSubject(NamedTuple):
    """A task as rules see it. Times are in UNIX seconds; `began` is that of an active run."""

    labels: Labels
    created: float
    not_before: float | None
    fired: float | None
    began: float | None

    @property
    def queued_at(self) -> float:
        """The first moment at which the task could start."""
        return max(self.created, self.not_before or 0.0)


class TaskRule(NamedTuple):
    """A preset on tasks; `pools` are those that it is restricted to, if any."""

    name: str
    rule: sla.SlaRule
    pools: frozenset[str]


@dataclass(frozen=True, slots=True)
class Rules:
    """The enabled rules that single tasks can miss."""

    presets: Sequence[TaskRule]
    plans: Sequence[tuple[str, RulePlan]]


def read_rules(c: Connection) -> Rules:
    """Return the rules that can be judged by starts and ends."""
    rows = [row for row in definitions.list_slas(c) if row.enabled]
    pools: dict[int, set[str]] = {}
    for pool in reads.list_pools(c):
        if pool.sla_id is not None:
            pools.setdefault(pool.sla_id, set()).add(pool.name)
    presets, plans = list[TaskRule](), list[tuple[str, RulePlan]]()
    for row in rows:
        if sla.is_general(row.conditions):
            plan = rule_plan.make_plan(row.conditions)
            if plan.base == "instance" and plan.has_due:
                plans.append((row.name, plan))
        elif not (rule := sla.parse_conditions(row.conditions)).metric:
            presets.append(TaskRule(row.name, rule, frozenset(pools.get(row.id, ()))))
    return Rules(presets, plans)


def read_subjects(
    c: Connection, began: Mapping[int, float | None], changed: Mapping[int, str]
) -> dict[int, RuleSubject]:
    """Return the tasks of `began` by number; `changed` has new queues of some."""
    rows = reads.map_by_number(c, list(began))
    fires = rule_values.map_fire_times(c, [row.uuid for row in rows.values()])
    pools = {queue.name: queue.pool for queue in reads.list_queues(c)}
    return {
        number: _make_subject(row, changed.get(number, row.queue), pools, fires.get(row.uuid),
                              began[number])
        for number, row in rows.items()
    }  # fmt: skip


def _make_subject(
    row: TaskRow,
    queue: str,
    pools: Mapping[str, str],
    fire: tuple[str, str] | None,
    began: float | None,
) -> RuleSubject:
    labels = Labels(
        row.name, row.template, fire[0] if fire else None, queue, pools.get(queue), row.tags
    )
    return RuleSubject(
        labels,
        timestamps.to_unix(row.created_at),
        timestamps.to_unix(row.not_before) if row.not_before else None,
        timestamps.to_unix(fire[1]) if fire else None,
        began,
    )


def make_new_subjects(
    c: Connection, rows: Sequence[Mapping[str, Any]], first: int, now: float
) -> dict[int, RuleSubject]:
    """Return the new tasks by number, as if they were submitted now."""
    pools = {queue.name: queue.pool for queue in reads.list_queues(c)}
    found: dict[int, RuleSubject] = {}
    for at, row in enumerate(rows):
        labels = Labels(
            row["name"], row["template"], None, row["queue"], pools[row["queue"]], row["tags"]
        )
        due = row["not_before"]
        found[first + at] = RuleSubject(
            labels, now, timestamps.to_unix(due) if due else None, None, None
        )
    return found


def list_missed(
    rules: Rules, subjects: Mapping[int, RuleSubject], tasks: Mapping[int, TaskForecast], now: float
) -> Iterator[tuple[str, int]]:
    """Yield rule and number of each task that would miss a rule."""
    for number, subject in subjects.items():
        if (expected := tasks.get(number)) is None or expected.start is None:
            continue
        start = now + expected.start if subject.began is None else subject.began
        end = None if expected.end is None else now + expected.end
        for name, rule, pools in rules.presets:
            if _is_matched(rule, pools, subject.labels) and _misses(rule, subject, start, end):
                yield name, number
        for name, plan in rules.plans:
            if rule_plan.is_matched(plan.match, subject.labels) and _misses_plan(
                plan, subject, start, end
            ):
                yield name, number


def _is_matched(rule: sla.SlaRule, pools: frozenset[str], labels: Labels) -> bool:
    plain = ("template", "queue", "task")
    return (
        (not pools or labels.pool in pools)
        and all(getattr(labels, key) == rule.match[key] for key in plain if key in rule.match)
        and all(labels.tags.get(k) == word for k, word in rule.match.get("tag", {}).items())
    )


def _misses(rule: sla.SlaRule, subject: RuleSubject, start: float, end: float | None) -> bool:
    """Return True if a task misses a preset. One that has begun is in time for `starts-within`."""
    if subject.began is not None and not rule.is_finish_rule or end is None and rule.is_finish_rule:
        return False
    times = sla.TaskTimes(subject.created, subject.not_before, start, end)
    return sla.judge_task(rule, times, start if end is None else end).late


def _misses_plan(plan: RulePlan, subject: RuleSubject, start: float, end: float | None) -> bool:
    """Return True if the condition holds just before the start or the end of a task."""
    moments = [("waiting", start)] if subject.began is None else []
    moments += [("active", end)] if end is not None else []
    when = replace_forecasts(plan.conditions.when)
    return any(
        phase in plan.phases and _holds(plan, when, subject, start, phase, at)
        for phase, at in moments
        if phase == "active" or plan.refs
    )


def _holds(
    plan: RulePlan, when: Any, subject: RuleSubject, start: float, phase: str, at: float
) -> bool:
    scheduled = subject.fired or subject.queued_at
    is_active = phase == "active"
    values = {
        "instance.queued_seconds": None if is_active else at - subject.queued_at,
        "instance.lateness_seconds": None if is_active else at - scheduled,
        "instance.run_seconds": at - start if is_active else None,
    }

    def read(ref: MetricRef) -> Reading:
        return Reading(None if ref.is_windowed else values.get(ref.metric))

    times = SubjectTimes(subject.queued_at, start if is_active else None, scheduled)
    verdict = evaluate(when, read, times, at, explain=False)
    due = verdict.since + plan.timing.wait
    return bool(verdict.state) and due + TOLERANCE < at and is_applied_between(plan, due, at)
