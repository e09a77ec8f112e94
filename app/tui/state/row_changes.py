"""When each row last changed its state, so that a key pressed for the old state does not hit the new one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from app.core.board import Board

RECENT = 0.3
"""Seconds for which a change counts as just now."""


class RowChanges:
    """Remembers the state of every row of the boards it is told of."""

    def __init__(self) -> None:
        self._states: dict[str, tuple[str, float]] = {}

    def record_board(self, board: Board, at: float) -> None:
        """Compare a board with the one before; `at` is monotonic seconds."""
        self.record_states(_iter_states(board), at)

    def record_states(self, states: Iterable[tuple[str, str]], at: float) -> None:
        """Compare the states of all rows there are, by their keys, with those before."""
        old = self._states
        new: dict[str, tuple[str, float]] = {}
        for key, state in states:
            before = old.get(key)
            new[key] = before if before and before[0] == state else (state, at if before else float("-inf"))
        self._states = new

    def find_recent_change(self, key: str, at: float) -> str | None:
        """The state that a row came into a moment ago, or None."""
        state, changed = self._states.get(key, ("", float("-inf")))
        return state if at - changed < RECENT else None


def _iter_states(board: Board) -> Iterator[tuple[str, str]]:
    for lines in (board.running, board.next, board.ended, board.alerts, board.queues, board.pools):
        for line in lines:
            yield line.key, line.status
