"""Warning banner: its text, its place on every screen, and the cleanup preview it leads to."""

from __future__ import annotations

from typing import Any

import pytest

from app.config import Config
from app.core.board import DRAINING, AlertEntry, Board, LockFacts, RuntimeFacts
from app.core.text.sanitize import measure_width
from app.errors import Remote
from app.tui.app import TaskdeckApp
from app.tui.screens.database import DatabaseScreen
from app.tui.screens.tasks.task import TaskScreen
from app.tui.style import Look
from app.tui.widgets.banner import build_banner
from app.tui.widgets.header import format_database
from tests.tui import boards, fake_home
from tests.tui.boards import MINUTE, NOW
from tests.tui.fake_runtime import FakeRuntime, make_deck
from tests.tui.recording_runtime import Clock, make_recorded_deck, wait_for
from tests.tui.screen_text import is_shown, read_screen_lines

LONG_HOME = "/home/ann/.local/share/" + "deep/" * 30 + "taskdeck"


pytestmark = pytest.mark.usefixtures("utc")


def render_banner(
    board: Board, cells: int, look: Look | None = None, key: str = "↵", start: str = "S"
) -> list[str]:
    """Return the banner's lines and check their width."""
    lines = [
        "".join(text for text, _ in line)
        for line in build_banner(board, NOW, look or Look(), cells, key, start)
    ]
    assert all(measure_width(line) <= cells for line in lines)
    return lines


def make_nearly_full_board() -> Board:
    """Return a board with too little space to start anything but no failed writes."""
    board = boards.halted()
    words = (
        "disk nearly full (/var/lib/taskdeck: 3.0M of 8.0G free, 500M needed to start anything)"
        " since 10:31"
    )
    return board._replace(
        database="ok",
        runtime=board.runtime._replace(halted=words),
        host=board.host._replace(disk_free=3 * 2**20),
    )


def make_lost_board(how: str = "DAMAGED", **more: object) -> Board:
    """Return an eleven-minute-old board of a database that became unreadable."""
    return boards.busy()._replace(at=NOW - 11 * MINUTE - 5, database=how, **more)  # type: ignore[arg-type]


# --- text


@pytest.mark.parametrize(
    ("cells", "lines"),
    [
        (120, [" ✗ DISK FULL: /var/lib/taskdeck has 0 bytes free. Nothing new starts."
               " The 7 running jobs continue; nothing is lost.",
               "   Free space there: dispatch resumes by itself."
               " Largest: runs/ 41.2G, backups/ 3.1G.  ↵ shows what cleanup would free"]),
        (80, [" ✗ DISK FULL: /var/lib/taskdeck, 0 bytes free. Nothing starts; 7 jobs continue.",
              "   Largest: runs/ 41.2G, backups/ 3.1G.  ↵ shows what cleanup would free"]),
        (60, [" ✗ DISK FULL: 0 bytes free. Nothing starts; 7 jobs continue.",
              "   Largest: runs/ 41.2G.  ↵ shows what cleanup would free"]),
    ],
)  # fmt: skip
def test_a_full_disk_is_described_in_the_words_that_fit(cells: int, lines: list[str]):
    assert render_banner(boards.halted(), cells) == lines


@pytest.mark.parametrize("cells", [60, 80, 100, 120, 200])
@pytest.mark.parametrize("ascii", [True, False])
def test_a_long_home_path_hides_neither_free_bytes_nor_remedy(cells: int, ascii: bool):
    look = Look(ascii=ascii, utf8=not ascii)

    first, second = render_banner(boards.halted()._replace(home=LONG_HOME), cells, look)

    assert "0 bytes free" in first and second.endswith(
        f"{look.adapt_text('↵')} shows what cleanup would free"
    )


def test_a_nearly_full_disk_shows_its_free_space():
    first, second = render_banner(make_nearly_full_board()._replace(running=()), 120)

    assert (
        first
        == " ✗ DISK NEARLY FULL: /var/lib/taskdeck has 3.0M free. Nothing new starts. No job runs;"
        " nothing is lost."
    )
    assert "Largest: runs/ 41.2G" in second


def test_a_full_disk_with_free_bytes_omits_them_and_marks_partial_counts():
    board = boards.halted()
    part = board.host._replace(
        disk_free=9 * 2**30, largest=(board.host.largest[0]._replace(whole=False),)
    )

    first, second = render_banner(board._replace(host=part, running=board.running[:1]), 120)

    assert (
        first == " ✗ DISK FULL: /var/lib/taskdeck. Nothing new starts. The running job continues;"
        " nothing is lost."
    )
    assert "Largest: runs/ over 41.2G." in second


