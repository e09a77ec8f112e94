"""Present values of rules, and their trails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.runtime.change_feed import ChangeFeed
from app.service.definitions import slas
from tests.service.conftest import FakeRuntimeHandle
from tests.service.rules.virtual_home import VirtualHome, open_virtual_home

pytestmark = pytest.mark.database
DEPTH = {"metric": "queue.depth", "op": ">", "value": 2}


@pytest.fixture
async def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[VirtualHome]:
    async with open_virtual_home(tmp_path, monkeypatch) as found:
        live = FakeRuntimeHandle(ChangeFeed())
        live.levels = found.engine.levels
        found.call = replace(found.call, live=live)
        yield found


async def read_level(home: VirtualHome, name: str = "rule") -> Any:
    return (await slas.show(home.call, name=name))["level"]


async def test_the_level_is_that_of_the_worst_subject(home: VirtualHome):
    await home.add_rule({"scope": "queue", "when": DEPTH})
    await home.submit()
    await home.advance(10)
    level = await read_level(home)
    assert (level["value"], level["limit"], level["object"]) == (1, 2, "queue default")
    assert level["text"] == "1, limit 2"
    assert level["metric"] == "queued tasks"


async def test_a_run_below_the_limit_has_a_level(home: VirtualHome):
    when = {"metric": "instance.run_seconds", "op": ">", "value": "30m"}
    await home.add_rule({"scope": "instance", "when": when})
    await home.start_run(await home.submit())
    await home.advance(120)
    level = await read_level(home)
    assert 60 <= level["value"] <= 120
    assert level["limit"] == 1800


async def test_a_rule_that_no_task_reaches_says_so(home: VirtualHome):
    when = {"metric": "instance.queued_seconds", "op": ">", "value": "30m"}
    await home.add_rule({"scope": "instance", "when": when})
    await home.advance(10)
    found = await slas.show(home.call, name="rule")
    assert (found["state"], found["level"]["text"]) == ("ok", "none reached, limit 30m")


async def test_a_rule_without_a_value_says_no_data(home: VirtualHome):
    when = {"metric": "task.success_ratio", "op": "<", "value": "90%"}
    await home.add_rule({"scope": "task", "when": when})
    await home.advance(10)
    found = await slas.show(home.call, name="rule")
    assert (found["state"], found["level"]["text"]) == ("no data", "no data")


async def test_a_rule_of_several_conditions_has_no_level(home: VirtualHome):
    await home.add_rule({"scope": "queue", "when": {"any": [DEPTH, {**DEPTH, "op": "<"}]}})
    await home.advance(10)
    assert await read_level(home) is None


async def test_the_trail_keeps_the_worst_value_of_each_step(home: VirtualHome):
    await home.add_rule({"scope": "queue", "when": DEPTH})
    await home.advance(70)
    await home.submit()
    await home.advance(60)
    history = await slas.read_history(home.call, name="rule")
    values = [value for _, value in history["trail"]]
    assert values[0] == 0
    assert values[-1] == 1
    assert len(values) <= 6
    assert history["deliveries"] == []


async def test_a_deleted_rule_is_forgotten(home: VirtualHome):
    await home.add_rule({"scope": "queue", "when": DEPTH})
    await home.add_rule({"scope": "queue", "when": DEPTH}, "other")
    await home.advance(10)
    number = (await slas.show(home.call, name="rule"))["id"]
    await slas.rm(home.call, name="rule")
    await home.advance(10)
    assert home.engine.levels.find(number) is None
