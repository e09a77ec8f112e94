"""Change notifications: immediate, coalesced in bursts, and never lost."""

from __future__ import annotations

import asyncio

import pytest

from app.runtime import change_feed
from app.runtime.change_feed import ChangeFeed


async def test_the_first_change_comes_at_once_and_the_next_after_a_wake():
    feed = ChangeFeed()
    changes = feed.watch_changes()
    await anext(changes)
    following = asyncio.ensure_future(anext(changes))
    assert not (await asyncio.wait({following}, timeout=0.1))[0]

    feed.wake()

    await asyncio.wait_for(following, 5)
    await changes.aclose()


async def test_a_burst_during_processing_is_one_change():
    feed = ChangeFeed()
    changes = feed.watch_changes()
    await anext(changes)
    for _ in range(100):
        feed.wake()
    await asyncio.wait_for(anext(changes), 5)
    following = asyncio.ensure_future(anext(changes))

    assert not (await asyncio.wait({following}, timeout=0.1))[0]

    feed.close()
    await asyncio.wait({following})
    assert isinstance(following.exception(), StopAsyncIteration)


async def test_a_change_during_processing_is_not_lost():
    feed = ChangeFeed()
    async for looked in _count_changes(feed):
        if looked == 0:
            feed.wake()
        else:
            return


async def _count_changes(feed: ChangeFeed):
    at = 0
    async for _ in feed.watch_changes():
        yield at
        at += 1


async def test_a_heartbeat_comes_without_a_change():
    changes = ChangeFeed().watch_changes(heartbeat=0.01)

    for _ in range(3):
        await asyncio.wait_for(anext(changes), 5)
    await changes.aclose()


async def test_no_pause_follows_a_heartbeat(monkeypatch: pytest.MonkeyPatch):
    changes = ChangeFeed().watch_changes(heartbeat=0.01)
    await anext(changes)
    await anext(changes)
    monkeypatch.setattr(change_feed, "DEBOUNCE_SECONDS", 3600)

    await asyncio.wait_for(anext(changes), 60)
    await changes.aclose()


async def test_all_readers_are_woken_and_former_ones_forgotten():
    feed = ChangeFeed()
    first, second = feed.watch_changes(), feed.watch_changes()
    await anext(first)
    await anext(second)
    feed.wake()
    await asyncio.wait_for(asyncio.gather(anext(first), anext(second)), 5)

    await first.aclose()
    await second.aclose()

    assert not feed._events
