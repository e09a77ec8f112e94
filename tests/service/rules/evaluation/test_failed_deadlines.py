"""Deadlines of instances that fail: told at once, until a success."""

from __future__ import annotations

from typing import Any

import pytest

from app.service.rules import replay
from app.service.tasks.changes import actions, retry
from db import timestamps
from db.queries.tasks import transitions
from tests.service.rules.virtual_home import VirtualHome

pytestmark = pytest.mark.database
HOUR, DAY = 3600.0, 86400.0


def make(reference: str = "queued_at", **more: Any) -> dict[str, Any]:
    when = {"deadline": {"reference": reference, "offset": "6h"}}
    return {"scope": "instance", "when": when, **more}


async def fail(home: VirtualHome, uuid: str, after: float = 60.0) -> None:
    run = await home.start_run(uuid)
    await home.run_pass()
    await home.skip(after)
    await home.end_run(run, 1)
    await home.advance(5)


async def list_told(home: VirtualHome) -> list[tuple[str, str]]:
    return [(alert["status"], alert["text"]) for alert in await home.list_alerts()]


async def check_replay(home: VirtualHome) -> None:
    """Compare the replay of the rule with the alerts that fired and ended."""
    days = (home.now - home.start) / DAY
    found = (await replay.test(home.call, name="rule", days=days))["alerts"]
    told = await home.list_alerts()
    times = [timestamps.to_unix(one["fired_at"]) for one in found]
    assert times == pytest.approx([timestamps.to_unix(one["since"]) for one in told], abs=0.1)
    over = [one["resolved_at"] is not None for one in found]
    assert over == [one["status"] == "resolved" for one in told]


@pytest.mark.parametrize("reference", ["queued_at", "started_at", "scheduled_at"])
async def test_a_failure_before_the_deadline_is_told_at_once(home: VirtualHome, reference: str):
    await home.add_rule(make(reference))
    await fail(home, await home.submit("etl"))
    await home.skip(7 * HOUR)
    await home.run_pass()
    assert home.take_log() == [(60, "fire")]
    assert await list_told(home) == [("firing", "failed Mon 00:01, due Mon 30 Nov 06:00")]
    await check_replay(home)


async def test_the_alert_of_a_failure_ends_with_the_success_of_a_retry(home: VirtualHome):
    await home.add_rule(make())
    task = await home.submit("etl")
    await fail(home, task)
    await retry.retry(home.call, ids=[1])
    await home.advance(60)
    run = await home.start_run(task)
    await home.advance(60)
    (text,) = home.engine.levels.texts.values()
    assert text.text == "failed, retried, due Mon 30 Nov 06:00"
    home.restart()
    await home.advance(60)
    assert home.take_log() == [(60, "fire")]
    await home.end_run(run)
    await home.advance(5)
    assert home.take_log() == [(245, "resolve")]
    await check_replay(home)


async def test_the_alert_of_a_failure_ends_with_a_later_success_of_the_name(home: VirtualHome):
    await home.add_rule(make())
    await fail(home, await home.submit("etl"))
    await home.run_task("other")
    await home.advance(5)
    assert home.take_log() == [(60, "fire")]
    await home.run_task("etl")
    await home.advance(5)
    assert [action for _, action in home.take_log()] == ["resolve"]
    await check_replay(home)


@pytest.mark.parametrize("reference", ["queued_at", "started_at"])
async def test_a_failure_with_attempts_left_is_not_told(home: VirtualHome, reference: str):
    await home.add_rule(make(reference))
    task = await home.submit("etl", retries=1)
    await fail(home, task)
    assert home.take_log() == []
    await home.skip(120)
    await home.call.db.write(transitions.queue_due_tasks)
    await fail(home, task)
    assert home.take_log() == [(245, "fire")]
    await check_replay(home)


async def test_a_late_task_that_fails_stays_told(home: VirtualHome):
    await home.add_rule(make())
    await fail(home, await home.submit("etl"), 7 * HOUR)
    assert home.take_log() == [(7 * HOUR, "fire")]
    (text,) = home.engine.levels.texts.values()
    assert text.text == "no success by Mon 30 Nov 06:00, failed Mon 07:00"
    await home.skip(DAY)
    await home.run_pass()
    assert [status for status, _ in await list_told(home)] == ["expired"]


@pytest.mark.parametrize("word", ["cancel", "rm"])
async def test_a_cancelled_or_removed_task_is_not_told(home: VirtualHome, word: str):
    await home.add_rule(make())
    if word == "cancel":
        await home.submit("etl")
        await actions.cancel(home.call, ids=[1])
    else:
        await fail(home, await home.submit("etl"))
        await actions.rm(home.call, ids=[1])
    await home.skip(7 * HOUR)
    await home.run_pass()
    told = [action for _, action in home.take_log()]
    assert told == ([] if word == "cancel" else ["fire", "resolve"])


@pytest.mark.parametrize("each", ["instance", "task", "queue"])
async def test_a_long_late_task_that_succeeds_does_not_expire(home: VirtualHome, each: str):
    await home.add_rule(make(for_each=each))
    run = await home.start_run(await home.submit("etl"))
    await home.skip(6 * HOUR)
    await home.run_pass()
    await home.skip(2 * DAY)
    await home.end_run(run)
    await home.run_pass()
    assert [status for status, _ in await list_told(home)] == ["resolved"]


