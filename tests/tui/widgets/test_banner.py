"""The banner of what is in trouble: as drawn, on every screen and in any width; what shows what would make room on a full disk."""

from __future__ import annotations

from typing import Any

import pytest

from app.config import Config
from app.core.board import DRAINING, AlertLine, Board, LockFacts, RuntimeFacts
from app.core.text.sanitize import width
from app.errors import Remote
from app.tui.app import TaskdeckApp
from app.tui.screens.database import DatabaseScreen
from app.tui.screens.task import TaskScreen
from app.tui.style import Look
from app.tui.widgets.banner import banner_lines
from app.tui.widgets.header import database_spans
from tests.tui import boards, fake_home
from tests.tui.boards import MINUTE, NOW
from tests.tui.fake_runtime import Answers, deck
from tests.tui.recording_runtime import Clock, an_app, until
from tests.tui.screen_text import screen_text

LONG = "/home/ann/.local/share/" + "deep/" * 30 + "taskdeck"


pytestmark = pytest.mark.usefixtures("utc")


def said(board: Board, cells: int, look: Look | None = None, key: str = "↵", start: str = "S") -> list[str]:
    lines = ["".join(text for text, _ in line) for line in banner_lines(board, NOW, look or Look(), cells, key, start)]
    assert all(width(line) <= cells for line in lines)
    return lines


def nearly_full() -> Board:
    """Too little room to start anything, and all is written that there is."""
    board = boards.halted()
    words = "disk nearly full (/var/lib/taskdeck: 3.0M of 8.0G free, 500M needed to start anything) since 10:31"
    return board._replace(database="ok", runtime=board.runtime._replace(halted=words), host=board.host._replace(disk_free=3 * 2**20))


def lost(how: str = "DAMAGED", **more: object) -> Board:
    """A board that came eleven minutes ago, of a database that is no more."""
    return boards.busy()._replace(at=NOW - 11 * MINUTE - 5, database=how, **more)  # type: ignore[arg-type]


# --- what it says -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "lines"),
    [
        (120, [" ✗ DISK FULL: /var/lib/taskdeck has 0 bytes free. Nothing new starts. The 7 running jobs go on; nothing is lost.",
               "   Free space there: dispatch resumes by itself. Largest: runs/ 41.2G, backups/ 3.1G.  ↵ shows what cleanup would free"]),
        (80, [" ✗ DISK FULL: /var/lib/taskdeck, 0 bytes free. Nothing starts; the 7 jobs go on.",
              "   Largest: runs/ 41.2G, backups/ 3.1G.  ↵ shows what cleanup would free"]),
        (60, [" ✗ DISK FULL: 0 bytes free. Nothing starts; jobs go on.",
              "   Largest: runs/ 41.2G.  ↵ shows what cleanup would free"]),
    ],
)  # fmt: skip
def test_a_full_disk_is_told_as_drawn_in_the_words_that_fit(cells: int, lines: list[str]):
    assert said(boards.halted(), cells) == lines


@pytest.mark.parametrize("cells", [60, 80, 100, 120, 200])
@pytest.mark.parametrize("ascii", [True, False])
def test_however_long_the_home_is_free_bytes_and_the_way_out_are_seen(cells: int, ascii: bool):
    look = Look(ascii=ascii, utf8=not ascii)

    first, second = said(boards.halted()._replace(home=LONG), cells, look)

    assert "0 bytes free" in first and second.endswith(f"{look.own('↵')} shows what cleanup would free")


def test_a_disk_that_is_nearly_full_is_told_with_what_is_left():
    first, second = said(nearly_full()._replace(running=()), 120)

    assert first == " ✗ DISK NEARLY FULL: /var/lib/taskdeck has 3.0M free. Nothing new starts. No job runs; nothing is lost."
    assert "Largest: runs/ 41.2G" in second


