"""The form for a new task, filled in by keys."""

from __future__ import annotations

from threading import Event
from typing import Any

import pytest
from textual.events import Paste
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from app.errors import Refused, Usage
from app.tui.app import TaskdeckApp
from app.tui.forms.fields import Pick, PickScreen
from app.tui.screens.submit_form import SubmitScreen
from db.errors import DiskFull
from tests.tui import boards
from tests.tui.fake_runtime import Answers, deck, line, until
from tests.tui.fake_runtime import task as a_task
from tests.tui.screen_text import screen_segments, screen_text
from tests.tui.screens.test_task import EVIL, escapes

ENCODE = {
    "name": "encode", "type": "shell", "engine": "shell", "description": "transcode one file", "queue": "media",
    "cpu": 2.0, "memory": 2048.0, "timeout": 3600.0, "retries": 0, "retired_at": None,
    "parameters": {
        "type": "object",
        "required": ["input"],
        "properties": {
            "input": {"type": "string", "description": "the file"},
            "crf": {"type": "integer", "minimum": 0, "maximum": 51, "default": 23},
            "preset": {"enum": ["fast", "medium", "slow"], "default": "medium"},
            "faststart": {"type": "boolean", "default": True},
            "extra": {"type": "array"},
        },
    },
}  # fmt: skip


def accepted(args: dict[str, Any]) -> list[dict[str, Any]]:
    """As the runtime would answer when all is fine."""
    return [{"number": 1063, "name": "ffmpeg S02E09.mkv", "uuid": args.get("uuid")}]


def form(**table: Any) -> Answers:
    answers: dict[str, Any] = {
        "queue_ls": [{"name": "gpu"}, {"name": "media"}],
        "template_ls": [ENCODE],
        "submit": accepted,
    }
    return Answers(**(answers | table))


async def opened(pilot: Pilot[Any], app: TaskdeckApp) -> None:
    app.open_form()
    await until(pilot, lambda: isinstance(app.screen, SubmitScreen) and "New task" in line(app, 0))


def submitted(answers: Answers) -> list[dict[str, Any]]:
    return [args for args in answers.asked("submit") if not args.get("dry_run")]


async def paste(pilot: Pilot[Any], text: str) -> None:
    """Put a text into the field that has the focus."""
    pilot.app.post_message(Paste(text))
    await pilot.pause()


def shows(app: TaskdeckApp, text: str) -> bool:
    return any(text in line for line in screen_text(app))


async def test_a_command_is_checked_while_it_is_typed_and_submitted_by_ctrl_j() -> None:
    """You should see the words of the command, the name it would get, and the line that does the same."""
    answers = form()
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        assert shows(app, "Type a command.")
        await pilot.press(*'ffmpeg -i "a b"')
        await until(pilot, lambda: shows(app, "empty: ffmpeg S02E09.mkv") and shows(app, "It can be submitted."))
        assert shows(app, "3 words, no shell: ffmpeg │ -i │ a b")
        assert shows(app, "taskdeck submit -- ffmpeg -i 'a b'")
        await pilot.press("ctrl+j")
        await until(pilot, lambda: app.screen is app.deck)
        await until(pilot, lambda: "Submitted #1063." in "\n".join(screen_text(app)))

    [sent] = submitted(answers)
    assert sent["tasks"] == [{"argv": ["ffmpeg", "-i", "a b"]}]
    assert (
        len(sent["uuid"]) == 36 and sent["cwd"].startswith("/") and "PATH" in sent["env"] and "TERM" not in sent["env"]
    )


async def test_plain_letters_never_act_in_a_form() -> None:
    app = deck(form())
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("shift+tab", *"qxnwlp?:05")
        await pilot.press("tab", "tab", "tab", "tab", *"qxn")
        await pilot.pause()
        assert isinstance(app.screen, SubmitScreen)


async def test_enter_goes_to_the_next_field() -> None:
    app = deck(form())
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("t", "enter", "/", "enter", "x")
        await until(pilot, lambda: shows(app, "taskdeck submit -n x -C / -- t"))


