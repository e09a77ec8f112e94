"""Pending changes: requested values that the lists do not show yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from app.core.board import Board

RETRY_GRACE = 5.0
"""Seconds after which the rows of retried tasks show the retry."""
UNTIL_REPLY = float("inf")


class PendingChanges:
    """Priorities and retries that were requested a moment ago."""

    def __init__(self, ticks: Callable[[], float]) -> None:
        """Create without changes. `ticks` returns monotonic seconds."""
        self._ticks = ticks
        self.priorities: dict[str, int] = {}
        """Requested priorities by uuid."""
        self._retried: dict[str, tuple[float, float]] = {}
        """Retried tasks by uuid: the end time they had (UNIX seconds), and the time on the clock
        `ticks` until which a row with the same end time is considered stale."""

    def clear(self) -> None:
        """Forget all changes: a request was refused."""
        self.priorities.clear()
        self._retried.clear()

    def drop_applied_priorities(self, shown: Mapping[str, int]) -> None:
        """Drop priorities that the visible list shows by now."""
        self.priorities = {
            key: priority for key, priority in self.priorities.items() if shown.get(key) != priority
        }

    def update_from_board(self, board: Board) -> None:
        """Drop priorities of rows that the board does not show, or shows by now."""
        shown = {row.key: row.priority for row in (*board.running, *board.next, *board.queues)}
        self.priorities = {
            key: priority for key, priority in self.priorities.items() if key in shown
        }
        self.drop_applied_priorities(shown)

    @property
    def retries(self) -> dict[str, float]:
        """End times, by uuid, of retried tasks whose rows may be stale."""
        now = self._ticks()
        self._retried = {
            key: priority for key, priority in self._retried.items() if now < priority[1]
        }
        return {key: ended_at for key, (ended_at, _) in self._retried.items()}

    def add_retries(self, ended: Mapping[str, float]) -> None:
        """Add retried tasks, by uuid, with their end times."""
        self._retried |= {uuid: (at, UNTIL_REPLY) for uuid, at in ended.items()}

    def start_retry_grace(self, uuids: Iterable[str]) -> None:
        """Start the grace period of retried tasks.

        After this period, a task whose row shows an end time can be retried again.
        """
        until = self._ticks() + RETRY_GRACE
        self._retried |= {
            uuid: (self._retried[uuid][0], until) for uuid in uuids if uuid in self._retried
        }