def test_of_a_disk_that_takes_nothing_though_it_has_room_no_bytes_are_told_and_what_was_counted_in_part_is_more():
    board = boards.halted()
    part = board.host._replace(disk_free=9 * 2**30, largest=(board.host.largest[0]._replace(whole=False),))

    first, second = said(board._replace(host=part, running=board.running[:1]), 120)

    assert first == " ✗ DISK FULL: /var/lib/taskdeck. Nothing new starts. The running job goes on; nothing is lost."
    assert "Largest: runs/ over 41.2G." in second


@pytest.mark.parametrize("cells", [60, 80, 120])
def test_what_to_type_over_a_damaged_database_is_whole_in_any_width(cells: int):
    cure = "taskdeck stop && taskdeck db restore --dry-run"
    lines = said(lost(home=LONG), cells)

    assert len(lines) == 2 and lines[0].startswith(" ✗ DATABASE DAMAGED: /home")
    assert " ".join(line.strip() for line in lines).endswith(f"Type: {cure}")


def test_without_a_runtime_a_damaged_database_is_what_matters_and_none_has_to_be_stopped():
    words = " ".join(said(lost(runtime=boards.trouble().runtime), 120))

    assert "DATABASE DAMAGED" in words and "taskdeck stop" not in words and "db restore --dry-run" in words


@pytest.mark.parametrize("state", ["running", "none"])
def test_what_was_said_to_be_done_about_a_damaged_database_is_the_only_cure(state: str):
    cure = "Move the database away, or put a good copy there."
    words = " ".join(line.strip() for line in said(lost(runtime=RuntimeFacts(state, cure=cure)), 120))

    assert words.endswith(f"what ends is kept. {cure}") and "restore" not in words


def test_who_holds_the_database_is_named_in_the_header_and_where_it_keeps_things_from_starting():
    halted = boards.busy().runtime._replace(halted="database held by another program since 10:31")
    board = boards.busy()._replace(runtime=halted, lock=LockFacts(NOW - 4, "sqlite3, pid 4711"))

    assert database_spans(board, NOW, Look()) == [("db LOCKED 4s", "broken")]
    assert database_spans(board, NOW + 60, Look()) == [("db LOCKED 1m", "broken")]
    assert database_spans(board._replace(lock=None), NOW, Look()) == [("db ok", "dim")]
    assert "since 10:31 (sqlite3, pid 4711). The 7 jobs run on" in " ".join(said(board, 120))


def test_a_runtime_that_drains_does_not_resume_by_itself():
    words = " ".join(said(boards.busy()._replace(runtime=boards.busy().runtime._replace(halted=DRAINING)), 80))

    assert words.endswith("It starts things again by: taskdeck serve --detach")


def test_in_good_times_it_says_nothing():
    assert said(boards.busy(), 120) == []


# --- where it stands --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["5", "6", "7", "9", "O", "B", "n"])
@pytest.mark.parametrize("board", [boards.halted(), boards.trouble(), lost()], ids=["full", "stopped", "damaged"])
async def test_it_stands_on_every_screen(key: str, board: Board):
    app = deck(Answers(board))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.board is not None)
        await pilot.press(key)
        await until(pilot, lambda: len(app.screen_stack) == 2 and screen_text(app)[2].startswith(" ✗ "))

        # In a form letters are text: there is no key to name; and what cleanup would free stands on the page of the database itself.
        cleanup, start = "" if key in "nB" else "B", "" if key == "n" else "S"
        assert screen_text(app)[2:4] == [line.rstrip() for line in said(board, 120, key=cleanup, start=start)]


@pytest.mark.parametrize("key", ["5", "6", "9", "O", "B"])
async def test_the_key_that_it_names_for_a_stopped_runtime_starts_one_on_every_page(key: str):
    app, recording = an_app(boards.trouble())
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.board is not None)
        await pilot.press(key)
        await until(pilot, lambda: "S starts it again" in " ".join(screen_text(app)[2:4]).replace("S    starts", "S starts"))
        await pilot.press("S")
        await until(pilot, lambda: recording.resumed == 1)