@pytest.mark.parametrize("cells", [60, 80, 120])
def test_the_command_for_a_damaged_database_is_never_cut(cells: int):
    cure = "taskdeck stop && taskdeck db restore --dry-run"
    lines = render_banner(make_lost_board(home=LONG_HOME), cells)

    assert len(lines) == 2 and lines[0].startswith(" ✗ DATABASE DAMAGED: /home")
    assert " ".join(line.strip() for line in lines).endswith(f"Run: {cure}")


def test_a_damaged_database_outranks_a_missing_runtime():
    words = " ".join(render_banner(make_lost_board(runtime=boards.trouble().runtime), 120))

    assert (
        "DATABASE DAMAGED" in words
        and "taskdeck stop" not in words
        and "db restore --dry-run" in words
    )


@pytest.mark.parametrize("state", ["running", "none"])
def test_the_runtime_s_advice_on_a_damaged_database_replaces_the_default(state: str):
    cure = "Move the database away, or put a good copy there."
    words = " ".join(
        line.strip()
        for line in render_banner(make_lost_board(runtime=RuntimeFacts(state, cure=cure)), 120)
    )

    assert words.endswith(f"ends are recorded. {cure}") and "restore" not in words


def test_the_lock_holder_is_named_in_header_and_banner():
    halted = boards.busy().runtime._replace(halted="database held by another program since 10:31")
    board = boards.busy()._replace(runtime=halted, lock=LockFacts(NOW - 4, "sqlite3, pid 4711"))

    assert format_database(board, NOW, Look()) == [("db LOCKED 4s", "broken")]
    assert format_database(board, NOW + 60, Look()) == [("db LOCKED 1m", "broken")]
    assert format_database(board._replace(lock=None), NOW, Look()) == [("db ok", "dim")]
    assert "since 10:31 (sqlite3, pid 4711). 7 jobs continue" in " ".join(render_banner(board, 120))


def test_a_draining_runtime_needs_a_restart():
    words = " ".join(
        render_banner(
            boards.busy()._replace(runtime=boards.busy().runtime._replace(halted=DRAINING)), 80
        )
    )

    assert words.endswith("taskdeck serve --detach")


def test_a_drain_by_a_cluster_names_no_command_to_resume():
    board = boards.busy()
    runtime = board.runtime._replace(halted=DRAINING, cure="The cluster moves it: pcs status")

    words = " ".join(" ".join(render_banner(board._replace(runtime=runtime), 120)).split())

    assert words.endswith("nothing is lost. The cluster moves it: pcs status")


def test_the_advice_of_a_cluster_replaces_that_of_a_person():
    board = boards.trouble()
    runtime = board.runtime._replace(
        stopped_by="the cluster", cure="Start it: pcs resource enable td"
    )

    words = " ".join(" ".join(render_banner(board._replace(runtime=runtime), 120)).split())

    assert "the cluster stopped it. Nothing starts" in words and "taskdeck serve" not in words
    assert words.endswith("Start it: pcs resource enable td")


def test_no_banner_without_trouble():
    assert render_banner(boards.busy(), 120) == []


# --- place


@pytest.mark.parametrize("key", ["5", "6", "7", "9", "O", "B", "n"])
@pytest.mark.parametrize(
    "board",
    [boards.halted(), boards.trouble(), make_lost_board()],
    ids=["full", "stopped", "damaged"],
)
async def test_every_screen_shows_the_banner(key: str, board: Board):
    app = make_deck(FakeRuntime(board))
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: app.board is not None)
        await pilot.press(key)
        await wait_for(
            pilot,
            lambda: len(app.screen_stack) == 2 and read_screen_lines(app)[2].startswith(" ✗ "),
        )

        # Letters are text in a form, so no key is named. The database page already shows the
        # cleanup preview.
        cleanup, start = "" if key in "nB" else "B", "" if key == "n" else "S"
        assert read_screen_lines(app)[2:4] == [
            line.rstrip() for line in render_banner(board, 120, key=cleanup, start=start)
        ]


@pytest.mark.parametrize("key", ["5", "6", "9", "O", "B"])
async def test_the_named_key_starts_a_runtime_on_every_page(key: str):
    app, recording = make_recorded_deck(boards.trouble())
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: app.board is not None)
        await pilot.press(key)
        await wait_for(
            pilot,
            lambda: "S restarts it" in " ".join(" ".join(read_screen_lines(app)[2:4]).split()),
        )
        await pilot.press("S")
        await wait_for(pilot, lambda: recording.resumed == 1)


