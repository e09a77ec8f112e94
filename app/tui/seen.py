"""What the person at this deck has looked at: when last, and which failures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from app.core.board import Board, EndedLine
from app.tui.memory import Memory

BAD = ("failed", "timed_out", "lost")
MOST = 400
"""Failures opened one by one that are remembered; beyond, the oldest count as unseen again."""
AWAY = 60.0
"""Seconds without a look after which what happened meanwhile is told."""


class Seen:
    """Kept in the deck's memory."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def asked(self) -> dict[str, Any]:
        """What a board is asked with: since when failures count as not seen."""
        at = self._memory.get("failures_seen", 0.0)
        return {"seen": at} if at else {}

    @property
    def last_look(self) -> float | None:
        """UNIX seconds of the last look at the deck; None before the first one."""
        return self._memory.get("looked", 0.0) or None

    def looked(self, now: float) -> None:
        """Somebody looks at the deck."""
        self._memory.put("looked", float(int(now)))

    def opened(self, uuid: str) -> None:
        """One failure was looked at."""
        before = self._uuids()
        if uuid not in before:
            self._memory.put("opened", [*before, uuid][-MOST:])

    def all(self, now: float) -> None:
        """All failures so far were looked at."""
        self._memory.put("failures_seen", float(now))
        self._memory.put("opened", [])

    def unseen(self, board: Board) -> int:
        """How many failures nobody has looked at."""
        if self._memory.get("failures_seen", 0.0) >= board.at:
            return 0
        opened = set(self._uuids())
        known = sum(line.uuid in opened for line in board.ended if line.status in BAD)
        return max(0, board.failed - known)

    def left(self, lines: Iterable[EndedLine], now: float, successes_for: float) -> tuple[EndedLine, ...]:
        """Of what ended that which is still worth its row: failures until they were looked at, all else for a while."""
        opened, at = set(self._uuids()), self._memory.get("failures_seen", 0.0)
        return tuple(
            line
            for line in lines
            if now - line.ended_at < successes_for or (line.status in BAD and line.ended_at > at and line.uuid not in opened)
        )

    def _uuids(self) -> list[str]:
        return [str(uuid) for uuid in self._memory.get("opened", [])]
