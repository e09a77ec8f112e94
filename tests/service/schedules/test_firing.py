"""Firing: each fire time once, overlap, missed ones, refusals, the environment of tasks."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from app.core.schema import parameters
from app.errors import Storage
from app.service import operations
from app.service.definitions import templates
from app.service.schedules import firing, verbs
from app.service.schedules.rules import build_rules
from app.service.tasks.changes import actions
from app.service.tasks.inspection import views
from app.service.tasks.submission import number_file
from db import host, timestamps
from db.queries import schedules
from db.rows import ScheduleRow
from tests.service.calls import execute_sql
from tests.service.schedules.conftest import START, ScheduleDesk


async def read_environment(desk: ScheduleDesk, number: int) -> dict[str, str]:
    """Return the variables that a task adds to its environment."""
    rows = await execute_sql(desk.call, "SELECT env FROM tasks WHERE number = ?", number)
    return json.loads(rows[0][0])


async def read_row(desk: ScheduleDesk, name: str = "s") -> ScheduleRow:
    return await desk.call.db.read(verbs.require_schedule, name)


async def count_tasks(desk: ScheduleDesk) -> int:
    return (await execute_sql(desk.call, "SELECT count(*) FROM tasks"))[0][0]


async def test_a_fire_time_submits_one_task(desk: ScheduleDesk):
    await desk.create()
    await desk.fire(minutes=59)
    assert await count_tasks(desk) == 0

    await desk.fire(minutes=1)
    await desk.fire()

    (task,) = (await views.ls(desk.call))["tasks"]
    assert (task["name"], task["status"], task["submitted_by"]) == ("s", "queued", "schedule s")
    assert await desk.list_fires() == [("07:00", "submitted")]
    assert await desk.get_next() == "08:00"


async def test_a_restore_gives_no_number_of_a_scheduled_task_again(desk: ScheduleDesk):
    await desk.create()
    await desk.fire(minutes=60)
    assert number_file.read_numbers(desk.call.home).highest == 1

    assert (await verbs.run(desk.call, name="s"))["number"] == 2
    assert number_file.read_numbers(desk.call.home).highest == 2


async def test_task_and_next_fire_time_are_stored_together(
    desk: ScheduleDesk, monkeypatch: pytest.MonkeyPatch
):
    await desk.create()

    def fail(*_: object) -> None:
        raise Storage("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(firing, "submit_fires", fail)
        with pytest.raises(Storage):
            await desk.fire(hours=1)
    assert (await count_tasks(desk), await desk.get_next()) == (0, "07:00")

    await desk.fire()

    assert await desk.list_fires() == [("07:00", "submitted")]


async def test_a_plan_of_an_older_schedule_submits_nothing(desk: ScheduleDesk):
    await desk.create()
    old = await read_row(desk)
    due = firing._plan(old, build_rules(old, {}), desk.clock.now + timedelta(hours=1))
    await verbs.set_(desk.call, name="s", timeout="5m")

    desk.clock.advance(hours=1)
    await desk.call.db.write(firing._handle_all, [due])
    assert await count_tasks(desk) == 0
    await desk.fire()

    assert await desk.list_fires() == [("07:00", "submitted")]


async def test_the_same_plan_stored_twice_submits_once(desk: ScheduleDesk):
    await desk.create()
    row = await read_row(desk)
    desk.clock.advance(hours=1)
    due = firing._plan(row, build_rules(row, {}), desk.clock.now)

    for _ in range(2):
        await desk.call.db.write(firing._handle_all, [due])

    assert await count_tasks(desk) == 1


async def test_a_clock_set_back_repeats_no_fire_time(desk: ScheduleDesk):
    await desk.create(cron="0 * * * *")
    await desk.fire(hours=1)
    await desk.end_tasks()
    desk.clock.now -= timedelta(hours=1)
    await verbs.set_(desk.call, name="s", cron="0 */1 * * *")
    assert await desk.get_next() == "07:00"

    await desk.fire(hours=1)

    assert (await count_tasks(desk), await desk.get_next()) == (1, "08:00")


async def test_a_clock_years_behind_repeats_nothing_whose_record_is_gone(desk: ScheduleDesk):
    await desk.create("once", at="2026-11-30 06:30")
    await desk.create("daily", cron="0 7 * * *", missed="run-all", overlap="queue")
    for _ in range(5):
        await desk.fire(days=1)
        await desk.end_tasks()
    await execute_sql(desk.call, "DELETE FROM fires WHERE fire_time < '2026-12-03'")
    right, known = desk.clock.now, await count_tasks(desk)

    desk.clock.now = START.replace(year=2025)
    await firing.recompute_after_set_back(desk.call.db)
    desk.clock.now = right
    await desk.fire()

    assert await count_tasks(desk) == known
    await desk.fire(days=1)
    assert await count_tasks(desk) == known + 1


@pytest.mark.parametrize("jitter", ["0", "1h"])
async def test_a_schedule_fires_after_a_clock_that_was_years_ahead(desk: ScheduleDesk, jitter: str):
    await desk.create(cron="0 7 * * *", jitter=jitter)
    right = desk.clock.now
    await desk.fire(days=3650)
    await desk.end_tasks()
    known = await count_tasks(desk)

    desk.clock.now = right
    await firing.recompute_after_set_back(desk.call.db)
    desk.clock.now = timestamps.parse_time((await read_row(desk)).due_at or "")
    await desk.fire()

    assert await count_tasks(desk) == known + 1


async def test_overlap_skip_leaves_a_fire_time_out(desk: ScheduleDesk):
    await desk.create()
    await desk.fire(hours=1)

    await desk.fire(hours=1)
    assert await desk.list_fires() == [("07:00", "submitted"), ("08:00", "skipped")]
    (skipped, _) = (await verbs.show(desk.call, name="s"))["fires"]
    assert skipped["reason"] == "#1 had not ended."

    await desk.end_tasks()
    await desk.fire(hours=1)
    assert (await desk.list_fires())[-1] == ("09:00", "submitted")


async def test_overlap_queue_waits_for_the_end_of_the_last_task(desk: ScheduleDesk):
    await desk.create(overlap="queue")
    for _ in range(3):
        await desk.fire(hours=1)

    tasks = [await views.show(desk.call, id=str(number)) for number in (1, 2, 3)]
    assert [task["status"] for task in tasks] == ["queued", "blocked", "blocked"]
    assert [edge["number"] for edge in tasks[2]["parents"]] == [2]

    await desk.end_tasks(code=1)
    assert (await views.show(desk.call, id="2"))["status"] == "queued"


async def test_run_all_submits_missed_fires_one_after_the_other(desk: ScheduleDesk):
    await desk.create(missed="run-all")

    await desk.fire(hours=3)

    assert [outcome for _, outcome in await desk.list_fires()] == ["submitted"] * 3
    statuses = [(await views.show(desk.call, id=str(n)))["status"] for n in (1, 2, 3)]
    assert statuses == ["queued", "blocked", "blocked"]


async def test_missed_fires_are_recorded(desk: ScheduleDesk):
    await desk.create(missed="skip")

    await desk.fire(hours=2, minutes=30)

    assert await desk.list_fires() == [("07:00", "missed"), ("08:00", "missed")]
    assert (await count_tasks(desk), await desk.get_next()) == (0, "09:00")


async def test_a_year_of_missed_seconds_is_handled_at_once(desk: ScheduleDesk):
    await desk.create(every="1s")

    await desk.fire(days=365)

    assert await count_tasks(desk) == 1
    (rows,) = await execute_sql(desk.call, "SELECT count(*) FROM fires")
    assert rows[0] == 100


async def test_a_pass_is_one_read_and_wakes_all_but_its_caller(
    desk: ScheduleDesk, monkeypatch: pytest.MonkeyPatch
):
    await desk.create()
    db, woken, reads = desk.call.db, list[str](), list[Any]()
    own, dispatch = partial(woken.append, "own"), partial(woken.append, "dispatch")
    for wake in (own, dispatch, partial(woken.append, "other")):
        db.after_commit(wake)
    read = db.read
    monkeypatch.setattr(db, "read", lambda *args: reads.append(args) or read(*args))
    desk.clock.advance(hours=1)

    assert await firing.fire_due(db, own, dispatch) == "2026-11-30T08:00:00.000000Z"
    assert (woken, len(reads)) == (["other", "dispatch"], 1)

    desk.clock.advance(hours=1)  # skipped, since the first task has not ended
    await firing.fire_due(db, own, dispatch)
    assert woken[2:] == ["other"]


async def test_many_missed_fire_times_take_several_transactions(
    desk: ScheduleDesk, monkeypatch: pytest.MonkeyPatch
):
    for n in range(20):
        await desk.create(f"s{n}", every="1s", missed="skip")
    sizes, handle_all = list[int](), firing._handle_all

    def count(c: Any, due: Any, *args: Any) -> Any:
        sizes.append(sum(len(one.plan.missed) for one in due))
        return handle_all(c, due, *args)

    monkeypatch.setattr(firing, "_handle_all", count)
    await desk.fire(hours=1)

    assert sum(sizes) == 20 * 99 and max(sizes) < 1000


async def test_a_fire_is_refused_once_its_template_is_gone(desk: ScheduleDesk):
    await templates.create(desk.call, name="crunch", engine="exec", schema={"argv": ["true"]})
    await desk.create(template="crunch")
    await execute_sql(desk.call, "DELETE FROM templates")

    await desk.fire(hours=1)

    (fire,) = (await verbs.show(desk.call, name="s"))["fires"]
    assert (fire["outcome"], fire["task_id"]) == ("refused", None)
    assert fire["reason"] == 'there is no template "crunch".'
    assert await desk.get_next() == "08:00"


async def test_a_refusal_stays_known_until_a_task_is_submitted(desk: ScheduleDesk):
    await templates.create(desk.call, name="crunch", engine="exec", schema={"argv": ["true"]})
    await desk.create(template="crunch")
    await templates.retire(desk.call, name="crunch")
    await desk.fire(hours=1)
    refused = await desk.call.db.read(schedules.map_refusals)
    assert refused.keys() == {"s"} and 'there is no template "crunch"' in refused["s"]

    await templates.retire(desk.call, name="crunch", back=True)
    await desk.fire(hours=1)

    assert await desk.call.db.read(schedules.map_refusals) == {}
    assert [outcome for _, outcome in await desk.list_fires()] == ["refused", "submitted"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("expression", "x y z"),
        ("expression", "0 0 30 2 *"),
        ("zone", "Mars/Base"),
        ("task", '{"argv": []}'),
        ("task", '{"argv": ["true"], "colour": 1}'),
        ("context", '{"umask": 18}'),
        ("exclude", "7"),
        ("next_fire", "2026"),
    ],
)
async def test_a_damaged_schedule_is_paused_and_the_others_fire(
    desk: ScheduleDesk, column: str, value: str
):
    await desk.create("damaged", cron="0 * * * *")
    await desk.create()
    await execute_sql(desk.call, f"UPDATE schedules SET {column} = ? WHERE name = 'damaged'", value)

    await desk.fire(hours=1)

    assert await desk.list_fires() == [("07:00", "submitted")]
    damaged = next(row for row in await verbs.ls(desk.call) if row["name"] == "damaged")
    assert (damaged["state"], damaged["status_by"]) == ("paused", "taskdeck")
    assert "cannot be read" in damaged["refusal"]
    (operation,) = await operations.ls(desk.call, verb="set aside")
    assert operation["object"] == "schedule damaged"


async def test_a_full_page_of_schedules_is_handled(desk: ScheduleDesk):
    for n in range(firing.PAGE + 5):
        await desk.create(f"s{n}")

    await desk.fire(hours=1)

    assert await count_tasks(desk) == firing.PAGE + 5


async def test_the_environment_names_fire_time_and_previous_success(desk: ScheduleDesk):
    await desk.create(timezone="Asia/Tokyo", cron="0 * * * *", env={"PATH": "/bin"})
    await desk.fire(hours=1)
    await desk.end_tasks()
    await desk.fire(hours=1)
    await desk.end_tasks(code=1)
    await desk.fire(hours=1)

    assert await read_environment(desk, 1) == {firing.FIRE_TIME: "2026-11-30T16:00:00+09:00"}
    third = await read_environment(desk, 3)
    assert third == {
        firing.FIRE_TIME: "2026-11-30T18:00:00+09:00",
        firing.PREVIOUS_SUCCESS: "2026-11-30T16:00:00+09:00",
    }


async def test_the_previous_success_outlives_its_task(desk: ScheduleDesk):
    await desk.create()
    await desk.fire(hours=1)
    await desk.end_tasks()
    await desk.fire(hours=1)
    await desk.end_tasks(code=1)
    await execute_sql(desk.call, "UPDATE fires SET task_id = NULL")

    await desk.fire(hours=1)

    environment = await read_environment(desk, 3)
    assert environment[firing.PREVIOUS_SUCCESS] == "2026-11-30T07:00:00+00:00"


async def test_jitter_delays_the_task_but_not_its_fire_time(desk: ScheduleDesk):
    await desk.create(jitter="30m")
    due = timestamps.parse_time((await read_row(desk)).due_at or "")
    await desk.fire(hours=1)
    assert await count_tasks(desk) == 0

    desk.clock.now = due
    await desk.fire()

    assert await desk.list_fires() == [("07:00", "submitted")]


async def test_a_schedule_ends_after_its_last_fire_time(desk: ScheduleDesk):
    await desk.create(at="2026-11-30 07:00")

    await desk.fire(hours=1)

    found = await verbs.show(desk.call, name="s")
    assert (found["state"], found["next_fire"], len(found["fires"])) == ("ended", None, 1)


async def test_a_boot_fires_once_each(desk: ScheduleDesk):
    await desk.create(at_boot=True)
    await firing.fire_at_boot(desk.call.db, host.read_boot_id())
    assert await count_tasks(desk) == 0

    for boot in ("second", "second", "third"):
        await firing.fire_at_boot(desk.call.db, boot)
        await desk.end_tasks()

    assert await count_tasks(desk) == 2
    assert await desk.list_fires() == [("06:00", "submitted")] * 2  # both in the same second


async def test_a_paused_schedule_does_not_fire_at_boot(desk: ScheduleDesk):
    await desk.create(at_boot=True)
    await verbs.pause(desk.call, name="s")
    await firing.fire_at_boot(desk.call.db, "second")
    await verbs.resume(desk.call, name="s")

    await firing.fire_at_boot(desk.call.db, "second")

    assert await count_tasks(desk) == 0


async def test_a_requested_next_fire_time_counts_from_now(desk: ScheduleDesk):
    await desk.create()
    await desk.create("paused")
    await verbs.pause(desk.call, name="paused")
    desk.clock.advance(hours=5)

    await desk.call.db.write(schedules.request_next)
    await desk.fire()

    assert (await count_tasks(desk), await desk.get_next()) == (0, "12:00")
    assert await desk.get_next("paused") is None


async def test_the_next_due_time_is_returned(desk: ScheduleDesk):
    await desk.create()

    assert await firing.fire_due(desk.call.db) == "2026-11-30T07:00:00.000000Z"


async def test_a_cancelled_task_does_not_hold_up_the_next_fire(desk: ScheduleDesk):
    await desk.create()
    await desk.fire(hours=1)
    await actions.cancel(desk.call, ids=[1])

    await desk.fire(hours=1)

    assert [outcome for _, outcome in await desk.list_fires()] == ["submitted"] * 2


async def test_no_parameters_are_checked_by_the_transaction_that_submits(
    desk: ScheduleDesk, monkeypatch: pytest.MonkeyPatch
):
    threads: list[str] = []
    check = parameters.resolve_values

    def check_noted(*args: Any) -> Any:
        threads.append(threading.current_thread().name)
        return check(*args)

    await templates.create(desk.call, name="t", engine="exec", schema={"argv": ["true"]})
    await desk.create(template="t", overlap="queue")
    await desk.create("booted", template="t", at_boot=True)
    monkeypatch.setattr(parameters, "resolve_values", check_noted)

    await desk.fire(hours=1)
    await verbs.run(desk.call, name="s")
    await firing.fire_at_boot(desk.call.db, "another boot")
    start, end = "2026-11-30T03:00:00Z", "2026-11-30T05:00:00Z"
    found = await verbs.backfill(desk.call, name="s", since=start, until=end)

    assert len(found["numbers"]) == 3 and len(threads) == 4
    assert {name.rpartition("_")[0] for name in threads} == {"taskdeck-resolve"}


async def test_a_template_changed_during_a_pass_is_read_again(
    desk: ScheduleDesk, monkeypatch: pytest.MonkeyPatch
):
    schema = {"argv": ["echo", "old"]}
    await templates.create(desk.call, name="t", engine="exec", schema=schema)
    await desk.create(template="t")
    resolve, passes = firing.resolve, 0

    async def resolve_late(*args: Any) -> Any:
        nonlocal passes
        passes += 1
        found = await resolve(*args)
        if passes == 1:
            await templates.set_(desk.call, name="t", schema={"argv": ["echo", "new"]})
        return found

    monkeypatch.setattr(firing, "resolve", resolve_late)
    await desk.fire(hours=1)

    assert passes == 2
    assert (await views.show(desk.call, id=1))["launch"]["argv"] == ["echo", "new"]


async def test_a_clock_that_was_far_ahead_stops_no_schedule(desk: ScheduleDesk):
    await desk.create()
    desk.clock.advance(days=400)
    await desk.fire()
    await desk.end_tasks()
    desk.clock.advance(days=-400)

    await firing.recompute_after_set_back(desk.call.db)

    assert await desk.get_next() == "07:00"
    await desk.fire(hours=2)
    assert await desk.get_next() == "09:00"


async def test_a_clock_set_back_loses_nothing_that_is_due(desk: ScheduleDesk):
    await desk.create()
    desk.clock.advance(hours=2, minutes=30)
    desk.clock.advance(hours=-1)

    await firing.recompute_after_set_back(desk.call.db)

    assert await desk.list_fires() == [("07:00", "submitted")]
    assert await desk.get_next() == "08:00"


async def test_a_clock_set_back_keeps_a_fire_time_that_jitter_delays(desk: ScheduleDesk):
    await desk.create("report", cron="*/10 * * * *", jitter="40m")
    await desk.fire(minutes=31)  # 06:10 is due
    desk.clock.advance(seconds=-30)

    await firing.recompute_after_set_back(desk.call.db)

    assert await desk.get_next("report") == "06:20"


async def test_what_may_have_run_before_the_clock_was_set_back_is_told(desk: ScheduleDesk):
    await desk.create(cron="0 8 * * *")
    await desk.fire(hours=2)
    await desk.end_tasks()
    desk.clock.advance(hours=-2)
    await verbs.set_(desk.call, name="s", cron="30 6,7 * * *")

    await desk.fire(hours=1, minutes=45)

    fires = (await verbs.show(desk.call, name="s"))["fires"]
    assert [one["outcome"] for one in fires] == ["submitted", "skipped", "skipped"]
    assert fires[1]["reason"] == "It may have run before the clock was set back."


async def test_an_interval_over_a_clock_that_jumps_forward(desk: ScheduleDesk):
    await desk.create(every="10m")
    for _ in range(2):
        await desk.fire(minutes=10)
        await desk.end_tasks()

    await desk.fire(hours=1)  # the clock: no time has passed

    assert (await desk.list_fires())[2:] == [
        ("06:30", "missed"), ("06:40", "missed"), ("06:50", "missed"), ("07:00", "missed"),
        ("07:10", "missed"), ("07:20", "submitted"),
    ]  # fmt: skip
    assert (await count_tasks(desk), await desk.get_next()) == (3, "07:30")


async def test_an_interval_over_a_clock_that_jumps_back(desk: ScheduleDesk):
    await desk.create(every="10m")
    for _ in range(7):
        await desk.fire(minutes=10)
        await desk.end_tasks()
    known = await count_tasks(desk)

    desk.clock.advance(hours=-1)
    await firing.recompute_after_set_back(desk.call.db)
    assert await desk.get_next() == "07:20"  # those before were handled
    for _ in range(6):
        await desk.fire(minutes=10)

    assert (await count_tasks(desk), await desk.get_next()) == (known, "07:20")
    await desk.fire(minutes=10)
    assert (await count_tasks(desk), await desk.get_next()) == (known + 1, "07:30")
