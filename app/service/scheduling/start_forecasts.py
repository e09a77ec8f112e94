"""Record of forecasts of starts: later forecasts learn from what became of earlier ones."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from app.core.scheduling.forecasts.forecast import make_forecast
from app.core.scheduling.plan import DispatchView, order_tasks, split_view
from app.service.scheduling import dispatch_view
from app.service.scheduling.forecast_leeway import KEPT, MAX_PENDING, SAMPLED, choose_evenly
from db import timestamps
from db.engine import Connection, Database
from db.queries import reads
from db.queries.scheduling import start_forecasts
from db.queries.scheduling.start_forecasts import StartForecast
from db.states import TaskStatus

MAX_SIMULATED = 500
"""Waiting tasks of all pools that one pass simulates; 0.7 ms each."""
MAX_CLOCK_JUMP = 10.0
"""Seconds that the clock may gain or lose between two passes."""


class _Known(NamedTuple):
    """Recorded forecasts: numbers of tasks, and how many of them wait by pool.

    Forecasts of the tasks `void` no longer count. `has_queued` tells that any task is queued.
    """

    numbers: Collection[int]
    pending: Counter[str]
    void: Sequence[int]
    has_queued: bool


class ForecastRecorder:
    """Recorder of the forecasts of some waiting tasks.

    The recorder reads and simulates the view on another thread: with many tasks, both take long.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._cache = dispatch_view.RunTimeCache()
        self._clock_offset = _read_clock_offset()

    async def record(self) -> None:
        """Record forecasts. Write only if there is something to record."""
        before, self._clock_offset = self._clock_offset, _read_clock_offset()
        if abs(self._clock_offset - before) > MAX_CLOCK_JUMP:
            await self.drop_pending()
        known = await self._db.read(_read_known)
        new: list[StartForecast] = []
        if known.has_queued:
            view = await self._db.read_on_thread(dispatch_view.read_view, self._cache)
            new = await asyncio.to_thread(_forecast_some, view, known)
        if new or known.void:
            await self._db.write_quietly(_store, new, known.void)

    async def drop_pending(self) -> None:
        """Drop the forecasts of waiting tasks, which no forecast could have right.

        For a time in which nothing starts: no runtime, trouble of the disk, a sleeping machine.
        """
        if pending := await self._db.read(_list_pending):
            await self._db.write_quietly(start_forecasts.remove, pending)


def _read_clock_offset() -> float:
    """Return clock time less seconds that the machine was awake."""
    return timestamps.utcnow().timestamp() - time.monotonic()


def _list_pending(c: Connection) -> list[int]:
    return [row.number for row in start_forecasts.list_recorded(c) if not row.has_started]


def _read_known(c: Connection) -> _Known:
    recorded = start_forecasts.list_recorded(c)
    waiting = [row for row in recorded if not row.has_started]
    counted = reads.read_counters(c)
    return _Known(
        frozenset(row.number for row in recorded),
        Counter(row.pool for row in waiting if row.can_start),
        [row.number for row in waiting if not row.can_start],
        any(n > 0 for (_, status), n in counted.items() if status == TaskStatus.QUEUED),
    )


def _forecast_some(view: DispatchView, known: _Known) -> list[StartForecast]:
    """Return forecasts of some tasks of each pool without bookings."""
    asked = [(part, numbers) for part in split_view(view) if (numbers := _list_new(part, known))]
    share = MAX_SIMULATED // max(1, len(asked))
    return [
        found
        for part, numbers in asked
        for found in _sample(shorten_lines(part, share), numbers, known.pending)
    ]


def _list_new(part: DispatchView, known: _Known) -> dict[str, list[int]]:
    """Return the numbers of tasks without a recorded forecast, by pool.

    Tasks of queues with opening hours are left out: the hours decide their starts.
    """
    found: dict[str, list[int]] = {}
    for queue in () if part.bookings else part.queues:
        if queue.windows is None and known.pending[queue.pool] < MAX_PENDING:
            numbers = [task.number for task in queue.waiting if task.number not in known.numbers]
            if numbers:
                found.setdefault(queue.pool, []).extend(numbers)
    return found


def shorten_lines(part: DispatchView, most: int) -> DispatchView:
    """Return a part of a view with no more waiting tasks than `most`: those that go first."""
    kept = {task.number for task in order_tasks(part, even_later=True)[:most]}
    return replace(
        part,
        queues=tuple(
            replace(queue, waiting=tuple(task for task in queue.waiting if task.number in kept))
            for queue in part.queues
        ),
    )


def _sample(
    part: DispatchView, asked: Mapping[str, Sequence[int]], pending: Mapping[str, int]
) -> list[StartForecast]:
    """Return the forecasts of some of the tasks, which are numbers by pool."""
    starts, now = make_forecast(part).bare_start, timestamps.now()
    return [
        StartForecast(number, pool, *starts[number], now)
        for pool, numbers in asked.items()
        for number in choose_evenly(
            [number for number in numbers if starts.get(number, (0, 0))[1] > 0],
            min(SAMPLED, MAX_PENDING - pending[pool]),
        )
    ]


def _store(c: Connection, new: Sequence[StartForecast], void: Sequence[int]) -> None:
    start_forecasts.remove(c, void)
    start_forecasts.add(c, new)
    for pool in {row.pool for row in new}:
        start_forecasts.remove_oldest(c, pool, KEPT + MAX_PENDING)
