"""Record of forecasts of starts: later forecasts learn from what became of earlier ones."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from app.core.scheduling.plan import DispatchView, split_view
from app.service import dispatch_view
from app.service.forecast_leeway import KEPT, MAX_PENDING, SAMPLED, choose_evenly
from db import timestamps
from db.engine import Connection, Database
from db.queries import reads
from db.queries.scheduling import start_forecasts
from db.queries.scheduling.start_forecasts import StartForecast
from db.states import TaskStatus


class _Findings(NamedTuple):
    """Forecasts to record, and the numbers of tasks whose forecasts no longer count."""

    new: list[StartForecast]
    void: list[int]


async def record_forecasts(db: Database) -> None:
    """Record the forecasts of some waiting tasks. Write only if there is something to record."""
    found = await db.read(_find)
    if found.new or found.void:
        await db.write_quietly(_store, found)


def _find(c: Connection) -> _Findings:
    recorded = start_forecasts.list_recorded(c)
    waiting = [row for row in recorded if not row.has_started]
    void = [row.number for row in waiting if not row.can_start]
    if not _has_queued(c):
        return _Findings([], void)
    known = {row.number for row in recorded}
    pending = Counter(row.pool for row in waiting if row.can_start)
    cache = dispatch_view.get_cache(c)
    new: list[StartForecast] = []
    for part in split_view(dispatch_view.read_view(c, cache)):
        if not part.bookings:
            new += _sample(c, cache, part, known, pending)
    return _Findings(new, void)


def _has_queued(c: Connection) -> bool:
    found = reads.read_counters(c)
    return any(n > 0 for (_, status), n in found.items() if status == TaskStatus.QUEUED)


def _sample(
    c: Connection,
    cache: dispatch_view.RunTimeCache,
    part: DispatchView,
    known: set[int],
    pending: Counter[str],
) -> list[StartForecast]:
    """Return forecasts of tasks without a recorded one.

    Tasks of queues with opening hours are left out: the hours decide their starts.
    """
    tasks: dict[str, list[int]] = {}
    for queue in part.queues:
        if queue.windows is None and pending[queue.pool] < MAX_PENDING:
            numbers = [task.number for task in queue.waiting if task.number not in known]
            tasks[queue.pool] = tasks.get(queue.pool, []) + numbers
    if not any(tasks.values()):
        return []
    starts, now = cache.forecast(c, part, may_lag=True).bare_start, timestamps.now()
    return [
        StartForecast(number, pool, *starts[number], now)
        for pool, numbers in tasks.items()
        for number in choose_evenly(
            [number for number in numbers if starts.get(number, (0, 0))[1] > 0],
            min(SAMPLED, MAX_PENDING - pending[pool]),
        )
    ]


def _store(c: Connection, found: _Findings) -> None:
    start_forecasts.remove(c, found.void)
    start_forecasts.add(c, found.new)
    for pool in {row.pool for row in found.new}:
        start_forecasts.remove_oldest(c, pool, KEPT + MAX_PENDING)
