"""Form built from a JSON Schema, on a fake runtime."""

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
from app.tui.screens.submission.submit_form import SubmitScreen
from app.tui.style import Look
from tests.tui.fake_runtime import (
    FakeRuntime,
    make_deck,
    make_task_row,
    read_screen_line,
    wait_until,
)
from tests.tui.screen_text import read_screen_lines
from tests.tui.screens.submission.test_submit_form import (
    ENCODE_TEMPLATE,
    is_shown,
    list_submissions,
    make_form_runtime,
    paste_text,
)
from tests.tui.screens.tasks.test_task import HOSTILE_TEXT, find_control_characters

KEYWORDS: dict[str, Any] = {
    "type": "object",
    "required": ["input"],
    "properties": {
        "input": {
            "type": "string",
            "minLength": 2,
            "pattern": "^[a-z]+$",
            "description": "what to read",
        },
        "crf": {"type": "integer", "minimum": 0, "maximum": 51, "default": 23},
        "ratio": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        "step": {"type": "integer", "multipleOf": 5},
        "mail": {"type": "string", "format": "email"},
        "preset": {"enum": ["slow", "fast"], "default": "fast"},
        "level": {"oneOf": [{"const": 1, "title": "low"}, {"const": 2, "title": "high"}]},
        "only": {"const": "this"},
        "when": {"type": ["integer", "string"]},
        "fast": {"type": "boolean", "default": True},
        "tracks": {
            "type": "array",
            "items": {"type": "integer"},
            "maxItems": 2,
            "uniqueItems": True,
        },
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
    "properties": {
        "ref": {
            "type": "object",
            "required": ["release"],
            "properties": {"release": {"type": "integer"}},
        }
    },
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
        "rare": {
            "title": "Rarely wanted",
            "properties": {"tuning": {"type": "integer", "hidden": True, "default": 4}},
        },
    },
}


@asynccontextmanager
async def open_schema_form(
    schema: dict[str, Any], size: tuple[int, int] = (80, 40), *, answers: FakeRuntime | None = None,
    look: Look | None = None, **how: Any
) -> AsyncIterator[tuple[Pilot[Any], TaskdeckApp]]:  # fmt: skip
    """Open the form of template encode with this schema of its parameters."""
    found = answers or make_form_runtime()
    found.table["template.ls"] = [{**ENCODE_TEMPLATE, "parameters": schema}]
    app = make_deck(found, look=look)
    opening: dict[str, Any] = {"template": "encode"} | how
    async with app.run_test(size=size) as pilot:
        app.open_form(**opening)
        await wait_until(
            pilot, lambda: isinstance(app.screen, SubmitScreen) and app.screen.focused is not None
        )
        yield pilot, app
        assert app.failure is None


def get_fields(app: TaskdeckApp) -> ParameterFields:
    return app.screen.query_one(ParameterFields)


def make_text_check(app: TaskdeckApp, name: str, text: str) -> Callable[[], bool]:
    """Return a check of whether the named field holds a text."""
    return lambda: get_fields(app).texts.get(tuple(name.split(".")), "") == text


def type_keys(app: TaskdeckApp, *keys: str) -> None:
    """Send keys, and longer strings as pastes, without pauses."""
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


async def move_to_parameter(pilot: Pilot[Any], app: TaskdeckApp, name: str) -> None:
    """Find a parameter by its name with ctrl+f."""
    type_keys(app, "ctrl+f", name, "enter", "escape")
    await wait_until(pilot, lambda: get_fields(app).current_path == tuple(name.split(".")))


async def replace_text(pilot: Pilot[Any], app: TaskdeckApp, name: str, text: str) -> None:
    """Find a field and replace its text."""
    type_keys(app, "ctrl+f", name, "enter", "escape", "ctrl+u", text)
    await wait_until(pilot, make_text_check(app, name, text))


