"""What the person at this deck has looked at: when last, and which failures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isfinite
from time import time
from typing import Any

from app.core.board import Board, EndedLine
from app.core.signs import BAD
from app.tui.memory import Memory

MOST = 400
"""Failures opened one by one that are remembered; beyond, the oldest count as unseen again."""
AWAY = 60.0
"""Seconds without a look after which what happened meanwhile is told."""


class Seen:
    """Kept in the deck's memory."""

    def __init__(self, memory: Memory, now: Callable[[], float] = time) -> None:
        self._memory, self._now = memory, now

    def asked(self) -> dict[str, Any]:
        """What a board is asked with: since when failures count as not seen."""
        at = self._time("failures_seen")
        return {"seen": at} if at else {}

    @property
    def last_look(self) -> float | None:
        """UNIX seconds of the last look at the deck; None before the first one."""
        return self._time("looked") or None

    def looked(self, now: float) -> None:
        """Somebody looks at the deck."""
        self._memory.put("looked", float(int(now)))

    def opened(self, uuid: str) -> None:
        """One failure was looked at."""
        if uuid not in self._uuids():
            self._memory.change("opened", [], lambda before: [*(known for known in before if known != uuid), uuid][-MOST:])

    def all(self, now: float) -> None:
        """All failures so far were looked at."""
        self._memory.put("failures_seen", float(now))
        self._memory.put("opened", [])

    def unseen(self, board: Board) -> int:
        """How many failures nobody has looked at."""
        if self._time("failures_seen") >= board.at:
            return 0
        opened = set(self._uuids())
        known = sum(line.uuid in opened for line in board.ended if line.status in BAD)
        return max(0, board.failed - known)

    def left(self, lines: Iterable[EndedLine], now: float, successes_for: float) -> tuple[EndedLine, ...]:
        """Of what ended that which is still worth its row: failures until they were looked at, all else for a while."""
        opened, at = set(self._uuids()), self._time("failures_seen")
        return tuple(
            line
            for line in lines
            if now - line.ended_at < successes_for or (line.status in BAD and line.ended_at > at and line.uuid not in opened)
        )

    def _time(self, name: str) -> float:
        """A time that was put down, UNIX seconds; 0 for none, and for one that cannot be."""
        at = self._memory.get(name, 0.0)
        return at if isfinite(at) and 0 < at < self._now() + AWAY else 0.0

    def _uuids(self) -> list[str]:
        return [str(uuid) for uuid in self._memory.get("opened", [])]
