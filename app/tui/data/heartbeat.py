"""SilenceMeter: seconds since the runtime was last heard, while the deck itself was awake."""

from __future__ import annotations

CHECK_INTERVAL = 1.0
"""Seconds between checks."""
SILENCE_LIMIT = 6.0
"""Seconds of silence that are reported; a runtime sends something every two seconds."""


class SilenceMeter:
    """Silence of the runtime, not counting time while the deck is stopped or the machine sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._heard = -1
        self._looked: float | None = None

    def update(self, notification_count: int, ticks: float) -> float:
        """Return the seconds of silence. `ticks` is monotonic."""
        gone = 0.0 if self._looked is None else min(CHECK_INTERVAL, ticks - self._looked)
        self.seconds = self.seconds + gone if notification_count == self._heard else 0.0
        self._heard, self._looked = notification_count, ticks
        return self.seconds
