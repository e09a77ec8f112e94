"""Reasons in the texts of alerts that nothing has succeeded in time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.service.rules.evaluation.alert_texts import keep_reason
from app.service.schedules import firing, verbs
from tests.service.rules.virtual_home import VirtualHome, open_virtual_home

pytestmark = pytest.mark.database
HOUR = 3600.0
LATE = "no success by Mon 30 Nov 06:00"


@pytest.fixture
async def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[VirtualHome]:
    async with open_virtual_home(tmp_path, monkeypatch) as found:
        fixed = {"fixed": "06:00", "tz": "UTC"}
        when = {"deadline": {"reference": fixed}}
        await found.add_rule({"scope": "task", "match": {"task": "etl"}, "when": when})
        yield found


async def add_schedule(home: VirtualHome, **more: Any) -> None:
    given: dict[str, Any] = {"cron": "0 2 * * *", "timezone": "UTC", "argv": ["true"]} | more
    await verbs.create(home.call, name="etl", **given)


async def find_text(home: VirtualHome) -> str:
    """Return the text of the alert at the deadline."""
    await home.skip(6 * HOUR - (home.now - home.start))
    await home.advance(5)
    (alert,) = await home.list_alerts()
    return alert["text"]


async def test_a_paused_schedule_is_the_reason(home: VirtualHome):
    await add_schedule(home)
    await verbs.pause(home.call, name="etl")

    assert await find_text(home) == (
        f"{LATE}: schedule etl is paused by ann since Mon 30 Nov 00:00"
    )


async def test_a_skipped_fire_time_is_the_reason(home: VirtualHome):
    await add_schedule(home)
    await home.start_run(await home.submit("other"))
    await verbs.run(home.call, name="etl")
    await home.skip(2 * HOUR)
    await firing.fire_due(home.call.db)

    assert await find_text(home) == (
        f"{LATE}: schedule etl skipped Mon 30 Nov 02:00, #2 had not ended"
    )


async def test_the_failed_task_is_the_reason(home: VirtualHome):
    await home.skip(HOUR)
    await home.run_task("etl", 4)

    assert (await find_text(home)).endswith(": #1 failed, exit 4")


async def test_an_unfinished_task_is_the_reason(home: VirtualHome):
    await home.start_run(await home.submit("etl"))

    assert await find_text(home) == f"{LATE}: #1 is running since Mon 30 Nov 00:00"


async def test_a_submission_that_never_came_is_the_reason(home: VirtualHome):
    assert await find_text(home) == f"{LATE}: nothing was submitted"


@pytest.mark.parametrize(
    ("stored", "kept"),
    [
        ("no success for 2h: #1 is queued", "no success for 3h: #1 is queued"),
        ("no success for 2h", "no success for 3h"),
        ("2 of them, first etl: no success for 2h", "no success for 3h"),
    ],
)
def test_a_present_text_keeps_the_reason(stored: str, kept: str):
    assert keep_reason(stored, "no success for 3h") == kept
