"""Definition editor: checks while typing, a diff before saving, and no lost concurrent changes."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event
from typing import Any

import pytest

from app.client import Client
from app.config import Config
from app.core.definitions import toml_yaml
from app.errors import NotFound, Problem, Remote
from app.tui.app import TaskdeckApp
from app.tui.screens.definitions.definition_editor import EditorScreen, ReviewScreen
from app.tui.style import Look
from tests.runtime_process import RuntimeProcess
from tests.tui.fake_runtime import FakeRuntime, make_deck, wait_until
from tests.tui.recording_runtime import post_keys
from tests.tui.screen_text import is_shown, read_screen_lines

STORED_TEXT = '[templates.encode]\nengine = "shell"\ntimeout = "30m"\nschema = {script = "true"}\n'


def read_stored(text: str | None) -> Any:
    """Return the tables of a stored text."""
    return toml_yaml.read_document(text or "", "toml")


class DefinitionRuntime(FakeRuntime):
    """A fake runtime with one template, `encode`."""

    def __init__(self, **more: Any) -> None:
        super().__init__(
            definition_show=self.show, definition_check=self.check, definition_set=self.set, **more
        )
        self.text: str | None = STORED_TEXT

    def show(self, args: Mapping[str, Any]) -> Any:
        return (
            NotFound("no template encode.")
            if self.text is None
            else {"text": self.text, "format": "toml"}
        )

    def check(self, args: Mapping[str, Any]) -> dict[str, Any]:
        is_same = args["tables"] == read_stored(self.text)
        return {
            "name": next(iter(args["tables"]["templates"])),
            "faults": [],
            "before": (self.text or "") if args["name"] else "",
            "after": toml_yaml.write_document(args["tables"], "toml"),
            "fields": {} if is_same else {"timeout": [1800.0, 60.0]},
        }

    def set(self, args: Mapping[str, Any]) -> Any:
        if args["was"] != self.text:
            how = "changed" if self.text is not None else "removed"
            kind = (
                {"code": "conflict", "exit_code": 4}
                if self.text is not None
                else {"code": "not-found", "exit_code": 3}
            )
            return Remote(
                f"template encode was {how} meanwhile by bob, 2m ago. Nothing was changed.", **kind
            )
        self.text = toml_yaml.write_document(args["tables"], "toml")
        return {"name": "encode", "change": "update", "fields": {}, "operations": [7]}


async def open_definition_editor(
    pilot: Any, app: TaskdeckApp, name: str | None = "encode"
) -> EditorScreen:
    app.open_editor("templates", name)
    await wait_until(
        pilot,
        lambda: (
            is_shown(app, "engine = ")
            and (is_shown(app, "✓") or is_shown(app, "✗") or is_shown(app, "+ same"))
        ),
    )
    assert isinstance(app.screen, EditorScreen)
    return app.screen


async def test_input_is_checked_and_faults_are_shown_with_their_position():
    app = make_deck(DefinitionRuntime())
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_definition_editor(pilot, app)
        assert is_shown(app, "✓ same as stored")
        await pilot.press("down", "down", *"timout=1", "enter")
        for width, height in ((80, 24), (200, 50), (60, 16)):
            await pilot.resize_terminal(width, height)
            await wait_until(
                pilot, lambda: is_shown(app, '✗ line 3, 1: templates.encode: unknown key "timout"')
            )
            assert is_shown(app, "Nearest: timeout")

        await pilot.press("ctrl+end", "ctrl+g")
        assert screen.area.cursor_location == (2, 0)


async def test_f1_shows_the_form_s_keys_and_keeps_the_input():
    app = make_deck(DefinitionRuntime())
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_definition_editor(pilot, app)
        await pilot.press(*"x?", "f1")
        await wait_until(
            pilot,
            lambda: (
                is_shown(app, "In this form")
                and is_shown(app, "Save, after a review of the changes")
            ),
        )
        assert is_shown(app, "Letters, digits and signs are text") and not is_shown(
            app, "Digits, O, B and E"
        )
        await pilot.press("f1")
        await wait_until(pilot, lambda: app.screen is screen)
        assert screen.area.text.startswith("x?")


async def test_ascii_mode_draws_only_ascii():
    app = make_deck(DefinitionRuntime(), look=Look(ascii=True, colour=False, utf8=False))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_definition_editor(pilot, app)
        assert all(line.isascii() for line in read_screen_lines(app))


async def test_a_fault_prevents_saving_and_moves_the_cursor_to_it():
    answers = DefinitionRuntime()
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_definition_editor(pilot, app)
        await pilot.press("down", "down", *"timout", "ctrl+end", "ctrl+j")
        await wait_until(pilot, lambda: is_shown(app, "Not saved: templates.encode: unknown key"))
        assert (screen.area.cursor_location, answers.list_args("definition.set")) == ((2, 0), [])


async def test_saving_shows_the_diff_first_and_can_be_undone():
    answers = DefinitionRuntime(
        undo={
            "done": [{"id": 7, "number": None, "name": "template encode"}],
            "refused": [],
            "notes": [],
        }
    )
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_definition_editor(pilot, app)
        await pilot.press("down", "down", "end", "enter", *"cpu=2  # comment", "ctrl+j")
        await wait_until(
            pilot, lambda: isinstance(app.screen, ReviewScreen) and is_shown(app, "+ cpu = 2")
        )
        assert answers.list_args("definition.set") == []

        assert read_screen_lines(app)[-1].startswith(" y ctrl+j save  ↵ esc back to the text")
        for back in ("escape", "enter"):
            await pilot.press(back)
            await wait_until(pilot, lambda: isinstance(app.screen, EditorScreen))
            await pilot.press("ctrl+j")
            await wait_until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: is_shown(app, "Saved template encode.  u undo"))
        (asked,) = answers.list_args("definition.set")
        assert (asked["was"], asked["name"]) == (STORED_TEXT, "encode")

        await pilot.press("u")
        await wait_until(pilot, lambda: answers.list_args("undo") == [{"ids": [7]}])


async def test_a_text_that_cannot_be_parsed_is_not_sent_to_the_runtime():
    answers = DefinitionRuntime()
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_definition_editor(pilot, app)
        checks = len(answers.list_args("definition.check"))
        screen.area.text = "a" + ".a" * 40_000 + "=1"
        await wait_until(pilot, lambda: is_shown(app, "✗ is nested more than 64 levels deep"))
        assert len(answers.list_args("definition.check")) == checks
        assert "text" not in answers.list_args("definition.check")[-1]


async def test_an_unchanged_text_is_not_saved():
    answers = DefinitionRuntime()
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_definition_editor(pilot, app)
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: is_shown(app, "No changes to save."))
        assert answers.list_args("definition.set") == []


async def test_a_burst_of_keys_is_text_and_saving_waits_for_the_check():
    answers = DefinitionRuntime()
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_definition_editor(pilot, app)
        post_keys(app, "end", *"#q?:0u", "enter", *"cpu=1", "home", *"#x", "enter", "ctrl+j")
        await wait_until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        assert screen.area.text.startswith("[templates.encode]#q?:0u\n#x\ncpu=1\n")
        asked = answers.list_args("definition.check")[-1]
        assert asked["tables"] == read_stored(screen.area.text)


class SlowDefinitionRuntime(DefinitionRuntime):
    """A fake runtime that reads the definition once `ready` is set, or then fails with `wrong`."""

    def __init__(self) -> None:
        super().__init__()
        self.ready = Event()
        self.wrong: Problem | None = None

    def show(self, args: Mapping[str, Any]) -> Any:
        assert self.ready.wait(10)
        return self.wrong or super().show(args)


async def test_input_typed_while_loading_is_inserted_and_saved():
    answers = SlowDefinitionRuntime()
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_editor("templates", "encode")
        await wait_until(pilot, lambda: is_shown(app, "loading; typed text is inserted"))
        post_keys(app, "end", *" # q?", "enter", *"cpu=1", "ctrl+j")
        await pilot.pause()
        answers.ready.set()
        await wait_until(
            pilot, lambda: isinstance(app.screen, ReviewScreen) and is_shown(app, "+ cpu = 1")
        )


@pytest.mark.parametrize("leave", ["escape", "f5"])
async def test_the_editor_can_be_left_while_loading(leave: str):
    answers = SlowDefinitionRuntime()
    app = make_deck(answers, settings=Config(keys={"form.leave": leave}))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_editor("templates", "encode")
        await wait_until(pilot, lambda: is_shown(app, "loading"))
        await pilot.press("x", leave)
        await wait_until(pilot, lambda: not isinstance(app.screen, EditorScreen))
        answers.ready.set()


async def test_a_failed_load_is_reported_and_retried():
    answers = SlowDefinitionRuntime()
    answers.wrong = Remote("no answer for 10s.")
    answers.ready.set()
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_editor("templates", "encode")
        await wait_until(
            pilot,
            lambda: is_shown(app, "✗ the definition could not be read; ctrl+r reads it again"),
        )
        assert is_shown(app, "no answer for 10s.") and is_shown(app, "ctrl+r read again")
        await pilot.press("x", "ctrl+j")
        await wait_until(pilot, lambda: is_shown(app, "There is nothing to save"))
        answers.wrong = None
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: is_shown(app, "✓ same as stored"))
        assert not is_shown(app, "could not be read; ctrl+r")


async def test_ctrl_r_switches_between_the_draft_and_the_stored_text():
    app = make_deck(DefinitionRuntime())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_definition_editor(pilot, app)
        await pilot.press(*"# mine", "enter", "escape")
        await wait_until(pilot, lambda: app.screen is app.deck)

        screen = await open_definition_editor(pilot, app)
        assert screen.area.text == "# mine\n" + STORED_TEXT and is_shown(
            app, "You typed this before"
        )
        await pilot.press("ctrl+r")
        assert screen.area.text == STORED_TEXT
        await pilot.press("ctrl+r")
        assert screen.area.text == "# mine\n" + STORED_TEXT


async def test_a_concurrent_change_is_overwritten_only_on_request():
    answers = DefinitionRuntime()
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_definition_editor(pilot, app)
        await pilot.press("end", "enter", *"cpu=1")
        answers.text = STORED_TEXT.replace("30m", "99m")
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        await pilot.press("y")
        await wait_until(pilot, lambda: is_shown(app, "was changed meanwhile by bob, 2m ago"))
        assert (
            is_shown(app, '- timeout = "99m"')
            and is_shown(app, '+ timeout = "30m"')
            and is_shown(app, "take theirs")
        )

        await pilot.press("y")
        await wait_until(pilot, lambda: is_shown(app, "Saved template encode."))
        assert read_stored(answers.text)["templates"]["encode"]["cpu"] == 1
        assert screen is not app.screen


async def test_the_concurrent_version_can_be_adopted():
    answers = DefinitionRuntime()
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_definition_editor(pilot, app)
        await pilot.press("end", "enter", *"cpu=1")
        answers.text = STORED_TEXT.replace("30m", "99m")
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        await pilot.press("y")
        await wait_until(pilot, lambda: is_shown(app, "take theirs"))
        await pilot.press("t")
        await wait_until(pilot, lambda: screen.area.text == answers.text)
        assert (
            is_shown(app, "✓")
            or await wait_until(pilot, lambda: is_shown(app, "✓ same as stored")) is None
        )


async def test_a_deleted_definition_is_recreated_only_on_request():
    answers = DefinitionRuntime()
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_definition_editor(pilot, app)
        await pilot.press("end", "enter", *"cpu=1")
        answers.text = None
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        await pilot.press("y")
        await wait_until(pilot, lambda: is_shown(app, "was removed meanwhile by bob"))
        await pilot.press("y")
        await wait_until(pilot, lambda: is_shown(app, "Saved template encode."))
        assert answers.list_args("definition.set")[-1]["was"] is None


async def test_a_new_definition_starts_with_its_name_selected():
    app = make_deck(DefinitionRuntime())
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_definition_editor(pilot, app, None)
        assert is_shown(app, "give it a name in place of NAME")
        await pilot.press(*"greet")
        await wait_until(pilot, lambda: is_shown(app, "✓ creates template greet"))
        assert screen.area.text.startswith("[templates.greet]\n")


async def test_a_missing_definition_is_not_edited():
    answers = DefinitionRuntime()
    answers.text = None
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_editor("templates", "encode")
        await wait_until(
            pilot, lambda: is_shown(app, "no template encode.") and app.screen is app.deck
        )


async def test_read_only_mode_says_why_nothing_is_saved():
    answers = DefinitionRuntime()
    app = make_deck(answers, read_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_definition_editor(pilot, app)
        await pilot.press(*"x", "ctrl+j")
        await wait_until(pilot, lambda: is_shown(app, "Read only: this deck changes nothing."))
        assert screen.area.text == STORED_TEXT


async def test_pasted_text_cannot_control_the_terminal():
    app = make_deck(DefinitionRuntime())
    async with app.run_test(size=(80, 24)) as pilot:
        from textual import events

        screen = await open_definition_editor(pilot, app)
        screen.area.post_message(events.Paste("\x1b]52;c;x\x07\nok"))
        await wait_until(pilot, lambda: "ok" in screen.area.text)
        assert "\x1b" not in screen.area.text and "\x07" not in screen.area.text


def _list_template_names(home: RuntimeProcess) -> list[str]:
    return [row["name"] for row in home.call("template.ls")]


async def test_a_template_is_created_changed_and_undone_on_a_real_runtime(runtime: RuntimeProcess):
    app = TaskdeckApp(lambda: Client(runtime.home, source="deck"), home=runtime.home)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("6")
        await wait_until(pilot, lambda: is_shown(app, "No templates yet"))
        await pilot.press("n")
        await wait_until(pilot, lambda: is_shown(app, "give it a name"))
        await pilot.press(*"greet", "ctrl+j")
        await wait_until(
            pilot,
            lambda: isinstance(app.screen, ReviewScreen) and is_shown(app, "+ [templates.greet]"),
        )
        await pilot.press("y")
        await wait_until(
            pilot, lambda: is_shown(app, "Saved template greet") and is_shown(app, "says hello")
        )

        await pilot.press("e")
        await wait_until(pilot, lambda: is_shown(app, "✓ same as stored"))
        await pilot.press("down", *'timeot = "5m"', "enter")
        await wait_until(pilot, lambda: is_shown(app, 'unknown key "timeot". Nearest: timeout'))
        await pilot.press("up", *["right"] * 5, "u", "ctrl+j")
        await wait_until(
            pilot,
            lambda: isinstance(app.screen, ReviewScreen) and is_shown(app, '+ timeout = "5m"'),
        )
        await pilot.press("y")
        await wait_until(
            pilot, lambda: runtime.call("template.show", name="greet")["timeout"] == 300.0
        )

        await wait_until(pilot, lambda: is_shown(app, "Saved template greet"))
        await pilot.press("O")
        await wait_until(pilot, lambda: is_shown(app, "timeout no limit → 5m"))
        assert is_shown(app, "here")
        await pilot.press("u")
        await wait_until(pilot, lambda: is_shown(app, "Undo this operation?"))
        app.screen.set_timer(0.3, lambda: app.simulate_key("y"))
        await wait_until(
            pilot, lambda: runtime.call("template.show", name="greet")["timeout"] is None
        )
        await wait_until(
            pilot, lambda: is_shown(app, "undo definition") or is_shown(app, "undo template set")
        )
    assert _list_template_names(runtime) == ["greet"]


async def test_a_runtime_error_is_shown(monkeypatch: pytest.MonkeyPatch):
    answers = DefinitionRuntime()
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_definition_editor(pilot, app)
        answers.table["definition.check"] = Problem("the database is damaged.")
        await pilot.press(*"#", "enter", "ctrl+j")
        await wait_until(pilot, lambda: is_shown(app, "the database is damaged."))
        assert isinstance(app.screen, EditorScreen)


async def test_a_closed_editor_leaves_no_watchers_on_the_app():
    app = make_deck(DefinitionRuntime())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_definition_editor(pilot, app)
        await pilot.press("escape")
        await wait_until(pilot, lambda: not isinstance(app.screen, EditorScreen))
        watching = {
            type(who).__name__
            for watchers in vars(app)["__watchers"].values()
            for who, _ in watchers
        }
    assert "DeckScreen" in watching and "ScriptInput" not in watching