@pytest.mark.parametrize("cells", [60, 80])
@pytest.mark.parametrize(
    ("board", "begins", "ends"),
    [
        (boards.trouble(), "NO RUNTIME since", "S restarts it, or: taskdeck serve"),
        (boards.halted(), "DISK FULL", "B shows what cleanup would free"),
        (make_nearly_full_board(), "DISK NEARLY FULL", "B shows what cleanup would free"),
        (make_lost_board(home=LONG_HOME), "",
        "Run: taskdeck stop && taskdeck db restore --dry-run"),
    ],
    ids=["stopped", "full", "nearly", "damaged"],
)  # fmt: skip
async def test_a_small_page_has_a_one_line_banner_with_the_remedy(
    board: Board, begins: str, ends: str, cells: int
):
    app = make_deck(FakeRuntime(board))
    async with app.run_test(size=(cells, 16)) as pilot:
        await wait_for(pilot, lambda: app.board is not None)
        await pilot.press("5")
        await wait_for(
            pilot,
            lambda: (
                read_screen_lines(app)[1].startswith(f" ✗ {begins}")
                and read_screen_lines(app)[2].startswith("━▌")
            ),
        )
        assert read_screen_lines(app)[1].endswith(ends)


async def test_a_low_page_has_a_one_line_banner():
    app = make_deck(FakeRuntime(boards.halted()))
    async with app.run_test(size=(80, 20)) as pilot:
        await wait_for(pilot, lambda: app.board is not None)
        await pilot.press("5")
        await wait_for(
            pilot,
            lambda: (
                read_screen_lines(app)[1].startswith(" ✗ DISK FULL")
                and read_screen_lines(app)[2].startswith("━▌")
            ),
        )


async def test_the_banner_disappears_after_recovery():
    app = make_deck(FakeRuntime(boards.halted()))
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: app.board is not None)
        await pilot.press("5")
        await wait_for(pilot, lambda: "DISK FULL" in read_screen_lines(app)[2])
        app.board = boards.busy()
        await wait_for(pilot, lambda: read_screen_lines(app)[2].startswith("━▌"))


# --- cleanup preview


def make_disk_alert() -> AlertEntry:
    return boards.make_alert(
        9,
        "nothing-starts",
        "critical",
        "firing",
        "taskdeck",
        "/var/lib/taskdeck 0 bytes free",
        11 * MINUTE,
    )


def make_deck_with_disk_alert() -> TaskdeckApp:
    board = boards.halted()
    app, _ = make_recorded_deck(board._replace(alerts=(make_disk_alert(), *board.alerts)))
    return app


async def test_enter_on_the_disk_alert_opens_the_cleanup_preview():
    app = make_deck_with_disk_alert()
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(
            pilot, lambda: "B shows what cleanup would free" in read_screen_lines(app)[3]
        )
        await pilot.press("4")
        await wait_for(
            pilot, lambda: "↵ shows what cleanup would free" in read_screen_lines(app)[3]
        )
        assert "↵ what can go" in read_screen_lines(app)[-1]
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(app.screen, DatabaseScreen))


async def test_enter_on_a_task_opens_it_and_the_banner_names_b():
    app = make_deck_with_disk_alert()
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(
            pilot, lambda: "B shows what cleanup would free" in read_screen_lines(app)[3]
        )
        await pilot.press("4")
        await wait_for(
            pilot, lambda: "↵ shows what cleanup would free" in read_screen_lines(app)[3]
        )
        await pilot.press("j")
        assert "B shows what cleanup would free" in read_screen_lines(app)[3], (
            "at once, and not with the next second"
        )
        await pilot.press("enter")
        await wait_for(pilot, lambda: isinstance(app.screen, TaskScreen))
        await pilot.press("B")
        await wait_for(pilot, lambda: isinstance(app.screen, DatabaseScreen))


async def test_enter_on_the_disk_alert_does_nothing_after_recovery():
    app, _ = make_recorded_deck(boards.busy()._replace(alerts=(make_disk_alert(),)))
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: app.board is not None)
        await pilot.press("4", "enter")
        await pilot.pause()
        assert len(app.screen_stack) == 1


