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
from app.core.text.joining import join_and, join_colon, join_commas, join_or
from app.translation import tr, tr_noop

_OPERATORS = {
    ">": tr_noop("over {limit}"),
    ">=": tr_noop("at least {limit}"),
    "<": tr_noop("below {limit}"),
    "<=": tr_noop("at most {limit}"),
    "==": tr_noop("is {limit}"),
    "!=": tr_noop("is not {limit}"),
}
_EVERY = {
    "instance": tr_noop("every task"),
    "task": tr_noop("every task name"),
    "schedule": tr_noop("every schedule"),
    "queue": tr_noop("every queue"),
    "pool": tr_noop("every pool"),
    "host": tr_noop("the host"),
    "taskdeck": "Taskdeck",
}
_KINDS = {
    "task": tr_noop("task {names}"),
    "template": tr_noop("template {names}"),
    "schedule": tr_noop("schedule {names}"),
    "queue": tr_noop("queue {names}"),
    "pool": tr_noop("pool {names}"),
}


def describe_conditions(conditions: object) -> str:
    """Return conditions as one sentence: `queue media: queued tasks over 100 for 1m`."""
    form = conditions if isinstance(conditions, Conditions) else parse_conditions(conditions)
    scope, limit = _describe_match(form.scope, form.match), _describe_limit(form)
    return join_colon(scope, limit)


def _describe_limit(form: Conditions) -> str:
    """Return the condition without its subjects: `queued tasks over 100 for 1m`."""
    text = describe_node(form.when)
    if form.for_:
        duration = amounts.format_seconds(form.for_)
        text = tr("{condition} for {duration}", condition=text, duration=duration)
    if form.for_each == "rule":
        text += tr(", one alert")
    elif form.for_each and form.for_each != form.scope:
        text += tr(", one alert for each {kind}", kind=form.for_each)
    if form.keep_firing_for:
        text += tr(", kept for {duration}", duration=amounts.format_seconds(form.keep_firing_for))
    if form.escalate:
        after = amounts.format_seconds(form.escalate.after)
        text += tr(", {severity} after {after}", severity=form.escalate.severity, after=after)
    if form.active_time:
        periods = join_and(_describe_period(one) for one in form.active_time)
        text += tr(", only {periods}", periods=periods)
    if form.inhibited_by:
        text += tr(", not while {rules} fires", rules=", ".join(form.inhibited_by))
    return text + (tr(", also without data") if form.on_no_data == "alert" else "")


def _describe_match(scope: str, match: Match) -> str:
    parts: list[str] = []
    for key in _KINDS:
        names: list[str] | None = getattr(match, key)
        if names:
            named = join_or(names)
            is_plain = (scope, key) == ("instance", "task")
            parts.append(named if is_plain else tr(_KINDS[key], names=named))
    if match.tags:
        tags = " ".join(f"{key}={word}" for key, word in match.tags.items())
        parts.append(tr("tag {tags}", tags=tags))
    if not parts:
        return tr(_EVERY[scope])
    if scope == "instance" and match.task:
        return join_commas([tr("every task {names}", names=parts[0]), *parts[1:]])
    is_named = bool(getattr(match, scope, None))
    named = join_commas(parts)
    return named if is_named else tr("{every} of {which}", every=tr(_EVERY[scope]), which=named)


def describe_node(node: AnyNodeType) -> str:
    """Return one node of a condition in words."""
    if isinstance(node, MetricNode):
        limit = tr(_OPERATORS[node.op], limit=_describe_value(node))
        return say_ref(make_ref(node), limit)
    if isinstance(node, DeadlineNode):
        return tr("no success {due}", due=_describe_due(node.deadline))
    if isinstance(node, ForecastNode):
        margin = node.forecast.margin
        text = tr("success not expected {due}", due=_describe_due(node.forecast))
        if margin:
            text += tr(", {margin} early", margin=amounts.format_seconds(margin))
        return text
    if isinstance(node, NotNode):
        return tr("not ({condition})", condition=describe_node(node.not_))
    join, parts = (join_and, node.all) if isinstance(node, AllNode) else (join_or, node.any)
    return join(
        f"({describe_node(part)})" if isinstance(part, (AllNode, AnyNode)) else describe_node(part)
        for part in parts
    )


def _describe_value(node: MetricNode) -> str:
    if node.baseline is not None:
        base = node.baseline
        return tr(
            "{factor:g} × the {stat} of the last {runs} runs",
            factor=base.factor,
            stat=base.stat,
            runs=base.runs,
        )
    return amounts.format_amount(make_ref(node).unit, node.value or 0.0)


def _describe_due(form: Deadline) -> str:
    offset = amounts.format_seconds(abs(form.offset)) if form.offset else ""
    if isinstance(form.reference, FixedReference):
        zone = _describe_zone(form.reference.tz)
        days = _describe_days(form.reference.days)
        time = f"{_format_clock(form.reference.fixed)}{zone}"
        text = (
            tr("by {time} on {days}", time=time, days=days) if days else tr("by {time}", time=time)
        )
        if not offset:
            return text
        if form.offset > 0:
            return tr("{due} plus {offset}", due=text, offset=offset)
        return tr("{due} minus {offset}", due=text, offset=offset)
    return tr(_WITHIN[form.reference], duration=offset or "0s")


_WITHIN = {
    "queued_at": tr_noop("within {duration} of the submission"),
    "started_at": tr_noop("within {duration} of the start"),
    "scheduled_at": tr_noop("within {duration} of the fire time"),
}


def _describe_period(one: ActiveTime) -> str:
    days = _describe_days(one.days) or tr("daily")
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
        return tr("workdays")
    return ", ".join(tr(DAYS[day].capitalize()) for day in ordered)


def _format_clock(seconds: int) -> str:
    hours, rest = divmod(seconds, 3600)
    text = f"{hours:02d}:{rest // 60:02d}"
    return f"{text}:{rest % 60:02d}" if rest % 60 else text
