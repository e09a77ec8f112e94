"""Schedules screen: list, timeline, page of a schedule, form, and the actions on schedules."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import NotFound
from app.tui.app import TaskdeckApp
from app.tui.data.schedule_rows import FireEntry, Timeline, make_schedule
from app.tui.rows.schedules import (
    DAY,
    WEEK,
    TimelineCell,
    format_axis,
    format_countdown,
    format_next,
    format_strip,
    make_range,
)
from app.tui.screens.definitions.schedule import ScheduleScreen
from app.tui.screens.definitions.schedule_form import ScheduleForm
from app.tui.screens.definitions.schedules import SchedulesScreen
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.screens.tasks.task import TaskScreen
from app.tui.style import Look
from app.tui.time_format import format_fire_time
from tests.acceptance.hostile_text import ALL_TEXT
from tests.tui import boards, fake_home
from tests.tui.boards import NOW
from tests.tui.fake_runtime import FakeRuntime, make_deck, wait_until
from tests.tui.hostile_home import LONG_NAME, NAME
from tests.tui.screen_text import is_shown, read_screen_lines, read_screen_text
from tests.tui.screens.tasks.test_task import find_control_characters

HOUR = 3600.0
SIZES = ((120, 40), (200, 50), (60, 16), (40, 10), (80, 24))


@pytest.fixture
def runtime(tmp_path: Any) -> FakeRuntime:
    """Return a busy home whose changes of schedules succeed."""
    done: dict[str, Any] = {verb: {"name": "x"} for verb in ("schedule_pause", "schedule_resume")}
    done["schedule_rm"] = {"name": "x", "operations": [7]}
    done["undo"] = {"done": [{"text": "remove schedule thumbs"}], "refused": [], "notes": []}
    done |= {"schedule_set": {}, "schedule_create": {}}
    run = {"schedule_run": {"name": "x", "number": 1063, "uuid": ""}}
    runtime = fake_home.make_busy_home(tmp_path, **done, **run)
    runtime.table["schedule.skip_next"] = {"name": "x"}
    return runtime


async def open_schedules(pilot: Any, app: TaskdeckApp, text: str = "thumbs") -> SchedulesScreen:
    await pilot.press("8")
    await wait_until(pilot, lambda: is_shown(app, text))
    assert isinstance(app.screen, SchedulesScreen)
    return app.screen


def list_names(screen: SchedulesScreen) -> list[str]:
    return [row.name for row in screen.table.find_view("schedules").rows]


# --- list


async def test_what_fires_next_is_listed_first(runtime: FakeRuntime):
    app = make_deck(runtime)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await open_schedules(pilot, app)

        assert list_names(screen)[:3] == ["thumbs", "nightly-etl", "夜间备份"]
        assert sorted(list_names(screen)[3:]) == ["move-to-rack-4", "report", "warm-cache"]
        shown = read_screen_text(app)
        assert "tomorrow 02:00" in shown and "at 02:00 every day" in shown
        assert "✗m✓●" in shown and "paused" in shown and "at boot" in shown


async def test_the_order_can_be_changed(runtime: FakeRuntime):
    app = make_deck(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_schedules(pilot, app)
        await pilot.press("o", "a")
        await wait_until(pilot, lambda: list_names(screen)[0] == "move-to-rack-4")


async def test_the_filter_knows_states_and_last_outcomes(runtime: FakeRuntime):
    app = make_deck(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_schedules(pilot, app)
        await pilot.press("slash", *"status:paused", "enter")
        await wait_until(pilot, lambda: list_names(screen) == ["report"])
        screen.filter_by("last:refused")
        assert list_names(screen) == ["warm-cache"]


async def test_a_home_without_schedules_says_how_to_make_one():
    app = make_deck(fake_home.make_empty_home())
    async with app.run_test(size=(80, 24)) as pilot:
        await open_schedules(pilot, app, "No schedules yet")
        await pilot.press("p")
        await wait_until(pilot, lambda: is_shown(app, "No schedule is under the cursor"))


async def test_the_countdown_ticks(runtime: FakeRuntime):
    app = make_deck(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_schedules(pilot, app)
        assert is_shown(app, "7m53s")
        app.now = lambda: NOW + 5
        screen.refresh_each_second()
        await wait_until(pilot, lambda: is_shown(app, "7m48s"))


async def test_a_due_schedule_is_read_again(runtime: FakeRuntime):
    app = make_deck(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_schedules(pilot, app)
        before = len(runtime.list_args("schedule.ls"))
        app.now = lambda: NOW + 600
        screen.refresh_each_second()
        await wait_until(pilot, lambda: len(runtime.list_args("schedule.ls")) > before)


async def test_many_schedules_are_read_less_often(tmp_path: Any):
    rows = [fake_home.make_schedule_row(f"s{n:04}") for n in range(1001)]
    app = make_deck(fake_home.make_busy_home(tmp_path, schedule_ls=rows))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_schedules(pilot, app, "8 Schedules 1,001")
        assert screen.reread_interval == 10.0
        await pilot.press("t", "G")
        await wait_until(pilot, lambda: is_shown(app, "s1000"))


def make_hostile_rows(count: int) -> list[dict[str, Any]]:
    names = [NAME, LONG_NAME, *(f"{n:03}-" + LONG_NAME[: 9 * n] for n in range(count - 2))]
    rows = [
        fake_home.make_schedule_row(
            name, task={"argv": [ALL_TEXT, LONG_NAME]}, description=ALL_TEXT, words=ALL_TEXT[:400],
            next_fire=fake_home.format_timestamp(-60.0 * n - 7), cwd=ALL_TEXT,
            fires=[fake_home._make_fire(60, "refused", reason=ALL_TEXT)], exclude=[NAME],
            status_by=ALL_TEXT, zone="No/Where",
        )
        for n, name in enumerate(names[:count])
    ]  # fmt: skip
    return rows


@pytest.mark.parametrize(
    "look", [Look(), Look(ascii=True, colour=False, utf8=False), Look(plain=True, ascii=True)]
)
@pytest.mark.parametrize("count", [30])
async def test_hostile_and_long_names_fit_any_size(count: int, look: Look, tmp_path: Any):
    rows = make_hostile_rows(count)
    timelines = [{"name": row["name"], "fires": [], "upcoming": []} for row in rows]
    shown = {**rows[0], "upcoming": []}
    answers = {"schedule_ls": rows, "schedule_show": shown, "schedule_timeline": timelines}
    app = make_deck(fake_home.make_busy_home(tmp_path, **answers), look=look)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_schedules(pilot, app, f"8 Schedules {count}")
        for keys in ((), ("t",), ("t",), ("enter",)):
            await pilot.press(*keys)
            for width, height in SIZES:
                await pilot.resize_terminal(width, height)
                await wait_until(pilot, lambda h=height: len(read_screen_lines(app)) == h)
                assert find_control_characters(app) == []
                assert look.utf8 or read_screen_text(app).isascii()
        assert isinstance(app.screen, ScheduleScreen) and len(screen.rows) == count


def test_next_is_the_time_with_the_jitter():
    row = make_schedule(fake_home.SCHEDULES[2] | {"zone": "UTC"})
    assert row.facts["jitter"] and row.due_at is not None and row.next_at is not None

    later = make_schedule({**row.facts, "next_fire": row.facts["due_at"]})
    assert format_next(row, NOW) == format_next(later, NOW)


# --- timeline


async def test_t_shows_a_day_then_a_week_then_the_list(runtime: FakeRuntime):
    app = make_deck(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_schedules(pilot, app)
        await pilot.press("t")
        await wait_until(pilot, lambda: is_shown(app, "12") and is_shown(app, "│"))
        await wait_until(pilot, lambda: is_shown(app, "□□□□□□"))
        await pilot.press("t")
        await wait_until(pilot, lambda: is_shown(app, "Thu 26"))
        await wait_until(pilot, lambda: len(runtime.list_args("schedule.timeline")) > 1)
        await pilot.press("t")
        await wait_until(pilot, lambda: is_shown(app, "FIRES"))

        assert screen.view == ""
        asked = runtime.list_args("schedule.timeline")
        assert {round(args["cells"] * args["step"] / HOUR) for args in asked} == {24, 7 * 24}
        assert set(asked[0]["names"]) == {row["name"] for row in fake_home.SCHEDULES}


async def test_keys_act_on_the_row_of_a_timeline(runtime: FakeRuntime):
    app = make_deck(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_schedules(pilot, app)
        await pilot.press("t", "j", "p")
        await wait_until(pilot, lambda: runtime.list_args("schedule.pause"))
        assert runtime.list_args("schedule.pause") == [{"name": "nightly-etl"}]


def draw(timeline: Timeline, look: Look | None = None, delay: float = 0.0) -> str:
    """Draw a day of 24 cells, one an hour, of which 4 are over."""
    look = look or Look()
    shown = make_range(DAY, NOW, 80)._replace(step=HOUR, cells=24)
    return TimelineCell(timeline, shown, shown.find_cell(NOW), delay).draw(look, 24)


def make_fire(hours: float, took: float | None = None, **values: Any) -> FireEntry:
    begin = shown_since() + hours * HOUR
    end = None if took is None else begin + took * HOUR
    given = {"outcome": "submitted", "status": "succeeded", "number": 1, "started_at": begin}
    return FireEntry(begin, ended_at=end, **(given | values))


def shown_since() -> float:
    return make_range(DAY, NOW, 80).since


def test_a_run_is_as_long_as_it_took_or_usually_takes():
    coming = (shown_since() + 10 * HOUR, shown_since() + 23 * HOUR)
    timeline = Timeline((make_fire(0, 2), make_fire(3, 0.1)), coming, 2 * HOUR)

    assert draw(timeline) == "■■ ■│     □□           □"
    assert draw(timeline, Look(ascii=True)) == "## #|     ==           ="


def test_the_jitter_delays_the_runs_to_come():
    assert draw(Timeline((), (shown_since() + 10 * HOUR,)), delay=2 * HOUR).strip("│ ") == "□"
    assert draw(Timeline((), (shown_since() + 10 * HOUR,)), delay=2 * HOUR)[12] == "□"


def test_a_running_run_reaches_now_and_the_rest_is_expected():
    assert draw(Timeline((make_fire(2),), (), 6 * HOUR)).rstrip() == "  ■■│□□□"


def test_a_fire_time_without_a_task_shows_its_outcome():
    skipped = make_fire(1, outcome="skipped", started_at=None)
    refused = make_fire(2, outcome="refused", started_at=None)

    assert draw(Timeline((skipped, refused))).rstrip() == " -! │"


def test_a_plain_look_lists_the_times():
    text = draw(Timeline((), (shown_since() + 6 * HOUR,)), Look(plain=True, ascii=True))

    assert text == "12:00"


@pytest.mark.parametrize(("scale", "label"), [(DAY, "06"), (WEEK, "Tue 24")])
@pytest.mark.parametrize("width", [40, 60, 80, 120, 200, 1000])
def test_the_axis_has_the_width_of_the_cells(scale: str, label: str, width: int):
    shown = make_range(scale, NOW, width)
    axis = format_axis(shown, Look())

    assert len(axis) == shown.cells and axis.startswith(label)


# --- actions


async def test_pause_and_resume_can_be_undone(runtime: FakeRuntime):
    app = make_deck(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_schedules(pilot, app)
        await pilot.press("p")
        await wait_until(pilot, lambda: is_shown(app, "Paused schedule thumbs.  u undo"))
        await pilot.press("u")
        await wait_until(pilot, lambda: runtime.list_args("schedule.resume"))
        await pilot.press("slash", *"report", "enter", "p")
        await wait_until(pilot, lambda: is_shown(app, "Resumed schedule report.  u undo"))


async def test_an_ended_schedule_cannot_be_paused(runtime: FakeRuntime):
    app = make_deck(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_schedules(pilot, app)
        await pilot.press("slash", *"rack", "enter", "p")
        await wait_until(pilot, lambda: is_shown(app, "has ended: no fire time follows"))
        await pilot.press("s")
        await wait_until(pilot, lambda: is_shown(app, "has no next fire time to skip"))
        assert not runtime.list_args("schedule.pause")


async def test_run_now_and_skip_name_the_schedule(runtime: FakeRuntime):
    app = make_deck(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_schedules(pilot, app)
        await pilot.press("r")
        await wait_until(pilot, lambda: is_shown(app, "Submitted a task of thumbs: #1063."))
        await pilot.press("s")
        await wait_until(pilot, lambda: is_shown(app, "Skips today 10:50 of thumbs.  u undo"))
        await pilot.press("u")
        await wait_until(pilot, lambda: runtime.list_args("undo") != [])


async def test_several_schedules_run_after_a_question(runtime: FakeRuntime):
    app = make_deck(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_schedules(pilot, app)
        await pilot.press("space", "space", "r")
        await wait_until(pilot, lambda: is_shown(app, "Run 2 schedules now?"))
        await pilot.pause(0.4)
        await pilot.press("y")
        await wait_until(pilot, lambda: len(runtime.list_args("schedule.run")) == 2)


@pytest.mark.parametrize("key", ["x", "D"])
async def test_removal_asks_first(runtime: FakeRuntime, key: str):
    app = make_deck(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_schedules(pilot, app)
        await pilot.press(key)
        await wait_until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        assert is_shown(app, "u restores the schedule without the record")
        await pilot.press("escape", key)
        await wait_until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        assert not runtime.list_args("schedule.rm")
        await pilot.press("left", "enter")
        await wait_until(pilot, lambda: runtime.list_args("schedule.rm") == [{"name": "thumbs"}])
        await wait_until(pilot, lambda: is_shown(app, "Removed schedule thumbs.  u undo"))
        await pilot.press("u")
        await wait_until(pilot, lambda: runtime.list_args("undo") == [{"ids": [7]}])


@pytest.mark.parametrize("key", ["n", "e", "p", "r", "s", "x"])
async def test_a_read_only_deck_changes_nothing(runtime: FakeRuntime, key: str):
    app = make_deck(runtime, read_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await open_schedules(pilot, app)
        await pilot.press(key)
        await wait_until(pilot, lambda: is_shown(app, "Read only: this deck changes nothing"))
        assert app.screen is screen


# --- deck


async def test_keys_on_a_coming_fire_time_act_on_its_schedule(runtime: FakeRuntime):
    runtime.board = boards.scheduled()
    app = make_deck(runtime)
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_until(pilot, lambda: is_shown(app, "schedule: every 10m"))
        await pilot.press("W", "j", "j")
        await wait_until(pilot, lambda: is_shown(app, "p pause schedule"))
        await pilot.press("x")
        await wait_until(pilot, lambda: is_shown(app, "Nothing to cancel here"))
        await pilot.press("p")
        await wait_until(pilot, lambda: is_shown(app, "Paused schedule thumbs.  u undo"))
        await pilot.press("e")
        await wait_until(pilot, lambda: isinstance(app.screen, ScheduleForm))
        await wait_until(pilot, lambda: is_shown(app, "Edit schedule thumbs"))
        await pilot.press("escape", "enter")
        await wait_until(pilot, lambda: isinstance(app.screen, ScheduleScreen))
        await wait_until(pilot, lambda: is_shown(app, "Deck › thumbs"))


# --- page


async def test_the_page_shows_rules_and_fire_times(runtime: FakeRuntime):
    app = make_deck(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_schedules(pilot, app)
        await pilot.press("j", "enter")
        await wait_until(pilot, lambda: is_shown(app, "Latest fires"))

        shown = read_screen_text(app)
        assert "Schedules › nightly-etl" in shown
        assert "skipped while the last run has not ended" in shown
        assert "until about tomorrow 04:31" in shown and shown.count(" 02:00 ") == 10
        assert "missed: No runtime was up." in shown


async def test_enter_on_a_fire_time_opens_its_task(runtime: FakeRuntime):
    app = make_deck(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_schedules(pilot, app)
        await pilot.press("j", "enter")
        await wait_until(pilot, lambda: is_shown(app, "Latest fires"))
        await pilot.press("j", "enter")
        await wait_until(pilot, lambda: isinstance(app.screen, TaskScreen))
        await wait_until(pilot, lambda: runtime.list_args("about"))
        assert str(runtime.list_args("about")[0]["id"]).endswith("0912")


async def test_the_page_of_a_removed_schedule_closes(runtime: FakeRuntime):
    runtime.table["schedule.show"] = NotFound("no schedule gone.")
    app = make_deck(runtime)
    async with app.run_test(size=(80, 24)) as pilot:
        app.open_schedule("gone")
        await wait_until(pilot, lambda: is_shown(app, "no schedule gone"))
        assert not isinstance(app.screen, ScheduleScreen)


# --- form


async def test_a_new_schedule_is_created_as_typed(runtime: FakeRuntime):
    app = make_deck(runtime)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_schedules(pilot, app)
        await pilot.press("n")
        await wait_until(pilot, lambda: isinstance(app.screen, ScheduleForm))
        await pilot.press(*"poll", "tab", "tab", *"0 2 * * *", "tab", *"UTC", "tab")
        await pilot.press(*"curl -f x | sort")
        await wait_until(pilot, lambda: is_shown(app, "A shell runs the command, because of |"))
        assert is_shown(app, "Fires at 02:00 every day (UTC): tomorrow 02:00, Fri 02:00, Sat")
        assert is_shown(app, "taskdeck schedule create poll --tz UTC --cron '0 2 * * *' -c")
        await pilot.press("ctrl+j")
        await wait_until(pilot, lambda: runtime.list_args("schedule.create"))

        (args,) = runtime.list_args("schedule.create")
        assert args["cron"] == "0 2 * * *" and args["script"] == "curl -f x | sort"
        assert args["timezone"] == "UTC" and args["cwd"] and "env" in args
        assert "template" not in args and "queue" not in args


async def test_a_changed_expression_alone_is_sent(runtime: FakeRuntime):
    app = make_deck(runtime)
    async with app.run_test(size=(120, 40)) as pilot:
        await open_schedules(pilot, app)
        await pilot.press("j", "e")
        await wait_until(pilot, lambda: is_shown(app, "./etl.sh --all"))
        await pilot.press(*"0 3 * * *", "ctrl+j")
        await wait_until(pilot, lambda: runtime.list_args("schedule.set"))
        assert runtime.list_args("schedule.set") == [{"name": "nightly-etl", "cron": "0 3 * * *"}]
        await wait_until(pilot, lambda: is_shown(app, "u undo"))
        await pilot.press("u")
        await wait_until(pilot, lambda: len(runtime.list_args("schedule.set")) == 2)
        assert runtime.list_args("schedule.set")[1]["cron"] == "0 2 * * *"


# --- words


@pytest.mark.parametrize(
    ("after", "words"),
    [(7 * 60, "today 10:49:07"), (24 * HOUR, "tomorrow 10:42"), (4 * 24 * HOUR, "Sun 10:42")],
)
def test_a_fire_time_in_words(after: float, words: str):
    assert format_fire_time(NOW + after, NOW) == words


@pytest.mark.parametrize(
    ("left", "text"), [(-3, "now"), (0.5, "now"), (9, "9s"), (727, "12m07s"), (90_000, "1d01h")]
)
def test_a_countdown(left: float, text: str):
    assert format_countdown(NOW + left, NOW) == text


def test_a_strip_ends_with_the_latest_outcome():
    row = make_schedule(fake_home.SCHEDULES[0])

    assert format_strip(row.fires, Look()) == "✗m✓●"
    assert format_strip(row.fires, Look(), 2) == "✓●"
    assert format_strip(row.fires, Look(ascii=True)) == "Xm+*"
    assert format_strip(row.fires, Look(plain=True)) == "running"
