"""Cell updates: send only the changed cells to the terminal.

Textual 8.2.8 sends each changed line from the left edge of its widget. Over ssh a ticking clock
would cost the whole header every second.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.control import Control
from textual._compositor import ChopsUpdate
from textual.strip import Strip


class CellUpdate(ChopsUpdate):
    """Changed spans of lines, each sent from its first to its last cell."""

    @classmethod
    def from_chops(cls, update: ChopsUpdate) -> CellUpdate:
        """Convert Textual's update."""
        return cls(update.chops, update.spans, update.chop_ends)

    def render_segments(self, console: Console) -> str:
        return "".join(
            Control.move_to(x, y).segment.text + strip.render(console)
            for x, y, strip in self._iter_pieces()
        )

    def _iter_pieces(self) -> Iterator[tuple[int, int, Strip]]:
        """Yield position and strip of each changed piece."""
        for y, begin, end in self.spans:
            for until, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                first, last = max(x, begin), min(until, end)
                if strip is not None and first < last:
                    yield first, y, strip.crop(first - x, last - x)
