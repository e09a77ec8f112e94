"""The history screen: metrics, spans, groups, the moment under the cursor, and what is not known."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from threading import Event
from typing import Any

import pytest
from textual.pilot import Pilot

from app.core import time_buckets
from app.core.text.sanitize import width as cells_of
from app.errors import Remote
from app.tui.app import TaskdeckApp
from app.tui.screens.history import HistoryScreen
from app.tui.style import Look
from app.tui.widgets.table import Table
from tests.tui import boards
from tests.tui.boards import HOSTILE, NOW
from tests.tui.data.test_time_travel import answer_at
from tests.tui.fake_runtime import Answers, deck, until
from tests.tui.screen_text import screen_text

NAMES = {"all": [], "queue": ["media", "gpu", "夜间备份"], "pool": ["main", "gpu"], "template": ["encode", ""]}
SERIES = {
    "throughput": ("started", "ended", "failed"), "waits": ("p50", "p95"), "runs": ("p50", "p95"), "failures": ("share",),
    "cpu": ("reserved", "measured"), "memory": ("reserved", "measured"), "waiting": ("waiting", "running"),
}  # fmt: skip
TOTALS = {
    "throughput": {"started": 812, "ended": 806, "failed": 31}, "waits": {"count": 812, "p50": 4.2, "p95": 131.0, "most": 3900.0},
    "runs": {"count": 775, "p50": 61.0, "p95": 2400.0, "most": 7300.0}, "failures": {"ended": 806, "failed": 31, "share": 31 / 806},
    "cpu": {"reserved": 6.1, "measured": 4.4, "most": 7.9, "of": 8.0},
    "memory": {"reserved": 21_000.0, "measured": 17_000.0, "most": None, "of": 32_768.0},
    "waiting": {"waiting": 14.6, "running": 6.5, "most": 41},
}  # fmt: skip

PLAIN, ASCII = Look(colour=False), Look(ascii=True, utf8=False)


def answer(args: Mapping[str, Any], names: Mapping[str, list[str]] = NAMES, known: bool = True) -> dict[str, Any]:
    """What `history` says: a gap in the middle, a figure for every bucket around it."""
    span, metric = time_buckets.SPANS[args["span"]], args["metric"]
    begins = [n * 60 for n in time_buckets.Frame.ending(int(NOW) // 60, span).begins]
    seen = [known and not 40 <= n < 44 for n in range(span.buckets)]
    line = [float(n % 9) / (10 if metric == "failures" else 1) if one else None for n, one in enumerate(seen)]
    rows = [
        {"name": name, "series": dict.fromkeys(SERIES[metric], line), "total": TOTALS[metric] if known else dict.fromkeys(TOTALS[metric])}
        for name in [None, *names[args["by"]]]
    ]  # fmt: skip
    return {**args, "step": span.minutes * 60, "at": begins, "known": seen, "rows": rows, "more": 0}


@asynccontextmanager
async def opened(
    answers: Answers, size: tuple[int, int] = (80, 24), **how: Any
) -> AsyncIterator[tuple[Pilot[Any], TaskdeckApp, HistoryScreen]]:
    """The screen, opened from the deck by its digit."""
    app = deck(answers, **how)
    async with app.run_test(size=size) as pilot:
        await pilot.press("9")
        await until(pilot, lambda: isinstance(app.screen, HistoryScreen) and app.screen._answer)
        assert isinstance(app.screen, HistoryScreen)
        yield pilot, app, app.screen


def text(app: TaskdeckApp) -> str:
    return "\n".join(screen_text(app))


async def test_the_screen_opens_with_what_began_and_ended_in_the_last_day():
    """You should see a chart with a gap, its legend, and a row for each queue."""
    answers = Answers(history=answer)
    async with opened(answers) as (pilot, app, _):
        await until(pilot, lambda: "media" in text(app))

        shown = text(app)
        assert "9 History" in shown and "[Throughput]" in shown and "last day" in shown
        assert "━ started" in shown and "·" in shown and "夜间备份" in shown and "812" in shown
        assert answers.asked("history") == [{"span": "day", "metric": "throughput", "by": "queue", "within": {}}]


async def test_tab_goes_through_every_metric_and_back():
    answers = Answers(history=answer)
    async with opened(answers) as (pilot, app, screen):
        for metric in [*SERIES][1:]:
            await pilot.press("tab")
            await until(pilot, lambda m=metric: screen._answer and screen._answer["metric"] == m)
        assert "14.6" in text(app) and "MOST" in text(app)
        await pilot.press("shift+tab")
        await until(pilot, lambda: "[Memory]" in text(app) and "16.6G" in text(app) and "–" in text(app))


async def test_o_goes_through_the_spans_and_f_through_the_groups():
    answers = Answers(history=answer)
    async with opened(answers) as (pilot, app, screen):
        await pilot.press("o")
        await until(pilot, lambda: "last week" in text(app) and "per 2h" in text(app))
        await pilot.press("o")
        await until(pilot, lambda: "last hour" in text(app) and "per minute" in text(app))
        for by in ("pool", "template", "all", "queue"):
            await pilot.press("f")
            await until(pilot, lambda b=by: screen._answer and screen._answer["by"] == b)


async def test_keys_in_a_burst_end_with_what_was_asked_for_last():
    answers = Answers(history=answer)
    async with opened(answers) as (pilot, app, screen):
        await pilot.press("tab", "tab", "o", "f", "tab", "tab")
        await until(pilot, lambda: screen._answer and screen._answer["metric"] == "cpu" and screen._answer["by"] == "pool")

        assert screen._answer and screen._answer["span"] == "week" and "[CPU]" in text(app)


async def test_the_arrows_look_at_a_moment_and_its_figures_are_told():
    async with opened(Answers(history=answer)) as (pilot, app, _):
        await pilot.press("left")
        await until(pilot, lambda: "so far" in text(app))
        await pilot.press("left", "left")
        await until(pilot, lambda: "started 3" in text(app) and "ended 3" in text(app) and "b the deck then" in text(app))
        await pilot.press(*["ctrl+left"] * 8, *["left"] * 3)
        await until(pilot, lambda: "not known" in text(app))
        await pilot.press("escape")
        await until(pilot, lambda: "looks at a moment" in text(app) and isinstance(app.screen, HistoryScreen))


async def test_a_moment_chosen_before_the_figures_of_a_span_with_fewer_are_there_is_as_far_from_the_end():
    read = Event()

    def slowly(args: Mapping[str, Any]) -> dict[str, Any]:
        assert args["span"] == "day" or read.wait(10)
        return answer(args)

    async with opened(Answers(history=slowly)) as (pilot, _, screen):
        await pilot.press("o", "left", "left")
        read.set()
        await until(pilot, lambda: screen._answer and screen._answer["span"] == "week")
        assert screen._moment == time_buckets.SPANS["week"].buckets - 2


async def test_b_shows_the_deck_as_of_the_moment():
    answers = Answers(history=answer, board_at=lambda args: answer_at(NOW // 60 * 60 - 900))
    async with opened(answers) as (pilot, app, _):
        await pilot.press("b")
        await until(pilot, lambda: "First choose a moment" in text(app))
        await pilot.press("left", "left", "b")
        await until(pilot, lambda: "AS OF" in text(app))

        (asked,) = answers.asked("board.at")
        assert asked["at"].startswith("2026-11-25T10:")


async def test_b_shows_no_deck_of_a_moment_that_no_runtime_saw():
    answers = Answers(history=young, board_at=lambda args: answer_at(NOW // 60 * 60 - 300))
    async with opened(answers) as (pilot, app, _):
        await pilot.press("left", "left", "left")
        await until(pilot, lambda: "← → moment" in text(app) and "b the deck then" not in text(app))
        await pilot.press("b")
        await until(pilot, lambda: "Nothing is known of that moment: no runtime was up." in text(app))
        assert answers.asked("board.at") == []


async def test_b_shows_the_first_minute_there_is_where_the_moment_began_before_it():
    answers = Answers(history=young, board_at=lambda args: answer_at(NOW // 60 * 60 - 420))
    async with opened(answers) as (pilot, app, _):
        await pilot.press("left", "b")
        await until(pilot, lambda: "AS OF" in text(app))
        (asked,) = answers.asked("board.at")
        assert datetime.fromisoformat(asked["at"]).timestamp() == NOW // 60 * 60 - 420


async def test_enter_tells_a_group_apart_and_escape_leaves_it():
    answers = Answers(history=answer)
    async with opened(answers) as (pilot, app, screen):
        await until(pilot, lambda: "media" in text(app))
        await pilot.press("j", "j", "enter")
        await until(pilot, lambda: "encode" in text(app) and "(no template)" in text(app))
        assert "9 History › queue gpu" in text(app) and screen.query_one(Table).cursor == "all"
        assert answers.asked("history")[-1] == {"span": "day", "metric": "throughput", "by": "template", "within": {"queue": "gpu"}}

        await pilot.press("escape")
        await until(pilot, lambda: "media" in text(app) and "queue gpu" not in text(app))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, HistoryScreen))


async def test_a_metric_that_is_not_known_within_a_group_is_shown_of_all():
    answers = Answers(history=answer)
    async with opened(answers) as (pilot, app, _):
        await until(pilot, lambda: "media" in text(app))
        await pilot.press("j", "enter", "tab", "tab", "tab", "tab")
        await until(pilot, lambda: "[CPU]" in text(app) and "By pool" in text(app))

        assert answers.asked("history")[-1]["within"] == {}


async def test_the_chart_is_of_the_row_under_the_cursor():
    async with opened(Answers(history=answer)) as (pilot, app, _):
        await until(pilot, lambda: "media" in text(app))
        await pilot.press("j")
        await until(pilot, lambda: "last day, media" in text(app))


async def test_a_home_without_a_past_says_so():
    async with opened(Answers(history=lambda args: answer(args, {by: [] for by in NAMES}, known=False))) as (pilot, app, _):
        await until(pilot, lambda: "No minute has been sampled yet; the first shows in a minute or two." in text(app))
        for _ in SERIES:
            await pilot.press("tab")
            await pilot.pause()
        assert app.failure is None


def young(args: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a home whose first minute was sampled seven minutes ago, in which something ended before."""
    found = answer(args)
    since = NOW - 7 * 60
    return found | {"since": since, "known": [begin + found["step"] > since for begin in found["at"]]}


