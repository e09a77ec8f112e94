"""Read marks: when the user last viewed the deck, and which failures were viewed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from math import inf, isfinite
from time import time
from typing import Any

from app.core.board import Board, EndedEntry, get_failure_cutoff
from app.core.text.status_glyphs import FAILED_STATES
from app.tui.state.preferences import Preferences

MAX_VIEWED = 400
"""Maximum viewed failures remembered; older ones count as unseen again."""
END_TOLERANCE = 1.0
"""Maximum seconds between the end of a run and the end of its task."""
AWAY_SECONDS = 60.0
"""Seconds without a view after which missed events are shown."""


class ReadMarks:
    """Read marks stored in the deck's preferences."""

    def __init__(self, memory: Preferences, now: Callable[[], float] = time) -> None:
        self._memory, self._now = memory, now

    def make_board_args(self) -> dict[str, Any]:
        """Return the board arguments: the time since which failures count as unseen."""
        at = self._read_time("failures_seen")
        return {"seen": at} if at else {}

    @property
    def last_view(self) -> float | None:
        """Time of the last view in UNIX seconds; None before the first."""
        return self._read_time("looked") or None

    def record_view(self, now: float) -> None:
        """Record that the deck is being viewed."""
        self._memory.put("looked", float(int(now)))

    def mark_viewed(self, uuid: str, ended_at: float) -> None:
        """Record that a failure that ended at this time (UNIX seconds) was viewed."""
        if self._read_viewed().get(uuid, 0.0) < ended_at:
            self._memory.update("opened_at", {}, lambda before: _add_viewed(before, uuid, ended_at))

    def mark_all_viewed(self, now: float) -> None:
        """Mark all failures so far as viewed."""
        self._memory.put("failures_seen", float(now))
        self._memory.put("opened_at", {})

    def count_unseen(self, board: Board) -> int:
        """Return the number of failures not viewed."""
        since = self._read_time("failures_seen")
        if since >= board.at:
            return 0
        failures_seen_at, now = (
            datetime.fromtimestamp(since, UTC) if since else None,
            datetime.fromtimestamp(board.at, UTC),
        )
        since = get_failure_cutoff(failures_seen_at, now).timestamp()
        opened_at, shown = (
            self._read_viewed(),
            {
                line.uuid: line.ended_at
                for line in board.ended
                if line.status in FAILED_STATES and line.ended_at > since
            },
        )
        known = sum(self._is_seen(line, opened_at) for line in board.ended if line.uuid in shown)
        # Failures older than the board's rows; deleted or retried ones are not in `failed` either.
        earlier = sum(
            since < at < min(shown.values(), default=0.0)
            for uuid, at in opened_at.items()
            if uuid not in shown
        )
        return max(0, board.failed - known - min(earlier, max(0, board.failed - len(shown))))

    def list_shown_ended(
        self, lines: Iterable[EndedEntry], now: float, successes_for: float
    ) -> tuple[EndedEntry, ...]:
        """Return the ended tasks still shown: failures until viewed, others for a while."""
        opened_at, at = self._read_viewed(), self._read_time("failures_seen")
        return tuple(
            line
            for line in lines
            if now - line.ended_at < successes_for
            or (
                line.status in FAILED_STATES
                and line.ended_at > at
                and not self._is_seen(line, opened_at)
            )
        )

    def _read_time(self, name: str) -> float:
        """Return a stored time in UNIX seconds; 0 if missing or invalid."""
        at = self._memory.get(name, 0.0)
        return at if isfinite(at) and 0 < at < self._now() + AWAY_SECONDS else 0.0

    def _read_viewed(self) -> dict[str, float]:
        """Return the end times of viewed failures by uuid."""
        found = self._memory.get("opened_at", {})
        return {uuid: at for uuid, at in found.items() if isinstance(at, float)}

    def _is_seen(self, line: EndedEntry, opened_at: Mapping[str, float]) -> bool:
        """Return True if this end was viewed, not an earlier one.

        A run ends a moment before its task.
        """
        return line.ended_at - opened_at.get(line.uuid, -inf) < END_TOLERANCE


def _add_viewed(before: Mapping[str, float], uuid: str, ended_at: float) -> dict[str, float]:
    """Return the viewed failures with this one last, limited to `MAX_VIEWED`."""
    others = [(known, at) for known, at in before.items() if known != uuid]
    return dict([*others, (uuid, ended_at)][-MAX_VIEWED:])
