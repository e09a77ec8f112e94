"""Options of `sla create` and `sla set`, as conditions of the general form.

A change of one option keeps everything else that the rule has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from app.core.json_types import is_array, is_object
from app.core.rules import presets
from app.core.rules.rule_plan import normalize_conditions
from app.core.text.units import quote
from app.translation import tr, tr_noop

_OPTIONS = {"when": "--value", "for": "--for", "match": "", "scope": "--preset"}
_SHAPE = ("metric", "op", "stat", "window", "rate_over")
"""Keys in which two comparisons of the same preset are equal."""
_WHOLE = frozenset(
    ("instance.attempt", "task.consecutive_failures", "schedule.missed", "queue.depth")
)
"""Metrics that count."""
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")
_PATH = re.compile(r"conditions\.(when|for|scope|match)\.?([^:]*): ?")
_NO_SINGLE_LIMIT = tr_noop(
    "the conditions have no single limit that --value could change; give them as a whole with"
    " --conditions JSON"
)

_NO_PRESET = tr_noop(
    "a new rule needs --preset, one of `taskdeck sla presets`, or --conditions JSON"
)


class RuleOptions(NamedTuple):
    """Options of a rule, as typed. None is not given; an empty text resets the option.

    The keys of `match` are those of conditions; `tags` is a table.
    """

    preset: str | None = None
    value: Any = None
    wait: Any = None
    tz: str | None = None
    match: Mapping[str, Any] = {}


def build_conditions(options: RuleOptions) -> dict[str, Any]:
    """Return the conditions of a new rule. Raise ValueError with the option that is wrong."""
    return change_conditions({}, options)


def change_conditions(old: Mapping[str, Any], options: RuleOptions) -> dict[str, Any]:
    """Return conditions changed by these options; everything else stays.

    Raise ValueError with the option that is wrong.
    """
    try:
        return normalize_conditions(_merge(old, options))
    except ValueError as error:
        raise ValueError(name_options(str(error))) from None


def _merge(old: Mapping[str, Any], options: RuleOptions) -> dict[str, Any]:
    value = None if options.value is None else str(options.value)
    found = {**old}
    if options.preset is not None:
        made = presets.build_conditions(options.preset, value)
        found |= {"scope": made["scope"], "when": _keep_when(found, made["when"], value)}
        found = found if "when" in old else found | made
    elif "when" not in found:
        raise ValueError(tr(_NO_PRESET))
    elif value is not None:
        found["when"] = replace_limit(found["when"], value)
    if value is not None:
        _check_limit(found["when"], value)
    if options.tz is not None:
        found["when"] = _replace_zone(found["when"], options.tz)
    match: dict[str, Any] = {**(old.get("match") or {}), **options.match}
    found["match"] = {key: word for key, word in match.items() if word}
    if options.wait is not None:
        found["for"] = options.wait
    empty = [key for key in ("match", "for") if not found.get(key)]
    return {key: one for key, one in found.items() if key not in empty}


def _check_limit(when: Mapping[str, Any], value: str) -> None:
    """Raise ValueError for a limit that every subject breaks, or a count that is not whole."""
    metric, op = when.get("metric"), when.get("op")
    if "baseline" in when:
        if op in (">", ">=") and not when["baseline"]["factor"] > 1:
            raise ValueError(
                tr(
                    "--value must be a multiple above 1, such as 1.5x, not {value}",
                    value=quote(value),
                )
            )
    elif metric in _WHOLE and op in (">", ">=") and _NUMBER.fullmatch(value.strip()):
        least = 0 if op == ">" else 1
        if float(value) % 1 or float(value) < least:
            raise ValueError(
                tr(
                    "--value must be a whole number from {least}, not {value}",
                    least=least,
                    value=quote(value),
                )
            )


def _keep_when(old: Mapping[str, Any], made: dict[str, Any], value: str | None) -> Any:
    """Return the condition of a preset; a rule of the preset keeps what no option names."""
    before = old.get("when")
    if not is_object(before):
        return made
    due, new = _find_due(before), _find_due(made)
    if due and new:
        words = presets.parse_time(value) if value else {}
        reference = {**before[due]["reference"], **words}
        return {new: {**(before[due] if due == new else made[new]), "reference": reference}}
    if {*before} != {*made}:
        return made
    if "all" in made:
        is_same = value is None and _find_stuck(before) is not None
        return before if is_same else made
    if any(before.get(key) != made.get(key) for key in _SHAPE):
        return made
    return before if value is None else replace_limit(before, value)


def replace_limit(when: Mapping[str, Any], value: str) -> dict[str, Any]:
    """Return a condition with another limit, as typed with `--value`.

    Raise ValueError if the condition has several limits.
    """
    if "baseline" in when:
        return {**when, "baseline": {**when["baseline"], "factor": presets.parse_factor(value)}}
    if "metric" in when:
        return {**when, "value": value}
    if due := _find_due(when):
        reference = {**when[due]["reference"], **presets.parse_time(value)}
        return {**when, due: {**when[due], "reference": reference}}
    if kind := next((key for key in ("deadline", "forecast") if key in when), None):
        return {**when, kind: {**when[kind], "offset": value}}
    if _find_stuck(when) is not None:
        return presets.build_stuck(value)
    raise ValueError(tr(_NO_SINGLE_LIMIT))


def _find_stuck(when: Mapping[Any, Any]) -> str | None:
    """Return the limit of the preset `queue-stuck`, None for other conditions."""
    parts = when.get("all")
    last = parts[-1] if is_array(parts) and parts else None
    limit = str(last.get("value")) if is_object(last) else ""
    return limit if when == presets.build_stuck(limit) else None


def _find_due(when: Mapping[Any, Any]) -> str | None:
    """Return `deadline` or `forecast` of a condition whose due time is a time of day."""
    found = (key for key in ("deadline", "forecast") if key in when)
    return next((key for key in found if is_object(when[key].get("reference"))), None)


def _replace_zone(when: Mapping[str, Any], zone: str) -> dict[str, Any]:
    due = _find_due(when)
    if due is None:
        raise ValueError(
            tr("--tz goes with a time of day, as in --preset succeeds-by --value 06:00")
        )
    reference = {key: one for key, one in when[due]["reference"].items() if key != "tz"}
    tz = {"tz": zone} if zone else {}
    return {**when, due: {**when[due], "reference": {**reference, **tz}}}


def name_options(message: str) -> str:
    """Return the message of wrong conditions, with one fault for each option instead of paths."""
    named: dict[str, str] = {}
    for one in map(_name_option, message.split("; ")):
        named.setdefault(one.partition(" ")[0], one)
    return "; ".join(named.values())


def _name_option(message: str) -> str:
    found = _PATH.match(message)
    if found is None:
        return message
    part, path = found.groups()
    key = "tag" if path.startswith("tags") else path.partition(".")[0]
    option = f"--{key}" if part == "match" else _OPTIONS[part]
    if path.endswith(".tz"):
        option = tr("the zone")
    rest = message[found.end() :]
    return f"{option} {rest}" if rest.startswith("must") else f"{option}: {rest}"