async def test_the_form_of_a_template_is_drawn_as_documented() -> None:
    """Expect the path, the template's summary, its fields, and the task's fields below."""
    async with open_schema_form(KEYWORDS) as (pilot, app):
        await wait_until(pilot, lambda: is_shown(app, "Still required: input."))
        await wait_until(pilot, lambda: "ctrl+f finds one" in read_screen_line(app, 2))
        assert read_screen_line(app, 0).startswith(" Templates › encode › New task")
        assert (
            read_screen_line(app, 1)
            == "  encode: transcode one file  queue media  cpu 2  memory 2.0G  limit 1h"
        )
        assert read_screen_line(app, 2).startswith("  ━▌Parameters 14, 1 required ")
        assert read_screen_line(app, 3).startswith("  input*        [")
        assert read_screen_line(app, 4).startswith("  crf           [23      ] 0 to 51")
        assert is_shown(app, "ratio         [        ] more than 0, less than 1")
        assert is_shown(app, "─ Task ─")
        assert not is_shown(app, "Run  ")
        assert app.screen.focused is not None and app.screen.focused.id == "parameter"


FAULT_CASES: list[tuple[str, str, str, str, Any]] = [
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
"""Parameter, wrong text, fault message, right text, and its value."""


async def test_a_fault_is_shown_at_its_field_until_fixed() -> None:
    answers = make_form_runtime()
    async with open_schema_form(KEYWORDS, answers=answers) as (pilot, app):
        await replace_text(pilot, app, "input", "abc")
        for name, wrong, said, right, _ in FAULT_CASES:
            await replace_text(pilot, app, name, wrong)
            await wait_until(pilot, lambda said=said: is_shown(app, f"✗             {said}"))
            await wait_until(
                pilot,
                lambda name=name: is_shown(
                    app, f"1 thing to fix before it can be submitted: {name}"
                ),
            )
            type_keys(app, "ctrl+j")
            await wait_until(
                pilot, lambda said=said: f"Not submitted: {said}" in read_screen_line(app, 38)
            )
            await replace_text(pilot, app, name, right)
            await wait_until(pilot, lambda: not is_shown(app, "✗"))
        assert list_submissions(answers) == []
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: list_submissions(answers))

    sent = list_submissions(answers)[0]["tasks"][0]
    texts = {name: str(value) for name, *_, value in FAULT_CASES if not isinstance(value, list)}
    assert dict(sent["parameter_texts"]) == texts
    assert sent["parameters"] == {"tracks": [3], "rows": []}


async def test_a_conditional_requirement_applies_when_its_condition_holds() -> None:
    async with open_schema_form(KEYWORDS) as (pilot, app):
        await replace_text(pilot, app, "when", "01")
        assert get_fields(app).missing_count == 1
        type_keys(app, "ctrl+u", "1")
        await wait_until(pilot, lambda: is_shown(app, "✗             step is required"))


async def test_format_and_dependent_requirement_are_checked_at_once() -> None:
    async with open_schema_form(KEYWORDS) as (pilot, app):
        await replace_text(pilot, app, "mail", "nobody")
        await wait_until(
            pilot, lambda: is_shown(app, 'mail must be an e-mail address, not "nobody"')
        )
        assert is_shown(app, "lang is needed with mail")
        assert is_shown(app, "Parameters 14, 2 required, 1 to fix")
        await wait_until(
            pilot,
            lambda: is_shown(app, "3 things to fix before it can be submitted: input, mail, lang"),
        )


