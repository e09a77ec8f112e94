"""Change feed. A wake-up is a hint: the reader clears the event, then reloads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

DEBOUNCE_SECONDS = 0.05
"""Debounce in seconds per reader, so that a burst causes one reload."""


class ChangeFeed:
    """Change notifications. `wake` is called after each commit and wakes all readers."""

    def __init__(self) -> None:
        self._events: set[asyncio.Event] = set()
        self._closed = False

    def wake(self) -> None:
        """Notify all readers of a change."""
        for event in self._events:
            event.set()

    def close(self) -> None:
        """End all readers."""
        self._closed = True
        self.wake()

    async def watch_changes(self, heartbeat: float | None = None) -> AsyncGenerator[None]:
        """Yield now, after each change, and after `heartbeat` seconds without a change."""
        event = asyncio.Event()
        event.set()
        self._events.add(event)
        try:
            while not self._closed:
                await _wait_for(event, heartbeat)
                is_change = event.is_set()
                event.clear()
                if not self._closed:
                    yield
                    if is_change:
                        await asyncio.sleep(DEBOUNCE_SECONDS)
        finally:
            self._events.discard(event)


async def _wait_for(event: asyncio.Event, seconds: float | None) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
