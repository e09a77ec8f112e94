"""Definitions applied from a file and exported to one: whole or not at all, and only what differs."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from app.core.definitions import toml_yaml
from app.errors import NotFound, Problem, Refused, Usage
from app.service.context import Call
from app.service.definitions import apply, queues, slas, templates
from db import host
from tests.service.calls import a_call, execute, operations

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
    async with a_call(tmp_path) as found:
        yield found


def words(found: dict[str, Any]) -> dict[str, str]:
    return {f"{change['kind']} {change['name']}": change["change"] for change in found["changes"]}


async def everything(call: Call) -> list[Any]:
    tables = ("pools", "queues", "templates", "slas")
    return [await execute(call, f"SELECT * FROM {table} ORDER BY name") for table in tables]


async def test_apply_makes_all_that_the_file_names(call: Call) -> None:
    found = await apply.apply(call, text=TEXT)
    assert words(found) == dict.fromkeys(
        ["sla on-time", "pool gpu", "queue media", "queue small", "template encode"], "create"
    )
    pool = await queues.pool_show(call, name="gpu")
    assert (pool["total_memory"], pool["sla"]) == (32768, "on-time")
    assert (await queues.queue_show(call, name="small"))["capacity"] == 8
    assert (await templates.show(call, name="encode"))["timeout"] == 1800
    assert (await slas.show(call, name="on-time"))["conditions"]["value"] == "45m"


async def test_a_dry_run_says_the_same_and_changes_nothing(call: Call) -> None:
    was = await everything(call)
    dry = await apply.apply(call, text=TEXT, dry_run=True)
    assert await everything(call) == was
    assert dry == await apply.apply(call, text=TEXT)


async def test_applying_what_is_there_changes_nothing_at_all(call: Call) -> None:
    await apply.apply(call, text=TEXT)
    was, log = await everything(call), await operations(call)
    found = await apply.apply(call, text=TEXT)
    assert set(words(found).values()) == {"same"}
    assert (await everything(call), await operations(call)) == (was, log)


async def test_only_what_differs_is_changed_and_told(call: Call) -> None:
    await apply.apply(call, text=TEXT)
    found = await apply.apply(call, text=TEXT.replace("capacity = 2", "capacity = 3").replace('"30m"', '"1h"'))
    changed = {change["name"]: change["fields"] for change in found["changes"] if change["change"] == "update"}
    assert changed == {"media": {"capacity": [2, 3]}, "encode": {"timeout": [1800, 3600]}}
    assert (await operations(call))[-2:] == [("queue set", "queue media"), ("template set", "template encode")]


async def test_what_a_schema_says_of_the_values_of_a_secret_is_not_told(call: Call) -> None:
    def text(value: str) -> str:
        return TEXT + f'[templates.encode.parameters.properties.pin]\nwriteOnly = true\ndefault = "{value}"\nenum = ["pp9", "{value}"]\n'

    told = [await apply.apply(call, text=text(value), dry_run=dry) for value in ("pp1", "pp2") for dry in (True, False)]

    assert [words(found)["template encode"] for found in told] == ["create", "create", "update", "update"]
    assert "writeOnly" in str(told) and "pp" not in str(told)


async def test_a_key_left_out_has_its_default_again(call: Call) -> None:
    await apply.apply(call, text=TEXT)
    await apply.apply(call, text=TEXT.replace("priority = 10\n", "").replace('sla = "on-time"\n', ""))
    assert (await queues.queue_show(call, name="media"))["priority"] == 0
    assert (await queues.pool_show(call, name="gpu"))["sla"] is None


async def test_what_the_file_does_not_name_stays(call: Call) -> None:
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
        ('pool = "gpu"', 'pool = "gpuu"', NotFound, 'queues.media: no pool "gpuu". Nearest: gpu'),
        ('queue = "media"', 'queue = "meda"', NotFound, 'templates.encode: no queue "meda". Nearest: media'),
        ('sla = "on-time"', 'sla = "ontime"', NotFound, 'pools.gpu: no sla "ontime". Nearest: on-time'),
        ('template = "encode"', 'template = "encde"', NotFound, 'slas.on-time: no template "encde". Nearest: encode'),
        ('"512M"', '"33G"', Refused, "templates.encode: needs 33.0G memory, but pool gpu has 32.0G"),
        ("script =", "scrpt =", Usage, "templates.encode: schema: engine shell has no"),
        ("capacity = 2", "capacity = -2", Usage, "queues.media: capacity"),
    ],
)
async def test_a_file_that_is_wrong_anywhere_changes_nothing(
    call: Call, old: str, new: str, kind: type[Problem], said: str
) -> None:
    was = await everything(call)
    for dry_run in (True, False):
        with pytest.raises(kind) as caught:
            await apply.apply(call, text=TEXT.replace(old, new), dry_run=dry_run)
        assert said in str(caught.value)
    assert await everything(call) == was


@pytest.mark.parametrize("format", toml_yaml.FORMATS)
async def test_an_export_applied_elsewhere_makes_the_same(call: Call, tmp_path: Path, format: str) -> None:
    await apply.apply(call, text=TEXT)
    text = await apply.export(call, format=format)
    async with a_call(tmp_path / "elsewhere") as other:
        await apply.apply(other, text=text, format=format)
        assert await apply.export(other, format=format) == text


async def test_an_export_applied_at_home_changes_nothing(call: Call) -> None:
    await apply.apply(call, text=TEXT)
    was = await everything(call)
    found = await apply.apply(call, text=await apply.export(call))
    assert set(words(found).values()) == {"same"}
    assert await everything(call) == was


async def test_a_schema_that_holds_null_is_exported_as_yaml(call: Call) -> None:
    parameters = {"type": "object", "properties": {"a": {"type": ["string", "null"], "default": None}}}
    await templates.create(call, name="n", engine="shell", schema={"script": "true"}, parameters=parameters)
    with pytest.raises(Refused, match="Take YAML: taskdeck export --format yaml"):
        await apply.export(call)
    assert "default: null" in await apply.export(call, format="yaml")


async def test_the_file_comes_before_the_database(call: Call) -> None:
    await apply.apply(call, text=TEXT)
    larger = TEXT.replace('"32G"', '"64G"').replace('"512M"', '"33G"')
    await apply.apply(call, text=larger)
    assert (await templates.show(call, name="encode"))["memory"] == 33 * 1024


async def test_pools_of_a_file_that_are_larger_than_the_machine_are_noted_once_they_are_made(
    live: Call, notes: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(host, "here", lambda: host.Machine(4, 64 * 1024))

    await apply.apply(live, text=TEXT, dry_run=True)
    assert notes == []
    await apply.apply(live, text=TEXT)
    await apply.apply(live, text=TEXT)

    assert notes == ["pool gpu gives out 8 cpu, but this machine has 4: more may start than it can run well."]