async def test_choices_and_switches_take_arrows_space_and_enter() -> None:
    answers = make_form_runtime()
    async with open_schema_form(KEYWORDS, answers=answers) as (pilot, app):
        await paste_text(pilot, "abc")
        await move_to_parameter(pilot, app, "preset")
        await pilot.press("left")
        await wait_until(pilot, make_text_check(app, "preset", "slow"))
        await move_to_parameter(pilot, app, "level")
        await pilot.press("enter")
        await wait_until(
            pilot, lambda: isinstance(app.screen, PickScreen) and is_shown(app, "high")
        )
        await pilot.press("G", "enter")
        await wait_until(pilot, make_text_check(app, "level", "2"))
        assert is_shown(app, "level         [high ▾]")
        await pilot.press("tab", "right", "tab", "tab", "space")
        await wait_until(pilot, make_text_check(app, "fast", "false"))
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: list_submissions(answers))

    texts = [
        ["input", "abc"],
        ["preset", "slow"],
        ["level", "2"],
        ["only", "this"],
        ["fast", "false"],
    ]
    assert list_submissions(answers)[0]["tasks"][0]["parameter_texts"] == texts


async def test_letters_select_a_choice_by_prefix() -> None:
    async with open_schema_form(KEYWORDS) as (pilot, app):
        await move_to_parameter(pilot, app, "preset")
        await pilot.press(*"slow")
        await wait_until(pilot, make_text_check(app, "preset", "slow"))
        await pilot.press("tab", *"hi")
        await wait_until(pilot, make_text_check(app, "level", "2"))


async def test_a_switch_set_back_to_its_default_sends_nothing() -> None:
    async with open_schema_form(GROUPS) as (pilot, app):
        await move_to_parameter(pilot, app, "plain")
        await pilot.press("space")
        await wait_until(pilot, make_text_check(app, "plain", "true"))
        await pilot.press("space")
        await wait_until(pilot, make_text_check(app, "plain", ""))


async def test_a_secret_is_masked_but_not_a_reference_to_one() -> None:
    answers = make_form_runtime()
    async with open_schema_form(KEYWORDS, answers=answers) as (pilot, app):
        await paste_text(pilot, "abc")
        await replace_text(pilot, app, "word", "hunter2")
        await wait_until(pilot, make_text_check(app, "word", "hunter2"))
        await pilot.press("shift+tab")
        await wait_until(pilot, lambda: is_shown(app, "word          [•••••••  "))
        assert is_shown(app, "word=•••") and not is_shown(app, "hunter2")
        await replace_text(pilot, app, "word", "env:PASS_WORD")
        await wait_until(pilot, lambda: is_shown(app, "[env:PASS_WORD"))
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: list_submissions(answers))

    assert list_submissions(answers)[0]["tasks"][0]["parameters"] == {
        "word": {"secret": {"env": "PASS_WORD"}}
    }


async def test_the_shown_command_masks_by_the_schema_then_by_the_name() -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "token": {"type": "string", "writeOnly": False},
            "max_tokens": {"type": "integer"},
            "word": {"type": "string", "writeOnly": True},
            "api_key": {"type": "integer"},
        },
    }
    typed = {("token",): "seen", ("max_tokens",): "512", ("word",): "hush", ("api_key",): "7788"}
    async with open_schema_form(schema) as (pilot, app):
        get_fields(app).set_texts(typed)
        await wait_until(pilot, lambda: is_shown(app, "-p token=seen -p max_tokens=512"))
        assert is_shown(app, "word=•••") and is_shown(app, "api_key=•••")
        assert not is_shown(app, "hush") and not is_shown(app, "api_key=7788")


async def test_groups_have_title_lines_and_can_be_collapsed() -> None:
    """Expect two titled groups, and one line for hidden fields that opens on request."""
    async with open_schema_form(GROUPS) as (pilot, app):
        await wait_until(pilot, lambda: is_shown(app, "─ ▾ In and out ─"))
        assert is_shown(app, "▸ 1 more, hidden")
        assert is_shown(app, "─ ▸ Rarely wanted ─")
        assert not is_shown(app, "tuning")
        await pilot.press("tab", "tab", "tab", "enter")
        await wait_until(pilot, lambda: is_shown(app, "▾ 1 hidden, shown"))
        assert is_shown(app, "hint ")
        await pilot.press("up", "up", "up", "enter")
        await wait_until(
            pilot, lambda: is_shown(app, "━▌▸ In and out ━") and not is_shown(app, "source*")
        )
        assert is_shown(app, "3, 1 to fix ━")
        assert is_shown(
            app, "In and out: 3 parameters, enter shows them. files that are read and written"
        )


