"""The engine: crashes, downtime, acknowledgements, inhibition, groups, and what it writes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import cast

import pytest

from app.errors import Conflict, NotFound, Refused, Usage
from app.service import alerts
from app.service.context import RuntimeHandle
from app.service.definitions import apply, queues, slas
from app.service.rules import checkins
from app.service.schedules import verbs as schedules
from app.service.tasks.changes import actions
from db.queries.scheduling import run_history
from tests.service.calls import execute_sql
from tests.service.rules.virtual_home import VirtualHome, make_conditions

pytestmark = pytest.mark.database
HOUR, DAY = 3600.0, 86400.0
DEPTH = {"metric": "queue.depth", "op": ">", "value": 0}
FAILED = {"metric": "instance.exit_code", "op": "!=", "value": 0}


async def test_a_pass_that_changes_nothing_writes_nothing(home: VirtualHome):
    await home.add_rule(make_conditions("queue", DEPTH, **{"for": "10s"}))
    await home.submit()
    await home.advance(30)
    before = home.call.db.changes
    await home.advance(60)
    assert home.call.db.changes == before
    assert home.take_log() == [(10, "fire")]


async def test_pending_time_survives_a_crash(home: VirtualHome):
    await home.add_rule(make_conditions("queue", DEPTH, **{"for": "1m"}))
    await home.submit()
    await home.advance(40)
    home.restart()
    await home.advance(30)
    assert home.take_log() == [(60, "fire")]
    home.restart()
    await home.advance(30)
    assert home.take_log() == []
    assert len(await home.list_alerts()) == 1


async def test_an_alert_that_fires_after_downtime_says_so(home: VirtualHome):
    await home.add_rule(make_conditions("queue", DEPTH, **{"for": "1m"}))
    await home.submit()
    await home.advance(10)
    home.restart()
    await home.skip(HOUR)
    await home.advance(10)
    (alert,) = await home.list_alerts()
    assert alert["text"] == "queued tasks 1 (limit 0) for 1m, while down"
    assert [action for _, action in home.take_log()] == ["fire"]


async def test_a_repeated_pass_after_a_crash_keeps_one_live_alert(home: VirtualHome):
    await home.add_rule(make_conditions("queue", DEPTH))
    await home.submit()
    outcome = await home.call.db.read(home.engine.decide, home.now)
    from app.service.rules.evaluation.rule_changes import apply_changes

    for _ in range(2):
        await home.call.db.write(apply_changes, outcome.changes, home.now)
    assert len(await home.list_alerts()) == 1


async def test_an_acknowledgement_ends_when_the_alert_gets_worse(home: VirtualHome):
    await home.add_rule(make_conditions("queue", DEPTH, escalate={"after": "1h"}))
    task = await home.submit()
    await home.advance(10)
    (alert,) = await home.list_alerts()
    await alerts.ack(home.call, ids=[alert["id"]], note="I look at it")
    (alert,) = await home.list_alerts()
    assert (alert["status"], alert["note"]) == ("acknowledged", "I look at it")
    await home.advance(HOUR)
    (alert,) = await home.list_alerts()
    assert (alert["status"], alert["severity"], alert["note"]) == ("firing", "critical", None)
    await home.start_run(task)
    await home.advance(5)
    assert [action for _, action in home.take_log()] == ["fire", "escalate", "resolve"]
    assert (await home.list_alerts())[0]["status"] == "resolved"


async def test_a_rule_is_quiet_while_another_one_fires(home: VirtualHome):
    full = {"metric": "host.memory_ratio", "op": ">", "value": 0.9}
    await home.add_rule(make_conditions("host", full), "memory")
    await home.add_rule(make_conditions("queue", DEPTH, inhibited_by="memory"), "long")
    home.probes.host["memory_ratio"] = 0.95
    task = await home.submit()
    await home.advance(30)
    assert [alert["sla"] for alert in await home.list_alerts()] == ["memory"]
    home.probes.host["memory_ratio"] = 0.5
    await home.advance(10)
    found = {alert["sla"]: alert["status"] for alert in await home.list_alerts()}
    assert found == {"memory": "resolved", "long": "firing"}
    await home.start_run(task)
    await home.advance(5)


async def test_a_failure_stays_until_the_next_success_of_the_name(home: VirtualHome):
    await home.add_rule(make_conditions("instance", FAILED))
    await home.run_task("sync", 3)
    await home.advance(HOUR)
    (alert,) = await home.list_alerts()
    assert (alert["status"], alert["text"]) == ("firing", "exit code 3 (not 0)")
    home.restart()
    await home.run_task("other", 0)
    await home.advance(10)
    assert home.take_log() == [(0, "fire")]
    await home.run_task("sync", 0)
    await home.advance(10)
    assert [action for _, action in home.take_log()] == ["resolve"]


async def test_an_alert_about_deleted_tasks_ends_at_the_next_pass(home: VirtualHome):
    twice = {"metric": "task.consecutive_failures", "op": ">=", "value": 2}
    await home.add_rule(make_conditions("task", twice))
    for _ in range(2):
        await home.run_task("sync", 3)
    await home.advance(10)
    await actions.rm(home.call, ids=["1"])
    await home.advance(10)

    assert [action for _, action in home.take_log()] == ["fire", "resolve"]


@pytest.mark.parametrize("is_check_in", [False, True])
async def test_a_resolved_alert_tells_of_the_success(home: VirtualHome, is_check_in: bool):
    old = {"metric": "task.seconds_since_success", "op": ">", "value": "1h"}
    await home.add_rule(make_conditions("task", old, match={"task": "sync"}))
    await home.advance(HOUR + 10)
    if is_check_in:
        await checkins.check_in(home.call, name="sync")
    else:
        await home.run_task("sync")
    await home.advance(10)

    (alert,) = await home.list_alerts()
    word = "checked in" if is_check_in else "succeeded"
    assert alert["text"].startswith("no success for 1h (limit 1h): nothing was submitted; ")
    assert alert["text"].endswith(f"; {word} Mon 30 Nov 01:00:10")


async def test_removing_a_schedule_tells_which_rules_and_alerts_are_left(home: VirtualHome):
    twice = {"metric": "task.consecutive_failures", "op": ">=", "value": 2}
    late = {"metric": "schedule.seconds_since_success", "op": ">", "value": "1m"}
    await home.add_rule(make_conditions("task", twice), "row")
    await home.add_rule(make_conditions("schedule", late, match={"schedule": "s*"}), "late")
    await slas.create(home.call, name="dl", preset="succeeds-by", value="06:00", task="sync")
    await schedules.create(home.call, name="sync", every="1h", timezone="UTC", argv=["true"])
    for _ in range(2):
        await home.run_task("sync", 3)
    await home.advance(10)
    (alert,) = [one for one in await home.list_alerts() if one["sla"] == "row"]
    notes: list[str] = []

    await schedules.rm(replace(home.call, note=notes.append), name="sync")

    rest = "still names this schedule. To remove the rule: taskdeck sla rm"
    assert notes == [
        f"rule dl {rest} dl",
        f"rule late {rest} late",
        f"alert {alert['id']} row is about its tasks, which stay; to remove them:"
        " taskdeck rm --name sync",
    ]


async def test_a_failure_without_success_expires_after_a_day(home: VirtualHome):
    await home.add_rule(make_conditions("instance", FAILED))
    await home.run_task("sync", 1)
    await home.advance(10)
    await home.skip(DAY)
    await home.advance(10)
    assert (await home.list_alerts())[0]["status"] == "expired"


async def test_one_alert_for_each_group(home: VirtualHome):
    when = {"metric": "instance.queued_seconds", "op": ">", "value": "1m"}
    await home.add_rule(make_conditions("instance", when, for_each="task"))
    for name in ("a", "a", "a", "b"):
        await home.submit(name)
    await home.advance(70)
    found = {alert["object"]: alert["text"] for alert in await home.list_alerts()}
    assert found.keys() == {"a", "b"} and found["a"].startswith("3 of them, first #1 a: queued")


async def test_a_rule_of_a_pool_covers_the_queues_of_the_pool(home: VirtualHome):
    await queues.pool_create(home.call, name="gpu", cpu=1, memory=1024)
    await queues.queue_create(home.call, name="train", pool="gpu", capacity=1)
    await home.add_rule(make_conditions("queue", DEPTH))
    await queues.pool_set(home.call, name="gpu", sla="rule")
    await home.submit("a")
    await home.submit("b", queue="train")
    await home.advance(10)
    assert [alert["object"] for alert in await home.list_alerts()] == ["queue train"]


async def test_a_rule_watches_what_is_reserved_of_a_named_resource(home: VirtualHome):
    await apply.apply(home.call, text='[resources."license.matlab"]\ntotal = 2\n')
    await queues.pool_set(home.call, name="default", resources={"gpu": 4})
    for metric in ("gpu", "license.matlab", "tape"):
        when = {"metric": f"pool.{metric}_ratio", "op": ">", "value": 0.6}
        await home.add_rule(make_conditions("pool", when), name=metric)
    run = await home.start_run(await home.submit(resources={"gpu": 3, "license.matlab": 2}))
    await home.run_pass()
    firing = [alert["text"] for alert in await home.list_alerts()]
    assert sorted(firing) == [
        "gpu reserved 75% (limit 60%)",
        "license.matlab reserved 100% (limit 60%)",
    ]
    await home.end_run(run)
    await home.advance(5)
    assert [alert["status"] for alert in await home.list_alerts()] == ["resolved", "resolved"]


async def test_a_pool_cannot_use_a_rule_about_the_host(home: VirtualHome):
    await home.add_rule(
        make_conditions("host", {"metric": "host.cpu_ratio", "op": ">", "value": 0.9})
    )
    with pytest.raises(Refused, match="about host"):
        await queues.pool_set(home.call, name="default", sla="rule")


async def test_a_mistyped_check_in_is_noted_and_can_be_forgotten(home: VirtualHome):
    notes: list[str] = []
    call = replace(home.call, note=notes.append)
    await checkins.check_in(call, name="app-dump")
    await checkins.check_in(call, name="app-dump")
    await checkins.check_in(call, name="app-dmp")

    await checkins.forget(call, name="app-dmp")

    assert [note for note in notes if "new name" in note] == [
        "app-dump is a new name.", "app-dmp is a new name. Nearest: app-dump.",
    ]  # fmt: skip
    assert [row["name"] for row in await checkins.ls(call)] == ["app-dump"]
    with pytest.raises(NotFound, match="Nearest: app-dump"):
        await checkins.forget(call, name="app-dmp")


async def test_a_program_that_does_not_check_in_is_noticed(home: VirtualHome):
    when = {"metric": "task.seconds_since_success", "op": ">", "value": "1h"}
    await home.add_rule(make_conditions("task", when, match={"task": "app-dump"}))
    await home.advance(HOUR - 10)
    assert home.take_log() == []
    await home.advance(20)
    assert home.take_log() == [(HOUR + 0.001, "fire")]
    await checkins.check_in(home.call, name="app-dump", note="ok")
    await home.advance(5)
    assert [action for _, action in home.take_log()] == ["resolve"]
    with pytest.raises(Usage):
        await checkins.check_in(home.call, name="a\nb")


async def test_a_check_in_tells_which_rules_look_at_the_name(home: VirtualHome):
    when = {"metric": "task.seconds_since_success", "op": ">", "value": "1h"}
    await home.add_rule(make_conditions("task", when, match={"task": "app-dump"}), "dump")
    await home.add_rule(
        make_conditions("task", when, match={"task": "app-*", "queue": "default"}), "queued"
    )
    failures = {"metric": "task.consecutive_failures", "op": ">", "value": 1}
    await home.add_rule(make_conditions("task", failures), "failures")
    notes: list[str] = []
    call = replace(home.call, note=notes.append)
    assert (await checkins.check_in(call, name="app-dump"))["rules"] == ["dump"] and not notes
    assert (await checkins.check_in(call, name="app-dmup"))["rules"] == []
    assert notes == [
        "app-dmup is a new name. Nearest: app-dump.",
        "no rule watches app-dmup. Nearest name of a rule: app-dump. To make one: taskdeck sla"
        " create app-dmup --preset not-succeeded --value 25h --task app-dmup",
    ]
    listed = await checkins.ls(call)
    assert [(row["name"], row["by"], row["rules"]) for row in listed] == [
        ("app-dmup", call.by, []), ("app-dump", call.by, ["dump"]),
    ]  # fmt: skip


async def test_a_run_takes_longer_than_its_usual_time(home: VirtualHome):
    when = {"metric": "instance.run_seconds", "op": ">",
            "baseline": {"stat": "median", "runs": 5, "factor": 1.5}}  # fmt: skip
    await home.add_rule(make_conditions("instance", when))
    for _ in range(3):
        await home.run_task("encode", seconds=100)
    run = await home.start_run(await home.submit("encode"))
    began = home.now - home.start
    await home.advance(149)
    assert home.take_log() == []
    await home.advance(10)
    assert home.take_log() == [(began + 150.001, "fire")]
    await home.end_run(run)


async def test_a_forecast_fires_before_the_deadline(home: VirtualHome):
    when = {"forecast": {"reference": "queued_at", "offset": "3m"}}
    await home.add_rule(make_conditions("instance", when, match={"task": "encode"}))
    for _ in range(4):
        await home.run_task("encode", seconds=100)
    task = await home.submit("encode")
    submitted = home.now
    await home.advance(60)
    assert home.take_log() == []
    await home.skip(60)
    await home.start_run(task)
    await home.advance(1)
    ((at, action),) = home.take_log()
    assert action == "fire" and home.start + at < submitted + 180
    (alert,) = await home.list_alerts()
    assert "expected to end" in alert["text"] and "due" in alert["text"]


async def test_a_forecast_counts_the_queue_ahead(home: VirtualHome):
    await queues.queue_create(home.call, name="narrow", capacity=1)
    await home.add_rule(
        make_conditions("instance", {"forecast": {"reference": "queued_at", "offset": "250s"}})
    )  # fmt: skip
    for _ in range(4):
        await home.run_task("encode", seconds=100)
    tasks = [await home.submit("encode", queue="narrow") for _ in range(4)]
    await home.start_run(tasks[0])
    await home.advance(1)

    fired = {subject for _, action, subject in home.log if action == "fire"}
    assert fired == {f"task:{uuid}" for uuid in tasks[2:]}, "the first two end in time"


async def test_a_forecast_needs_no_recent_run(home: VirtualHome, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run_history, "RECENT", 1)
    for _ in range(4):
        await home.run_task("nightly", seconds=100)
    await home.run_task("other")
    await home.add_rule(
        make_conditions("instance", {"forecast": {"reference": "queued_at", "offset": "90s"}})
    )
    task = await home.submit("nightly")
    await home.advance(1)
    assert home.take_log() == [(400, "fire")]
    await home.start_run(task)
    await home.advance(50)
    assert home.take_log() == []


async def test_a_run_that_outlasts_all_past_ones_fires_at_the_margin(home: VirtualHome):
    form = {"reference": "started_at", "offset": "5m", "margin": "1m"}
    await home.add_rule(make_conditions("instance", {"forecast": form}))
    for _ in range(4):
        await home.run_task("encode", seconds=100)
    run = await home.start_run(await home.submit("encode"))
    await home.advance(260)
    ((at, action),) = home.take_log()
    assert action == "fire" and at == pytest.approx(400 + 240, abs=0.1)
    await home.end_run(run)
    await home.advance(10)
    assert [action for _, action in home.take_log()] == ["resolve"]


async def test_a_forecast_of_a_fixed_time_fires_before_it_and_stays_until_a_success(
    home: VirtualHome,
):
    when = {"forecast": {"reference": {"fixed": "06:00", "tz": "UTC"}, "margin": "10m"}}
    for _ in range(4):
        await home.run_task("etl", seconds=HOUR)
    await home.skip(DAY - 4 * HOUR)
    await home.add_rule(make_conditions("task", when, match={"task": "etl"}))
    await home.skip(4.7 * HOUR)
    await home.advance(0.3 * HOUR)
    ((at, action),) = home.take_log()
    assert action == "fire" and at == pytest.approx(DAY + 4 * HOUR + 50 * 60, abs=6)
    run = await home.start_run(await home.submit("etl"))
    await home.skip(HOUR)
    await home.advance(600)
    assert home.take_log() == []
    await home.skip(HOUR)
    await home.end_run(run)
    await home.advance(10)
    assert [action for _, action in home.take_log()] == ["resolve"]


async def test_a_deadline_notices_a_task_that_never_starts(home: VirtualHome):
    when = {"deadline": {"reference": "queued_at", "offset": "10m"}}
    await home.add_rule(make_conditions("instance", when))
    await home.submit(hold=True)
    await home.advance(620)
    assert home.take_log() == [(600, "fire")]


async def test_the_text_has_each_part_that_holds(home: VirtualHome):
    late = {"deadline": {"reference": "queued_at", "offset": "10m"}}
    queued = {"metric": "instance.queued_seconds", "op": ">", "value": "5m"}
    await home.add_rule(make_conditions("instance", {"all": [late, queued]}))
    await home.submit()
    await home.advance(620)
    (alert,) = await home.list_alerts()
    assert alert["text"] == "no success by Mon 30 Nov 00:10 and queued 10m (limit 5m)"


async def test_no_data_alerts_only_on_request(home: VirtualHome):
    when = {"metric": "taskdeck.replica_lag_seconds", "op": ">", "value": "5m"}
    await home.add_rule(make_conditions("taskdeck", when), "quiet")
    await home.add_rule(make_conditions("taskdeck", when, on_no_data="alert"), "strict")
    await home.advance(10)
    (alert,) = await home.list_alerts()
    assert (alert["sla"], alert["text"]) == ("strict", "replica age: no data")


async def test_a_window_after_a_start_ends_no_alert(home: VirtualHome):
    when = {"metric": "host.cpu_ratio", "stat": "mean", "window": "1m", "op": ">", "value": 0.8}
    await home.add_rule(make_conditions("host", when))
    home.probes.host["cpu_ratio"] = 0.9
    await home.advance(70)
    assert [action for _, action in home.take_log()] == ["fire"]
    home.restart()
    await home.advance(120)
    assert home.take_log() == []


async def test_a_rule_applies_only_in_its_hours(home: VirtualHome):
    active = {"days": "mon-fri", "from": "08:00", "to": "18:00", "tz": "UTC"}
    await home.add_rule(make_conditions("queue", DEPTH, active_time=active))
    await home.submit()
    await home.skip(8 * HOUR - 20)
    await home.advance(60)
    assert home.take_log() == [(8 * HOUR, "fire")]
    await home.skip(10 * HOUR - 60)
    await home.advance(60)
    assert home.take_log() == [(18 * HOUR, "resolve")]


async def test_a_change_of_the_rule_starts_it_again(home: VirtualHome):
    await home.add_rule(make_conditions("queue", DEPTH))
    await home.submit()
    await home.advance(5)
    await slas.set_(home.call, name="rule", enabled=False)
    await home.advance(5)
    assert [alert["status"] for alert in await home.list_alerts()] == ["resolved"]
    await slas.set_(home.call, name="rule", enabled=True)
    await home.advance(5)
    assert [action for _, action in home.take_log()] == ["fire", "fire"]
    changed = make_conditions("queue", {**DEPTH, "value": 5})
    await slas.set_(home.call, name="rule", conditions=changed)
    assert (await slas.show(home.call, name="rule"))["words"].endswith("queued tasks over 5")
    await slas.rm(home.call, name="rule")
    await home.advance(5)
    assert await execute_sql(home.call, "SELECT count(*) FROM rule_states") == [(0,)]


async def test_conditions_of_several_limits_are_set_as_a_whole(home: VirtualHome):
    await home.add_rule(make_conditions("queue", {"any": [DEPTH, DEPTH]}))
    with pytest.raises(Usage, match="as a whole"):
        await slas.set_(home.call, name="rule", value="5m")
    with pytest.raises(Conflict):
        await home.add_rule(make_conditions("queue", DEPTH))
    with pytest.raises(Usage, match=r"conditions\.when\.metric"):
        await home.add_rule(make_conditions("queue", {**DEPTH, "metric": "queue.dept"}), "other")
    with pytest.raises(NotFound, match="media"):
        await home.add_rule(make_conditions("queue", DEPTH, match={"queue": "media"}), "other")


async def test_apply_and_export_keep_the_general_form(home: VirtualHome):
    text = (
        '[slas.deep]\nseverity = "critical"\nconditions = { scope = "queue", match = { queue ='
        ' "default" }, when = { metric = "queue.depth", op = ">", value = 100 }, for = "1m" }\n'
    )
    await apply.apply(home.call, text=text)
    exported = await apply.export(home.call)
    assert 'scope = "queue"' in exported and 'for = "1m"' in exported
    found = await apply.apply(home.call, text=text, dry_run=True)
    assert [change["change"] for change in found["changes"]] == ["same"]
    row = await slas.show(home.call, name="deep")
    assert row["words"] == "queue default: queued tasks over 100 for 1m"


async def test_a_rule_has_at_most_500_live_alerts(home: VirtualHome):
    await home.add_rule(
        make_conditions("instance", FAILED | {"metric": "instance.attempt", "value": 9})
    )
    for _ in range(510):
        await home.submit()
    await home.advance(6)
    assert len(await home.list_alerts()) == 500


async def test_conditions_that_another_program_stored_break_no_other_rule(home: VirtualHome):
    await home.add_rule(make_conditions("queue", DEPTH), "good")
    await home.add_rule(make_conditions("queue", DEPTH), "bad")
    await execute_sql(
        home.call, "UPDATE slas SET conditions = '{\"scope\": \"x\", \"when\": 1}', updated_at ="
        " updated_at || 'x' WHERE name = 'bad'",
    )  # fmt: skip
    await home.submit()
    await home.advance(5)
    assert home.engine.broken.keys() == {"bad"}
    assert [alert["sla"] for alert in await home.list_alerts()] == ["good"]
    assert "cannot be evaluated" in (await slas.show(home.call, name="bad"))["words"]


async def test_an_idle_home_has_a_pass_every_five_seconds_only(home: VirtualHome):
    when = {"metric": "queue.oldest_wait_seconds", "op": ">", "value": "1s"}
    await home.add_rule(make_conditions("queue", when))
    await home.run_pass()
    assert home.engine.next_at == home.now + 5


async def test_an_open_alert_shows_the_value_of_now(home: VirtualHome):
    when = {"metric": "queue.oldest_wait_seconds", "op": ">", "value": 60}
    await home.add_rule(make_conditions("queue", when))
    await home.submit("encode")
    await home.advance(90)
    await home.advance(900)
    live = cast(RuntimeHandle, SimpleNamespace(get_alert_text=home.engine.levels.texts.get))
    for source, minutes in ((live, 16), (None, 1)):
        (found,) = await home.call.db.read(partial(alerts.list_current, live=source))
        assert found.alert.text.startswith(f"longest wait {minutes}m")
        assert found.alert.short == found.alert.text
