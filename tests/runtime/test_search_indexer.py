"""The index of texts follows the tasks by itself, quietly, whatever becomes of its file, and leaves the writer to others."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import Any

import pytest

from app.health import disk
from app.runtime import search_indexer
from app.runtime.search_indexer import Indexing
from app.service.context import Call
from app.service.tasks.pages import browse
from db import raw_sql
from db.engine import Database, open_database
from db.errors import DiskFull
from db.maintenance import migrate
from db.queries import transitions
from db.search import fts, index_file
from tests.db import builders
from tests.runtime_process import Living, until
from tests.service.calls import execute


async def many(db: Database, count: int) -> None:
    """Submit so many tasks at once."""
    await db.write(lambda c: transitions.submit(c, [builders.task(name=f"work {at}") for at in range(count)], [], "ann"))


async def test_it_catches_up_with_what_was_submitted_renamed_and_purged(call: Call):
    index = Indexing(call.db)
    await many(call.db, 2 * fts.BATCH + 1)
    await index.catch_up()
    assert await call.db.read(fts.behind) == 0

    await execute(call, "UPDATE tasks SET name = 'renamed' WHERE number = 1")
    await execute(call, "DELETE FROM tasks WHERE number = 2")
    await index.catch_up()

    assert await call.db.read(fts.behind) == 0
    assert await call.db.read(raw_sql.column, "SELECT id FROM search_content WHERE c0 LIKE 'renamed%' OR id = 2") == [1]


async def test_nobody_is_woken_by_it_and_it_does_nothing_without_a_commit(db: Database, monkeypatch: pytest.MonkeyPatch):
    await many(db, 3)
    woken: list[int] = []
    db.after_commit(lambda: woken.append(1))
    index = Indexing(db)

    await index.catch_up()
    assert (woken, await db.read(fts.behind)) == ([], 0)

    async def never(*args: Any) -> None:
        raise AssertionError("it looked without a reason")

    monkeypatch.setattr(db, "read", never)
    await index.catch_up()


async def test_it_stops_after_a_spell_and_goes_on_at_its_next_time(db: Database, monkeypatch: pytest.MonkeyPatch):
    await many(db, 3 * fts.BATCH)
    monkeypatch.setattr(search_indexer, "SPELL", 0.0)
    index, left = Indexing(db), []

    for _ in range(3):
        await index.catch_up()
        left.append(await db.read(fts.behind))

    assert left == [2 * fts.BATCH, fts.BATCH, 0]


async def test_new_tasks_cost_the_writer_nothing_and_changed_ones_a_note_of_each_batch(db: Database, monkeypatch: pytest.MonkeyPatch):
    index = Indexing(db)
    await index.catch_up()
    written: list[int | None] = []
    share = fts.share

    def noted(c: Any, mark: int, stale: Any = ()) -> None:
        written.append(len(stale))
        share(c, mark, stale)

    monkeypatch.setattr(fts, "share", noted)
    await many(db, 4 * fts.BATCH)
    await index.catch_up()
    assert (await db.read(fts.behind), written) == (0, [])

    await db.write(raw_sql.run, "UPDATE tasks SET name = 'renamed' WHERE number <= ?", (fts.BATCH + 1,))
    await index.catch_up()
    assert (await db.read(fts.behind), written) == (0, [fts.BATCH, 1])


@pytest.mark.parametrize("trouble", ["missing", "damaged", "foreign"])
async def test_an_index_that_cannot_be_used_is_made_anew_by_itself(
    db: Database, caplog: pytest.LogCaptureFixture, trouble: str
):
    caplog.set_level(logging.INFO)
    duty, file = Indexing(db), index_file.beside(db.path)
    await many(db, 300)
    await duty.catch_up()
    assert await db.read(fts.behind) == 0 and "a search index is begun" in caplog.text
    if trouble == "missing":
        index_file.remove(file)
    elif trouble == "damaged":
        index_file.remove(file)
        file.write_bytes(b"no database" * 500)
    else:
        await db.indexing(db.index.make)

    await duty.catch_up()  # though nothing was committed

    assert (await db.read(fts.behind), (await db.read(fts.known)).upto) == (0, 300)
    assert ("the search index is made anew: " in caplog.text) == (trouble == "damaged")
    assert await db.read(raw_sql.column, "SELECT rowid FROM search WHERE search MATCH '\"k 2\"' AND rowid = 299") == [299]
    assert migrate.check(db.path) == []


async def test_a_file_that_is_damaged_below_it_is_given_up_and_begun_anew(db: Database, caplog: pytest.LogCaptureFixture):
    duty, file = Indexing(db), index_file.beside(db.path)
    await many(db, 300)
    await duty.catch_up()
    await db.indexing(db.index.close)
    with open(file, "r+b") as opened:
        opened.write(b"\xff" * file.stat().st_size)
    await many(db, 10)

    await duty.catch_up()
    await duty.catch_up()

    assert (await db.read(fts.behind), (await db.read(fts.known)).upto) == (0, 310)
    assert "the search index is made anew: " in caplog.text


async def test_a_full_disk_makes_it_wait_and_nothing_else(
    call: Call, db: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    duty = Indexing(db)
    await many(db, 10)
    await duty.catch_up()
    limit = "PRAGMA max_page_count={}"
    await db.indexing(lambda: db.index._opened().execute(limit.format(1)).fetchall())

    await many(db, 3 * fts.BATCH)
    await duty.catch_up()
    await duty.catch_up()

    assert caplog.text.count("the search index waits: database or disk is full") == 1
    assert await db.read(fts.behind) > 0 and db.found.usable() is not None
    assert len((await browse(call, filter="work 74"))["rows"]) == 17

    await db.indexing(lambda: db.index._opened().execute(limit.format(1_000_000)).fetchall())
    await duty.catch_up()
    assert await db.read(fts.behind) == 0 and "the search index goes on" in caplog.text


async def test_a_disk_on_which_more_or_less_is_free_is_told_once(
    db: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    duty = Indexing(db)
    for free in (3, 2):
        monkeypatch.setattr(search_indexer, "disk_trouble", lambda home, touch, free=free: f"disk nearly full (/x: {free}M free)")
        await many(db, 1)
        await duty.catch_up()

    assert caplog.text.count("the search index waits: disk nearly full (/x: 3M free)") == caplog.text.count("the search index waits") == 1


async def test_it_leaves_the_last_of_the_disk_to_others(db: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    duty = Indexing(db)
    await many(db, 10)
    monkeypatch.setattr(disk, "LEAST_SHARE", 2.0)
    await duty.catch_up()
    assert "the search index waits: disk nearly full" in caplog.text and not index_file.beside(db.path).exists()

    monkeypatch.undo()
    await duty.catch_up()

    assert await db.read(fts.behind) == 0


async def test_a_runtime_that_is_killed_between_the_two_commits_is_followed_by_one_that_does_it_once_more(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    await many(db, 10)
    await Indexing(db).catch_up()
    await db.write(raw_sql.run, "UPDATE tasks SET name = 'renamed' WHERE number = 3")

    async def killed(*_: Any) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(db, "write_quietly", killed)
    await Indexing(db).catch_up()
    monkeypatch.undo()
    assert await db.read(fts.behind) > 0

    async with open_database(db.path, writable=True) as next:
        await Indexing(next).catch_up()

        assert await next.read(fts.behind) == 0
        assert await next.read(raw_sql.column, "SELECT id FROM search_content WHERE c0 LIKE 'renamed%'") == [3]


async def test_a_database_that_cannot_be_written_leaves_what_is_to_be_done(db: Database, monkeypatch: pytest.MonkeyPatch):
    duty = Indexing(db)
    await many(db, 10)
    await duty.catch_up()
    await db.write(raw_sql.run, "UPDATE tasks SET name = 'renamed' WHERE number = 3")

    async def full(*_: Any) -> None:
        raise DiskFull("the disk is full.")

    monkeypatch.setattr(db, "write_quietly", full)
    for _ in range(3):
        with pytest.raises(DiskFull):
            await duty.catch_up()
    monkeypatch.undo()
    await duty.catch_up()

    assert (await db.read(fts.behind), len(await db.read(raw_sql.rows, "SELECT * FROM about"))) == (0, 2)


def test_a_runtime_indexes_what_it_was_given_and_one_that_is_killed_at_any_moment_leaves_an_index_that_is_right(runtime: Living):
    def listed() -> Any:
        return runtime.call("browse", filter="find me by")

    runtime.submit("true", name="find me by this")
    assert [row[2] for row in listed()["rows"]] == ["find me by this"]
    assert until(lambda: listed()["lag"] == 0)
    assert [row[2] for row in listed()["rows"]] == ["find me by this"]

    for at in (1, 2):
        runtime.call("set", ids=["1"], fields={"name": f"work {at}"}) if at > 1 else None
        runtime.submit("true", name=f"extra {at}")
        assert until(lambda at=at: runtime.call("browse", filter="extra")["rows"])
        os.kill(runtime.pid, signal.SIGKILL)
        runtime.start()

    assert until(lambda: runtime.call("browse", filter="extra")["lag"] == 0)
    assert len(runtime.call("browse", filter="extra")["rows"]) == 2


async def test_a_runtime_that_stops_meanwhile_waits_for_a_step_at_most_and_says_nothing(
    db: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    await many(db, 4 * fts.BATCH)
    stored = asyncio.Event()
    monkeypatch.setattr(search_indexer, "_rest", lambda began: stored.set() or asyncio.Event().wait())
    duty = asyncio.create_task(Indexing(db).catch_up())
    await stored.wait()

    duty.cancel()
    await duty

    assert [record.message for record in caplog.records] == ["a search index is begun"]
    async with open_database(db.path, writable=True) as next:
        assert await next.read(fts.behind) == 3 * fts.BATCH
