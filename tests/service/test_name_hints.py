"""Hints about names that nothing has so far, and refusals of actions that cannot be done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.errors import NotFound
from app.service import registry
from app.service.context import Call
from tests.service.calls import open_call

UNWATCHED = {"preset": "starts-within", "value": "30m"}


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
async def call(tmp_path: Path, notes: list[str]) -> AsyncIterator[Call]:
    async with open_call(tmp_path) as found:
        yield replace(found, note=notes.append)


async def call_verb(call: Call, verb: str, **args: Any) -> Any:
    return await registry.call_verb(call, verb, args)


async def submit(call: Call, name: str) -> None:
    task = {"name": name, "argv": ["true"], "tags": {"team": "video"}}
    await call_verb(call, "submit", tasks=[task])


@pytest.mark.parametrize(
    ("match", "hint"),
    [
        (
            {"task": "nightly-elt"},
            "no task has had the name nightly-elt so far. Nearest: nightly-etl",
        ),
        ({"task": "nightly-etl"}, None),
        ({"task": "nightly-*"}, None),
        ({"schedule": "pzz"}, "there is no schedule pzz so far. Nearest: pz"),
        ({"tag": {"tem": "video"}}, "no recent task has the tag tem=video. Nearest: team=video"),
        ({"tag": {"team": "video"}}, None),
    ],
)
async def test_a_rule_on_a_name_that_nothing_has_is_stored_with_a_hint(
    call: Call, notes: list[str], match: Any, hint: str | None
):
    await submit(call, "nightly-etl")
    await call_verb(call, "schedule.create", name="pz", cron="0 2 * * *", argv=["true"])

    made = await call_verb(call, "sla.create", name="r", preset="fails-in-a-row", **match)

    assert made["name"] == "r" and notes == ([hint] if hint else [])


async def test_a_silence_of_unknown_names_is_set_with_hints(call: Call, notes: list[str]):
    match = {"rule": ["nope"], "queue": ["defalt", "gpu-*"]}

    done = await call_verb(call, "alert.silence", match=match, until="2h")

    assert done["done"] and done["notes"] == [
        "there is no rule or open alert nope so far.",
        "there is no queue defalt so far. Nearest: default",
        "no open alert matches now; later ones are silenced.",
    ]


@pytest.mark.parametrize(
    ("program", "hint"),
    [
        ("/no/such/etl.sh", "there is no program /no/such/etl.sh so far."),
        ("./etl.sh", "there is no program ./etl.sh from /srv so far."),
        ("true", None),
    ],
)
async def test_a_schedule_of_a_missing_program_is_stored_with_a_hint(
    call: Call, notes: list[str], program: str, hint: str | None
):
    await call_verb(call, "schedule.create", name="s", every="1h", argv=[program], cwd="/srv")

    assert notes == ([hint] if hint else [])


@pytest.mark.parametrize(
    ("jitter", "hint"),
    [("3d", "a jitter of 3d is longer than the 8h between two fire times."), ("8h", None)],
)
async def test_a_jitter_longer_than_the_interval_has_a_hint(
    call: Call, notes: list[str], jitter: str, hint: str | None
):
    times = {"cron": "0 9,17 * * *", "argv": ["true"], "timezone": "UTC"}
    await call_verb(call, "schedule.create", name="s", **times)
    await call_verb(call, "schedule.set", name="s", jitter=jitter)
    await call_verb(call, "apply", tables={"schedules": {"s2": times | {"jitter": jitter}}})

    assert notes == ([hint, f"schedules.s2: {hint}"] if hint else [])


@pytest.mark.parametrize(
    ("action", "problem"),
    [
        ({"submit": {"template": "tpll"}}, 'slas.act: there is no template "tpll". Nearest: tpl.'),
        (
            {"submit": {"argv": ["true"], "queue": "defalt"}},
            'slas.act: there is no queue "defalt".',
        ),
        ({"pause_queue": "mdia"}, 'slas.act: there is no queue "mdia". Nearest: media.'),
        ({"command": ["/no/such"]}, 'slas.act: there is no program "/no/such" for the action'),
        ({"notify": "hok"}, 'slas.act: there is no channel "hok" in config.toml.'),
    ],
)
async def test_apply_refuses_an_action_on_what_does_not_exist(
    call: Call, action: Any, problem: str
):
    tables = {
        "queues": {"media": {"pool": "default"}},
        "templates": {"tpl": {"engine": "exec", "schema": {"argv": ["true"]}}},
        "slas": {"act": {"conditions": UNWATCHED, "actions": [action]}},
    }

    with pytest.raises(NotFound) as caught:
        await call_verb(call, "apply", tables=tables, dry_run=True)

    assert caught.value.message.startswith(problem)


async def test_apply_takes_actions_and_names_of_the_same_file(call: Call, notes: list[str]):
    actions = [{"submit": {"template": "tpl"}}, {"pause_queue": "media"}, {"command": ["true"]}]
    conditions = {"scope": "task", "match": {"task": "etl"}, "when": {"metric": {
        "name": "task.seconds_since_success"}, "op": ">", "value": "1h"}}  # fmt: skip
    tables = {
        "queues": {"media": {"pool": "default"}},
        "templates": {"tpl": {"engine": "exec", "schema": {"argv": ["true"]}}},
        "schedules": {"etl": {"every": "1h", "timezone": "UTC", "argv": ["/no/such"]}},
        "slas": {"act": {"conditions": conditions, "actions": actions}},
    }

    for _ in range(2):
        await call_verb(call, "apply", tables=tables)

    assert notes == [
        *["slas.act: commands are off; to allow them: [actions] command = true in config.toml."],
        "schedules.etl: there is no program /no/such so far.",
        *["slas.act: commands are off; to allow them: [actions] command = true in config.toml."],
    ]


async def test_a_rule_on_a_resource_that_no_pool_has_is_stored_with_a_hint(
    call: Call, notes: list[str]
):
    await call_verb(call, "pool.set", name="default", resources={"gpu": 2})
    for metric in ("gpu", "gpus"):
        when = {"metric": f"pool.{metric}_ratio", "op": ">", "value": 0.9}
        conditions = {"scope": "pool", "when": when}
        await call_verb(call, "sla.create", name=metric, conditions=conditions)

    assert notes == ["no pool has gpus so far. Nearest: gpu"]