async def test_faults_are_told_and_nothing_is_sent() -> None:
    answers = form()
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await paste(pilot, "true")
        await pilot.press("tab")
        await paste(pilot, "/nowhere-at-all")
        await pilot.press("ctrl+j")
        await until(pilot, lambda: shows(app, "✗ In: /nowhere-at-all does not exist."))
        assert "Not submitted: In: /nowhere-at-all" in line(app, 22)
        assert submitted(answers) == []
        assert app.focused is app.screen.query_one("#cwd")
        await pilot.press("tab", "tab", "tab", "x", "ctrl+j")
        assert app.focused is app.screen.query_one("#cwd")


def standing(app: TaskdeckApp) -> TaskdeckApp:
    """The deck, with messages that do not go for the time alone."""
    app.ticks = lambda: 0.0
    return app


async def test_what_was_said_of_a_fault_goes_when_it_is_mended() -> None:
    app = standing(deck(form()))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await paste(pilot, "true")
        await pilot.press("tab")
        await paste(pilot, "/nowhere-at-all")
        await pilot.press("ctrl+j")
        assert "Not submitted: In: /nowhere-at-all" in line(app, 22)

        await pilot.press("ctrl+u")
        await paste(pilot, "/")
        await until(pilot, lambda: line(app, 22) == "" and shows(app, "It can be submitted."))


async def test_what_the_form_refused_goes_with_the_form_and_what_it_did_stays() -> None:
    app = standing(deck(form()))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await paste(pilot, "true")
        await pilot.press("tab")
        await paste(pilot, "/nowhere-at-all")
        await pilot.press("ctrl+j")
        await until(pilot, lambda: shows(app, "Not submitted"))
        await pilot.press("escape")
        await until(pilot, lambda: shows(app, "3 Running") and not shows(app, "Not submitted"))

        await opened(pilot, app)
        await pilot.press("tab", "ctrl+u", "ctrl+j")
        await until(pilot, lambda: shows(app, "3 Running") and shows(app, "Submitted #1063."))


async def test_what_the_form_and_what_the_runtime_has_against_it_are_told_together_and_why_again_when_it_is_sent() -> None:
    """You should see the fault of a field and what could never start, whole, and nowhere that nothing was submitted."""
    why = 'needs 100T memory and 99 cpu, but pool default has 15.6G and 2 in all: it could never start; no task "99".'
    never = Refused(f"{why} Nothing was submitted.", "Ask for less, or: taskdeck pool set default --memory 100T --cpu 99")
    answers = form(submit=lambda args: never)
    app = standing(deck(answers))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await paste(pilot, "true")
        await pilot.press("tab", *"/nowhere")
        await until(pilot, lambda: shows(app, "✗ In: /nowhere does not exist.") and shows(app, "✗ needs 100T memory and 99 cpu"))
        assert answers.asked("submit")[-1]["tasks"] == [{"argv": ["true"]}] and not shows(app, "Nothing was submitted")

        await pilot.press("ctrl+u", "ctrl+j")
        await until(pilot, lambda: line(app, 22).startswith(" Not submitted: needs 100T memory and 99 cpu, but pool default has"))
        assert shows(app, 'no task "99". Ask for less')


async def test_what_the_runtime_refuses_is_not_submitted_and_not_said_to_be_submittable() -> None:
    why = "the disk is full (/srv/machines/render01/taskdeck, 0 bytes free). The task was not accepted."
    full = DiskFull(why, "Free space, then try again.")

    def refusing(args: dict[str, Any]) -> Any:
        return accepted(args) if args.get("dry_run") else full

    app = standing(deck(form(submit=refusing)))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await paste(pilot, "true")
        await until(pilot, lambda: shows(app, "It can be submitted."))
        await pilot.press("ctrl+j")
        await until(pilot, lambda: line(app, 22).startswith(" Not submitted: the disk is full a"))
        assert line(app, 22).endswith("Free space in /var/lib…askdeck, then ctrl+j.")
        assert shows(app, "✗ the disk is full") and not shows(app, "It can be submitted.")

        await pilot.press("s")
        await until(pilot, lambda: shows(app, "It can be submitted."))


