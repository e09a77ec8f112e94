"""Overcommit: pools larger than the machine.

Sharing cores on purpose is valid, so overcommit is only a warning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from app.core.text import units
from app.core.text.joining import join_and
from app.core.text.sanitize import sanitize
from app.translation import tr

PoolRecord = Mapping[str, Any]
"""A pool: name, total_cpu (cores), total_memory (MiB)."""
_FORMATTERS = {"cpu": units.format_number, "memory": units.format_memory}
_TOLERANCE = 1.001
"""Tolerance for rounded input."""


class Overcommit(NamedTuple):
    """A warning, and the pool to shrink.

    `fits` holds the `cpu` and `memory` that would fit. `is_single` means that the pool exceeds the
    machine by itself.
    """

    message: str
    pool: str
    fits: dict[str, float]
    is_single: bool


def find_overcommit(pools: Sequence[PoolRecord], cpu: float, memory: float) -> Iterator[Overcommit]:
    """Yield each pool larger than the machine, else the excess of all together."""
    machine = {"cpu": cpu, "memory": memory}
    oversized = [
        (pool, excess)
        for pool in pools
        if (excess := _find_excess({what: pool[f"total_{what}"] for what in machine}, machine))
    ]
    for pool, excess in oversized:
        gives, has = _format_amounts(excess, machine)
        said = tr(
            "pool {pool} gives out {gives}, but this machine has {has}",
            pool=sanitize(pool["name"]),
            gives=gives,
            has=has,
        )
        yield Overcommit(said, pool["name"], {what: machine[what] for what in excess}, True)
    sums = {what: sum(pool[f"total_{what}"] for pool in pools) for what in machine}
    for what, total in () if oversized else _find_excess(sums, machine).items():
        size, name = max((pool[f"total_{what}"], pool["name"]) for pool in pools)
        gives, has = _format_amounts({what: total}, machine)
        yield Overcommit(
            tr(
                "the pools together give out {gives}, but this machine has {has}",
                gives=gives,
                has=has,
            ),
            name,
            {what: max(1.0, size - total + machine[what])},
            False,
        )


def list_warnings(
    pools: Sequence[PoolRecord], cpu: float, memory: float, changed_pools: Iterable[str]
) -> list[str]:
    """Return the warnings that apply to these changed pools or to all pools together."""
    names = {*changed_pools}
    return [
        one.message
        for one in find_overcommit(pools, cpu, memory)
        if not one.is_single or one.pool in names
    ]


def _find_excess(totals: Mapping[str, float], machine: Mapping[str, float]) -> dict[str, float]:
    return {what: amount for what, amount in totals.items() if amount > machine[what] * _TOLERANCE}


def _format_amounts(excess: Mapping[str, float], machine: Mapping[str, float]) -> tuple[str, str]:
    gives = join_and(f"{_FORMATTERS[what](amount)} {tr(what)}" for what, amount in excess.items())
    return gives, join_and(_FORMATTERS[what](machine[what]) for what in excess)
