"""The replay of a rule: the same alerts as those that fired while it was watched."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import Refused, Usage
from app.service.definitions import slas
from app.service.rules import checkins, replay
from db import timestamps
from tests.service.rules.virtual_home import VirtualHome

pytestmark = pytest.mark.database
HOUR = 3600.0


async def watch(home: VirtualHome) -> None:
    """Let tasks wait, run, fail and be retried, while passes watch."""
    slow = await home.submit("encode")
    waiting = await home.submit("encode")
    await home.advance(90)
    run = await home.start_run(slow)
    await home.advance(HOUR)
    await home.end_run(run, code=0)
    await home.advance(60)
    for code in (1, 2, 1, 0):
        await home.end_run(await home.start_run(await home.submit("sync")), code)
        await home.advance(120)
    await home.end_run(await home.start_run(waiting))
    await home.advance(1000)


RULES: dict[str, dict[str, Any]] = {
    "wait": {"scope": "queue", "match": {"queue": "default"},
             "when": {"metric": "queue.oldest_wait_seconds", "op": ">", "value": "60s"}},
    "depth": {"scope": "queue", "when": {"metric": "queue.depth", "op": ">", "value": 1},
              "for": "30s"},
    "queued": {"scope": "instance",
               "when": {"metric": "instance.queued_seconds", "op": ">", "value": "5m"}},
    "long": {"scope": "instance",
             "when": {"metric": "instance.run_seconds", "op": ">", "value": "30m"}},
    "failed": {"scope": "instance",
               "when": {"metric": "instance.exit_code", "op": "!=", "value": 0}},
    "row": {"scope": "task", "match": {"task": "sync"},
            "when": {"metric": "task.consecutive_failures", "op": ">=", "value": 3}},
    "slow": {"scope": "task", "match": {"task": "encode"},
             "when": {"metric": "instance.run_seconds", "stat": "p95", "window": "10m",
                      "op": ">", "value": "30s"}},
    "late": {"scope": "instance",
             "when": {"deadline": {"reference": "queued_at", "offset": "1h"}}},
    "load": {"scope": "queue", "when": {"metric": "queue.load_ratio", "op": ">", "value": 0},
             "for": "10m"},
    "pool": {"scope": "pool", "when": {"metric": "pool.cpu_ratio", "op": ">", "value": 0},
             "for": "10m"},
}  # fmt: skip


async def test_a_replay_finds_the_alerts_that_fired(home: VirtualHome):
    for name, conditions in RULES.items():
        await home.add_rule(conditions, name)
    await watch(home)
    for name in RULES:
        log = [(round(at, 1), action) for at, action, rule in home.rule_log if rule == name]
        found = await replay.test(home.call, name=name, days=1)
        fired = [
            round(timestamps.to_unix(one["fired_at"]) - home.start, 1) for one in found["alerts"]
        ]
        assert sorted(fired) == sorted(at for at, action in log if action == "fire"), name
        over = [one["resolved_at"] for one in found["alerts"] if one["resolved_at"]]
        assert len(over) == sum(action == "resolve" for _, action in log), name
        assert found["is_complete"] and found["count"] == len(fired) > 0, name


async def test_a_fixed_deadline_is_replayed_for_each_day(home: VirtualHome):
    when = {"deadline": {"reference": {"fixed": "06:00", "tz": "UTC", "days": "mon-fri"}}}
    await home.add_rule({"scope": "task", "match": {"task": "etl"}, "when": when})
    for day in range(3):
        await home.skip(2 * HOUR)
        if day != 1:
            await home.run_task("etl", seconds=60)
        await home.skip(22 * HOUR)
    found = await replay.test(home.call, name="rule", days=3)
    hours = [(timestamps.to_unix(one["fired_at"]) - home.start) / HOUR for one in found["alerts"]]
    assert hours == [30.0]


async def test_a_missed_check_in_fired_when_it_was_missed(home: VirtualHome):
    when = {"metric": "task.seconds_since_success", "op": ">", "value": "10m"}
    await home.add_rule({"scope": "task", "match": {"task": "dump"}, "when": when})
    await checkins.check_in(home.call, name="dump")
    await home.skip(HOUR)
    (found,) = (await replay.test(home.call, name="rule", days=1))["alerts"]
    assert timestamps.to_unix(found["fired_at"]) - home.start == pytest.approx(600.0, abs=0.1)
    assert found["text"] == "no success for 10m (limit 10m)"


async def test_a_rule_without_stored_values_is_refused(home: VirtualHome):
    when = {"metric": "host.memory_ratio", "op": ">", "value": 0.9}
    await home.add_rule({"scope": "host", "when": when})
    with pytest.raises(Refused, match="host.memory_ratio cannot be replayed"):
        await replay.test(home.call, name="rule")
    with pytest.raises(Usage):
        await replay.test(home.call, name="rule", days=0)
    await slas.create(home.call, name="old", preset="stays-below", metric="wal-size", value="5M")
    with pytest.raises(Refused, match="rule old is about wal-size, which cannot be replayed"):
        await replay.test(home.call, name="old")


async def test_a_replay_begins_with_the_home(home: VirtualHome):
    when = {"deadline": {"reference": {"fixed": "06:00", "tz": "UTC"}}}
    await home.add_rule({"scope": "task", "match": {"task": "etl"}, "when": when})
    await home.skip(60)
    found = await replay.test(home.call, name="rule", days=30)
    assert (found["count"], found["since"]) == (0, timestamps.from_unix(home.start))


@pytest.mark.parametrize(("preset", "hours"), [("finishes-within", [1.0, 1.0]),
                                               ("starts-within", [1.0])])  # fmt: skip
async def test_a_limit_of_tasks_is_replayed(home: VirtualHome, preset: str, hours: list[float]):
    await slas.create(home.call, name="old", preset=preset, value="1h", task="etl", tag="a=b")
    await home.submit("other", tags={"a": "b"})
    await home.submit("etl")
    late = await home.submit("etl", tags={"a": "b"})
    failing = await home.start_run(await home.submit("etl", tags={"a": "b"}))
    await home.skip(1.2 * HOUR)
    await home.end_run(await home.start_run(late))
    await home.skip(0.3 * HOUR)
    await home.end_run(failing, 1)
    found = (await replay.test(home.call, name="old"))["alerts"]
    times = [(timestamps.to_unix(one["fired_at"]) - home.start) / HOUR for one in found]
    assert times == pytest.approx(hours, abs=0.01)