async def test_a_failure_outlives_many_later_successes(
    home: VirtualHome, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("db.queries.rules.rule_values.MAX_CANDIDATES", 3)
    exit_code = {"metric": "instance.exit_code", "op": "!=", "value": 0}
    await home.add_rule({"scope": "instance", "when": exit_code})
    await fail(home, await home.submit("etl"))
    for name in "abcd":
        await home.run_task(name)
    await home.advance(10)
    assert home.take_log() == [(60, "fire")]


async def test_a_failure_breaks_a_forecast(home: VirtualHome):
    when = {"forecast": {"reference": "queued_at", "offset": "6h", "margin": "10m"}}
    await home.add_rule({"scope": "instance", "when": when, "for_each": "task"})
    await fail(home, await home.submit("etl"))
    assert home.take_log() == [(60, "fire")]
    await home.run_task("etl")
    await home.advance(5)
    assert [action for _, action in home.take_log()] == ["resolve"]


@pytest.mark.parametrize("each", ["task", "queue"])
async def test_the_failures_of_a_group_expire(home: VirtualHome, each: str):
    await home.add_rule(make(for_each=each))
    await fail(home, await home.submit("etl"))
    await home.skip(DAY)
    await home.run_pass()
    assert [status for status, _ in await list_told(home)] == ["expired"]


@pytest.mark.parametrize("when", ["deadline", "exit code"])
async def test_a_failure_that_is_told_late_expires_too(home: VirtualHome, when: str):
    exit_code = {"metric": "instance.exit_code", "op": "!=", "value": 0}
    is_deadline = when == "deadline"
    rule = make() if is_deadline else {"scope": "instance", "when": exit_code}
    await home.add_rule(rule | {"for": "10m"})
    run = await home.start_run(await home.submit("etl"))
    await home.end_run(run, 1)
    await home.skip(HOUR)  # no runtime
    await home.advance(601)
    assert len(home.take_log()) == 1
    await home.skip(DAY - HOUR - 600)
    await home.advance(5)
    assert [status for status, _ in await list_told(home)] == ["expired"]


async def test_an_attempt_in_time_does_not_hold_the_alert_of_its_queue(home: VirtualHome):
    await home.add_rule(make(for_each="queue"))
    late = await home.start_run(await home.submit("late"))
    await home.skip(6 * HOUR)
    await home.run_pass()
    attempt = await home.start_run(await home.submit("other", retries=1))
    await home.end_run(attempt, 1)
    await home.run_pass()
    await home.end_run(late)
    await home.run_pass()
    assert [action for _, action in home.take_log()] == ["fire", "resolve"]


async def test_newer_failures_end_no_alert(home: VirtualHome, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("db.queries.rules.rule_values.MAX_CANDIDATES", 2)
    await home.add_rule(make())
    for name in "abcd":
        await fail(home, await home.submit(name))
    assert [action for _, action in home.take_log()] == ["fire"] * 4


def make_fixed(kind: str = "deadline") -> dict[str, Any]:
    reference = {"fixed": "06:00", "tz": "UTC"}
    return {"scope": "task", "match": {"task": "etl"}, "when": {kind: {"reference": reference}}}


@pytest.mark.parametrize("kind", ["deadline", "forecast"])
async def test_a_failure_before_a_fixed_time_is_told_at_once(home: VirtualHome, kind: str):
    await home.add_rule(make_fixed(kind))
    task = await home.submit("etl")
    await fail(home, task)
    await retry.retry(home.call, ids=[1])
    await home.advance(60)
    run = await home.start_run(task)
    await home.advance(60)
    (text,) = home.engine.levels.texts.values()
    assert text.text == "failed Mon 00:01, due Mon 30 Nov 06:00"
    assert home.take_log() == [(60, "fire")]
    await home.end_run(run)
    await home.advance(5)
    assert [action for _, action in home.take_log()] == ["resolve"]
    if kind == "deadline":
        await check_replay(home)


async def test_a_failure_stays_told_after_its_fixed_time(home: VirtualHome):
    await home.add_rule(make_fixed())
    await fail(home, await home.submit("etl"))
    await home.skip(7 * HOUR)
    await home.advance(5)
    assert home.take_log() == [(60, "fire")]
    await home.run_task("etl")
    await home.advance(5)
    assert [action for _, action in home.take_log()] == ["resolve"]
    await check_replay(home)


@pytest.mark.parametrize("how", ["attempts left", "cancelled", "success before", "earlier"])
async def test_no_failure_of_a_name_is_told(home: VirtualHome, how: str):
    if how == "earlier":
        await fail(home, await home.submit("etl"))
    await home.advance(1)
    await home.add_rule(make_fixed())
    if how == "success before":
        await home.run_task("etl")
    if how == "cancelled":
        await home.submit("etl")
        await actions.cancel(home.call, ids=[1])
    elif how != "earlier":
        await fail(home, await home.submit("etl", retries=int(how == "attempts left")))
    await home.advance(60)
    assert home.take_log() == []
