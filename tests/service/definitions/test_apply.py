"""Definitions applied from a file and exported: only differences are stored."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from app.core.definitions import toml_yaml
from app.errors import NotFound, Problem, Refused, Usage
from app.service.context import Call
from app.service.definitions import apply, queues, slas, templates
from db import host, schema
from db.queries import definitions
from tests.service.calls import count_other_writes, execute_sql, list_operations, open_call

TEXT = """
[pools.gpu]
total_cpu = 8
total_memory = "32G"
sla = "on-time"

[queues.media]
pool = "gpu"
capacity = 2
priority = 10

[queues.small]
pool = "gpu"

[templates.encode]
engine = "shell"
queue = "media"
timeout = "30m"
memory = "512M"
schema = { script = 'encode "$PARAM_input"' }
[templates.encode.parameters]
type = "object"
properties.input = { type = "string" }

[slas.on-time]
conditions = { preset = "finishes-within", value = "45m", match = { template = "encode" } }
"""


@pytest.fixture
async def call(tmp_path: Path) -> AsyncIterator[Call]:
    async with open_call(tmp_path) as found:
        yield found


def map_changes(found: dict[str, Any]) -> dict[str, str]:
    return {f"{change['kind']} {change['name']}": change["change"] for change in found["changes"]}


async def read_all_definitions(call: Call) -> list[Any]:
    tables = ("pools", "queues", "templates", "slas")
    return [await execute_sql(call, f"SELECT * FROM {table} ORDER BY name") for table in tables]


async def test_apply_creates_everything_in_the_file(call: Call) -> None:
    found = await apply.apply(call, text=TEXT)
    assert map_changes(found) == dict.fromkeys(
        ["sla on-time", "pool gpu", "queue media", "queue small", "template encode"], "create"
    )
    pool = await queues.pool_show(call, name="gpu")
    assert (pool["total_memory"], pool["sla"]) == (32768, "on-time")
    assert (await queues.queue_show(call, name="small"))["capacity"] == 8
    assert (await templates.show(call, name="encode"))["timeout"] == 1800
    assert (await slas.show(call, name="on-time"))["conditions"]["value"] == "45m"


async def test_a_dry_run_gives_the_same_answer_and_changes_nothing(call: Call) -> None:
    was = await read_all_definitions(call)
    dry = await apply.apply(call, text=TEXT, dry_run=True)
    assert await read_all_definitions(call) == was
    assert dry == await apply.apply(call, text=TEXT)


async def test_applying_existing_definitions_changes_nothing(call: Call) -> None:
    await apply.apply(call, text=TEXT)
    was, log = await read_all_definitions(call), await list_operations(call)
    found = await apply.apply(call, text=TEXT)
    assert set(map_changes(found).values()) == {"same"}
    assert (await read_all_definitions(call), await list_operations(call)) == (was, log)


async def test_only_differences_are_changed_and_reported(call: Call) -> None:
    await apply.apply(call, text=TEXT)
    found = await apply.apply(
        call, text=TEXT.replace("capacity = 2", "capacity = 3").replace('"30m"', '"1h"')
    )
    changed = {
        change["name"]: change["fields"]
        for change in found["changes"]
        if change["change"] == "update"
    }
    assert changed == {"media": {"capacity": [2, 3]}, "encode": {"timeout": [1800, 3600]}}
    assert (await list_operations(call))[-2:] == [
        ("queue set", "queue media"),
        ("template set", "template encode"),
    ]


async def test_schema_values_of_a_secret_parameter_are_masked(call: Call) -> None:
    def text(value: str) -> str:
        return (
            TEXT + "[templates.encode.parameters.properties.of]\ntype = 'object'\n"
            f"properties.password = {{ default = '{value}', enum = ['pp9', '{value}'] }}\n"
        )

    told = [
        await apply.apply(call, text=text(value), dry_run=dry)
        for value in ("pp1", "pp2")
        for dry in (True, False)
    ]

    assert [map_changes(found)["template encode"] for found in told] == [
        "create",
        "create",
        "update",
        "update",
    ]
    assert "password" in str(told) and "pp" not in str(told)


async def test_an_omitted_key_returns_to_its_default(call: Call) -> None:
    await apply.apply(call, text=TEXT)
    await apply.apply(
        call, text=TEXT.replace("priority = 10\n", "").replace('sla = "on-time"\n', "")
    )
    assert (await queues.queue_show(call, name="media"))["priority"] == 0
    assert (await queues.pool_show(call, name="gpu"))["sla"] is None


async def test_definitions_missing_from_the_file_stay(call: Call) -> None:
    await apply.apply(call, text=TEXT)
    await apply.apply(call, text="[queues.other]\ncapacity = 1")
    assert [row["name"] for row in await templates.ls(call)] == ["encode"]


async def test_a_paused_queue_stays_paused(call: Call) -> None:
    await apply.apply(call, text=TEXT)
    await queues.queue_pause(call, name="media")
    await apply.apply(call, text=TEXT.replace("capacity = 2", "capacity = 3"))
    assert (await queues.queue_show(call, name="media"))["status"] == "paused"


@pytest.mark.parametrize(
    ("old", "new", "kind", "said"),
    [
        (
            'pool = "gpu"',
            'pool = "gpuu"',
            NotFound,
            'queues.media: there is no pool "gpuu". Nearest: gpu',
        ),
        (
            'queue = "media"',
            'queue = "meda"',
            NotFound,
            'templates.encode: there is no queue "meda". Nearest: media',
        ),
        (
            'sla = "on-time"',
            'sla = "ontime"',
            NotFound,
            'pools.gpu: there is no rule "ontime". Nearest: on-time',
        ),
        (
            'template = "encode"',
            'template = "encde"',
            NotFound,
            'slas.on-time: there is no template "encde". Nearest: encode',
        ),
        (
            '"512M"',
            '"33G"',
            Refused,
            "templates.encode: needs 33.0G memory, but pool gpu has 32.0G",
        ),
        ("script =", "scrpt =", Usage, "templates.encode: schema: engine shell has no"),
        ("capacity = 2", "capacity = -2", Usage, "queues.media: capacity"),
    ],
)
async def test_a_file_with_any_fault_changes_nothing(
    call: Call, old: str, new: str, kind: type[Problem], said: str
) -> None:
    was = await read_all_definitions(call)
    for dry_run in (True, False):
        with pytest.raises(kind) as caught:
            await apply.apply(call, text=TEXT.replace(old, new), dry_run=dry_run)
        assert said in str(caught.value)
    assert await read_all_definitions(call) == was


@pytest.mark.parametrize("format", toml_yaml.FORMATS)
async def test_an_export_applied_elsewhere_gives_the_same_definitions(
    call: Call, tmp_path: Path, format: str
) -> None:
    await apply.apply(call, text=TEXT)
    text = await apply.export(call, format=format)
    async with open_call(tmp_path / "elsewhere") as other:
        await apply.apply(other, text=text, format=format)
        assert await apply.export(other, format=format) == text


async def test_an_export_applied_at_home_changes_nothing(call: Call) -> None:
    await apply.apply(call, text=TEXT)
    was = await read_all_definitions(call)
    found = await apply.apply(call, text=await apply.export(call))
    assert set(map_changes(found).values()) == {"same"}
    assert await read_all_definitions(call) == was


async def test_a_schema_with_null_is_exported_as_yaml(call: Call) -> None:
    parameters = {
        "type": "object",
        "properties": {"a": {"type": ["string", "null"], "default": None}},
    }
    await templates.create(
        call, name="n", engine="shell", schema={"script": "true"}, parameters=parameters
    )
    with pytest.raises(Refused, match="Use YAML: taskdeck export --format yaml"):
        await apply.export(call)
    assert "default: null" in await apply.export(call, format="yaml")


async def test_the_file_is_read_before_the_database(call: Call) -> None:
    await apply.apply(call, text=TEXT)
    larger = TEXT.replace('"32G"', '"64G"').replace('"512M"', '"33G"')
    await apply.apply(call, text=larger)
    assert (await templates.show(call, name="encode"))["memory"] == 33 * 1024


async def test_pools_larger_than_the_machine_are_noted_once_created(
    runtime_call: Call, caller_notes: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(host, "read_capacity", lambda: host.HostCapacity(4, 64 * 1024))

    await apply.apply(runtime_call, text=TEXT, dry_run=True)
    assert caller_notes == []
    await apply.apply(runtime_call, text=TEXT)
    await apply.apply(runtime_call, text=TEXT)

    assert caller_notes == [
        "pool gpu gives out 8 cpu, but this machine has 4: more may start than it can run well."
    ]


def _nest(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        (None, "either tables or text"),
        ([], "must hold tables"),
        (_nest(100_000), "64 levels"),
        ({"queues": {str(at): {} for at in range(200_000)}}, "100,000"),
        ({"quues": {}}, "Nearest: queues"),
        ({"queues": {"a": {"capacity": "x"}}}, "queues.a: capacity"),
    ],
    ids=["none", "list", "deep", "many", "unknown", "wrong"],
)
async def test_parsed_tables_are_validated(call: Call, tables: Any, words: str):
    with pytest.raises(Usage, match=words):
        await apply.apply(call, tables=tables)


async def test_parsed_tables_are_applied(call: Call):
    found = await apply.apply(call, tables={"queues": {"a": {"capacity": 1}}})

    assert [(row["name"], row["change"]) for row in found["changes"]] == [("a", "create")]


async def test_new_definitions_of_a_kind_are_stored_by_one_statement(call: Call):
    inserts: list[str] = []

    def note(c: Any, cursor: Any, statement: str, *more: Any) -> None:
        if statement.startswith("INSERT INTO queues"):
            inserts.append(statement)

    assert call.db._writer is not None  # pyright: ignore[reportPrivateUsage]
    event.listen(call.db._writer, "before_cursor_execute", note)  # pyright: ignore[reportPrivateUsage]
    rows = {f"q{n}": {"capacity": n, "pool": "default"} for n in range(30)}

    await apply.apply(call, tables={"queues": rows})

    assert len(inserts) == 1
    found = await execute_sql(call, "SELECT name, capacity FROM queues WHERE name <> 'default'")
    assert dict(map(tuple, found)) == {name: row["capacity"] for name, row in rows.items()}
    created = [("queue create", f"queue q{n}") for n in range(30)]
    assert sorted(await list_operations(call)) == sorted(created)


async def test_a_large_file_is_stored_in_several_transactions(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(apply, "MAX_AT_ONCE", 5)
    rows = {f"q{n}": {"capacity": 1, "pool": "p"} for n in range(20)}
    tables = {"pools": {"p": {"total_cpu": 1, "total_memory": "1G"}}, "queues": rows}

    others = await count_other_writes(call, apply.apply(call, tables=tables))

    assert others >= 4
    again = await apply.apply(call, tables=tables)
    assert {change["change"] for change in again["changes"]} == {"same"}
    assert len(await list_operations(call)) == 21


async def test_a_file_is_planned_again_after_a_change_by_somebody_else(
    call: Call, monkeypatch: pytest.MonkeyPatch
):
    plan, plans = apply.plan_changes, [0]

    def plan_late(*args: Any) -> Any:
        plans[0] += 1
        return plan(*args)

    monkeypatch.setattr(apply, "plan_changes", plan_late)
    store, row = call.db.write, {"capacity": 1, "pool": "default"}

    async def change_first(fn: Any, *args: Any) -> Any:
        if plans[0] == 1:
            await store(lambda c: definitions.create(c, schema.queues, "a", row, "bob"))
        return await store(fn, *args)

    monkeypatch.setattr(call.db, "write", change_first)
    tables = {"queues": {"a": {"capacity": 3}, "b": {"capacity": 3}}}

    await apply.apply(call, tables=tables)

    assert plans == [2]
    found = await execute_sql(call, "SELECT name, capacity FROM queues WHERE name <> 'default'")
    assert sorted(map(tuple, found)) == [("a", 3), ("b", 3)]


async def test_a_file_of_the_same_definitions_writes_nothing(call: Call):
    await apply.apply(call, text=TEXT)
    before = call.db.changes

    await apply.apply(call, text=TEXT)

    assert call.db.changes == before
