"""A rule prepared for evaluation: its kind of subject, its metrics, and its smallest age."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from app.core.rules import catalog
from app.core.rules.active_time import ActivePeriod
from app.core.rules.alert_state import Timing
from app.core.rules.conditions import (
    AllNode,
    AnyNode,
    AnyNodeType,
    Conditions,
    DeadlineNode,
    FixedReference,
    ForecastNode,
    Match,
    MetricNode,
    list_parts,
    normalize_form,
    parse_conditions,
    walk,
)
from app.core.rules.evaluate import MetricRef, make_baseline_ref, make_ref
from app.core.rules.levels import Comparison, list_comparisons
from app.core.text.joining import join_or
from app.translation import tr, tr_noop

_LABELS: Mapping[str, tuple[str, ...]] = {
    "instance": ("task", "template", "schedule", "queue", "pool", "tags"),
    "task": ("task", "template", "schedule", "queue", "pool", "tags"),
    "schedule": ("schedule", "task", "template", "queue", "pool"),
    "queue": ("queue", "pool"),
    "pool": ("pool",),
    "host": (),
    "taskdeck": (),
}
"""Labels that a subject of each kind has."""
_AVAILABLE: Mapping[str, tuple[str, ...]] = {
    "instance": catalog.SCOPES,
    "task": ("task", "schedule", "queue", "pool", "host", "taskdeck"),
    "schedule": ("schedule", "task", "queue", "pool", "host", "taskdeck"),
    "queue": ("queue", "pool", "host", "taskdeck"),
    "pool": ("pool", "host", "taskdeck"),
    "host": ("host", "taskdeck"),
    "taskdeck": ("host", "taskdeck"),
}
"""Kinds of metrics that a subject of each kind can refer to, the finest first."""
_PLURALS = {
    "instance": tr_noop("runs"),
    "task": tr_noop("tasks"),
    "schedule": tr_noop("schedules"),
    "queue": tr_noop("queues"),
    "pool": tr_noop("pools"),
    "host": tr_noop("the host"),
    "taskdeck": tr_noop("Taskdeck itself"),
}
_GLOB = frozenset("*?[")


class Labels(NamedTuple):
    """Names that a rule can match."""

    task: str | None = None
    template: str | None = None
    schedule: str | None = None
    queue: str | None = None
    pool: str | None = None
    tags: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class RulePlan:
    """A rule prepared for evaluation.

    `base` is the kind of subject that is judged, `group` the label that makes one alert.
    `min_age` is the age in seconds below which no instance can break the rule. `phases` are those
    in which an instance can. Rules with the same match have the same `match_key`.
    `ended` says which ended runs are judged as well: "ended", "failed", or "" for none.

    `has_due` is True if the rule fires at a known time about a subject that is not done before.
    `is_steady` is True if the rule then holds for an instance until its task or run changes.
    `comparisons` are those whose values are shown.
    """

    conditions: Conditions
    base: str
    group: str
    refs: tuple[MetricRef, ...]
    timing: Timing
    periods: tuple[ActivePeriod, ...]
    min_age: float
    ended: str
    has_times: bool
    has_forecast: bool
    phases: frozenset[str]
    match_key: str
    has_due: bool
    comparisons: tuple[Comparison, ...]
    is_steady: bool

    @property
    def covers_ended(self) -> bool:
        """True if the rule judges ended runs."""
        return bool(self.ended)

    @property
    def match(self) -> Match:
        return self.conditions.match


def make_plan(conditions: object) -> RulePlan:
    """Return the plan of conditions. Raise ValueError with the path of what does not fit."""
    form = conditions if isinstance(conditions, Conditions) else parse_conditions(conditions)
    nodes = walk(form.when)
    metrics = [node for node in nodes if isinstance(node, MetricNode)]
    base = _find_base(form, nodes, metrics)
    if base not in ("instance", "task", "schedule") and any(node.baseline for node in metrics):
        raise ValueError(
            tr(
                "conditions.when: a {base} has no baseline; use scope instance, task or schedule",
                base=base,
            )
        )
    _check_match(form, base)
    group = _find_group(form, base)
    refs = {make_ref(node): None for node in metrics} | {
        make_baseline_ref(node.metric, node.baseline): None for node in metrics if node.baseline
    }
    escalate = form.escalate
    return RulePlan(
        form,
        base,
        group,
        tuple(refs),
        Timing(form.for_, form.keep_firing_for, escalate.after if escalate else None),
        tuple(one.to_period() for one in form.active_time),
        _find_min_age(form.when) if form.on_no_data == "ok" else 0.0,
        _find_ended(base, nodes),
        any(isinstance(node, (DeadlineNode, ForecastNode)) for node in nodes),
        any(isinstance(node, ForecastNode) for node in nodes),
        _find_phases(form.when) if form.on_no_data == "ok" else PHASES,
        form.match.model_dump_json(),
        _has_due(form.when),
        tuple(list_comparisons(form.when)),
        base == group == "instance" and _has_due(form.when) and not _has_other_parts(nodes),
    )


def normalize_conditions(conditions: object) -> dict[str, Any]:
    """Return conditions as stored: as typed, once they are valid and fit their scope."""
    make_plan(conditions)
    return normalize_form(conditions)


def _find_base(
    form: Conditions, nodes: Sequence[AnyNodeType], metrics: Sequence[MetricNode]
) -> str:
    """Return the finest kind of subject that the conditions refer to."""
    bare = [node for node in metrics if not (node.window or node.rate_over)]
    scope = form.scope
    if scope == "instance" and any(node.stat for node in metrics):
        if any(catalog.get_family(node.metric) == "instance" for node in bare):
            raise ValueError(
                tr(
                    "conditions.when: a stat covers many runs and goes with no metric of one"
                    " instance"
                )
            )
        scope = "task"
    if scope == "instance" and form.for_each != "instance" and _is_about_names(nodes, bare):
        scope = "task"  # a task that was never submitted misses a fixed time, too
    kinds = {scope} | {
        catalog.get_family(node.metric)
        for node in metrics
        if node in bare or catalog.get_family(node.metric) != "instance"
    }
    for node in nodes:
        if isinstance(node, (DeadlineNode, ForecastNode)):
            is_fixed = isinstance(_get_reference(node), FixedReference)
            kinds.add("task" if is_fixed and form.scope != "schedule" else
                      "schedule" if is_fixed else "instance")  # fmt: skip
    base = next(kind for kind in catalog.SCOPES if kind in kinds)
    if base == "task" and "schedule" in kinds:
        base = "schedule"
    for node in metrics:
        family = catalog.get_family(node.metric)
        if family != "instance" and family not in _AVAILABLE[base]:
            raise ValueError(
                tr(
                    "conditions.when: {metric} has no value for a {base}; use scope {family}",
                    metric=node.metric,
                    base=base,
                    family=family,
                )
            )
    if (
        form.scope in ("host", "taskdeck")
        and base not in ("host", "taskdeck")
        and (form.for_each is None)
    ):
        raise ValueError(
            tr(
                "conditions.scope: {scope} has no {base} metrics; use scope {base}",
                scope=form.scope,
                base=base,
            )
        )
    return base


def _is_about_names(nodes: Sequence[AnyNodeType], bare: Sequence[MetricNode]) -> bool:
    """Return whether the rule judges task names: all deadlines are fixed, no metric is of a run."""
    times = [
        _get_reference(node) for node in nodes if isinstance(node, (DeadlineNode, ForecastNode))
    ]
    is_fixed = bool(times) and all(isinstance(one, FixedReference) for one in times)
    return is_fixed and all(catalog.get_family(node.metric) != "instance" for node in bare)


def _get_reference(node: DeadlineNode | ForecastNode) -> FixedReference | str:
    return (node.deadline if isinstance(node, DeadlineNode) else node.forecast).reference


def _check_match(form: Conditions, base: str) -> None:
    for key in form.match.model_fields_set:
        if getattr(form.match, key) and key not in _LABELS[base]:
            values = {"key": key, "what": tr(_PLURALS[base])}
            if not _LABELS[base]:
                raise ValueError(
                    tr("conditions.match.{key}: {what} cannot be selected by name", **values)
                )
            raise ValueError(
                tr(
                    "conditions.match.{key}: {what} can be selected only by {known}",
                    **values,
                    known=join_or(_LABELS[base]),
                )
            )


def _find_group(form: Conditions, base: str) -> str:
    group = form.for_each or (base if form.scope == "instance" else form.scope)
    if group in (base, "rule"):
        return group
    if group in ("host", "taskdeck"):
        return "rule"
    if group == "instance" or group not in _LABELS[base]:
        raise ValueError(tr("conditions.for_each: a {base} has no {group}", base=base, group=group))
    return group


def _find_ended(base: str, nodes: Sequence[AnyNodeType]) -> str:
    """Return which ended runs a rule judges: all for an exit code, failed ones for a deadline."""
    if base != "instance":
        return ""
    for node in nodes:
        if isinstance(node, MetricNode) and node.metric in catalog.ENDED_RUN_METRICS:
            return "ended"
    has_times = any(isinstance(node, (DeadlineNode, ForecastNode)) for node in nodes)
    return "failed" if has_times else ""


PHASES = frozenset({"waiting", "active", "ended"})
_PHASES_OF_METRICS = {
    "instance.queued_seconds": frozenset({"waiting"}),
    "instance.exit_code": frozenset({"ended"}),
    "instance.output_idle_seconds": frozenset({"active"}),
    **dict.fromkeys(
        ("instance.run_seconds", "instance.rss_mib", "instance.cpu_ratio", "instance.log_mib"),
        frozenset({"active", "ended"}),
    ),
}


def _find_phases(node: AnyNodeType) -> frozenset[str]:
    """Return the phases in which an instance can make the node true."""
    if isinstance(node, MetricNode):
        return PHASES if node.window else _PHASES_OF_METRICS.get(node.metric, PHASES)
    if isinstance(node, (DeadlineNode, ForecastNode)):
        form = node.deadline if isinstance(node, DeadlineNode) else node.forecast
        is_of_runs = form.reference == "started_at"
        return frozenset({"active"} if is_of_runs else {"waiting", "active"})
    if isinstance(node, AllNode):
        return PHASES.intersection(*map(_find_phases, node.all))
    if isinstance(node, AnyNode):
        return frozenset[str]().union(*map(_find_phases, node.any))
    return PHASES


def _find_min_age(node: AnyNodeType) -> float:
    """Return a number of seconds below which an instance cannot make the node true."""
    if isinstance(node, MetricNode):
        metric = catalog.METRICS[node.metric]
        is_age = metric.grows and node.metric.startswith("instance.")
        if is_age and node.op in (">", ">=") and node.value is not None and not node.window:
            return max(0.0, node.value)
        return 0.0
    if isinstance(node, DeadlineNode):
        fixed = isinstance(node.deadline.reference, FixedReference)
        return 0.0 if fixed else max(0.0, node.deadline.offset)
    if isinstance(node, AllNode):
        return max(_find_min_age(part) for part in node.all)
    if isinstance(node, AnyNode):
        return min(_find_min_age(part) for part in node.any)
    return 0.0


def _has_due(node: AnyNodeType) -> bool:
    """Return whether the node becomes true at a known time, unless its subject is done before."""
    if isinstance(node, MetricNode):
        is_age = node.metric in catalog.DUE_METRICS and node.op in (">", ">=")
        return is_age and not (node.window or node.rate_over)
    if isinstance(node, (AllNode, AnyNode)):
        parts = list_parts(node)
        return all(map(_has_due, parts)) and (isinstance(node, AnyNode) or len(parts) == 1)
    return isinstance(node, (DeadlineNode, ForecastNode))


def _has_other_parts(nodes: Sequence[AnyNodeType]) -> bool:
    """Return whether a node is more than a comparison of a metric with a fixed limit."""
    return any(not isinstance(node, MetricNode) or node.baseline for node in nodes)


def is_matched(match: Match, labels: Labels) -> bool:
    """Return whether the labels of a subject match."""
    for key in ("task", "template", "schedule", "queue", "pool"):
        globs: list[str] | None = getattr(match, key)
        if globs is None:
            continue
        name: str | None = getattr(labels, key)
        if name is None or not is_any_match(name, globs):
            return False
    return all(labels.tags.get(key) == word for key, word in match.tags.items())


def is_any_match(name: str, globs: Sequence[str]) -> bool:
    """Return whether a name matches one of the patterns."""
    return any(fnmatchcase(name, glob) for glob in globs)


def list_exact_names(globs: Sequence[str] | None) -> list[str]:
    """Return the patterns that are plain names."""
    return [glob for glob in globs or () if not _GLOB & {*glob}]
