"""Going back in time: what is asked for, what is shown meanwhile, and how one comes back to now."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from app.tui.data.time_travel import Past
from tests.tui import boards
from tests.tui.boards import NOW
from tests.tui.fake_runtime import Answers, deck, line, until

MINUTE = NOW - NOW % 60


class Asked:
    """A runtime that answers when it is told to, and a deck that counts how often it was drawn."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, Any]] = []
        self.said: list[str] = []
        self.drawn = 0
        self.past = Past(self.ask, self.show, self.said.append, lambda: NOW)

    def ask(self, args: dict[str, Any], then: Any) -> None:
        self.waiting.append((datetime.fromisoformat(args["at"]).timestamp(), then))

    def show(self) -> None:
        self.drawn += 1

    def answer(self, **more: Any) -> float:
        """Answer the one question that is under way; the minute it was about."""
        ((at, then),) = self.waiting
        self.waiting = []
        then(answer_at(at, **more), None)
        return at


def answer_at(at: float, **more: Any) -> dict[str, Any]:
    """What `board.at` says of a minute."""
    board = boards.busy()._replace(at=at + 40).as_dict()
    bounds = {"first": MINUTE - 7200, "last": MINUTE - 60, "before": at - 60, "after": at + 60}
    return {"at": at, "board": board, "up": True, "notes": [], **bounds, **more}


@pytest.fixture
def asked() -> Asked:
    return Asked()


def test_a_step_back_shows_the_minute_before(asked: Asked):
    asked.past.step(-1)
    assert asked.past.active and asked.past.board is None

    assert asked.answer() == MINUTE - 60

    assert asked.past.moment == MINUTE - 20
    assert asked.past.label == f"AS OF {datetime.fromtimestamp(MINUTE - 60):%H:%M} (−1m)" and asked.drawn == 2


def test_steps_in_a_burst_ask_for_the_last_minute_only(asked: Asked):
    for _ in range(30):
        asked.past.step(-1)

    assert asked.answer() == MINUTE - 60
    assert asked.past.board is None
    assert asked.answer() == MINUTE - 30 * 60
    assert asked.past.moment == MINUTE - 30 * 60 + 40 and asked.waiting == []


def test_a_step_beyond_the_last_minute_is_now(asked: Asked):
    asked.past.step(-1)
    asked.answer()

    asked.past.step(1)

    assert not asked.past.active and asked.past.board is None and asked.past.label == ""
    assert asked.said == ["This is now."]


def test_a_step_on_from_now_says_that_it_is_now(asked: Asked):
    asked.past.step(1)

    assert asked.said == ["This is now."] and asked.waiting == []


def test_what_comes_after_one_returned_to_now_is_not_shown(asked: Asked):
    asked.past.step(-1)

    assert asked.past.live() and not asked.past.live()
    asked.answer()

    assert asked.past.board is None and not asked.past.active


def test_a_time_without_a_runtime_is_passed_over_in_one_step(asked: Asked):
    asked.past.go(MINUTE - 3600)
    asked.answer(up=False, before=MINUTE - 7000 // 60 * 60, after=MINUTE - 600)

    asked.past.step(1)

    assert asked.answer() == MINUTE - 600


def test_there_is_nothing_before_the_first_minute(asked: Asked):
    asked.past.go(MINUTE - 7200)
    asked.answer(before=None)

    asked.past.step(-1)

    assert asked.said == ["There is nothing before."] and asked.waiting == []
    assert asked.past.moment == MINUTE - 7200 + 40


def test_a_step_beyond_the_first_minute_says_that_it_ends_there(asked: Asked):
    asked.past.step(-600)
    ((_, then),) = asked.waiting
    then(answer_at(MINUTE - 7200), None)

    first = f"{datetime.fromtimestamp(MINUTE - 7200):%H:%M}"
    assert asked.said == [f"There is nothing before {first}, the first minute that was written down."]
    assert asked.past.label.startswith(f"AS OF {first}")


def test_a_home_without_a_past_stays_at_now(asked: Asked):
    asked.past.step(-1)
    asked.answer(board=None)

    assert not asked.past.active and "no past yet" in asked.said[0]


def test_a_question_that_fails_leaves_the_minute_that_is_shown(asked: Asked):
    asked.past.step(-1)
    asked.answer()
    asked.past.step(-5)
    ((_, then),) = asked.waiting
    then(None, RuntimeError("no luck"))

    assert asked.said == ["no luck"] and asked.past.label.endswith("(−1m)")


async def test_the_deck_goes_back_refuses_verbs_there_and_returns():
    answers = Answers(board_at=lambda args: answer_at(MINUTE - 660))
    app = deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "3 Running" in "\n".join(line(app, n) for n in range(24)))
        await pilot.press("comma")
        await until(pilot, lambda: "AS OF" in line(app, 0))
        await pilot.press("p")
        await until(pilot, lambda: "This is the past: 0 returns to now." in line(app, 22))
        assert answers.asked("pause") == []

        await pilot.press("0")
        await until(pilot, lambda: "AS OF" not in line(app, 0))