@pytest.mark.parametrize("cells", [60, 80])
@pytest.mark.parametrize(
    ("board", "begins", "ends"),
    [
        (boards.trouble(), "NO RUNTIME since", "S starts it again, or: taskdeck serve"),
        (boards.halted(), "DISK FULL", "B shows what cleanup would free"),
        (nearly_full(), "DISK NEARLY FULL", "B shows what cleanup would free"),
        (lost(home=LONG), "", "Type: taskdeck stop && taskdeck db restore --dry-run"),
    ],
    ids=["stopped", "full", "nearly", "damaged"],
)  # fmt: skip
async def test_on_a_page_with_little_room_it_is_one_line_with_what_to_do(board: Board, begins: str, ends: str, cells: int):
    app = deck(Answers(board))
    async with app.run_test(size=(cells, 16)) as pilot:
        await until(pilot, lambda: app.board is not None)
        await pilot.press("5")
        await until(pilot, lambda: screen_text(app)[1].startswith(f" ✗ {begins}") and screen_text(app)[2].startswith("━▌"))
        assert screen_text(app)[1].endswith(ends)


async def test_on_a_page_with_little_room_it_is_one_line():
    app = deck(Answers(boards.halted()))
    async with app.run_test(size=(80, 20)) as pilot:
        await until(pilot, lambda: app.board is not None)
        await pilot.press("5")
        await until(pilot, lambda: screen_text(app)[1].startswith(" ✗ DISK FULL") and screen_text(app)[2].startswith("━▌"))


async def test_it_goes_from_a_page_when_all_is_well_again():
    app = deck(Answers(boards.halted()))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.board is not None)
        await pilot.press("5")
        await until(pilot, lambda: "DISK FULL" in screen_text(app)[2])
        app.board = boards.busy()
        await until(pilot, lambda: screen_text(app)[2].startswith("━▌"))


# --- what would make room -----------------------------------------------------------------------------------------------------


def alert_of_the_disk() -> AlertLine:
    return boards.alert(9, "nothing-starts", "critical", "firing", "system", "/var/lib/taskdeck 0 bytes free", 11 * MINUTE)


def on_alerts() -> TaskdeckApp:
    board = boards.halted()
    app, _ = an_app(board._replace(alerts=(alert_of_the_disk(), *board.alerts)))
    return app


async def test_enter_on_what_leads_nowhere_else_shows_what_cleanup_would_free_and_the_banner_says_so():
    app = on_alerts()
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "B shows what cleanup would free" in screen_text(app)[3])
        await pilot.press("4")
        await until(pilot, lambda: "↵ shows what cleanup would free" in screen_text(app)[3])
        assert "↵ what can go" in screen_text(app)[-1]
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, DatabaseScreen))


async def test_enter_on_a_task_opens_it_and_the_banner_names_the_other_key():
    app = on_alerts()
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "B shows what cleanup would free" in screen_text(app)[3])
        await pilot.press("4")
        await until(pilot, lambda: "↵ shows what cleanup would free" in screen_text(app)[3])
        await pilot.press("j")
        assert "B shows what cleanup would free" in screen_text(app)[3], "at once, and not with the next second"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, TaskScreen))
        await pilot.press("B")
        await until(pilot, lambda: isinstance(app.screen, DatabaseScreen))


async def test_in_good_times_enter_on_such_a_row_does_nothing():
    app, _ = an_app(boards.busy()._replace(alerts=(alert_of_the_disk(),)))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.board is not None)
        await pilot.press("4", "enter")
        await pilot.pause()
        assert len(app.screen_stack) == 1


async def test_a_click_on_it_shows_the_same_and_one_on_any_other_trouble_nothing():
    for board, stack in ((boards.halted(), 2), (boards.trouble(), 1)):
        app, _ = an_app(board)
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda app=app: app.board is not None)
            await pilot.click("#banner", offset=(5, 1))
            await pilot.pause()
            assert len(app.screen_stack) == stack and isinstance(app.screen, DatabaseScreen) is (stack == 2)


