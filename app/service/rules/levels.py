"""Present values of rules, and how they changed in the last hour, kept in memory."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from app.core.rules.conditions import MetricNode
from app.core.rules.evaluate import Verdict
from app.core.rules.levels import Level, is_worse

STEP = 30.0
"""Seconds between two values of a trail."""
KEPT = 120
"""Values of a trail: an hour."""
LOOKS = 20
"""Rules per pass whose subjects are read only for their value, since none can break the rule."""


def find_worse(node: MetricNode, level: Level, verdict: Verdict, subject: str) -> Level:
    """Return the level, or that of a verdict on another subject if it is worse."""
    value, limit = verdict.value, verdict.limit
    if value is None or limit is None:
        return level
    if level.value is not None and not is_worse(node.op, value, level.value, limit):
        return level
    return Level(level.at, value, limit, subject)


class LevelLog:
    """Latest level of each rule by its id, and its trail.

    The level of a trail's step is the worst of the step.
    """

    def __init__(self) -> None:
        self._latest: dict[int, Level] = {}
        self._trails: dict[int, deque[Level]] = {}

    def is_due(self, sla_id: int, now: float) -> bool:
        """Return whether the level of a rule is older than a step."""
        level = self._latest.get(sla_id)
        return level is None or not 0 <= now - level.at < STEP

    def add(self, sla_id: int, level: Level, node: MetricNode) -> None:
        """Add the level of a pass; an infinite value reaches no limit."""
        if level.value is not None and not math.isfinite(level.value):
            level = level._replace(value=None, is_below=True)
        self._latest[sla_id] = level
        trail = self._trails.setdefault(sla_id, deque(maxlen=KEPT))
        last = trail[-1] if trail else None
        if last is None or not 0 <= level.at - last.at < STEP:
            trail.append(level)
        elif level.value is not None and (
            last.value is None or is_worse(node.op, level.value, last.value, level.limit or 0.0)
        ):
            trail[-1] = level._replace(at=last.at)

    def keep_only(self, sla_ids: Sequence[int]) -> None:
        """Forget all rules but these."""
        for sla_id in self._latest.keys() - {*sla_ids}:
            del self._latest[sla_id], self._trails[sla_id]

    def find(self, sla_id: int) -> Level | None:
        """Return the latest level of a rule, or None."""
        return self._latest.get(sla_id)

    def list_trail(self, sla_id: int) -> list[Level]:
        """Return the trail of a rule, oldest first."""
        return list(self._trails.get(sla_id, ()))
