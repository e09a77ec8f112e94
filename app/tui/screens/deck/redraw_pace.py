"""Pace of redrawing the panes: each second only while a pane shows a figure in seconds.

Drawing all panes takes most of the CPU of an idle deck.
"""

from __future__ import annotations

from app.core.board import Board
from app.tui.data.board_feed import DOWN_STATES
from app.tui.widgets.banner import STALE_SOON, needs_room

LIVELY_SECONDS = 10.0
"""Seconds after a change for which the panes are redrawn each second, for lingering rows."""
QUIET_INTERVAL = 10.0
"""Seconds between two redraws while all ages are shown in minutes."""
_MINUTE, _HOUR = 60.0, 3600.0


class RedrawPace:
    """Decision, at each tick of the deck, to redraw the panes or not."""

    def __init__(self) -> None:
        self._lively_until = float("inf")
        self._drawn_at = float("-inf")

    def record_change(self, ticks: float) -> None:
        """Record that a board with other contents was drawn at `ticks`."""
        self._lively_until = ticks + LIVELY_SECONDS

    def is_due(self, board: Board, now: float, ticks: float) -> bool:
        """Return True if the caller must redraw the panes now, and record that it does."""
        is_due = (
            ticks < self._lively_until
            or ticks - self._drawn_at >= QUIET_INTERVAL
            or counts_seconds(board, now)
        )
        if is_due:
            self._drawn_at = ticks
        return is_due


def counts_seconds(board: Board, now: float) -> bool:
    """Return True if a pane shows a figure that changes each second."""
    ages = [row.since for row in board.next]
    ages += [row.ended_at for row in board.ended]
    ages += [queue.oldest_at for queue in board.queues if queue.oldest_at is not None]
    return (
        bool(board.running or board.alerts)
        or board.runtime.state in DOWN_STATES
        or now - board.at > STALE_SOON
        or any(now - age < _MINUTE for age in ages)
        or any(
            row.starts_in is not None or row.starts_at is not None and row.starts_at - now < _HOUR
            for row in board.next
        )
    )


def drop_measurements(board: Board) -> Board:
    """Return the board without the figures that change with each measurement.

    Only the header, the pane of pools and the banner of a full disk show them.
    """
    if needs_room(board):
        return board
    host = board.host._replace(cpu_used=None, memory_used=None, load=None, disk_free=None)
    return board._replace(at=0.0, host=host, runtime=board.runtime._replace(tick_lag=None))
