"""One definition as text: faults with their position, effects of saving, and concurrent edits."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from app.core.definitions import one_definition, toml_yaml
from app.errors import Conflict, NotFound, Problem, Usage
from app.service import registry
from app.service.context import Call
from app.service.definitions import apply, editor
from db.queries.history.operations import Actor

TEMPLATE_TEXT = """[templates.greet]
engine = "shell"
schema = {script = 'echo "hi $PARAM_who"'}
timeout = "5m"

[templates.greet.parameters]
type = "object"
properties.who = {type = "string"}
"""


async def check_text(
    call: Call, *, kind: str, text: str, name: str | None, format: str = "toml"
) -> dict[str, Any]:
    """Parse a text and check it, as the deck does."""
    tables, faults = one_definition.read_text(kind, name, text, format)
    if faults:
        return {"faults": faults}
    found = await editor.check(call, kind=kind, tables=tables, name=name, format=format)
    located = [one_definition.make_fault(fault["message"], text) for fault in found["faults"]]
    return {**found, "faults": located}


async def store_text(call: Call, *, text: str, **args: Any) -> dict[str, Any]:
    """Parse a text and store it."""
    return await editor.set_(call, tables=toml_yaml.read_document(text, "toml"), **args)


async def find_faults(
    call: Call, text: str, name: str | None = "greet", **args: Any
) -> list[tuple[int | None, int | None, str]]:
    """Return line, column and message of each fault."""
    found = await check_text(call, **{"kind": "templates", "text": text, "name": name, **args})
    return [(fault["line"], fault["column"], fault["message"]) for fault in found["faults"]]


@pytest.fixture
async def call_with_template(call: Call) -> Call:
    """Return a call with the template stored."""
    await store_text(call, kind="templates", text=TEMPLATE_TEXT)
    return call


async def test_a_stored_definition_reads_back_unchanged(call_with_template: Call):
    assert await editor.show(call_with_template, kind="templates", name="greet") == {
        "text": TEMPLATE_TEXT,
        "format": "toml",
    }
    assert await find_faults(call_with_template, TEMPLATE_TEXT) == []


@pytest.mark.parametrize(("kind", "make"), [
    ("pools", 'total_cpu = 2\ntotal_memory = "4G"\n'),
    ("queues", 'pool = "default"\ncapacity = 3\n'),
    ("slas", 'conditions = {preset = "starts-within", value = "5m"}\n'),
])  # fmt: skip
async def test_every_kind_can_be_created_and_changed(call: Call, kind: str, make: str):
    text = f"[{kind}.new]\n{make}"
    await store_text(call, kind=kind, text=text)
    stored = (await editor.show(call, kind=kind, name="new"))["text"]

    changed = text.replace("2", "1").replace("3", "4").replace("5m", "6m")
    answer = await store_text(call, kind=kind, name="new", text=changed, was=stored)

    assert (answer["change"], answer["name"]) == ("update", "new")
    assert await find_faults(call, changed, "new", kind=kind) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("timeout", "timout", (4, 1, 'templates.greet: unknown key "timout". Nearest: timeout')),
        ('"5m"', '"soon"', (4, 1, "templates.greet: timeout")),
        ('engine = "shell"\n', "", (1, 1, "templates.greet: needs engine")),
        ('"shell"', '"shel"', (2, 1, "templates.greet: engine")),
        ('timeout = "5m"', "timeout = ", (4, 11, "line 4: Invalid value")),
        ("timeout", "cpu", (4, 1, "templates.greet: cpu")),
        ('{type = "string"}', '{type = "strin"}', (8, 18, "templates.greet: parameters")),
        (
            "[templates.greet]",
            "[template.greet]",
            (1, 2, 'unknown table "template". Nearest: templates'),
        ),
        ("[templates.greet.parameters]", "[queues.q]", (7, 1, "queues.q: ")),
        ("script", "scrip", (3, 11, "templates.greet: ")),
    ],
)
async def test_a_fault_has_its_position_and_the_nearest_word(
    call_with_template: Call, old: str, new: str, fault: tuple[int, int, str]
):
    found = await find_faults(call_with_template, TEMPLATE_TEXT.replace(old, new, 1))

    line, column, said = found[0]
    assert (line, said[: len(fault[2])]) == (fault[0], fault[2])
    assert column is not None


async def test_all_faults_are_reported_at_once(call_with_template: Call):
    found = await find_faults(
        call_with_template, TEMPLATE_TEXT.replace("timeout", "timout").replace("engine", "engin")
    )

    assert [line for line, _, _ in found] == [1, 2, 4]


async def test_a_dangling_reference_is_a_fault(call_with_template: Call):
    assert await find_faults(
        call_with_template, TEMPLATE_TEXT.replace('timeout = "5m"', 'queue = "defalt"')
    ) == [(4, 9, 'templates.greet: there is no queue "defalt". Nearest: default')]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "nothing is defined yet: begin with [templates.greet]"),
        (
            TEMPLATE_TEXT.replace("greet", "other"),
            "templates.other: does not belong here; only [templates.greet] is edited",
        ),
        (TEMPLATE_TEXT + '[queues.q]\npool = "default"\n', "queues.q: does not belong here"),
        ("x" * 300_000, "is longer than 256 KiB"),
        ("a = [" + "[" * 5000, ""),
        ("\x00\x1b[31m", "line 1: Invalid"),
        ("[templates.greet]\nengine = '\ud800'", ""),
    ],
)
async def test_only_the_opened_definition_is_edited_and_hostile_text_is_a_fault(
    call_with_template: Call, text: str, said: str
):
    found = await find_faults(call_with_template, text)

    assert found[0][2].startswith(said) and "\x1b" not in found[0][2]


async def test_a_new_definition_needs_an_unused_name(call_with_template: Call):
    assert await find_faults(call_with_template, TEMPLATE_TEXT, None) == [
        (1, 1, "templates.greet: this name is taken")
    ]
    assert (
        await find_faults(call_with_template, TEMPLATE_TEXT.replace("greet", "hello"), None) == []
    )
    with pytest.raises(Conflict, match="there is a template greet already"):
        await store_text(call_with_template, kind="templates", text=TEMPLATE_TEXT)


async def test_the_preview_matches_the_effect_of_saving(call_with_template: Call):
    found = await check_text(
        call_with_template,
        kind="templates",
        name="greet",
        text=TEMPLATE_TEXT.replace('"5m"', "600"),
    )

    assert found["before"] == TEMPLATE_TEXT
    assert found["after"] == TEMPLATE_TEXT.replace("5m", "10m")
    assert found["fields"] == {"timeout": [300.0, 600.0]}


async def test_a_concurrent_change_is_not_overwritten(call_with_template: Call):
    bob = replace(call_with_template, by=Actor("bob"))
    await registry.call_verb(bob, "template.set", {"name": "greet", "cpu": 2})

    with pytest.raises(
        Conflict, match="template greet was changed meanwhile by bob, 0s ago. Nothing was changed"
    ):
        await store_text(
            call_with_template,
            kind="templates",
            name="greet",
            text=TEMPLATE_TEXT.replace("5m", "6m"),
            was=TEMPLATE_TEXT,
        )

    theirs = (await editor.show(call_with_template, kind="templates", name="greet"))["text"]
    await store_text(
        call_with_template,
        kind="templates",
        name="greet",
        text=TEMPLATE_TEXT.replace("5m", "6m"),
        was=theirs,
    )
    assert (await editor.show(call_with_template, kind="templates", name="greet"))[
        "text"
    ] == TEMPLATE_TEXT.replace("5m", "6m")


async def test_a_concurrently_deleted_definition_is_not_recreated(call_with_template: Call):
    await registry.call_verb(
        replace(call_with_template, by=Actor("bob")), "template.rm", {"name": "greet"}
    )

    with pytest.raises(NotFound, match="template greet was removed meanwhile by bob"):
        await store_text(
            call_with_template,
            kind="templates",
            name="greet",
            text=TEMPLATE_TEXT,
            was=TEMPLATE_TEXT,
        )
    with pytest.raises(NotFound):
        await editor.show(call_with_template, kind="templates", name="greet")


async def test_faulty_text_is_not_stored(call: Call):
    with pytest.raises(Usage, match="unknown key"):
        await store_text(call, kind="templates", text=TEMPLATE_TEXT.replace("timeout", "timout"))
    with pytest.raises(Problem, match="defalt"):
        await store_text(
            call, kind="templates", text=TEMPLATE_TEXT.replace('timeout = "5m"', 'queue = "defalt"')
        )
    assert await registry.call_verb(call, "template.ls", {}) == []


async def test_values_that_toml_cannot_hold_are_edited_as_yaml(call: Call):
    parameters = {"type": "object", "properties": {"who": {"enum": [None, "a"]}}}
    await registry.call_verb(
        call,
        "template.create",
        {"name": "t", "engine": "shell", "schema": {"script": "true"}, "parameters": parameters},
    )

    found = await editor.show(call, kind="templates", name="t")

    assert found["format"] == "yaml"
    assert await find_faults(call, found["text"], "t", format="yaml") == []
    assert (await find_faults(call, found["text"].replace("engine", "engin"), "t",
    format="yaml"))[1] == (
        3, 5, 'templates.t: unknown key "engin". Nearest: engine'
    )  # fmt: skip


async def test_an_unknown_kind_is_refused(call: Call):
    with pytest.raises(Usage, match="Nearest: templates"):
        await editor.show(call, kind="template", name="x")


async def test_no_text_is_rendered_inside_a_write_transaction(
    call_with_template: Call, monkeypatch: pytest.MonkeyPatch
):
    write, loops = toml_yaml.write_document, []

    def noting(*args: Any) -> str:
        loops.append(asyncio._get_running_loop())
        return write(*args)

    monkeypatch.setattr(toml_yaml, "write_document", noting)
    await editor.show(call_with_template, kind="templates", name="greet")
    await check_text(
        call_with_template, kind="templates", name="greet", text=TEMPLATE_TEXT.replace("5m", "6m")
    )
    await store_text(
        call_with_template,
        kind="templates",
        name="greet",
        text=TEMPLATE_TEXT.replace("5m", "6m"),
        was=TEMPLATE_TEXT,
    )
    await apply.export(call_with_template)
    assert loops == [None] * 5


def test_a_hostile_definition_is_refused_without_parsing_it():
    began = time.process_time()

    text = "a" + ".a" * 40_000 + "=1"
    _, (fault,) = one_definition.read_text("queues", None, text, "toml")

    assert "64 levels" in fault["message"] and time.process_time() - began < 2


def test_a_value_that_json_cannot_hold_is_a_fault():
    text = TEMPLATE_TEXT.replace("{script = ", "{day = 2026-01-31, script = ")

    _, (fault,) = one_definition.read_text("templates", "greet", text, "toml")

    assert fault["message"].startswith("holds a value that is no text, number, list or table")


async def test_the_runtime_takes_only_tables_that_the_deck_has_parsed(call: Call):
    for verb in ("definition.check", "definition.set"):
        with pytest.raises(Usage, match="tables"):
            await registry.call_verb(call, verb, {"kind": "queues", "text": "[queues.q]"})
        with pytest.raises(Usage, match="must hold tables"):
            await registry.call_verb(call, verb, {"kind": "queues", "tables": "[queues.q]"})