async def test_the_key_that_is_named_is_the_one_that_was_chosen():
    app, _ = an_app(boards.halted())
    app.settings = app.settings._replace(keys={"place.database": "f6"})
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "f6 shows what cleanup would free" in screen_text(app)[3])


def shows(app: TaskdeckApp, text: str) -> bool:
    return any(text in line for line in screen_text(app))


# --- old rows -------------------------------------------------------------------------------------------------------------------


async def test_over_a_damaged_database_the_last_rows_stay_with_their_age():
    app, _ = an_app(boards.busy())
    moment = [NOW]
    app.now = lambda: moment[0]
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.board is not None)
        app.feed.stop()
        assert not any("as of" in line for line in screen_text(app))
        app._no_board("the database is damaged.", True, "DAMAGED")
        moment[0] += 65
        await until(pilot, lambda: any("━▌3 Running 7  as of 10:42:07, 1m old" in line for line in screen_text(app)))
        shown = screen_text(app)

        assert any("─ 1 Queues  as of 10:42:07, 1m old" in line for line in shown)
        assert any("─ 2 Pools  measured 10:42:07, 1m old" in line for line in shown)
        assert any("─ 4 SLA alerts 3  as of 10:42:07, 1m old" in line for line in shown)
        assert any("resnet50-sweep-06" in line for line in shown)


async def test_message_and_banner_have_one_cure_for_a_database_without_a_backup():
    app, _ = an_app(boards.busy())
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.board is not None)
        app.feed.stop()
        await pilot.pause()
        cure = "Move the database away, or put a good copy there."
        app._feed_lost(Remote("the database is damaged. There is no good backup of it.", cure, "damaged-database", 5), True)
        await until(pilot, lambda: shows(app, "no good backup") and " ".join(" ".join(screen_text(app)).split()).count(cure) == 2)
        assert not shows(app, "db restore")


async def test_the_list_of_tasks_keeps_its_rows_over_a_damaged_database_and_says_how_old_they_are():
    damaged = Remote("the database is damaged.", "", "damaged-database", 5)
    answers = Answers(boards.busy(), browse=lambda args: damaged if ticks.at > 1000 else fake_home.browse(args))
    ticks = Clock()
    app = deck(answers)
    app.ticks = ticks
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.board is not None)
        await pilot.press("5")
        await until(pilot, lambda: shows(app, "resnet50-sweep-08"))
        app.feed.stop()
        ticks.at += 661
        app._no_board("the database is damaged.", True, "DAMAGED")
        await until(pilot, lambda: shows(app, "11m old"))

        assert "DATABASE DAMAGED" in screen_text(app)[2] and "taskdeck db restore" in " ".join(screen_text(app)[2:4])
        assert shows(app, "resnet50-sweep-08")


@pytest.mark.parametrize(("how", "says", "key"), [
    ({}, "Trying to start one.", False), ({"read_only": True}, "Start one: taskdeck serve --detach", False),
    ({"settings": Config(autostart=False)}, "S starts one, or: taskdeck serve", True),
], ids=["by itself", "only reads", "autostart = false"])  # fmt: skip
async def test_a_deck_brings_up_a_runtime_only_where_it_may_and_says_what_else_does(how: dict[str, Any], says: str, key: bool):
    board = boards.busy()._replace(runtime=RuntimeFacts("none", since=NOW))
    app = deck(Answers(board), **how)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: says in " ".join(" ".join(screen_text(app)[1:3]).split()))
        assert app.feed._may_start is (says == "Trying to start one.")
        assert ("S start runtime" in screen_text(app)[-1]) is key


async def test_a_deck_that_only_reads_offers_no_key_that_starts_what_was_stopped():
    app = deck(Answers(boards.trouble()), read_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "Start it again: taskdeck serve --detach" in " ".join(screen_text(app)[1:3]))
