"""Tasks that have waited so long that they go first in their pool, whatever the order.

Only one at a time goes first: the oldest waiting task, unless an older task runs that had waited as
long. So priorities keep the other slots, and no task waits for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

from app.core.scheduling.order import get_ageing
from db import timestamps
from db.engine import Connection
from db.queries.scheduling import age_order
from db.rows import PoolRow, QueueRow

RECHECK_SECONDS = 10.0
"""Seconds for which the lack of such a task holds; a dependent may join its queue."""


class AgeingWatch:
    """Finds the tasks that go first, and remembers when to look again."""

    def __init__(self) -> None:
        self._calm_until: dict[str, float] = {}
        """UNIX time by pool before which no task goes first."""

    def find_first(
        self, c: Connection, pools: Sequence[PoolRow], waiting: Sequence[QueueRow],
        runs: Sequence[Any], now: float,
    ) -> dict[str, Any]:  # fmt: skip
        """Return {queue: row of its task that goes first}, at most one for each pool.

        `waiting` are the open queues with queued tasks, `runs` the active runs of all queues.
        """
        found: dict[str, Any] = {}
        for pool in pools:
            ageing = get_ageing(pool.ageing)
            names = [row.name for row in waiting if row.pool == pool.name]
            if not (ageing and names and self._is_due(pool.name, now)):
                continue
            oldest = _find_oldest(c, names)
            due = inf if oldest is None else timestamps.to_unix(oldest.since) + ageing
            if oldest is None or due > now:
                self._calm_until[pool.name] = min(due, now + RECHECK_SECONDS)
            elif not any(_goes_before(run, pool.name, oldest, ageing, now) for run in runs):
                found[oldest.queue] = oldest
        return found

    def _is_due(self, pool: str, now: float) -> bool:
        until = self._calm_until.get(pool, 0.0)
        return not now < until <= now + RECHECK_SECONDS  # a clock may have gone back


def _find_oldest(c: Connection, queues: Sequence[str]) -> Any:
    """Return the row of the task that waits longest in some queues, with `since`."""
    found: Any = None
    submitted = age_order.map_oldest(c, queues)
    for queue in sorted(submitted, key=submitted.__getitem__):
        if found is not None and submitted[queue] > found.since:
            break
        row = age_order.find_longest(c, queue)
        if row is not None and (found is None or _get_age(row) < _get_age(found)):
            found = row
    return found


def _get_age(row: Any) -> tuple[str, int]:
    return row.since, row.number


def _goes_before(run: Any, pool: str, oldest: Any, ageing: float, now: float) -> bool:
    """Return True for a run of an older task of the pool that had waited as long.

    A run that itself takes as long does not count, since it may never end.
    """
    if run.pool != pool or run.since > oldest.since:
        return False
    began = timestamps.to_unix(run.start_time) if run.start_time else now
    return began - timestamps.to_unix(run.since) > ageing and now - began < ageing
