"""The database on a page: what was slow with its plan, sizes once they are measured; what others wrote is drawn as text only."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Event
from typing import Any

import pytest

from app.core.board import BackupFacts
from app.errors import Remote, Usage
from app.tui.actions.tasks import Deed
from app.tui.app import TaskdeckApp
from app.tui.pages.database import Read, sections
from app.tui.screens.database import DatabaseScreen
from app.tui.style import Look
from tests.tui.boards import NOW
from tests.tui.fake_runtime import Answers, deck, until
from tests.tui.screen_text import screen_text


def slow(id: int, **values: Any) -> dict[str, Any]:
    """A row of an answer of `db.slow`."""
    return {
        "id": id, "statement": f"SELECT * FROM tasks WHERE name = ? AND cwd = ? LIMIT {id}", "caller": "ls", "count": 3, "seconds": 0.07,
        "worst": 1.24, "total": 1.4, "plan": "SCAN tasks\nUSE TEMP B-TREE FOR ORDER BY", "created_at": "2026-11-25T09:00:00.000000Z",
        "updated_at": "2026-11-25T09:01:00.000000Z",
    } | values  # fmt: skip


STATS: dict[str, Any] = {
    "bytes": 312 * 2**20, "page_bytes": 4096, "pages": 79872, "free_pages": 10, "fragmentation": 0.12, "exact": True, "wal_bytes": 4096,
    "lock_waits": {"count": 2, "total": 0.05, "worst": 0.03}, "used_since": "2026-11-25T08:00:00.000000Z",
    "cache": {"bytes": 2**30, "from_disk": 2**20, "hits": 0.999},
    "tables": [{"name": "tasks", "rows": 1_000_000, "bytes": 2**28, "index_bytes": 2**25, "unused": 0}],
    "indexes": [{"name": "idx_tasks_type", "table": "tasks", "columns": ["type"], "bytes": 1, "used": 0, "serves": None, "unused": True}],
    "missing": [{"table": "tasks", "columns": ["cwd"], "statements": 1}],
}  # fmt: skip


BACKUPS: list[dict[str, Any]] = [
    {"id": "20261125T000000Z-full", "kind": "full", "at": "2026-11-25T00:00:00.000000Z", "bytes": 2**27, "verified": True, "problem": None},
    {"id": "20261125T010000Z-increment", "kind": "increment", "at": "2026-11-25T01:00:00.000000Z", "bytes": 2**20, "verified": False,
     "problem": "page 7 \x1b[2J is damaged"},
]  # fmt: skip


COPY: dict[str, Any] = {"target": None, "at": None, "lag": None, "late": False, "problem": None, "promoted": False}


class Home(Answers):
    """Remembers how often the file was measured."""

    def __init__(self, *rows: Mapping[str, Any]) -> None:
        super().__init__(**{
            "db.slow": list(rows), "db.stats": self.measure, "db.backups": BACKUPS, "db.replica.status": COPY,
            "db.cleanup": {"next": {"runs": 12, "tasks": 10, "bytes": 2**20, "words": "12 runs and 10 tasks, 1.0M"}},
        })  # fmt: skip
        self.measured = 0

    def measure(self, args: Mapping[str, Any]) -> dict[str, Any]:
        self.measured += 1
        return STATS


def shown(app: TaskdeckApp, text: str) -> bool:
    return any(text in line for line in screen_text(app))


async def opened(pilot: Any, app: TaskdeckApp) -> DatabaseScreen:
    app.action_go("database")
    await until(pilot, lambda: shown(app, "312M, 12% unused"))
    assert isinstance(app.screen, DatabaseScreen)
    return app.screen


@pytest.mark.parametrize("size", [(60, 24), (80, 24), (120, 40), (200, 50)])
async def test_what_was_slow_and_how_large_it_is_are_on_one_page(size: tuple[int, int]):
    app = deck(Home(slow(1), slow(2, worst=0.062)))
    async with app.run_test(size=size) as pilot:
        await opened(pilot, app)

        for text in ("312M, 12% unused", "99% of the 1.0G", "2 waits, 30ms at worst", "missing on tasks (cwd)", "1.24s", "62ms"):
            assert shown(app, text), text
        for text in ("12 runs and 10 tasks, 1.0M", "Backups 2", "restored and checked", "bad: page 7"):
            assert shown(app, text), text


async def test_a_statement_is_opened_with_its_plan_and_closed_again():
    app = deck(Home(slow(1)))
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, app)
        await pilot.press("enter")
        await until(pilot, lambda: shown(app, "USE TEMP B-TREE"))
        await pilot.press("enter")
        await until(pilot, lambda: not shown(app, "USE TEMP B-TREE"))


@pytest.mark.parametrize(("rows", "named"), [([slow(1)], True), ([], False)])
async def test_the_key_for_a_plan_is_named_where_a_statement_has_one(rows: list[dict[str, Any]], named: bool):
    app = deck(Home(*rows))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        await until(pilot, lambda: shown(app, "its plan") is named)


async def test_the_file_is_measured_once_and_again_when_that_is_wanted():
    home = Home(slow(1))
    app = deck(home)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, app)
        screen.reread()
        await until(pilot, lambda: shown(app, "312M, 12% unused"))
        assert home.measured == 1
        await pilot.press("R")
        await until(pilot, lambda: home.measured == 2)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, DatabaseScreen))


async def test_the_page_is_a_command_of_the_palette():
    app = deck(Home())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("colon", *"database", "enter")
        await until(pilot, lambda: isinstance(app.screen, DatabaseScreen))
        await until(pilot, lambda: shown(app, "None was slow."))


def test_what_others_wrote_is_drawn_as_text():
    evil = slow(1, statement="SELECT '\x1b[2J' [red]", caller="\x1b]0;x\x07", plan="SCAN \x1b[1m")
    copy = COPY | {"target": "far:/\x1b[2J", "problem": "\x07"}
    found = Read([evil], BACKUPS, copy, STATS, None, {"db.cleanup": "\x1b]0;x"}, True)
    page = sections(found, {"1"}, NOW, 80, Look(), "/home/\x1bann/config.toml")
    lines = [text for section in page for row in section.rows for text, _ in row.spans]

    assert all(char >= " " for line in lines for char in line)
    assert any("[red]" in line for line in lines)


FULL = Remote("the disk is full: /srv/ann/a folder/deck.", "Make room.", "disk-full", 5)


async def test_settings_that_are_wrong_hide_no_figures_and_are_told():
    home = Home(slow(1))
    home.table |= {"db.backups": Usage("config.toml: line 3 is no TOML.")}
    app = deck(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        assert shown(app, "Cannot be read: config.toml: line 3") and shown(app, "1.24s") and not shown(app, "None was taken")


async def test_what_cannot_be_read_says_why_in_its_place_and_the_rest_is_shown():
    home = Home(slow(1))
    home.table["db.slow"] = FULL
    app = deck(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)

        assert shown(app, "Cannot be read: the disk is full") and shown(app, "restored and checked")
        assert shown(app, "not known") and not shown(app, "None was slow")
        home.table["db.slow"] = [slow(1)]
        app.screen.reread()  # type: ignore[attr-defined]
        await until(pilot, lambda: shown(app, "1.24s"))
        assert not shown(app, "Cannot be read")


async def test_a_page_that_cannot_be_read_at_all_says_why_for_as_long_as_that_is_so():
    home = Home(slow(1))
    home.table["db.backups"] = Remote("the runtime has not answered for 15 s.")
    app = deck(home)
    async with app.run_test(size=(80, 24)) as pilot:
        app.action_go("database")
        await until(pilot, lambda: shown(app, "Cannot be read: the runtime has not answered"))
        home.table["db.backups"] = BACKUPS
        app.screen.reread()  # type: ignore[attr-defined]
        await until(pilot, lambda: shown(app, "312M, 12% unused"))
        assert not shown(app, "not answered")


async def test_before_anything_was_read_the_page_says_that_it_reads():
    app = deck(Home())
    async with app.run_test(size=(80, 24)):
        screen = DatabaseScreen(app.client_factory)
        screen.reread = lambda: None  # type: ignore[method-assign]
        await app.push_screen(screen)
        assert shown(app, "measuring…") and shown(app, "reading…")


async def test_a_file_that_cannot_be_measured_is_not_asked_for_in_a_loop():
    home = Home(slow(1))
    home.table["db.stats"] = FULL
    app = deck(home)
    async with app.run_test(size=(80, 24)) as pilot:
        app.action_go("database")
        await until(pilot, lambda: shown(app, "Cannot be read: the disk is full"))
        for _ in range(20):
            await pilot.pause()
        assert len(home.asked("db.stats")) == 1


async def test_backups_that_are_gone_are_not_said_never_to_have_been():
    home = Home()
    home.table["db.backups"] = []
    home.board = home.board._replace(backup=BackupFacts(None, late=True))
    app = deck(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app)
        assert shown(app, "None is there any more: taskdeck db backup takes one.") and shown(app, "no backup!")


def lines_of(found: Read) -> list[str]:
    return ["".join(text for text, _ in row.spans) for section in sections(found, (), NOW, 100, Look()) for row in section.rows]


def test_statements_stand_below_each_other_whoever_asked():
    found = Read([slow(1, caller="ls"), slow(2, caller="duty cleanup"), slow(3, caller="a caller with a very long name")], BACKUPS)
    assert len({line.index("SELECT") for line in lines_of(found) if "SELECT" in line}) == 1


def test_a_backup_of_another_home_is_told_as_one():
    (line,) = [line for line in lines_of(Read([], [BACKUPS[0] | {"stranger": "/other/taskdeck.db"}])) if "128M" in line]
    assert line.endswith("of another home: /other/taskdeck.db")


def test_the_copy_is_on_the_page_and_what_goes_is_a_sentence():
    going = {"runs": 0, "tasks": 0, "bytes": 0, "words": "nothing"}
    found = Read([], BACKUPS, COPY | {"target": "far:/srv", "lag": 3605.0, "late": True, "problem": "no route"}, STATS, going)
    lines = lines_of(found)
    assert any("far:/srv, 1h old: no route" in line for line in lines) and any("1,000,000 rows" in line for line in lines)
    assert any("cleanup" in line and "nothing is old enough to go" in line for line in lines)
    paused = found._replace(going=going | {"words": "nothing while config.toml is wrong"})
    assert any(line.endswith("nothing while config.toml is wrong") for line in lines_of(paused))


@pytest.mark.parametrize("word", ["backup", "restore", "cleanup", "replica", "check", "config", "slow"])
async def test_the_palette_finds_the_page_by_what_one_looks_for(word: str):
    app = deck(Home())
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("colon", *word)
        await until(pilot, lambda: shown(app, "database: size, backups, what cleanup frees"))
        assert sum("database:" in row for row in screen_text(app)) == 1
        assert shown(app, "back up now") is (word == "backup")  # enter on another word takes no backup


TAKEN = {"id": "20261126T024540Z-increment", "bytes": 2**20, "after": None}


async def backed_up(pilot: Any, app: TaskdeckApp, says: str) -> None:
    await pilot.press("colon", *"back up now", "enter")
    await until(pilot, lambda: shown(app, says))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (TAKEN, "Backed up, 1.0M, restored and checked: 20261126T024540Z-increment."),
        (TAKEN | {"after": "rclone, which is run after it, exited 1"}, "Backed up, but rclone, which is run after it, exited 1. 2026"),
        (FULL, "Not backed up: the disk is full"),
    ],
)
async def test_a_backup_is_taken_from_the_palette_and_says_what_came_of_it(answer: Any, says: str):
    home = Home()
    home.table["db.backup"] = answer
    app = deck(home)
    async with app.run_test(size=(120, 40)) as pilot:
        await backed_up(pilot, app, says)
        assert home.asked("db.backup") == [{}]


async def test_while_a_backup_is_taken_that_is_said_a_second_is_not_begun_and_verbs_go_on():
    goes, home = Event(), Home()
    home.table |= {"db.backup": lambda args: goes.wait(10) and TAKEN, "hold": {"done": [], "refused": [], "notes": []}}
    app = deck(home)
    async with app.run_test(size=(120, 40)) as pilot:
        await backed_up(pilot, app, "Backing up: copied, packed")
        app.hush()
        await until(pilot, lambda: shown(app, "Backing up"))
        app.do([Deed("hold", {}, "Held")])
        await until(pilot, lambda: home.asked("hold"))
        await backed_up(pilot, app, "A backup is being taken already.")
        goes.set()
        await until(pilot, lambda: shown(app, "Backed up, 1.0M"))
        assert len(home.asked("db.backup")) == 1


async def test_read_only_takes_no_backup():
    home = Home()
    app = deck(home, read_only=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await backed_up(pilot, app, "Read only: nothing is changed from here.")
        assert home.asked("db.backup") == []


def test_a_backup_that_is_good_but_for_what_cannot_be_read_says_so():
    (line,) = [line for line in lines_of(Read([], [BACKUPS[0] | {"unreadable": ["2 rows of tasks", "1 of events"]}])) if "128M" in line]
    assert line.endswith("good, but 2 rows of tasks; 1 of events")
