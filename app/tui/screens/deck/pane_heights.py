"""How many lines each pane gets. Pure: terminal size and row counts in, heights out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from app.tui.panes.work import TALL_HEIGHT
from app.tui.widgets.header import WIDE_CELLS

MIN_SIZE = (60, 16)
"""Under this many cells and lines only a line says that the terminal is too small."""
FULL_SIZE = (80, 24)
"""Under this, one pane at a time."""
BOTTOM = 2


class PaneHeights(NamedTuple):
    """Heights in lines, of all panes with their rules. `top` holds queues and pools, side by side when `wide`."""

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
"""Lines that a pane was given beyond, or short of, its usual ones, by its name: queues, pools, alerts."""


def compute_layout(
    width: int, height: int, banner: int, queues: int, pools: int, alerts: int, sizes: PaneSizes = MappingProxyType({})
) -> PaneHeights:
    """Share `height` lines among the panes for these numbers of rows; the work has what the others leave."""
    wide, tall = width >= WIDE_CELLS, height >= TALL_HEIGHT
    header = 2 if wide else 1
    room = height - banner
    if wide:
        block = 1 + max(3, min(max(queues, pools * 2 + 2), max(4, room // 4)))
        high = (block, block)
    else:
        high = (1 + clamp(queues, 1, int(room * 0.17)), 1 + clamp(pools, 1, int(room * 0.1)))
    low = 2 if not alerts else 6 if tall else 1 + clamp(alerts, 1, int(room * 0.14))
    spare = height - banner - header - BOTTOM - 3
    first, second, low = _apply_sizes(high, low, wide, sizes, spare)
    above = first if wide else first + second
    return PaneHeights(header, first, second, spare + 3 - above - low, low, wide, tall, (width - 1) * 63 // 119)


def _apply_sizes(high: tuple[int, int], low: int, wide: bool, sizes: PaneSizes, spare: int) -> tuple[int, int, int]:
    """The heights of queues, pools and alerts with what was added to them, within `spare` lines in all."""
    queues, pools, more = (_read_size(sizes, name) for name in ("queues", "pools", "alerts"))
    first = clamp(high[0] + (queues + pools if wide else queues), 2, spare - 2 - (0 if wide else 2))
    second = first if wide else clamp(high[1] + pools, 2, spare - first - 2)
    above = first if wide else first + second
    return first, second, clamp(low + more, 2, spare - above)


def resize_pane(sizes: PaneSizes, pane: str, by: int) -> dict[str, int]:
    """The sizes with a pane so many lines taller. The work grows by what the alerts, then the queues, give up."""
    name, by = ("alerts" if _read_size(sizes, "alerts") > -4 else "queues", -by) if pane == "work" else (pane, by)
    return {**sizes, name: clamp(_read_size(sizes, name) + by, -40, 40)}


def _read_size(sizes: PaneSizes, name: str) -> int:
    """A size that was remembered; 0 for what is none."""
    size = sizes.get(name, 0)
    return clamp(size, -40, 40) if isinstance(size, int) else 0


def clamp(count: int, low: int, high: int) -> int:
    """`count`, but not under `low` nor over `high`."""
    return max(low, min(count, max(low, high)))
