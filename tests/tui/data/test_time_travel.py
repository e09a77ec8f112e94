"""Time travel: requested minutes, the display meanwhile, and the return to the present."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from app.tui.data.time_travel import TimeTravel
from tests.tui import boards
from tests.tui.boards import NOW
from tests.tui.fake_runtime import FakeRuntime, make_deck, read_screen_line, wait_until

MINUTE = NOW - NOW % 60


class PendingTimeTravel:
    """Time travel on a runtime that answers on request, with a count of redraws."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, Any]] = []
        self.said: list[str] = []
        self.drawn = 0
        self.past = TimeTravel(self.ask, self.show, self.said.append, lambda: NOW)

    def ask(self, args: dict[str, Any], then: Any) -> None:
        self.waiting.append((datetime.fromisoformat(args["at"]).timestamp(), then))

    def show(self) -> None:
        self.drawn += 1

    def answer(self, **more: Any) -> float:
        """Answer the only pending request and return its minute."""
        ((at, then),) = self.waiting
        self.waiting = []
        then(make_board_at_answer(at, **more), None)
        return at


def make_board_at_answer(at: float, **more: Any) -> dict[str, Any]:
    """Return the answer of `board.at` for a minute."""
    board = boards.busy()._replace(at=at + 40).as_dict()
    bounds = {"first": MINUTE - 7200, "last": MINUTE - 60, "before": at - 60, "after": at + 60}
    return {"at": at, "board": board, "up": True, "notes": [], **bounds, **more}


@pytest.fixture
def time_travel() -> PendingTimeTravel:
    return PendingTimeTravel()


def test_a_step_back_shows_the_minute_before(time_travel: PendingTimeTravel):
    time_travel.past.step(-1)
    assert time_travel.past.is_active and time_travel.past.board is None

    assert time_travel.answer() == MINUTE - 60

    assert time_travel.past.shown_at == MINUTE - 20
    assert (
        time_travel.past.label == f"AS OF {datetime.fromtimestamp(MINUTE - 60):%H:%M} (−1m)"
        and time_travel.drawn == 2
    )


def test_a_burst_of_steps_requests_only_the_last_minute(time_travel: PendingTimeTravel):
    for _ in range(30):
        time_travel.past.step(-1)

    assert time_travel.answer() == MINUTE - 60
    assert time_travel.past.board is None
    assert time_travel.answer() == MINUTE - 30 * 60
    assert time_travel.past.shown_at == MINUTE - 30 * 60 + 40 and time_travel.waiting == []


def test_a_step_beyond_the_last_minute_returns_to_now(time_travel: PendingTimeTravel):
    time_travel.past.step(-1)
    time_travel.answer()

    time_travel.past.step(1)

    assert (
        not time_travel.past.is_active
        and time_travel.past.board is None
        and time_travel.past.label == ""
    )
    assert time_travel.said == ["The deck is live."]


def test_a_step_forward_from_now_says_so(time_travel: PendingTimeTravel):
    time_travel.past.step(1)

    assert time_travel.said == ["The deck is live."] and time_travel.waiting == []


def test_a_late_answer_is_ignored_after_the_return_to_now(time_travel: PendingTimeTravel):
    time_travel.past.step(-1)

    assert time_travel.past.return_to_live() and not time_travel.past.return_to_live()
    time_travel.answer()

    assert time_travel.past.board is None and not time_travel.past.is_active


