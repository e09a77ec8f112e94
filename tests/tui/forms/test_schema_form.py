"""The form that is made from a JSON Schema, on answers that are fixed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.events import Paste
from textual.pilot import Pilot
from textual.widgets import Input

from app.errors import Usage
from app.tui.app import TaskdeckApp
from app.tui.forms.fields import PickScreen
from app.tui.forms.schema_fields import ParameterFields
from app.tui.screens.submit_form import SubmitScreen
from app.tui.style import Look
from tests.tui.fake_runtime import Answers, deck, line, task, until
from tests.tui.screen_text import screen_text
from tests.tui.screens.test_submit_form import ENCODE, form, paste, shows, submitted
from tests.tui.screens.test_task import EVIL, escapes

KEYWORDS: dict[str, Any] = {
    "type": "object",
    "required": ["input"],
    "properties": {
        "input": {"type": "string", "minLength": 2, "pattern": "^[a-z]+$", "description": "what to read"},
        "crf": {"type": "integer", "minimum": 0, "maximum": 51, "default": 23},
        "ratio": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        "step": {"type": "integer", "multipleOf": 5},
        "mail": {"type": "string", "format": "email"},
        "preset": {"enum": ["slow", "fast"], "default": "fast"},
        "level": {"oneOf": [{"const": 1, "title": "low"}, {"const": 2, "title": "high"}]},
        "only": {"const": "this"},
        "when": {"type": ["integer", "string"]},
        "fast": {"type": "boolean", "default": True},
        "tracks": {"type": "array", "items": {"type": "integer"}, "maxItems": 2, "uniqueItems": True},
        "rows": {"type": "array", "items": {"type": "object", "required": ["id"]}},
        "lang": {"$ref": "#/$defs/lang"},
        "word": {"type": "string", "format": "password"},
    },
    "dependentRequired": {"mail": ["lang"]},
    "if": {"properties": {"when": {"const": 1}}, "required": ["when"]},
    "then": {"required": ["step"]},
    "$defs": {"lang": {"type": "string", "maxLength": 2}},
}
GROUPS: dict[str, Any] = {
    "allOf": [{"$ref": "#/$defs/io"}, {"$ref": "#/$defs/rare"}],
    "properties": {"ref": {"type": "object", "required": ["release"], "properties": {"release": {"type": "integer"}}}},
    "$defs": {
        "io": {
            "title": "In and out",
            "description": "files that are read and written",
            "required": ["source"],
            "properties": {
                "source": {"type": "string", "description": "where it comes from"},
                "hint": {"type": "string", "hidden": True},
                "plain": {"type": "boolean"},
            },
        },
        "rare": {"title": "Rarely wanted", "properties": {"tuning": {"type": "integer", "hidden": True, "default": 4}}},
    },
}


@asynccontextmanager
async def opened(
    schema: dict[str, Any], size: tuple[int, int] = (80, 40), *, answers: Answers | None = None, look: Look | None = None, **how: Any
) -> AsyncIterator[tuple[Pilot[Any], TaskdeckApp]]:  # fmt: skip
    """The form of the template encode with this schema of its parameters, opened as its own."""
    found = answers or form()
    found.table["template.ls"] = [{**ENCODE, "parameters": schema}]
    app = deck(found, look=look)
    opening: dict[str, Any] = {"template": "encode"} | how
    async with app.run_test(size=size) as pilot:
        app.open_form(**opening)
        await until(pilot, lambda: isinstance(app.screen, SubmitScreen) and app.screen.focused is not None)
        yield pilot, app
        assert app.failure is None


def fields(app: TaskdeckApp) -> ParameterFields:
    return app.screen.query_one(ParameterFields)


def filling(app: TaskdeckApp, name: str, text: str) -> Callable[[], bool]:
    """Whether the field with this name holds this text."""
    return lambda: fields(app).texts.get(tuple(name.split(".")), "") == text


def burst(app: TaskdeckApp, *keys: str) -> None:
    """Keys, and texts that are pasted (those with more than one character that are no key), as fast as can be."""
    for key in keys:
        if key in KEYS or len(key) == 1:
            app.simulate_key(key)
        else:
            app.post_message(Paste(key))


KEYS = (
    "ctrl+f",
    "ctrl+u",
    "ctrl+j",
    "enter",
    "escape",
    "tab",
    "shift+tab",
    "space",
    "left",
    "right",
    "up",
    "down",
    "backspace",
)


async def go_to(pilot: Pilot[Any], app: TaskdeckApp, name: str) -> None:
    """Find a parameter by its name, as one would."""
    burst(app, "ctrl+f", name, "enter", "escape")
    await until(pilot, lambda: fields(app).at == tuple(name.split(".")))


async def put(pilot: Pilot[Any], app: TaskdeckApp, name: str, text: str) -> None:
    """Find a field and put a text into it, in place of what it holds."""
    burst(app, "ctrl+f", name, "enter", "escape", "ctrl+u", text)
    await until(pilot, filling(app, name, text))


async def test_the_form_of_a_template_is_drawn_as_it_is_drawn_in_the_documents() -> None:
    """You should see the way here, what the template is, its fields first, and the fields of every task below."""
    async with opened(KEYWORDS) as (pilot, app):
        await until(pilot, lambda: shows(app, "Still to fill in: input."))
        await until(pilot, lambda: "ctrl+f finds one" in line(app, 2))
        assert line(app, 0).startswith(" Templates › encode › New task")
        assert line(app, 1) == "  encode: transcode one file  queue media  cpu 2  memory 2.0G  limit 1h"
        assert line(app, 2).startswith("  ━▌Parameters 14, 1 to fill in ━")
        assert line(app, 3).startswith("  input*        [")
        assert line(app, 4).startswith("  crf           [23      ] 0 to 51")
        assert shows(app, "ratio         [        ] more than 0, less than 1")
        assert shows(app, "─ Task ─")
        assert not shows(app, "Run  ")
        assert app.screen.focused is not None and app.screen.focused.id == "parameter"


MENDED: list[tuple[str, str, str, str, Any]] = [
    ("input", "a", "input must have at least 2 characters", "abc", "abc"),
    ("input", "A1", 'input must match ^[a-z]+$, not "A1"', "abc", "abc"),
    ("crf", "99", "crf must be 0 to 51, not 99", "51", 51),
    ("crf", "x1", 'crf must be a whole number, not "x1"', "10", 10),
    ("ratio", "1.0", "ratio must be less than 1, not 1.0", "0.5", 0.5),
    ("step", "17", "step must be a multiple of 5, not 17", "10", 10),
    ("lang", "eng", "lang must have at most 2 characters", "en", "en"),
    ("tracks", "1, x", 'tracks[1] must be a whole number, not "x"', "1, 2", [1, 2]),
    ("tracks", "1, 1", "tracks has an item twice", "[3]", [3]),
    ("rows", '[{"id": 1}, {}]', "rows[1].id is required", '[{"id": 1}]', [{"id": 1}]),
    ("rows", "[{", "rows must be a list (as JSON)", "[]", []),
]
"""A parameter, what is wrong, what is said of it, what is right, and what that is."""


async def test_what_is_wrong_stands_beside_its_field_until_it_is_mended() -> None:
    answers = form()
    async with opened(KEYWORDS, answers=answers) as (pilot, app):
        await put(pilot, app, "input", "abc")
        for name, wrong, said, right, _ in MENDED:
            await put(pilot, app, name, wrong)
            await until(pilot, lambda said=said: shows(app, f"✗             {said}"))
            await until(pilot, lambda name=name: shows(app, f"1 thing to mend before it can be submitted: {name}"))
            burst(app, "ctrl+j")
            await until(pilot, lambda said=said: f"Not submitted: {said}" in line(app, 38))
            await put(pilot, app, name, right)
            await until(pilot, lambda: not shows(app, "✗"))
        assert submitted(answers) == []
        await pilot.press("ctrl+j")
        await until(pilot, lambda: submitted(answers))

    sent = submitted(answers)[0]["tasks"][0]
    texts = {name: str(value) for name, *_, value in MENDED if not isinstance(value, list)}
    assert dict(sent["parameter_texts"]) == texts
    assert sent["parameters"] == {"tracks": [3], "rows": []}


async def test_what_is_asked_for_on_a_condition_is_asked_for_when_it_holds() -> None:
    async with opened(KEYWORDS) as (pilot, app):
        await put(pilot, app, "when", "01")
        assert fields(app).missing == 1
        burst(app, "ctrl+u", "1")
        await until(pilot, lambda: shows(app, "✗             step is required"))


async def test_a_format_and_what_goes_with_it_are_asked_for_at_once() -> None:
    async with opened(KEYWORDS) as (pilot, app):
        await put(pilot, app, "mail", "nobody")
        await until(pilot, lambda: shows(app, 'mail must be an e-mail address, not "nobody"'))
        assert shows(app, "lang is needed with mail")
        assert shows(app, "Parameters 14, 2 to fill in, 1 to mend")
        await until(pilot, lambda: shows(app, "3 things to mend before it can be submitted: input, mail, lang"))


async def test_choices_and_switches_take_arrows_space_and_enter() -> None:
    answers = form()
    async with opened(KEYWORDS, answers=answers) as (pilot, app):
        await paste(pilot, "abc")
        await go_to(pilot, app, "preset")
        await pilot.press("left")
        await until(pilot, filling(app, "preset", "slow"))
        await go_to(pilot, app, "level")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PickScreen) and shows(app, "high"))
        await pilot.press("G", "enter")
        await until(pilot, filling(app, "level", "2"))
        assert shows(app, "level         [high ▾]")
        await pilot.press("tab", "right", "tab", "tab", "space")
        await until(pilot, filling(app, "fast", "false"))
        await pilot.press("ctrl+j")
        await until(pilot, lambda: submitted(answers))

    texts = [["input", "abc"], ["preset", "slow"], ["level", "2"], ["only", "this"], ["fast", "false"]]
    assert submitted(answers)[0]["tasks"][0]["parameter_texts"] == texts


async def test_letters_pick_a_choice_that_begins_so() -> None:
    async with opened(KEYWORDS) as (pilot, app):
        await go_to(pilot, app, "preset")
        await pilot.press(*"slow")
        await until(pilot, filling(app, "preset", "slow"))
        await pilot.press("tab", *"hi")
        await until(pilot, filling(app, "level", "2"))


async def test_a_switch_that_is_turned_back_says_nothing() -> None:
    async with opened(GROUPS) as (pilot, app):
        await go_to(pilot, app, "plain")
        await pilot.press("space")
        await until(pilot, filling(app, "plain", "true"))
        await pilot.press("space")
        await until(pilot, filling(app, "plain", ""))


async def test_a_secret_is_masked_and_a_reference_to_one_is_not() -> None:
    answers = form()
    async with opened(KEYWORDS, answers=answers) as (pilot, app):
        await paste(pilot, "abc")
        await put(pilot, app, "word", "hunter2")
        await until(pilot, filling(app, "word", "hunter2"))
        await pilot.press("shift+tab")
        await until(pilot, lambda: shows(app, "word          [•••••••  "))
        assert shows(app, "word=•••") and not shows(app, "hunter2")
        await put(pilot, app, "word", "env:PASS_WORD")
        await until(pilot, lambda: shows(app, "[env:PASS_WORD"))
        await pilot.press("ctrl+j")
        await until(pilot, lambda: submitted(answers))

    assert submitted(answers)[0]["tasks"][0]["parameters"] == {"word": {"secret": {"env": "PASS_WORD"}}}


async def test_groups_have_a_rule_of_their_own_and_fold() -> None:
    """You should see two titled groups, what is hidden behind one line, and that line open when it is asked to."""
    async with opened(GROUPS) as (pilot, app):
        await until(pilot, lambda: shows(app, "─ ▾ In and out ─"))
        assert shows(app, "▸ 1 more, hidden")
        assert shows(app, "─ ▸ Rarely wanted ─")
        assert not shows(app, "tuning")
        await pilot.press("tab", "tab", "tab", "enter")
        await until(pilot, lambda: shows(app, "▾ 1 hidden, shown"))
        assert shows(app, "hint ")
        await pilot.press("up", "up", "up", "enter")
        await until(pilot, lambda: shows(app, "━▌▸ In and out ━") and not shows(app, "source*"))
        assert shows(app, "3, 1 to mend ━")
        assert shows(app, "In and out: 3 parameters, enter shows them. files that are read and written")


async def test_nested_values_reach_the_runtime_with_their_types() -> None:
    answers = form()
    async with opened(GROUPS, answers=answers) as (pilot, app):
        await put(pilot, app, "source", "here")
        await put(pilot, app, "ref.release", "115")
        await put(pilot, app, "tuning", "55")
        await until(pilot, lambda: shows(app, "-p source=here -p tuning=55 -p 'ref:={\"release\": 115}'"))
        await pilot.press("ctrl+j")
        await until(pilot, lambda: submitted(answers))

    sent = submitted(answers)[0]["tasks"][0]
    assert sent["parameters"] == {"ref": {"release": 115}}
    assert sent["parameter_texts"] == [["source", "here"], ["tuning", "55"]]


async def test_a_parameter_is_found_by_name_or_description_as_it_is_typed() -> None:
    """You should see only what has the words, folded away or not; esc shows all again, the cursor where it was put."""
    async with opened(GROUPS) as (pilot, app):
        await pilot.press("ctrl+f")
        await until(pilot, lambda: shows(app, "━▌Find ━"))
        assert shows(app, "3 of 5, esc shows all"), "a heading is no parameter"
        await pilot.press(*"com fr")
        await until(pilot, lambda: not shows(app, "plain"))
        assert shows(app, "━▌Find ━com fr") and shows(app, "1 of 5, esc shows all")
        assert shows(app, "source*       [")
        await pilot.press("backspace", "backspace", "backspace", "backspace", "backspace", "backspace", *"tun", "enter")
        await until(pilot, lambda: fields(app).at == ("tuning",))
        await pilot.press("backspace", "7", "escape")
        await until(pilot, lambda: shows(app, "▸ 1 more, hidden"))
        assert fields(app).at == ("tuning",)
        assert fields(app).texts == {("tuning",): "7"}
        await pilot.press("ctrl+f", *"zzz")
        await until(pilot, lambda: shows(app, "No parameter has these words. esc shows all."))
        await pilot.press("escape", "escape")
        await until(pilot, lambda: app.screen is app.deck)


MANY: dict[str, Any] = {"properties": {f"p{number:02}": {"type": "string"} for number in range(20)}}


async def test_tab_goes_on_from_the_parameters_that_were_found_and_esc_shows_all_from_there() -> None:
    async with opened(MANY, (80, 24)) as (pilot, app):
        await pilot.press("ctrl+f", *"p05", "tab", "x", "tab", *"mine")
        await until(pilot, lambda: shows(app, "In         [mine "))
        assert shows(app, "Find p05 ") and fields(app).texts == {("p05",): "x"}
        await pilot.press("escape")
        await until(pilot, lambda: not shows(app, "esc shows all"))
        await until(pilot, lambda: shows(app, "In         [mine "))
        await pilot.press("2")
        await until(pilot, lambda: shows(app, "In         [mine2 "))
        assert isinstance(app.screen, SubmitScreen)


async def test_the_field_that_was_found_is_in_view_when_all_are_shown_again() -> None:
    async with opened(MANY, (80, 24)) as (pilot, app):
        await pilot.press("ctrl+f", *"p19", "enter", "x", "escape")
        await until(pilot, lambda: not shows(app, "esc shows all"))
        await until(pilot, lambda: shows(app, "p19           [x "))
        await pilot.press("y")
        await until(pilot, lambda: shows(app, "p19           [xy "))


async def test_without_parameters_the_form_begins_at_the_fields_of_the_task_and_finds_none() -> None:
    async with opened({}) as (pilot, app):
        burst(app, "ctrl+f", "/tmp", "tab", "mine", "ctrl+f", "enter")
        await until(pilot, lambda: shows(app, "In         [/tmp ") and shows(app, "Name       [mine "))
        assert shows(app, "Parameters 0") and not shows(app, "ctrl+f") and shows(app, "This template has no parameters.")


@pytest.mark.parametrize("between", [[], ["down"]])
async def test_slash_right_behind_a_letter_that_picked_finds_and_picks_nothing(between: list[str]) -> None:
    async with opened(KEYWORDS) as (pilot, app):
        await go_to(pilot, app, "preset")
        await pilot.press("s", *between, "/", "h")
        await until(pilot, lambda: shows(app, "━▌Find ━h"))
        assert fields(app).texts == {("preset",): "slow"}


async def test_slash_finds_where_nothing_is_typed() -> None:
    async with opened(GROUPS) as (pilot, app):
        await go_to(pilot, app, "plain")
        await pilot.press("/", *"source", "enter", "/")
        await until(pilot, filling(app, "source", "/"))


async def test_keys_typed_at_once_land_where_they_belong() -> None:
    """Many keys in one burst: each field gets its own, as if they were typed slowly, and what follows is done after them."""
    answers = form()
    async with opened(KEYWORDS, answers=answers) as (pilot, app):
        burst(
            app, *"abx", "backspace", *"c", "tab", "backspace", "backspace", "7", "down", "0.5", "tab", *"10", "ctrl+j"
        )
        await until(pilot, lambda: submitted(answers))

    texts = [["input", "abc"], ["crf", "7"], ["ratio", "0.5"], ["step", "10"]]
    assert submitted(answers)[0]["tasks"][0]["parameter_texts"] == texts


async def test_a_list_of_choices_gets_its_keys_out_of_the_same_burst() -> None:
    """From an empty form: a template, its fields and a choice, in one burst."""
    answers = form(template_ls=[{**ENCODE, "parameters": KEYWORDS}])
    app = deck(answers)
    async with app.run_test(size=(80, 40)) as pilot:
        app.open_form()
        await until(pilot, lambda: app.screen.focused is not None)
        await until(pilot, lambda: answers.asked("template.ls"))
        await pilot.pause()
        burst(
            app,
            "shift+tab",
            "left",
            "tab",
            "right",
            "tab",
            *"abc",
            "ctrl+f",
            *"leve",
            "enter",
            "enter",
            "G",
            "enter",
            "ctrl+j",
        )
        await until(pilot, lambda: submitted(answers))

    texts = [["input", "abc"], ["level", "2"]]
    assert submitted(answers)[0]["tasks"] == [{"template": "encode", "parameter_texts": texts}]


async def test_tab_goes_through_the_parameters_to_the_fields_of_the_task_and_back() -> None:
    async with opened({"properties": {"a": {}, "b": {"type": "boolean"}}}) as (pilot, app):
        await pilot.press("tab", "tab", *"/tmp")
        await until(pilot, lambda: shows(app, "-C /tmp"))
        await pilot.press("shift+tab", "space")
        await until(pilot, filling(app, "b", "true"))
        await pilot.press("shift+tab", "x", "up")
        await until(pilot, filling(app, "a", "x"))


@pytest.mark.parametrize("key", ["tab", "enter", "down"])
@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_behind_a_last_parameter_that_is_text_come_the_fields_of_the_task_in_view(key: str, size: tuple[int, int]) -> None:
    """You should type on in the fields of the task, and see what you type; not in a parameter that you left."""
    names = [f"p{number:02}" for number in range(14)]
    async with opened({"properties": {name: {"type": "string"} for name in names}}, size) as (pilot, app):
        burst(app, *["a", key] * (len(names) - 1))
        await until(pilot, filling(app, names[-2], "a"))
        await pilot.press("a", key)
        await pilot.press(*"mine")
        await until(pilot, lambda: shows(app, "In         [mine "))
        assert fields(app).texts == {(name,): "a" for name in names}
        assert app.screen.focused is not None and app.screen.focused.id == "cwd"


async def test_before_the_first_parameter_comes_the_last_field_of_the_task() -> None:
    async with opened({"properties": {"a": {"type": "string"}}}, (80, 24)) as (pilot, app):
        await pilot.press("shift+tab", "space")
        await until(pilot, lambda: shows(app, "[x] hold"))
        await pilot.press("tab", "x")
        await until(pilot, filling(app, "a", "x"))


async def test_lines_that_are_pasted_are_items_of_a_list() -> None:
    async with opened(KEYWORDS) as (pilot, app):
        await go_to(pilot, app, "tracks")
        burst(app, "1\n2\n")
        await until(pilot, filling(app, "tracks", "1, 2"))
        await go_to(pilot, app, "rows")
        burst(app, '[\n  {"id": 1}\n]\n')
        await until(pilot, filling(app, "rows", '[ {"id": 1} ]'))


async def test_the_mouse_does_what_keys_do() -> None:
    async with opened(GROUPS) as (pilot, app):
        at = next(y for y, text in enumerate(screen_text(app)) if "plain" in text)
        await pilot.click(offset=(17, at))
        await until(pilot, filling(app, "plain", "true"))
        at = next(y for y, text in enumerate(screen_text(app)) if "Rarely wanted" in text)
        await pilot.click(offset=(20, at))
        await until(pilot, lambda: shows(app, "tuning"))
        at = next(y for y, text in enumerate(screen_text(app)) if "tuning" in text)
        await pilot.click(offset=(20, at))
        await pilot.press("backspace", "9")
        await until(pilot, filling(app, "tuning", "9"))


async def test_what_was_typed_is_kept_and_the_last_task_fills_the_form_again() -> None:
    last = task(number=77, template="encode", parameters={"source": "there", "plain": True, "tuning": 4, "gone": 1})
    page = {"columns": ["number", "uuid"], "rows": [[77, last["uuid"]]]}
    answers = form(show=last, browse=page)
    async with opened(GROUPS, answers=answers) as (pilot, app):
        await paste(pilot, "half")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.deck)
        app.open_form(template="encode")
        await until(pilot, lambda: shows(app, "[half  "))
        await pilot.press("ctrl+r")
        await until(pilot, lambda: shows(app, "Filled in as in #77."))
        assert fields(app).texts == {("source",): "there", ("plain",): "true"}

    assert answers.asked("browse") == [{"filter": "template:encode", "limit": 1}]


async def test_a_task_is_run_again_with_what_it_had() -> None:
    """You should see the parameters that the task had, and hear of the secret that is not shown."""
    schema = {"properties": {**KEYWORDS["properties"], "api_key": {"type": "string"}}}
    had = task(
        template="encode", parameters={"input": "abc", "crf": 23, "when": "2", "fast": False, "tracks": [1, 2], "api_key": "•••"},
        cwd="/", memory=0.0, retries=0, timeout=None, priority=0, launch={"argv": ["true"]}, tags={"env": "prod"}, umask=0o77,
    )  # fmt: skip
    answers = form()
    async with opened(schema, answers=answers, template=None, task=had) as (pilot, app):
        await until(pilot, lambda: shows(app, "tracks        [1, 2 "))
        assert line(app, 0).startswith(" #1049 resnet50-sweep-08 › Run again")
        assert "Not taken over, masked or no parameter any more: api_key." in line(app, 38)
        await pilot.press("backspace")
        await until(pilot, filling(app, "input", "ab"))
        await pilot.press("ctrl+j")
        await until(pilot, lambda: submitted(answers))

    sent = submitted(answers)[0]
    assert sent["umask"] == 0o77
    assert sent["tasks"] == [{
        "template": "encode", "parameter_texts": [["input", "ab"], ["fast", "false"]], "parameters": {"when": "2", "tracks": [1, 2]},
        "name": "resnet50-sweep-08", "queue": "gpu", "cpu": "4", "cwd": "/", "tags": {"env": "prod"},
    }]  # fmt: skip


async def test_a_command_is_run_again_without_the_name_it_would_get_anyway() -> None:
    answers = form(submit=[{"number": 1, "name": "resnet50-sweep-08"}])
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_form(task=task(cwd="/"))
        await until(pilot, lambda: shows(app, "Name       [                              ]"))
        assert shows(app, "Command    [python train.py --lr 0.01 --seed 8 ")
        assert shows(app, "Timeout    [4h    ]")


async def test_a_template_that_is_gone_is_told() -> None:
    app = deck(form(template_ls=[]))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_form(template="encode")
        await until(pilot, lambda: shows(app, "There is no template encode any more."))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.deck)


async def test_what_is_typed_before_the_form_stands_there_is_kept_for_it() -> None:
    answers = form()
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        burst(app, "n", *"sleep 5", "tab", "/tmp", "ctrl+j")
        await until(pilot, lambda: submitted(answers))

    assert submitted(answers)[0]["tasks"] == [{"argv": ["sleep", "5"], "cwd": "/tmp"}]


async def test_shell_text_in_command_is_refused_and_taken_along() -> None:
    app = deck(form())
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_form()
        await until(pilot, lambda: app.screen.focused is not None)
        await paste(pilot, "for i in 1 2; do echo $i; done")
        await until(
            pilot, lambda: shows(app, '✗ Command: "for" is a word of the shell, not a program. Take Run: shell text.')
        )
        await pilot.press("shift+tab", "right")
        await until(pilot, lambda: shows(app, "taskdeck submit -c 'for i in 1 2; do echo $i; done'"))


async def test_a_read_only_deck_submits_nothing_and_says_so() -> None:
    answers = form()
    app = deck(answers, read_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_form(template="encode")
        await until(pilot, lambda: app.screen.focused is not None)
        await pilot.press("x", "ctrl+j")
        await until(pilot, lambda: "Read only" in line(app, 22))

    assert submitted(answers) == []


@pytest.mark.parametrize(
    ("size", "look"),
    [*((size, Look()) for size in [(80, 24), (60, 16), (120, 40), (200, 50)]), ((80, 24), Look(ascii=True, colour=False, utf8=False))],
)
async def test_every_size_and_look_shows_a_usable_form(size: tuple[int, int], look: Look) -> None:
    """You should see a whole form: nothing beyond the edges, and in ASCII nothing but ASCII."""
    async with opened(KEYWORDS, size, look=look) as (pilot, app):
        await put(pilot, app, "mail", "x@y")
        await put(pilot, app, "word", "secret")
        text = screen_text(app)
        assert all(len(shown) <= size[0] for shown in text)
        assert not look.ascii or all(shown.isascii() for shown in text), text
        assert shows(app, "ctrl+j submit")
        assert shows(app, "ctrl+f finds one") or shows(app, "word ")


async def test_hundreds_of_parameters_are_one_widget_of_which_only_what_is_in_sight_is_drawn() -> None:
    many = {"properties": {f"p{n}": {"type": "integer", "description": f"number {n}"} for n in range(300)}}
    async with opened(many, (80, 24)) as (pilot, app):
        assert shows(app, "Parameters 300 ")
        assert len([*fields(app).walk_children()]) == 2
        await put(pilot, app, "p299", "33")
        await until(pilot, lambda: shows(app, "p299          [33"))
        assert fields(app).values == {"p299": 33}


async def test_hostile_names_texts_and_faults_are_only_shown() -> None:
    schema = {
        "title": EVIL,
        "properties": {
            "a": {"description": EVIL, "default": EVIL, "pattern": "^x", "title": EVIL, "help_text": EVIL},
            EVIL: {"enum": [EVIL, "x"], "errorMessage": EVIL},
            "o": {"type": "object", "title": EVIL, "description": EVIL, "properties": {EVIL: {"type": "integer"}}},
        },
    }
    async with opened(schema) as (pilot, app):
        await pilot.press("tab", "right", "tab", "x", "up", "up", "up")
        await until(pilot, lambda: shows(app, "o holds a NUL character") and fields(app).at == ("a",))
        assert escapes(app) == []
        assert app.screen.query_one("#parameter", Input).value == EVIL


async def test_shell_text_that_is_run_again_cannot_drive_the_terminal() -> None:
    app = deck(form())
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_form(task=task(cwd="/", launch={"script": f"a\tb\n{EVIL}"}))
        await until(pilot, lambda: shows(app, "[/red]"))
        assert escapes(app) == []


async def test_a_refusal_of_the_runtime_is_shown_though_the_form_found_nothing() -> None:
    async with opened({"properties": {"a": {}}}, answers=form(submit=Usage("the queue is closed."))) as (pilot, app):
        await pilot.press("x")
        await until(pilot, lambda: shows(app, "✗ the queue is closed."))