async def test_nested_values_reach_the_runtime_with_their_types() -> None:
    answers = make_form_runtime()
    async with open_schema_form(GROUPS, answers=answers) as (pilot, app):
        await replace_text(pilot, app, "source", "here")
        await replace_text(pilot, app, "ref.release", "115")
        await replace_text(pilot, app, "tuning", "55")
        await wait_until(
            pilot, lambda: is_shown(app, "-p source=here -p tuning=55 -p 'ref:={\"release\": 115}'")
        )
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: list_submissions(answers))

    sent = list_submissions(answers)[0]["tasks"][0]
    assert sent["parameters"] == {"ref": {"release": 115}}
    assert sent["parameter_texts"] == [["source", "here"], ["tuning", "55"]]


async def test_the_exact_name_of_a_parameter_is_found_first() -> None:
    """Prefer the name over names and descriptions that contain the word, and over nested names."""
    schema = {
        "type": "object",
        "properties": {
            "env": {"type": "string", "description": "for all jobs"},
            "apiVersion": {"type": "string"},
            "app": {"type": "object", "properties": {"version": {"type": "string"}}},
            "version": {"type": "string"},
            "jobs": {"type": "string"},
        },
    }
    async with open_schema_form(schema) as (pilot, app):
        for word, path in (
            ("jobs", ("jobs",)),
            ("Version", ("version",)),
            ("app.version", ("app", "version")),
            ("vers", ("apiVersion",)),
        ):
            type_keys(app, "ctrl+f", word, "enter")
            await wait_until(pilot, lambda path=path: get_fields(app).current_path == path)


async def test_typing_finds_a_parameter_by_name_or_description() -> None:
    """Show only matches, collapsed or not; esc shows all and keeps the cursor."""
    async with open_schema_form(GROUPS) as (pilot, app):
        await pilot.press("ctrl+f")
        await wait_until(pilot, lambda: is_shown(app, "━▌Find ━"))
        assert is_shown(app, "3 of 5, esc shows all"), "a heading is no parameter"
        await pilot.press(*"com fr")
        await wait_until(pilot, lambda: not is_shown(app, "plain"))
        assert is_shown(app, "━▌Find ━com fr") and is_shown(app, "1 of 5, esc shows all")
        assert is_shown(app, "source*       [")
        await pilot.press(
            "backspace",
            "backspace",
            "backspace",
            "backspace",
            "backspace",
            "backspace",
            *"tun",
            "enter",
        )
        await wait_until(pilot, lambda: get_fields(app).current_path == ("tuning",))
        await pilot.press("backspace", "7", "escape")
        await wait_until(pilot, lambda: is_shown(app, "▸ 1 more, hidden"))
        assert get_fields(app).current_path == ("tuning",)
        assert get_fields(app).texts == {("tuning",): "7"}
        await pilot.press("ctrl+f", *"zzz")
        await wait_until(
            pilot, lambda: is_shown(app, "No parameter matches. Press esc to show all.")
        )
        await pilot.press("escape", "escape")
        await wait_until(pilot, lambda: app.screen is app.deck)


MANY_PARAMETERS: dict[str, Any] = {
    "properties": {f"p{number:02}": {"type": "string"} for number in range(20)}
}


async def test_tab_leaves_the_found_parameters_and_escape_shows_all() -> None:
    async with open_schema_form(MANY_PARAMETERS, (80, 24)) as (pilot, app):
        await pilot.press("ctrl+f", *"p05", "tab", "x", "tab", *"mine")
        await wait_until(pilot, lambda: is_shown(app, "In         [mine "))
        assert is_shown(app, "Find p05 ") and get_fields(app).texts == {("p05",): "x"}
        await pilot.press("escape")
        await wait_until(pilot, lambda: not is_shown(app, "esc shows all"))
        await wait_until(pilot, lambda: is_shown(app, "In         [mine "))
        await pilot.press("2")
        await wait_until(pilot, lambda: is_shown(app, "In         [mine2 "))
        assert isinstance(app.screen, SubmitScreen)