async def test_what_a_full_disk_means_is_known_before_it_is_sent() -> None:
    app = standing(deck(form(submit=DiskFull("the disk is full (/x, 0 bytes free).", "Free space, then try again."))))
    said = "the disk is full and a task must be on disk to be accepted. Free space in /var/lib/taskdeck, then ctrl+j."
    async with app.run_test(size=(130, 40)) as pilot:
        await opened(pilot, app)
        await paste(pilot, "true")
        await until(pilot, lambda: shows(app, f"✗ {said}"))
        await pilot.press("ctrl+j")
        await until(pilot, lambda: line(app, 38) == f" Not submitted: {said}")


async def test_several_lines_that_are_pasted_as_a_command_are_taken_as_shell_text() -> None:
    """You should see all of them under Run: shell text, and be told."""
    answers = form()
    app = standing(deck(answers))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await paste(pilot, "cd /tmp\n  make all\n\nmake install\n")
        await until(pilot, lambda: shows(app, "Several lines were pasted: they are taken as shell text."))
        await pilot.press(*" -k", "ctrl+j")
        await until(pilot, lambda: app.screen is app.deck)
    assert [sent["tasks"] for sent in submitted(answers)] == [[{"script": "cd /tmp\n  make all\n\nmake install\n -k"}]]


async def test_several_lines_that_are_pasted_where_one_stands_are_joined() -> None:
    app = deck(form())
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await paste(pilot, "true")
        await pilot.press("tab", "tab")
        await paste(pilot, "nightly\n  build\n")
        await until(pilot, lambda: app.screen.query_one("#name", Input).value == "nightly build")


async def test_one_click_picks_in_a_list_that_drops_down() -> None:
    app = deck(form())
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.click("#queue")
        await until(pilot, lambda: isinstance(app.screen, PickScreen) and shows(app, "media"))
        at = next(n for n, text in enumerate(screen_text(app)) if " media" in text)
        await pilot.click(offset=(screen_text(app)[at].index("media"), at))
        await until(pilot, lambda: isinstance(app.screen, SubmitScreen))
        assert app.screen.query_one("#queue", Pick).value == "media"


async def test_letters_pick_from_a_list_and_what_is_typed_behind_them_goes_to_the_next_field() -> None:
    app = deck(form())
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await paste(pilot, "true")
        await pilot.press("tab", "tab", "tab", *"me", "tab", "7")
        await until(pilot, lambda: app.screen.query_one("#priority", Input).value == "7")
        assert app.screen.query_one("#queue", Pick).value == "media"


async def test_shell_signs_in_a_command_are_told() -> None:
    app = deck(form())
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await paste(pilot, "sort a | uniq")
        await until(pilot, lambda: shows(app, "no shell here (Run: shell text): | is plain text."))


async def test_that_a_parameter_is_missing_is_wrong_once_its_field_was_left() -> None:
    """You should see nothing in red before, and the rest of what is missing still calmly said."""
    two = {"type": "object", "required": ["input", "crf"],
           "properties": {"input": {"type": "string", "description": "the file"}, "crf": {"type": "integer", "maximum": 51}}}  # fmt: skip
    app = deck(form(template_ls=[ENCODE | {"parameters": two}]))
    async with app.run_test(size=(80, 30)) as pilot:
        await opened(pilot, app)
        await pilot.press("shift+tab", "left", "tab", "right", "tab")
        await until(pilot, lambda: shows(app, "Still to fill in: input, crf."))
        assert not shows(app, "✗") and not shows(app, "to mend")
        await pilot.press("a", "backspace")
        assert not shows(app, "✗")
        await pilot.press("tab")
        await until(pilot, lambda: shows(app, "✗             input is required: the file"))
        await until(pilot, lambda: shows(app, "1 thing to mend before it can be submitted: input"))
        assert shows(app, "Still to fill in: crf.") and not shows(app, "crf is required")
        await pilot.press("9", "9")
        await until(pilot, lambda: shows(app, "crf must be at most 51, not 99"))


