"""Submit form, driven by keys."""

from __future__ import annotations

from threading import Event
from typing import Any

import pytest
from textual.events import Paste
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from app.errors import Refused, Usage
from app.tui.app import TaskdeckApp
from app.tui.forms.fields import DropDown, PickScreen
from app.tui.screens.submission.submit_form import SubmitScreen
from db.errors import DiskFull
from tests.tui import boards
from tests.tui.fake_runtime import FakeRuntime, make_deck, read_screen_line, wait_until
from tests.tui.fake_runtime import make_task_row as a_task
from tests.tui.screen_text import is_shown, read_screen_lines, read_screen_segments
from tests.tui.screens.tasks.test_task import HOSTILE_TEXT, find_control_characters

ENCODE_TEMPLATE = {
    "name": "encode", "type": "shell", "engine": "shell", "description": "transcode one file",
    "queue": "media",
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


def accept_submission(args: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the answer of a runtime that accepts the submission."""
    return [{"number": 1063, "name": "ffmpeg S02E09.mkv", "uuid": args.get("uuid")}]


def make_form_runtime(**table: Any) -> FakeRuntime:
    answers: dict[str, Any] = {
        "queue_ls": [{"name": "gpu"}, {"name": "media"}],
        "template_ls": [ENCODE_TEMPLATE],
        "submit": accept_submission,
    }
    return FakeRuntime(**(answers | table))


async def open_submit_form(pilot: Pilot[Any], app: TaskdeckApp) -> None:
    app.open_form()
    await wait_until(
        pilot,
        lambda: isinstance(app.screen, SubmitScreen) and "New task" in read_screen_line(app, 0),
    )


def list_submissions(answers: FakeRuntime) -> list[dict[str, Any]]:
    return [args for args in answers.list_args("submit") if not args.get("dry_run")]


async def paste_text(pilot: Pilot[Any], text: str) -> None:
    """Paste a text into the focused field."""
    pilot.app.post_message(Paste(text))
    await pilot.pause()


async def test_a_command_is_checked_while_typing_and_submitted_by_ctrl_j() -> None:
    """Show the command's words, the default name and the shell command."""
    answers = make_form_runtime()
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        assert is_shown(app, "Type a command.")
        await pilot.press(*'ffmpeg -i "a b"')
        await wait_until(
            pilot,
            lambda: (
                is_shown(app, "empty: ffmpeg S02E09.mkv") and is_shown(app, "It can be submitted.")
            ),
        )
        assert is_shown(app, "3 words, no shell: ffmpeg │ -i │ a b")
        assert is_shown(app, "taskdeck submit -- ffmpeg -i 'a b'")
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: app.screen is app.deck)
        await wait_until(pilot, lambda: "Submitted #1063." in "\n".join(read_screen_lines(app)))

    [sent] = list_submissions(answers)
    assert sent["tasks"] == [{"argv": ["ffmpeg", "-i", "a b"]}]
    assert (
        len(sent["uuid"]) == 36
        and sent["cwd"].startswith("/")
        and "PATH" in sent["env"]
        and "TERM" not in sent["env"]
    )


async def test_u_cancels_a_submission_after_asking() -> None:
    undone = {"done": [{"text": "submit of #1063 true", "back": "its cancel"}], "refused": []}
    answers = make_form_runtime(operations=[{"id": 31}], undo=undone)
    app = make_deck(answers)
    async with app.run_test(size=(100, 24)) as pilot:
        await open_submit_form(pilot, app)
        await pilot.press(*"true", "ctrl+j")
        await wait_until(pilot, lambda: app.undo_stack.can_undo)
        await pilot.press("u")
        await wait_until(
            pilot, lambda: is_shown(app, "Press u again to undo the one before: Submitted #1063.")
        )
        assert not answers.list_args("undo")
        await pilot.press("u")
        await wait_until(pilot, lambda: is_shown(app, "Undone: its cancel."))
    assert answers.list_args("operations") == [
        {"object": "task #1063", "verb": "submit", "limit": 1}
    ]
    assert answers.list_args("undo") == [{"ids": [31]}]


async def test_plain_letters_never_act_in_a_form() -> None:
    app = make_deck(make_form_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await pilot.press("shift+tab", *"qxnwlp?:05")
        await pilot.press("tab", "tab", "tab", "tab", *"qxn")
        await pilot.pause()
        assert isinstance(app.screen, SubmitScreen)


async def test_enter_moves_to_the_next_field() -> None:
    app = make_deck(make_form_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await pilot.press("t", "enter", "/", "enter", "x")
        await wait_until(pilot, lambda: is_shown(app, "taskdeck submit -n x -C / -- t"))


async def test_faults_are_shown_and_prevent_submission() -> None:
    answers = make_form_runtime()
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await paste_text(pilot, "true")
        await pilot.press("tab")
        await paste_text(pilot, "/nowhere-at-all")
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: is_shown(app, "✗ In: /nowhere-at-all does not exist."))
        assert "Not submitted: In: /nowhere-at-all" in read_screen_line(app, 22)
        assert list_submissions(answers) == []
        assert app.focused is app.screen.query_one("#cwd")
        await pilot.press("tab", "tab", "tab", "x", "ctrl+j")
        assert app.focused is app.screen.query_one("#cwd")


def keep_messages(app: TaskdeckApp) -> TaskdeckApp:
    """Return the deck with messages that never expire."""
    app.ticks = lambda: 0.0
    return app


async def test_a_fault_message_disappears_when_fixed() -> None:
    app = keep_messages(make_deck(make_form_runtime()))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await paste_text(pilot, "true")
        await pilot.press("tab")
        await paste_text(pilot, "/nowhere-at-all")
        await pilot.press("ctrl+j")
        assert "Not submitted: In: /nowhere-at-all" in read_screen_line(app, 22)

        await pilot.press("ctrl+u")
        await paste_text(pilot, "/")
        await wait_until(
            pilot, lambda: read_screen_line(app, 22) == "" and is_shown(app, "It can be submitted.")
        )


async def test_refusals_disappear_with_the_form_and_results_stay() -> None:
    app = keep_messages(make_deck(make_form_runtime()))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await paste_text(pilot, "true")
        await pilot.press("tab")
        await paste_text(pilot, "/nowhere-at-all")
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: is_shown(app, "Not submitted"))
        await pilot.press("escape")
        await wait_until(
            pilot, lambda: is_shown(app, "3 Running") and not is_shown(app, "Not submitted")
        )

        await open_submit_form(pilot, app)
        await pilot.press("tab", "ctrl+u", "ctrl+j")
        await wait_until(
            pilot, lambda: is_shown(app, "3 Running") and is_shown(app, "Submitted #1063.")
        )


async def test_faults_of_form_and_runtime_are_shown_together() -> None:
    """Show both in full, without a claim that nothing was submitted."""
    why = (
        "needs 100T memory and 99 cpu, but pool default has 15.6G and 2 in all: it could never"
        ' start; no task "99".'
    )
    never = Refused(
        f"{why} Nothing was submitted.",
        "Ask for less, or: taskdeck pool set default --memory 100T --cpu 99",
    )
    answers = make_form_runtime(submit=lambda args: never)
    app = keep_messages(make_deck(answers))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await paste_text(pilot, "true")
        await pilot.press("tab", *"/nowhere")
        await wait_until(
            pilot,
            lambda: (
                is_shown(app, "✗ In: /nowhere does not exist.")
                and is_shown(app, "✗ needs 100T memory and 99 cpu")
            ),
        )
        assert answers.list_args("submit")[-1]["tasks"] == [{"argv": ["true"]}] and not is_shown(
            app, "Nothing was submitted"
        )

        await pilot.press("ctrl+u", "ctrl+j")
        await wait_until(
            pilot,
            lambda: read_screen_line(app, 22).startswith(
                " Not submitted: needs 100T memory and 99 cpu, but pool default has"
            ),
        )
        assert is_shown(app, 'no task "99". Ask for less')


async def test_a_refused_draft_is_not_called_submittable() -> None:
    why = (
        "the disk is full (/srv/machines/render01/taskdeck, 0 bytes free). The task was not"
        " accepted."
    )
    full = DiskFull(why, "Free space, then try again.")

    def refusing(args: dict[str, Any]) -> Any:
        return accept_submission(args) if args.get("dry_run") else full

    app = keep_messages(make_deck(make_form_runtime(submit=refusing)))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await paste_text(pilot, "true")
        await wait_until(pilot, lambda: is_shown(app, "It can be submitted."))
        await pilot.press("ctrl+j")
        await wait_until(
            pilot,
            lambda: read_screen_line(app, 22).startswith(" Not submitted: the disk is full a"),
        )
        assert read_screen_line(app, 22).endswith("Free space in /var/lib…askdeck, then ctrl+j.")
        assert is_shown(app, "✗ the disk is full") and not is_shown(app, "It can be submitted.")

        await pilot.press("s")
        await wait_until(pilot, lambda: is_shown(app, "It can be submitted."))


async def test_a_full_disk_is_reported_before_submission() -> None:
    app = keep_messages(
        make_deck(
            make_form_runtime(
                submit=DiskFull(
                    "the disk is full (/x, 0 bytes free).", "Free space, then try again."
                )
            )
        )
    )
    said = (
        "the disk is full and a task must be on disk to be accepted. Free space in"
        " /var/lib/taskdeck, then ctrl+j."
    )
    async with app.run_test(size=(130, 40)) as pilot:
        await open_submit_form(pilot, app)
        await paste_text(pilot, "true")
        await wait_until(pilot, lambda: is_shown(app, f"✗ {said}"))
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: read_screen_line(app, 38) == f" Not submitted: {said}")