async def test_what_was_said_of_the_past_goes_with_it():
    app = deck(Answers(board_at=lambda args: answer_at(MINUTE - 660)))
    app.ticks = lambda: 0.0
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("comma")
        await until(pilot, lambda: "AS OF" in line(app, 0))
        await pilot.press("x")
        await until(pilot, lambda: "This is the past: 0 returns to now." in line(app, 22))
        await pilot.press("0")
        await until(pilot, lambda: "AS OF" not in line(app, 0))
        await until(pilot, lambda: "past" not in line(app, 22))


async def test_why_there_is_no_past_is_said_at_now():
    app = deck(Answers(board_at=lambda args: answer_at(MINUTE, board=None)))
    app.ticks = lambda: 0.0
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("comma")
        await until(pilot, lambda: "There is no past yet" in line(app, 22))


@pytest.mark.parametrize(("counts", "says"), [({"running": 0, "queued": 3}, "Nothing ran."), ({}, "Nothing is known to have run.")])
async def test_of_a_minute_in_which_nothing_ran_no_advice_of_now_is_given(counts: dict[str, int], says: str):
    then = answer_at(MINUTE - 660)
    then["board"] |= {"running": [], "counts": counts, "waiting_total": 3, "runtime": {"state": "past"}}
    app = deck(Answers(board_at=lambda args: then))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("comma")
        await until(pilot, lambda: any(f"{says} 3 waited." in line(app, n) for n in range(40)))


@pytest.mark.parametrize("pane", ["1", "3"])
async def test_why_it_is_so_now_is_not_told_under_another_time(pane: str):
    app = deck(Answers(board_at=lambda args: answer_at(MINUTE - 660)))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("comma", pane)
        await until(pilot, lambda: "AS OF" in line(app, 0))
        await pilot.press("w")
        await until(pilot, lambda: "w tells why it is so now, and this is the past: 0 returns to now." in line(app, 22))
        assert app.screen is app.deck


async def test_that_it_is_now_is_not_said_over_the_past():
    app = deck(Answers(board_at=lambda args: answer_at(MINUTE - 660)))
    app.ticks = lambda: 0.0
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "3 Running" in "\n".join(line(app, n) for n in range(24)))
        for now, key, back in (("full_stop", "This is now.", "comma"), ("escape", "This is now again.", "semicolon")):
            await pilot.press(now)
            await until(pilot, lambda key=key: key in line(app, 22))
            await pilot.press(back)
            await until(pilot, lambda: "AS OF" in line(app, 0) and "0 returns to now" in line(app, 22))


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 16)])
async def test_the_deck_shows_a_minute_in_which_no_runtime_was_up(size: tuple[int, int]):
    """You should see a dash for what nobody knows."""
    then = answer_at(MINUTE - 660, up=False, notes=["Nothing was written down for this minute."])
    for queue in then["board"]["queues"]:
        queue |= {"load": None, "waiting": None, "oldest_at": None}
    for pool in then["board"]["pools"]:
        pool |= {"used_cpu": None, "used_memory": None, "measured_cpu": None, "measured_memory": None}
    then["board"] |= {"counts": {}, "runtime": {"state": "past"}}
    app = deck(Answers(board_at=lambda args: then))
    async with app.run_test(size=size) as pilot:
        await pilot.press("comma")
        await until(pilot, lambda: app.past.board is not None)
        await pilot.press("1")
        await until(pilot, lambda: any("–/2" in line(app, n) for n in range(size[1])))
        top = f"{line(app, 0)}{line(app, 1)}"
        assert size[0] < 80 or "– running – waiting" in top

        assert app.failure is None
