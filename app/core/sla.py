"""SLA rules: conditions, verdicts and wording.

Conditions are `{"preset": "finishes-within" | "starts-within", "value": "45m", "match": {…}}`.
finishes-within means success within that time of the submission; starts-within counts from the
submission or the task's not-before time, if later. `match` names a template, a queue, a task name
or a tag. A task must match all of them; an empty `match` matches every task. `{"preset":
"stays-below", "metric": "replica-lag", "value": "5m"}` concerns an internal metric instead (see
`app.core.metrics`). The priority is the severity: 3 critical, 2 warning, 1 info. Times are UNIX
seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from app.core import metrics
from app.core.json_types import is_object
from app.core.text.joining import join_commas
from app.core.text.sanitize import find_name_error, find_nearest
from app.core.text.units import format_age, format_duration_setting, parse_positive_duration, quote
from app.translation import tr, tr_noop

STAYS_BELOW = "stays-below"
PRESETS = ("finishes-within", "starts-within", STAYS_BELOW)
_PRESET_WORDS = (tr_noop("finishes within"), tr_noop("starts within"), tr_noop("stays below"))
"""Presets in words: their names without hyphens."""
SEVERITIES = {"info": 1, "warning": 2, "critical": 3}
MATCH_KEYS = ("template", "queue", "task", "tag")
CONDITION_KEYS = ("preset", "metric", "value", "match")


class SlaRule(NamedTuple):
    """A validated condition.

    `value` is in seconds, or in the unit of `metric`, which is "" for rules on tasks. `tag` is
    {key: value}.
    """

    preset: str
    value: float
    match: Mapping[str, Any] = MappingProxyType({})
    metric: str = ""

    @property
    def is_finish_rule(self) -> bool:
        return self.preset == "finishes-within"

    @property
    def unit(self) -> str:
        """Unit of `value`: `seconds`, `count` or `bytes`."""
        return metrics.get_unit(self.metric) if self.metric else metrics.SECONDS


class TaskTimes(NamedTuple):
    """Times of a task: submission, earliest start, first start and end.

    `failure` describes how an ended task failed, such as `failed: exit 1`, or is "".
    """

    created: float
    not_before: float | None = None
    started: float | None = None
    ended: float | None = None
    failure: str = ""


class SlaVerdict(NamedTuple):
    """Verdict on a task.

    `due` is the deadline. `done` is the time when the condition was met (None: not yet). `took` is
    the time used so far. `late` is True once the rule is broken, by time or by a failure. `since`
    is the time when the rule is, or would be, broken.
    """

    due: float
    done: float | None
    took: float
    late: bool
    text: str
    short: str
    since: float


class MetricVerdict(NamedTuple):
    """Verdict on a metric.

    `late` is True from the limit up; `since` is the time of the change.
    """

    late: bool
    since: float
    text: str
    short: str


def parse_conditions(conditions: Any) -> SlaRule:
    """Return the rule for an SLA's conditions.

    Raise ValueError with a sentence that names the key.
    """
    if not is_object(conditions):
        raise ValueError(
            tr('conditions must be a table, such as { preset = "finishes-within", value = "45m" }')
        )
    for key in conditions:
        if key not in CONDITION_KEYS:
            raise ValueError(
                tr(
                    "conditions: unknown key {key}{advice}",
                    key=quote(str(key)),
                    advice=_suggest_nearest(key, CONDITION_KEYS),
                )
            )
    preset = conditions.get("preset")
    if preset not in PRESETS:
        raise ValueError(
            tr(
                "conditions: preset must be {presets}, not {preset}",
                presets=" or ".join(PRESETS),
                preset=quote(str(preset)),
            )
        )
    metric, match = (
        _parse_metric(preset, conditions.get("metric")),
        _parse_match(conditions.get("match", {})),
    )
    if metric and match:
        raise ValueError(
            tr(
                "conditions: match: {metric} is one value for the whole home, so it takes no"
                " {match}",
                metric=metric,
                match=" or ".join(match),
            )
        )
    return SlaRule(preset, _parse_value(conditions.get("value"), metric), match, metric)


def is_general(conditions: Any) -> bool:
    """Return whether conditions have the general form (`app.core.rules`), not that of a preset."""
    return is_object(conditions) and ("when" in conditions or "scope" in conditions)


def describe_conditions(conditions: Any) -> str:
    """Return valid conditions of either form as a sentence."""
    if is_general(conditions):
        from app.core.rules import words

        return words.describe_conditions(conditions)
    return describe_rule(parse_conditions(conditions))


def normalize_conditions(conditions: Any) -> dict[str, Any]:
    """Return conditions of either form in stored form.

    The conditions are validated, seconds become amounts, counts become numbers, and an empty match
    is removed. Conditions of the general form stay as typed.
    """
    if is_general(conditions):
        from app.core.rules import rule_plan

        return rule_plan.normalize_conditions(conditions)
    rule, value = parse_conditions(conditions), conditions["value"]
    metric = {"metric": rule.metric} if rule.metric else {}
    match = {"match": dict(rule.match)} if rule.match else {}
    return {"preset": rule.preset, **metric, "value": _to_stored(rule, value), **match}


def _to_stored(rule: SlaRule, value: Any) -> Any:
    if rule.unit == metrics.COUNT:
        return int(rule.value)
    if isinstance(value, str):
        return value
    return f"{value}M" if rule.unit == metrics.BYTES else format_seconds(rule.value)


def format_seconds(seconds: float) -> str | float:
    """Format seconds as typed: `45m`; return the number itself if it is not whole."""
    for unit, length in (("h", 3600), ("m", 60), ("s", 1)):
        if seconds % length == 0 and (seconds or unit == "s"):
            return f"{int(seconds / length)}{unit}"
    return seconds


def get_severity(priority: int) -> str:
    """Return `critical`, `warning` or `info`."""
    return next(
        word for word, least in reversed(SEVERITIES.items()) if priority >= least or word == "info"
    )


def judge_task(rule: SlaRule, facts: TaskTimes, now: float) -> SlaVerdict:
    """Return the verdict on a task.

    A task that ended without starting waited until its end. A failed task breaks a finish rule at
    its end, however early.
    """
    since = facts.created if rule.is_finish_rule else max(facts.created, facts.not_before or 0.0)
    due = since + rule.value
    if rule.is_finish_rule and facts.failure and facts.ended is not None:
        text = tr(
            "{failure}; must succeed within {duration}",
            failure=facts.failure,
            duration=format_duration_setting(rule.value),
        )
        broken = min(due, facts.ended)
        return SlaVerdict(due, None, facts.ended - since, True, text, facts.failure, broken)
    reached_at = facts.ended if rule.is_finish_rule or facts.started is None else facts.started
    took = (now if reached_at is None else reached_at) - since
    late = now >= due if reached_at is None else reached_at > due
    return SlaVerdict(
        due,
        reached_at,
        took,
        late,
        _describe_time(rule, facts, took, now),
        f"{_format_took(took, rule.value)} > {format_duration_setting(rule.value)}",
        due,
    )


def _format_took(took: float, limit: float) -> str:
    """Format a time as exactly as its limit, with more digits if it would read like the limit."""
    text = format_duration_setting(took) if limit % 60 else format_age(took)
    if text != format_duration_setting(limit) or took <= limit:
        return text
    least = 1 if took >= 60 else 2
    digits = next((many for many in range(least, 6) if round(took, many) > limit), 6)
    minutes, seconds = divmod(round(took, digits), 60)
    return (
        f"{int(minutes)}m{seconds:0{digits + 3}.{digits}f}s"
        if minutes
        else f"{seconds:.{digits}f}s"
    )


def judge_metric(rule: SlaRule, figure: float | None, now: float) -> MetricVerdict:
    """Return the verdict on a metric. An unknown value (None) is never late."""
    exact = rule.value % 60 != 0
    text = metrics.describe_figure(rule.metric, figure, exact)
    if figure is None:
        return MetricVerdict(False, now, text, text)
    limit = metrics.format_figure(rule.metric, rule.value, exact=True)
    since = now - (figure - rule.value) if rule.metric in metrics.AGE_METRICS else now
    short = f"{metrics.format_figure(rule.metric, figure, exact)} > {limit}"
    return MetricVerdict(
        figure >= rule.value, since, tr("{said}, allowed {limit}", said=text, limit=limit), short
    )


def describe_rule(rule: SlaRule) -> str:
    """Format a rule: `finishes within 45m, template encode`."""
    preset = tr(rule.preset.replace("-", " "))
    if rule.metric:
        return (
            f"{rule.metric} {preset} {metrics.format_figure(rule.metric, rule.value, exact=True)}"
        )
    match = [
        f"{tr(key)} {_format_tags(word) if key == 'tag' else word}"
        for key, word in rule.match.items()
    ]
    return join_commas([f"{preset} {format_duration_setting(rule.value)}", *match])


def _describe_time(rule: SlaRule, facts: TaskTimes, took: float, now: float) -> str:
    """Describe the time used: waiting, running, or both."""
    values = {"time": _format_took(took, rule.value), "limit": format_duration_setting(rule.value)}
    if not rule.is_finish_rule:
        if facts.started is None and facts.ended is None:
            return tr("waiting {time}, allowed {limit}", **values)
        return tr("waited {time}, allowed {limit}", **values)
    if facts.ended is not None:
        return tr("took {time}, allowed {limit}", **values)
    if facts.started is None:
        return tr("waiting {time}, allowed {limit} in all", **values)
    waited = facts.started - facts.created
    if waited < took / 20:
        return tr("running {time}, allowed {limit}", **values)
    return tr(
        "waited {waited}, running {running}, allowed {limit}",
        waited=format_age(waited),
        running=format_age(now - facts.started),
        limit=values["limit"],
    )


def _parse_metric(preset: str, metric: Any) -> str:
    """Return the metric of a rule, "" for rules on tasks."""
    if preset != STAYS_BELOW:
        if metric is not None:
            raise ValueError(
                tr(
                    "conditions: metric goes with preset {stays_below}, not with {preset}",
                    stays_below=STAYS_BELOW,
                    preset=preset,
                )
            )
        return ""
    if metric is None:
        raise ValueError(
            tr(
                "conditions: {stays_below} needs a metric: {metrics}",
                stays_below=STAYS_BELOW,
                metrics=", ".join(metrics.METRICS),
            )
        )
    if not isinstance(metric, str) or metric not in metrics.METRICS:
        raise ValueError(
            tr(
                "conditions: unknown metric {metric}{advice}",
                metric=quote(str(metric)),
                advice=_suggest_nearest(metric, tuple(metrics.METRICS)),
            )
        )
    return metric


def _parse_value(value: Any, metric: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(
            tr(
                "conditions: value must be {example}",
                example=tr(
                    _VALUE_EXAMPLES[metrics.get_unit(metric) if metric else metrics.SECONDS]
                ),
            )
        )
    try:
        return (
            metrics.parse_limit(metric, str(value))
            if metric
            else parse_positive_duration(str(value))
        )
    except ValueError as error:
        raise ValueError(tr("conditions: value {error}", error=error)) from None


_VALUE_EXAMPLES = {
    metrics.SECONDS: tr_noop("a duration such as 45m"),
    metrics.COUNT: tr_noop("a count such as 20"),
    metrics.BYTES: tr_noop("a size such as 64M"),
}


def _parse_match(match: Any) -> dict[str, Any]:
    if not is_object(match):
        raise ValueError(tr('conditions: match must be a table, such as { template = "encode" }'))
    for key, word in match.items():
        if key not in MATCH_KEYS:
            raise ValueError(
                tr(
                    "conditions: match: unknown key {key}{advice}",
                    key=quote(str(key)),
                    advice=_suggest_nearest(key, MATCH_KEYS),
                )
            )
        if key != "tag" and (not isinstance(word, str) or find_name_error(word)):
            raise ValueError(
                tr(
                    "conditions: match: {key} must be a name, not {word}",
                    key=key,
                    word=quote(str(word)),
                )
            )
    return {key: _parse_tag(word) if key == "tag" else word for key, word in match.items()}


def _parse_tag(tag: Any) -> dict[str, str]:
    """Parse `k=v` or {"k": "v"}."""
    pairs: object = dict([tag.split("=", 1)]) if isinstance(tag, str) and "=" in tag else tag
    if not is_object(pairs) or not all(
        isinstance(k, str) and isinstance(v, str) for k, v in pairs.items()
    ):
        raise ValueError(tr("conditions: match: tag must be KEY=VALUE"))
    return dict(pairs)


def _format_tags(tags: Mapping[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in tags.items())


def _suggest_nearest(key: Any, known: tuple[str, ...]) -> str:
    near = find_nearest(str(key), known)
    return f". Nearest: {near}" if near else f" (known: {', '.join(known)})"
