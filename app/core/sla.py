"""Service levels: what a rule asks of a task, whether a task keeps it, and how that reads.

Conditions are `{"preset": "finishes-within" | "starts-within", "value": "45m", "match": {…}}`. finishes-within counts
from the submission, starts-within from the submission or, where that is later, the task's not-before time. `match`
names a template, a queue, a task's name, a tag; all that it names must hold, and an empty one means every task.
Priority is the severity, higher first: 3 critical, 2 warning, 1 info. Times are UNIX seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.core.amounts import age, parse_duration, quoted
from app.core.clean import nearest, valid_name

PRESETS = ("finishes-within", "starts-within")
SEVERITIES = {"info": 1, "warning": 2, "critical": 3}
MATCHES = ("template", "queue", "task", "tag")


@dataclass(frozen=True, slots=True)
class Rule:
    """A checked condition; `value` in seconds, `tag` as {key: value}."""

    preset: str
    value: float
    match: Mapping[str, Any] = field(default_factory=dict)

    @property
    def finishes(self) -> bool:
        return self.preset == "finishes-within"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a rule looks at: when a task was submitted, may start, first started, and ended."""

    created: float
    not_before: float | None = None
    started: float | None = None
    ended: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a task stands: `due` is its last moment, `done` when it did what is asked (None: not yet), `took` so far."""

    due: float
    done: float | None
    took: float
    late: bool
    text: str
    short: str


def parse(conditions: Any) -> Rule:
    """The rule in an SLA's conditions. Raises ValueError with a sentence that names the key."""
    if not isinstance(conditions, Mapping):
        raise ValueError('conditions must be a table, such as { preset = "finishes-within", value = "45m" }')
    for key in conditions:
        if key not in ("preset", "value", "match"):
            raise ValueError(f"conditions: unknown key {quoted(str(key))}{_near(key, ('preset', 'value', 'match'))}")
    preset = conditions.get("preset")
    if preset not in PRESETS:
        raise ValueError(f"conditions: preset must be {' or '.join(PRESETS)}, not {quoted(str(preset))}")
    return Rule(preset, _value(conditions.get("value")), _match(conditions.get("match", {})))


def normal(conditions: Any) -> dict[str, Any]:
    """Conditions as they are stored: checked, a bare number of seconds as an amount, an empty match left out."""
    rule, value = parse(conditions), conditions["value"]
    match = {"match": dict(rule.match)} if rule.match else {}
    return {"preset": rule.preset, "value": value if isinstance(value, str) else written(rule.value), **match}


def written(seconds: float) -> str | float:
    """Seconds as people type them: `45m`; the number itself when it is not whole."""
    for unit, length in (("h", 3600), ("m", 60), ("s", 1)):
        if seconds % length == 0 and (seconds or unit == "s"):
            return f"{int(seconds / length)}{unit}"
    return seconds


def severity(priority: int) -> str:
    """`critical`, `warning` or `info`."""
    return next(word for word, least in reversed(SEVERITIES.items()) if priority >= least or word == "info")


def judge(rule: Rule, facts: Facts, now: float) -> Verdict:
    """Whether a task keeps a rule, as of `now`. One that ended without having started waited until its end."""
    since = facts.created if rule.finishes else max(facts.created, facts.not_before or 0.0)
    due = since + rule.value
    done = facts.ended if rule.finishes or facts.started is None else facts.started
    took = (now if done is None else done) - since
    late = now >= due if done is None else done > due
    return Verdict(due, done, took, late, _text(rule, facts, took, now), f"{age(took)} > {age(rule.value)}")


def describe(rule: Rule) -> str:
    """`finishes within 45m, template encode`."""
    match = [f"{key} {_tags(word) if key == 'tag' else word}" for key, word in rule.match.items()]
    return ", ".join([f"{rule.preset.replace('-', ' ')} {age(rule.value)}", *match])


def _text(rule: Rule, facts: Facts, took: float, now: float) -> str:
    """In words, true to what the task did in that time: waiting, running, or both."""
    allowed = f"allowed {age(rule.value)}"
    if not rule.finishes:
        return f"{'waiting' if facts.started is None and facts.ended is None else 'waited'} {age(took)}, {allowed}"
    if facts.ended is not None:
        return f"took {age(took)}, {allowed}"
    if facts.started is None:
        return f"waiting {age(took)}, {allowed} in all"
    waited = facts.started - facts.created
    if waited < took / 20:
        return f"running {age(took)}, {allowed}"
    return f"waited {age(waited)}, running {age(now - facts.started)}, {allowed}"


def _value(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError("conditions: value must be a duration such as 45m")
    try:
        return parse_duration(str(value))
    except ValueError as error:
        raise ValueError(f"conditions: value {error}") from None


def _match(match: Any) -> dict[str, Any]:
    if not isinstance(match, Mapping):
        raise ValueError('conditions: match must be a table, such as { template = "encode" }')
    for key, word in match.items():
        if key not in MATCHES:
            raise ValueError(f"conditions: match: unknown key {quoted(str(key))}{_near(key, MATCHES)}")
        if key != "tag" and (not isinstance(word, str) or valid_name(word)):
            raise ValueError(f"conditions: match: {key} must be a name, not {quoted(str(word))}")
    return {key: _tag(word) if key == "tag" else word for key, word in match.items()}


def _tag(tag: Any) -> dict[str, str]:
    """`k=v` or {"k": "v"}."""
    if isinstance(tag, str) and "=" in tag:
        tag = dict([tag.split("=", 1)])
    if not isinstance(tag, Mapping) or not all(isinstance(k, str) and isinstance(v, str) for k, v in tag.items()):
        raise ValueError("conditions: match: tag must be KEY=VALUE")
    return dict(tag)


def _tags(tags: Mapping[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in tags.items())


def _near(key: Any, known: tuple[str, ...]) -> str:
    near = nearest(str(key), known)
    return f". Nearest: {near}" if near else f" (known: {', '.join(known)})"
