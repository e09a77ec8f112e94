"""Verbs on schedules: create, change, pause, run, skip, backfill, and what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.errors import Conflict, NotFound, Problem, Refused, Usage
from app.service import registry
from app.service.definitions import templates
from app.service.schedules import verbs
from app.service.tasks.inspection.views import show
from db import timestamps
from db.queries import schedules
from tests.service.calls import execute_sql, list_operations
from tests.service.schedules.conftest import ScheduleDesk


async def test_a_new_schedule_is_shown_in_words(desk: ScheduleDesk):
    found = await desk.create(cron="0 2 * * *", timezone="Europe/Berlin", cwd="/tmp")

    assert (found["words"], found["state"], found["cwd"]) == (
        "at 02:00 every day",
        "active",
        "/tmp",
    )
    assert found["next_fire"] == "2026-12-01T01:00:00.000000Z"
    assert await list_operations(desk.call) == [("schedule create", "schedule s")]
    assert [row["name"] for row in await verbs.ls(desk.call)] == ["s"]


async def test_a_time_on_an_excluded_date_says_so(desk: ScheduleDesk):
    given = {"calendars": {"hol": {"dates": ["2026-12-01"]}}}
    await registry.call_verb(desk.call, "apply", {"tables": given})

    with pytest.raises(Refused, match="its only time, 2026-12-01T10:00.* is excluded by hol"):
        await desk.create(at="2026-12-01 10:00", exclude=["hol"])


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        ({"cron": "* *"}, Usage, "5 fields"),
        ({"at": "2026-11-01 00:00"}, Refused, "never fire: its only time, 2026-11-01.* is over"),
        ({"until": "2026-11-30 06:30"}, Refused, "never fire"),
        ({"template": "crnch"}, NotFound, 'there is no template "crnch"'),
        ({"queue": "gpu"}, NotFound, 'there is no queue "gpu"'),
        ({"exclude": ["bank"]}, NotFound, 'no calendar "bank"'),
        ({"cpu": 10_000}, Problem, "cpu"),
        ({"notify": "ops"}, NotFound, 'no channel "ops"'),
        ({"notify_on": "failed"}, Usage, "--notify-on needs a channel"),
        ({"notify": "ops", "notify_on": "never"}, Usage, "goes without a channel"),
        ({"colour": "red"}, Usage, 'unknown key "colour"'),
        ({"name": ""}, Usage, "name"),
    ],
)
async def test_a_schedule_that_could_not_run_is_refused(
    desk: ScheduleDesk, values: dict[str, Any], kind: type[Problem], words: str
):
    with pytest.raises(kind, match=words) as caught:
        await desk.create(**values)

    assert "Nothing was changed." in str(caught.value) or kind is NotFound
    assert "submitted" not in str(caught.value) and "calendar ls" not in str(caught.value)
    assert await verbs.ls(desk.call) == []


async def test_a_name_is_given_once(desk: ScheduleDesk):
    await desk.create()

    with pytest.raises(Conflict, match="schedule s already.*taskdeck schedule set s"):
        await desk.create()


async def test_an_unknown_name_leads_to_the_nearest(desk: ScheduleDesk):
    await desk.create("nightly")

    with pytest.raises(NotFound, match=r"Nearest: nightly\. List: taskdeck schedule ls"):
        await verbs.show(desk.call, name="nigthly")


async def test_typed_parameters_follow_the_schema_of_the_template(desk: ScheduleDesk):
    await templates.create(
        desk.call,
        name="crunch",
        engine="exec",
        schema={"argv": ["crunch", "{{ n }}"]},
        parameters={"type": "object", "properties": {"n": {"type": "integer"}}},
    )

    found = await desk.create(template="crunch", parameter_texts=[["n", "3"]])

    assert found["task"]["parameters"] == {"n": 3}
    with pytest.raises(Usage, match="n must be"):
        await desk.create("t", template="crunch", parameter_texts=[["n", "x"]])
    changed = await verbs.set_(desk.call, name="s", parameter_texts=[["n", "4"]])
    assert changed["task"]["parameters"] == {"n": 4}


async def test_parameters_without_template_are_refused(desk: ScheduleDesk):
    with pytest.raises(Usage, match="-p requires a template"):
        await desk.create(parameter_texts=[["n", "3"]])


async def test_set_keeps_what_it_does_not_name(desk: ScheduleDesk):
    await desk.create(every="3601s", timeout="90s", overlap="queue", jitter="5s")

    found = await verbs.set_(desk.call, name="s", queue="default")

    assert (found["expression"], found["overlap"], found["jitter"]) == ("3601", "queue", 5)
    assert found["task"] == {"argv": ["true"], "timeout": 90, "queue": "default"}


async def test_set_replaces_the_kind_and_the_work(desk: ScheduleDesk):
    await desk.create(timeout="90s")

    found = await verbs.set_(desk.call, name="s", cron="@daily", script="echo")

    assert (found["kind"], found["task"]) == ("cron", {"script": "echo", "timeout": 90})
    assert found["next_fire"] == "2026-12-01T00:00:00.000000Z"


async def test_an_empty_value_resets_a_key(desk: ScheduleDesk):
    await desk.create(until="2027-01-01", description="d")

    found = await verbs.set_(desk.call, name="s", until="", description="")

    assert (found["until"], found["description"]) == (None, None)


async def test_set_changes_directory_and_variables_of_the_next_tasks(desk: ScheduleDesk):
    await desk.create(cwd="/tmp", env={"A": "1", "PWD": "/tmp"})

    found = await verbs.set_(desk.call, name="s", cwd="/srv", env={"B": "2"})
    task = await show(desk.call, id=(await verbs.run(desk.call, name="s"))["number"])

    assert (found["cwd"], task["cwd"]) == ("/srv", "/srv")
    assert await read_context(desk) == ({"A": "1", "B": "2", "PWD": "/srv"}, None)


async def test_set_changes_a_variable_where_the_definition_has_it(desk: ScheduleDesk):
    await desk.create(env={"A": "1"})
    await execute_sql(
        desk.call, """UPDATE schedules SET task = json_set(task, '$.env', json('{"A": "own"}'))"""
    )

    await verbs.set_(desk.call, name="s", env={"A": "2"})
    assert await read_context(desk) == ({"A": "1"}, {"A": "2"})

    await verbs.set_(desk.call, name="s", kept_env={"A": "new"})
    assert await read_context(desk) == ({"A": "new"}, None)


async def test_a_change_of_variables_can_be_undone(desk: ScheduleDesk):
    await desk.create(env={"A": "1"})
    changed = await registry.call_verb(
        desk.call, "schedule.set", {"name": "s", "cwd": "/srv", "env": {"A": "2"}}
    )

    await registry.call_verb(desk.call, "undo", {"ids": changed["operations"]})

    assert await read_context(desk) == ({"A": "1"}, None)


async def read_context(desk: ScheduleDesk) -> tuple[dict[str, str], dict[str, str] | None]:
    """Return the variables of the shell context and those of the definition."""
    row = await desk.call.db.read(schedules.find, "s")
    assert row is not None
    return row.context["env"], row.task.get("env")


async def test_set_keeps_a_skipped_and_a_delayed_fire_time(desk: ScheduleDesk):
    await desk.create(jitter="59m")
    await desk.create("skipped")
    await verbs.skip_next(desk.call, name="skipped")
    desk.clock.advance(hours=1, seconds=1)

    await verbs.set_(desk.call, name="s", timeout="5m")
    assert await desk.get_next() == "07:00"
    await verbs.set_(desk.call, name="s", jitter="1s")
    await verbs.set_(desk.call, name="skipped", timeout="5m")
    await desk.fire()

    assert await desk.list_fires() == [("07:00", "submitted")]
    assert await desk.get_next("skipped") == "08:00"


async def test_set_keeps_the_fire_time_of_this_very_moment(desk: ScheduleDesk):
    await desk.create()
    desk.clock.advance(hours=1)

    await asyncio.gather(desk.fire(), verbs.set_(desk.call, name="s", timeout="5m"))
    await desk.fire()

    assert await desk.list_fires() == [("07:00", "submitted")]
    found = await verbs.show(desk.call, name="s")
    assert found["task"]["timeout"] == 300


async def test_of_two_changes_at_once_none_is_lost(desk: ScheduleDesk):
    await desk.create()

    said = await asyncio.gather(
        verbs.set_(desk.call, name="s", timeout="5m"),
        verbs.set_(desk.call, name="s", queue="default"),
        return_exceptions=True,
    )

    refused = [one for one in said if isinstance(one, Conflict)]
    task = (await verbs.show(desk.call, name="s"))["task"]
    assert len(task) == 3 - len(refused)


async def test_set_without_options_is_refused(desk: ScheduleDesk):
    await desk.create()

    with pytest.raises(Usage, match="set what"):
        await verbs.set_(desk.call, name="s")


async def test_parameters_that_are_no_table_are_refused(desk: ScheduleDesk):
    await desk.create()

    with pytest.raises(Usage, match="parameters must be"):
        await verbs.set_(desk.call, name="s", parameters=["n"])


async def test_an_ended_schedule_can_be_changed(desk: ScheduleDesk):
    await desk.create(at="2026-11-30 07:00")
    await desk.fire(hours=1)

    await verbs.set_(desk.call, name="s", description="done")
    assert await desk.get_next() is None
    await verbs.set_(desk.call, name="s", at="2026-11-30 09:00")

    assert await desk.get_next() == "09:00"


async def test_set_wakes_no_paused_schedule(desk: ScheduleDesk):
    await desk.create()
    await desk.create("until")
    await verbs.pause(desk.call, name="s")
    await verbs.pause(desk.call, name="until", until="2026-11-30 12:30")

    for name in ("s", "until"):
        await verbs.set_(desk.call, name=name, cron="0 * * * *")

    assert (await desk.get_next(), await desk.get_next("until")) == (None, "13:00")


async def test_pause_and_resume_leave_the_fires_between_out(desk: ScheduleDesk):
    await desk.create(missed="run-all")
    await verbs.pause(desk.call, name="s")
    await desk.fire(hours=5)

    found = await verbs.resume(desk.call, name="s")

    assert found["before"] == {"status": "paused", "paused_until": None} and found["fires"] == []
    assert await desk.get_next() == "12:00"


async def test_a_pause_ends_by_itself(desk: ScheduleDesk):
    await desk.create()
    await verbs.pause(desk.call, name="s", until="2026-11-30 08:00")
    await desk.fire(hours=1)
    assert (await verbs.show(desk.call, name="s"))["state"] == "paused"

    await desk.fire(hours=1)

    found = await verbs.show(desk.call, name="s")
    assert (found["state"], found["status"], found["paused_until"]) == ("active", "active", None)
    assert await desk.list_fires() == [("08:00", "submitted")]


async def test_a_second_pause_tells_the_end_of_the_first(desk: ScheduleDesk):
    await desk.create()
    first = await verbs.pause(desk.call, name="s", until="2026-11-30 08:00")

    second = await verbs.pause(desk.call, name="s")

    assert first["paused_until"] and second["paused_until"] is None
    assert second["before"] == {"status": "paused", "paused_until": first["paused_until"]}


async def test_a_pause_that_ended_already_is_refused(desk: ScheduleDesk):
    await desk.create()

    with pytest.raises(Usage, match="must be in the future"):
        await verbs.pause(desk.call, name="s", until="2026-11-30 05:00")


async def test_resume_keeps_the_next_fire_of_an_active_schedule(desk: ScheduleDesk):
    await desk.create()
    await verbs.skip_next(desk.call, name="s")

    await verbs.resume(desk.call, name="s")

    assert await desk.get_next() == "08:00"


async def test_resume_keeps_a_fire_time_after_the_end_of_a_pause(desk: ScheduleDesk):
    await desk.create("report", cron="*/10 * * * *", jitter="40m")
    await verbs.pause(desk.call, name="report", until="2026-11-30 06:05")
    desk.clock.advance(minutes=12)

    await verbs.resume(desk.call, name="report")

    assert await desk.get_next("report") == "06:10"  # due at 06:29


async def test_run_submits_at_once_and_changes_no_fire_time(desk: ScheduleDesk):
    await desk.create()

    answer = await verbs.run(desk.call, name="s")

    assert answer["number"] == 1 and await desk.get_next() == "07:00"
    (fire,) = (await verbs.show(desk.call, name="s"))["fires"]
    assert (fire["number"], fire["reason"]) == (1, "Run by ann.")


async def test_skip_next_leaves_one_fire_time_out(desk: ScheduleDesk):
    await desk.create()

    answer = await verbs.skip_next(desk.call, name="s")
    await desk.fire(hours=2)

    assert answer["skipped"] == "2026-11-30T07:00:00.000000Z"
    assert await desk.list_fires() == [("07:00", "skipped"), ("08:00", "submitted")]


async def test_nothing_is_skipped_without_a_next_fire(desk: ScheduleDesk):
    await desk.create()
    await verbs.pause(desk.call, name="s")

    with pytest.raises(Refused, match="no next fire time"):
        await verbs.skip_next(desk.call, name="s")


async def test_rm_removes_the_schedule_and_keeps_its_tasks(desk: ScheduleDesk):
    await desk.create()
    await desk.fire(hours=1)

    await verbs.rm(desk.call, name="s")

    assert await verbs.ls(desk.call) == []
    (tasks, fires), = await execute_sql(
        desk.call, "SELECT (SELECT count(*) FROM tasks), (SELECT count(*) FROM fires)"
    )  # fmt: skip
    assert (tasks, fires) == (1, 0)


async def test_several_schedules_are_removed_and_come_back_together(desk: ScheduleDesk):
    for name in ("a", "b", "c"):
        await desk.create(name=name)

    done = await registry.call_verb(desk.call, "schedule.rm", {"names": ["a", "x", "b", "a"]})

    assert [row["name"] for row in done["done"]] == ["a", "b"]
    assert [row["id"] for row in done["refused"]] == ["x"]
    assert [row["name"] for row in await verbs.ls(desk.call)] == ["c"]
    await registry.call_verb(desk.call, "undo", {"ids": done["operations"]})
    assert [row["name"] for row in await verbs.ls(desk.call)] == ["a", "b", "c"]


async def test_backfill_takes_words_for_days(desk: ScheduleDesk):
    await desk.create(cron="0 2 * * *")

    found = await verbs.backfill(
        desk.call, name="s", since="yesterday", until="Today", dry_run=True
    )

    assert found["times"] == ["2026-11-29T02:00:00.000000Z", "2026-11-30T02:00:00.000000Z"]


async def test_backfill_submits_what_was_not_submitted(desk: ScheduleDesk):
    await desk.create(cron="0 * * * *", missed="skip")
    await desk.fire(hours=1)
    await desk.end_tasks()
    await desk.fire(hours=3, minutes=30)

    span: dict[str, Any] = {"since": "2026-11-30 04:00", "until": "2026-11-30 09:00"}
    planned = await verbs.backfill(desk.call, name="s", **span, dry_run=True)
    answer = await verbs.backfill(desk.call, name="s", **span)
    again = await verbs.backfill(desk.call, name="s", **span)

    hours = [at[11:16] for at in answer["times"]]
    assert hours == ["04:00", "05:00", "06:00", "08:00", "09:00"]
    assert (planned["times"], planned["numbers"]) == (answer["times"], [])
    assert answer["numbers"] == [2, 3, 4, 5, 6] and again["times"] == []


async def test_two_backfills_at_once_submit_each_fire_time_once(desk: ScheduleDesk):
    await desk.create()
    span: dict[str, Any] = {"since": "2026-11-30 00:00", "until": "2026-11-30 05:00"}

    answers = await asyncio.gather(*(verbs.backfill(desk.call, name="s", **span) for _ in range(2)))

    ((count,),) = await execute_sql(desk.call, "SELECT count(*) FROM tasks")
    assert sorted(n for answer in answers for n in answer["numbers"]) == [1, 2, 3, 4, 5, 6]
    assert sum(len(answer["times"]) for answer in answers) == count == 6


async def test_a_backfill_that_ends_early_tells_what_it_submitted(
    desk: ScheduleDesk, monkeypatch: pytest.MonkeyPatch
):
    await desk.create()
    monkeypatch.setattr(verbs, "BACKFILL_PART", 2)
    backfill = verbs._backfill

    def rename(c: Any, *args: Any, **more: Any) -> Any:
        """Submit a part, then take the queue away."""
        found = backfill(c, *args, **more)
        c.exec_driver_sql("UPDATE schedules SET task = json_set(task, '$.queue', 'gone')")
        return found

    monkeypatch.setattr(verbs, "_backfill", rename)

    with pytest.raises(Conflict, match="Before that, 2 tasks were submitted.*T01:00") as caught:
        await verbs.backfill(
            desk.call, name="s", since="2026-11-30 00:00", until="2026-11-30 05:00"
        )

    assert "Nothing was" not in str(caught.value) and "repeat the command" in str(caught.value)
    ((count,),) = await execute_sql(desk.call, "SELECT count(*) FROM tasks")
    assert count == 2


async def test_a_backfill_names_the_success_before_its_fire_time(desk: ScheduleDesk):
    await desk.create(cron="0 * * * *")
    await desk.fire(hours=1)
    await desk.end_tasks()

    await verbs.backfill(desk.call, name="s", since="2026-11-30 05:00", until="2026-11-30 05:00")

    (row,) = await execute_sql(desk.call, "SELECT env FROM tasks WHERE number = 2")
    assert "PREVIOUS_SUCCESS" not in row[0]


async def test_a_backfill_of_an_interval_reaches_before_its_start(desk: ScheduleDesk):
    await desk.create(every="2h")

    answer = await verbs.backfill(
        desk.call, name="s", since="2026-11-30 01:00", until="2026-11-30 05:00"
    )

    assert [at[11:16] for at in answer["times"]] == ["02:00", "04:00"]


async def test_a_backfill_can_begin_in_the_second_hour_of_autumn(desk: ScheduleDesk):
    await desk.create(cron="*/30 * * * *", timezone="Europe/Berlin")

    answer = await verbs.backfill(
        desk.call, name="s", since="2026-10-25T01:05+00:00", until="2026-10-25T02:00+00:00"
    )

    assert [at[11:16] for at in answer["times"]] == ["01:30", "02:00"]


@pytest.mark.parametrize(
    ("since", "until", "words"),
    [
        ("2026-11-30 05:00", "2026-11-30 04:00", "before"),
        ("2027-11-30", "2027-12-01", "in the past"),
        ("soon", "2026-11-30", "from must be a time"),
        ("2026-01-01", "2026-11-01", "more than 1,000 fire times"),
    ],
)
async def test_a_wrong_range_is_refused(desk: ScheduleDesk, since: str, until: str, words: str):
    await desk.create(cron="*/5 * * * *")

    with pytest.raises(Problem, match=words):
        await verbs.backfill(desk.call, name="s", since=since, until=until)


async def test_secrets_of_a_schedule_are_masked(desk: ScheduleDesk):
    found = await desk.create(env={"DB_PASSWORD": "hunter2"})
    listed = await verbs.ls(desk.call)

    assert "hunter2" not in f"{found} {listed}"


async def test_the_usual_run_is_the_median_of_successes(desk: ScheduleDesk):
    await desk.create()
    for _ in range(3):
        await desk.fire(hours=1)
        await desk.end_tasks()
    await execute_sql(
        desk.call,
        "UPDATE tasks SET started_at = '2026-11-30T07:00:00.000000Z',"
        " ended_at = printf('2026-11-30T07:00:%02d.000000Z', number * number)",
    )

    assert (await verbs.show(desk.call, name="s"))["run_seconds"] == 4


async def test_times_without_offset_are_wall_times_of_the_zone(desk: ScheduleDesk):
    await desk.create(timezone="Asia/Tokyo")

    found = await verbs.pause(desk.call, name="s", until="2026-12-01 09:00")

    assert timestamps.parse_time(found["paused_until"]).hour == 0


@pytest.mark.parametrize("verb", ["pause", "set", "skip_next"])
async def test_what_is_due_is_submitted_before_a_change(desk: ScheduleDesk, verb: str):
    await desk.create()
    desk.clock.advance(hours=1)

    if verb == "set":
        await verbs.set_(desk.call, name="s", cron="30 * * * *")
    else:
        await getattr(verbs, verb)(desk.call, name="s")

    assert ("07:00", "submitted") in await desk.list_fires()