async def test_all_that_is_missing_is_told_when_it_is_to_be_submitted() -> None:
    app = deck(form())
    async with app.run_test(size=(80, 30)) as pilot:
        await opened(pilot, app)
        await pilot.press("shift+tab", "left", "tab", "right")
        await until(pilot, lambda: shows(app, "Still to fill in: input."))
        await pilot.press("ctrl+j")
        await until(pilot, lambda: shows(app, "✗             input is required: the file"))
        assert shows(app, "1 thing to mend before it can be submitted: input") and shows(app, "Not submitted: input is required")
        await pilot.press("end", *"a.mkv")
        await until(pilot, lambda: shows(app, "-p input=a.mkv"))


async def test_a_template_has_a_field_for_each_parameter() -> None:
    """You should see input marked as required, crf with its bounds and default, a choice, a switch, and what is still missing."""
    answers = form()
    app = deck(answers)
    async with app.run_test(size=(80, 30)) as pilot:
        await opened(pilot, app)
        await pilot.press("shift+tab", "left", "tab", "right")
        await until(pilot, lambda: shows(app, "Still to fill in: input.") and shows(app, "Parameters 5, 1 to fill in"))
        assert not shows(app, "✗")
        assert shows(app, "taskdeck submit encode -p input=…")
        await until(pilot, lambda: shows(app, "input*        [                                      ] the file"))
        assert shows(app, "crf           [23      ] 0 to 51")
        assert shows(app, "preset        [medium ▾] one of 3")
        assert shows(app, "faststart     [x]")
        await pilot.press("tab")
        await paste(pilot, "in.mkv")
        await pilot.press("tab", "backspace", "5", "tab", "right", "tab", "space")
        await until(pilot, lambda: shows(app, "It can be submitted."))
        await pilot.press("ctrl+j")
        await until(pilot, lambda: submitted(answers))

    texts = [["input", "in.mkv"], ["crf", "25"], ["preset", "slow"], ["faststart", "false"]]
    assert submitted(answers)[0]["tasks"] == [{"template": "encode", "parameter_texts": texts}]


async def test_an_answer_about_another_draft_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """You should see no refusal of what stood there before, which nothing would take away again."""
    asked, release, judged, judge = Event(), Event(), Event(), SubmitScreen._judged

    def refuses(args: dict[str, Any]) -> Any:
        asked.set()
        release.wait(10)
        return Usage("there is no program x.")

    def judges(screen: SubmitScreen, *answer: Any) -> None:
        judge(screen, *answer)
        judged.set()

    monkeypatch.setattr(SubmitScreen, "_judged", judges)
    app = deck(form(submit=refuses))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("x")
        await until(pilot, asked.is_set)
        monkeypatch.setattr("app.tui.screens.submit_form.CHECK_AFTER", 60.0)
        await pilot.press("y")
        await until(pilot, lambda: shows(app, "taskdeck submit -- xy"))
        release.set()
        await until(pilot, judged.is_set)
        await pilot.pause()
        assert not shows(app, "there is no program")


async def test_the_form_tells_what_the_template_gives_where_a_field_is_empty() -> None:
    app = deck(form())
    async with app.run_test(size=(80, 30)) as pilot:
        await opened(pilot, app)
        await until(pilot, lambda: shows(app, "[the directory; empty: where the deck started") and shows(app, "empty: no limit"))
        await pilot.press("shift+tab", "left", "tab", "right")
        await until(pilot, lambda: shows(app, "empty: 1h") and shows(app, "not set: media, as the template"))
        assert not shows(app, "no limit")


async def test_an_advice_for_a_shell_is_not_given_in_a_form() -> None:
    refusal = Usage("encode needs input.", "Add: -p input=PATH")
    app = deck(form(submit=refusal))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("x")
        await until(pilot, lambda: shows(app, "encode needs input."))
        assert not shows(app, "Add:")


