"""News of changes, for whoever waits for them. A wake-up is a hint: it is cleared, then one looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

DEBOUNCE_SECONDS = 0.05
"""Seconds between two wake-ups of one reader, so that a burst is one reload."""


class ChangeFeed:
    """After each commit `wake` is called; every reader of `changes` then gets one item."""

    def __init__(self) -> None:
        self._events: set[asyncio.Event] = set()
        self._closed = False

    def wake(self) -> None:
        """Tell all readers that something changed."""
        for event in self._events:
            event.set()

    def close(self) -> None:
        """End all readers."""
        self._closed = True
        self.wake()

    async def watch_changes(self, heartbeat: float | None = None) -> AsyncGenerator[None]:
        """One item now, then one after each change, and after `heartbeat` seconds without any."""
        event = asyncio.Event()
        event.set()
        self._events.add(event)
        try:
            while not self._closed:
                await _wait_for(event, heartbeat)
                event.clear()
                if not self._closed:
                    yield
                    await asyncio.sleep(DEBOUNCE_SECONDS)
        finally:
            self._events.discard(event)


async def _wait_for(event: asyncio.Event, seconds: float | None) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
