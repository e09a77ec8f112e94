"""Queues pane (1): queues in a fixed order; those with waiting tasks first if not all fit."""

from __future__ import annotations

from app.core.board import Board, QueueEntry
from app.core.text import units
from app.translation import tr
from app.tui.board_words import translate_queue_word
from app.tui.style import QUEUES, UNKNOWN, Look
from app.tui.widgets.table import NO_MATCH, Table
from app.tui.widgets.table_columns import BarCell, Cell, Cells, TableColumn
from app.tui.widgets.table_parts import SectionView, TableGrid, TableSection
from app.tui.widgets.table_title import Wordings

MIN_SPARKLINE_TOP = 7
"""Starts that fill a cell of the sparkline, or the largest number if there are more."""

_WIDE = (
    TableColumn("", 10, 28, fits=True, grow=1, floor=10, gap=0, cut="middle"),
    TableColumn("LOAD", 8, 20, drop=3, grow=2, floor=5),
    TableColumn("", 5, 12, right=True, fits=True),
    TableColumn("WAIT", 5, 7, right=True, fits=True, gap=2),
    TableColumn("OLDEST", 6, right=True, drop=4),
    TableColumn("LAST 30m", 10, drop=1),
    TableColumn("STATE", 10, 17, fits=True),
)
_NARROW = (
    TableColumn("", 12, 28, fits=True, grow=1, floor=10, gap=0, cut="middle"),
    TableColumn("LOAD", 10, 10, grow=3, drop=3, gap=2, floor=5),
    TableColumn("", 5, 12, right=True, fits=True),
    TableColumn("WAIT", 5, 7, right=True, fits=True, gap=2),
    TableColumn("OLDEST ", 7, right=True, drop=4, gap=2),
    TableColumn("STARTED", 10, drop=1, gap=2),
    TableColumn("STATE", 18, 18, gap=2, floor=10, grow=2),
)


def make_cells(queue: QueueEntry, look: Look, now: float) -> Cells:
    """Return the cells of a queue, the same on narrow and wide terminals."""
    sign = QUEUES.get("opens" if queue.word.startswith("opens ") else queue.word, UNKNOWN)
    oldest = units.MISSING if queue.oldest_at is None else units.format_age(now - queue.oldest_at)
    # None for a past minute without a runtime
    load = units.MISSING if queue.load is None else queue.load
    bar = BarCell(queue.load or 0, queue.capacity)
    word = look.sanitize(translate_queue_word(queue.word))
    return (
        Cell(look.sanitize(queue.name)),
        Cell(bar, bar.load),
        Cell(look.adapt_text(f"{load}/{queue.capacity}"), bar.load.replace("calm", "")),
        Cell(look.adapt_text(units.format_count(queue.waiting))),
        Cell(look.adapt_text(oldest)),
        Cell(_format_starts(queue, look), "dim"),
        Cell((word if look.plain else f"{look.glyph(sign)} {word}"), sign.style),
    )


def _format_starts(queue: QueueEntry, look: Look) -> str:
    """Return the starts of the last half hour as a sparkline; in a plain look their number."""
    if look.plain:
        return (
            tr("{count} in 30m", count=units.format_count(sum(queue.starts)))
            if queue.starts
            else ""
        )
    return look.draw_sparkline(queue.starts, 10, top=max(MIN_SPARKLINE_TOP, *queue.starts, 0))


QUEUE_SECTION = TableSection("queues", TableGrid(_WIDE, make_cells), TableGrid(_NARROW, make_cells))


class QueuesPane(Table):
    """Every queue: its load, its waiting tasks and its state."""

    def __init__(self) -> None:
        super().__init__((QUEUE_SECTION,), id="queues")
        self._queues: tuple[QueueEntry, ...] = ()
        self._known = False

    def show_board(self, board: Board) -> None:
        self._queues, self._known = board.queues, bool(board.at)
        self._show_queues()

    def fit(self) -> None:
        self._show_queues()
        super().fit()

    def _show_queues(self) -> None:
        """Show the queues; if not all fit, those with waiting tasks first and idle ones last."""
        rows = self._queues
        if len(rows) > max(1, self.size.height - 1):
            rows = tuple(sorted(rows, key=lambda queue: (not queue.waiting, not queue.load)))
        view = self.views[0]
        view.title = (
            tr("1 Queues {count}", count=len(rows))
            if self.is_narrow and self._known
            else tr("1 Queues")
        )
        view.tail, view.tail_first = _format_hidden, True
        view.empty = [[(f"  {tr(NO_MATCH)}", "dim")]] if self.keep else ()
        self.show({"queues": rows})


def _format_hidden(view: SectionView) -> list[Wordings]:
    shown = len(view.list_visible())
    rest = view.rows[shown:]
    if not rest:
        return []
    if view.offset:
        return [(tr("these {shown} of {count:,}", shown=shown, count=len(view.rows)),)]
    busy = any(queue.waiting or queue.load for queue in rest)
    return [
        (tr("+{more:,} more", more=len(rest)) if busy else tr("+{idle:,} idle", idle=len(rest)),)
    ]
