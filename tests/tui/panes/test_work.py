"""Work pane: widths of names, fixed columns, rows that ended and the title."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from textual.pilot import Pilot

from app.core.board import Board, EndedEntry, GroupEntry, RunningEntry
from app.translation import SIMPLIFIED_CHINESE, tr
from app.tui.app import TaskdeckApp
from app.tui.data.list_rows import EndedMembers, format_end
from app.tui.panes.work import WorkPane
from app.tui.rows.work import make_ended_cells
from app.tui.style import Look
from tests.languages import speak
from tests.tui import boards, fake_groups
from tests.tui.recording_runtime import is_fed, make_recorded_deck, post_keys, wait_for
from tests.tui.screen_text import read_screen_lines

pytestmark = pytest.mark.usefixtures("utc")

NAMES = {80: "nightly encode no. 090", 120: "nightly encode of interview number 090.mkv"}
"""Names that fit a terminal of this width beside short outputs."""


def make_runs(count: int, name: str = "job") -> tuple[RunningEntry, ...]:
    return tuple(
        boards.make_running(n, name, "q", 5.0, 60.0, 30.0, (0.5, 1), (100.0, 1024.0), "half")
        for n in range(1, count + 1)
    )


def make_end(row: RunningEntry) -> EndedEntry:
    return boards.make_ended(row.number, row.name, row.queue, "failed", 0.0, "exit 1")


async def show(pilot: Pilot[int], board: Board) -> list[str]:
    """Show a board and return the lines of the work pane, without title rules."""
    app = pilot.app
    assert isinstance(app, TaskdeckApp)
    app.board = board
    await pilot.pause()
    assert app.deck is not None
    app.deck.show_board()
    await pilot.pause()
    shown = read_screen_lines(app)
    top = next(n for n, line in enumerate(shown) if "3 Running" in line)
    return [line for line in shown[top:] if not line.startswith(("─ ", "━▌"))]


def find_running(app: TaskdeckApp) -> list[str]:
    """Return the rule and the rows of the section of running tasks."""
    shown = read_screen_lines(app)
    top, end = (
        next(n for n, line in enumerate(shown) if title in line)
        for title in ("3 Running", "Next to start")
    )
    return shown[top:end]


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_names_are_whole_where_other_columns_hold_blanks(size: tuple[int, int]):
    name = NAMES[size[0]]
    waits = boards.make_waiting(90, name, "q", "queued", 5.0, "held by ann", "held by ann")
    end = boards.make_ended(91, name, "q", "succeeded", 5.0, "in 3s")
    board = boards.busy()._replace(running=make_runs(1, name), next=(waits,), ended=(end,))
    app, _ = make_recorded_deck(board)
    async with app.run_test(size=size) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        await pilot.press("G")
        await pilot.pause()
        shown = [line for line in read_screen_lines(app) if name in line]

        assert [line.split()[0] for line in shown if line.split()[0] != "›"] == ["1", "90"]
        assert shown[-1].startswith("›   91 ") and shown[0].rstrip().endswith(
            "half" if size[0] > 100 else "G"
        )


async def test_a_long_name_leaves_room_for_the_outputs():
    row = make_runs(1, "n" * 200)[0]._replace(output="o" * 200)
    app, _ = make_recorded_deck(boards.busy()._replace(running=(row,)))
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        shown = find_running(app)[1]
        assert "o" * 20 in shown and "n" * 12 in shown and len(shown) <= 120


VALUES: Sequence[tuple[float | None, float | None, float | None, float]] = (
    (None, None, None, 1.0), (3.0, 0.0, 1.0, 2.0), (3599.0, 1.0, 900.0, 3600.0),
    (4680.0, 9.9, 1023.0, 86400.0), (-5.0, 15.9, 1024.0, 9e6), (-720.0, 0.1, 3.0, 61.0),
    (-4680.0, 1.0, 1000.0, 5.0),
)  # fmt: skip
"""Time left, cores and MiB in use, and seconds since the start."""


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
async def test_columns_keep_their_places_while_values_change(size: tuple[int, int]):
    app, _ = make_recorded_deck(boards.busy()._replace(running=make_runs(3)))
    async with app.run_test(size=size) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        heads = set[str]()
        for left, cpu, memory, ran in VALUES:
            row = make_runs(3)[0]._replace(
                left=left, cpu=16, measured_cpu=cpu, measured_memory=memory,
                started_at=boards.NOW - ran,
            )  # fmt: skip
            await show(pilot, boards.busy()._replace(running=(row, *make_runs(3)[1:])))
            heads.add(find_running(app)[0])
        assert len(heads) == 1 and "LEFT" in heads.pop()


async def test_rows_that_ended_never_hide_a_running_one():
    """The pane has six lines: of seven runs two end and one starts."""
    runs = make_runs(7)
    app, _ = make_recorded_deck(boards.busy()._replace(running=runs[:6]))
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        lines = len(find_running(app)) - 1
        assert lines < 6, "not all of them fit"

        ended = boards.busy()._replace(ended=tuple(map(make_end, runs[:2])))
        await show(pilot, ended._replace(running=runs[2:]))
        rows = find_running(app)[1:]
        assert [row.split()[0] for row in rows] == ["›", "4", "5", "6", "7"][:lines]
        assert not any("failed" in row for row in rows)

        await show(pilot, ended._replace(running=runs[3:6], ended=(make_end(runs[2]),)))
        rows = [row.replace("›", " ").split()[0] for row in find_running(app)[1:]]
        assert rows[:3] == ["4", "5", "6"] and rows[3:] in ([], ["3"], ["3", "7"], ["7", "3"])


async def test_a_row_that_ended_stands_below_the_running_ones_for_a_while():
    runs = make_runs(3)
    app, _ = make_recorded_deck(boards.busy()._replace(running=runs))
    moment = [boards.NOW]
    app.now = lambda: moment[0]
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        board = boards.busy()._replace(running=runs[1:], ended=(make_end(runs[0]),))
        await show(pilot, board)
        first, second, last = find_running(app)[1:]
        assert (first.split()[0], second.split()[0]) == ("2", "3")
        assert last.startswith("›    1 ✗ job") and "failed, exit 1" in last
        assert "3 Running 2" in find_running(app)[0]

        moment[0] += 5.1
        await show(pilot, board)
        rows = find_running(app)[1:]
        assert [row.replace("›", " ").split()[0] for row in rows] == ["2", "3"]
        assert rows[1].startswith("›"), "the cursor stays among the running tasks"


async def test_the_title_counts_the_rows_that_match_the_filter():
    app, _ = make_recorded_deck()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        await pilot.press("slash", *"sha256", "enter")
        await wait_for(pilot, lambda: "/sha256" in find_running(app)[0])
        assert "━▌3 Running 1 /sha256 ━" in find_running(app)[0]
        assert len(find_running(app)) == 2


@pytest.mark.parametrize("words", ["failed", "queue:media name:encode !x"])
@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_filter_and_marks_hide_no_heading(size: tuple[int, int], words: str):
    app, _ = make_recorded_deck()
    async with app.run_test(size=size) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        await pilot.press("space", "space")
        assert app.deck is not None
        app.deck.words = words
        app.deck.query_one(WorkPane).filter(lambda row: row.number > 1000, words)
        await pilot.pause()
        rule = find_running(app)[0]
        assert "QUEUE" in rule and "ELAPSED" in rule and " /" in rule


@pytest.mark.parametrize("key", ["*", "v"])
async def test_marking_many_on_the_deck_says_where_it_works(key: str):
    app, _ = make_recorded_deck()
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        app.show_message("Another notice stands.")
        await pilot.press("asterisk" if key == "*" else key)
        await wait_for(
            pilot,
            lambda: "* and v mark in the list of tasks: 5 opens it" in read_screen_lines(app)[-2],
        )


async def test_the_cursor_stays_among_the_waiting_rows_after_a_cancel():
    app, _ = make_recorded_deck()
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        await pilot.press("W")
        board = app.board
        assert board is not None and app.deck is not None
        pane = app.deck.query_one(WorkPane)
        await wait_for(pilot, lambda: pane.cursor == board.next[0].key)
        first = board.next[0]
        ended = boards.make_ended(first.number, first.name, first.queue, "cancelled", 0.0, "")
        await show(pilot, board._replace(next=board.next[1:], ended=(ended, *board.ended)))
        assert pane.cursor == board.next[1].key


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_reason_like_the_one_above_is_shown_once(size: tuple[int, int]):
    app, _ = make_recorded_deck()
    async with app.run_test(size=size) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        await pilot.press("W", "z")
        await wait_for(pilot, lambda: bool(find_lines(app, "S02E07")))
        ((first,), (second,)) = (find_lines(app, name) for name in ("S02E06", "S02E07"))
        assert "full" in first and "full" not in second and " of 14" in second
        await pilot.press("slash", *"S02E07", "enter")
        await wait_for(pilot, lambda: not find_lines(app, "S02E06"))
        assert any("full" in line for line in find_lines(app, "S02E07"))


def find_lines(app: TaskdeckApp, words: str) -> list[str]:
    return [line for line in read_screen_lines(app) if words in line]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
async def test_coming_fire_times_follow_the_waiting_tasks(size: tuple[int, int]):
    app, _ = make_recorded_deck(boards.scheduled())
    async with app.run_test(size=size) as pilot:
        await wait_for(pilot, lambda: is_fed(app))
        lines = read_screen_lines(app)
        (task,), (thumbs,) = find_lines(app, "backup /home"), find_lines(app, "schedule: every 10m")
        (nightly,) = find_lines(app, "schedule: at 02:00")
        assert lines.index(task) < lines.index(thumbs) < lines.index(nightly)
        assert "10:50" in thumbs and "Thu 02:00" in nightly and "◔" in thumbs


async def test_a_filter_shows_no_coming_fire_times():
    app, _ = make_recorded_deck(boards.scheduled())
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: bool(find_lines(app, "schedule: every")))
        await pilot.press("slash", *"backup", "enter")
        await wait_for(pilot, lambda: not find_lines(app, "schedule: every"))
        assert find_lines(app, "backup /home")


async def test_a_group_is_one_waiting_row_and_one_row_for_equal_ends():
    app, runtime = make_recorded_deck(fake_groups.make_board())
    async with app.run_test(size=(120, 40)) as pilot:
        lines = await show(pilot, runtime.board)

        assert any(
            "g12 ○ train" in line and "37/100  2 failed  8 run  ~42m left  1.5/min" in line
            for line in lines
        )
        end = "2 of 100 tasks shown; the last failed"
        assert any("g12 ✗ train" in line and end in line for line in lines)
        assert any("1102 ● train lr=0.3 bs=96" in line for line in lines)
        assert sum("train" in line for line in lines) == 4

        assert app.deck is not None
        app.deck.query_one(WorkPane).go_to_row("group:12")
        post_keys(app, "x")
        await wait_for(pilot, lambda: bool(runtime.list_args("review")))
        assert runtime.list_args("review")[0]["filter"] == "group:g12"


@pytest.mark.parametrize(
    ("total", "said"), [(2, "2 tasks; the last"), (60, "2 of 60 tasks shown; the last")]
)
def test_a_row_of_ends_says_how_many_of_its_group_it_shows(total, said):
    ends = tuple(boards.make_ended(n, "x", "q", "failed", 0.0, "exit 1") for n in (2, 1))
    group = GroupEntry(7, "x", "failed", total, total, total, 0, 0)

    *_, how = make_ended_cells(EndedMembers(group, ends), Look(), 0.0)

    assert how.text == f"{said} failed, exit 1"


def test_a_skipped_task_is_not_called_cancelled():
    ends = ["skipped: only if #1 fails", "by ann", "in 3s"]

    shown = [format_end(boards.make_ended(9, "x", "q", "cancelled", 0.0, how)) for how in ends]

    assert shown == ["skipped: only if #1 fails", "cancelled, by ann", "cancelled in 3s"]


@pytest.mark.parametrize(
    ("status", "text", "values"),
    [
        ("timed_out", "timed out after {duration}", {"duration": "10m"}),
        ("succeeded", "succeeded in {duration}", {"duration": "44m"}),
    ],
)
def test_the_end_told_in_chinese_names_its_state_once(status, text, values):
    with speak(SIMPLIFIED_CHINESE):
        told = tr(text, **values)
        assert format_end(boards.make_ended(9, "x", "q", status, 0.0, told)) == told
