"""The editor of a definition: looked over as it is typed, what it changes shown before it is stored, nobody's change lost."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event
from typing import Any

import pytest

from app.client import Client
from app.config import Config
from app.errors import NotFound, Problem, Remote
from app.tui.app import TaskdeckApp
from app.tui.screens.definition_editor import EditorScreen, ReviewScreen
from app.tui.style import Look
from tests.runtime_process import Living
from tests.tui.fake_runtime import Answers, deck, until
from tests.tui.recording_runtime import burst
from tests.tui.screen_text import screen_text

TEXT = '[templates.encode]\nengine = "shell"\ntimeout = "30m"\nschema = {script = "true"}\n'


class Definitions(Answers):
    """One template, `encode`, that can be read, looked over and stored; a line with `timout` in it is wrong."""

    def __init__(self, **more: Any) -> None:
        super().__init__(definition_show=self.show, definition_check=self.check, definition_set=self.set, **more)
        self.text: str | None = TEXT

    def show(self, args: Mapping[str, Any]) -> Any:
        return NotFound("no template encode.") if self.text is None else {"text": self.text, "format": "toml"}

    def check(self, args: Mapping[str, Any]) -> dict[str, Any]:
        lines = args["text"].split("\n")
        at = next((n for n, line in enumerate(lines, 1) if "timout" in line), None)
        faults = [{"line": at, "column": 1, "message": 'unknown key "timout". Nearest: timeout'}] if at else []
        fields = {} if args["text"] == self.text else {"timeout": [1800.0, 60.0]}
        name = lines[0].removeprefix("[templates.").removesuffix("]")
        before = (self.text or "") if args["name"] else ""
        return {"name": name, "faults": faults, "before": before, "after": args["text"], "fields": fields}

    def set(self, args: Mapping[str, Any]) -> Any:
        if args["was"] != self.text:
            how = "changed" if self.text is not None else "removed"
            kind = {"code": "conflict", "exit_code": 4} if self.text is not None else {"code": "not-found", "exit_code": 3}
            return Remote(f"template encode was {how} meanwhile by bob, 2m ago. Nothing was changed.", **kind)
        self.text = args["text"]
        return {"name": "encode", "change": "update", "fields": {}, "operations": [7]}


def shown(app: TaskdeckApp, text: str) -> bool:
    return any(text in line for line in screen_text(app))


async def opened(pilot: Any, app: TaskdeckApp, name: str | None = "encode") -> EditorScreen:
    app.open_editor("templates", name)
    await until(pilot, lambda: shown(app, "engine = ") and (shown(app, "✓") or shown(app, "✗") or shown(app, "+ says")))
    assert isinstance(app.screen, EditorScreen)
    return app.screen


async def test_what_is_typed_is_looked_over_and_the_fault_told_with_its_place():
    app = deck(Definitions())
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        assert shown(app, "✓ says what is stored")
        await pilot.press("down", "down", *"timout=1", "enter")
        for width, height in ((80, 24), (200, 50), (60, 16)):
            await pilot.resize_terminal(width, height)
            await until(pilot, lambda: shown(app, '✗ line 3, 1: unknown key "timout"'))
            assert shown(app, "Nearest: timeout")

        await pilot.press("ctrl+end", "ctrl+g")
        assert screen.area.cursor_location == (2, 0)


async def test_f1_shows_the_keys_of_the_form_and_what_was_typed_stays():
    app = deck(Definitions())
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await pilot.press(*"x?", "f1")
        await until(pilot, lambda: shown(app, "In this form") and shown(app, "Save; shows first what that changes"))
        assert shown(app, "Letters, digits and signs are typed") and not shown(app, "Digits go places")
        await pilot.press("f1")
        await until(pilot, lambda: app.screen is screen)
        assert screen.area.text.startswith("x?")


async def test_in_ascii_nothing_else_is_drawn():
    app = deck(Definitions(), look=Look(ascii=True, colour=False, utf8=False))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        assert all(line.isascii() for line in screen_text(app))


async def test_what_is_wrong_is_not_saved_and_the_cursor_goes_there():
    answers = Definitions()
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("down", "down", *"timout", "ctrl+end", "ctrl+j")
        await until(pilot, lambda: shown(app, "Not saved: unknown key"))
        assert (screen.area.cursor_location, answers.asked("definition.set")) == ((2, 0), [])


async def test_the_difference_is_shown_before_it_is_saved_and_u_takes_it_back():
    answers = Definitions(undo={"done": [{"id": 7, "number": None, "name": "template encode"}], "refused": [], "notes": []})
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("down", "down", "end", *"  # comment", "ctrl+j")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen) and shown(app, '+ timeout = "30m"  # comment'))
        assert shown(app, '- timeout = "30m"') and answers.asked("definition.set") == []

        assert screen_text(app)[-1].startswith(" y ctrl+j save  ↵ esc back to the text")
        for back in ("escape", "enter"):
            await pilot.press(back)
            await until(pilot, lambda: isinstance(app.screen, EditorScreen))
            await pilot.press("ctrl+j")
            await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        await pilot.press("ctrl+j")
        await until(pilot, lambda: shown(app, "Saved template encode.  u undo"))
        (asked,) = answers.asked("definition.set")
        assert (asked["was"], asked["name"]) == (TEXT, "encode")

        await pilot.press("u")
        await until(pilot, lambda: answers.asked("undo") == [{"ids": [7]}])


async def test_nothing_is_saved_that_differs_in_nothing():
    answers = Definitions()
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("ctrl+j")
        await until(pilot, lambda: shown(app, "Nothing differs from what is stored."))
        assert answers.asked("definition.set") == []


async def test_keys_typed_in_a_burst_are_text_and_saving_waits_for_the_last_look():
    answers = Definitions()
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        burst(app, "end", "left", *"q?:0u", "home", "down", "end", *"x", "ctrl+j")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        assert screen.area.text.startswith('[templates.encodeq?:0u]\nengine = "shell"x\n')
        assert answers.asked("definition.check")[-1]["text"] == screen.area.text


class Slow(Definitions):
    """It takes until `ready` to read the definition, which fails with `wrong` if that is set."""

    def __init__(self) -> None:
        super().__init__()
        self.ready = Event()
        self.wrong: Problem | None = None

    def show(self, args: Mapping[str, Any]) -> Any:
        assert self.ready.wait(10)
        return self.wrong or super().show(args)


async def test_what_is_typed_while_it_is_read_goes_into_the_text_and_is_saved():
    answers = Slow()
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_editor("templates", "encode")
        await until(pilot, lambda: shown(app, "loading; what is typed goes into it when it is there"))
        burst(app, "end", *" # q?", "ctrl+j")
        await pilot.pause()
        answers.ready.set()
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen) and shown(app, "+ [templates.encode] # q?"))


@pytest.mark.parametrize("leave", ["escape", "f5"])
async def test_one_can_leave_while_it_is_read(leave: str):
    answers = Slow()
    app = deck(answers, settings=Config(keys={"form.leave": leave}))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_editor("templates", "encode")
        await until(pilot, lambda: shown(app, "loading"))
        await pilot.press("x", leave)
        await until(pilot, lambda: not isinstance(app.screen, EditorScreen))
        answers.ready.set()


async def test_what_could_not_be_read_is_told_and_read_again():
    answers = Slow()
    answers.wrong = Remote("no answer for 10s.")
    answers.ready.set()
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_editor("templates", "encode")
        await until(pilot, lambda: shown(app, "✗ it could not be read; ctrl+r reads it again"))
        assert shown(app, "no answer for 10s.") and shown(app, "ctrl+r read again")
        await pilot.press("x", "ctrl+j")
        await until(pilot, lambda: shown(app, "There is nothing to save"))
        answers.wrong = None
        await pilot.press("ctrl+r")
        await until(pilot, lambda: shown(app, "✓ says what is stored"))
        assert not shown(app, "could not be read; ctrl+r")


async def test_what_was_typed_is_kept_when_it_is_left_and_ctrl_r_goes_between_that_and_what_is_stored():
    app = deck(Definitions())
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press(*"# mine", "enter", "escape")
        await until(pilot, lambda: app.screen is app.deck)

        screen = await opened(pilot, app)
        assert screen.area.text == "# mine\n" + TEXT and shown(app, "This was typed here before")
        await pilot.press("ctrl+r")
        assert screen.area.text == TEXT
        await pilot.press("ctrl+r")
        assert screen.area.text == "# mine\n" + TEXT


async def test_another_version_that_was_stored_meanwhile_is_shown_and_overwritten_only_when_told():
    answers = Definitions()
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await pilot.press(*"# mine", "enter")
        answers.text = TEXT.replace("30m", "99m")
        await pilot.press("ctrl+j")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        await pilot.press("y")
        await until(pilot, lambda: shown(app, "was changed meanwhile by bob, 2m ago"))
        assert shown(app, '- timeout = "99m"') and shown(app, '+ timeout = "30m"') and shown(app, "take theirs")

        await pilot.press("y")
        await until(pilot, lambda: shown(app, "Saved template encode."))
        assert answers.text == "# mine\n" + TEXT and screen is not app.screen


async def test_the_other_version_can_be_taken():
    answers = Definitions()
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await pilot.press(*"# mine", "enter")
        answers.text = TEXT.replace("30m", "99m")
        await pilot.press("ctrl+j")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        await pilot.press("y")
        await until(pilot, lambda: shown(app, "take theirs"))
        await pilot.press("t")
        await until(pilot, lambda: screen.area.text == answers.text)
        assert shown(app, "✓") or await until(pilot, lambda: shown(app, "✓ says what is stored")) is None


async def test_what_was_removed_meanwhile_is_made_again_only_when_told():
    answers = Definitions()
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press(*"# mine", "enter")
        answers.text = None
        await pilot.press("ctrl+j")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen))
        await pilot.press("y")
        await until(pilot, lambda: shown(app, "was removed meanwhile by bob"))
        await pilot.press("y")
        await until(pilot, lambda: shown(app, "Saved template encode."))
        assert answers.asked("definition.set")[-1]["was"] is None


async def test_a_new_one_must_be_given_a_name_which_stands_selected():
    app = deck(Definitions())
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app, None)
        assert shown(app, "give it a name in place of NAME")
        await pilot.press(*"greet")
        await until(pilot, lambda: shown(app, "✓ makes template greet"))
        assert screen.area.text.startswith("[templates.greet]\n")


async def test_one_that_is_not_there_is_not_edited():
    answers = Definitions()
    answers.text = None
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_editor("templates", "encode")
        await until(pilot, lambda: shown(app, "no template encode.") and app.screen is app.deck)


async def test_read_only_says_why_nothing_is_saved():
    answers = Definitions()
    app = deck(answers, read_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app)
        await pilot.press(*"x", "ctrl+j")
        await until(pilot, lambda: shown(app, "Read only: nothing is changed from here."))
        assert screen.area.text == TEXT


async def test_what_is_pasted_cannot_drive_the_terminal():
    app = deck(Definitions())
    async with app.run_test(size=(80, 24)) as pilot:
        from textual import events

        screen = await opened(pilot, app)
        screen.area.post_message(events.Paste("\x1b]52;c;x\x07\nok"))
        await until(pilot, lambda: "ok" in screen.area.text)
        assert "\x1b" not in screen.area.text and "\x07" not in screen.area.text


def _names(home: Living) -> list[str]:
    return [row["name"] for row in home.call("template.ls")]


async def test_a_template_is_made_changed_and_taken_back_on_a_real_runtime(runtime: Living):
    app = TaskdeckApp(lambda: Client(runtime.home, source="deck"), home=runtime.home)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("6")
        await until(pilot, lambda: shown(app, "No templates yet"))
        await pilot.press("n")
        await until(pilot, lambda: shown(app, "give it a name"))
        await pilot.press(*"greet", "ctrl+j")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen) and shown(app, "+ [templates.greet]"))
        await pilot.press("y")
        await until(pilot, lambda: shown(app, "Saved template greet") and shown(app, "says hello"))

        await pilot.press("e")
        await until(pilot, lambda: shown(app, "✓ says what is stored"))
        await pilot.press("down", *'timeot = "5m"', "enter")
        await until(pilot, lambda: shown(app, 'unknown key "timeot". Nearest: timeout'))
        await pilot.press("up", *["right"] * 5, "u", "ctrl+j")
        await until(pilot, lambda: isinstance(app.screen, ReviewScreen) and shown(app, '+ timeout = "5m"'))
        await pilot.press("y")
        await until(pilot, lambda: runtime.call("template.show", name="greet")["timeout"] == 300.0)

        await until(pilot, lambda: shown(app, "Saved template greet"))
        await pilot.press("O")
        await until(pilot, lambda: shown(app, "timeout no limit → 5m"))
        assert shown(app, "here")
        await pilot.press("u")
        await until(pilot, lambda: shown(app, "Take this back?"))
        app.screen.set_timer(0.3, lambda: app.simulate_key("y"))
        await until(pilot, lambda: runtime.call("template.show", name="greet")["timeout"] is None)
        await until(pilot, lambda: shown(app, "undo definition") or shown(app, "undo template set"))
    assert _names(runtime) == ["greet"]


async def test_a_problem_of_the_runtime_is_told(monkeypatch: pytest.MonkeyPatch):
    answers = Definitions()
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        answers.table["definition.check"] = Problem("the database is damaged.")
        await pilot.press(*"x", "ctrl+j")
        await until(pilot, lambda: shown(app, "the database is damaged."))
        assert isinstance(app.screen, EditorScreen)


async def test_an_editor_that_was_left_is_kept_by_nothing_that_watches_the_app():
    app = deck(Definitions())
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, EditorScreen))
        watching = {type(who).__name__ for watchers in vars(app)["__watchers"].values() for who, _ in watchers}
    assert "DeckScreen" in watching and "Script" not in watching
