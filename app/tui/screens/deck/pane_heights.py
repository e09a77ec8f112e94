"""Deck layout: pane heights computed from terminal size and row counts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from app.tui.panes.work import TALL_HEIGHT
from app.tui.widgets.header import WIDE_CELLS

FULL_SIZE = (80, 24)
"""Terminal size (cells, lines) below which one pane is shown at a time."""
BOTTOM = 2


class PaneHeights(NamedTuple):
    """Heights of all panes in lines, including their title rules.

    Queues and pools are side by side when `wide`.
    """

    header: int
    queues: int
    pools: int
    work: int
    alerts: int
    wide: bool
    tall: bool
    queues_width: int = 0

    @property
    def top(self) -> int:
        return max(self.queues, self.pools) if self.wide else self.queues + self.pools


PaneSizes = Mapping[str, int]
"""Lines added to a pane's default height, by pane name: queues, pools, alerts."""


def compute_layout(
    width: int,
    height: int,
    banner: int,
    queues: int,
    pools: int,
    alerts: int,
    sizes: PaneSizes = MappingProxyType({}),
    named: int = 0,
    shared: int = 0,
) -> PaneHeights:
    """Distribute `height` lines among the panes for the given row counts.

    `named` counts the lines of named resources on a wide terminal, `shared` those of the resources
    and the GPUs that pools share. The work pane gets the rest.
    """
    wide, tall = width >= WIDE_CELLS, height >= TALL_HEIGHT
    header = 2 if wide else 1
    room = height - banner
    if wide:
        block = 1 + max(3, min(max(queues, pools * 2 + named + shared + 2), max(4, room // 4)))
        high = (block, block)
    else:
        high = (
            1 + clamp(queues, 1, int(room * 0.17)),
            1 + clamp(pools + shared, 1, int(room * 0.1)),
        )
    low = 2 if not alerts else 6 if tall else 1 + clamp(alerts, 1, int(room * 0.14))
    spare = height - banner - header - BOTTOM - 3
    first, second, low = _apply_sizes(high, low, wide, sizes, spare)
    above = first if wide else first + second
    return PaneHeights(
        header, first, second, spare + 3 - above - low, low, wide, tall, (width - 1) * 63 // 119
    )


def _apply_sizes(
    high: tuple[int, int], low: int, wide: bool, sizes: PaneSizes, spare: int
) -> tuple[int, int, int]:
    """Return the heights of queues, pools and alerts as resized by the user.

    All fit within `spare` lines.
    """
    queues, pools, more = (_read_size(sizes, name) for name in ("queues", "pools", "alerts"))
    first = clamp(high[0] + (queues + pools if wide else queues), 2, spare - 2 - (0 if wide else 2))
    second = first if wide else clamp(high[1] + pools, 2, spare - first - 2)
    above = first if wide else first + second
    return first, second, clamp(low + more, 2, spare - above)


def resize_pane(sizes: PaneSizes, pane: str, by: int) -> dict[str, int]:
    """Return the sizes with a pane `by` lines taller.

    The work pane takes lines from the alerts, then from the queues.
    """
    name, by = (
        ("alerts" if _read_size(sizes, "alerts") > -4 else "queues", -by)
        if pane == "work"
        else (pane, by)
    )
    return {**sizes, name: clamp(_read_size(sizes, name) + by, -40, 40)}


def _read_size(sizes: PaneSizes, name: str) -> int:
    """Return a remembered size, or 0 if it is invalid."""
    size = sizes.get(name, 0)
    return clamp(size, -40, 40) if isinstance(size, int) else 0


def clamp(count: int, low: int, high: int) -> int:
    """Return `count`, limited to the range from `low` to `high`."""
    return max(low, min(count, max(low, high)))
