"""Templates: creating, changing, using and deleting them."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.core.schema import parameters
from app.errors import Conflict, NotFound, Refused, Usage
from app.service.context import Call
from app.service.definitions import queues, templates
from app.service.undo import undo
from tests.service.calls import execute_sql, list_operations, open_call, submit_task
from tests.service.conftest import Worker

TEMPLATE = {
    "engine": "shell",
    "schema": {"script": 'echo "hello $PARAM_who"'},
    "parameters": {
        "type": "object",
        "required": ["who"],
        "properties": {"who": {"type": "string"}},
    },
}


@pytest.fixture
async def call(tmp_path: Path) -> AsyncIterator[Call]:
    async with open_call(tmp_path) as found:
        yield found


async def test_a_template_is_created_shown_and_listed(call: Call) -> None:
    made = await templates.create(
        call, name="greet", **TEMPLATE, timeout="30m", cpu=2, memory="64M", retries=1
    )
    assert (made["name"], made["type"], made["engine"], made["timeout"], made["cpu"]) == (
        "greet",
        "shell",
        "shell",
        1800,
        2,
    )
    assert (made["memory"], made["retries"], made["schema"]) == (64, 1, TEMPLATE["schema"])
    assert [await templates.show(call, name="greet")] == await templates.ls(call) == [made]
    assert await list_operations(call) == [("template create", "template greet")]


async def test_without_a_parameter_schema_a_template_takes_its_placeholders(call: Call) -> None:
    made = await templates.create(
        call, name="copy", engine="exec", schema={"argv": ["cp", "{{ from }}", "{{ to }}"]}
    )
    assert made["parameters"]["required"] == ["from", "to"]


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"engine": "shel"}, Usage, "engine must be exec, shell or python"),
        ({"schema": {"scrpt": "x"}}, Usage, "Nearest: script"),
        ({"parameters": {"properties": {"a": 7}}}, Usage, "parameters: properties.a"),
        ({"timeout": "-5s"}, Usage, "timeout must be 0 or more"),
        ({"colour": "red"}, Usage, 'unknown key "colour"'),
        ({"queue": "defualt"}, NotFound, 'there is no queue "defualt". Nearest: default'),
        ({"memory": "100T"}, Refused, "it could never start"),
        ({"cpu": 99_999}, Refused, "pool default has"),
    ],
)
async def test_a_template_that_could_not_run_is_refused(
    call: Call, given: dict[str, object], kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind) as caught:
        await templates.create(call, name="greet", **{**TEMPLATE, **given})
    assert words in str(caught.value)
    assert await templates.ls(call) == []


async def test_a_name_must_be_valid_and_unused(call: Call) -> None:
    await templates.create(call, name="greet", **TEMPLATE)
    with pytest.raises(Conflict, match="already"):
        await templates.create(call, name="greet", **TEMPLATE)
    with pytest.raises(Usage, match="name must not"):
        await templates.create(call, name="a\x1b[2J", **TEMPLATE)


async def test_set_changes_only_the_given_fields(call: Call) -> None:
    was = await templates.create(call, name="greet", **TEMPLATE, timeout=60)
    now = await templates.set_(call, name="greet", timeout="5m")
    assert {key for key in now if now[key] != was[key]} == {"timeout", "template", "updated_at"}
    assert await templates.set_(call, name="greet", timeout=300) == now
    assert await list_operations(call) == [
        ("template create", "template greet"),
        ("template set", "template greet"),
    ]


async def test_no_schema_is_checked_by_the_writer_or_the_event_loop(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    check = parameters.check_schema

    def check_noted(schema: Any) -> None:
        threads.append(threading.current_thread().name)
        check(schema)

    monkeypatch.setattr(parameters, "check_schema", check_noted)
    await templates.create(call, name="greet", **TEMPLATE)
    await templates.set_(call, name="greet", timeout="5m")
    await templates.rm(call, name="greet")
    await undo.undo(call, ids=3)
    assert len(threads) == 2
    assert {name.rpartition("_")[0] for name in threads} == {"asyncio"}


async def test_a_template_changed_during_its_check_is_not_set(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    await templates.create(call, name="greet", **TEMPLATE)
    make = templates.make_definition
    loop = asyncio.get_running_loop()

    def make_late(values: Any) -> Any:
        monkeypatch.setattr(templates, "make_definition", make)
        other = templates.set_(call, name="greet", retries=3)
        asyncio.run_coroutine_threadsafe(other, loop).result(10)
        return make(values)

    monkeypatch.setattr(templates, "make_definition", make_late)
    with pytest.raises(Conflict, match="template greet was changed meanwhile"):
        await templates.set_(call, name="greet", timeout="5m")


async def test_set_validates_the_whole_template(call: Call) -> None:
    await templates.create(call, name="greet", **TEMPLATE)
    with pytest.raises(Usage, match='engine exec has no "script"'):
        await templates.set_(call, name="greet", engine="exec")
    with pytest.raises(Usage, match="nothing to set"):
        await templates.set_(call, name="greet")
    with pytest.raises(NotFound, match="Nearest: greet"):
        await templates.set_(call, name="gret", timeout=1)


async def test_a_referenced_template_stays(call: Call) -> None:
    await templates.create(call, name="greet", **TEMPLATE)
    await submit_task(call, template="greet", parameters={"who": "ann"})
    with pytest.raises(Refused, match="1 task refers to template greet"):
        await templates.rm(call, name="greet")
    assert len(await templates.ls(call)) == 1


async def test_an_unreferenced_template_can_be_deleted(call: Call) -> None:
    await templates.create(call, name="greet", **TEMPLATE)
    await templates.rm(call, name="greet")
    assert await templates.ls(call) == []
    assert (await list_operations(call))[-1] == ("template rm", "template greet")


async def test_a_task_keeps_the_template_as_of_its_submission(call: Call) -> None:
    await queues.queue_create(call, name="media", capacity=1)
    await templates.create(call, name="greet", **TEMPLATE, queue="media", timeout=60)
    task = await submit_task(call, template="greet", parameters={"who": "ann"})
    await templates.set_(call, name="greet", timeout=5, schema={"script": "false"})
    rows = await execute_sql(
        call, "SELECT queue, timeout, launch FROM tasks WHERE uuid = ?", task["uuid"]
    )
    assert rows[0][:2] == ("media", 60)
    assert "hello" in rows[0][2]


async def test_a_submission_with_invalid_parameters_leaves_no_task(call: Call) -> None:
    await templates.create(call, name="greet", **TEMPLATE)
    for given, words in (
        ({}, "greet needs who"),
        ({"who": 3}, "greet: who must be text"),
        ({"who": "x", "wo": 1}, '"wo"'),
    ):
        with pytest.raises(Usage) as caught:
            await submit_task(call, template="greet", parameters=given)
        assert words in str(caught.value)
    assert await execute_sql(call, "SELECT count(*) FROM tasks") == [(0,)]


async def test_the_list_shows_usage_on_request(call: Call, monkeypatch: pytest.MonkeyPatch):
    for name in ("greet", "other"):
        await templates.create(call, name=name, engine="shell", schema={"script": "true"})
    for _ in range(3):
        await submit_task(call, template="greet")
    for number, seconds in ((1, 2.0), (2, 4.0)):
        await Worker(call.db).run(number, run_seconds=seconds)

    greet, other = await templates.ls(call, usage=True)

    assert (greet["used"], greet["active"], greet["median"], greet["last_used"] is not None) == (
        3,
        1,
        3.0,
        True,
    )
    assert (other["used"], other["active"], other["median"], other["last_used"]) == (
        0,
        0,
        None,
        None,
    )
    assert "used" not in (await templates.ls(call))[0]
    monkeypatch.setattr(templates, "MAX_COUNTED", 2)
    assert (await templates.ls(call, usage=True))[0]["used"] == 2


async def test_a_retired_template_takes_no_tasks_and_can_be_reinstated(call: Call):
    await templates.create(call, name="greet", engine="shell", schema={"script": "true"})
    await submit_task(call, template="greet")

    assert (await templates.retire(call, name="greet"))["retired_at"] is not None
    with pytest.raises(NotFound):
        await submit_task(call, template="greet")
    await templates.retire(call, name="greet")
    assert (await templates.retire(call, name="greet", back=True))["retired_at"] is None
    await submit_task(call, template="greet")

    assert [verb for verb, _ in await list_operations(call)] == [
        "template create",
        "submit",
        "template retire",
        "template restore",
        "submit",
    ]


async def test_a_brief_list_leaves_out_what_may_be_large(call: Call):
    await templates.create(call, name="greet", engine="shell", schema={"script": "true"})

    (whole,), (brief,) = await templates.ls(call), await templates.ls(call, brief=True)
    assert brief == {
        key: value
        for key, value in whole.items()
        if key not in ("template", "schema", "parameters")
    }
