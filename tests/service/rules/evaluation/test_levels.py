"""Present values of rules, and their trails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.runtime.change_feed import ChangeFeed
from app.service.definitions import slas
from db.queries.history import samples
from tests.service.conftest import FakeRuntimeHandle
from tests.service.rules.virtual_home import VirtualHome, open_virtual_home

pytestmark = pytest.mark.database
DEPTH = {"metric": "queue.depth", "op": ">", "value": 2}
QUEUED = {"metric": "instance.queued_seconds", "op": ">", "value": "30m"}


@pytest.fixture
async def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[VirtualHome]:
    async with open_virtual_home(tmp_path, monkeypatch) as found:
        attach_runtime(found)
        yield found


def attach_runtime(home: VirtualHome) -> None:
    live = FakeRuntimeHandle(ChangeFeed())
    live.levels = home.engine.levels
    home.call = replace(home.call, live=live)


async def read_levels(home: VirtualHome, name: str = "rule") -> Any:
    return (await slas.show(home.call, name=name))["levels"]


async def read_texts(home: VirtualHome) -> list[str]:
    return [level["text"] for level in await read_levels(home)]


async def test_the_level_is_that_of_the_worst_subject(home: VirtualHome):
    await home.add_rule({"scope": "queue", "when": DEPTH})
    await home.submit()
    await home.advance(10)
    (level,) = await read_levels(home)
    assert (level["value"], level["limit"], level["object"]) == (1, 2, "queue default")


async def test_a_run_below_the_limit_has_a_level(home: VirtualHome):
    when = {"metric": "instance.run_seconds", "op": ">", "value": "30m"}
    await home.add_rule({"scope": "instance", "when": when})
    await home.start_run(await home.submit())
    await home.advance(120)
    (level,) = await read_levels(home)
    assert 60 <= level["value"] <= 120
    assert level["limit"] == 1800


async def test_the_nearest_waiting_task_below_the_limit_is_named(home: VirtualHome):
    await home.add_rule({"scope": "instance", "match": {"task": "enc*"}, "when": QUEUED})
    for name in ("other", "encode", "encode"):
        await home.submit(name)
        await home.advance(60)
    assert await read_texts(home) == ["queued 2m, limit 30m, #2 encode"]


async def test_a_rule_that_no_task_reaches_says_so(home: VirtualHome):
    await home.add_rule({"scope": "instance", "when": QUEUED})
    await home.advance(10)
    found = await slas.show(home.call, name="rule")
    assert found["state"] == "ok"
    assert await read_texts(home) == ["queued none reached, limit 30m"]


async def test_a_rule_without_a_value_says_no_data(home: VirtualHome):
    when = {"metric": "task.success_ratio", "op": "<", "value": "90%"}
    await home.add_rule({"scope": "task", "when": when})
    await home.advance(10)
    assert (await slas.show(home.call, name="rule"))["state"] == "no data"
    assert await read_texts(home) == ["successes: no data"]


async def test_each_comparison_of_a_rule_has_a_value(home: VirtualHome):
    fast = {"metric": "queue.oldest_wait_seconds", "op": ">", "value": "5m"}
    await home.add_rule({"scope": "queue", "when": {"all": [DEPTH, fast]}})
    await home.submit()
    await home.advance(60)
    assert await read_texts(home) == [
        "queued tasks 1, limit 2, queue default", "longest wait 1m, limit 5m, queue default",
    ]  # fmt: skip


async def test_a_deadline_shows_what_is_due_next(home: VirtualHome):
    when = {"deadline": {"reference": "queued_at", "offset": "10m"}}
    await home.add_rule({"scope": "instance", "when": when})
    await home.submit("first")
    await home.advance(300)
    await home.submit("second")
    await home.advance(60)
    assert await read_texts(home) == ["#1 first due in 4m, 00:10; 2 open"]
    await home.advance(300)
    assert await read_texts(home) == ["#2 second due in 4m, 00:15; 1 open, 1 missed"]


async def test_a_fixed_deadline_shows_open_and_met_names(home: VirtualHome):
    when = {"deadline": {"reference": {"fixed": "06:00", "tz": "UTC"}}}
    await home.add_rule({"scope": "task", "match": {"task": ["etl"]}, "when": when})
    await home.advance(60)
    assert await read_texts(home) == ["etl due in 5h59m, 06:00; 1 open"]
    await home.run_task("etl")
    await home.advance(10)
    assert await read_texts(home) == ["etl: met by #1, next due 06:00"]


async def test_a_forecast_shows_its_range_against_the_deadline(home: VirtualHome):
    for _ in range(3):
        await home.run_task("etl", seconds=600)
    when = {"forecast": {"reference": "queued_at", "offset": "1h"}}
    await home.add_rule({"scope": "instance", "match": {"task": "etl"}, "when": when})
    await home.start_run(await home.submit("etl"))
    await home.advance(10)
    assert await read_texts(home) == ["#4 etl ends 00:38–00:42, probably 00:40, due 01:30; 1 open"]


async def test_a_rule_outside_its_hours_has_no_level(home: VirtualHome):
    await home.add_rule({"scope": "queue", "when": DEPTH, "active_time": "sat 08:00-18:00"})
    await home.advance(10)
    found = await slas.show(home.call, name="rule")
    assert (found["levels"], found["state"]) == ([], "ok")


async def test_the_trail_keeps_the_worst_value_of_each_step(home: VirtualHome):
    when = {"metric": "queue.oldest_wait_seconds", "op": ">", "value": "5m"}
    await home.add_rule({"scope": "queue", "when": {"any": [when, DEPTH]}})
    await home.advance(70)
    await home.submit()
    await home.advance(60)
    history = await slas.read_history(home.call, name="rule")
    values = [value for _, value in history["trail"]]
    assert values[0] == 0
    assert 25 <= values[-1] <= 60
    assert len(values) <= 6
    assert (history["deliveries"], history["begins"]) == ([], "change")


async def test_the_trail_before_a_start_comes_from_samples(home: VirtualHome):
    await home.add_rule({"scope": "queue", "match": {"queue": "default"}, "when": DEPTH})
    rows = [make_sample("default", 3, 5), make_sample("default", 2, 70), make_sample("other", 9, 3)]
    await home.skip(3600)
    await home.call.db.write(lambda c: samples.store_samples(c, rows))
    home.restart()
    attach_runtime(home)
    await home.advance(10)
    history = await slas.read_history(home.call, name="rule")
    assert [value for _, value in history["trail"]] == [3, 0]
    assert history["begins"] == ""


def make_sample(queue: str, waiting: int, minute: int) -> dict[str, Any]:
    """Return a sample of a queue, taken some minutes after Monday 00:00."""
    at = f"2026-11-30T{minute // 60:02}:{minute % 60:02}:00.000000Z"
    counts = dict.fromkeys(samples.COUNT_COLUMNS, 0)
    uses = dict.fromkeys(("used_cpu", "used_memory", "measured_cpu", "measured_memory"))
    return {"kind": "queue", "name": queue, "minute": at, "running": 0, "waiting": waiting,
            **counts, **uses, "created_at": at, "updated_at": at}  # fmt: skip


async def test_a_changed_or_deleted_rule_is_forgotten(home: VirtualHome):
    await home.add_rule({"scope": "queue", "when": DEPTH})
    await home.add_rule({"scope": "queue", "when": DEPTH}, "other")
    await home.advance(10)
    await home.skip(1)
    wait = {"metric": "queue.oldest_wait_seconds", "op": ">", "value": "5m"}
    await slas.set_(home.call, name="rule", conditions={"scope": "queue", "when": wait})
    assert await read_levels(home) == []
    await slas.rm(home.call, name="other")
    await home.advance(10)
    assert len(home.engine.levels._latest) == 1


async def test_without_a_runtime_no_rule_has_data(home: VirtualHome):
    await home.add_rule({"scope": "queue", "when": DEPTH})
    await home.advance(10)
    home.call = replace(home.call, live=None)
    found = await slas.show(home.call, name="rule")
    assert (found["levels"], found["state"]) == ([], "no data")


async def test_a_baseline_counts_runs_as_soon_as_they_end(home: VirtualHome):
    base = {"stat": "median", "runs": 20, "factor": 1.5}
    when = {"metric": "instance.run_seconds", "op": ">", "baseline": base}
    await home.add_rule({"scope": "instance", "when": when})
    for _ in range(2):
        await home.run_task("encode", seconds=10)
    long = await home.start_run(await home.submit("encode"))
    third = await home.start_run(await home.submit("encode"))
    await home.advance(5)
    assert await read_texts(home) == ["running: no data (2 of 3 past runs)"]
    await home.advance(5)
    await home.end_run(third)
    await home.advance(6)
    assert [action for _, action in home.take_log()] == ["fire"]
    await home.end_run(long)
