"""The alert about a schedule whose latest task was refused, and its end."""

from __future__ import annotations

from typing import Any

from app.runtime.duties.periodic import Duties
from app.service import alerts
from app.service.context import Call
from app.service.definitions import templates
from app.service.schedules import firing, verbs
from db import timestamps
from tests.service.calls import execute_sql


async def fire_now(call: Call) -> None:
    """Let all schedules be due, and submit them."""
    at = timestamps.now()[:17] + "00.000000Z"
    await execute_sql(call, "UPDATE schedules SET next_fire = ?, due_at = ?", at, at)
    await firing.fire_due(call.db)


async def list_texts(call: Call, duties: Duties) -> list[str]:
    """Return the texts of open alerts after a check."""
    await duties.check_refusals()
    await duties._store_alerts()
    return [row["text"] for row in await alerts.ls(call)]


async def test_a_refused_schedule_raises_an_alert_until_it_submits(call: Call, duties: Duties):
    given: dict[str, Any] = {"cron": "* * * * *", "timezone": "UTC"}
    await templates.create(call, name="crunch", engine="exec", schema={"argv": ["true"]})
    await verbs.create(call, name="big job", template="crunch", **given)
    assert await list_texts(call, duties) == []

    await templates.retire(call, name="crunch")
    await fire_now(call)
    (text,) = await list_texts(call, duties)
    assert text.startswith('schedule big job submitted nothing: there is no template "crunch"')
    assert text.endswith("See: taskdeck schedule show 'big job'")

    await templates.retire(call, name="crunch", back=True)
    await verbs.run(call, name="big job")
    assert await list_texts(call, duties) == []


async def test_the_alert_ends_with_its_schedule(call: Call, duties: Duties):
    await verbs.create(call, name="s", every="1h", timezone="UTC", argv=["true"])
    await execute_sql(call, "UPDATE schedules SET expression = 'often'")
    await fire_now(call)
    (text,) = await list_texts(call, duties)
    assert "Its definition cannot be read" in text

    await verbs.rm(call, name="s")

    assert await list_texts(call, duties) == []
