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
     ("gpu=2", 0, "apply", "17:00"),
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
     ("r1.to=soon", "to must be a time"), ("r1.from=9h", "would end before it begins"),
     ("r1.resources.gpu=0", "reservation r1 would keep nothing")],
)  # fmt: skip
async def test_a_wrong_reservation_is_refused(
    call: Call, monkeypatch: pytest.MonkeyPatch, setting: str, text: str
):
    await book_gpus(call, monkeypatch)

    with pytest.raises(Problem, match=text):
        await suppose(call, f"reservation.{setting}")


async def test_reservations_change_together_and_ended_ones_go_first(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    await book_gpus(call, monkeypatch)
    await bookings.create(
        call, pool="default", tag="team=b", begin="now", end="5h", resources={"gpu": 1}
    )
    await bookings.create(call, pool="default", tag="team=c", begin="now", end="5h", cpu=0.5)

    settings = ["r1.resources.gpu=1", "r2.resources.gpu=3", "r3.to=now"]
    found = await suppose(call, *(f"reservation.{one}" for one in settings))

    assert [one["verb"] for one in found["steps"]] == ["reserve.rm", "apply"]
    for one in found["steps"]:
        await call_verb(call, one["verb"], one["args"])
    left = {one["name"]: one["resources"] for one in await bookings.ls(call)}
    assert left == {"r1": {"gpu": 1}, "r2": {"gpu": 3}}


async def test_a_later_reservation_ends_at_a_time_of_its_own_day(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    await book_gpus(call, monkeypatch)
    begin, end = "2031-01-31T08:00:00Z", "2031-01-31T18:00:00Z"
    await bookings.create(
        call, name="late", pool="default", tag="team=a", begin=begin, end=end, resources={"gpu": 1}
    )

    (step,) = (await suppose(call, "reservation.late.to=1h"))["steps"]

    assert step["args"]["tables"]["reservations"]["late"]["to"].startswith("2031-01-31T")


async def test_new_tasks_of_a_tag_take_what_is_reserved_for_it(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    await book_gpus(call, monkeypatch)
    line = {"argv": ["a"], "timeout": 60, "resources": {"gpu": 3}, "tags": {"team": "a"}}

    found = await suppose(call, lines=json.dumps(line))

    assert {*get_starts(found, "after").values()} == {0, 5 * 3600}
