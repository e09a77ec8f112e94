"""Undo of changes of schedules and calendars: nothing is fired twice or silently left out."""

from __future__ import annotations

import pytest

from app.service.context import Call
from app.service.definitions import apply
from app.service.schedules import firing, verbs
from app.service.undo.undo import undo
from db import timestamps
from tests.service.calls import execute_sql

GIVEN = {"argv": ["true"], "timezone": "UTC", "cwd": "/srv", "env": {"PATH": "/bin"}}


async def undo_last(call: Call) -> str:
    """Undo the last operation that is no undo; return what was done or why not."""
    rows = await execute_sql(call, "SELECT max(id) FROM operations WHERE undoes IS NULL")
    found = await undo(call, ids=[rows[0][0]])
    return found["refused"][0]["message"] if found["refused"] else found["done"][0]["back"]


async def test_a_created_schedule_is_removed(call: Call):
    await verbs.create(call, name="s", every="1h", **GIVEN)

    await undo_last(call)

    assert await verbs.ls(call) == []


async def test_a_removed_schedule_comes_back_from_now_on(call: Call):
    created = await verbs.create(call, name="s", every="1h", **GIVEN)
    past = "2026-01-01T00:00:00.000000Z"
    await execute_sql(call, "UPDATE schedules SET next_fire = ?, due_at = ?", past, past)
    await verbs.rm(call, name="s")

    await undo_last(call)
    await firing.fire_due(call.db)

    found = await verbs.show(call, name="s")
    assert (found["cwd"], found["fires"], found["start"]) == ("/srv", [], created["start"])
    assert found["next_fire"] == created["next_fire"]


async def test_a_change_of_times_is_reverted_with_the_next_fire(call: Call):
    created = await verbs.create(call, name="s", every="1h", **GIVEN)
    await verbs.set_(call, name="s", cron="0 0 1 1 *", timeout="5m")

    await undo_last(call)

    found = await verbs.show(call, name="s")
    assert (found["expression"], found["next_fire"]) == ("3600", created["next_fire"])
    assert found["task"] == {"argv": ["true"]}


async def test_a_pause_and_a_resume_are_reverted(call: Call):
    await verbs.create(call, name="s", every="1h", **GIVEN)
    await verbs.pause(call, name="s")
    await undo_last(call)
    assert (await verbs.show(call, name="s"))["next_fire"] > timestamps.now()

    await verbs.pause(call, name="s")
    await verbs.resume(call, name="s")
    await undo_last(call)

    found = await verbs.show(call, name="s")
    assert (found["state"], found["next_fire"]) == ("paused", None)


async def test_a_schedule_changed_since_is_left_alone(call: Call):
    await verbs.create(call, name="s", every="1h", **GIVEN)
    await verbs.set_(call, name="s", timeout="5m")
    rows = await execute_sql(call, "SELECT min(id) FROM operations WHERE verb = 'schedule create'")

    found = await undo(call, ids=[rows[0][0]])

    assert found["done"] == [] and len(await verbs.ls(call)) == 1


async def test_a_removed_schedule_needs_its_template(call: Call):
    await apply.apply(
        call,
        text="""
        [templates.crunch]
        engine = "exec"
        schema = { argv = ["true"] }
        [schedules.s]
        every = "1h"
        template = "crunch"
        """,
    )
    await verbs.rm(call, name="s")
    await execute_sql(call, "DELETE FROM templates")

    assert 'there is no template "crunch"' in await undo_last(call)


async def test_a_calendar_in_use_is_not_removed_by_undo(call: Call):
    await apply.apply(call, text='[calendars.bank]\ndates = ["2030-12-25"]\n')
    rows = await execute_sql(call, "SELECT max(id) FROM operations")
    await verbs.create(call, name="s", every="1h", exclude=["bank"], **GIVEN)

    found = await undo(call, ids=[rows[0][0]])

    assert "1 schedule (s) refers to calendar bank" in found["refused"][0]["message"]


async def test_a_skipped_fire_time_comes_back(call: Call):
    created = await verbs.create(call, name="s", every="1h", **GIVEN)
    await verbs.skip_next(call, name="s")
    await verbs.skip_next(call, name="s")
    rows = await execute_sql(call, "SELECT id FROM operations ORDER BY id DESC LIMIT 2")

    found = await undo(call, ids=[number for (number,) in rows])

    assert (len(found["done"]), found["refused"]) == (2, [])
    shown = await verbs.show(call, name="s")
    assert (shown["next_fire"], shown["fires"]) == (created["next_fire"], [])


async def test_a_removed_schedule_comes_back_with_its_skipped_fire_times(call: Call):
    created = await verbs.create(call, name="s", every="1h", **GIVEN)
    await verbs.skip_next(call, name="s")
    before = await verbs.skip_next(call, name="s")
    await verbs.rm(call, name="s")

    await undo_last(call)

    found = await verbs.show(call, name="s")
    keys = ("fire_time", "outcome", "reason")
    assert [[fire[key] for key in keys] for fire in found["fires"]] == [
        [fire[key] for key in keys] for fire in before["fires"]
    ]
    assert created["next_fire"] < found["next_fire"] == before["next_fire"]


async def test_the_undo_of_one_of_two_skips_leaves_the_other(call: Call):
    created = await verbs.create(call, name="s", every="1h", **GIVEN)
    await verbs.skip_next(call, name="s")
    await verbs.skip_next(call, name="s")

    await undo_last(call)

    shown = await verbs.show(call, name="s")
    assert [fire["fire_time"] for fire in shown["fires"]] == [created["next_fire"]]
    assert shown["next_fire"] > created["next_fire"]


async def test_a_change_and_its_undo_keep_a_skipped_fire_time_out(call: Call):
    created = await verbs.create(call, name="s", cron="0 0 * * *", **GIVEN)
    following = (await verbs.skip_next(call, name="s"))["next_fire"]
    await verbs.set_(call, name="s", cron="0 1 * * *")

    await undo_last(call)

    found = await verbs.show(call, name="s")
    assert created["next_fire"] < found["next_fire"] == following


async def test_a_skip_that_is_over_is_not_undone(call: Call, monkeypatch: pytest.MonkeyPatch):
    await verbs.create(call, name="s", every="1h", **GIVEN)
    await verbs.skip_next(call, name="s")
    monkeypatch.setattr(timestamps, "now", lambda: "2999-01-01T00:00:00.000000Z")

    assert "that schedule s skipped is over. Submit it now" in await undo_last(call)


async def test_a_run_and_a_backfill_are_the_last_operations(call: Call):
    await verbs.create(call, name="s", every="1h", **GIVEN)
    await verbs.run(call, name="s")
    assert "schedule run of schedule s" in await undo_last(call)
    await verbs.backfill(call, name="s", since="2026-01-01", until="2026-01-01")

    assert await undo_last(call) == ("schedule backfill of schedule s: cancel the tasks instead.")
