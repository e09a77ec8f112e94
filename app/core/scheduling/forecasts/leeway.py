"""Leeway of forecasts: factors on expected starts, learned from earlier forecasts of a pool.

Run times of past runs do not tell which tasks people will submit, and which of them go first. Past
forecasts show how far such tasks moved the starts (conformal prediction).
"""

from collections.abc import Iterable, Mapping, Sequence
from math import floor
from typing import NamedTuple

MIN_FORECASTS = 25
"""Number of forecasts below which the factors stay 1."""
LATER_SHARE, EARLIER_SHARE = 0.9, 0.05
"""Share of the past starts that lie before the later bound, and before the earlier one."""
MAX_FACTOR = 10.0
"""Largest factor: a queue that stood still for days says little about the next task."""


class Leeway(NamedTuple):
    """Factors on the earliest and on the latest start of a forecast, at most and at least 1."""

    earlier: float = 1.0
    later: float = 1.0


NO_LEEWAY = Leeway()
LeewayByPool = Mapping[str, Leeway]


class PastForecast(NamedTuple):
    """Earliest and latest start of an earlier forecast without leeway, in seconds from then.

    `waited` are the seconds until the task started, or until now if it waits.
    """

    earliest: float
    latest: float
    waited: float
    has_started: bool

    @property
    def is_from_timeouts(self) -> bool:
        """True if only timeouts limited the start."""
        return self.earliest == 0 < self.latest


def learn_leeway(past: Sequence[PastForecast]) -> Leeway:
    """Return the leeway within which most of the tasks of past forecasts started.

    A task that waits counts once it is late. A second is added to all times, for short waits.
    """
    known = [one for one in past if one.has_started or one.waited > one.latest]
    later = _find_ratio([(one.waited + 1) / (one.latest + 1) for one in known], LATER_SHARE)
    ratios = [(one.waited + 1) / (one.earliest + 1) for one in known if not one.is_from_timeouts]
    earlier = _find_ratio(ratios, EARLIER_SHARE)
    return Leeway(max(1 / MAX_FACTOR, min(1.0, earlier)), min(MAX_FACTOR, max(1.0, later)))


def _find_ratio(ratios: Iterable[float], share: float) -> float:
    """Return the ratio below which this share of ratios lies, 1 if there are too few."""
    found = sorted(ratios)
    return found[floor(share * len(found))] if len(found) >= MIN_FORECASTS else 1.0
