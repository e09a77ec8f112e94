"""Tests of the outbox: what alerts enqueue, and what is due."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from app.service.context import Call
from app.service.database import integrity
from app.service.definitions import slas
from db import schema, timestamps
from db.engine import Database
from db.maintenance import value_checks
from db.queries.rules import alerts, deliveries, silences
from db.rows import DeliveryRow
from tests.db.builders import TaskBuilder

NOTIFY = [{"on": "firing", "notify": "ops"}, {"on": "resolved", "notify": "ops"}]


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = timestamps.utcnow()

    def __call__(self) -> datetime:
        self.now += timedelta(microseconds=1)
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(timestamps, "utcnow", made)
    return made


class Scenario:
    """One rule with actions, and tasks whose alerts fire and are resolved."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self.db, self.clock, self.rule = db, clock, 0
        self.tasks: dict[str, str] = {}

    async def fire(self, *names: str) -> None:
        await self.db.write(self._fire, names)

    def _fire(self, c: Connection, names: Sequence[str]) -> None:
        for name in names:
            if name not in self.tasks:
                self.tasks[name] = TaskBuilder(c).submit_task(name=name)
        rows = [
            {
                "sla_id": self.rule, "name": "deep", "severity": "critical", "status": "firing",
                "task_id": self.tasks[name], "object": name, "text": "late", "short": "late",
                "value": 1.0, "limit": 1.0, "fired_at": timestamps.now(), "resolved_at": None,
            }
            for name in names
        ]  # fmt: skip
        alerts.fire_alerts(c, rows)

    async def resolve(self, *names: str) -> None:
        found = {row.object: row.id for row in await self.db.read(alerts.list_of_rule, "deep")}
        rows = [
            {"key": found[name], "resolved_at": timestamps.now(), "text": "ok", "short": "ok",
             "value": 1.0}
            for name in names
        ]  # fmt: skip
        await self.db.write(alerts.resolve_alerts, rows)

    async def silence(self, seconds: float) -> None:
        until = timestamps.format_time(self.clock() + timedelta(seconds=seconds))
        await self.db.write(silences.silence_rule, self.rule, until, "ann", None)

    async def silence_matching(self, seconds: float, **matchers: list[str]) -> None:
        until = timestamps.format_time(self.clock() + timedelta(seconds=seconds))
        await self.db.write(silences.put, matchers, until, "ann", None)

    async def list_all(self) -> list[DeliveryRow]:
        return [*reversed(await self.db.read(deliveries.list_latest, 100))]

    async def summarize(self) -> list[tuple[str, list[str], str]]:
        """Return event, objects of the alerts and status of each delivery."""
        return [
            (row.event, [one["object"] for one in row.payload["alerts"]], row.status)
            for row in await self.list_all()
        ]

    async def find_due(self) -> list[DeliveryRow]:
        return await self.db.read(deliveries.find_due, timestamps.now(), [], 10)

    async def send(self, error: str | None = None, wait: float = 5.0) -> None:
        """Record an attempt for all that is due."""
        for row in await self.find_due():
            later = timestamps.format_time(self.clock() + timedelta(seconds=wait))
            await self.db.write(deliveries.record_attempt, row, error, [], later)


@pytest.fixture
async def scenario(call: Call, clock: Clock) -> Scenario:
    made = Scenario(call.db, clock)
    await slas.create(call, name="deep", preset="starts-within", value="30m")
    await set_actions(made, NOTIFY)
    return made


async def set_actions(scenario: Scenario, actions: list[dict[str, Any]]) -> None:
    def store(c: Connection) -> int:
        c.execute(schema.slas.update().values(actions=actions))
        return c.execute(schema.slas.select()).one().id

    scenario.rule = await scenario.db.write(store)


async def test_alerts_of_one_pass_and_shortly_after_share_a_message(scenario: Scenario):
    await scenario.fire("a", "b")
    scenario.clock.advance(0.5)
    await scenario.fire("c")
    scenario.clock.advance(2)
    await scenario.fire("d")

    assert await scenario.summarize() == [
        ("firing", ["a", "b", "c"], "pending"),
        ("firing", ["d"], "pending"),
    ]


async def test_a_message_that_is_due_takes_no_further_alert(scenario: Scenario):
    await scenario.fire("a")
    scenario.clock.advance(1.1)
    assert len(await scenario.find_due()) == 1

    await scenario.fire("b")

    assert [row[1] for row in await scenario.summarize()] == [["a"], ["b"]]


