"""Homes with more rules, tasks and names than one pass reads: the next passes read the rest."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.runtime.change_feed import ChangeFeed
from app.service import alerts
from app.service.context import RuntimeHandle
from app.service.definitions import slas
from app.service.rules.evaluation import engine as engine_module
from app.service.rules.evaluation import rule_pass
from app.service.rules.facts import instances, snapshot
from app.service.rules.facts.snapshot import Snapshot
from db.queries.rules import rule_values
from tests.service.conftest import FakeRuntimeHandle
from tests.service.rules.virtual_home import VirtualHome

pytestmark = pytest.mark.database
HOUR = 3600.0
QUEUED = {"metric": "instance.queued_seconds", "op": ">", "value": "10m"}
FAILED = {"metric": "task.consecutive_failures", "op": ">=", "value": 1}
DEPTH = {"metric": "queue.depth", "op": ">", "value": 0}


def count_calls(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[Any]:
    """Return a list that grows with each call of a function."""
    calls: list[Any] = []
    before = getattr(owner, name)
    monkeypatch.setattr(
        owner, name, lambda *args, **more: calls.append(args) or before(*args, **more)
    )
    return calls


async def test_alerts_stay_while_a_start_reads_names_in_parts(
    home: VirtualHome, monkeypatch: pytest.MonkeyPatch
):
    await home.add_rule({"scope": "task", "when": FAILED})
    for number in range(6):
        await home.run_task(f"job-{number}", 1)
    await home.run_pass()
    assert len(home.take_log()) == 6
    monkeypatch.setattr(snapshot, "NAMES_AT_ONCE", 2)
    home.restart()
    for number in (0, 5):
        await home.run_task(f"job-{number}")
    for _ in range(3):
        await home.run_pass()
        home.now = home.engine.next_at
    assert home.take_log() == [(0, "resolve"), (0.002, "resolve")]


async def test_alerts_stay_while_a_start_reads_tasks_in_parts(
    home: VirtualHome, monkeypatch: pytest.MonkeyPatch
):
    await home.add_rule({"scope": "instance", "when": QUEUED})
    tasks = [await home.submit() for _ in range(6)]
    await home.advance(700)
    assert len(home.take_log()) == 6
    monkeypatch.setattr(instances, "NEW_INSTANCES", 2)
    home.restart()
    late = await home.submit()
    await home.start_run(tasks[5])
    await home.skip(HOUR)
    for _ in range(5):
        await home.run_pass()
        home.now = home.engine.next_at
    assert sorted((action, subject) for _, action, subject in home.log) == [
        ("fire", f"task:{late}"), ("resolve", f"task:{tasks[5]}"),
    ]  # fmt: skip
    texts = {alert["text"].rpartition(", ")[2] for alert in await home.list_alerts()}
    assert "while down" in texts, "also in a later pass of the start"


async def test_rules_are_parsed_in_parts_and_inhibit_all_the_same(
    home: VirtualHome, monkeypatch: pytest.MonkeyPatch
):
    await home.add_rule({"scope": "queue", "when": DEPTH, "inhibited_by": "zz"}, "aa")
    await home.add_rule({"scope": "queue", "when": DEPTH}, "zz")
    await home.submit()
    await home.advance(5)
    monkeypatch.setattr(engine_module, "PLANS_AT_ONCE", 1)
    home.restart()
    await home.advance(20)
    assert [alert["sla"] for alert in await home.list_alerts()] == ["zz"]


async def test_a_quiet_pass_makes_nothing_anew(home: VirtualHome, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rule_pass, "MAX_JUDGED", 2)
    await home.add_rule({"scope": "instance", "when": QUEUED})
    tasks = [await home.submit() for _ in range(6)]
    await home.advance(700)
    made = count_calls(monkeypatch, Snapshot, "_make_instance")
    judged = count_calls(monkeypatch, rule_pass, "evaluate")
    await home.advance(5)
    assert made == [] and len(judged) <= 2 * 2
    await home.start_run(tasks[4])
    await home.run_pass()
    assert [subject for _, action, subject in home.log if action == "resolve"] == [
        f"task:{tasks[4]}"
    ]


async def test_a_rule_of_several_names_sees_the_old_tasks_of_each(home: VirtualHome):
    await home.add_rule({"scope": "instance", "match": {"task": ["a", "b"]}, "when": QUEUED})
    await home.submit("b")
    await home.skip(400)
    await home.submit("a")
    await home.advance(250)
    assert home.take_log() == [(600.001, "fire")]


async def test_a_new_name_is_judged_with_its_first_run(home: VirtualHome):
    await home.add_rule({"scope": "task", "match": {"task": "new-*"}, "when": FAILED})
    await home.run_task("other")
    await home.advance(5)
    await home.run_task("new-one", 1)
    await home.run_pass()
    assert home.take_log() == [(5, "fire")]


@pytest.fixture
def live(home: VirtualHome) -> FakeRuntimeHandle:
    """Return a runtime that knows what the engine of the home leaves out."""
    found = FakeRuntimeHandle(ChangeFeed())
    found.levels = home.engine.levels
    home.call = replace(home.call, live=found)
    return found


async def read_left_out(home: VirtualHome) -> str:
    return (await slas.show(home.call, name="rule"))["left_out"]


async def test_a_rule_tells_of_alerts_that_are_too_many(
    home: VirtualHome, live: FakeRuntimeHandle, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):  # fmt: skip
    monkeypatch.setattr(rule_pass, "MAX_ALERTS", 2)
    await home.add_rule({"scope": "instance", "when": QUEUED})
    tasks = [await home.submit() for _ in range(5)]
    await home.advance(700)
    text = "has 2 alerts and leaves out 3 more: narrow its match"
    assert await read_left_out(home) == text and len(await home.list_alerts()) == 2
    assert caplog.messages == [f"sla rule {text}"], "once, not in each pass"
    for task in tasks[:3]:
        await home.start_run(task)
    await home.advance(10)
    assert await read_left_out(home) == ""


async def test_a_rule_tells_of_names_that_are_too_many(
    home: VirtualHome, live: FakeRuntimeHandle, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(snapshot, "MAX_NAMES", 2)
    monkeypatch.setattr(rule_pass, "MAX_NAMES", 2)
    await home.add_rule({"scope": "task", "when": FAILED})
    for name in ("a", "b", "c"):
        await home.run_task(name, 1)
    await home.run_pass()
    assert await read_left_out(home) == "looks at 2 of 3 task names: narrow its match"
    narrow = {"scope": "task", "match": {"task": ["b*", "c*"]}, "when": FAILED}
    await slas.set_(home.call, name="rule", conditions=narrow)
    await home.run_pass()
    assert await read_left_out(home) == ""
    assert home.log[-1][1:3] == ("fire", "name:c"), "it was left out"


async def test_a_rule_tells_of_a_queue_that_is_too_long(
    home: VirtualHome, live: FakeRuntimeHandle, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rule_values, "MAX_CANDIDATES", 2)
    await home.add_rule({"scope": "instance", "match": {"task": "b"}, "when": QUEUED})
    for name in ("a", "a", "b"):
        await home.submit(name)
        await home.skip(1)
    await home.advance(700)
    assert await read_left_out(home) == (
        "looks at only the oldest 2 waiting tasks of queue default: give its tasks a queue of"
        " their own"
    )
    await slas.set_(home.call, name="rule", conditions={"scope": "instance", "when": QUEUED})
    await home.run_pass()
    assert await read_left_out(home) == "", "the oldest ones are those that matter"


async def test_an_alert_that_passes_skip_shows_the_value_of_now(
    home: VirtualHome, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rule_pass, "MAX_JUDGED", 1)
    await home.add_rule({"scope": "instance", "when": QUEUED, "for": "1m"})
    for _ in range(3):
        await home.submit()
    await home.skip(700)
    for _ in range(3):
        await home.run_pass()
        await home.skip(300)
    assert len(home.engine.levels.texts) == 1
    live = cast(RuntimeHandle, SimpleNamespace(get_alert_text=home.engine.find_alert_text))
    found = await home.call.db.read(partial(alerts.list_current, live=live))
    told = [one.alert.text.partition(" (")[0] for one in found]
    assert sorted(told) == ["queued 21m40s", "queued 26m40s", "queued 26m40s"]
    assert all(one.alert.text.endswith(" (limit 10m) for 1m, while down") for one in found)
    assert home.engine.find_alert_text("9/task:none") is None