async def test_a_found_field_stays_in_view_when_all_are_shown() -> None:
    async with open_schema_form(MANY_PARAMETERS, (80, 24)) as (pilot, app):
        await pilot.press("ctrl+f", *"p19", "enter", "x", "escape")
        await wait_until(pilot, lambda: not is_shown(app, "esc shows all"))
        await wait_until(pilot, lambda: is_shown(app, "p19           [x "))
        await pilot.press("y")
        await wait_until(pilot, lambda: is_shown(app, "p19           [xy "))


async def test_a_form_without_parameters_starts_at_the_task_s_fields() -> None:
    async with open_schema_form({}) as (pilot, app):
        type_keys(app, "ctrl+f", "/tmp", "tab", "mine", "ctrl+f", "enter")
        await wait_until(
            pilot, lambda: is_shown(app, "In         [/tmp ") and is_shown(app, "Name       [mine ")
        )
        assert (
            is_shown(app, "Parameters 0")
            and not is_shown(app, "ctrl+f")
            and is_shown(app, "This template has no parameters.")
        )


@pytest.mark.parametrize("between", [[], ["down"]])
async def test_slash_after_a_selecting_letter_starts_a_search(between: list[str]) -> None:
    async with open_schema_form(KEYWORDS) as (pilot, app):
        await move_to_parameter(pilot, app, "preset")
        await pilot.press("s", *between, "/", "h")
        await wait_until(pilot, lambda: is_shown(app, "━▌Find ━h"))
        assert get_fields(app).texts == {("preset",): "slow"}


async def test_slash_searches_in_fields_without_text() -> None:
    async with open_schema_form(GROUPS) as (pilot, app):
        await move_to_parameter(pilot, app, "plain")
        await pilot.press("/", *"source", "enter", "/")
        await wait_until(pilot, make_text_check(app, "source", "/"))


async def test_a_burst_of_keys_reaches_the_right_fields() -> None:
    """Give each field its own keys, as if typed slowly, and act on later keys afterwards."""
    answers = make_form_runtime()
    async with open_schema_form(KEYWORDS, answers=answers) as (pilot, app):
        type_keys(
            app,
            *"abx",
            "backspace",
            *"c",
            "tab",
            "backspace",
            "backspace",
            "7",
            "down",
            "0.5",
            "tab",
            *"10",
            "ctrl+j",
        )
        await wait_until(pilot, lambda: list_submissions(answers))

    texts = [["input", "abc"], ["crf", "7"], ["ratio", "0.5"], ["step", "10"]]
    assert list_submissions(answers)[0]["tasks"][0]["parameter_texts"] == texts