async def test_a_queue_is_picked_from_the_list() -> None:
    answers = form()
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await paste(pilot, "true")
        await pilot.press("tab", "tab", "tab", "enter")
        await until(pilot, lambda: isinstance(app.screen, PickScreen))
        await pilot.press("G", "enter")
        await until(pilot, lambda: shows(app, "taskdeck submit -q media -- true"))
        await until(pilot, lambda: shows(app, "2 of 2 running, 14 waiting"))


async def test_a_list_stands_at_its_field_whatever_the_window_does() -> None:
    app = deck(form())
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        field = app.screen.query_one("#queue")
        await paste(pilot, "true")
        await pilot.press("tab", "tab", "tab", "enter")
        await until(pilot, lambda: isinstance(app.screen, PickScreen))
        box = app.screen.query_one("#pick-box")
        top = field.region.y
        for size, lower in (((80, 24), 0), ((120, 30), 1), ((60, 16), 0)):  # the header of a wide terminal has two lines
            await pilot.resize_terminal(*size)
            await until(pilot, lambda lower=lower: field.region.y == top + lower and box.region.y == field.region.bottom)
            assert box.region.x == field.region.x and box.region.bottom <= app.size.height


async def test_what_a_task_would_be_called_is_told_while_no_name_is_typed() -> None:
    app = deck(form())
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await paste(pilot, "true")
        await until(pilot, lambda: shows(app, "empty: ffmpeg S02E09.mkv"))
        await pilot.press("tab", "tab", *"true")
        await until(pilot, lambda: not shows(app, "empty: ffmpeg S02E09.mkv"))


async def test_shell_text_may_have_several_lines() -> None:
    answers = form()
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("shift+tab", "right", "tab", *"a |", "enter", *"b", "ctrl+j")
        await until(pilot, lambda: submitted(answers))

    assert submitted(answers)[0]["tasks"] == [{"script": "a |\nb"}]


async def test_escape_keeps_what_was_typed_and_ctrl_r_brings_the_last_values() -> None:
    answers = form()
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press(*"x y", "escape")
        await until(pilot, lambda: app.screen is app.deck)
        await opened(pilot, app)
        await until(pilot, lambda: shows(app, "taskdeck submit -- x y") and shows(app, "This is as you left it; ctrl+n empties the form."))
        await pilot.press("ctrl+n")
        await until(pilot, lambda: shows(app, "Type a command.") and shows(app, "Emptied; ctrl+n again brings back"))
        await pilot.press("ctrl+n")
        await until(pilot, lambda: shows(app, "taskdeck submit -- x y"))
        await pilot.press("ctrl+j")
        await until(pilot, lambda: app.screen is app.deck)
        await opened(pilot, app)
        assert shows(app, "Type a command.")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: shows(app, "taskdeck submit -- x y"))


async def test_what_was_typed_in_one_form_is_kept_whatever_is_opened_and_left_meanwhile() -> None:
    again, app = a_task(number=77, launch={"argv": ["true"]}), deck(form())
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press(*"precious", "escape")
        app.open_form(template="encode")
        await until(pilot, lambda: shows(app, "Templates › encode › New task") and shows(app, "input"))
        await pilot.press("escape")
        app.open_form(task=again)
        await until(pilot, lambda: shows(app, "› Run again") and shows(app, "[true "))
        await pilot.press("x", "escape")
        await until(pilot, lambda: app.screen is app.deck)
        await opened(pilot, app)
        await until(pilot, lambda: shows(app, "taskdeck submit -- precious"))
        await pilot.press("escape")
        app.open_form(task=again)
        await until(pilot, lambda: shows(app, "› Run again") and shows(app, "ctrl+r brings back"))
        await pilot.press("ctrl+r")
        await until(pilot, lambda: shows(app, "[truex "))


async def test_a_refused_submission_stays_open_and_is_sent_again_as_the_same() -> None:
    def lost(args: dict[str, Any]) -> Any:
        return accepted(args) if args.get("dry_run") else Usage("the answer was lost")

    answers = form(submit=lost)
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await paste(pilot, "true")
        await pilot.press("ctrl+j")
        await until(pilot, lambda: "the answer was lost" in line(app, 22))
        await pilot.press("ctrl+j")
        await until(pilot, lambda: len(submitted(answers)) == 2)

    first, second = submitted(answers)
    assert first["uuid"] == second["uuid"]