async def test_a_message_extended_while_it_was_sent_is_sent_again(scenario: Scenario):
    await scenario.fire("a")
    (row,) = await scenario.list_all()
    scenario.clock.advance(0.2)
    await scenario.fire("b")

    is_done = await scenario.db.write(deliveries.record_attempt, row, None, ["x"], None)

    (later,) = await scenario.list_all()
    assert (is_done, later.status, later.reached, later.key) == (False, "pending", [], row.key)


async def test_an_alert_that_fires_already_is_not_told_again(scenario: Scenario):
    await scenario.fire("a")
    await scenario.fire("a")
    assert [row[1] for row in await scenario.summarize()] == [["a"]]

    await scenario.db.write(alerts.acknowledge, [1], "ann")
    scenario.clock.advance(2)
    await scenario.fire("a")

    assert [row[0] for row in await scenario.summarize()] == ["firing", "firing"]


async def test_a_rule_without_actions_enqueues_nothing(scenario: Scenario):
    await set_actions(scenario, [])

    await scenario.fire("a")
    await scenario.resolve("a")

    assert await scenario.summarize() == []


async def test_resolutions_follow_what_was_told(scenario: Scenario):
    await scenario.fire("a", "b")
    scenario.clock.advance(2)
    await scenario.send()
    await scenario.resolve("a", "b")

    assert await scenario.summarize() == [
        ("firing", ["a", "b"], "sent"),
        ("resolved", ["a", "b"], "pending"),
    ]


async def test_a_resolution_waits_while_the_alert_cannot_be_told(scenario: Scenario):
    await scenario.fire("a")
    scenario.clock.advance(2)
    await scenario.send("no connection", wait=30)
    await scenario.resolve("a")
    scenario.clock.advance(5)
    assert await scenario.find_due() == []

    scenario.clock.advance(30)

    assert [row.event for row in await scenario.find_due()] == ["firing"]
    await scenario.send()
    assert [row.event for row in await scenario.find_due()] == ["resolved"]


async def test_a_silence_holds_messages_and_its_end_moves_them(scenario: Scenario):
    await scenario.silence(600)
    await scenario.fire("a")
    scenario.clock.advance(60)
    assert await scenario.find_due() == []

    await scenario.silence(1200)
    scenario.clock.advance(600)
    assert await scenario.find_due() == []

    await scenario.db.write(silences.unsilence_rule, scenario.rule)
    assert len(await scenario.find_due()) == 1


async def test_only_the_message_of_matching_alerts_waits(scenario: Scenario):
    await scenario.silence_matching(600, task=["[ab]"])
    await scenario.fire("a", "b", "c")
    scenario.clock.advance(2)
    assert [row.payload["ids"] for row in await scenario.find_due()] == [[3]]
    await scenario.send()
    await scenario.resolve("a", "c")

    assert [row[:2] for row in await scenario.summarize()] == [
        ("firing", ["a", "b"]), ("firing", ["c"]), ("resolved", ["c"]),
    ]  # fmt: skip


async def test_an_alert_that_no_longer_matches_is_told(scenario: Scenario):
    await set_actions(scenario, [*NOTIFY, {"on": "escalated", "notify": "ops"}])
    await scenario.silence_matching(600, severity=["critical"])
    await scenario.fire("a")
    scenario.clock.advance(2)
    assert await scenario.find_due() == []

    await scenario.db.write(alerts.escalate_alerts, [(1, "warning")])
    scenario.clock.advance(2)

    assert [row.event for row in await scenario.find_due()] == ["firing", "escalated"]


async def test_nobody_hears_of_an_alert_resolved_in_a_silence(scenario: Scenario):
    await scenario.silence(600)
    await scenario.fire("a")
    await scenario.resolve("a")
    await scenario.silence(0.001)
    scenario.clock.advance(1)
    await scenario.fire("b")
    scenario.clock.advance(3)
    await scenario.send()
    await scenario.silence(600)
    await scenario.resolve("b")

    assert [row[0] for row in await scenario.summarize()] == ["firing", "firing"]


async def test_after_holds_a_message_and_its_resolution(scenario: Scenario):
    await set_actions(
        scenario,
        [
            {"on": "firing", "notify": "chat"},
            {"on": "firing", "notify": "ops", "after": 600.0},
            {"on": "resolved", "notify": "chat"},
            {"on": "resolved", "notify": "ops"},
        ],
    )
    await scenario.fire("a")
    scenario.clock.advance(2)
    await scenario.send()
    await scenario.resolve("a")

    found = [(row.event, row.target) for row in await scenario.list_all()]

    assert found == [("firing", "chat"), ("firing", "ops"), ("resolved", "chat")]


