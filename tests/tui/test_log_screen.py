"""The log screen in the deck: attempts, logs whose file is gone, waiting tasks, search, follow, cancel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.tui.logview import LogView
from app.tui.screens.log import LogScreen
from tests.tui.answers import WHY, Answers, deck, line, log_answer, run, task, until
from tests.tui.screen_text import screen_text


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
