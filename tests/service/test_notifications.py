"""Tests of channels in rules: create, change, undo, export and edit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from app.core.notifications.channels import Channel, NotificationSettings
from app.errors import NotFound, Problem, Usage
from app.service import notifications, registry
from app.service.context import Call
from db import timestamps
from db.queries.home import retention
from db.queries.home.retention import RetentionRules
from db.queries.rules import deliveries
from tests.service.calls import execute_sql
from tests.service.conftest import FakeRuntimeHandle

SETTINGS = NotificationSettings(
    {name: Channel(name, (f"json://{name}",)) for name in ("ops", "chat")},
    default="chat",
    faulty=frozenset({"bad"}),
)
RULE = {"name": "etl", "preset": "finishes-within", "value": "1h"}


@pytest.fixture
def told(runtime_call: Call, fake_runtime: FakeRuntimeHandle) -> Call:
    """Return a call beside a runtime that has channels."""
    fake_runtime.channels = SETTINGS
    return runtime_call


async def ask(call: Call, verb: str, **args: Any) -> Any:
    return await registry.call_verb(call, verb, args)


def list_targets(rule: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["on"], one["notify"]) for one in rule["actions"] or ()]


async def test_a_change_of_channels_keeps_the_rule_and_can_be_undone(told: Call):
    made = await ask(told, "sla.create", **RULE, notify=["ops"])
    changed = await ask(told, "sla.set", name="etl", notify=["ops", "chat"])
    await ask(told, "undo", ids=changed["operations"])
    undone = await ask(told, "sla.show", name="etl")
    await ask(told, "sla.set", name="etl", notify=[""])
    silent = await ask(told, "sla.show", name="etl")

    both = [("firing", "ops"), ("resolved", "ops")]
    assert list_targets(made) == both and made["does"] == [
        "firing: notify ops",
        "resolved: notify ops",
    ]
    assert list_targets(changed) == [*both, ("firing", "chat"), ("resolved", "chat")]
    assert list_targets(undone) == both
    assert (silent["actions"], silent["enabled"]) == ({}, True)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("opps", 'there is no channel "opps" in config.toml. Nearest: ops. Nothing was changed.'),
        ("bad", 'the channel "bad" has a mistake in config.toml. Nothing was changed.'),
    ],
)
async def test_a_rule_with_an_unknown_channel_is_not_created(told: Call, name: str, says: str):
    with pytest.raises(NotFound) as caught:
        await ask(told, "sla.create", **RULE, notify=[name])

    assert caught.value.message == says
    assert await ask(told, "sla.ls") == []


async def test_a_rule_with_actions_is_exported_edited_and_applied_again(told: Call):
    await ask(told, "sla.create", **RULE, notify=["ops"])
    text = await ask(told, "export")

    again = await ask(told, "apply", text=text)
    shown = await ask(told, "definition.show", kind="slas", name="etl")

    assert [one["change"] for one in again["changes"] if one["name"] == "etl"] == ["same"]
    assert 'notify = "ops"' in text and 'notify = "ops"' in str(shown)


async def test_a_task_keeps_its_channel(told: Call):
    (first,) = await ask(told, "submit", tasks=[{"argv": ["true"], "notify": "ops"}])
    (second,) = await ask(told, "submit", tasks=[{"argv": ["true"], "notify_on": "failed"}])
    (third,) = await ask(told, "submit", tasks=[{"argv": ["true"]}])
    found = [
        (await ask(told, "show", id=one["number"]))["notify"] for one in (first, second, third)
    ]

    assert found == [
        {"channel": "ops", "on": "ended", "default": False},
        {"channel": "chat", "on": "failed", "default": False},
        {"channel": "chat", "on": "failed", "default": True},
    ]
    (silent,) = await ask(told, "submit", tasks=[{"argv": ["true"], "notify_on": "never"}])
    shown = await ask(told, "show", id=silent["number"])
    assert shown["notify"] == {"channel": "", "on": "never", "default": False}
    with pytest.raises(Usage, match="notify_on"):
        await ask(told, "submit", tasks=[{"argv": ["true"], "notify_on": "always"}])


TEMPLATE = {"engine": "exec", "schema": {"argv": ["true"]}}


@pytest.mark.parametrize(
    ("template", "task", "stored"),
    [
        ({"notify": "ops"}, {}, "ended ops"),
        ({"notify": "ops", "notify_on": "failed"}, {}, "failed ops"),
        ({"notify": "ops", "notify_on": "failed"}, {"notify": "chat"}, "failed chat"),
        ({"notify": "ops", "notify_on": "failed"}, {"notify_on": "ended"}, "ended ops"),
        ({"notify": "ops"}, {"notify": "none"}, "never "),
        ({"notify": "ops"}, {"notify_on": "never"}, "never "),
        ({"notify": "ops"}, {"notify": "default"}, None),
        ({"notify_on": "failed"}, {}, "failed "),
        ({"notify": "none"}, {}, "never "),
        ({"notify": "none"}, {"notify": "ops"}, "ended ops"),
        ({}, {}, None),
    ],
)
async def test_a_task_has_the_channel_of_its_template(
    told: Call, template: dict[str, str], task: dict[str, str], stored: str | None
):
    await ask(told, "template.create", name="t", **TEMPLATE, **template)
    await ask(told, "submit", tasks=[{"template": "t", **task}])

    assert await execute_sql(told, "SELECT notify FROM tasks") == [(stored,)]


async def test_a_template_of_an_unknown_channel_is_refused_but_its_tasks_run(
    told: Call, fake_runtime: FakeRuntimeHandle
):
    with pytest.raises(NotFound, match="Nearest: ops"):
        await ask(told, "template.create", name="t", **TEMPLATE, notify="opss")
    await ask(told, "template.create", name="t", **TEMPLATE, notify="ops")
    with pytest.raises(NotFound, match="Nearest: ops"):
        await ask(told, "template.set", name="t", notify="opss")
    fake_runtime.channels = replace(SETTINGS, channels={}, default="")
    schedule = {"cron": "@daily", "template": "t", "notify_on": "failed"}
    await ask(told, "schedule.create", name="s", **schedule)
    await ask(told, "submit", tasks=[{"template": "t", "notify_on": "failed"}])

    assert await execute_sql(told, "SELECT notify FROM tasks") == [("failed ops",)]


async def test_the_channel_of_a_template_is_set_reset_and_undone(told: Call):
    async def set_notice(**given: str) -> tuple[str | None, str | None]:
        shown = await ask(told, "template.set", name="t", **given)
        return shown["notify"], shown["notify_on"]

    await ask(told, "template.create", name="t", **TEMPLATE, notify="ops")
    assert await set_notice(notify_on="failed") == ("ops", "failed")
    assert await set_notice(notify="chat") == ("chat", "failed")
    assert await set_notice(notify_on="never") == (None, "never")
    assert await set_notice(notify="ops") == ("ops", None)
    assert await set_notice(notify="none") == ("none", None)
    assert await set_notice(notify="default") == (None, None)
    (last, *_) = await ask(told, "operations")
    await ask(told, "undo", ids=[last["id"]])
    assert (await ask(told, "template.show", name="t"))["notify"] == "none"


async def test_the_channel_of_a_template_is_exported_and_applied(told: Call):
    await ask(told, "template.create", name="t", **TEMPLATE, notify="ops", notify_on="failed")
    text = await ask(told, "export")
    again = await ask(told, "apply", text=text)
    other = text.replace('"ops"', '"opss"').replace('"failed"', '"ended"')
    notes: list[str] = []
    dry = await ask(replace(told, note=notes.append), "apply", text=other, dry_run=True)

    assert 'notify = "ops"' in text and 'notify_on = "failed"' in text
    assert {one["change"] for one in again["changes"]} == {"same"}
    (change,) = (one for one in dry["changes"] if one["change"] != "same")
    assert change["fields"] == {"notify": ["ops", "opss"], "notify_on": ["failed", "ended"]}
    assert notes[0].startswith("templates.t: ") and "Nearest: ops" in notes[0]
    with pytest.raises(Usage, match="notify_on never goes without a channel"):
        await ask(told, "apply", text=text.replace('"failed"', '"never"'))


@pytest.mark.parametrize(
    "form",
    [
        {"preset": "queue-wait"},
        {"preset": "finishes-within", "value": "1h"},
        {
            "conditions": {
                "scope": "queue",
                "when": {"metric": "queue.depth", "op": ">", "value": 1},
            }
        },
    ],
)
async def test_each_form_of_a_rule_has_known_channels(told: Call, form: dict[str, Any]):
    made = await ask(told, "sla.create", name="x", **form, notify=["ops"])

    assert list_targets(made) == [("firing", "ops"), ("resolved", "ops")]
    for verb, name in (("sla.create", "y"), ("sla.set", "x")):
        with pytest.raises(NotFound, match="Nearest: ops"):
            await ask(told, verb, name=name, **form, notify=["opss"])


async def read_notice(told: Call, number: int) -> Any:
    shown = (await ask(told, "show", id=number))["notify"]
    return shown["channel"], shown["on"], shown["default"]


async def test_the_channel_of_a_waiting_task_is_set_and_undone(told: Call):
    (task,) = await ask(told, "submit", tasks=[{"argv": ["true"], "hold": True}])
    number = task["number"]

    async def change(**fields: str) -> Any:
        return await ask(told, "set", ids=[number], fields=fields)

    done = await change(notify="ops", notify_on="failed")
    assert done["done"][0]["changes"] == {"notify": [None, "failed ops"]}
    assert await read_notice(told, number) == ("ops", "failed", False)
    await change(notify_on="ended")
    assert await read_notice(told, number) == ("ops", "ended", False)
    await change(notify="none")
    assert await read_notice(told, number) == ("", "never", False)
    await change(notify="default")
    assert await read_notice(told, number) == ("chat", "failed", True)
    ((last,),) = await execute_sql(told, "SELECT max(id) FROM operations")
    await ask(told, "undo", ids=[last])
    assert await read_notice(told, number) == ("", "never", False)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"notify": "opps"}, "Nearest: ops. Nothing was changed."),
        ({"notify": "pager"}, "Channels: ops, chat. Nothing was changed."),
        ({"notify_on": "always"}, "must be failed, ended or never"),
    ],
)
async def test_an_unknown_channel_is_refused_with_the_known_ones(
    told: Call, fields: dict[str, str], problem: str
):
    (task,) = await ask(told, "submit", tasks=[{"argv": ["true"], "hold": True}])
    with pytest.raises(Problem) as caught:
        await ask(told, "set", ids=[task["number"]], fields=fields)
    assert problem in str(caught.value)


async def test_ends_without_a_channel_are_refused(told: Call, fake_runtime: FakeRuntimeHandle):
    fake_runtime.channels = replace(SETTINGS, default="")
    (task,) = await ask(told, "submit", tasks=[{"argv": ["true"], "hold": True}])
    found = await ask(told, "set", ids=[task["number"]], fields={"notify_on": "failed"})
    assert "needs a channel" in found["refused"][0]["message"]


async def test_channels_are_listed_without_secrets(told: Call):
    found = await notifications.ls(told)

    assert [(one["name"], one["urls"], one["faulty"]) for one in found["channels"]] == [
        ("bad", [], True),
        ("chat", ["json://•••"], False),
        ("ops", ["json://•••"], False),
    ]


async def test_nothing_is_sent_without_a_runtime(told: Call, tmp_path: Any, monkeypatch: Any):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    with pytest.raises(NotFound, match="there is no channel"):
        await notifications.test(replace(told, live=None), channel="ops")


async def test_old_deliveries_are_removed_but_not_those_that_wait(told: Call):
    values = {
        "event": "firing", "action": {"notify": "ops"}, "target": "ops", "log": [], "reached": [],
        "payload": {"ids": [], "alerts": []}, "due_at": timestamps.now(),
    }  # fmt: skip
    for status, next_at in (("sent", None), ("pending", timestamps.now()), ("sent", None)):
        row = values | {"status": status, "next_at": next_at}
        await told.db.write(deliveries.insert, row)
    await execute_sql(told, "UPDATE deliveries SET created_at = '2026-01-01T00:00:00.000000Z'")
    rules = RetentionRules((), timestamps.now(), 202601)

    removed = await told.db.write(retention.remove_old, "deliveries", rules)

    left = await told.db.read(deliveries.list_latest, 10)
    assert (removed, [row.status for row in left]) == (1, ["sent", "pending"])


async def test_messages_that_fail_are_listed_first(told: Call):
    values = {
        "event": "firing", "action": {"notify": "ops"}, "target": "ops", "log": [], "reached": [],
        "payload": {"ids": [], "alerts": []}, "due_at": timestamps.now(),
    }  # fmt: skip
    failing = values | {"status": "pending", "next_at": timestamps.now(), "attempts": 5}
    for row in (failing, *[values | {"status": "sent", "next_at": None}] * notifications.LATEST):
        await told.db.write(deliveries.insert, row)

    found = (await notifications.ls(told))["deliveries"]

    assert [row["attempts"] for row in found] == [5] + [0] * notifications.LATEST
