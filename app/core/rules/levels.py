"""Present value of a rule against its limit, for rules that compare one metric."""

from __future__ import annotations

from typing import Any, NamedTuple

from app.core.json_types import is_object
from app.core.rules import amounts, catalog
from app.core.rules.conditions import AllNode, AnyNode, AnyNodeType, MetricNode, parse_conditions
from app.core.rules.evaluate import describe_ref, make_ref


class Level(NamedTuple):
    """Value of the subject that is nearest to breaking a rule, at a UNIX time.

    `value` is None without data; `limit` may come from past runs. `is_below` is True if the value
    is not known, but nothing reaches the limit.
    """

    at: float
    value: float | None = None
    limit: float | None = None
    subject: str = ""
    is_below: bool = False


def find_metric(when: AnyNodeType) -> MetricNode | None:
    """Return the only comparison of a condition, or None if there are more or others."""
    while isinstance(when, (AllNode, AnyNode)):
        parts = when.all if isinstance(when, AllNode) else when.any
        if len(parts) > 1:
            return None
        when = parts[0]
    return when if isinstance(when, MetricNode) else None


def is_worse(op: str, one: float, other: float, limit: float) -> bool:
    """Return whether one value is nearer to breaking a rule, or breaks it more, than another."""
    if op in (">", ">="):
        return one > other
    if op in ("<", "<="):
        return one < other
    return abs(one - limit) < abs(other - limit) if op == "==" else other == limit != one


def describe_level(conditions: object, level: Level | None) -> dict[str, Any] | None:
    """Return the level of a rule as sent to clients, None if it compares no single metric.

    The keys are `value`, `limit`, `op`, `unit`, `metric` in words, `object`, and `text`, such as
    `143, limit 100`. `value` is None and `text` is `no data` without a value. `is_below` is True
    if nothing reaches the limit, although no value is known.
    """
    try:
        node = find_metric(parse_conditions(conditions).when)
    except ValueError:  # only another program stores such conditions
        return None
    if node is None:
        return None
    ref = make_ref(node)
    limit = level.limit if level and level.limit is not None else node.value
    value = level.value if level else None
    bound = "" if limit is None else f"limit {amounts.format_amount(ref.unit, limit)}"
    is_below = value is None and bool(level and level.is_below)
    known = [amounts.format_value(ref.unit, value)] if value is not None else []
    known += ["none reached"] if is_below else []
    text = ", ".join([*known, bound]) if known else "no data"
    return {
        "value": value, "limit": limit, "op": node.op, "unit": ref.unit,
        "metric": describe_ref(ref), "object": level.subject if level else "", "text": text,
        "is_below": is_below,
    }  # fmt: skip


def describe_brief(conditions: object, value: float | None, limit: float | None) -> str | None:
    """Return the value of an alert and its limit: `143 > 100`; None without a single metric."""
    when = conditions.get("when") if is_object(conditions) else None
    metric = catalog.METRICS.get(str(when.get("metric"))) if is_object(when) else None
    if not is_object(when) or metric is None or value is None or limit is None:
        return None
    unit = catalog.COUNT if when.get("stat") == "count" else metric.unit
    shown = amounts.format_value(unit, value), amounts.format_amount(unit, limit)
    return f"{shown[0]} {when.get('op')} {shown[1]}"
