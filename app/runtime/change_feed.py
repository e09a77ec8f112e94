"""News of changes, for whoever waits for them. A wake-up is a hint: it is cleared, then one looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

REST = 0.05
"""Seconds between two wake-ups of one reader, so that a burst is one reload."""


class Feed:
    """After each commit `wake` is called; every reader of `changes` then gets one item."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Event] = set()
        self._closed = False

    def wake(self) -> None:
        """Tell all readers that something changed."""
        for event in self._waiting:
            event.set()

    def close(self) -> None:
        """End all readers."""
        self._closed = True
        self.wake()

    async def changes(self, heartbeat: float | None = None) -> AsyncGenerator[None]:
        """One item now, then one after each change, and after `heartbeat` seconds without any."""
        event = asyncio.Event()
        event.set()
        self._waiting.add(event)
        try:
            while not self._closed:
                await _set(event, heartbeat)
                event.clear()
                if not self._closed:
                    yield
                    await asyncio.sleep(REST)
        finally:
            self._waiting.discard(event)


async def _set(event: asyncio.Event, seconds: float | None) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
