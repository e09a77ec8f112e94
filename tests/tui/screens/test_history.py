"""History screen: metrics, spans, groups, the cursor, and unknown buckets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from threading import Event
from typing import Any

import pytest
from textual.pilot import Pilot

from app.core import time_buckets
from app.core.text.sanitize import measure_width as cells_of
from app.errors import Remote
from app.tui.app import TaskdeckApp
from app.tui.screens.history import HistoryScreen
from app.tui.style import Look
from app.tui.widgets.table import Table
from tests.tui import boards
from tests.tui.boards import HOSTILE, NOW
from tests.tui.data.test_time_travel import make_board_at_answer
from tests.tui.fake_runtime import FakeRuntime, make_deck, wait_until
from tests.tui.panes.test_queues_and_pools import make_board_with_resources
from tests.tui.screen_text import read_screen_lines, read_screen_text

NAMES = {
    "all": [],
    "queue": ["media", "gpu", "夜间备份"],
    "pool": ["main", "gpu"],
    "template": ["encode", ""],
    "resource": ["gpu", "license.matlab"],
}
SERIES = {
    "throughput": ("started", "ended", "failed"), "waits": ("p50", "p95"), "runs": ("p50", "p95"),
    "failures": ("share",),
    "cpu": ("reserved", "measured"), "memory": ("reserved", "measured"),
    "resources": ("reserved",), "waiting": ("waiting", "running"),
}  # fmt: skip
TOTALS = {
    "throughput": {"started": 812, "ended": 806, "failed": 31},
    "waits": {"count": 812, "p50": 4.2, "p95": 131.0, "most": 3900.0},
    "runs": {"count": 775, "p50": 61.0, "p95": 2400.0, "most": 7300.0},
    "failures": {"ended": 806, "failed": 31, "share": 31 / 806},
    "cpu": {"reserved": 6.1, "measured": 4.4, "most": 7.9, "of": 8.0},
    "memory": {"reserved": 21_000.0, "measured": 17_000.0, "most": None, "of": 32_768.0},
    "resources": {"reserved": 2.5, "most": 4.0, "of": 8},
    "waiting": {"waiting": 14.6, "running": 6.5, "most": 41},
}  # fmt: skip

PLAIN, ASCII = Look(colour=False), Look(ascii=True, utf8=False)


def make_history_answer(
    args: Mapping[str, Any], names: Mapping[str, list[str]] = NAMES, known: bool = True
) -> dict[str, Any]:
    """Return an answer of `history` with a gap in the middle and values around it."""
    span, metric = time_buckets.SPANS[args["span"]], args["metric"]
    begins = [
        n * 60
        for n in time_buckets.BucketFrame.from_last_minute(int(NOW) // 60, span).bucket_starts
    ]
    seen = [known and not 40 <= n < 44 for n in range(span.buckets)]
    line = [
        float(n % 9) / (10 if metric == "failures" else 1) if one else None
        for n, one in enumerate(seen)
    ]
    rows = [
        {"name": name, "series": dict.fromkeys(SERIES[metric], line),
        "total": TOTALS[metric] if known else dict.fromkeys(TOTALS[metric])}
        for name in [None, *names[args["by"]]]
    ]  # fmt: skip
    return {**args, "step": span.minutes * 60, "at": begins, "known": seen, "rows": rows, "more": 0}


@asynccontextmanager
async def open_history_screen(
    answers: FakeRuntime, size: tuple[int, int] = (80, 24), **how: Any
) -> AsyncIterator[tuple[Pilot[Any], TaskdeckApp, HistoryScreen]]:
    """Open the screen from the deck by its digit."""
    app = make_deck(answers, **how)
    async with app.run_test(size=size) as pilot:
        await pilot.press("9")
        await wait_until(
            pilot, lambda: isinstance(app.screen, HistoryScreen) and app.screen._answer
        )
        assert isinstance(app.screen, HistoryScreen)
        yield pilot, app, app.screen


async def test_the_screen_opens_with_the_throughput_of_the_last_day():
    """Expect a chart with a gap, its legend, and a row per queue."""
    answers = FakeRuntime(history=make_history_answer)
    async with open_history_screen(answers) as (pilot, app, _):
        await wait_until(pilot, lambda: "media" in read_screen_text(app))

        shown = read_screen_text(app)
        assert "9 History" in shown and "[Throughput]" in shown and "last day" in shown
        assert "━ started" in shown and "·" in shown and "夜间备份" in shown and "812" in shown
        assert answers.list_args("history") == [
            {"span": "day", "metric": "throughput", "by": "queue", "within": {}}
        ]


async def test_tab_cycles_through_the_metrics():
    answers = FakeRuntime(make_board_with_resources(), history=make_history_answer)
    async with open_history_screen(answers) as (pilot, app, screen):
        for metric in [*SERIES][1:]:
            await pilot.press("tab")
            await wait_until(
                pilot, lambda m=metric: screen._answer and screen._answer["metric"] == m
            )
        assert "14.6" in read_screen_text(app) and "MOST" in read_screen_text(app)
        await pilot.press("shift+tab")
        await wait_until(pilot, lambda: "license.matlab" in read_screen_text(app))
        assert "By resource" in read_screen_text(app) and "[Resources]" in read_screen_text(app)
        await pilot.press("shift+tab")
        await wait_until(
            pilot,
            lambda: (
                "[Memory]" in read_screen_text(app)
                and "16.6G" in read_screen_text(app)
                and "–" in read_screen_text(app)
            ),
        )


async def test_o_cycles_the_spans_and_f_the_groups():
    answers = FakeRuntime(history=make_history_answer)
    async with open_history_screen(answers) as (pilot, app, screen):
        await pilot.press("o")
        await wait_until(
            pilot,
            lambda: "last week" in read_screen_text(app) and "per 2h" in read_screen_text(app),
        )
        await pilot.press("o")
        await wait_until(
            pilot,
            lambda: "last hour" in read_screen_text(app) and "per minute" in read_screen_text(app),
        )
        for by in ("pool", "template", "all", "queue"):
            await pilot.press("f")
            await wait_until(pilot, lambda b=by: screen._answer and screen._answer["by"] == b)


async def test_a_burst_of_keys_ends_with_the_last_request():
    answers = FakeRuntime(history=make_history_answer)
    async with open_history_screen(answers) as (pilot, app, screen):
        await pilot.press("tab", "tab", "o", "f", "tab", "tab")
        await wait_until(
            pilot,
            lambda: (
                screen._answer
                and screen._answer["metric"] == "cpu"
                and screen._answer["by"] == "pool"
            ),
        )

        assert (
            screen._answer and screen._answer["span"] == "week" and "[CPU]" in read_screen_text(app)
        )


async def test_the_arrows_select_a_bucket_and_show_its_figures():
    async with open_history_screen(FakeRuntime(history=make_history_answer)) as (pilot, app, _):
        await pilot.press("left")
        await wait_until(pilot, lambda: "so far" in read_screen_text(app))
        await pilot.press("left", "left")
        await wait_until(
            pilot,
            lambda: (
                "started 3" in read_screen_text(app)
                and "ended 3" in read_screen_text(app)
                and "b the deck then" in read_screen_text(app)
            ),
        )
        await pilot.press(*["ctrl+left"] * 8, *["left"] * 3)
        await wait_until(pilot, lambda: "not known" in read_screen_text(app))
        await pilot.press("escape")
        await wait_until(
            pilot,
            lambda: (
                "looks at a moment" in read_screen_text(app)
                and isinstance(app.screen, HistoryScreen)
            ),
        )


async def test_a_bucket_selected_while_loading_keeps_its_distance_from_the_end():
    read = Event()

    def slowly(args: Mapping[str, Any]) -> dict[str, Any]:
        assert args["span"] == "day" or read.wait(10)
        return make_history_answer(args)

    async with open_history_screen(FakeRuntime(history=slowly)) as (pilot, _, screen):
        await pilot.press("o", "left", "left")
        read.set()
        await wait_until(pilot, lambda: screen._answer and screen._answer["span"] == "week")
        assert screen._moment == time_buckets.SPANS["week"].buckets - 2


async def test_b_shows_the_deck_at_the_selected_time():
    answers = FakeRuntime(
        history=make_history_answer,
        board_at=lambda args: make_board_at_answer(NOW // 60 * 60 - 900),
    )
    async with open_history_screen(answers) as (pilot, app, _):
        await pilot.press("b")
        await wait_until(pilot, lambda: "First choose a moment" in read_screen_text(app))
        await pilot.press("left", "left", "b")
        await wait_until(pilot, lambda: "AS OF" in read_screen_text(app))

        (asked,) = answers.list_args("board.at")
        assert asked["at"].startswith("2026-11-25T10:")


async def test_b_refuses_a_time_without_a_runtime():
    answers = FakeRuntime(
        history=make_young_home_answer,
        board_at=lambda args: make_board_at_answer(NOW // 60 * 60 - 300),
    )
    async with open_history_screen(answers) as (pilot, app, _):
        await wait_until(pilot, lambda: "last 11m" in read_screen_text(app))
        await pilot.press(*["left"] * 12)
        await wait_until(
            pilot,
            lambda: (
                "← → moment" in read_screen_text(app)
                and "b the deck then" not in read_screen_text(app)
            ),
        )
        await pilot.press("b")
        await wait_until(pilot, lambda: "Nothing is known of that moment" in read_screen_text(app))
        assert answers.list_args("board.at") == []


async def test_b_shows_the_first_known_minute_of_a_partial_bucket():
    answers = FakeRuntime(
        history=make_young_home_answer,
        board_at=lambda args: make_board_at_answer(NOW // 60 * 60 - 420),
    )
    async with open_history_screen(answers) as (pilot, app, _):
        await wait_until(pilot, lambda: "last 11m" in read_screen_text(app))
        await pilot.press("o")
        await wait_until(pilot, lambda: "per 15m" in read_screen_text(app))
        await pilot.press("left", "b")
        await wait_until(pilot, lambda: "AS OF" in read_screen_text(app))
        (asked,) = answers.list_args("board.at")
        assert datetime.fromisoformat(asked["at"]).timestamp() == NOW // 60 * 60 - 420


async def test_enter_breaks_down_a_group_and_escape_leaves_it():
    answers = FakeRuntime(history=make_history_answer)
    async with open_history_screen(answers) as (pilot, app, screen):
        await wait_until(pilot, lambda: "media" in read_screen_text(app))
        await pilot.press("j", "j", "enter")
        await wait_until(
            pilot,
            lambda: "encode" in read_screen_text(app) and "(no template)" in read_screen_text(app),
        )
        assert (
            "9 History › queue gpu" in read_screen_text(app)
            and screen.query_one(Table).cursor == "all"
        )
        assert answers.list_args("history")[-1] == {
            "span": "day",
            "metric": "throughput",
            "by": "template",
            "within": {"queue": "gpu"},
        }

        await pilot.press("escape")
        await wait_until(
            pilot,
            lambda: "media" in read_screen_text(app) and "queue gpu" not in read_screen_text(app),
        )
        await pilot.press("escape")
        await wait_until(pilot, lambda: not isinstance(app.screen, HistoryScreen))


async def test_a_metric_unavailable_in_a_group_is_shown_for_all():
    answers = FakeRuntime(history=make_history_answer)
    async with open_history_screen(answers) as (pilot, app, _):
        await wait_until(pilot, lambda: "media" in read_screen_text(app))
        await pilot.press("j", "enter", "tab", "tab", "tab", "tab")
        await wait_until(
            pilot, lambda: "[CPU]" in read_screen_text(app) and "By pool" in read_screen_text(app)
        )

        assert answers.list_args("history")[-1]["within"] == {}


async def test_the_chart_shows_the_cursor_row():
    async with open_history_screen(FakeRuntime(history=make_history_answer)) as (pilot, app, _):
        await wait_until(pilot, lambda: "media" in read_screen_text(app))
        await pilot.press("j")
        await wait_until(pilot, lambda: "last day, media" in read_screen_text(app))


async def test_a_home_without_history_says_so():
    async with open_history_screen(
        FakeRuntime(
            history=lambda args: make_history_answer(args, {by: [] for by in NAMES}, known=False)
        )
    ) as (pilot, app, _):
        await wait_until(
            pilot, lambda: "No data yet. First point in a minute or two." in read_screen_text(app)
        )
        for _ in SERIES:
            await pilot.press("tab")
            await pilot.pause()
        assert app.failure is None


def make_young_home_answer(args: Mapping[str, Any], minutes: int = 7) -> dict[str, Any]:
    """Return the answer of a home first sampled some minutes ago."""
    found = make_history_answer(args)
    since = NOW - minutes * 60
    return found | {
        "since": since,
        "known": [begin + found["step"] > since for begin in found["at"]],
    }


async def test_a_young_home_says_how_much_history_exists():
    answers = FakeRuntime(history=lambda args: make_young_home_answer(args, 3))
    async with open_history_screen(answers) as (pilot, app, _):
        await wait_until(
            pilot,
            lambda: (
                "  3m of history so far; ← → looks at a moment, b shows the deck then."
                in read_screen_text(app)
            ),
        )
        await pilot.press("left")
        await wait_until(
            pilot,
            lambda: "so far" in read_screen_text(app) and "of history" not in read_screen_text(app),
        )


async def test_a_young_home_is_drawn_over_the_time_that_has_data():
    def answer(args: Mapping[str, Any]) -> dict[str, Any]:
        found = make_young_home_answer(args)
        lines = [len(values) for row in found["rows"] for values in row["series"].values()]
        assert set(lines) == {len(found["at"])}
        return found

    answers = FakeRuntime(history=answer)
    async with open_history_screen(answers) as (pilot, app, screen):
        await wait_until(pilot, lambda: "last 11m" in read_screen_text(app))
        assert [args["span"] for args in answers.list_args("history")] == ["day", "hour"]
        await pilot.press("o")
        await wait_until(pilot, lambda: "per 15m, last 2h" in read_screen_text(app))
        assert app.failure is None


async def test_the_screen_announces_its_first_minute():
    app = make_deck(
        FakeRuntime(
            history=lambda args: make_history_answer(args) | {"known": [False] * 96, "since": None}
        )
    )
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_until(pilot, lambda: app.board is not None)
        board = app.board or boards.busy()
        running, none = (
            ("running", NOW - 30, "yet. First point at "),
            ("stopped", None, "yet: no runtime is running."),
        )
        for state, since, says in (running, none):
            app.board = board._replace(runtime=board.runtime._replace(state=state, since=since))
            await pilot.press("9")
            await wait_until(pilot, lambda says=says: f"No data {says}" in read_screen_text(app))
            await pilot.press("q")


async def test_a_failed_read_keeps_the_chart_and_says_why():
    answers = FakeRuntime(history=make_history_answer)
    async with open_history_screen(answers) as (pilot, app, _):
        await wait_until(pilot, lambda: "media" in read_screen_text(app))
        answers.table["history"] = Remote("the disk is on fire")
        await pilot.press("o")
        await wait_until(pilot, lambda: "the disk is on fire" in read_screen_text(app))

        assert "media" in read_screen_text(app) and "812" in read_screen_text(app)


async def test_the_figures_are_reloaded_once_per_minute():
    answers = FakeRuntime(history=make_history_answer)
    async with open_history_screen(answers) as (pilot, app, screen):
        screen.refresh_each_second()
        await pilot.pause()
        assert len(answers.list_args("history")) == 1

        app.now = lambda: NOW + 60
        screen.refresh_each_second()
        await wait_until(pilot, lambda: len(answers.list_args("history")) == 2)


@pytest.mark.parametrize(
    ("size", "look"),
    [((60, 16), ASCII), ((80, 24), PLAIN), ((120, 40), Look()), ((200, 50), ASCII)],
)
async def test_hostile_names_fit_every_terminal(size: tuple[int, int], look: Look):
    names = {by: list(HOSTILE) for by in NAMES}
    async with open_history_screen(
        FakeRuntime(history=lambda args: make_history_answer(args, names)), size, look=look
    ) as (pilot, app, _):
        await wait_until(pilot, lambda: "STARTED" in read_screen_text(app))
        for key in ("left", "j", "j", "tab", "tab", "tab", "tab", "tab", "tab", "o", "f"):
            await pilot.press(key)
        await pilot.pause()

        lines = read_screen_lines(app)
        assert app.failure is None and len(lines) == size[1]
        assert {cells_of(line) for line in lines} <= set(range(size[0] + 1))
        assert not set("\x1b\x9b\x9d\x07\u202e") & set("".join(lines))
        assert not look.ascii or "".join(lines).isascii()


async def test_clicks_select_a_metric_a_bucket_and_a_row():
    async with open_history_screen(FakeRuntime(history=make_history_answer)) as (
        pilot,
        app,
        screen,
    ):
        await wait_until(pilot, lambda: "media" in read_screen_text(app))
        await pilot.click("#metrics", offset=(16, 0))
        await wait_until(pilot, lambda: "[Waits]" in read_screen_text(app))
        await pilot.click("#chart", offset=(40, 3))
        await wait_until(pilot, lambda: screen._moment is not None and 40 < screen._moment < 60)
        await pilot.click("#list", offset=(4, 2))
        await wait_until(pilot, lambda: screen.query_one(Table).cursor == "queue:media")


async def test_the_age_of_the_figures_updates_below_a_dialog():
    answers = FakeRuntime(history=make_history_answer)
    async with open_history_screen(answers) as (pilot, app, screen):
        answers.table["history"] = Remote("no such home")
        screen.reread()
        await wait_until(pilot, lambda: " old" in read_screen_text(app))
        await pilot.press("question_mark")
        await wait_until(pilot, lambda: app.screen is not screen)
        before = screen.table.note
        await wait_until(pilot, lambda: screen.table.note not in (before, ""))