async def test_a_choice_list_gets_its_keys_from_the_same_burst() -> None:
    """Select a template, fill its fields and make a choice in one burst."""
    answers = make_form_runtime(template_ls=[{**ENCODE_TEMPLATE, "parameters": KEYWORDS}])
    app = make_deck(answers)
    async with app.run_test(size=(80, 40)) as pilot:
        app.open_form()
        await wait_until(pilot, lambda: app.screen.focused is not None)
        await wait_until(pilot, lambda: answers.list_args("template.ls"))
        await pilot.pause()
        type_keys(
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
        await wait_until(pilot, lambda: list_submissions(answers))

    texts = [["input", "abc"], ["level", "2"]]
    assert list_submissions(answers)[0]["tasks"] == [
        {"template": "encode", "parameter_texts": texts}
    ]


async def test_tab_moves_between_parameters_and_task_fields() -> None:
    async with open_schema_form({"properties": {"a": {}, "b": {"type": "boolean"}}}) as (
        pilot,
        app,
    ):
        await pilot.press("tab", "tab", *"/tmp")
        await wait_until(pilot, lambda: is_shown(app, "-C /tmp"))
        await pilot.press("shift+tab", "space")
        await wait_until(pilot, make_text_check(app, "b", "true"))
        await pilot.press("shift+tab", "x", "up")
        await wait_until(pilot, make_text_check(app, "a", "x"))


@pytest.mark.parametrize("key", ["tab", "enter", "down"])
@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_task_fields_after_a_last_text_parameter_scroll_into_view(
    key: str, size: tuple[int, int]
) -> None:
    """Show the input in the task's field, and not in the parameter just left."""
    names = [f"p{number:02}" for number in range(14)]
    async with open_schema_form(
        {"properties": {name: {"type": "string"} for name in names}}, size
    ) as (pilot, app):
        type_keys(app, *["a", key] * (len(names) - 1))
        await wait_until(pilot, make_text_check(app, names[-2], "a"))
        await pilot.press("a", key)
        await pilot.press(*"mine")
        await wait_until(pilot, lambda: is_shown(app, "In         [mine "))
        assert get_fields(app).texts == {(name,): "a" for name in names}
        assert app.screen.focused is not None and app.screen.focused.id == "cwd"


async def test_shift_tab_from_the_first_parameter_goes_to_the_last_field() -> None:
    async with open_schema_form({"properties": {"a": {"type": "string"}}}, (80, 24)) as (
        pilot,
        app,
    ):
        await pilot.press("shift+tab", "space")
        await wait_until(pilot, lambda: is_shown(app, "[x] hold"))
        await pilot.press("tab", "x")
        await wait_until(pilot, make_text_check(app, "a", "x"))


async def test_pasted_lines_become_items_of_a_list() -> None:
    async with open_schema_form(KEYWORDS) as (pilot, app):
        await move_to_parameter(pilot, app, "tracks")
        type_keys(app, "1\n2\n")
        await wait_until(pilot, make_text_check(app, "tracks", "1, 2"))
        await move_to_parameter(pilot, app, "rows")
        type_keys(app, '[\n  {"id": 1}\n]\n')
        await wait_until(pilot, make_text_check(app, "rows", '[ {"id": 1} ]'))


async def test_the_mouse_works_like_the_keys() -> None:
    async with open_schema_form(GROUPS) as (pilot, app):
        at = next(y for y, text in enumerate(read_screen_lines(app)) if "plain" in text)
        await pilot.click(offset=(17, at))
        await wait_until(pilot, make_text_check(app, "plain", "true"))
        at = next(y for y, text in enumerate(read_screen_lines(app)) if "Rarely wanted" in text)
        await pilot.click(offset=(20, at))
        await wait_until(pilot, lambda: is_shown(app, "tuning"))
        at = next(y for y, text in enumerate(read_screen_lines(app)) if "tuning" in text)
        await pilot.click(offset=(20, at))
        await pilot.press("backspace", "9")
        await wait_until(pilot, make_text_check(app, "tuning", "9"))


async def test_input_is_kept_and_ctrl_r_fills_in_the_last_task() -> None:
    last = make_task_row(
        number=77,
        template="encode",
        parameters={"source": "there", "plain": True, "tuning": 4, "gone": 1},
    )
    page = {"columns": ["number", "uuid"], "rows": [[77, last["uuid"]]]}
    answers = make_form_runtime(show=last, browse=page)
    async with open_schema_form(GROUPS, answers=answers) as (pilot, app):
        await paste_text(pilot, "half")
        await pilot.press("escape")
        await wait_until(pilot, lambda: app.screen is app.deck)
        app.open_form(template="encode")
        await wait_until(pilot, lambda: is_shown(app, "[half  "))
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: is_shown(app, "Filled in as in #77."))
        assert get_fields(app).texts == {("source",): "there", ("plain",): "true"}

    assert answers.list_args("browse") == [{"filter": "template:encode", "limit": 1}]


