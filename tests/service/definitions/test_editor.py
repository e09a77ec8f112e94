"""One definition as text: what is wrong with it and where, what storing it would change, and who was quicker."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from app.core.definitions import toml_yaml
from app.errors import Conflict, NotFound, Problem, Usage
from app.service import registry
from app.service.context import Call
from app.service.definitions import apply, editor
from db.queries.operations import By

GREET = """[templates.greet]
engine = "shell"
schema = {script = 'echo "hi $PARAM_who"'}
timeout = "5m"

[templates.greet.parameters]
type = "object"
properties.who = {type = "string"}
"""


async def faults(call: Call, text: str, name: str | None = "greet", **args: Any) -> list[tuple[int | None, int | None, str]]:
    """Line, column and words of what is wrong."""
    found = await editor.check(call, **{"kind": "templates", "text": text, "name": name, **args})
    return [(fault["line"], fault["column"], fault["message"]) for fault in found["faults"]]


@pytest.fixture
async def greet(call: Call) -> Call:
    """With the template there."""
    await editor.set_(call, kind="templates", text=GREET)
    return call


async def test_what_is_stored_reads_back_the_same(greet: Call):
    assert await editor.show(greet, kind="templates", name="greet") == {"text": GREET, "format": "toml"}
    assert await faults(greet, GREET) == []


@pytest.mark.parametrize(("kind", "make"), [
    ("pools", 'total_cpu = 2\ntotal_memory = "4G"\n'), ("queues", 'pool = "default"\ncapacity = 3\n'),
    ("slas", 'conditions = {preset = "starts-within", value = "5m"}\n'),
])  # fmt: skip
async def test_every_kind_can_be_made_and_changed(call: Call, kind: str, make: str):
    text = f"[{kind}.new]\n{make}"
    await editor.set_(call, kind=kind, text=text)
    stored = (await editor.show(call, kind=kind, name="new"))["text"]

    changed = text.replace("2", "1").replace("3", "4").replace("5m", "6m")
    answer = await editor.set_(call, kind=kind, name="new", text=changed, was=stored)

    assert (answer["change"], answer["name"]) == ("update", "new")
    assert await faults(call, changed, "new", kind=kind) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("timeout", "timout", (4, 1, 'templates.greet: unknown key "timout". Nearest: timeout')),
        ('"5m"', '"soon"', (4, 1, 'templates.greet: timeout')),
        ('engine = "shell"\n', "", (1, 1, "templates.greet: needs engine")),
        ('"shell"', '"shel"', (2, 1, "templates.greet: engine")),
        ('timeout = "5m"', "timeout = ", (4, 11, "line 4: Invalid value")),
        ("timeout", "cpu", (4, 1, "templates.greet: cpu")),
        ('{type = "string"}', '{type = "strin"}', (8, 18, "templates.greet: parameters")),
        ("[templates.greet]", "[template.greet]", (1, 2, 'unknown table "template". Nearest: templates')),
        ("[templates.greet.parameters]", "[queues.q]", (7, 1, "queues.q: ")),
        ("script", "scrip", (3, 11, 'templates.greet: ')),
    ],
)
async def test_what_is_wrong_is_told_with_its_place_and_the_nearest_word(greet: Call, old: str, new: str, fault: tuple[int, int, str]):
    found = await faults(greet, GREET.replace(old, new, 1))

    line, column, said = found[0]
    assert (line, said[: len(fault[2])]) == (fault[0], fault[2])
    assert column is not None


async def test_all_faults_are_told_at_once(greet: Call):
    found = await faults(greet, GREET.replace("timeout", "timout").replace("engine", "engin"))

    assert [line for line, _, _ in found] == [1, 2, 4]


async def test_a_reference_to_nothing_is_a_fault(greet: Call):
    assert await faults(greet, GREET.replace('timeout = "5m"', 'queue = "defalt"')) == [
        (4, 9, 'templates.greet: no queue "defalt". Nearest: default')
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is nothing in it yet: begin with [templates.greet]"),
        (GREET.replace("greet", "other"), "templates.other: does not belong here, where only [templates.greet] is edited"),
        (GREET + '[queues.q]\npool = "default"\n', "queues.q: does not belong here"),
        ("x" * 300_000, "is longer than 256 KiB"),
        ("a = [" + "[" * 5000, ""),
        ("\x00\x1b[31m", "line 1: Invalid"),
        ("[templates.greet]\nengine = '\ud800'", ""),
    ],
)
async def test_only_the_one_thing_is_edited_and_hostile_text_is_a_fault(greet: Call, text: str, said: str):
    found = await faults(greet, text)

    assert found[0][2].startswith(said) and "\x1b" not in found[0][2]


async def test_a_new_one_must_have_a_name_of_its_own(greet: Call):
    assert await faults(greet, GREET, None) == [(1, 1, "templates.greet: is the name of another one")]
    assert await faults(greet, GREET.replace("greet", "hello"), None) == []
    with pytest.raises(Conflict, match="there is a template greet already"):
        await editor.set_(greet, kind="templates", text=GREET)


async def test_what_storing_it_would_change_is_told_in_the_same_words(greet: Call):
    found = await editor.check(greet, kind="templates", name="greet", text=GREET.replace('"5m"', "600"))

    assert found["before"] == GREET
    assert found["after"] == GREET.replace("5m", "10m")
    assert found["fields"] == {"timeout": [300.0, 600.0]}


async def test_what_somebody_else_changed_meanwhile_is_not_overwritten(greet: Call):
    bob = replace(greet, by=By("bob"))
    await registry.answer(bob, "template.set", {"name": "greet", "cpu": 2})

    with pytest.raises(Conflict, match="template greet was changed meanwhile by bob, 0s ago. Nothing was changed"):
        await editor.set_(greet, kind="templates", name="greet", text=GREET.replace("5m", "6m"), was=GREET)

    theirs = (await editor.show(greet, kind="templates", name="greet"))["text"]
    await editor.set_(greet, kind="templates", name="greet", text=GREET.replace("5m", "6m"), was=theirs)
    assert (await editor.show(greet, kind="templates", name="greet"))["text"] == GREET.replace("5m", "6m")


async def test_what_somebody_else_removed_meanwhile_is_not_made_again_unseen(greet: Call):
    await registry.answer(replace(greet, by=By("bob")), "template.rm", {"name": "greet"})

    with pytest.raises(NotFound, match="template greet was removed meanwhile by bob"):
        await editor.set_(greet, kind="templates", name="greet", text=GREET, was=GREET)
    with pytest.raises(NotFound):
        await editor.show(greet, kind="templates", name="greet")


async def test_what_is_wrong_is_not_stored(call: Call):
    with pytest.raises(Usage, match="unknown key"):
        await editor.set_(call, kind="templates", text=GREET.replace("timeout", "timout"))
    with pytest.raises(Problem, match="defalt"):
        await editor.set_(call, kind="templates", text=GREET.replace('timeout = "5m"', 'queue = "defalt"'))
    assert await registry.answer(call, "template.ls", {}) == []


async def test_what_toml_cannot_hold_is_edited_as_yaml(call: Call):
    parameters = {"type": "object", "properties": {"who": {"enum": [None, "a"]}}}
    await registry.answer(call, "template.create", {"name": "t", "engine": "shell", "schema": {"script": "true"}, "parameters": parameters})

    found = await editor.show(call, kind="templates", name="t")

    assert found["format"] == "yaml"
    assert await faults(call, found["text"], "t", format="yaml") == []
    assert (await faults(call, found["text"].replace("engine", "engin"), "t", format="yaml"))[1] == (
        3, 5, 'templates.t: unknown key "engin". Nearest: engine'
    )  # fmt: skip


async def test_a_kind_that_there_is_not_is_refused(call: Call):
    with pytest.raises(Usage, match="Nearest: templates"):
        await editor.show(call, kind="template", name="x")


async def test_no_text_is_made_where_all_others_wait_for_it(greet: Call, monkeypatch: pytest.MonkeyPatch):
    write, loops = toml_yaml.write, []

    def noting(*args: Any) -> str:
        loops.append(asyncio._get_running_loop())
        return write(*args)

    monkeypatch.setattr(toml_yaml, "write", noting)
    await editor.show(greet, kind="templates", name="greet")
    await editor.check(greet, kind="templates", name="greet", text=GREET.replace("5m", "6m"))
    await editor.set_(greet, kind="templates", name="greet", text=GREET.replace("5m", "6m"), was=GREET)
    await apply.export(greet)
    assert loops == [None] * 5