async def test_only_a_click_on_the_disk_banner_opens_the_cleanup_preview():
    for board, stack in ((boards.halted(), 2), (boards.trouble(), 1)):
        app, _ = make_recorded_deck(board)
        async with app.run_test(size=(120, 40)) as pilot:
            await wait_for(pilot, lambda app=app: app.board is not None)
            await pilot.click("#banner", offset=(5, 1))
            await pilot.pause()
            assert len(app.screen_stack) == stack and isinstance(app.screen, DatabaseScreen) is (
                stack == 2
            )


async def test_the_banner_names_the_configured_key():
    app, _ = make_recorded_deck(boards.halted())
    app.settings = app.settings._replace(keys={"place.database": "f6"})
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(
            pilot, lambda: "f6 shows what cleanup would free" in read_screen_lines(app)[3]
        )


# --- stale rows


async def test_a_damaged_database_keeps_the_last_rows_with_their_age():
    app, _ = make_recorded_deck(boards.busy())
    moment = [NOW]
    app.now = lambda: moment[0]
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: app.board is not None)
        app.feed.stop()
        assert not any("as of" in line for line in read_screen_lines(app))
        app.connection._show_board_error("the database is damaged.", True, "DAMAGED")
        moment[0] += 65
        await wait_for(
            pilot,
            lambda: any(
                "━▌3 Running 7  as of 10:42:07, 1m old" in line for line in read_screen_lines(app)
            ),
        )
        shown = read_screen_lines(app)

        assert any("─ 1 Queues  as of 10:42:07, 1m old" in line for line in shown)
        assert any("─ 2 Pools  measured 10:42:07, 1m old" in line for line in shown)
        assert any("─ 4 SLA alerts 3  as of 10:42:07, 1m old" in line for line in shown)
        assert any("resnet50-sweep-06" in line for line in shown)


async def test_message_and_banner_give_the_same_advice_without_a_backup():
    app, _ = make_recorded_deck(boards.busy())
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: app.board is not None)
        app.feed.stop()
        await pilot.pause()
        cure = "Move the database away, or put a good copy there."
        app.connection._receive_feed_error(
            Remote(
                "the database is damaged. There is no good backup of it.",
                cure,
                "damaged-database",
                5,
            ),
            True,
        )
        await wait_for(
            pilot,
            lambda: (
                is_shown(app, "no good backup")
                and " ".join(" ".join(read_screen_lines(app)).split()).count(cure) == 2
            ),
        )
        assert not is_shown(app, "db restore")


async def test_the_task_list_keeps_its_rows_over_a_damaged_database():
    damaged = Remote("the database is damaged.", "", "damaged-database", 5)
    answers = FakeRuntime(
        boards.busy(),
        browse=lambda args: damaged if ticks.at > 1000 else fake_home.answer_browse(args),
    )
    ticks = Clock()
    app = make_deck(answers)
    app.ticks = ticks
    async with app.run_test(size=(120, 40)) as pilot:
        await wait_for(pilot, lambda: app.board is not None)
        await pilot.press("5")
        await wait_for(pilot, lambda: is_shown(app, "resnet50-sweep-08"))
        app.feed.stop()
        ticks.at += 661
        app.connection._show_board_error("the database is damaged.", True, "DAMAGED")
        await wait_for(pilot, lambda: is_shown(app, "11m old"))

        assert "DATABASE DAMAGED" in read_screen_lines(app)[
            2
        ] and "taskdeck db restore" in " ".join(read_screen_lines(app)[2:4])
        assert is_shown(app, "resnet50-sweep-08")


@pytest.mark.parametrize(("how", "says", "key"), [
    ({}, "Trying to start one.", False), ({"read_only": True}, "Start one: taskdeck serve --detach",
    False),
    ({"settings": Config(autostart=False)}, "S starts one, or: taskdeck serve", True),
], ids=["by itself", "only reads", "autostart = false"])  # fmt: skip
async def test_a_deck_starts_a_runtime_only_where_allowed(
    how: dict[str, Any], says: str, key: bool
):
    board = boards.busy()._replace(runtime=RuntimeFacts("none", since=NOW))
    app = make_deck(FakeRuntime(board), **how)
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(
            pilot, lambda: says in " ".join(" ".join(read_screen_lines(app)[1:3]).split())
        )
        assert app.feed._may_start is (says == "Trying to start one.")
        assert ("S start runtime" in read_screen_lines(app)[-1]) is key


async def test_a_read_only_deck_offers_no_key_to_start_the_runtime():
    app = make_deck(FakeRuntime(boards.trouble()), read_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        await wait_for(
            pilot,
            lambda: (
                "Start it again: taskdeck serve --detach" in " ".join(read_screen_lines(app)[1:3])
            ),
        )
