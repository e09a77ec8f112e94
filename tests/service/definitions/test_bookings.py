"""Bookings of a pool for a tag: made, refused, listed, undone, and their effect on starts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.core.definitions.document import parse_document
from app.core.maintenance_settings import DAY, MaintenanceSettings, RetentionRule, RetentionSettings
from app.core.text import units
from app.errors import Conflict, NotFound, Problem, Refused, Usage
from app.service.context import Call
from app.service.database import cleanup
from app.service.definitions import apply, bookings, queues
from app.service.scheduling import dispatch_view
from app.service.tasks.inspection import views
from app.service.tasks.submission import submit
from app.service.undo import undo
from db import timestamps
from tests.service.calls import execute_sql, submit_task

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)  # a Friday
GPUS = {"pool": "default", "tag": "team=a", "begin": "2h", "end": "5h", "resources": {"gpu": 3}}


@pytest.fixture(autouse=True)
async def four_gpus(call: Call, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(timestamps, "utcnow", lambda: NOW)
    await queues.pool_set(call, name="default", resources={"gpu": 4}, cpu=8)
    await queues.queue_set(call, name="default", capacity=8)


async def list_starts(call: Call) -> list[int]:
    view, starts = await call.db.read(dispatch_view.plan_starts, dispatch_view.RunTimeCache())
    return [task.number for task in starts]


async def test_a_booking_ends_after_its_begin(call: Call):
    row = await bookings.create(call, **GPUS | {"begin": "mon 09:00", "end": "fri 18:00"})

    begin, end = (timestamps.parse_time(row[key]).astimezone() for key in ("begins_at", "ends_at"))
    assert row["name"] == "r1" and (end - begin).days == 4
    assert (begin.weekday(), begin.hour, end.weekday(), end.hour) == (0, 9, 4, 18)


@pytest.mark.parametrize(
    "given, problem, text",
    [({"begin": "2026-11-27T11:00+00:00"}, Usage, "from is in the past"),
     ({"end": "2026-11-27T11:00+00:00"}, Usage, "to is in the past"),
     ({"end": "2026-11-27T13:00+00:00"}, Usage, "to must be later than from"),
     ({"begin": "soon"}, Usage, "from must be a time"), ({"tag": "team"}, Usage, "KEY=VALUE"),
     ({"pool": "gpus"}, NotFound, 'there is no pool "gpus"'),
     ({"resources": {}}, Usage, "nothing to"),
     ({"resources": {"gpu": 5}}, Refused, "pool default has 4 gpu in all. Nothing was reserved"),
     ({"resources": {"gpu": 2}}, Refused, "4 gpu in all, and 3 are reserved then"),
     ({"name": "r1", "resources": {"gpu": 1}}, Conflict, "there is a reservation r1 already")],
)  # fmt: skip
async def test_a_wrong_booking_is_refused(
    call: Call, given: dict[str, Any], problem: type[Problem], text: str
):
    await bookings.create(call, **GPUS)

    with pytest.raises(problem, match=text):
        await bookings.create(call, **GPUS | given)

    assert len(await bookings.ls(call)) == 1


async def test_an_ended_booking_is_cleaned_up_and_its_name_is_free(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    await bookings.create(call, **GPUS)
    monkeypatch.setattr(timestamps, "utcnow", lambda: NOW.replace(hour=20))
    assert await bookings.ls(call) == []

    row = await bookings.create(call, **GPUS)

    assert row["name"] == "r1"
    assert await execute_sql(call, "SELECT count(*) FROM bookings") == [(1,)]


@pytest.mark.parametrize("keep, days", [(60 * DAY, 61), (None, 31)])
async def test_the_cleanup_removes_a_booking_that_ended_long_ago(
    call: Call, monkeypatch: pytest.MonkeyPatch, keep: float | None, days: int
):
    rules = MaintenanceSettings(retention=RetentionSettings(all=RetentionRule(keep=keep)))
    await bookings.create(call, **GPUS)
    left = list[int]()
    for later in (days - 2, days):
        at = NOW + timedelta(days=later)
        monkeypatch.setattr(timestamps, "utcnow", lambda at=at: at)
        await cleanup.clean(call.db, call.home, rules)
        left += [many for (many,) in await execute_sql(call, "SELECT count(*) FROM bookings")]

    assert left == [1, 0]


async def test_an_unknown_name_names_the_list(call: Call):
    with pytest.raises(NotFound) as found:
        await bookings.rm(call, name="r99")

    assert found.value.hint == "List: taskdeck reserve ls"


async def test_a_second_booking_of_a_tag_tells_that_both_count(
    runtime_call: Call, caller_notes: list[str]
):
    few: dict[str, Any] = {**GPUS, "resources": {"gpu": 1}}
    await bookings.create(runtime_call, **few)
    await bookings.create(runtime_call, **few)
    await bookings.create(runtime_call, **few | {"begin": "8h"})

    unknown = "no recent task has the tag team=a."
    both = "team=a gets this beside r1 of the same time."
    told = [note for note in caller_notes if not note.startswith("other tasks")]
    assert told == [unknown, unknown, both, unknown]


async def test_a_booking_tells_what_it_means_for_other_tasks(
    runtime_call: Call, caller_notes: list[str]
):
    await submit_task(runtime_call, resources={"gpu": 1})
    for more in ({"timeout": "3h"}, {"timeout": "1h"}, {"tags": {"team": "a"}}):
        await submit_task(runtime_call, resources={"gpu": 1}, **more)
    await submit_task(runtime_call)
    begin, end, soon = (
        units.format_clock_time(NOW + timedelta(hours=hours), NOW) for hours in (2, 7, 1)
    )

    whole: dict[str, Any] = {**GPUS, "resources": {"gpu": 4}}
    await bookings.create(runtime_call, **whole)
    part: dict[str, Any] = {**GPUS, "begin": "now", "end": "1h", "cpu": 1}
    await bookings.create(runtime_call, **part)

    unless = f", unless a timeout ends them by {begin}: give them --timeout."
    rest, now = f"share the rest until {soon}.", "tasks that wait now."
    assert [note for note in caller_notes if "other" in note] == [
        f"other tasks that need gpu do not start before {end}{unless} This holds for 2 {now}",
        f"other tasks that need cpu {rest} This holds for 4 {now}",
        f"other tasks that need gpu {rest} This holds for 3 {now}",
    ]


async def test_a_booking_is_removed_and_undone(call: Call):
    await bookings.create(call, **GPUS)
    await bookings.rm(call, name="r1")
    ((last, verb, thing),) = await execute_sql(
        call, "SELECT id, verb, object FROM operations ORDER BY id DESC LIMIT 1"
    )
    assert (verb, thing) == ("reservation rm", "reservation r1")

    await undo.undo(call, ids=[last])

    assert (await bookings.ls(call))[0]["resources"] == {"gpu": 3}
    with pytest.raises(Refused, match="1 queue .*1 reservation"):
        await queues.pool_rm(call, name="default")


async def test_tasks_of_the_tag_start_beside_a_long_line_of_others(call: Call):
    await bookings.create(call, **GPUS)
    other = {"argv": ["true"], "resources": {"gpu": 1}}
    await submit.submit(call, tasks=[other] * 150, env={})
    await submit_task(call, resources={"gpu": 1}, timeout="1h")
    await submit_task(call, resources={"gpu": 2}, tags={"team": "a"})

    assert await list_starts(call) == [1, 151, 152]


async def test_a_short_task_starts_behind_a_long_line_that_a_booking_stops(call: Call):
    now: dict[str, Any] = {**GPUS, "begin": "now", "resources": {"gpu": 2}}
    await bookings.create(call, **now)
    await submit_task(call, resources={"gpu": 1})
    await submit.submit(call, tasks=[{"argv": ["true"], "resources": {"gpu": 2}}] * 150, env={})
    await submit_task(call, resources={"gpu": 1}, timeout="6h")
    await submit_task(call, resources={"gpu": 1}, timeout="5h")

    assert await list_starts(call) == [1, 153]


async def test_why_tells_a_booking_and_what_would_help(runtime_call: Call):
    await bookings.create(runtime_call, **GPUS)
    await submit_task(runtime_call, resources={"gpu": 2})

    (answer,) = await views.explain(runtime_call, ids=[1])

    reason = answer["reasons"][0]
    assert reason["code"] == "booked"
    assert reason["text"].startswith("3 gpu are reserved for team=a from ")
    assert reason["text"].endswith("a timeout below 2h would let it start now")
    assert ["taskdeck", "set", "1", "--timeout", "1h48m"] in [c["command"] for c in answer["cures"]]


FILE = """
[reservations.r1]
pool = "default"
tag = "team=a"
from = 2026-11-30T09:00:00+01:00
to = "2026-12-04T18:00+01:00"
cpu = 2
resources = { gpu = 3 }
"""


def list_changes(found: dict[str, Any]) -> list[str]:
    return [one["change"] for one in found["changes"] if one["kind"] == "reservation"]


async def test_a_file_makes_and_changes_bookings_that_undo_takes_back(call: Call):
    assert list_changes(await apply.apply(call, text=FILE, dry_run=True)) == ["create"]
    assert await bookings.ls(call) == []
    assert list_changes(await apply.apply(call, text=FILE)) == ["create"]
    (row,) = await bookings.ls(call)
    assert (row["begins_at"], row["cpu"]) == ("2026-11-30T08:00:00.000000Z", 2.0)
    assert list_changes(await apply.apply(call, text=FILE)) == ["same"]

    found = await apply.apply(call, text=FILE.replace("gpu = 3", "gpu = 4"))
    assert found["changes"][0]["fields"] == {"resources": ['{"gpu": 3}', '{"gpu": 4}']}
    rows = await execute_sql(
        call, "SELECT id FROM operations WHERE object = 'reservation r1' ORDER BY id DESC"
    )
    for (number,), expected in zip(rows, ([{"gpu": 3}], []), strict=True):
        await undo.undo(call, ids=[number])
        assert [one["resources"] for one in await bookings.ls(call)] == expected


async def test_an_exported_booking_applies_as_before(call: Call):
    await bookings.create(call, **GPUS | {"description": "exams", "memory": "1G"})

    for format in ("toml", "yaml"):
        text = await apply.export(call, format=format)
        assert list_changes(await apply.apply(call, text=text, format=format)) == ["same"]


async def test_an_old_file_leaves_out_what_has_ended(
    runtime_call: Call, caller_notes: list[str], monkeypatch: pytest.MonkeyPatch
):
    await apply.apply(runtime_call, text=FILE)
    monkeypatch.setattr(timestamps, "utcnow", lambda: datetime(2026, 12, 5, tzinfo=UTC))

    assert list_changes(await apply.apply(runtime_call, text=FILE)) == []
    assert caller_notes == ["reservations.r1 has ended and is left out."]
    renewed = FILE.replace("2026-12-04", "2026-12-11")
    assert list_changes(await apply.apply(runtime_call, text=renewed)) == ["create"]


async def test_a_file_ends_a_reservation_that_is_in_force(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    await apply.apply(call, text=FILE)
    monkeypatch.setattr(timestamps, "utcnow", lambda: datetime(2026, 12, 3, tzinfo=UTC))

    earlier = FILE.replace("2026-12-04", "2026-12-02")
    assert list_changes(await apply.apply(call, text=earlier)) == ["update"]
    assert await bookings.ls(call) == []


async def test_an_export_applies_after_its_pool_became_too_small(call: Call):
    await apply.apply(
        call, text=FILE + '[templates.t]\nengine = "exec"\nschema = { argv = ["a"] }\ncpu = 3\n'
    )
    await queues.pool_set(call, name="default", cpu=1)

    text = await apply.export(call)
    assert "update" not in list_changes(await apply.apply(call, text=text))
    with pytest.raises(Refused, match="reservations.r1: pool default has 1 cpu"):
        await apply.apply(call, text=FILE.replace("cpu = 2", "cpu = 2.5"))


@pytest.mark.parametrize(
    "old, new, text",
    [("gpu = 3", "gpu = 5", "reservations.r1: pool default has 4 gpu in all. Nothing was changed"),
     ('"default"', '"gpus"', 'reservations.r1: there is no pool "gpus"'),
     ("2026-11-30T09:00:00+01:00", '"mon 09:00"', "reservations.r1: from must be a time with its"),
     ("2026-12-04", "2026-11-04", "reservations.r1: to must be later than from"),
     ("team=a", "team", "reservations.r1: tag must be KEY=VALUE"), ("to =", "until =", "needs to"),
     ("cpu = 2\nresources = { gpu = 3 }", "", "needs cpu, memory or resources")],
)  # fmt: skip
async def test_a_wrong_booking_of_a_file_is_refused(call: Call, old: str, new: str, text: str):
    with pytest.raises(Problem, match=text):
        await apply.apply(call, text=FILE.replace(old, new))


async def test_bookings_of_a_file_fit_together_and_into_its_pools(call: Call):
    second = FILE.replace("r1", "r2").replace("gpu = 3", "gpu = 2")
    pool = "[pools.default]\ntotal_cpu = 8\ntotal_memory = 1000\nresources = { gpu = 5 }\n"

    with pytest.raises(Refused, match="4 gpu in all, and 2 are reserved then"):
        await apply.apply(call, text=FILE + second)
    await apply.apply(call, text=FILE + second + pool)

    assert len(await bookings.ls(call)) == 2
    assert len(parse_document(await apply.export(call))["reservations"]) == 2
