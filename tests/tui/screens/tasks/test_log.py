"""Log screen: attempts, missing files, waiting tasks, search, following, saving and cancelling."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from pytest import MonkeyPatch
from textual import events
from textual.app import App
from textual.widgets import Input

from app.tui.logviewer.pager import LogPage
from app.tui.logviewer.prompt import LogPrompt
from app.tui.logviewer.widget import LogView
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.screens.tasks.log import LogScreen, _format_tail
from tests.tui.fake_runtime import (
    BOARD,
    WHY,
    FakeRuntime,
    make_deck,
    make_log_answer,
    make_run_row,
    make_task_row,
    read_screen_line,
    wait_until,
)
from tests.tui.recording_runtime import Clock
from tests.tui.screen_text import read_screen_lines
from tests.tui.widgets.test_modal import is_shown


def write_log(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def make_runtime(path: str, **values: Any) -> FakeRuntime:
    row = make_task_row(status="running", number=1042, name="resnet50-sweep-06")
    return FakeRuntime(
        log=make_log_answer(row, make_run_row(path=path, runid="r1042")), show=row, **values
    )


async def test_the_heading_shows_attempt_state_size_and_position(tmp_path: Path) -> None:
    """Expect the last lines below `attempt 1   ● running`, and the screen's keys."""
    path = write_log(tmp_path / "x.log", "".join(f"epoch {n}/50\n" for n in range(60)))
    app = make_deck(make_runtime(path))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await wait_until(pilot, lambda: "following" in read_screen_line(app, 1))
        await wait_until(pilot, lambda: "60 lines" in read_screen_line(app, 1))
        lines = read_screen_lines(app)

        assert lines[0].startswith(" #1042 resnet50-sweep-06 › log")
        assert lines[1] == " attempt 1   ● running   710B, 60 lines   at the end, following"
        assert lines[20] == "  epoch 59/50"
        assert lines[21].endswith("line 60 of 60 ─")
        assert lines[23].startswith(" / search  f follow  w wrap  e next error  y copy  x cancel")
        assert all(len(line) <= 80 for line in lines)


async def test_a_resize_redraws_the_line_below_the_log(tmp_path: Path) -> None:
    app = make_deck(make_runtime(write_log(tmp_path / "x.log", "hello\n")))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await wait_until(pilot, lambda: "line 1 of 1" in read_screen_line(app, 21))
        await pilot.resize_terminal(100, 20)
        await wait_until(
            pilot,
            lambda: (
                len(read_screen_line(app, 17)) == 100 and "line 1 of 1" in read_screen_line(app, 17)
            ),
        )


async def test_lines_are_cut_at_the_screen_edge_at_every_size(tmp_path: Path) -> None:
    app = make_deck(make_runtime(write_log(tmp_path / "x.log", "x" * 300 + "\n")))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        for width, height in ((80, 24), (200, 50), (60, 16), (120, 40), (80, 24)):
            await pilot.resize_terminal(width, height)
            await wait_until(
                pilot, lambda width=width: f"  {'x' * (width - 4)}…" in read_screen_lines(app)
            )