async def test_max_limits_the_messages_about_one_alert(scenario: Scenario):
    await set_actions(scenario, [{"on": "firing", "retry": True, "max": 2}])

    for _ in range(4):
        await scenario.fire("a", "b")
        await scenario.resolve("a", "b")

    assert [row[1] for row in await scenario.summarize()] == [["a"], ["b"], ["a"], ["b"]]


async def test_a_dry_run_is_recorded_and_not_sent(scenario: Scenario):
    await set_actions(scenario, [{"on": "firing", "notify": "ops", "dry_run": True}])

    await scenario.fire("a")
    scenario.clock.advance(2)

    assert await scenario.summarize() == [("firing", ["a"], "dry_run")]
    assert await scenario.find_due() == []


async def test_rules_with_actions_and_their_deliveries_are_readable(scenario: Scenario):
    await scenario.fire("a")

    def describe(c: Connection) -> list[str]:
        return value_checks.describe_unreadable(c.exec_driver_sql, integrity.VALIDATORS)

    assert await scenario.db.read(describe) == []
    await set_actions(scenario, [{"on": "firing"}])
    assert await scenario.db.read(describe) == ["slas.actions cannot be read where name = 'deep'"]


async def test_every_way_to_resolve_an_alert_is_told(scenario: Scenario):
    await scenario.fire("a", "b")
    scenario.clock.advance(2)
    await scenario.send()

    await scenario.db.write(alerts.resolve_of_tasks, [scenario.tasks["a"]])
    scenario.clock.advance(2)
    await scenario.db.write(alerts.detach_rule, scenario.rule)

    assert await scenario.summarize() == [
        ("firing", ["a", "b"], "sent"),
        ("resolved", ["a"], "pending"),
        ("resolved", ["b"], "pending"),
    ]


async def test_many_alerts_are_listed_in_part_and_counted(scenario: Scenario):
    await scenario.fire(*(f"t{at:02}" for at in range(30)))

    (row,) = await scenario.list_all()

    assert (len(row.payload["ids"]), len(row.payload["alerts"])) == (30, 20)


async def test_a_busy_target_keeps_others_from_nothing(scenario: Scenario):
    await set_actions(scenario, [{"on": "firing", "notify": one} for one in ("ops", "chat")])
    await scenario.fire("a")
    scenario.clock.advance(2)

    due = await scenario.db.read(deliveries.find_due, timestamps.now(), ["ops"], 10)

    assert [row.target for row in due] == ["chat"]


async def test_the_end_of_many_held_alerts_takes_few_statements(scenario: Scenario):
    await set_actions(scenario, [NOTIFY[0] | {"after": 600.0}, NOTIFY[1]])
    names = [f"t{at}" for at in range(20)]
    await scenario.fire(*names)
    statements: list[str] = []

    def resolve(c: Connection) -> None:
        driver: Any = c.connection.driver_connection
        driver.set_trace_callback(statements.append)
        alerts.resolve_some(c, scenario.rule)
        driver.set_trace_callback(None)

    await scenario.db.write(resolve)

    about_messages = [text for text in statements if "FROM deliveries d" in text]
    assert len(about_messages) == 1
    assert [event for event, _, _ in await scenario.summarize()] == ["firing"]


async def test_a_firing_alert_parses_no_message_that_waits_for_later(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
):
    parsed: list[Any] = []

    def load(text: Any, **more: Any) -> Any:
        parsed.append(text)
        return loads(text, **more)

    loads = json.loads
    monkeypatch.setattr(json, "loads", load)
    counts: list[int] = []
    for name in ("a", "b"):
        before = len(parsed)
        await scenario.fire(name)
        counts.append(len(parsed) - before)
        scenario.clock.advance(5)
        later = timestamps.format_time(timestamps.utcnow() + timedelta(hours=1))
        for _ in range(10):
            await scenario.db.write(_insert_waiting, scenario.rule, later)
    assert counts[0] == counts[1]


def _insert_waiting(c: Connection, rule: int, until: str) -> None:
    deliveries.insert(c, {
        "sla_id": rule, "alert_id": None, "event": "firing", "action": NOTIFY[0],
        "target": "ops", "payload": {"ids": [1], "alerts": []}, "status": "pending", "log": [],
        "reached": [], "due_at": until, "next_at": until,
    })  # fmt: skip
