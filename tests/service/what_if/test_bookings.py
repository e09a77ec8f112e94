"""Supposed reservations: their effect on starts, their steps, and refusals."""

from __future__ import annotations

import json

import pytest

from app.errors import Problem
from app.service.context import Call
from app.service.definitions import bookings, queues
from app.service.registry import call_verb
from db import timestamps
from tests.service.calls import submit_task
from tests.service.what_if.test_forecast import NOW, get_starts, suppose


async def book_gpus(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reserve 3 of 4 GPUs for five hours, and submit a task that needs 2."""
    monkeypatch.setattr(timestamps, "utcnow", lambda: NOW)
    await queues.pool_set(call, name="default", resources={"gpu": 4})
    await bookings.create(
        call, pool="default", tag="team=a", begin="now", end="5h", resources={"gpu": 3}
    )
    await submit_task(call, timeout=60, resources={"gpu": 2})


@pytest.mark.parametrize(
    "setting, start, verb, end",
    [("to=1h", 3600, "apply", "13:00"), ("resources.gpu=2", 0, "apply", "17:00"),
     ("from=1h", 0, "apply", "17:00"), ("to=now", 0, "reserve.rm", "")],
)  # fmt: skip
async def test_a_changed_reservation_lets_others_start(
    call: Call, monkeypatch: pytest.MonkeyPatch, setting: str, start: int, verb: str, end: str
):
    await book_gpus(call, monkeypatch)

    found = await suppose(call, f"reservation.r1.{setting}")

    assert get_starts(found, "before") == {1: 5 * 3600} and get_starts(found, "after") == {1: start}
    (step,) = found["steps"]
    assert step["verb"] == verb
    await call_verb(call, step["verb"], step["args"])
    assert [one["ends_at"][11:16] for one in await bookings.ls(call)] == ([end] if end else [])


@pytest.mark.parametrize(
    "setting, text",
    [("r1.resources.gpu=5", "reservation r1: pool default has 4 gpu"),
     ("r2.to=1h", 'no reservation "r2"'),
     ("r1.to=soon", "to must be a time"), ("r1.from=9h", "would end before it begins")],
)  # fmt: skip
async def test_a_wrong_reservation_is_refused(
    call: Call, monkeypatch: pytest.MonkeyPatch, setting: str, text: str
):
    await book_gpus(call, monkeypatch)

    with pytest.raises(Problem, match=text):
        await suppose(call, f"reservation.{setting}")


async def test_new_tasks_of_a_tag_take_what_is_reserved_for_it(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    await book_gpus(call, monkeypatch)
    line = {"argv": ["a"], "timeout": 60, "resources": {"gpu": 3}, "tags": {"team": "a"}}

    found = await suppose(call, lines=json.dumps(line))

    assert {*get_starts(found, "after").values()} == {0, 5 * 3600}
