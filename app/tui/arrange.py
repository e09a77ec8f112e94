"""How many lines each pane gets. Pure: terminal size and row counts in, heights out."""

from __future__ import annotations

from dataclasses import dataclass

from app.tui.header import WIDE
from app.tui.panes.work import TALL

LEAST = (60, 16)
"""Under this many cells and lines only a line says that the terminal is too small."""
FULL = (80, 24)
"""Under this, one pane at a time."""
BOTTOM = 2


@dataclass(frozen=True, slots=True)
class Arrangement:
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


def arrange(width: int, height: int, banner: int, queues: int, pools: int, alerts: int) -> Arrangement:
    """Share `height` lines among the panes for these numbers of rows."""
    wide, tall = width >= WIDE, height >= TALL
    header = 2 if wide else 1
    room = height - banner
    if wide:
        block = 1 + max(3, min(max(queues, pools * 2 + 2), max(4, room // 4)))
        high = (block, block)
    else:
        high = (1 + clamp(queues, 1, int(room * 0.17)), 1 + clamp(pools, 1, int(room * 0.1)))
    low = 2 if not alerts else 6 if tall else 1 + clamp(alerts, 1, int(room * 0.14))
    above = high[0] if wide else sum(high)
    work = max(3, height - banner - header - above - low - BOTTOM)
    return Arrangement(header, *high, work, low, wide, tall, (width - 1) * 63 // 119)


def clamp(count: int, low: int, high: int) -> int:
    """`count`, but not under `low` nor over `high`."""
    return max(low, min(count, max(low, high)))