async def test_ctrl_y_copies_the_line() -> None:
    app = deck(form())
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await paste(pilot, "echo 'a b'")
        await pilot.press("ctrl+y")
        await until(pilot, lambda: app.clipboard == "taskdeck submit -- echo 'a b'")


async def test_what_is_pasted_cannot_drive_the_terminal() -> None:
    app = deck(form())
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await paste(pilot, "echo \x1b]52;c;eA==\x07\x9b2J\u202e x\n")
        await until(pilot, lambda: shows(app, "[echo ␛]52;c;eA==␇�2J� x"))
        assert escapes(app) == []
        await pilot.press("shift+tab", "right", "tab")
        await paste(pilot, "a\x1b[2J\n\tb\r\n")
        await until(pilot, lambda: shows(app, "a␛[2J"))
        assert escapes(app) == []
        assert app.screen.query_one("#script", TextArea).text.endswith("xa␛[2J\n\tb\n")


async def test_hostile_templates_queues_and_answers_are_only_shown() -> None:
    evil = {**ENCODE, "name": EVIL, "description": EVIL, "queue": EVIL,
            "parameters": {"properties": {EVIL: {"description": EVIL, "enum": [EVIL, "x"]}, "y": {"default": EVIL}}}}  # fmt: skip
    app = deck(form(template_ls=[evil], queue_ls=[{"name": EVIL}], submit=Usage(EVIL)))
    async with app.run_test(size=(80, 30)) as pilot:
        await opened(pilot, app)
        await pilot.press("shift+tab", "left", "tab", "right")
        await until(pilot, lambda: shows(app, "✗ [/red]"))
        await pilot.press("tab", "right", "enter")
        await until(pilot, lambda: isinstance(app.screen, PickScreen))

        assert escapes(app) == []


async def test_only_the_field_with_the_focus_is_marked() -> None:
    app = deck(form())
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press("shift+tab", "left", "tab")
        await until(pilot, lambda: shows(app, "Template"))

        def marked() -> list[str]:
            return [s.text.strip() for line in screen_segments(app) for s in line if s.style and s.style.reverse]

        await until(pilot, lambda: marked() == [""])
        await pilot.press("shift+tab")
        await until(pilot, lambda: marked() == ["(•) a template"])


async def test_on_a_full_disk_nothing_is_promised() -> None:
    app = deck(Answers(boards.halted(), queue_ls=[], template_ls=[], submit=accepted))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await paste(pilot, "true")
        await until(pilot, lambda: shows(app, "Nothing is taken while the disk is full"))
        await until(pilot, lambda: shows(app, "empty: ffmpeg S02E09.mkv"))
        assert not shows(app, "It can be submitted.")


@pytest.mark.parametrize(
    "keys", [(), ("shift+tab", "right", "tab"), ("shift+tab", "left", "tab", "right", "tab")], ids=["command", "shell", "template"]
)
async def test_f1_shows_the_keys_of_the_form_from_any_field(keys: tuple[str, ...]) -> None:
    """You should see them, and come back to the field, in which the key above typed what it is."""
    app = deck(form())
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press(*keys, "question_mark", "f1")
        await until(pilot, lambda: shows(app, "In this form") and shows(app, "Empty the form"))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, SubmitScreen) and shows(app, "?"))
        assert not shows(app, "In this form")


async def test_a_form_that_was_emptied_begins_empty() -> None:
    app = deck(form())
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await pilot.press(*"x y", "escape")
        await until(pilot, lambda: app.screen is app.deck)
        await opened(pilot, app)
        await pilot.press("ctrl+n", "escape")
        await until(pilot, lambda: app.screen is app.deck)
        await opened(pilot, app)
        assert shows(app, "Type a command.") and not shows(app, "as you left it")