async def test_a_retry_form_has_the_parameters_of_the_task() -> None:
    """Show the task's parameters, and say that a secret is not shown."""
    schema = {"properties": {**KEYWORDS["properties"], "api_key": {"type": "string"}}}
    had = make_task_row(
        template="encode", parameters={"input": "abc", "crf": 23, "when": "2", "fast": False,
        "tracks": [1, 2], "api_key": "•••"},
        cwd="/", memory=0.0, retries=0, timeout=None, priority=0, launch={"argv": ["true"]},
        tags={"env": "prod"}, umask=0o77,
    )  # fmt: skip
    answers = make_form_runtime()
    async with open_schema_form(schema, answers=answers, template=None, task=had) as (pilot, app):
        await wait_until(pilot, lambda: is_shown(app, "tracks        [1, 2 "))
        assert read_screen_line(app, 0).startswith(" #1049 resnet50-sweep-08 › Retry")
        assert "Not copied, masked or no longer a parameter: api_key." in read_screen_line(app, 38)
        await pilot.press("backspace")
        await wait_until(pilot, make_text_check(app, "input", "ab"))
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: list_submissions(answers))

    sent = list_submissions(answers)[0]
    assert sent["umask"] == 0o77
    assert sent["tasks"] == [{
        "template": "encode", "parameter_texts": [["input", "ab"], ["fast", "false"]],
        "parameters": {"when": "2", "tracks": [1, 2]},
        "name": "resnet50-sweep-08", "queue": "gpu", "cpu": "4", "cwd": "/",
        "tags": {"env": "prod"},
    }]  # fmt: skip


async def test_a_retry_form_omits_a_default_name() -> None:
    answers = make_form_runtime(submit=[{"number": 1, "name": "resnet50-sweep-08"}])
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_form(task=make_task_row(cwd="/"))
        await wait_until(pilot, lambda: is_shown(app, "Name       [empty: resnet50-sweep-08 "))
        assert is_shown(app, "Command    [python train.py --lr 0.01 --seed 8 ")
        assert is_shown(app, "Timeout    [4h    ]")


async def test_a_missing_template_is_reported() -> None:
    app = make_deck(make_form_runtime(template_ls=[]))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_form(template="encode")
        await wait_until(pilot, lambda: is_shown(app, "There is no template encode any more."))
        await pilot.press("escape")
        await wait_until(pilot, lambda: app.screen is app.deck)


async def test_type_ahead_is_kept_for_the_form() -> None:
    answers = make_form_runtime()
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        type_keys(app, "n", *"sleep 5", "tab", "/tmp", "ctrl+j")
        await wait_until(pilot, lambda: list_submissions(answers))

    assert list_submissions(answers)[0]["tasks"] == [{"argv": ["sleep", "5"], "cwd": "/tmp"}]


