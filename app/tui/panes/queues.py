"""Pane 1: the queues, in a fixed order that the eye learns; those with waiters first when not all fit."""

from __future__ import annotations

from app.core.board import Board, QueueLine
from app.core.text import units
from app.tui.style import QUEUES, STRANGE, Look
from app.tui.widgets.table import NONE_PASSES, Table
from app.tui.widgets.table_columns import Bar, Cell, Cells, Column
from app.tui.widgets.table_parts import Grid, Part, View
from app.tui.widgets.table_title import Says

FEW = 7
"""Up to so many starts a cell, one step of the sparkline is one start; beyond, the largest count fills it."""

_WIDE = (
    Column("", 10, 14, grow=1, floor=6, gap=0),
    Column("LOAD", 8, 20, drop=3, grow=2),
    Column("", 5, 12, right=True, fits=True),
    Column("WAIT", 5, 7, right=True, fits=True, gap=2),
    Column("OLDEST", 6, right=True, drop=4),
    Column("LAST 30m", 10, drop=1),
    Column("STATE", 10),
)
_NARROW = (
    Column("", 12, 20, grow=1, floor=6, gap=0),
    Column("LOAD", 10, drop=3, gap=2),
    Column("", 5, 12, right=True, fits=True),
    Column("WAIT", 5, 7, right=True, fits=True, gap=2),
    Column("OLDEST ", 7, right=True, drop=4, gap=2),
    Column("STARTED", 10, drop=1, gap=2),
    Column("STATE", 18, 18, gap=2, floor=10, grow=2),
)


def cells(queue: QueueLine, look: Look, now: float) -> Cells:
    """A queue's row, the same on narrow and wide terminals."""
    sign = QUEUES.get(queue.word, STRANGE)
    oldest = units.MISSING if queue.oldest_at is None else units.age(now - queue.oldest_at)
    load = units.MISSING if queue.load is None else queue.load  # of a minute in which no runtime was up
    return (
        Cell(look.theirs(queue.name)),
        Cell(Bar(queue.load or 0, queue.capacity)),
        Cell(look.own(f"{load}/{queue.capacity}")),
        Cell(look.own(units.count(queue.waiting))),
        Cell(look.own(oldest)),
        Cell(_starts(queue, look), "dim"),
        Cell(look.theirs(queue.word) if look.plain else f"{look.glyph(sign)} {look.theirs(queue.word)}", sign.style),
    )


def _starts(queue: QueueLine, look: Look) -> str:
    """What it started in half an hour; in a plain look how many."""
    if look.plain:
        return f"{units.count(sum(queue.starts))} in 30m" if queue.starts else ""
    return look.spark(queue.starts, 10, top=max(FEW, *queue.starts, 0))


QUEUE_PART = Part("queues", Grid(_WIDE, cells), Grid(_NARROW, cells))


class QueuesPane(Table):
    """Every queue: how full, how many wait and since when, what it does."""

    def __init__(self) -> None:
        super().__init__((QUEUE_PART,), id="queues")
        self._queues: tuple[QueueLine, ...] = ()
        self._known = False

    def show_board(self, board: Board) -> None:
        """Show the queues of a board."""
        self._queues, self._known = board.queues, bool(board.at)
        self._choose()

    def fit(self) -> None:
        self._choose()
        super().fit()

    def _choose(self) -> None:
        """Where there is no room for all, those in which something waits stand first, and last those in which nothing runs either."""
        rows = self._queues
        if len(rows) > max(1, self.size.height - 1):
            rows = tuple(sorted(rows, key=lambda queue: (not queue.waiting, not queue.load)))
        view = self.views[0]
        view.title = f"1 Queues {len(rows)}" if self.is_narrow and self._known else "1 Queues"
        view.tail, view.must = _out_of_sight, True
        view.empty = [[(f"  {NONE_PASSES}", "dim")]] if self.keep else ()
        self.show({"queues": rows})


def _out_of_sight(view: View) -> list[Says]:
    """How many are not in sight."""
    shown = len(view.window())
    rest = view.rows[shown:]
    if not rest:
        return []
    if view.offset:
        return [(f"these {shown} of {len(view.rows):,}",)]
    return [(f"+{len(rest):,} {'more' if any(queue.waiting or queue.load for queue in rest) else 'idle'}",)]