async def test_a_young_home_says_how_much_of_history_there_is():
    async with opened(Answers(history=young)) as (pilot, app, _):
        await until(pilot, lambda: "  7m of history so far; ← → looks at a moment, b shows the deck then." in text(app))
        await pilot.press("left")
        await until(pilot, lambda: "so far" in text(app) and "of history" not in text(app))


async def test_before_its_first_minute_it_says_when_that_shows_also_when_something_was_done():
    app = deck(Answers(history=lambda args: answer(args) | {"known": [False] * 96, "since": None}))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.board is not None)
        board = app.board or boards.busy()
        running, none = ("running", NOW - 30, "yet; the first shows at "), ("stopped", None, "yet: a runtime does that, and none is up.")
        for state, since, says in (running, none):
            app.board = board._replace(runtime=board.runtime._replace(state=state, since=since))
            await pilot.press("9")
            await until(pilot, lambda says=says: f"No minute has been sampled {says}" in text(app))
            await pilot.press("q")


async def test_a_reading_that_fails_keeps_what_is_shown_and_says_why():
    answers = Answers(history=answer)
    async with opened(answers) as (pilot, app, _):
        await until(pilot, lambda: "media" in text(app))
        answers.table["history"] = Remote("the disk is on fire")
        await pilot.press("o")
        await until(pilot, lambda: "the disk is on fire" in text(app))

        assert "media" in text(app) and "812" in text(app)


