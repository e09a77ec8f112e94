"""Database screen: slow statements with plans, sizes and backups."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event
from typing import Any

import pytest

from app.core.board import BackupFacts
from app.errors import Remote, Usage
from app.tui.actions.tasks import Request
from app.tui.app import TaskdeckApp
from app.tui.pages.database import DatabaseReplies, build_database_sections
from app.tui.screens.database import DatabaseScreen
from app.tui.style import Look
from tests.tui.boards import NOW
from tests.tui.fake_runtime import FakeRuntime, make_deck, wait_until
from tests.tui.screen_text import is_shown, read_screen_lines


def make_slow_row(id: int, **values: Any) -> dict[str, Any]:
    """Return a row of `db.slow`."""
    return {
        "id": id, "statement": f"SELECT * FROM tasks WHERE name = ? AND cwd = ? LIMIT {id}",
        "caller": "ls", "count": 3, "seconds": 0.07,
        "worst": 1.24, "total": 1.4, "plan": "SCAN tasks\nUSE TEMP B-TREE FOR ORDER BY",
        "created_at": "2026-11-25T09:00:00.000000Z",
        "updated_at": "2026-11-25T09:01:00.000000Z",
    } | values  # fmt: skip


STATS: dict[str, Any] = {
    "bytes": 312 * 2**20, "page_bytes": 4096, "pages": 79872, "free_pages": 10,
    "fragmentation": 0.12, "exact": True, "wal_bytes": 4096,
    "lock_waits": {"count": 2, "total": 0.05, "worst": 0.03},
    "used_since": "2026-11-25T08:00:00.000000Z",
    "cache": {"bytes": 2**30, "from_disk": 2**20, "hits": 0.999},
    "tables": [{"name": "tasks", "rows": 1_000_000, "bytes": 2**28, "index_bytes": 2**25,
    "unused": 0}],
    "indexes": [{"name": "idx_tasks_type", "table": "tasks", "columns": ["type"], "bytes": 1,
    "used": 0, "serves": None, "unused": True}],
    "missing": [{"table": "tasks", "columns": ["cwd"], "statements": 1}],
}  # fmt: skip


BACKUPS: list[dict[str, Any]] = [
    {"id": "20261125T000000Z-full", "kind": "full", "at": "2026-11-25T00:00:00.000000Z",
    "bytes": 2**27, "verified": True, "problem": None},
    {"id": "20261125T010000Z-increment", "kind": "increment", "at": "2026-11-25T01:00:00.000000Z",
    "bytes": 2**20, "verified": False,
     "problem": "page 7 \x1b[2J is damaged"},
]  # fmt: skip


REPLICA: dict[str, Any] = {
    "target": None,
    "at": None,
    "lag": None,
    "late": False,
    "problem": None,
    "promoted": False,
}


class DatabaseRuntime(FakeRuntime):
    """A fake runtime that counts the measurements of the database file."""

    def __init__(self, *rows: Mapping[str, Any]) -> None:
        super().__init__(**{
            "db.slow": list(rows), "db.stats": self.measure, "db.backups": BACKUPS,
            "db.replica.status": REPLICA,
            "db.cleanup": {"next": {"runs": 12, "tasks": 10, "bytes": 2**20,
            "words": "12 runs and 10 tasks, 1.0M"}},
        })  # fmt: skip
        self.measured = 0

    def measure(self, args: Mapping[str, Any]) -> dict[str, Any]:
        self.measured += 1
        return STATS


async def open_database_screen(pilot: Any, app: TaskdeckApp) -> DatabaseScreen:
    app.action_go("database")
    await wait_until(pilot, lambda: is_shown(app, "312M, 12% unused"))
    assert isinstance(app.screen, DatabaseScreen)
    return app.screen


@pytest.mark.parametrize("size", [(60, 24), (80, 24), (120, 40), (200, 50)])
async def test_slow_statements_sizes_and_backups_are_on_one_page(size: tuple[int, int]):
    app = make_deck(DatabaseRuntime(make_slow_row(1), make_slow_row(2, worst=0.062)))
    async with app.run_test(size=size) as pilot:
        await open_database_screen(pilot, app)

        for text in (
            "312M, 12% unused",
            "99% of the 1.0G",
            "2 waits, 30ms at worst",
            "missing on tasks (cwd)",
            "1.24s",
            "62ms",
        ):
            assert is_shown(app, text), text
        for text in (
            "12 runs and 10 tasks, 1.0M",
            "Backups 2",
            "restored and checked",
            "bad: page 7",
        ):
            assert is_shown(app, text), text


async def test_enter_expands_and_collapses_the_plan_of_a_statement():
    app = make_deck(DatabaseRuntime(make_slow_row(1)))
    async with app.run_test(size=(120, 40)) as pilot:
        await open_database_screen(pilot, app)
        await pilot.press("enter")
        await wait_until(pilot, lambda: is_shown(app, "USE TEMP B-TREE"))
        await pilot.press("enter")
        await wait_until(pilot, lambda: not is_shown(app, "USE TEMP B-TREE"))


@pytest.mark.parametrize(("rows", "named"), [([make_slow_row(1)], True), ([], False)])
async def test_the_plan_key_is_offered_only_with_statements(
    rows: list[dict[str, Any]], named: bool
):
    app = make_deck(DatabaseRuntime(*rows))
    async with app.run_test(size=(80, 24)) as pilot:
        await open_database_screen(pilot, app)
        await wait_until(pilot, lambda: is_shown(app, "its plan") is named)


async def test_the_file_is_measured_once_and_again_on_request():
    home = DatabaseRuntime(make_slow_row(1))
    app = make_deck(home)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await open_database_screen(pilot, app)
        screen.reread()
        await wait_until(pilot, lambda: is_shown(app, "312M, 12% unused"))
        assert home.measured == 1
        await pilot.press("R")
        await wait_until(pilot, lambda: home.measured == 2)
        await pilot.press("escape")
        await wait_until(pilot, lambda: not isinstance(app.screen, DatabaseScreen))


async def test_the_page_is_a_command_of_the_palette():
    app = make_deck(DatabaseRuntime())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("colon", *"database", "enter")
        await wait_until(pilot, lambda: isinstance(app.screen, DatabaseScreen))
        await wait_until(pilot, lambda: is_shown(app, "No slow statements."))


def test_outside_text_is_drawn_as_plain_text():
    evil = make_slow_row(
        1, statement="SELECT '\x1b[2J' [red]", caller="\x1b]0;x\x07", plan="SCAN \x1b[1m"
    )
    copy = REPLICA | {"target": "far:/\x1b[2J", "problem": "\x07"}
    found = DatabaseReplies([evil], BACKUPS, copy, STATS, None, {"db.cleanup": "\x1b]0;x"}, True)
    page = build_database_sections(found, {"1"}, NOW, 80, Look(), "/home/\x1bann/config.toml")
    lines = [text for section in page for row in section.rows for text, _ in row.spans]

    assert all(char >= " " for line in lines for char in line)
    assert any("[red]" in line for line in lines)


DISK_FULL = Remote("the disk is full: /srv/ann/a folder/deck.", "Make room.", "disk-full", 5)


async def test_invalid_settings_are_reported_and_hide_no_figures():
    home = DatabaseRuntime(make_slow_row(1))
    home.table |= {"db.backups": Usage("config.toml: line 3 is no TOML.")}
    app = make_deck(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_database_screen(pilot, app)
        assert (
            is_shown(app, "Cannot be read: config.toml: line 3")
            and is_shown(app, "1.24s")
            and not is_shown(app, "No backups yet")
        )


async def test_an_unreadable_section_says_why_and_the_rest_is_shown():
    home = DatabaseRuntime(make_slow_row(1))
    home.table["db.slow"] = DISK_FULL
    app = make_deck(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_database_screen(pilot, app)

        assert is_shown(app, "Cannot be read: the disk is full") and is_shown(
            app, "restored and checked"
        )
        assert is_shown(app, "not known") and not is_shown(app, "No slow statements")
        home.table["db.slow"] = [make_slow_row(1)]
        app.screen.reread()  # type: ignore[attr-defined]
        await wait_until(pilot, lambda: is_shown(app, "1.24s"))
        assert not is_shown(app, "Cannot be read")


async def test_an_unreadable_page_says_why_until_it_can_be_read():
    home = DatabaseRuntime(make_slow_row(1))
    home.table["db.backups"] = Remote("the runtime has not answered for 15 s.")
    app = make_deck(home)
    async with app.run_test(size=(80, 24)) as pilot:
        app.action_go("database")
        await wait_until(
            pilot, lambda: is_shown(app, "Cannot be read: the runtime has not answered")
        )
        home.table["db.backups"] = BACKUPS
        app.screen.reread()  # type: ignore[attr-defined]
        await wait_until(pilot, lambda: is_shown(app, "312M, 12% unused"))
        assert not is_shown(app, "not answered")


async def test_the_page_says_that_it_is_loading():
    app = make_deck(DatabaseRuntime())
    async with app.run_test(size=(80, 24)):
        screen = DatabaseScreen(app.client_factory)
        screen.reread = lambda: None  # type: ignore[method-assign]
        await app.push_screen(screen)
        assert is_shown(app, "measuring…") and is_shown(app, "reading…")


async def test_a_failed_measurement_is_not_repeated_in_a_loop():
    home = DatabaseRuntime(make_slow_row(1))
    home.table["db.stats"] = DISK_FULL
    app = make_deck(home)
    async with app.run_test(size=(80, 24)) as pilot:
        app.action_go("database")
        await wait_until(pilot, lambda: is_shown(app, "Cannot be read: the disk is full"))
        for _ in range(20):
            await pilot.pause()
        assert len(home.list_args("db.stats")) == 1


async def test_missing_backups_are_not_reported_as_never_taken():
    home = DatabaseRuntime()
    home.table["db.backups"] = []
    home.board = home.board._replace(backup=BackupFacts(None, late=True))
    app = make_deck(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await open_database_screen(pilot, app)
        assert is_shown(app, "No backup is left: taskdeck db backup takes one.") and is_shown(
            app, "no backup!"
        )


def render_lines(found: DatabaseReplies) -> list[str]:
    return [
        "".join(text for text, _ in row.spans)
        for section in build_database_sections(found, (), NOW, 100, Look())
        for row in section.rows
    ]


def test_statements_are_aligned_for_every_caller():
    found = DatabaseReplies(
        [
            make_slow_row(1, caller="ls"),
            make_slow_row(2, caller="duty cleanup"),
            make_slow_row(3, caller="a caller with a very long name"),
        ],
        BACKUPS,
    )
    assert len({line.index("SELECT") for line in render_lines(found) if "SELECT" in line}) == 1


def test_a_backup_of_another_home_is_marked():
    (line,) = [
        line
        for line in render_lines(
            DatabaseReplies([], [BACKUPS[0] | {"stranger": "/other/taskdeck.db"}])
        )
        if "128M" in line
    ]
    assert line.endswith("of another home: /other/taskdeck.db")


def test_the_page_shows_the_replica_and_the_next_cleanup():
    going = {"runs": 0, "tasks": 0, "bytes": 0, "words": "nothing"}
    found = DatabaseReplies(
        [],
        BACKUPS,
        REPLICA | {"target": "far:/srv", "lag": 3605.0, "late": True, "problem": "no route"},
        STATS,
        going,
    )
    lines = render_lines(found)
    assert any("far:/srv, 1h old: no route" in line for line in lines) and any(
        "1,000,000 rows" in line for line in lines
    )
    assert any("cleanup" in line and "nothing is old enough to delete" in line for line in lines)
    paused = found._replace(cleanup=going | {"words": "nothing while config.toml is wrong"})
    assert any(line.endswith("nothing while config.toml is wrong") for line in render_lines(paused))


@pytest.mark.parametrize(
    "word", ["backup", "restore", "cleanup", "replica", "check", "config", "slow"]
)
async def test_the_palette_finds_the_page_by_related_words(word: str):
    app = make_deck(DatabaseRuntime())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("colon", *word)
        await wait_until(
            pilot, lambda: is_shown(app, "database: size, backups, what cleanup frees")
        )
        assert sum("database:" in row for row in read_screen_lines(app)) == 1
        # Enter on another word must not take a backup.
        assert is_shown(app, "back up now") is (word == "backup")


BACKUP_ANSWER = {"id": "20261126T024540Z-increment", "bytes": 2**20, "after": None}


async def start_backup(pilot: Any, app: TaskdeckApp, says: str) -> None:
    await pilot.press("colon", *"back up now", "enter")
    await wait_until(pilot, lambda: is_shown(app, says))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (BACKUP_ANSWER, "Backed up, 1.0M, restored and checked: 20261126T024540Z-increment."),
        (
            BACKUP_ANSWER | {"after": "rclone, which is run after it, exited 1"},
            "Backed up, but rclone, which is run after it, exited 1. 2026",
        ),
        (DISK_FULL, "Not backed up: the disk is full"),
    ],
)
async def test_a_backup_from_the_palette_reports_its_result(answer: Any, says: str):
    home = DatabaseRuntime()
    home.table["db.backup"] = answer
    app = make_deck(home)
    async with app.run_test(size=(120, 40)) as pilot:
        await start_backup(pilot, app, says)
        assert home.list_args("db.backup") == [{}]


async def test_a_running_backup_refuses_a_second_and_blocks_no_verbs():
    goes, home = Event(), DatabaseRuntime()
    home.table |= {
        "db.backup": lambda args: goes.wait(10) and BACKUP_ANSWER,
        "hold": {"done": [], "refused": [], "notes": []},
    }
    app = make_deck(home)
    async with app.run_test(size=(120, 40)) as pilot:
        await start_backup(pilot, app, "Backing up: copy, pack")
        app.clear_message()
        await wait_until(pilot, lambda: is_shown(app, "Backing up"))
        app.requests.send([Request("hold", {}, "Held")])
        await wait_until(pilot, lambda: home.list_args("hold"))
        await start_backup(pilot, app, "A backup is already running.")
        goes.set()
        await wait_until(pilot, lambda: is_shown(app, "Backed up, 1.0M"))
        assert len(home.list_args("db.backup")) == 1


async def test_read_only_takes_no_backup():
    home = DatabaseRuntime()
    app = make_deck(home, read_only=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await start_backup(pilot, app, "Read only: this deck changes nothing.")
        assert home.list_args("db.backup") == []
