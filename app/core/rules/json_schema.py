"""JSON Schema of conditions: the structure of the models, with what depends on the metric.

A schema cannot say everything: zones, the longest duration, and what fits the scope are checked
only when a rule is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from app.core.json_types import is_array, is_object
from app.core.rules import amounts, catalog
from app.core.rules.conditions import BASELINE_METRICS, STAT_ALIASES, STATS, Conditions, list_stats

_URL = "https://json-schema.org/draft/2020-12/schema"
_OWN_KEYS = ("value", "baseline", "op")
"""Keys that stay beside a metric that is a table."""


def make_json_schema() -> dict[str, Any]:
    """Return the JSON Schema of conditions."""
    schema = Conditions.model_json_schema(by_alias=True)
    parts = schema["$defs"]
    flat = parts["MetricNode"]
    parts["MetricTableNode"] = _nest(flat)
    flat["allOf"] = [*_list_conditions(is_nested=False)]
    choices = [{"$ref": f"#/$defs/{name}"} for name in parts if name.endswith("Node")]
    schema = _replace_nodes({"$schema": _URL, **schema})
    schema["$defs"]["Node"] = {"oneOf": choices}
    return schema


def _replace_nodes(value: Any) -> Any:
    """Return a schema whose choices of a node refer to one definition."""
    if is_object(value):
        if any(one == {"$ref": "#/$defs/MetricNode"} for one in value.get("oneOf", ())):
            return {"$ref": "#/$defs/Node"}
        return {key: _replace_nodes(one) for key, one in value.items()}
    return [_replace_nodes(one) for one in value] if is_array(value) else value


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return the form whose metric is a table with stat, window and rate_over."""
    own = {key: one for key, one in flat["properties"].items() if key in _OWN_KEYS}
    others = {key: one for key, one in flat["properties"].items() if key not in _OWN_KEYS}
    table = {
        "type": "object", "additionalProperties": False, "required": ["name"],
        "properties": {("name" if key == "metric" else key): one for key, one in others.items()},
    }  # fmt: skip
    return {
        **flat,
        "properties": {"metric": table, **own},
        "allOf": [*_list_conditions(is_nested=True)],
    }


def _list_conditions(is_nested: bool) -> Iterable[dict[str, Any]]:
    """Yield what the metric allows: values of its unit, statistics, baselines."""

    def place(key: str, rule: dict[str, Any]) -> dict[str, Any]:
        inner = "name" if is_nested and key == "metric" else key
        found = {"required": [inner], "properties": {inner: rule}}
        if not is_nested or key in _OWN_KEYS:
            return found
        return {"required": ["metric"], "properties": {"metric": {"type": "object", **found}}}

    def has(key: str) -> dict[str, Any]:
        return place(key, {"not": {"type": "null"}})

    def is_one_of(metrics: Iterable[str]) -> dict[str, Any]:
        return place("metric", {"enum": [*metrics]})

    yield {"oneOf": [has("value"), has("baseline")]}
    yield {"not": {"allOf": [has("rate_over"), {"anyOf": [has("stat"), has("window")]}]}}
    yield {"if": has("stat"), "then": has("window")}
    windowed = is_one_of(catalog.WINDOW_METRICS)
    yield {"if": has("window"), "then": {"anyOf": [has("stat"), windowed]}}
    yield {"if": has("baseline"), "then": is_one_of(BASELINE_METRICS)}
    named = place("metric", {"pattern": catalog.POOL_PATTERN})
    rated = {"anyOf": [is_one_of(catalog.RATE_METRICS), named]}
    yield {"if": has("rate_over"), "then": rated}
    for metric in catalog.METRICS:
        stats = list_stats(metric)
        if stats != STATS:
            words = [*stats, *(word for word, stat in STAT_ALIASES.items() if stat in stats)]
            allowed = [{"not": has("stat")}, place("stat", {"enum": words})]
            yield {"if": is_one_of([metric]), "then": {"anyOf": allowed if words else allowed[:1]}}
    counted = place("stat", {"const": "count"})
    yield {"if": counted, "then": {"properties": {"value": amounts.make_schema(catalog.COUNT)}}}
    summed = place("stat", {"enum": ["count", "sum"]})
    yield {
        "if": {"allOf": [{"anyOf": [is_one_of(catalog.SHARES), named]}, {"not": summed}]},
        "then": {"properties": {"value": amounts.make_schema(catalog.RATIO, 1)}},
    }
    units = {metric: one.unit for metric, one in catalog.METRICS.items()}
    for unit in dict.fromkeys(units.values()):
        metrics = [metric for metric in units if units[metric] == unit]
        then = {"properties": {"value": amounts.make_schema(unit)}}
        yield {"if": {"allOf": [is_one_of(metrics), {"not": counted}]}, "then": then}
