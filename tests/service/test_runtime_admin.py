"""Verbs for administrators of the runtime."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.core.board import DRAINING, RuntimeFacts
from app.errors import Refused
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


@pytest.fixture
def in_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Turn cluster mode on."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "taskdeck").mkdir()
    (tmp_path / "taskdeck" / "config.toml").write_text("cluster = true\n")


@pytest.mark.usefixtures("in_cluster")
async def test_no_person_cancels_a_drain_by_a_cluster(call: Call):
    cancelled = []
    live: Any = SimpleNamespace(halted=DRAINING, cancel_drain=lambda: cancelled.append(1))

    with pytest.raises(Refused, match="the cluster starts"):
        await runtime_admin.start(replace(call, live=live))

    assert not cancelled


@pytest.mark.usefixtures("in_cluster")
async def test_a_person_stops_only_a_demo_beside_a_cluster(call: Call):
    stopped = []
    for demo in (True, False):
        live: Any = SimpleNamespace(
            get_facts=lambda demo=demo: RuntimeFacts(demo=demo),
            mark_stopped=lambda *words: None,
            stop=lambda drain, demo=demo: stopped.append(demo),
        )
        with nullcontext() if demo else pytest.raises(Refused, match="start the runtime"):
            await runtime_admin.stop(replace(call, live=live))

    assert stopped == [True]