async def test_the_figures_are_read_again_when_a_minute_is_over_and_not_before():
    answers = Answers(history=answer)
    async with opened(answers) as (pilot, app, screen):
        screen.every_second()
        await pilot.pause()
        assert len(answers.asked("history")) == 1

        app.now = lambda: NOW + 60
        screen.every_second()
        await until(pilot, lambda: len(answers.asked("history")) == 2)


@pytest.mark.parametrize(
    ("size", "look"),
    [((60, 16), ASCII), ((80, 24), PLAIN), ((120, 40), Look()), ((200, 50), ASCII)],
)
async def test_it_fits_every_terminal_with_hostile_names_in_it(size: tuple[int, int], look: Look):
    names = {by: list(HOSTILE) for by in NAMES}
    async with opened(Answers(history=lambda args: answer(args, names)), size, look=look) as (pilot, app, _):
        await until(pilot, lambda: "STARTED" in text(app))
        for key in ("left", "j", "j", "tab", "tab", "tab", "tab", "tab", "tab", "o", "f"):
            await pilot.press(key)
        await pilot.pause()

        lines = screen_text(app)
        assert app.failure is None and len(lines) == size[1]
        assert {cells_of(line) for line in lines} <= set(range(size[0] + 1))
        assert not set("\x1b\x9b\x9d\x07\u202e") & set("".join(lines))
        assert not look.ascii or "".join(lines).isascii()


async def test_clicks_choose_a_metric_a_moment_and_a_row():
    async with opened(Answers(history=answer)) as (pilot, app, screen):
        await until(pilot, lambda: "media" in text(app))
        await pilot.click("#metrics", offset=(16, 0))
        await until(pilot, lambda: "[Waits]" in text(app))
        await pilot.click("#chart", offset=(40, 3))
        await until(pilot, lambda: screen._moment is not None and 40 < screen._moment < 60)
        await pilot.click("#list", offset=(4, 2))
        await until(pilot, lambda: screen.query_one(Table).cursor == "queue:media")


async def test_how_old_the_figures_are_goes_on_below_a_box():
    answers = Answers(history=answer)
    async with opened(answers) as (pilot, app, screen):
        answers.table["history"] = Remote("no such home")
        screen.reread()
        await until(pilot, lambda: " old" in text(app))
        await pilot.press("question_mark")
        await until(pilot, lambda: app.screen is not screen)
        before = screen.table.note
        await until(pilot, lambda: screen.table.note not in (before, ""))
