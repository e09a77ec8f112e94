"""The runtime and its machine, as the verbs for administrators tell them."""

from __future__ import annotations

import json

from app.service import runtime_admin
from app.service.context import Call
from tests.service.calls import execute, submitted


async def test_doctor_tells_a_deck_only_what_is_not_well(call: Call):
    await submitted(call)
    await execute(call, "UPDATE tasks SET created_at = '2099-01-01T00:00:00.000000Z'")

    found = await runtime_admin.doctor(call)

    assert json.loads(json.dumps(found)) == found and all(one["hint"] or not one["ok"] for one in found)
    (clock,) = [one for one in found if one["check"] == "clock"]
    assert "behind the newest task" in clock["text"] and clock["cure"] and not clock["ok"]
