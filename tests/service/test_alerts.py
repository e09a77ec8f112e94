"""Alerts as people see and acknowledge them."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.service import alerts, slas, tasks
from app.service.call import Call
from db import clock
from tests.service.ready import a_call, execute, operations, submitted


@pytest.fixture
async def call(tmp_path: Path) -> AsyncIterator[Call]:
    async with a_call(tmp_path) as found:
        yield found


async def late(call: Call, name: str = "soon", minutes: float = 60, severity: str = "warning") -> dict[str, Any]:
    """An alert on a task that has waited so long, allowed 30m."""
    if not [row for row in await slas.ls(call) if row["name"] == name]:
        await slas.create(call, name=name, preset="starts-within", value="30m", task=name, severity=severity)
    made = await submitted(call, name=name)
    created = clock.stamp(clock.utcnow() - timedelta(minutes=minutes))
    await execute(call, "UPDATE tasks SET created_at = ? WHERE uuid = ?", created, made["uuid"])
    await call.db.write(slas.evaluate, clock.utcnow())
    return next(row for row in await alerts.ls(call) if row["task_number"] == made["number"])


async def test_an_alert_says_what_it_is_about_and_since_when(call: Call) -> None:
    found = await late(call)
    assert (found["sla"], found["severity"], found["status"], found["task_name"]) == ("soon", "warning", "firing", "soon")
    assert (found["object"], found["text"], found["short"]) == ("#1 soon", "waiting 1h, allowed 30m", "1h > 30m")
    since = (clock.utcnow() - clock.parse(found["since"])).total_seconds()
    assert 30 * 60 <= since < 31 * 60


async def test_the_text_of_an_open_alert_is_of_now(call: Call) -> None:
    found = await late(call)
    earlier = clock.stamp(clock.utcnow() - timedelta(minutes=90))
    await execute(call, "UPDATE tasks SET created_at = ?", earlier)
    assert [(row["id"], row["text"]) for row in await alerts.ls(call)] == [(found["id"], "waiting 1h30m, allowed 30m")]


async def test_the_most_severe_come_first_then_the_oldest(call: Call) -> None:
    for name, minutes, severity in (("a", 40, "info"), ("b", 40, "critical"), ("c", 50, "warning"), ("d", 60, "warning")):
        await late(call, name, minutes, severity)
    assert [row["sla"] for row in await alerts.ls(call)] == ["b", "d", "c", "a"]


async def test_resolved_ones_are_listed_only_when_asked_for(call: Call) -> None:
    await late(call)
    await tasks.cancel(call, ids=["soon"])
    await call.db.write(slas.evaluate, clock.utcnow())
    assert await alerts.ls(call) == []
    assert [row["status"] for row in await alerts.ls(call, all=True)] == ["resolved"]


async def test_an_acknowledged_alert_stays_open_and_says_by_whom(call: Call) -> None:
    found = await late(call)
    done = await alerts.ack(call, ids=[found["id"]])
    assert done == {
        "done": [{"id": found["id"], "sla": "soon", "object": "#1 soon", "status": "acknowledged"}], "refused": [], "notes": [],
    }  # fmt: skip
    assert [(row["status"], row["acknowledged_by"]) for row in await alerts.ls(call)] == [("acknowledged", "ann")]
    assert ("alert ack", "alert soon on #1 soon") in await operations(call)
    await call.db.write(slas.evaluate, clock.utcnow())
    assert [row["status"] for row in await alerts.ls(call)] == ["acknowledged"]


async def test_all_alerts_of_an_sla_are_acknowledged_by_its_name(call: Call) -> None:
    await late(call)
    await late(call)
    assert len((await alerts.ack(call, ids=["soon"]))["done"]) == 2


async def test_what_cannot_be_acknowledged_is_told_and_the_rest_is(call: Call) -> None:
    found = await late(call)
    await alerts.ack(call, ids=[found["id"]])
    again = await late(call)
    done = await alerts.ack(call, ids=[found["id"], "soom", "99999999999999999999", again["id"], "\x1b[2J"])
    assert [row["id"] for row in done["done"]] == [again["id"]]
    assert done["notes"] == [f"Alert {found['id']} (soon) was acknowledged by ann already."]
    assert [row["exit_code"] for row in done["refused"]] == [3, 3, 3]
    assert "Nearest: soon" in done["refused"][0]["message"]
    assert "\x1b" not in done["refused"][2]["message"]


async def test_an_acknowledged_alert_resolves_like_any_other(call: Call) -> None:
    found = await late(call)
    await alerts.ack(call, ids=[found["id"]])
    await tasks.cancel(call, ids=["soon"])
    await call.db.write(slas.evaluate, clock.utcnow())
    (row,) = await alerts.ls(call, all=True)
    assert (row["status"], row["acknowledged_by"]) == ("resolved", "ann")
    assert (await alerts.ack(call, ids=[found["id"]]))["notes"] == [f"Alert {found['id']} (soon) has resolved."]
