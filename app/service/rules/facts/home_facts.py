"""Facts of a home that rules read: queues, pools, schedules, check-ins, runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from app.core.rules.rule_plan import RulePlan
from app.service.rules.facts.subjects import Memory
from db import timestamps
from db.engine import Connection
from db.queries import reads, schedules
from db.queries.rules import checkins, rule_values
from db.rows import PoolRow, QueueRow, ScheduleRow

DAY = 86400.0
"""Seconds of a day."""
MAX_SCHEDULES = 10_000
"""Most schedules that all rules look at."""


class HomeFacts:
    """Rows that the rules of a pass read, each kind at most once."""

    def __init__(
        self, c: Connection, now: float, memory: Memory, plans: Sequence[RulePlan]
    ) -> None:
        self.c, self.now, self.memory = c, now, memory
        self._plans = plans
        self.is_complete = True
        """False if tasks or names are left that the next passes read."""
        self._update_runs()

    def _update_runs(self) -> None:
        refs = [ref for plan in self._plans for ref in plan.refs]
        spans = [ref.window for ref in refs if ref.metric.startswith("instance.") and ref.window]
        spans += [ref.window or DAY for ref in refs if ref.metric == "task.success_ratio"]
        if any(plan.covers_ended for plan in self._plans):
            spans.append(DAY)
        if any(ref.runs or ref.metric.startswith(("task.", "schedule.")) for ref in refs):
            spans.append(60.0)
        if spans or any(plan.base in ("task", "schedule") for plan in self._plans):
            self.memory.ended.update(self.c, self.now, max([60.0, *spans]))
        starts = [
            ref.rate_over or ref.window or 300.0
            for ref in refs
            if ref.metric in ("instance.attempt", "queue.drain_rate")
        ]
        if starts:
            self.memory.started.update(self.c, self.now, max(starts))

    # --- queues, pools, schedules ----------------------------------------------------------

    @cached_property
    def queues(self) -> Mapping[str, QueueRow]:
        return {row.name: row for row in reads.list_queues(self.c)}

    @cached_property
    def pools(self) -> Mapping[str, PoolRow]:
        return {row.name: row for row in reads.list_pools(self.c)}

    @cached_property
    def pools_of_rules(self) -> Mapping[int, frozenset[str]]:
        """Return {rule id: pools that refer to it}."""
        found: dict[int, set[str]] = {}
        for pool in self.pools.values():
            if pool.sla_id is not None:
                found.setdefault(pool.sla_id, set()).add(pool.name)
        return {key: frozenset(names) for key, names in found.items()}

    @cached_property
    def counters(self) -> Mapping[tuple[str, str], int]:
        return reads.read_counters(self.c)

    @cached_property
    def schedules(self) -> Mapping[str, ScheduleRow]:
        return {row.name: row for row in schedules.list_all(self.c)[:MAX_SCHEDULES]}

    @cached_property
    def checkins(self) -> Mapping[str, float]:
        """Return {name: UNIX time of the latest check-in}."""
        return {row.name: timestamps.to_unix(row.at) for row in checkins.list_checkins(self.c)}

    @cached_property
    def missed(self) -> Mapping[str, list[float]]:
        """Return the missed fire times of the longest window, by schedule."""
        refs = [ref for plan in self._plans for ref in plan.refs]
        span = max(
            [ref.window or ref.rate_over or DAY for ref in refs if ref.metric == "schedule.missed"],
            default=DAY,
        )
        found: dict[str, list[float]] = {}
        since = timestamps.from_unix(self.now - span)
        for name, at in rule_values.list_missed_fires(self.c, since):
            found.setdefault(name, []).append(timestamps.to_unix(at))
        return found

    @cached_property
    def host(self) -> Mapping[str, float | None]:
        return self.memory.probes.read_host()

    @cached_property
    def database_path(self) -> Path:
        from db.queries.rules import metrics

        return metrics.find_database_path(self.c)