async def test_a_search_counts_its_matches(tmp_path: Path) -> None:
    text = "".join(f"line {n}{' WARNING q' if n % 10 == 0 else ''}\n" for n in range(50))
    app = make_deck(make_runtime(write_log(tmp_path / "x.log", text)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await wait_until(pilot, lambda: "following" in read_screen_line(app, 1))
        await pilot.press("g", "slash", *"warning q", "enter")
        await wait_until(pilot, lambda: "match 1 of 5, case ignored" in read_screen_line(app, 21))
        await pilot.press("n")
        await wait_until(pilot, lambda: "match 2 of 5" in read_screen_line(app, 21))
        await pilot.press("N", "N")
        await wait_until(pilot, lambda: "match 5 of 5" in read_screen_line(app, 21))
        assert isinstance(app.screen, LogScreen)
        await pilot.press("slash", "escape")
        await wait_until(pilot, lambda: isinstance(app.focused, LogView))
        await pilot.press("escape")
        await wait_until(pilot, lambda: "match" not in read_screen_line(app, 21))
        assert isinstance(app.screen, LogScreen)
        await pilot.press("escape")
        await wait_until(pilot, lambda: not isinstance(app.screen, LogScreen))


async def test_moving_ends_a_search_that_found_nothing(tmp_path: Path) -> None:
    text = "".join(f"line {n}\n" for n in range(50))
    app = make_deck(make_runtime(write_log(tmp_path / "x.log", text)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await wait_until(pilot, lambda: "following" in read_screen_line(app, 1))
        await pilot.press("g", "slash", *"zzz", "enter")
        await wait_until(pilot, lambda: "0 matches" in read_screen_line(app, 21))
        await pilot.press("j")
        await wait_until(pilot, lambda: "line 20 of 50" in read_screen_line(app, 21))


async def test_a_match_far_in_a_long_line_is_shown_or_explained(tmp_path: Path) -> None:
    """Expect each counted match on the screen, or a note that says where it is."""
    text = f"begin\n{'x' * 20_000} NEAR {'y' * 100_000} FAR {'z' * 2000}\n0% OVER\r100%  \n"
    app = make_deck(make_runtime(write_log(tmp_path / "x.log", text)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await wait_until(pilot, lambda: "following" in read_screen_line(app, 1))
        await pilot.press("w", "slash", *"near", "enter")
        await wait_until(
            pilot,
            lambda: (
                "match 1 of 1" in read_screen_line(app, 21)
                and any(" NEAR " in row for row in read_screen_lines(app)[2:21])
            ),
        )
        await pilot.press("slash", *"far", "enter")
        await wait_until(
            pilot,
            lambda: "the match is beyond the wrapped part: w shows it" in read_screen_line(app, 22),
        )
        await pilot.press("w")
        await wait_until(pilot, lambda: any(" FAR " in row for row in read_screen_lines(app)[2:21]))
        await pilot.press("slash", *"over", "enter")
        await wait_until(pilot, lambda: "0 matches" in read_screen_line(app, 21))
        await wait_until(
            pilot,
            lambda: "no match: only in text that was overwritten" in read_screen_line(app, 22),
        )


async def test_the_next_key_clears_a_note(tmp_path: Path) -> None:
    text = "".join(f"line {n}{' WARNING' if n == 10 else ''}\n" for n in range(50))
    app = make_deck(make_runtime(write_log(tmp_path / "x.log", text)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await wait_until(pilot, lambda: "following" in read_screen_line(app, 1))
        await pilot.press("g", "slash", *"warning", "enter")
        await wait_until(pilot, lambda: "match 1 of 1, case ignored" in read_screen_line(app, 21))
        app.ticks = Clock()
        for said, keys in (
            ("no other line matches", ("G",)),
            ("wrapped to the first match", ("slash", "escape")),
        ):
            await pilot.press("n")
            await wait_until(pilot, lambda said=said: said in read_screen_line(app, 22))
            await pilot.press(*keys)
            await wait_until(pilot, lambda said=said: said not in read_screen_line(app, 22))


@pytest.mark.parametrize(
    ("matches", "said"), [(0, "0 matches"), (1, "1 match"), (1204, "1,204 matches")]
)
def test_the_match_count_has_a_singular(matches: int, said: str) -> None:
    assert _format_tail(LogPage(search_text="x", matches=matches)) == f"{said}, case ignored"


def test_the_column_is_shown_before_lines_are_counted() -> None:
    assert _format_tail(LogPage(column=40)) == "column 41"
    assert _format_tail(LogPage(column=40, line=3, lines=9)) == "column 41, line 3 of 9"


async def test_a_log_updates_below_a_dialog(tmp_path: Path) -> None:
    """Expect the new line and the elapsed time behind the dialog."""
    path = tmp_path / "x.log"
    path.write_text("one\n")
    started = BOARD.running[0].started_at or 0.0
    app = make_deck(make_runtime(str(path)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await wait_until(pilot, lambda: "following" in read_screen_line(app, 1))
        await pilot.press("x")
        await wait_until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        with path.open("a") as log:
            log.write("two\n")
        app.board = BOARD._replace(
            running=tuple(run._replace(runid="r1042") for run in BOARD.running[:1])
        )
        app.now = lambda: started + 7270  # type: ignore[method-assign]
        await wait_until(pilot, lambda: is_shown(app, "  two") and is_shown(app, "2h01m", 1))
        assert isinstance(app.screen, ChoiceScreen)


async def test_output_written_while_unfocused_appears_on_focus(tmp_path: Path) -> None:
    path = write_log(tmp_path / "x.log", "one\n")
    app = make_deck(make_runtime(path))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await wait_until(pilot, lambda: "  one" in read_screen_lines(app))
        app.post_message(events.AppBlur())
        await wait_until(pilot, lambda: app.resting)
        with open(path, "a") as file:
            file.write("two\n")
        app.post_message(events.AppFocus())
        await wait_until(pilot, lambda: "  two" in read_screen_lines(app))


async def test_a_closed_log_screen_leaves_no_watchers_on_the_app(tmp_path: Path) -> None:
    app = make_deck(make_runtime(write_log(tmp_path / "x.log", "one\n")))
    async with app.run_test(size=(80, 24)) as pilot:
        for _ in range(3):
            app.open_log("1042")
            await wait_until(pilot, lambda: "  one" in read_screen_lines(app))
            await pilot.press("escape")
            await wait_until(pilot, lambda: not isinstance(app.screen, LogScreen))
        app.board = BOARD._replace(today_ok=BOARD.today_ok + 1)
        await pilot.pause()
        watching = {
            type(who) for watchers in vars(app)["__watchers"].values() for who, _ in watchers
        }
    assert watching and watching.isdisjoint({LogScreen, LogView})


async def test_new_lines_are_counted_while_scrolled_up(tmp_path: Path) -> None:
    path = write_log(tmp_path / "x.log", "line\n" * 100)
    app = make_deck(make_runtime(path))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await wait_until(pilot, lambda: "following" in read_screen_line(app, 1))
        await pilot.press("k")
        with open(path, "a") as file:
            file.write("new\n" * 1204)
        await wait_until(pilot, lambda: "1,204 new lines below, f" in read_screen_line(app, 21))
        await pilot.press("f")
        await wait_until(pilot, lambda: read_screen_line(app, 20) == "  new")


async def test_tab_shows_the_other_attempt(tmp_path: Path) -> None:
    first, second = (
        write_log(tmp_path / "1.log", "first try\n"),
        write_log(tmp_path / "2.log", "second try\n"),
    )
    row = make_task_row(status="failed", number=1048, name="thumbs")
    runs = [
        make_run_row(attempt=n, runid=f"r{n}", status="failed", path=path, reason="exit 1")
        for n, path in ((1, first), (2, second))
    ]
    app = make_deck(FakeRuntime(log=make_log_answer(row, *runs)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1048")
        await wait_until(pilot, lambda: "  second try" in read_screen_lines(app))
        assert read_screen_lines(app)[1].startswith(" attempt 2 of 2   ✗ failed   exit 1")
        await pilot.press("tab")
        await wait_until(pilot, lambda: "  first try" in read_screen_lines(app))
        await pilot.press("tab")
        await wait_until(pilot, lambda: "  second try" in read_screen_lines(app))


async def test_a_missing_log_file_is_replaced_by_the_database_copy(tmp_path: Path) -> None:
    row = make_task_row(status="failed")
    gone = make_run_row(
        status="failed",
        path=str(tmp_path / "gone.log"),
        logs="the end of it\n",
        log_bytes=5_000_000,
    )
    app = make_deck(FakeRuntime(log=make_log_answer(row, gone)))
    async with app.run_test(size=(100, 24)) as pilot:
        app.open_log("1049")
        await wait_until(pilot, lambda: "  the end of it" in read_screen_lines(app))
        assert "the file is gone; the end of the log is shown" in read_screen_lines(app)[2]


async def test_a_waiting_task_says_why_and_its_log_opens_when_it_starts(tmp_path: Path) -> None:
    path = write_log(tmp_path / "x.log", "hello\n")
    waiting, running = make_task_row(), make_task_row(status="running")
    answers = FakeRuntime(log=make_log_answer(waiting), why=[WHY])
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1049")
        await wait_until(
            pilot,
            lambda: any(
                "1 needs 12.0G memory of pool gpu" in line for line in read_screen_lines(app)
            ),
        )
        answers.table["log"] = make_log_answer(running, make_run_row(path=path))
        app.board = answers.board
        app.mutate_reactive(type(app).board)
        await wait_until(pilot, lambda: "  hello" in read_screen_lines(app))


async def test_a_task_that_never_ran_says_why_and_has_no_log() -> None:
    gone = make_task_row(status="cancelled", reason="cancelled by ann")
    why = {
        **WHY,
        "status": "cancelled",
        "reasons": [{"code": "ended", "text": "cancelled by ann", "short": ""}],
    }
    app = make_deck(FakeRuntime(log=make_log_answer(gone), why=[why]))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1049")
        await wait_until(
            pilot,
            lambda: any(
                "#1049 never ran, so there is no log:" in line for line in read_screen_lines(app)
            ),
        )
        assert any("1 cancelled by ann" in line for line in read_screen_lines(app))
        assert not any("begins here" in line for line in read_screen_lines(app))


async def test_the_next_attempt_is_followed(tmp_path: Path) -> None:
    first, second = (
        write_log(tmp_path / "1.log", "first try\n"),
        write_log(tmp_path / "2.log", "second try\n"),
    )
    row = make_task_row(status="running")
    answers = FakeRuntime(log=make_log_answer(row, make_run_row(attempt=1, runid="r1", path=first)))
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1049")
        await wait_until(pilot, lambda: "  first try" in read_screen_lines(app))
        runs = (
            make_run_row(attempt=1, runid="r1", status="failed", path=first),
            make_run_row(attempt=2, runid="r2", path=second),
        )
        answers.table["log"] = make_log_answer(row, *runs)
        app.mutate_reactive(type(app).board)
        await wait_until(pilot, lambda: "  second try" in read_screen_lines(app))


async def test_x_asks_before_cancelling(tmp_path: Path) -> None:
    done = {
        "done": [{"number": 1042, "name": "resnet50-sweep-06", "status": "running"}],
        "refused": [],
        "notes": [],
    }
    answers = make_runtime(write_log(tmp_path / "x.log", "hello\n"), cancel=done)
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await wait_until(pilot, lambda: "  hello" in read_screen_lines(app))
        await pilot.press("x")
        await wait_until(
            pilot, lambda: any("Cancel #1042" in line for line in read_screen_lines(app))
        )
        assert any("1042 resnet50-sweep-06" in line for line in read_screen_lines(app))
        await pilot.press("y")
        await wait_until(pilot, lambda: answers.list_args("cancel"))
        await wait_until(pilot, lambda: read_screen_line(app, 22).startswith(" Cancelled #1042"))


async def test_i_sends_lines_to_the_input_until_escape(tmp_path: Path) -> None:
    run = make_run_row(path=write_log(tmp_path / "x.log", "hello\n"), runid="r1042")
    row = make_task_row(status="running", number=1042, name="sh")
    answers = FakeRuntime(log=make_log_answer(row, run) | {"stdin": True}, send={"number": 1042})
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await wait_until(pilot, lambda: "i type input" in read_screen_line(app, 23))
        await pilot.press("i", *"hi", "enter", *"by", "enter", "escape")
        await wait_until(pilot, lambda: len(answers.list_args("send")) == 2)

        sent = [args["text"] for args in answers.list_args("send")]
        assert sent == ["hi\n", "by\n"]
        await wait_until(pilot, lambda: "Sent: #1042." in read_screen_line(app, 22))
        assert not app.screen.query_one(LogPrompt).is_open


async def test_i_says_why_a_task_takes_no_input(tmp_path: Path) -> None:
    app = make_deck(make_runtime(write_log(tmp_path / "x.log", "hello\n")))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await wait_until(pilot, lambda: "  hello" in read_screen_lines(app))
        await pilot.press("i")
        await wait_until(pilot, lambda: "without --stdin" in read_screen_line(app, 22))


async def test_a_refusal_of_the_runtime_is_shown(tmp_path: Path) -> None:
    app = make_deck(FakeRuntime())
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("77")
        await wait_until(pilot, lambda: "no answer for log" in read_screen_line(app, 22))
        await pilot.press("slash", "tab", "n", "f", "e", "y", "w")
        assert app.failure is None


async def test_a_copied_line_goes_to_the_clipboard(tmp_path: Path) -> None:
    app = make_deck(make_runtime(write_log(tmp_path / "x.log", "one\ntwo \x1b[31mred\x1b[0m\n")))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await wait_until(pilot, lambda: "  two red" in read_screen_lines(app))
        await pilot.press("y")
        await wait_until(pilot, lambda: app.clipboard == "one\ntwo red")
        assert "Copied the visible lines" in read_screen_lines(app)[22]


async def test_results_of_verbs_appear_on_the_current_screen(tmp_path: Path) -> None:
    app = make_deck(make_runtime(write_log(tmp_path / "x.log", "one\n")))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await wait_until(pilot, lambda: "  one" in read_screen_lines(app))
        app.show_message("Paused #1042.")
        await pilot.pause()
        assert "Paused #1042." in read_screen_lines(app)[22]


def post_characters(app: App[Any], keys: str) -> None:
    """Post keys as one piece, as a fast typist's arrive over a slow line."""
    for key in keys:
        name = {"\r": "enter", "/": "slash", "\x1b": "escape", "\t": "tab"}.get(key, key)
        app.post_message(events.Key(name, key))


async def test_a_burst_after_a_slash_is_typed_until_enter(tmp_path: Path) -> None:
    text = "".join(f"line {n}{' neq' if n % 10 == 0 else ''}\n" for n in range(100))
    answers = make_runtime(write_log(tmp_path / "x.log", text))
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await wait_until(pilot, lambda: "following" in read_screen_line(app, 1))
        await pilot.press("g")
        post_characters(app, "/neq\rnw/")
        await wait_until(
            pilot,
            lambda: (
                "match 2 of 10" in read_screen_line(app, 20)
                and "wrapped" in read_screen_line(app, 1)
            ),
        )
        assert read_screen_line(app, 21) == " /"
        post_characters(app, "line 9\x1bn")
        await wait_until(pilot, lambda: "match 3 of 10" in read_screen_line(app, 21))
        assert not answers.list_args("cancel")


async def test_a_search_typed_before_the_log_loads_is_run_later(tmp_path: Path) -> None:
    text = "".join(f"line {n}\n" for n in range(100))
    gate = Event()
    answers = make_runtime(write_log(tmp_path / "x.log", text))
    answer = answers.table["log"]
    answers.table["log"] = lambda args: gate.wait(10) and answer
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await wait_until(pilot, lambda: isinstance(app.focused, LogView))
        post_characters(app, "/line 42\r")
        await wait_until(pilot, lambda: isinstance(app.focused, LogView))
        gate.set()
        await wait_until(pilot, lambda: "match 1 of 1" in read_screen_line(app, 21))


async def test_the_search_line_starts_empty_and_up_recalls_searches(tmp_path: Path) -> None:
    app = make_deck(make_runtime(write_log(tmp_path / "x.log", "one\ntwo\n")))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await wait_until(pilot, lambda: "following" in read_screen_line(app, 1))
        for words in ("one", "two"):
            await pilot.press("slash", *words, "enter")
        await pilot.press("slash")
        assert read_screen_line(app, 21) == " /"
        await pilot.press("up", "up")
        await wait_until(pilot, lambda: read_screen_line(app, 21) == " /one")
        await pilot.press("down")
        await wait_until(pilot, lambda: read_screen_line(app, 21) == " /two")


async def test_s_saves_the_raw_log_and_says_where(tmp_path: Path, monkeypatch: MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-folder").mkdir()
    app = make_deck(make_runtime(write_log(tmp_path / "x.log", "\x1b[31mred\x1b[0m\r\n")))
    async with app.run_test(size=(100, 24)) as pilot:
        app.open_log("1042")
        await wait_until(pilot, lambda: "following" in read_screen_line(app, 2))
        await pilot.press("s")
        await wait_until(
            pilot, lambda: read_screen_line(app, 21) == " Save as: 1042-resnet50-sweep-06.log"
        )
        await pilot.press("ctrl+u", "a", "minus", "tab")
        await wait_until(pilot, lambda: read_screen_line(app, 21) == " Save as: a-folder/")
        await pilot.press("enter")
        await wait_until(pilot, lambda: "Saved as written, 14B: " in read_screen_line(app, 22))

    assert (
        tmp_path / "a-folder" / "1042-resnet50-sweep-06.log"
    ).read_bytes() == b"\x1b[31mred\x1b[0m\r\n"


async def test_saving_asks_before_it_replaces_a_file(
    tmp_path: Path, monkeypatch: MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    target = tmp_path / "1042-resnet50-sweep-06.log"
    target.write_text("precious")
    app = make_deck(make_runtime(write_log(tmp_path / "x.log", "new\n")))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await wait_until(pilot, lambda: "following" in read_screen_line(app, 1))
        for answer, said, held in (
            ("enter", "Not saved.", "precious"),
            ("r", "Saved as written", "new\n"),
        ):
            post_characters(app, "s\r")
            await wait_until(
                pilot,
                lambda: any("This file exists already." in row for row in read_screen_lines(app)),
            )
            assert isinstance(app.screen, ChoiceScreen)
            await pilot.press(answer)
            await wait_until(pilot, lambda said=said: said in read_screen_line(app, 22))
            assert target.read_text() == held


async def test_a_failed_save_is_reported(tmp_path: Path) -> None:
    app = make_deck(make_runtime(write_log(tmp_path / "x.log", "new\n")))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await wait_until(pilot, lambda: "following" in read_screen_line(app, 1))
        for path in ("/no/such/folder/x", "~nobody-by-that-name/x", "/proc/x", "a\\b" * 500):
            await pilot.press("s", "ctrl+u")
            app.screen.query_one(Input).value = path
            await pilot.press("enter")
            await wait_until(pilot, lambda: "Not saved: " in read_screen_line(app, 22))
            app.show_message("")
        await pilot.press("s", "ctrl+u", *"/proc/x", "enter")
        await wait_until(pilot, lambda: "Not saved: " in read_screen_line(app, 22))
        await pilot.press("q")
        await wait_until(
            pilot,
            lambda: (
                "Queues" in read_screen_line(app, 1)
                and "Not saved" not in read_screen_line(app, 22)
            ),
        )
        assert app.failure is None


async def test_read_only_mode_saves_nothing(tmp_path: Path) -> None:
    app = make_deck(make_runtime(write_log(tmp_path / "x.log", "new\n")), read_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await wait_until(pilot, lambda: "following" in read_screen_line(app, 1))
        await pilot.press("s")
        await wait_until(pilot, lambda: "Read only" in read_screen_line(app, 22))
        assert isinstance(app.focused, LogView)


async def test_tab_in_the_search_line_does_not_switch_attempts(tmp_path: Path) -> None:
    first, second = (
        write_log(tmp_path / "1.log", "first try\n"),
        write_log(tmp_path / "2.log", "second try\n"),
    )
    runs = [
        make_run_row(attempt=n, runid=f"r{n}", status="failed", path=path)
        for n, path in ((1, first), (2, second))
    ]
    app = make_deck(FakeRuntime(log=make_log_answer(make_task_row(status="failed"), *runs)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1048")
        await wait_until(pilot, lambda: "  second try" in read_screen_lines(app))
        await pilot.press("slash", "tab", "s", "slash")
        await wait_until(pilot, lambda: read_screen_line(app, 21) == " /s/")
        assert "  second try" in read_screen_lines(app)


async def test_a_click_on_the_new_line_count_resumes_following(tmp_path: Path) -> None:
    path = write_log(tmp_path / "x.log", "line\n" * 100)
    app = make_deck(make_runtime(path))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await wait_until(pilot, lambda: "following" in read_screen_line(app, 1))
        await pilot.press("k")
        with open(path, "a") as file:
            file.write("new\n")
        await wait_until(pilot, lambda: "1 new line below, f" in read_screen_line(app, 21))
        await pilot.click("#position")
        await wait_until(
            pilot,
            lambda: (
                read_screen_line(app, 20) == "  new" and "following" in read_screen_line(app, 1)
            ),
        )


async def test_a_change_of_the_log_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    app = make_deck(make_runtime(write_log(path, "line\n" * 100)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await wait_until(pilot, lambda: "following" in read_screen_line(app, 1))
        path.write_text("anew\n")
        await wait_until(
            pilot,
            lambda: (
                "the log was truncated" in read_screen_line(app, 22)
                and read_screen_line(app, 2) == "  anew"
            ),
        )
        path.unlink()
        await wait_until(pilot, lambda: "the file was deleted" in read_screen_line(app, 22))
        assert read_screen_line(app, 2) == "  anew"


async def test_a_pipe_or_folder_in_place_of_a_log_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for number, path in enumerate((tmp_path / "fifo", tmp_path)):
        gone = make_run_row(
            status="failed",
            path=str(path),
            logs="the end of it\n",
            log_bytes=14,
            runid=f"r{number}",
        )
        app = make_deck(FakeRuntime(log=make_log_answer(make_task_row(status="failed"), gone)))
        async with app.run_test(size=(120, 24)) as pilot:
            app.open_log("1049")
            await wait_until(pilot, lambda app=app: "  the end of it" in read_screen_lines(app))
            await wait_until(
                pilot,
                lambda app=app: (
                    "the file cannot be read (not a regular file); the whole log is shown"
                    in read_screen_lines(app)[2]
                ),
            )


async def test_copying_a_long_log_copies_its_end_and_says_so(
    tmp_path: Path, monkeypatch: MonkeyPatch
) -> None:
    app = make_deck(make_runtime(write_log(tmp_path / "x.log", "x" * 99 + "\n" + "夜" * 50_000)))
    async with app.run_test(size=(100, 24)) as pilot:
        for tmux, words in (
            ("", "if the terminal allows it"),
            ("/tmp/t", "if tmux has set-clipboard on"),
        ):
            monkeypatch.setenv("TMUX", tmux) if tmux else monkeypatch.delenv("TMUX", raising=False)
            app.open_log("1042")
            await wait_until(pilot, lambda: "following" in read_screen_line(app, 2))
            await pilot.press("Y")
            await wait_until(
                pilot,
                lambda words=words: (
                    f"Copied the end of the log, 72K, {words}; s saves" in read_screen_line(app, 22)
                ),
            )
            await pilot.press("q")
        assert app.clipboard == "夜" * (72 * 1024 // 3)


async def test_an_empty_log_says_so(tmp_path: Path) -> None:
    """Expect one text while the run may still write, and another once it has ended."""
    path = tmp_path / "x.log"
    path.write_text("")
    app = make_deck(make_runtime(str(path)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await wait_until(pilot, lambda: read_screen_line(app, 2) == "  No output yet.")
        app.screen.query_one(LogView).live = False
        await wait_until(pilot, lambda: read_screen_line(app, 2) == "  No output.")
        app.screen.query_one(LogView).live = True
        path.write_text("hello\n")
        await wait_until(pilot, lambda: read_screen_line(app, 2) == "  hello")


@pytest.mark.parametrize(
    "keys",
    [("slash", "x", "enter"), "w", "s", "f", "e", "n", "y", ("tab",)],
    ids=lambda keys: keys[0],
)
async def test_log_keys_say_when_there_is_no_log(keys: Sequence[str]) -> None:
    row = make_task_row(number=1049)
    app = make_deck(FakeRuntime(log=make_log_answer(row), why=[WHY]))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1049")
        await wait_until(
            pilot, lambda: is_shown(app, "has not started, so there is no log. It waits:")
        )
        await pilot.press(*keys)
        await wait_until(
            pilot,
            lambda: read_screen_line(app, 22).startswith(
                " #1049 has not started, so it has no log yet."
            ),
        )
        await pilot.press("q")
        assert not is_shown(app, "so it has no log yet")
