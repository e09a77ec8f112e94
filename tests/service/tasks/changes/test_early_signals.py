"""Tests of the signal before a timeout in submissions and settings."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import Problem
from app.service.context import Call
from app.service.schedules import verbs as schedules
from app.service.tasks.changes import actions
from app.service.tasks.inspection import views
from db.queries.scheduling import dispatch
from tests.service.calls import submit_task


async def test_a_signal_is_stored_with_its_task_and_goes_to_its_run(call: Call):
    answer = await submit_task(call, timeout="2h", signal="SIGUSR1@300")

    assert (await views.show(call, id=1))["early_signal"] == "USR1@5m"
    ready = await call.db.read(dispatch.map_startable, [answer["uuid"]])
    assert ready[answer["uuid"]].early_signal == "USR1@5m"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"signal": "USR1@5m"}, "there is no timeout. Nothing was submitted."),
        ({"signal": "USR1@5m", "timeout": "2m"}, "before the start: the timeout is 2m."),
        ({"signal": "USR9@5m", "timeout": "2h"}, "signal must be SIGNAL@TIME"),
        ({"signal": True, "timeout": "2h"}, "signal must be SIGNAL@TIME"),
    ],
)
async def test_a_signal_that_cannot_be_sent_is_refused(
    call: Call, options: dict[str, Any], said: str
):
    with pytest.raises(Problem, match=said):
        await submit_task(call, **options)


async def test_a_signal_is_set_together_with_its_timeout(call: Call):
    await submit_task(call)

    async def set_fields(**fields: Any) -> dict[str, Any]:
        return await actions.set_(call, ids=[1], fields=fields)

    assert "there is no timeout" in (await set_fields(signal="USR1@5m"))["refused"][0]["message"]
    (done,) = (await set_fields(signal="USR1@5m", timeout="1h"))["done"]
    assert done["changes"]["early_signal"] == [None, "USR1@5m"]
    assert "USR1@5m" in (await set_fields(timeout=None))["refused"][0]["message"]
    assert (await set_fields(timeout=None, signal=None))["done"]


async def test_a_schedule_gives_its_tasks_a_signal(call: Call):
    await schedules.create(
        call, name="s", cron="0 2 * * *", argv=["true"], timeout="1h", signal="USR1@300"
    )
    answer = await schedules.run(call, name="s")

    assert (await views.show(call, id=answer["number"]))["early_signal"] == "USR1@5m"
