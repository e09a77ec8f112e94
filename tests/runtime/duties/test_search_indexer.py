"""The search indexer: follows the tasks in the background and leaves the writer to others."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import ExitStack
from typing import Any

import pytest

from app.health import disk
from app.runtime.duties import search_indexer
from app.runtime.duties.search_indexer import SearchIndexer
from app.service.context import Call
from app.service.tasks.inspection.pages import browse
from db import engine, raw_sql
from db.engine import Database, open_database
from db.errors import DiskFull
from db.maintenance import migrate
from db.queries.tasks import transitions
from db.search import fts, index_file
from tests.db import builders
from tests.runtime_process import RuntimeProcess, wait_until
from tests.service.calls import execute_sql


async def submit_many(db: Database, count: int) -> None:
    await db.write(
        lambda c: transitions.submit(
            c, [builders.make_task_row(name=f"work {at}") for at in range(count)], [], "ann"
        )
    )


async def test_the_index_follows_submitted_renamed_and_purged_tasks(call: Call):
    index = SearchIndexer(call.db)
    await submit_many(call.db, 2 * fts.BATCH + 1)
    await index.catch_up()
    assert await call.db.read(fts.count_unindexed) == 0

    await execute_sql(call, "UPDATE tasks SET name = 'renamed' WHERE number = 1")
    await execute_sql(call, "DELETE FROM tasks WHERE number = 2")
    await index.catch_up()

    assert await call.db.read(fts.count_unindexed) == 0
    assert await call.db.read(
        raw_sql.fetch_column, "SELECT id FROM search_content WHERE c0 LIKE 'renamed%' OR id = 2"
    ) == [1]


async def test_indexing_wakes_nobody_and_needs_a_commit_to_run(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    await submit_many(db, 3)
    woken: list[int] = []
    db.after_commit(lambda: woken.append(1))
    index = SearchIndexer(db)

    await index.catch_up()
    assert (woken, await db.read(fts.count_unindexed)) == ([], 0)

    async def never(*args: Any) -> None:
        raise AssertionError("it looked without a reason")

    monkeypatch.setattr(db, "read", never)
    await index.catch_up()


async def test_indexing_stops_after_its_time_and_continues_later(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    await submit_many(db, 3 * fts.BATCH)
    monkeypatch.setattr(search_indexer, "MAX_SECONDS", 0.0)
    index, left = SearchIndexer(db), []

    for _ in range(3):
        await index.catch_up()
        left.append(await db.read(fts.count_unindexed))

    assert left == [2 * fts.BATCH, fts.BATCH, 0]


async def test_indexing_rests_during_a_large_write(db: Database, monkeypatch: pytest.MonkeyPatch):
    index = SearchIndexer(db)
    await index.catch_up()
    await submit_many(db, 3 * fts.BATCH)
    with db.announce_large_write():
        await index.catch_up()
        assert await db.read(fts.count_unindexed) == 3 * fts.BATCH

    with ExitStack() as stack:
        store = db.index.store

        def store_and_announce(*batch: Any) -> None:
            store(*batch)
            stack.enter_context(db.announce_large_write())

        monkeypatch.setattr(db.index, "store", store_and_announce)
        await index.catch_up()
        assert await db.read(fts.count_unindexed) == 2 * fts.BATCH
        monkeypatch.setattr(db.index, "store", store)

    await index.catch_up()
    assert await db.read(fts.count_unindexed) == 0


@pytest.mark.parametrize(("commits", "ratios"), [(0, [2]), (1, [2]), (2, [2, 18])])
async def test_a_step_is_followed_by_a_longer_pause_while_others_commit(
    db: Database, monkeypatch: pytest.MonkeyPatch, commits: int, ratios: list[float]
):
    await submit_many(db, 3)
    index = SearchIndexer(db)
    await index.catch_up()
    await submit_many(db, 3)
    monkeypatch.setattr(search_indexer, "MAX_SECONDS", 0.0)
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        for _ in range(0 if len(pauses) > 1 else commits):
            await db.write(engine.test_write)

    monkeypatch.setattr(search_indexer.asyncio, "sleep", pause)
    await index.catch_up()

    step = pauses[0] / 2
    assert [seconds / step for seconds in pauses] == pytest.approx(ratios)


async def test_new_tasks_need_no_write_and_changed_ones_one_per_batch(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    index = SearchIndexer(db)
    await index.catch_up()
    written: list[int | None] = []
    share = fts.record_batch

    def noted(c: Any, mark: int, stale: Any = ()) -> None:
        written.append(len(stale))
        share(c, mark, stale)

    monkeypatch.setattr(fts, "record_batch", noted)
    await submit_many(db, 4 * fts.BATCH)
    await index.catch_up()
    assert (await db.read(fts.count_unindexed), written) == (0, [])

    await db.write(
        raw_sql.execute_statement,
        "UPDATE tasks SET name = 'renamed' WHERE number <= ?",
        (fts.BATCH + 1,),
    )
    await index.catch_up()
    assert (await db.read(fts.count_unindexed), written) == (0, [fts.BATCH, 1])


@pytest.mark.parametrize("trouble", ["missing", "damaged", "foreign"])
async def test_an_unusable_index_is_rebuilt(
    db: Database, caplog: pytest.LogCaptureFixture, trouble: str
):
    caplog.set_level(logging.INFO)
    duty, file = SearchIndexer(db), index_file.get_index_path(db.path)
    await submit_many(db, 300)
    await duty.catch_up()
    assert await db.read(fts.count_unindexed) == 0 and "building the search index" in caplog.text
    if trouble == "missing":
        index_file.remove_index(file)
    elif trouble == "damaged":
        index_file.remove_index(file)
        file.write_bytes(b"no database" * 500)
    else:
        await db.run_on_index(db.index.create)

    await duty.catch_up()  # even without a commit

    assert (await db.read(fts.count_unindexed), (await db.read(fts.read_state)).upto) == (0, 300)
    assert ("rebuilding the search index: " in caplog.text) == (trouble == "damaged")
    assert await db.read(
        raw_sql.fetch_column,
        "SELECT rowid FROM search WHERE search MATCH '\"k 2\"' AND rowid = 299",
    ) == [299]
    assert migrate.check_database(db.path) == []


async def test_a_file_damaged_during_use_is_rebuilt(db: Database, caplog: pytest.LogCaptureFixture):
    duty, file = SearchIndexer(db), index_file.get_index_path(db.path)
    await submit_many(db, 300)
    await duty.catch_up()
    await db.run_on_index(db.index.close)
    with open(file, "r+b") as opened:
        opened.write(b"\xff" * file.stat().st_size)
    await submit_many(db, 10)

    await duty.catch_up()
    await duty.catch_up()

    assert (await db.read(fts.count_unindexed), (await db.read(fts.read_state)).upto) == (0, 310)
    assert "rebuilding the search index: " in caplog.text


async def test_a_full_disk_only_delays_indexing(
    call: Call, db: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    duty = SearchIndexer(db)
    await submit_many(db, 10)
    await duty.catch_up()
    limit = "PRAGMA max_page_count={}"
    await db.run_on_index(lambda: db.index._open_current().execute(limit.format(1)).fetchall())

    await submit_many(db, 3 * fts.BATCH)
    await duty.catch_up()
    await duty.catch_up()

    assert caplog.text.count("indexing paused: database or disk is full") == 1
    assert await db.read(fts.count_unindexed) > 0 and db.found.get_usable() is not None
    assert len((await browse(call, filter="work 74"))["rows"]) == 17

    await db.run_on_index(
        lambda: db.index._open_current().execute(limit.format(1_000_000)).fetchall()
    )
    await duty.catch_up()
    assert await db.read(fts.count_unindexed) == 0 and "indexing resumed" in caplog.text


async def test_a_low_disk_is_reported_once_whatever_its_free_space(
    db: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    duty = SearchIndexer(db)
    for free in (3, 2):
        monkeypatch.setattr(
            search_indexer,
            "find_disk_trouble",
            lambda home, touch, free=free: f"disk nearly full (/x: {free}M free)",
        )
        await submit_many(db, 1)
        await duty.catch_up()

    assert (
        caplog.text.count("indexing paused: disk nearly full (/x: 3M free)")
        == caplog.text.count("indexing paused")
        == 1
    )


async def test_indexing_leaves_the_last_disk_space_to_others(
    db: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    duty = SearchIndexer(db)
    await submit_many(db, 10)
    monkeypatch.setattr(disk, "MIN_FREE_SHARE", 2.0)
    await duty.catch_up()
    assert (
        "indexing paused: disk nearly full" in caplog.text
        and not index_file.get_index_path(db.path).exists()
    )

    monkeypatch.undo()
    await duty.catch_up()

    assert await db.read(fts.count_unindexed) == 0


async def test_a_batch_killed_between_its_two_commits_is_repeated(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    await submit_many(db, 10)
    await SearchIndexer(db).catch_up()
    await db.write(raw_sql.execute_statement, "UPDATE tasks SET name = 'renamed' WHERE number = 3")

    async def killed(*_: Any) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(db, "write_quietly", killed)
    await SearchIndexer(db).catch_up()
    monkeypatch.undo()
    assert await db.read(fts.count_unindexed) > 0

    async with open_database(db.path, writable=True) as next:
        await SearchIndexer(next).catch_up()

        assert await next.read(fts.count_unindexed) == 0
        assert await next.read(
            raw_sql.fetch_column, "SELECT id FROM search_content WHERE c0 LIKE 'renamed%'"
        ) == [3]


async def test_an_unwritable_database_keeps_the_batch_pending(
    db: Database, monkeypatch: pytest.MonkeyPatch
):
    duty = SearchIndexer(db)
    await submit_many(db, 10)
    await duty.catch_up()
    await db.write(raw_sql.execute_statement, "UPDATE tasks SET name = 'renamed' WHERE number = 3")

    async def full(*_: Any) -> None:
        raise DiskFull("the disk is full.")

    monkeypatch.setattr(db, "write_quietly", full)
    for _ in range(3):
        with pytest.raises(DiskFull):
            await duty.catch_up()
    monkeypatch.undo()
    await duty.catch_up()

    assert (
        await db.read(fts.count_unindexed),
        len(await db.read(raw_sql.fetch_rows, "SELECT * FROM about")),
    ) == (0, 2)


def test_a_runtime_killed_at_any_moment_leaves_a_correct_index(runtime: RuntimeProcess):
    def listed() -> Any:
        return runtime.call("browse", filter="find me by")

    runtime.submit("true", name="find me by this")
    assert [row[2] for row in listed()["rows"]] == ["find me by this"]
    assert wait_until(lambda: listed()["lag"] == 0)
    assert [row[2] for row in listed()["rows"]] == ["find me by this"]

    for at in (1, 2):
        runtime.call("set", ids=["1"], fields={"name": f"work {at}"}) if at > 1 else None
        runtime.submit("true", name=f"extra {at}")
        assert wait_until(lambda at=at: runtime.call("browse", filter="extra")["rows"])
        os.kill(runtime.pid, signal.SIGKILL)
        runtime.start()

    assert wait_until(lambda: runtime.call("browse", filter="extra")["lag"] == 0)
    assert len(runtime.call("browse", filter="extra")["rows"]) == 2


async def test_a_stopping_runtime_waits_for_one_step_silently(
    db: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    await submit_many(db, 4 * fts.BATCH)
    stored = asyncio.Event()
    monkeypatch.setattr(
        SearchIndexer, "_pause_after", lambda *_: stored.set() or asyncio.Event().wait()
    )
    duty = asyncio.create_task(SearchIndexer(db).catch_up())
    await stored.wait()

    duty.cancel()
    await duty

    assert [record.message for record in caplog.records] == ["building the search index"]
    async with open_database(db.path, writable=True) as next:
        assert await next.read(fts.count_unindexed) == 3 * fts.BATCH
