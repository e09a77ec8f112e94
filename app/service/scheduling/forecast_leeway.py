"""Leeway of forecasts from the starts that were forecast before, by pool."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import TypeVar

from app.core.scheduling.forecasts.leeway import NO_LEEWAY, Leeway, PastForecast, learn_leeway
from db import timestamps
from db.engine import Connection
from db.queries.scheduling import start_forecasts

T = TypeVar("T")

SAMPLED = 8
"""Tasks of a pool whose forecasts are recorded in one pass."""
MAX_PENDING = 100
"""Recorded tasks of a pool that still wait. No more are recorded beside them."""
KEPT = 300
"""Recorded tasks of a pool that have started and count."""
CACHE_SECONDS = 30.0


def choose_evenly(found: Sequence[T], most: int) -> list[T]:
    """Return at most `most` of the items found, spread evenly."""
    if len(found) <= most:
        return list(found)
    return [found[i * len(found) // most] for i in range(max(0, most))]


class LeewayCache:
    """Cache of the leeway of pools, for 30 s."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, Leeway]] = {}

    def get(self, c: Connection, pools: Iterable[str]) -> dict[str, Leeway]:
        """Return the leeway of the pools that have some."""
        found = {pool: self._get_of_pool(c, pool) for pool in pools}
        return {pool: leeway for pool, leeway in found.items() if leeway != NO_LEEWAY}

    def _get_of_pool(self, c: Connection, pool: str) -> Leeway:
        now = timestamps.utcnow().timestamp()
        read_at, found = self._known.get(pool, (-inf, None))
        if found is None or not 0 <= now - read_at < CACHE_SECONDS:
            found = learn_leeway(_list_past(c, pool, now))
            self._known[pool] = now, found
        return found


def _list_past(c: Connection, pool: str, now: float) -> list[PastForecast]:
    """Return the recorded forecasts of a pool; `now` is in UNIX seconds."""
    rows = start_forecasts.list_of_pool(c, pool, KEPT + MAX_PENDING)
    return [
        PastForecast(
            row.earliest,
            row.latest,
            (timestamps.to_unix(row.started_at) if row.started_at else now)
            - timestamps.to_unix(row.created_at),
            row.started_at is not None,
        )
        for row in rows
    ]
