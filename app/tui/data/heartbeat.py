"""How long nothing was heard of a runtime that is connected, in seconds during which the deck itself was awake."""

from __future__ import annotations

CHECK_INTERVAL = 1.0
"""Seconds between two looks."""
SILENCE_LIMIT = 6.0
"""Seconds of silence from which on it is said: a runtime sends something every two seconds, whatever it does."""


class Heartbeat:
    """What goes by while the deck is stopped itself, or the machine sleeps, is no silence of the runtime."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._heard = -1
        self._looked: float | None = None

    def update(self, heard: int, ticks: float) -> float:
        """Seconds of silence by now. `heard` counts what came; `ticks` are seconds that only go forward."""
        gone = 0.0 if self._looked is None else min(CHECK_INTERVAL, ticks - self._looked)
        self.seconds = self.seconds + gone if heard == self._heard else 0.0
        self._heard, self._looked = heard, ticks
        return self.seconds
