"""Rules of the general form as one sentence."""

from __future__ import annotations

from app.core.rules import amounts
from app.core.rules.active_time import DAYS
from app.core.rules.conditions import (
    ActiveTime,
    AllNode,
    AnyNode,
    AnyNodeType,
    Conditions,
    Deadline,
    DeadlineNode,
    FixedReference,
    ForecastNode,
    Match,
    MetricNode,
    NotNode,
    parse_conditions,
)
from app.core.rules.evaluate import make_ref, say_ref
from app.core.schedules.zones import get_local_zone_name

_OPERATORS = {
    ">": "over", ">=": "at least", "<": "below", "<=": "at most", "==": "is", "!=": "is not",
}  # fmt: skip
_EVERY = {
    "instance": "every task", "task": "every task name", "schedule": "every schedule",
    "queue": "every queue", "pool": "every pool", "host": "the host", "taskdeck": "Taskdeck",
}  # fmt: skip


def describe_conditions(conditions: object) -> str:
    """Return conditions as one sentence: `queue media: queued tasks over 100 for 1m`."""
    form = conditions if isinstance(conditions, Conditions) else parse_conditions(conditions)
    text = f"{_describe_match(form.scope, form.match)}: {describe_node(form.when)}"
    if form.for_:
        text += f" for {amounts.format_seconds(form.for_)}"
    if form.for_each and form.for_each != form.scope:
        text += ", one alert" + ("" if form.for_each == "rule" else f" for each {form.for_each}")
    if form.keep_firing_for:
        text += f", kept for {amounts.format_seconds(form.keep_firing_for)}"
    if form.escalate:
        after = amounts.format_seconds(form.escalate.after)
        text += f", {form.escalate.severity} after {after}"
    if form.active_time:
        text += f", only {' and '.join(_describe_period(one) for one in form.active_time)}"
    if form.inhibited_by:
        text += f", not while {', '.join(form.inhibited_by)} fires"
    return text + (", also without data" if form.on_no_data == "alert" else "")


def describe_limit(conditions: object) -> str:
    """Return the condition without its subjects: `queued tasks over 100 for 1m`."""
    return describe_conditions(conditions).partition(": ")[2]


def describe_scope(conditions: object) -> str:
    """Return the subjects of conditions: `queue media`."""
    return describe_conditions(conditions).partition(": ")[0]


def _describe_match(scope: str, match: Match) -> str:
    parts: list[str] = []
    for key in ("task", "template", "schedule", "queue", "pool"):
        names: list[str] | None = getattr(match, key)
        if names:
            named = " or ".join(names)
            parts.append(named if (scope, key) == ("instance", "task") else f"{key} {named}")
    if match.tags:
        parts.append("tag " + " ".join(f"{key}={word}" for key, word in match.tags.items()))
    if not parts:
        return _EVERY[scope]
    if scope == "instance" and match.task:
        return ", ".join([f"every task {parts[0]}", *parts[1:]])
    is_named = parts[0].startswith(f"{scope} ")
    return ", ".join(parts) if is_named else f"{_EVERY[scope]} of {', '.join(parts)}"


def describe_node(node: AnyNodeType) -> str:
    """Return one node of a condition in words."""
    if isinstance(node, MetricNode):
        return say_ref(make_ref(node), f"{_OPERATORS[node.op]} {_describe_value(node)}")
    if isinstance(node, DeadlineNode):
        return f"no success {_describe_due(node.deadline)}"
    if isinstance(node, ForecastNode):
        margin = node.forecast.margin
        early = f", {amounts.format_seconds(margin)} early" if margin else ""
        return f"success not expected {_describe_due(node.forecast)}{early}"
    if isinstance(node, NotNode):
        return f"not ({describe_node(node.not_)})"
    joined, parts = (" and ", node.all) if isinstance(node, AllNode) else (" or ", node.any)
    return joined.join(
        f"({describe_node(part)})" if isinstance(part, (AllNode, AnyNode)) else describe_node(part)
        for part in parts
    )


def _describe_value(node: MetricNode) -> str:
    if node.baseline is not None:
        base = node.baseline
        return f"{base.factor:g} × the {base.stat} of the last {base.runs} runs"
    return amounts.format_amount(make_ref(node).unit, node.value or 0.0)


def _describe_due(form: Deadline) -> str:
    offset = amounts.format_seconds(abs(form.offset)) if form.offset else ""
    if isinstance(form.reference, FixedReference):
        zone = _describe_zone(form.reference.tz)
        days = _describe_days(form.reference.days)
        text = f"by {_format_clock(form.reference.fixed)}{zone}{f' on {days}' if days else ''}"
        return f"{text}{' plus ' if form.offset > 0 else ' minus '}{offset}" if offset else text
    start = {
        "queued_at": "the submission", "started_at": "the start", "scheduled_at": "the fire time",
    }[form.reference]  # fmt: skip
    return f"within {offset or '0s'} of {start}"


def _describe_period(one: ActiveTime) -> str:
    days = _describe_days(one.days) or "daily"
    hours = f"{_format_clock(one.start)}–{_format_clock(one.end)}"
    return f"{days} {hours}{_describe_zone(one.tz)}"


def _describe_zone(zone: str | None) -> str:
    """Return a zone with a leading space, "" for that of this machine."""
    return f" {zone}" if zone and zone != get_local_zone_name() else ""


def _describe_days(days: frozenset[int]) -> str:
    """Return weekdays in words, "" for all of them."""
    ordered = sorted(days)
    if len(ordered) == 7:
        return ""
    if ordered == list(range(5)):
        return "workdays"
    return ", ".join(DAYS[day].capitalize() for day in ordered)


def _format_clock(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    text = f"{hours:02d}:{rest // 60:02d}"
    return f"{text}:{rest % 60:02d}" if rest % 60 else text
