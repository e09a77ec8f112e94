"""Work pane: running (3), waiting (W) and just ended tasks (E) in one cursor space.

A row that ends moves below the running ones for `LINGER` seconds where lines are left, so that the
end is visible.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from app.core.board import Board, ComingEntry, EndedEntry, NextEntry, RunningEntry
from app.core.text.sanitize import sanitize, truncate_middle
from app.translation import tr, tr_n
from app.tui.data.list_rows import (
    EndedMembers,
    LingeringRow,
    WaitingGroup,
    fold_ended,
    fold_waiting,
)
from app.tui.rows.work import ENDED_SECTION, NEXT_SECTION, RUNNING_SECTION, mark_repeated_reasons
from app.tui.style import Span
from app.tui.widgets.table import NO_MATCH, Table
from app.tui.widgets.table_parts import SectionView
from app.tui.widgets.table_title import Wordings

LINGER = 5.0
QUEUE_NAME_WIDTH = 14
"""Cells of a queue's name that leave room for the advice on 80 columns."""
TALL_HEIGHT = 34
"""Terminal height in lines from which ended tasks are shown and sections are set apart."""


class WorkPane(Table):
    """Running, waiting and just ended tasks."""

    def __init__(self) -> None:
        super().__init__((RUNNING_SECTION, NEXT_SECTION, ENDED_SECTION), id="work")
        self.tall = False
        self.guidance: Sequence[Sequence[Span]] = ()
        """Lines for the first run, in place of running rows."""
        self.select_ended: Callable[[Sequence[EndedEntry]], tuple[EndedEntry, ...]] | None = None
        """Selects the ended rows to show; under a filter all are shown."""
        self._moment: float | None = None
        self._cursor_row_expired = False
        """True if the row under the cursor left `Running`: the cursor stays there."""
        self._lingering: dict[str, LingeringRow] = {}
        self._previous_rows: tuple[RunningEntry, ...] = ()
        self._waiting_total = 0
        self._today = ""

    def filter(self, keep: Callable[[Any], bool] | None, text: str = "") -> None:
        """Show only tasks that `keep` accepts; a filter hides coming fire times."""
        super().filter(keep and (lambda row: not isinstance(row, ComingEntry) and keep(row)), text)

    def show_board(self, board: Board) -> None:
        if self.moment != self._moment:  # rows of another moment do not linger
            self._lingering, self._previous_rows, self._moment = {}, (), self.moment
        running, ended = self._merge_lingering(board)
        self._waiting_total = board.waiting_total
        view = self.find_view("running")
        shown = sum(self.keep(row) for row in board.running) if self.keep else len(board.running)
        view.title = tr("3 Running {shown:,}", shown=shown) if board.at else tr("3 Running")
        view.tail = self._make_running_tail
        view.empty = self.guidance or self._make_empty_lines(
            format_idle_reason(board) if board.at else ""
        )
        waiting = self.find_view("next")
        waiting.title, waiting.tail = tr("W Next to start"), self._make_waiting_tail
        waiting.empty = self._make_empty_lines(tr("Nothing waits.") if board.at else "")
        done = self.find_view("ended")
        done.title, done.tail = tr("E Just ended"), self._make_ended_tail
        self._today = (
            tr(
                "today {today_ok:,} ok, {today_failed:,} failed",
                today_ok=board.today_ok,
                today_failed=board.today_failed,
            )
            if board.at
            else ""
        )
        at, waiting_row = self._find_position(self.cursor), self._find_waiting_row()
        if self.keep:
            waits = board.next
        else:
            waits = fold_waiting(mark_repeated_reasons(board.next), board.groups)
            ended = fold_ended(ended, board.groups)
        self.show({"running": running, "next": (*waits, *board.coming), "ended": ended})
        if self._cursor_row_expired and view.rows:
            self._replace_cursor(min(at or 0, len(view.rows) - 1))
            self.redraw()
        elif waiting_row is not None and self._is_on_ended and waiting.rows:
            # cancelled: the cursor stays among the waiting rows
            self._replace_cursor(len(view.rows) + min(waiting_row, len(waiting.rows) - 1))
            self.redraw()

    def _find_waiting_row(self) -> int | None:
        """Return the number of the cursor's row among the waiting ones, or None."""
        keys = [row.key for row in self.find_view("next").rows]
        return keys.index(self.cursor) if self.cursor in keys else None

    def _make_empty_lines(self, nothing: str) -> list[list[Span]]:
        """Return the text of an empty section; nothing before the first board."""
        if not nothing:
            return []
        text = (
            self.look.sanitize(self.look.adapt_text(nothing)) if self.keep is None else tr(NO_MATCH)
        )
        return [[("  " + text, "dim")]]

    def _make_running_tail(self, view: SectionView) -> list[Wordings]:
        """Return which rows are visible, if not all are."""
        return self._format_visible(view, sum(map(_count_tasks, view.rows)), tr("{} of {}"))

    def _make_waiting_tail(self, view: SectionView) -> list[Wordings]:
        """Return which waiting rows are visible; the board has only the first ones."""
        waiting = sum(map(_count_waiting, view.rows))
        total = waiting if self.keep else max(self._waiting_total, waiting)
        return self._format_visible(view, total, tr("{} of {}"), "{1}")

    def _make_ended_tail(self, view: SectionView) -> list[Wordings]:
        """Return which ended rows are visible, and the totals of today."""
        return [*self._make_running_tail(view), *([(self._today,)] if self._today else [])]

    def _format_visible(self, view: SectionView, total: int, *wordings: str) -> list[Wordings]:
        shown = sum(map(_count_tasks, view.list_visible()))
        if shown >= total:
            return []
        long, *short = (text.format(shown, f"{total:,}") for text in wordings)
        all_of_them = () if self.keep else (tr("{long} (5: all)", long=long),)
        return [(*all_of_them, long, *short)]

    def _merge_lingering(
        self, board: Board
    ) -> tuple[tuple[RunningEntry | LingeringRow, ...], tuple[EndedEntry, ...]]:
        """Return the running rows with the lingering ones below, and the other ended rows."""
        self._update_lingering(board)
        self._previous_rows = board.running
        over = (
            self.select_ended(board.ended) if self.select_ended and not self.keep else board.ended
        )
        rows = (*board.running, *self._lingering.values())
        return rows, tuple(row for row in over if row.key not in self._lingering)

    def _update_lingering(self, board: Board) -> None:
        """Let rows that ended since the last board linger, the newest in the lines that are left.

        Lingering rows never take a line from a running or a waiting row. Under a filter there are
        none: then ended rows have lines of their own.
        """
        now = self.now
        alive = {row.key for row in (*board.running, *board.next)}
        ends = {row.key: row for row in board.ended}
        new = [row for row in self._previous_rows if row.key not in alive and row.key in ends]
        known = [
            *(row for row in self._lingering.values() if row.key not in alive),
            *(LingeringRow(row, ends[row.key], now + LINGER) for row in new),
        ]
        room = max(0, self.find_view("running").height - len(board.running))
        kept = [] if self.keep or not room else [row for row in known if row.until > now][-room:]
        self._lingering = {row.key: row for row in kept}
        gone = {row.key for row in known} - self._lingering.keys()
        self._cursor_row_expired = self.cursor in gone

    @property
    def aligned_columns(self) -> int:
        """Number, sign and name; in a plain look the signs are words of different lengths."""
        return 1 if self.look.plain else 3

    def share_lines(self, height: int) -> list[tuple[int, int]]:
        """Give lines to the running rows first, then to the waiting ones.

        Ended rows get lines on tall terminals, under a filter, and while the cursor is on one.
        """
        if self.guidance:
            return [(max(1, height - 3), 0), (1, 0), (-1, 0)]
        running, waiting, ended = (len(view.rows) for view in self.views)
        blank = int(self.tall)
        if not ended or not (self.tall or self.keep or self._is_on_ended):
            top = divide_lines(height - 2 * (1 + blank), running, waiting)
            return [(top[0][0], blank), (top[1][0], blank), (-1, blank)]
        room = height - 3 * (1 + blank)
        below = min(ended, max(3, height // 8, room - max(1, running) - max(1, waiting)))
        top = divide_lines(room - below, running, waiting)
        return [(top[0][0], blank), (top[1][0], blank), (below, blank)]

    @property
    def _is_on_ended(self) -> bool:
        return isinstance(self.item, (EndedEntry, EndedMembers))


def _count_waiting(row: Any) -> int:
    """Return the number of waiting tasks that a row shows."""
    return row.line.waiting if isinstance(row, WaitingGroup) else int(isinstance(row, NextEntry))


def _count_tasks(row: Any) -> int:
    """Return the number of tasks that a row shows."""
    if isinstance(row, WaitingGroup):
        return row.line.waiting
    return (
        len(row.tasks) if isinstance(row, EndedMembers) else int(not isinstance(row, ComingEntry))
    )


def divide_lines(lines: int, running: int, waiting: int) -> list[tuple[int, int]]:
    """Divide lines between running and waiting rows.

    Running rows come first, but waiting ones get up to a third.
    """
    share = min(max(1, waiting), max(2, lines * 3 // 10))
    above = max(1, min(max(1, running), lines - share))
    return [(above, 0), (max(0, lines - above), 0)]


def format_idle_reason(board: Board) -> str:
    """Return why nothing runs, such as `Nothing runs. 2 wait: queue backup is paused …`.

    For a board of the past, name no reason.
    """
    if board.runtime.state == "past":
        ran = tr("Nothing ran.") if board.counts else tr("Nothing is known to have run.")
        return (
            tr("{ran} {waiting_total:,} waited.", ran=ran, waiting_total=board.waiting_total)
            if board.waiting_total
            else ran
        )
    if not board.waiting_total:
        return tr("Nothing runs.")
    waits = tr_n(board.waiting_total, "{n:,} waits", "{n:,} wait")
    paused = next(
        (queue for queue in board.queues if queue.waiting and queue.status == "paused"), None
    )
    if paused:
        name = truncate_middle(sanitize(paused.name), QUEUE_NAME_WIDTH)
        some = tr("{waiting:,} in paused queue {name}", waiting=paused.waiting, name=name)
        why = (
            tr("queue {name} is paused", name=name)
            if paused.waiting == board.waiting_total
            else some
        )
        return tr("Nothing runs. {waits}: {why} (p on it resumes it).", waits=waits, why=why)
    return (
        tr("Nothing runs. {waits}: w on it says why.", waits=waits)
        if board.waiting_total == 1
        else tr("Nothing runs. {waits}: w on one says why.", waits=waits)
    )