async def test_shell_text_as_command_is_refused_and_carried_over() -> None:
    app = make_deck(make_form_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_form()
        await wait_until(pilot, lambda: app.screen.focused is not None)
        await paste_text(pilot, "for i in 1 2; do echo $i; done")
        await wait_until(
            pilot,
            lambda: is_shown(
                app, '✗ Command: "for" is a shell word, not a program. Choose Run: shell text.'
            ),
        )
        await pilot.press("shift+tab", "right")
        await wait_until(
            pilot, lambda: is_shown(app, "taskdeck submit -c 'for i in 1 2; do echo $i; done'")
        )


async def test_read_only_mode_refuses_a_submission() -> None:
    answers = make_form_runtime()
    app = make_deck(answers, read_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_form(template="encode")
        await wait_until(pilot, lambda: app.screen.focused is not None)
        await pilot.press("x", "ctrl+j")
        await wait_until(pilot, lambda: "Read only" in read_screen_line(app, 22))

    assert list_submissions(answers) == []


@pytest.mark.parametrize(
    ("size", "look"),
    [
        *((size, Look()) for size in [(80, 24), (60, 16), (120, 40), (200, 50)]),
        ((80, 24), Look(ascii=True, colour=False, utf8=False)),
    ],
)
async def test_the_form_is_usable_at_every_size_and_style(
    size: tuple[int, int], look: Look
) -> None:
    """Draw nothing beyond the edges, and only ASCII in ASCII mode."""
    async with open_schema_form(KEYWORDS, size, look=look) as (pilot, app):
        await replace_text(pilot, app, "mail", "x@y")
        await replace_text(pilot, app, "word", "secret")
        text = read_screen_lines(app)
        assert all(len(shown) <= size[0] for shown in text)
        assert not look.ascii or all(shown.isascii() for shown in text), text
        assert is_shown(app, "ctrl+j submit")
        assert is_shown(app, "ctrl+f finds one") or is_shown(app, "word ")


async def test_hundreds_of_parameters_are_one_widget() -> None:
    many = {
        "properties": {
            f"p{n}": {"type": "integer", "description": f"number {n}"} for n in range(300)
        }
    }
    async with open_schema_form(many, (80, 24)) as (pilot, app):
        assert is_shown(app, "Parameters 300 ")
        assert len([*get_fields(app).walk_children()]) == 2
        await replace_text(pilot, app, "p299", "33")
        await wait_until(pilot, lambda: is_shown(app, "p299          [33"))
        assert get_fields(app).values == {"p299": 33}


async def test_hostile_names_texts_and_faults_are_plain_text() -> None:
    schema = {
        "title": HOSTILE_TEXT,
        "properties": {
            "a": {
                "description": HOSTILE_TEXT,
                "default": HOSTILE_TEXT,
                "pattern": "^x",
                "title": HOSTILE_TEXT,
                "help_text": HOSTILE_TEXT,
            },
            HOSTILE_TEXT: {"enum": [HOSTILE_TEXT, "x"], "errorMessage": HOSTILE_TEXT},
            "o": {
                "type": "object",
                "title": HOSTILE_TEXT,
                "description": HOSTILE_TEXT,
                "properties": {HOSTILE_TEXT: {"type": "integer"}},
            },
        },
    }
    async with open_schema_form(schema) as (pilot, app):
        await pilot.press("tab", "right", "tab", "x", "up", "up", "up")
        await wait_until(
            pilot,
            lambda: (
                is_shown(app, "o holds a NUL character") and get_fields(app).current_path == ("a",)
            ),
        )
        assert find_control_characters(app) == []
        assert app.screen.query_one("#parameter", Input).value == HOSTILE_TEXT


async def test_retried_shell_text_cannot_control_the_terminal() -> None:
    app = make_deck(make_form_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_form(task=make_task_row(cwd="/", launch={"script": f"a\tb\n{HOSTILE_TEXT}"}))
        await wait_until(pilot, lambda: is_shown(app, "[/red]"))
        assert find_control_characters(app) == []


async def test_a_refusal_is_shown_although_the_form_found_no_fault() -> None:
    async with open_schema_form(
        {"properties": {"a": {}}}, answers=make_form_runtime(submit=Usage("the queue is closed."))
    ) as (pilot, app):
        await pilot.press("x")
        await wait_until(pilot, lambda: is_shown(app, "✗ the queue is closed."))


async def test_a_titled_choice_takes_its_value_by_typing() -> None:
    schema = {
        "type": "object",
        "required": ["version"],
        "properties": {
            "version": {"oneOf": [{"const": 2, "title": "Config file version"}]},
            "name": {"type": "string"},
        },
    }
    async with open_schema_form(schema) as (pilot, app):
        type_keys(app, "ctrl+f", "version", "enter", "2")
        await wait_until(pilot, lambda: is_shown(app, "-p version=2"))
