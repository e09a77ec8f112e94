"""Trails of rules: values of the last hour, from memory, and from samples before a start."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from app.core.rules import rule_plan
from app.core.rules.conditions import MetricNode
from app.core.rules.levels import Comparison, find_charted, is_worse
from app.core.rules.rule_plan import Labels, RulePlan, is_matched
from app.service.context import RuntimeHandle
from app.service.rules.evaluation.levels import KEPT, STEP
from db import timestamps
from db.engine import Connection
from db.queries import reads
from db.queries.history import samples
from db.queries.history.samples import StoredLevel
from db.rows import PoolRow, QueueRow, SlaRow

SPAN = KEPT * STEP
"""Seconds of a trail."""
Point = tuple[float, float | None]
Capacities = Mapping[str, QueueRow] | Mapping[str, PoolRow]


class Trail(NamedTuple):
    """Values as (UNIX time, value), oldest first.

    `begins` is `start` if the trail begins with the start of the runtime, `change` if it begins
    with a change of the rule, else "".
    """

    points: Sequence[Point]
    begins: str = ""


def read_trail(c: Connection, row: SlaRow, live: RuntimeHandle | None) -> Trail:
    """Return the trail of the first metric of a rule."""
    if live is None:
        return Trail([])
    points: list[Point] = [(level.at, level.value) for level in live.list_trail(row)]
    now = timestamps.utcnow().timestamp()
    if points and points[0][0] < now - SPAN + 2 * STEP:
        return Trail(points)
    begin = points[0][0] if points else now
    earlier = _read_samples(c, row, now - SPAN, begin)
    if earlier is not None:
        return Trail([*earlier, *points])
    is_changed = timestamps.to_unix(row.updated_at) >= (live.get_facts().since or 0.0)
    return Trail(points, "change" if is_changed else "start")


_STORED: Mapping[str, Callable[[StoredLevel, QueueRow | PoolRow], float | None]] = {
    "queue.depth": lambda level, row: float(level.waiting),
    "queue.load_ratio": lambda level, row: _divide(level.running, getattr(row, "capacity", 0)),
    "pool.cpu_ratio": lambda level, row: _divide(level.used_cpu, getattr(row, "total_cpu", 0)),
    "pool.memory_ratio": lambda level, row: _divide(
        level.used_memory, getattr(row, "total_memory", 0)
    ),
}
"""Metrics whose values are sampled each minute."""


def _divide(value: float | None, total: float | None) -> float | None:
    return None if value is None or not total else value / total


def _read_samples(c: Connection, row: SlaRow, since: float, until: float) -> Sequence[Point] | None:
    """Return the sampled values of a time, None for a metric without samples."""
    plan = rule_plan.make_plan(row.conditions)
    place = find_charted(plan.comparisons)
    one = plan.comparisons[place] if place is not None else None
    if one is None or not isinstance(one.node, MetricNode) or not _is_sampled(one.node, plan):
        return None
    rows = _map_subjects(c, row, plan)
    read = _STORED[one.node.metric]
    worst: dict[float, float | None] = {}
    for level in samples.list_levels(c, plan.base, timestamps.from_unix(since)):
        subject, at = rows.get(level.name), timestamps.to_unix(level.minute)
        value = read(level, subject) if subject is not None else None
        if at < until - STEP and value is not None and _is_worst(one, value, worst.get(at)):
            worst[at] = value
    return sorted(worst.items())


def _is_sampled(node: MetricNode, plan: RulePlan) -> bool:
    is_plain = not node.window and not node.rate_over and node.baseline is None
    return is_plain and node.metric in _STORED and node.metric.startswith(f"{plan.base}.")


def _is_worst(one: Comparison, value: float, other: float | None) -> bool:
    limit = one.node.value if isinstance(one.node, MetricNode) else None
    return other is None or is_worse(one.op, value, other, limit or 0.0)


def _map_subjects(c: Connection, row: SlaRow, plan: RulePlan) -> Mapping[str, QueueRow | PoolRow]:
    """Return the queues or pools that the rule judges, by name."""
    pools = {pool.name: pool for pool in reads.list_pools(c)}
    own = {name for name, pool in pools.items() if pool.sla_id == row.id}
    if plan.base == "pool":
        return {
            name: pool for name, pool in pools.items()
            if is_matched(plan.match, Labels(pool=name)) and (not own or name in own)
        }  # fmt: skip
    return {
        queue.name: queue for queue in reads.list_queues(c)
        if is_matched(plan.match, Labels(queue=queue.name, pool=queue.pool))
        and (not own or queue.pool in own)
    }  # fmt: skip
