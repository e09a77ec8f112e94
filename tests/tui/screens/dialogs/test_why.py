"""The popover that says why."""

from __future__ import annotations

from pathlib import Path
from threading import Event

from app.tui.screens.dialogs.why import WhyScreen
from app.tui.screens.task import TaskScreen
from tests.tui.fake_runtime import WHY, Answers, deck, log_answer, run, task, until
from tests.tui.screen_text import screen_text


async def test_a_waiting_task_says_why_with_who_holds_what_and_when_it_may_start() -> None:
    """You should see a box over the deck: state, expected start, two numbered reasons, the holders of pool gpu."""
    app = deck(Answers(show=task(), why=[WHY]))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_why("1049")
        await until(pilot, lambda: any("starts 10:43–10:55" in line for line in screen_text(app)))
        lines = screen_text(app)

        assert any("#1049 resnet50-sweep-08" in line for line in lines)
        assert any("1 needs 12.0G memory of pool gpu" in line for line in lines)
        assert any("held by   #1042 resnet50-sweep-06" in line for line in lines)
        assert any("2 its place is reserved" in line for line in lines)


async def test_a_holder_that_takes_longer_than_it_usually_does_is_late() -> None:
    answers = Answers(show=task(), why=[WHY])
    first, *others = answers.board.running
    answers.board = answers.board._replace(running=(first._replace(left=-300.0), *others))
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_why("1049")
        await until(pilot, lambda: any("#1042 resnet50-sweep-06" in line and "late 5m" in line for line in screen_text(app)[8:]))


async def test_enter_opens_the_task_and_escape_closes() -> None:
    app = deck(Answers(show=task(), why=[WHY]))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_why("1049")
        await until(pilot, lambda: any("1 needs" in line for line in screen_text(app)))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.deck)
        app.open_why("1049")
        await until(pilot, lambda: isinstance(app.screen, WhyScreen))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, TaskScreen))


async def test_an_ended_task_says_how_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("no such file\n")
    one = run(status="failed", reason="exit 3", path=str(path), end_time="2026-11-25T10:40:04.000000Z", run_seconds=3.2)
    row = task(status="failed", reason="exit 3", ended_at="2026-11-25T10:40:04.000000Z", instances=[one])
    app = deck(Answers(show=row, log=log_answer(row, one)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_why("1049")
        await until(pilot, lambda: any("python failed: exit 3" in line for line in screen_text(app)))
        assert any("no such file" in line for line in screen_text(app))


async def test_a_running_task_does_not_wait() -> None:
    one = run(runid="r1042")
    row = task(status="running", instances=[one])
    app = deck(Answers(show=row, log=log_answer(row, one)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_why("1049")
        await until(pilot, lambda: any("It does not wait: it runs." in line for line in screen_text(app)))


async def test_what_cannot_be_asked_is_said_in_the_box() -> None:
    app = deck(Answers())
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_why("77")
        await until(pilot, lambda: any("no answer for show" in line for line in screen_text(app)))
        await pilot.press("q")
        await until(pilot, lambda: app.screen is app.deck)


async def test_the_popover_tells_the_first_cures_and_leaves_doing_them_to_the_screen() -> None:
    """You should see what could help below the reasons; enter opens the task and does nothing else."""
    told: dict[str, object] = {"gain": "it starts at once", "verb": "set", "args": {}, "command": [], "said": "", "undo": [], "object": "",
                               "asks": None, "worth": 0}  # fmt: skip
    answers = Answers(show=task(), why=[{**WHY, "cures": [{**told, "name": f"{n}", "text": f"way {n}"} for n in range(5)]}])
    app = deck(answers)
    async with app.run_test(size=(80, 30)) as pilot:
        app.open_why("1049")
        await until(pilot, lambda: any("way 2" in line and "it starts at once" in line for line in screen_text(app)))
        assert not any("way 3" in line for line in screen_text(app))
        assert any("↵ opens the task" in line for line in screen_text(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, TaskScreen))
        assert answers.asked("set") == []


async def test_the_keys_of_the_popover_stay_in_sight_on_a_small_terminal() -> None:
    app = deck(Answers(show=task(), why=[{**WHY, "reasons": WHY["reasons"] * 6}]))
    async with app.run_test(size=(60, 16)) as pilot:
        app.open_why("1049")
        await until(pilot, lambda: any("1 needs 12.0G" in line for line in screen_text(app)))
        await until(pilot, lambda: any("↵ opens the task  esc closes" in line for line in screen_text(app)))


async def test_a_box_that_is_waited_for_says_so() -> None:
    answered = Event()
    app = deck(Answers(show=lambda _: task() if answered.wait(20) else {}, why=[WHY]))
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_why("1049")
        await until(pilot, lambda: any("loading" in line for line in screen_text(app)))
        answered.set()
        await until(pilot, lambda: any("1 needs" in line for line in screen_text(app)))
        assert not any("loading" in line for line in screen_text(app))
