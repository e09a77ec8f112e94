"""Verbs for administrators of the runtime."""

from __future__ import annotations

import json

from app.service import runtime_admin
from app.service.context import Call
from tests.service.calls import execute_sql, submit_task


async def test_doctor_reports_only_problems_to_the_deck(call: Call):
    await submit_task(call)
    await execute_sql(call, "UPDATE tasks SET created_at = '2099-01-01T00:00:00.000000Z'")

    found = await runtime_admin.doctor(call)

    assert json.loads(json.dumps(found)) == found and all(
        one["hint"] or not one["ok"] for one in found
    )
    (clock,) = [one for one in found if one["check"] == "clock"]
    assert "behind the newest task" in clock["text"] and clock["cure"] and not clock["ok"]
