"""Amounts of resources, and when one fits into another."""

from collections.abc import Mapping

# Sums of tenths drift by 1e-15 per step. Nobody requests a millionth of a core or of a MiB.
EPSILON = 1e-6

Amounts = Mapping[str, float]
"""Amounts of resources by name: `cpu` in cores, `memory` in MiB, the others as integers."""


def can_fit(need: float, free: float) -> bool:
    """Return True if `need` is free.

    A need of 0 always fits, even into an overcommitted pool.
    """
    return need <= free + EPSILON or need == 0