def test_one_step_skips_a_time_without_a_runtime(time_travel: PendingTimeTravel):
    time_travel.past.go_to(MINUTE - 3600)
    time_travel.answer(up=False, before=MINUTE - 7000 // 60 * 60, after=MINUTE - 600)

    time_travel.past.step(1)

    assert time_travel.answer() == MINUTE - 600


def test_there_is_nothing_before_the_first_minute(time_travel: PendingTimeTravel):
    time_travel.past.go_to(MINUTE - 7200)
    time_travel.answer(before=None)

    time_travel.past.step(-1)

    assert time_travel.said == ["There are no earlier records."] and time_travel.waiting == []
    assert time_travel.past.shown_at == MINUTE - 7200 + 40


def test_a_step_beyond_the_first_minute_says_so(time_travel: PendingTimeTravel):
    time_travel.past.step(-600)
    ((_, then),) = time_travel.waiting
    then(make_board_at_answer(MINUTE - 7200), None)

    first = f"{datetime.fromtimestamp(MINUTE - 7200):%H:%M}"
    assert time_travel.said == [f"There are no records before {first}."]
    assert time_travel.past.label.startswith(f"AS OF {first}")


def test_a_home_without_history_stays_at_now(time_travel: PendingTimeTravel):
    time_travel.past.step(-1)
    time_travel.answer(board=None)

    assert not time_travel.past.is_active and "No history yet" in time_travel.said[0]


def test_a_failed_request_keeps_the_shown_minute(time_travel: PendingTimeTravel):
    time_travel.past.step(-1)
    time_travel.answer()
    time_travel.past.step(-5)
    ((_, then),) = time_travel.waiting
    then(None, RuntimeError("no luck"))

    assert time_travel.said == ["no luck"] and time_travel.past.label.endswith("(−1m)")


async def test_the_deck_goes_back_refuses_verbs_and_returns():
    answers = FakeRuntime(board_at=lambda args: make_board_at_answer(MINUTE - 660))
    app = make_deck(answers)
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(
            pilot, lambda: "3 Running" in "\n".join(read_screen_line(app, n) for n in range(24))
        )
        await pilot.press("comma")
        await wait_until(pilot, lambda: "AS OF" in read_screen_line(app, 0))
        await pilot.press("p")
        await wait_until(pilot, lambda: "Press 0 to return to live." in read_screen_line(app, 22))
        assert answers.list_args("pause") == []

        await pilot.press("0")
        await wait_until(pilot, lambda: "AS OF" not in read_screen_line(app, 0))


async def test_messages_about_the_past_disappear_on_return():
    app = make_deck(FakeRuntime(board_at=lambda args: make_board_at_answer(MINUTE - 660)))
    app.ticks = lambda: 0.0
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("comma")
        await wait_until(pilot, lambda: "AS OF" in read_screen_line(app, 0))
        await pilot.press("x")
        await wait_until(pilot, lambda: "Press 0 to return to live." in read_screen_line(app, 22))
        await pilot.press("0")
        await wait_until(pilot, lambda: "AS OF" not in read_screen_line(app, 0))
        await wait_until(pilot, lambda: "history" not in read_screen_line(app, 22))


async def test_a_missing_history_is_explained():
    app = make_deck(FakeRuntime(board_at=lambda args: make_board_at_answer(MINUTE, board=None)))
    app.ticks = lambda: 0.0
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("comma")
        await wait_until(pilot, lambda: "No history yet" in read_screen_line(app, 22))


@pytest.mark.parametrize(
    ("counts", "says"),
    [({"running": 0, "queued": 3}, "Nothing ran."), ({}, "Nothing is known to have run.")],
)
async def test_a_past_minute_without_runs_gives_no_advice(counts: dict[str, int], says: str):
    then = make_board_at_answer(MINUTE - 660)
    then["board"] |= {
        "running": [],
        "counts": counts,
        "waiting_total": 3,
        "runtime": {"state": "past"},
    }
    app = make_deck(FakeRuntime(board_at=lambda args: then))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("comma")
        await wait_until(
            pilot, lambda: any(f"{says} 3 waited." in read_screen_line(app, n) for n in range(40))
        )


@pytest.mark.parametrize("pane", ["1", "3"])
async def test_why_is_refused_in_the_past(pane: str):
    app = make_deck(FakeRuntime(board_at=lambda args: make_board_at_answer(MINUTE - 660)))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("comma", pane)
        await wait_until(pilot, lambda: "AS OF" in read_screen_line(app, 0))
        await pilot.press("w")
        await wait_until(
            pilot,
            lambda: (
                "w explains the present, but the deck shows the past." in read_screen_line(app, 22)
            ),
        )
        assert app.screen is app.deck


async def test_the_message_about_now_disappears_in_the_past():
    app = make_deck(FakeRuntime(board_at=lambda args: make_board_at_answer(MINUTE - 660)))
    app.ticks = lambda: 0.0
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(
            pilot, lambda: "3 Running" in "\n".join(read_screen_line(app, n) for n in range(24))
        )
        for now, key, back in (
            ("full_stop", "The deck is live.", "comma"),
            ("escape", "The deck is live again.", "semicolon"),
        ):
            await pilot.press(now)
            await wait_until(pilot, lambda key=key: key in read_screen_line(app, 22))
            await pilot.press(back)
            await wait_until(
                pilot,
                lambda: (
                    "AS OF" in read_screen_line(app, 0) and "to live" in read_screen_line(app, 22)
                ),
            )


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 16)])
async def test_the_deck_shows_a_minute_without_a_runtime(size: tuple[int, int]):
    """Expect a dash for every unknown value."""
    then = make_board_at_answer(
        MINUTE - 660, up=False, notes=["Nothing was recorded for this minute."]
    )
    for queue in then["board"]["queues"]:
        queue |= {"load": None, "waiting": None, "oldest_at": None}
    for pool in then["board"]["pools"]:
        pool |= {
            "used_cpu": None,
            "used_memory": None,
            "measured_cpu": None,
            "measured_memory": None,
        }
    then["board"] |= {"counts": {}, "runtime": {"state": "past"}}
    app = make_deck(FakeRuntime(board_at=lambda args: then))
    async with app.run_test(size=size) as pilot:
        await pilot.press("comma")
        await wait_until(pilot, lambda: app.time_travel.board is not None)
        await pilot.press("1")
        await wait_until(
            pilot, lambda: any("–/2" in read_screen_line(app, n) for n in range(size[1]))
        )
        top = f"{read_screen_line(app, 0)}{read_screen_line(app, 1)}"
        assert size[0] < 80 or "– running, – waiting" in top

        assert app.failure is None
