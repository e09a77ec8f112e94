"""Row changes: a key pressed for the old state of a row must not act on the new state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from app.core.board import Board

RECENT = 0.3
"""Seconds for which a change counts as recent."""


class RowChanges:
    """States of all rows and the times of their last changes."""

    def __init__(self) -> None:
        self._states: dict[str, tuple[str, float]] = {}

    def record_board(self, board: Board, at: float) -> None:
        """Compare a board with the previous one; `at` is monotonic seconds."""
        self.record_states(_iter_states(board), at)

    def record_states(self, states: Iterable[tuple[str, str]], at: float) -> None:
        """Compare the states of all rows, by key, with the previous ones."""
        old = self._states
        new: dict[str, tuple[str, float]] = {}
        for key, state in states:
            before = old.get(key)
            new[key] = (
                before
                if before and before[0] == state
                else (state, at if before else float("-inf"))
            )
        self._states = new

    def find_recent_change(self, key: str, at: float) -> str | None:
        """Return the state that a row entered a moment ago, or None."""
        state, changed = self._states.get(key, ("", float("-inf")))
        return state if at - changed < RECENT else None


def _iter_states(board: Board) -> Iterator[tuple[str, str]]:
    for lines in (board.running, board.next, board.ended, board.alerts, board.queues, board.pools):
        for line in lines:
            yield line.key, line.status
