"""The database on a page: what was slow with its plan, sizes once they are measured; what others wrote is drawn as text only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from app.tui.app import TaskdeckApp
from app.tui.databasedoc import sections
from app.tui.look import Look
from app.tui.screens.database import DatabaseScreen
from tests.tui.answers import Answers, deck, until
from tests.tui.boards import NOW
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


class Home(Answers):
    """Remembers how often the file was measured."""

    def __init__(self, *rows: Mapping[str, Any]) -> None:
        super().__init__(**{
            "db.slow": list(rows), "db.stats": self.measure, "db.backups": BACKUPS,
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
    await until(pilot, lambda: shown(app, "1,000,000 rows"))
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


async def test_the_file_is_measured_once_and_again_when_that_is_wanted():
    home = Home(slow(1))
    app = deck(home)
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, app)
        screen.reread()
        await until(pilot, lambda: shown(app, "1,000,000 rows"))
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
    page = sections([evil], BACKUPS, STATS, None, {"1"}, NOW, 80, Look())
    lines = [text for section in page for row in section.rows for text, _ in row.spans]

    assert all(char >= " " for line in lines for char in line)
    assert any("[red]" in line for line in lines)