async def test_several_pasted_lines_become_shell_text() -> None:
    """Show all lines under Run: shell text, with a message."""
    answers = make_form_runtime()
    app = keep_messages(make_deck(answers))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await paste_text(pilot, "cd /tmp\n  make all\n\nmake install\n")
        await wait_until(
            pilot, lambda: is_shown(app, "Several lines were pasted: they are taken as shell text.")
        )
        await pilot.press(*" -k", "ctrl+j")
        await wait_until(pilot, lambda: app.screen is app.deck)
    assert [sent["tasks"] for sent in list_submissions(answers)] == [
        [{"script": "cd /tmp\n  make all\n\nmake install\n -k"}]
    ]


async def test_pasted_lines_are_joined_in_a_one_line_field() -> None:
    app = make_deck(make_form_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await paste_text(pilot, "true")
        await pilot.press("tab", "tab")
        await paste_text(pilot, "nightly\n  build\n")
        await wait_until(
            pilot, lambda: app.screen.query_one("#name", Input).value == "nightly build"
        )


async def test_one_click_selects_in_a_drop_down_list() -> None:
    app = make_deck(make_form_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await pilot.click("#queue")
        await wait_until(
            pilot, lambda: isinstance(app.screen, PickScreen) and is_shown(app, "media")
        )
        at = next(n for n, text in enumerate(read_screen_lines(app)) if " media" in text)
        await pilot.click(offset=(read_screen_lines(app)[at].index("media"), at))
        await wait_until(pilot, lambda: isinstance(app.screen, SubmitScreen))
        assert app.screen.query_one("#queue", DropDown).value == "media"


async def test_signal_and_retry_after_a_kill_for_memory_follow_the_retries() -> None:
    app = make_deck(make_form_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await paste_text(pilot, "true")
        app.screen.set_focus(app.screen.query_one("#timeout"))
        await pilot.press("2", "h", "tab", "tab", "tab", *"USR1", "tab", "2")
        words = "taskdeck submit -t 2h --signal USR1 --retry-on-oom 2 -- true"
        await wait_until(pilot, lambda: is_shown(app, words))


async def test_letters_and_tab_select_in_an_open_list_and_go_on() -> None:
    app = make_deck(make_form_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await paste_text(pilot, "true")
        await pilot.press("tab", "tab", "tab", "enter", *"me", "tab", "7")
        await wait_until(pilot, lambda: app.screen.query_one("#priority", Input).value == "7")
        assert app.screen.query_one("#queue", DropDown).value == "media"


async def test_letters_select_an_item_and_later_keys_reach_the_next_field() -> None:
    app = make_deck(make_form_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await paste_text(pilot, "true")
        await pilot.press("tab", "tab", "tab", *"me", "tab", "7")
        await wait_until(pilot, lambda: app.screen.query_one("#priority", Input).value == "7")
        assert app.screen.query_one("#queue", DropDown).value == "media"


async def test_shell_operators_in_a_command_are_reported() -> None:
    app = make_deck(make_form_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await paste_text(pilot, "sort a | uniq")
        await wait_until(
            pilot, lambda: is_shown(app, "no shell here (Run: shell text): | is plain text.")
        )


async def test_a_missing_parameter_is_a_fault_after_leaving_its_field() -> None:
    """Mark nothing in red earlier, and list the other missing ones neutrally."""
    two = {"type": "object", "required": ["input", "crf"],
           "properties": {"input": {"type": "string", "description": "the file"},
           "crf": {"type": "integer", "maximum": 51}}}  # fmt: skip
    app = make_deck(make_form_runtime(template_ls=[ENCODE_TEMPLATE | {"parameters": two}]))
    async with app.run_test(size=(80, 30)) as pilot:
        await open_submit_form(pilot, app)
        await pilot.press("shift+tab", "left", "tab", "right", "tab")
        await wait_until(pilot, lambda: is_shown(app, "Still required: input, crf."))
        assert not is_shown(app, "✗") and not is_shown(app, "to fix")
        await pilot.press("a", "backspace")
        assert not is_shown(app, "✗")
        await pilot.press("tab")
        await wait_until(pilot, lambda: is_shown(app, "✗             input is required: the file"))
        await wait_until(
            pilot, lambda: is_shown(app, "1 thing to fix before it can be submitted: input")
        )
        assert is_shown(app, "Still required: crf.") and not is_shown(app, "crf is required")
        await pilot.press("9", "9")
        await wait_until(pilot, lambda: is_shown(app, "crf must be at most 51, not 99"))


async def test_submitting_reports_all_missing_parameters() -> None:
    app = make_deck(make_form_runtime())
    async with app.run_test(size=(80, 30)) as pilot:
        await open_submit_form(pilot, app)
        await pilot.press("shift+tab", "left", "tab", "right")
        await wait_until(pilot, lambda: is_shown(app, "Still required: input."))
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: is_shown(app, "✗             input is required: the file"))
        assert is_shown(app, "1 thing to fix before it can be submitted: input") and is_shown(
            app, "Not submitted: input is required"
        )
        await pilot.press("end", *"a.mkv")
        await wait_until(pilot, lambda: is_shown(app, "-p input=a.mkv"))


async def test_a_template_shows_a_field_for_each_parameter() -> None:
    """Show required marks, bounds, defaults, choices, switches and missing values."""
    answers = make_form_runtime()
    app = make_deck(answers)
    async with app.run_test(size=(80, 30)) as pilot:
        await open_submit_form(pilot, app)
        await pilot.press("shift+tab", "left", "tab", "right")
        await wait_until(
            pilot,
            lambda: (
                is_shown(app, "Still required: input.")
                and is_shown(app, "Parameters 5, 1 required")
            ),
        )
        assert not is_shown(app, "✗")
        assert is_shown(app, "taskdeck submit encode -p input=…")
        await wait_until(
            pilot,
            lambda: is_shown(
                app, "input*        [                                      ] the file"
            ),
        )
        assert is_shown(app, "crf           [23      ] 0 to 51")
        assert is_shown(app, "preset        [medium ▾] one of 3")
        assert is_shown(app, "faststart     [x]")
        await pilot.press("tab")
        await paste_text(pilot, "in.mkv")
        await pilot.press("tab", "backspace", "5", "tab", "right", "tab", "space")
        await wait_until(pilot, lambda: is_shown(app, "It can be submitted."))
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: list_submissions(answers))

    texts = [["input", "in.mkv"], ["crf", "25"], ["preset", "slow"], ["faststart", "false"]]
    assert list_submissions(answers)[0]["tasks"] == [
        {"template": "encode", "parameter_texts": texts}
    ]


async def test_an_answer_about_an_older_draft_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ignore a refusal of earlier input, since nothing would clear it later."""
    asked, release, judged, judge = Event(), Event(), Event(), SubmitScreen._apply_verdict

    def refuses(args: dict[str, Any]) -> Any:
        asked.set()
        release.wait(10)
        return Usage("there is no program x.")

    def judges(screen: SubmitScreen, *answer: Any) -> None:
        judge(screen, *answer)
        judged.set()

    monkeypatch.setattr(SubmitScreen, "_apply_verdict", judges)
    app = make_deck(make_form_runtime(submit=refuses))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await pilot.press("x")
        await wait_until(pilot, asked.is_set)
        monkeypatch.setattr("app.tui.screens.submission.submit_form.CHECK_DELAY", 60.0)
        await pilot.press("y")
        await wait_until(pilot, lambda: is_shown(app, "taskdeck submit -- xy"))
        release.set()
        await wait_until(pilot, judged.is_set)
        await pilot.pause()
        assert not is_shown(app, "there is no program")


async def test_empty_fields_show_the_defaults_of_the_template() -> None:
    usual = ENCODE_TEMPLATE | {"signal": "USR1@5m", "retry_on_oom": "2,max=64G"}
    app = make_deck(make_form_runtime(template_ls=[usual]))
    async with app.run_test(size=(80, 30)) as pilot:
        await open_submit_form(pilot, app)
        await wait_until(
            pilot,
            lambda: (
                is_shown(app, "[the directory; empty: where the deck started")
                and is_shown(app, "empty: no limit")
            ),
        )
        await pilot.press("shift+tab", "left", "tab", "right")
        await wait_until(
            pilot,
            lambda: is_shown(app, "empty: 1h") and is_shown(app, "not set: media, as the template"),
        )
        assert not is_shown(app, "no limit")
        assert is_shown(app, "empty: USR1@5m") and is_shown(app, "empty: 2,max=64G")


async def test_the_form_shows_no_advice_for_the_shell() -> None:
    refusal = Usage("signal USR1@5m comes before the timeout.", "Give one: --timeout 2h")
    app = make_deck(make_form_runtime(submit=refusal))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await pilot.press("x")
        await wait_until(pilot, lambda: is_shown(app, "USR1@5m comes before the timeout."))
        assert not is_shown(app, "Give one")


async def test_a_queue_is_selected_from_the_list() -> None:
    answers = make_form_runtime()
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await paste_text(pilot, "true")
        await pilot.press("tab", "tab", "tab", "enter")
        await wait_until(pilot, lambda: isinstance(app.screen, PickScreen))
        await pilot.press("G", "enter")
        await wait_until(pilot, lambda: is_shown(app, "taskdeck submit -q media -- true"))
        await wait_until(pilot, lambda: is_shown(app, "2 of 2 running, 14 waiting"))


async def test_a_list_stays_at_its_field_after_resizes() -> None:
    app = make_deck(make_form_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        field = app.screen.query_one("#queue")
        await paste_text(pilot, "true")
        await pilot.press("tab", "tab", "tab", "enter")
        await wait_until(pilot, lambda: isinstance(app.screen, PickScreen))
        box = app.screen.query_one("#pick-box")
        top = field.region.y
        # the header of a wide terminal has two lines
        for size, lower in (((80, 24), 0), ((120, 30), 1), ((60, 16), 0)):
            await pilot.resize_terminal(*size)
            await wait_until(
                pilot,
                lambda lower=lower: (
                    field.region.y == top + lower and box.region.y == field.region.bottom
                ),
            )
            assert box.region.x == field.region.x and box.region.bottom <= app.size.height


async def test_the_default_name_is_shown_while_no_name_is_typed() -> None:
    app = make_deck(make_form_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await paste_text(pilot, "true")
        await wait_until(pilot, lambda: is_shown(app, "empty: ffmpeg S02E09.mkv"))
        await pilot.press("tab", "tab", *"true")
        await wait_until(pilot, lambda: not is_shown(app, "empty: ffmpeg S02E09.mkv"))


async def test_shell_text_may_have_several_lines() -> None:
    answers = make_form_runtime()
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await pilot.press("shift+tab", "right", "tab", *"a |", "enter", *"b", "ctrl+j")
        await wait_until(pilot, lambda: list_submissions(answers))

    assert list_submissions(answers)[0]["tasks"] == [{"script": "a |\nb"}]


async def test_escape_keeps_the_draft_and_ctrl_r_restores_the_last_values() -> None:
    answers = make_form_runtime()
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await pilot.press(*"x y", "escape")
        await wait_until(pilot, lambda: app.screen is app.deck)
        await open_submit_form(pilot, app)
        await wait_until(
            pilot,
            lambda: (
                is_shown(app, "taskdeck submit -- x y")
                and is_shown(app, "The form is as you left it; ctrl+n empties the form.")
            ),
        )
        await pilot.press("ctrl+n")
        await wait_until(
            pilot,
            lambda: (
                is_shown(app, "Type a command.")
                and is_shown(app, "The form is empty; ctrl+n again restores")
            ),
        )
        await pilot.press("ctrl+n")
        await wait_until(pilot, lambda: is_shown(app, "taskdeck submit -- x y"))
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: app.screen is app.deck)
        await open_submit_form(pilot, app)
        assert is_shown(app, "Type a command.")
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: is_shown(app, "taskdeck submit -- x y"))


async def test_a_draft_survives_the_use_of_other_forms() -> None:
    again, app = a_task(number=77, launch={"argv": ["true"]}), make_deck(make_form_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await pilot.press(*"precious", "escape")
        app.open_form(template="encode")
        await wait_until(
            pilot, lambda: is_shown(app, "Templates › encode › New task") and is_shown(app, "input")
        )
        await pilot.press("escape")
        app.open_form(task=again)
        await wait_until(pilot, lambda: is_shown(app, "› Retry") and is_shown(app, "[true "))
        await pilot.press("x", "escape")
        await wait_until(pilot, lambda: app.screen is app.deck)
        await open_submit_form(pilot, app)
        await wait_until(pilot, lambda: is_shown(app, "taskdeck submit -- precious"))
        await pilot.press("escape")
        app.open_form(task=again)
        await wait_until(
            pilot, lambda: is_shown(app, "› Retry") and is_shown(app, "ctrl+r restores")
        )
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: is_shown(app, "[truex "))


async def test_a_refused_submission_stays_open_and_is_resent_with_its_uuid() -> None:
    def lost(args: dict[str, Any]) -> Any:
        return accept_submission(args) if args.get("dry_run") else Usage("the answer was lost")

    answers = make_form_runtime(submit=lost)
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await paste_text(pilot, "true")
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: "the answer was lost" in read_screen_line(app, 22))
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: len(list_submissions(answers)) == 2)

    first, second = list_submissions(answers)
    assert first["uuid"] == second["uuid"]


async def test_ctrl_y_copies_the_shell_command() -> None:
    app = make_deck(make_form_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await paste_text(pilot, "echo 'a b'")
        await pilot.press("ctrl+y")
        await wait_until(pilot, lambda: app.clipboard == "taskdeck submit -- echo 'a b'")


async def test_pasted_text_cannot_control_the_terminal() -> None:
    app = make_deck(make_form_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await paste_text(pilot, "echo \x1b]52;c;eA==\x07\x9b2J\u202e x\n")
        await wait_until(pilot, lambda: is_shown(app, "[echo ␛]52;c;eA==␇�2J� x"))
        assert find_control_characters(app) == []
        await pilot.press("shift+tab", "right", "tab")
        await paste_text(pilot, "a\x1b[2J\n\tb\r\n")
        await wait_until(pilot, lambda: is_shown(app, "a␛[2J"))
        assert find_control_characters(app) == []
        assert app.screen.query_one("#script", TextArea).text.endswith("xa␛[2J\n\tb\n")


async def test_hostile_templates_queues_and_answers_are_plain_text() -> None:
    evil = {**ENCODE_TEMPLATE, "name": HOSTILE_TEXT, "description": HOSTILE_TEXT,
    "queue": HOSTILE_TEXT,
            "parameters": {"properties": {HOSTILE_TEXT: {"description": HOSTILE_TEXT,
            "enum": [HOSTILE_TEXT, "x"]}, "y": {"default": HOSTILE_TEXT}}}}  # fmt: skip
    app = make_deck(
        make_form_runtime(
            template_ls=[evil], queue_ls=[{"name": HOSTILE_TEXT}], submit=Usage(HOSTILE_TEXT)
        )
    )
    async with app.run_test(size=(80, 30)) as pilot:
        await open_submit_form(pilot, app)
        await pilot.press("shift+tab", "left", "tab", "right")
        await wait_until(pilot, lambda: is_shown(app, "✗ [/red]"))
        await pilot.press("tab", "right", "enter")
        await wait_until(pilot, lambda: isinstance(app.screen, PickScreen))

        assert find_control_characters(app) == []


async def test_only_the_field_with_the_focus_is_marked() -> None:
    app = make_deck(make_form_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await pilot.press("shift+tab", "left", "tab")
        await wait_until(pilot, lambda: is_shown(app, "Template"))

        def marked() -> list[str]:
            return [
                s.text.strip()
                for line in read_screen_segments(app)
                for s in line
                if s.style and s.style.reverse
            ]

        await wait_until(pilot, lambda: marked() == [""])
        await pilot.press("shift+tab")
        await wait_until(pilot, lambda: marked() == ["(•) a template"])


async def test_a_full_disk_promises_no_submission() -> None:
    app = make_deck(
        FakeRuntime(boards.halted(), queue_ls=[], template_ls=[], submit=accept_submission)
    )
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await paste_text(pilot, "true")
        await wait_until(pilot, lambda: is_shown(app, "The disk is full: no task is accepted"))
        await wait_until(pilot, lambda: is_shown(app, "empty: ffmpeg S02E09.mkv"))
        assert not is_shown(app, "It can be submitted.")


@pytest.mark.parametrize(
    "keys",
    [(), ("shift+tab", "right", "tab"), ("shift+tab", "left", "tab", "right", "tab")],
    ids=["command", "shell", "template"],
)
async def test_f1_shows_the_form_s_keys_from_any_field(keys: tuple[str, ...]) -> None:
    """Return to the field afterwards, in which the question mark was typed as text."""
    app = make_deck(make_form_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await pilot.press(*keys, "question_mark", "f1")
        await wait_until(
            pilot, lambda: is_shown(app, "In this form") and is_shown(app, "Empty the form")
        )
        await pilot.press("escape")
        await wait_until(pilot, lambda: isinstance(app.screen, SubmitScreen) and is_shown(app, "?"))
        assert not is_shown(app, "In this form")


async def test_a_cleared_form_reopens_empty() -> None:
    app = make_deck(make_form_runtime())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_submit_form(pilot, app)
        await pilot.press(*"x y", "escape")
        await wait_until(pilot, lambda: app.screen is app.deck)
        await open_submit_form(pilot, app)
        await pilot.press("ctrl+n", "escape")
        await wait_until(pilot, lambda: app.screen is app.deck)
        await open_submit_form(pilot, app)
        assert is_shown(app, "Type a command.") and not is_shown(app, "as you left it")
