"""Expected ends of tasks, for rules: ranges of a forecast, and bounds for tasks far behind."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from app.core.scheduling.forecasts.forecast import Forecast
from app.core.scheduling.plan import DispatchView, QueueView


class ExpectedEnd(NamedTuple):
    """Range in which a task will end, and the probable end: half of the simulations end later.

    `last` is inf if only the earliest end is known.
    """

    first: float
    probable: float
    last: float

    def shift(self, seconds: float) -> ExpectedEnd:
        """Return the range that many seconds later."""
        return ExpectedEnd(*(max(0.0, at) + seconds for at in self))


def make_expected_end(times: Sequence[float]) -> ExpectedEnd:
    """Return the range of equally likely times, which ascend."""
    return ExpectedEnd(times[0], times[len(times) // 2], times[-1])


class ExpectedEnds:
    """Expected ends of the tasks of a pool, in seconds from now."""

    def __init__(self, view: DispatchView, forecast: Forecast) -> None:
        self._forecast = forecast
        self._near = {task.number for queue in view.queues for task in queue.waiting}
        self._far = {queue.name: self._find_last_start(queue) for queue in view.queues}

    def _find_last_start(self, queue: QueueView) -> float | None:
        """Return the latest expected start of a queue that is longer than the simulated part.

        A task behind that part probably starts later.
        """
        if len(queue.waiting) >= queue.waiting_total:
            return None
        starts = [self._forecast.bare_start.get(task.number, (0.0, 0.0)) for task in queue.waiting]
        return max((sum(one) / 2 for one in starts if one[0] > 0), default=None)

    def find(self, number: int, queue: str, is_queued: bool) -> ExpectedEnd | None:
        """Return the expected end of a task; None if nothing but a timeout limits it."""
        found = self._forecast.may_end.get(number)
        if found is not None:
            if found[0] == 0 < found[1]:
                return None
            return ExpectedEnd(found[0], self._forecast.probable_end[number], found[1])
        bound = self._far.get(queue) if is_queued and number not in self._near else None
        return None if bound is None else ExpectedEnd(bound, bound, inf)

    def find_with(self, number: int, likely: Sequence[float]) -> ExpectedEnd | None:
        """Return the expected end of a waiting task that takes one of these run times."""
        start = self._forecast.may_start.get(number)
        if start is None or not likely or start[0] == 0 < start[1]:
            return None
        middle = sum(self._forecast.bare_start[number]) / 2 + likely[len(likely) // 2]
        return ExpectedEnd(start[0] + likely[0], middle, start[1] + likely[-1])
