"""Queues that a dispatcher keeps between its rounds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.core.scheduling.plan import DispatchView
from app.service.context import Call
from app.service.definitions import limits, queues
from app.service.scheduling import dispatch_view
from app.service.scheduling.dispatch_view import RunTimeCache
from app.service.scheduling.kept_queues import MAX_KEPT, KeptQueues
from tests.service.calls import execute_sql, submit_task

CHANGES = [
    "UPDATE tasks SET priority = 9 WHERE number = 3",
    "UPDATE tasks SET front = 1 WHERE number = 4",
    "UPDATE tasks SET cpu = 2, resources = '{\"tape\": 1}' WHERE number = 1",
    "UPDATE tasks SET timeout = 7 WHERE number = 1",
    'UPDATE tasks SET tags = \'{"team": "b"}\' WHERE number = 1',
    "UPDATE tasks SET status = 'held' WHERE number = 1",
    "UPDATE tasks SET queue = 'q2' WHERE number = 1",
    "UPDATE queues SET capacity = 1",
    "UPDATE queues SET priority = 5 WHERE name = 'q1'",
    "UPDATE queues SET open = 'mon 08:00-12:00' WHERE name = 'q1'",
    "UPDATE queues SET status = 'paused' WHERE name = 'q1'",
    "UPDATE pools SET policy = 'fifo'",
    "UPDATE pools SET policy = 'shortest'",
    "UPDATE pools SET ageing = 0.001",
]


@pytest.fixture
async def waiting_call(runtime_call: Call) -> Call:
    """Return a call on a home with tasks in three queues, of which some have a tag."""
    for name in ("q1", "q2"):
        await queues.queue_create(runtime_call, name=name)
    for number in range(9):
        tags = {"team": "a"} if number % 2 else {}
        queue = ("default", "q1", "q2")[number % 3]
        await submit_task(runtime_call, queue=queue, tags=tags, timeout=60 * (number + 1))
    return runtime_call


async def read(call: Call, cache: RunTimeCache, ahead: int) -> DispatchView:
    view = await call.db.write(dispatch_view.read_view, cache, closed=False, ahead=ahead)
    timeless = [replace(one, windows=None) if one.windows else one for one in view.queues]
    return replace(view, now=None, queues=tuple(timeless))


@pytest.mark.parametrize("is_limited", [False, True])
@pytest.mark.parametrize("change", CHANGES)
async def test_kept_queues_are_equal_to_queues_read_again(
    waiting_call: Call, change: str, is_limited: bool
):
    if is_limited:
        await limits.set_(waiting_call, name="team", running=1)
    cache = RunTimeCache()
    for ahead in (0, 8):
        before = await read(waiting_call, cache, ahead)
        assert await read(waiting_call, cache, ahead) == before

    await execute_sql(waiting_call, change)

    for ahead in (0, 8):
        cache.ageing = RunTimeCache().ageing
        assert await read(waiting_call, cache, ahead) == await read(
            waiting_call, RunTimeCache(), ahead
        )


async def test_an_unchanged_queue_is_the_same_object(waiting_call: Call):
    cache = RunTimeCache()
    before, after = [await read(waiting_call, cache, 0) for _ in range(2)]

    assert all(a is b for a, b in zip(before.queues, after.queues, strict=True))


def test_a_full_cache_still_helps_most_queues():
    cache, made = KeptQueues(), list[int]()
    view: Any = object()
    for _ in range(2):
        made.clear()
        for at in range(MAX_KEPT + 2):
            cache.get(f"q{at}", False, at, lambda at=at: made.append(at) or view)

    assert made == [MAX_KEPT - 1, MAX_KEPT, MAX_KEPT + 1]
    assert len(cache._kept) == MAX_KEPT
