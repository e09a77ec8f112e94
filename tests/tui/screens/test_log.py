"""The log screen in the deck: attempts, logs whose file is gone, waiting tasks, search, follow, cancel."""

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

from app.tui.logviewer.pager import Page
from app.tui.logviewer.widget import LogView
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.screens.log import LogScreen, _tail
from tests.tui.fake_runtime import BOARD, WHY, Answers, deck, line, log_answer, run, task, until
from tests.tui.recording_runtime import Clock
from tests.tui.screen_text import screen_text
from tests.tui.widgets.test_modal import shown


def a_log(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def running_on(path: str, **values: Any) -> Answers:
    row = task(status="running", number=1042, name="resnet50-sweep-06")
    return Answers(log=log_answer(row, run(path=path, runid="r1042")), show=row, **values)


async def test_the_head_tells_attempt_state_size_and_place(tmp_path: Path) -> None:
    """You should see the last lines of the log below `attempt 1   ● running`, and the keys that work here."""
    path = a_log(tmp_path / "x.log", "".join(f"epoch {n}/50\n" for n in range(60)))
    app = deck(running_on(path))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await until(pilot, lambda: "following" in line(app, 1))
        await until(pilot, lambda: "60 lines" in line(app, 1))
        lines = screen_text(app)

        assert lines[0].startswith(" #1042 resnet50-sweep-06 › log")
        assert lines[1] == " attempt 1   ● running   710B, 60 lines   at the end, following"
        assert lines[20] == "  epoch 59/50"
        assert lines[21].endswith("line 60 of 60 ─")
        assert lines[23].startswith(" / search  f follow  w wrap  e next error  y copy  x cancel")
        assert all(len(line) <= 80 for line in lines)


async def test_a_resize_draws_the_rule_below_the_log_anew(tmp_path: Path) -> None:
    app = deck(running_on(a_log(tmp_path / "x.log", "hello\n")))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await until(pilot, lambda: "line 1 of 1" in line(app, 21))
        await pilot.resize_terminal(100, 20)
        await until(pilot, lambda: len(line(app, 17)) == 100 and "line 1 of 1" in line(app, 17))


async def test_a_line_is_cut_where_the_screen_ends_in_every_size(tmp_path: Path) -> None:
    app = deck(running_on(a_log(tmp_path / "x.log", "x" * 300 + "\n")))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        for width, height in ((80, 24), (200, 50), (60, 16), (120, 40), (80, 24)):
            await pilot.resize_terminal(width, height)
            await until(pilot, lambda width=width: f"  {'x' * (width - 4)}…" in screen_text(app))


async def test_a_search_is_typed_and_its_matches_are_counted(tmp_path: Path) -> None:
    text = "".join(f"line {n}{' WARNING q' if n % 10 == 0 else ''}\n" for n in range(50))
    app = deck(running_on(a_log(tmp_path / "x.log", text)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await until(pilot, lambda: "following" in line(app, 1))
        await pilot.press("g", "slash", *"warning q", "enter")
        await until(pilot, lambda: "match 1 of 5, case ignored" in line(app, 21))
        await pilot.press("n")
        await until(pilot, lambda: "match 2 of 5" in line(app, 21))
        await pilot.press("N", "N")
        await until(pilot, lambda: "match 5 of 5" in line(app, 21))
        assert isinstance(app.screen, LogScreen)
        await pilot.press("slash", "escape")
        await until(pilot, lambda: isinstance(app.focused, LogView))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, LogScreen))


async def test_a_match_far_in_a_long_line_is_seen_wrapped_and_cut_or_it_is_said_why_not(tmp_path: Path) -> None:
    """You should see the match that is counted, or read where it is."""
    text = f"begin\n{'x' * 20_000} NEAR {'y' * 100_000} FAR {'z' * 2000}\n0% OVER\r100%  \n"
    app = deck(running_on(a_log(tmp_path / "x.log", text)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await until(pilot, lambda: "following" in line(app, 1))
        await pilot.press("w", "slash", *"near", "enter")
        await until(pilot, lambda: "match 1 of 1" in line(app, 21) and any(" NEAR " in row for row in screen_text(app)[2:21]))
        await pilot.press("slash", *"far", "enter")
        await until(pilot, lambda: "the match is beyond what is shown wrapped: w shows it" in line(app, 22))
        await pilot.press("w")
        await until(pilot, lambda: any(" FAR " in row for row in screen_text(app)[2:21]))
        await pilot.press("slash", *"over", "enter")
        await until(pilot, lambda: "0 matches" in line(app, 21))
        await until(pilot, lambda: "no match: only in text that was overwritten" in line(app, 22))


async def test_what_was_noted_of_a_key_is_over_with_the_next_one(tmp_path: Path) -> None:
    text = "".join(f"line {n}{' WARNING' if n == 10 else ''}\n" for n in range(50))
    app = deck(running_on(a_log(tmp_path / "x.log", text)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await until(pilot, lambda: "following" in line(app, 1))
        await pilot.press("g", "slash", *"warning", "enter")
        await until(pilot, lambda: "match 1 of 1, case ignored" in line(app, 21))
        app.ticks = Clock()
        for said, keys in (("no other line matches", ("G",)), ("round from the last to the first", ("slash", "escape"))):
            await pilot.press("n")
            await until(pilot, lambda said=said: said in line(app, 22))
            await pilot.press(*keys)
            await until(pilot, lambda said=said: said not in line(app, 22))


@pytest.mark.parametrize(("matches", "said"), [(0, "0 matches"), (1, "1 match"), (1204, "1,204 matches")])
def test_one_match_is_one(matches: int, said: str) -> None:
    assert _tail(Page(searched="x", matches=matches)) == f"{said}, case ignored"


def test_the_column_is_told_before_the_lines_are_counted() -> None:
    assert _tail(Page(column=40)) == "column 41"
    assert _tail(Page(column=40, line=3, lines=9)) == "column 41, line 3 of 9"


async def test_a_log_goes_on_below_a_box(tmp_path: Path) -> None:
    """You should see the new line, and the time it has run, behind the question."""
    path = tmp_path / "x.log"
    path.write_text("one\n")
    started = BOARD.running[0].started_at or 0.0
    app = deck(running_on(str(path)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await until(pilot, lambda: "following" in line(app, 1))
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        with path.open("a") as log:
            log.write("two\n")
        app.board = BOARD._replace(running=tuple(run._replace(runid="r1042") for run in BOARD.running[:1]))
        app.now = lambda: started + 7270  # type: ignore[method-assign]
        await until(pilot, lambda: shown(app, "  two") and shown(app, "2h01m", 1))
        assert isinstance(app.screen, ChoiceScreen)


async def test_what_came_while_another_window_had_the_focus_is_there_with_it_again(tmp_path: Path) -> None:
    path = a_log(tmp_path / "x.log", "one\n")
    app = deck(running_on(path))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await until(pilot, lambda: "  one" in screen_text(app))
        app.post_message(events.AppBlur())
        await until(pilot, lambda: app.resting)
        with open(path, "a") as file:
            file.write("two\n")
        app.post_message(events.AppFocus())
        await until(pilot, lambda: "  two" in screen_text(app))


async def test_a_log_that_was_left_is_kept_by_nothing_that_watches_the_app(tmp_path: Path) -> None:
    app = deck(running_on(a_log(tmp_path / "x.log", "one\n")))
    async with app.run_test(size=(80, 24)) as pilot:
        for _ in range(3):
            app.open_log("1042")
            await until(pilot, lambda: "  one" in screen_text(app))
            await pilot.press("escape")
            await until(pilot, lambda: not isinstance(app.screen, LogScreen))
        app.board = BOARD._replace(today_ok=BOARD.today_ok + 1)
        await pilot.pause()
        watching = {type(who) for watchers in vars(app)["__watchers"].values() for who, _ in watchers}
    assert watching and watching.isdisjoint({LogScreen, LogView})


async def test_new_lines_are_counted_while_one_reads_above(tmp_path: Path) -> None:
    path = a_log(tmp_path / "x.log", "line\n" * 100)
    app = deck(running_on(path))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await until(pilot, lambda: "following" in line(app, 1))
        await pilot.press("k")
        with open(path, "a") as file:
            file.write("new\n" * 1204)
        await until(pilot, lambda: "1,204 new lines below, f" in line(app, 21))
        await pilot.press("f")
        await until(pilot, lambda: line(app, 20) == "  new")


async def test_tab_shows_the_other_attempt(tmp_path: Path) -> None:
    first, second = a_log(tmp_path / "1.log", "first try\n"), a_log(tmp_path / "2.log", "second try\n")
    row = task(status="failed", number=1048, name="thumbs")
    runs = [
        run(attempt=n, runid=f"r{n}", status="failed", path=path, reason="exit 1")
        for n, path in ((1, first), (2, second))
    ]
    app = deck(Answers(log=log_answer(row, *runs)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1048")
        await until(pilot, lambda: "  second try" in screen_text(app))
        assert screen_text(app)[1].startswith(" attempt 2 of 2   ✗ failed   exit 1")
        await pilot.press("tab")
        await until(pilot, lambda: "  first try" in screen_text(app))
        await pilot.press("tab")
        await until(pilot, lambda: "  second try" in screen_text(app))


async def test_a_log_whose_file_is_gone_comes_from_the_database_and_says_so(tmp_path: Path) -> None:
    row = task(status="failed")
    gone = run(status="failed", path=str(tmp_path / "gone.log"), logs="the end of it\n", log_bytes=5_000_000)
    app = deck(Answers(log=log_answer(row, gone)))
    async with app.run_test(size=(100, 24)) as pilot:
        app.open_log("1049")
        await until(pilot, lambda: "  the end of it" in screen_text(app))
        assert "the file is gone; this is its end" in screen_text(app)[2]


async def test_a_waiting_task_says_why_and_its_log_begins_by_itself(tmp_path: Path) -> None:
    path = a_log(tmp_path / "x.log", "hello\n")
    waiting, running = task(), task(status="running")
    answers = Answers(log=log_answer(waiting), why=[WHY])
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1049")
        await until(pilot, lambda: any("1 needs 12.0G memory of pool gpu" in line for line in screen_text(app)))
        answers.table["log"] = log_answer(running, run(path=path))
        app.board = answers.board
        app.mutate_reactive(type(app).board)
        await until(pilot, lambda: "  hello" in screen_text(app))


async def test_a_task_that_never_ran_says_why_and_promises_no_log() -> None:
    gone = task(status="cancelled", reason="cancelled by ann")
    why = {**WHY, "status": "cancelled", "reasons": [{"code": "ended", "text": "cancelled by ann", "short": ""}]}
    app = deck(Answers(log=log_answer(gone), why=[why]))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1049")
        await until(pilot, lambda: any("#1049 never ran, so there is no log:" in line for line in screen_text(app)))
        assert any("1 cancelled by ann" in line for line in screen_text(app))
        assert not any("begins here" in line for line in screen_text(app))


async def test_the_next_attempt_is_followed(tmp_path: Path) -> None:
    first, second = a_log(tmp_path / "1.log", "first try\n"), a_log(tmp_path / "2.log", "second try\n")
    row = task(status="running")
    answers = Answers(log=log_answer(row, run(attempt=1, runid="r1", path=first)))
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1049")
        await until(pilot, lambda: "  first try" in screen_text(app))
        runs = (run(attempt=1, runid="r1", status="failed", path=first), run(attempt=2, runid="r2", path=second))
        answers.table["log"] = log_answer(row, *runs)
        app.mutate_reactive(type(app).board)
        await until(pilot, lambda: "  second try" in screen_text(app))


async def test_x_asks_by_name_before_it_cancels(tmp_path: Path) -> None:
    done = {"done": [{"number": 1042, "name": "resnet50-sweep-06", "status": "running"}], "refused": [], "notes": []}
    answers = running_on(a_log(tmp_path / "x.log", "hello\n"), cancel=done)
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await until(pilot, lambda: "  hello" in screen_text(app))
        await pilot.press("x")
        await until(pilot, lambda: any("Cancel 1 task?" in line for line in screen_text(app)))
        assert any("1042 resnet50-sweep-06" in line for line in screen_text(app))
        await pilot.press("y")
        await until(pilot, lambda: answers.asked("cancel"))
        await until(pilot, lambda: line(app, 22).startswith(" Cancelled #1042"))


async def test_what_the_runtime_refuses_is_said(tmp_path: Path) -> None:
    app = deck(Answers())
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("77")
        await until(pilot, lambda: "no answer for log" in line(app, 22))
        await pilot.press("slash", "tab", "n", "f", "e", "y", "w")
        assert app.failure is None


async def test_a_copied_line_goes_to_the_clipboard(tmp_path: Path) -> None:
    app = deck(running_on(a_log(tmp_path / "x.log", "one\ntwo \x1b[31mred\x1b[0m\n")))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await until(pilot, lambda: "  two red" in screen_text(app))
        await pilot.press("y")
        await until(pilot, lambda: app.clipboard == "one\ntwo red")
        assert "Copied what is seen" in screen_text(app)[22]


async def test_what_a_verb_answers_is_said_on_the_screen_that_is_seen(tmp_path: Path) -> None:
    app = deck(running_on(a_log(tmp_path / "x.log", "one\n")))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await until(pilot, lambda: "  one" in screen_text(app))
        app.say("Paused #1042.")
        await pilot.pause()
        assert "Paused #1042." in screen_text(app)[22]


def burst(app: App[Any], keys: str) -> None:
    """Keys that reach the deck in one piece, as a fast typist's do over a slow line."""
    for key in keys:
        name = {"\r": "enter", "/": "slash", "\x1b": "escape", "\t": "tab"}.get(key, key)
        app.post_message(events.Key(name, key))


async def test_a_burst_of_keys_behind_a_slash_is_typed_into_the_line_and_what_follows_is_a_key_again(
    tmp_path: Path,
) -> None:
    text = "".join(f"line {n}{' neq' if n % 10 == 0 else ''}\n" for n in range(100))
    answers = running_on(a_log(tmp_path / "x.log", text))
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await until(pilot, lambda: "following" in line(app, 1))
        await pilot.press("g")
        burst(app, "/neq\rnw/")
        await until(pilot, lambda: "match 2 of 10" in line(app, 20) and "wrapped" in line(app, 1))
        assert line(app, 21) == " /"
        burst(app, "line 9\x1bn")
        await until(pilot, lambda: "match 3 of 10" in line(app, 21))
        assert not answers.asked("cancel")


async def test_what_is_searched_before_the_log_is_there_is_found_when_it_is(tmp_path: Path) -> None:
    text = "".join(f"line {n}\n" for n in range(100))
    gate = Event()
    answers = running_on(a_log(tmp_path / "x.log", text))
    answer = answers.table["log"]
    answers.table["log"] = lambda args: gate.wait(10) and answer
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await until(pilot, lambda: isinstance(app.focused, LogView))
        burst(app, "/line 42\r")
        await until(pilot, lambda: isinstance(app.focused, LogView))
        gate.set()
        await until(pilot, lambda: "match 1 of 1" in line(app, 21))


async def test_an_empty_search_line_begins_empty_and_up_brings_back_the_last(tmp_path: Path) -> None:
    app = deck(running_on(a_log(tmp_path / "x.log", "one\ntwo\n")))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await until(pilot, lambda: "following" in line(app, 1))
        for words in ("one", "two"):
            await pilot.press("slash", *words, "enter")
        await pilot.press("slash")
        assert line(app, 21) == " /"
        await pilot.press("up", "up")
        await until(pilot, lambda: line(app, 21) == " /one")
        await pilot.press("down")
        await until(pilot, lambda: line(app, 21) == " /two")


async def test_s_saves_the_log_as_it_was_written_and_says_where(tmp_path: Path, monkeypatch: MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-folder").mkdir()
    app = deck(running_on(a_log(tmp_path / "x.log", "\x1b[31mred\x1b[0m\r\n")))
    async with app.run_test(size=(100, 24)) as pilot:
        app.open_log("1042")
        await until(pilot, lambda: "following" in line(app, 2))
        await pilot.press("s")
        await until(pilot, lambda: line(app, 21) == " Save as: 1042-resnet50-sweep-06.log")
        await pilot.press("ctrl+u", "a", "minus", "tab")
        await until(pilot, lambda: line(app, 21) == " Save as: a-folder/")
        await pilot.press("enter")
        await until(pilot, lambda: "Saved as written, 14B: " in line(app, 22))

    assert (tmp_path / "a-folder" / "1042-resnet50-sweep-06.log").read_bytes() == b"\x1b[31mred\x1b[0m\r\n"


async def test_a_file_that_is_there_is_asked_about_and_kept_unless_told_otherwise(
    tmp_path: Path, monkeypatch: MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    target = tmp_path / "1042-resnet50-sweep-06.log"
    target.write_text("precious")
    app = deck(running_on(a_log(tmp_path / "x.log", "new\n")))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await until(pilot, lambda: "following" in line(app, 1))
        for answer, said, held in (("enter", "Not saved.", "precious"), ("r", "Saved as written", "new\n")):
            burst(app, "s\r")
            await until(pilot, lambda: any("This file is there already." in row for row in screen_text(app)))
            assert isinstance(app.screen, ChoiceScreen)
            await pilot.press(answer)
            await until(pilot, lambda said=said: said in line(app, 22))
            assert target.read_text() == held


async def test_what_cannot_be_saved_is_said(tmp_path: Path) -> None:
    app = deck(running_on(a_log(tmp_path / "x.log", "new\n")))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await until(pilot, lambda: "following" in line(app, 1))
        for path in ("/no/such/folder/x", "~nobody-by-that-name/x", "/proc/x", "a\\b" * 500):
            await pilot.press("s", "ctrl+u")
            app.screen.query_one(Input).value = path
            await pilot.press("enter")
            await until(pilot, lambda: "Not saved, nothing left behind: " in line(app, 22))
            app.say("")
        await pilot.press("s", "ctrl+u", *"/proc/x", "enter")
        await until(pilot, lambda: "Not saved, nothing left behind: " in line(app, 22))
        await pilot.press("q")
        await until(pilot, lambda: "Queues" in line(app, 1) and "Not saved" not in line(app, 22))
        assert app.failure is None


async def test_a_deck_that_only_reads_saves_nothing(tmp_path: Path) -> None:
    app = deck(running_on(a_log(tmp_path / "x.log", "new\n")), read_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await until(pilot, lambda: "following" in line(app, 1))
        await pilot.press("s")
        await until(pilot, lambda: "Read only" in line(app, 22))
        assert isinstance(app.focused, LogView)


async def test_tab_in_the_line_is_not_the_other_attempt(tmp_path: Path) -> None:
    first, second = a_log(tmp_path / "1.log", "first try\n"), a_log(tmp_path / "2.log", "second try\n")
    runs = [run(attempt=n, runid=f"r{n}", status="failed", path=path) for n, path in ((1, first), (2, second))]
    app = deck(Answers(log=log_answer(task(status="failed"), *runs)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1048")
        await until(pilot, lambda: "  second try" in screen_text(app))
        await pilot.press("slash", "tab", "s", "slash")
        await until(pilot, lambda: line(app, 21) == " /s/")
        assert "  second try" in screen_text(app)


async def test_a_click_on_the_count_of_new_lines_follows_again(tmp_path: Path) -> None:
    path = a_log(tmp_path / "x.log", "line\n" * 100)
    app = deck(running_on(path))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await until(pilot, lambda: "following" in line(app, 1))
        await pilot.press("k")
        with open(path, "a") as file:
            file.write("new\n")
        await until(pilot, lambda: "1 new line below, f" in line(app, 21))
        await pilot.click("#position")
        await until(pilot, lambda: line(app, 20) == "  new" and "following" in line(app, 1))


async def test_what_became_of_the_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    app = deck(running_on(a_log(path, "line\n" * 100)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await until(pilot, lambda: "following" in line(app, 1))
        path.write_text("anew\n")
        await until(pilot, lambda: "the log was cut and begins anew" in line(app, 22) and line(app, 2) == "  anew")
        path.unlink()
        await until(pilot, lambda: "the file was deleted; what it holds is still here" in line(app, 22))
        assert line(app, 2) == "  anew"


async def test_a_pipe_or_a_folder_in_the_place_of_a_log_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for number, path in enumerate((tmp_path / "fifo", tmp_path)):
        gone = run(status="failed", path=str(path), logs="the end of it\n", log_bytes=14, runid=f"r{number}")
        app = deck(Answers(log=log_answer(task(status="failed"), gone)))
        async with app.run_test(size=(100, 24)) as pilot:
            app.open_log("1049")
            await until(pilot, lambda app=app: "  the end of it" in screen_text(app))
            assert "the file cannot be read (not a file); this is all of it" in screen_text(app)[2]


async def test_a_copy_of_a_long_log_is_its_end_and_says_how_to_have_it_all(
    tmp_path: Path, monkeypatch: MonkeyPatch
) -> None:
    app = deck(running_on(a_log(tmp_path / "x.log", "x" * 99 + "\n" + "夜" * 50_000)))
    async with app.run_test(size=(100, 24)) as pilot:
        for tmux, words in (("", "if the terminal allows it"), ("/tmp/t", "if tmux has set-clipboard on")):
            monkeypatch.setenv("TMUX", tmux) if tmux else monkeypatch.delenv("TMUX", raising=False)
            app.open_log("1042")
            await until(pilot, lambda: "following" in line(app, 2))
            await pilot.press("Y")
            await until(pilot, lambda words=words: f"Copied the end of the log, 72K, {words}; s saves" in line(app, 22))
            await pilot.press("q")
        assert app.clipboard == "夜" * (72 * 1024 // 3)


async def test_a_log_that_is_empty_so_far_says_so(tmp_path: Path) -> None:
    """You should see `Nothing is written yet.` until there is a line, and once the run is over that nothing was written."""
    path = tmp_path / "x.log"
    path.write_text("")
    app = deck(running_on(str(path)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1042")
        await until(pilot, lambda: line(app, 2) == "  Nothing is written yet.")
        app.screen.query_one(LogView).live = False
        await until(pilot, lambda: line(app, 2) == "  Nothing was written.")
        app.screen.query_one(LogView).live = True
        path.write_text("hello\n")
        await until(pilot, lambda: line(app, 2) == "  hello")


@pytest.mark.parametrize("keys", [("slash", "x", "enter"), "w", "s", "f", "e", "n", "y", ("tab",)], ids=lambda keys: keys[0])
async def test_a_key_that_is_about_a_log_says_that_there_is_none(keys: Sequence[str]) -> None:
    row = task(number=1049)
    app = deck(Answers(log=log_answer(row), why=[WHY]))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_log("1049")
        await until(pilot, lambda: shown(app, "has not started, so there is no log. It waits:"))
        await pilot.press(*keys)
        await until(pilot, lambda: line(app, 22).startswith(" #1049 has not started, so there is no log yet."))
        await pilot.press("q")
        assert not shown(app, "so there is no log yet")
