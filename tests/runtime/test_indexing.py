"""The index of texts follows the tasks by itself, quietly, and leaves the writer to others."""

from __future__ import annotations

import time
from typing import Any

import pytest

from app.runtime import indexing
from app.runtime.indexing import Indexing
from app.service import texts
from app.service.call import Call
from db import moves, search
from db.engine import Database
from tests.db import making
from tests.living import Living, until
from tests.service.ready import execute


async def many(db: Database, count: int) -> None:
    """Submit so many tasks at once."""
    await db.write(lambda c: moves.submit(c, [making.task(name=f"work {at}") for at in range(count)], [], "ann"))


async def test_it_catches_up_with_what_was_submitted_renamed_and_purged(call: Call):
    index = Indexing(call.db)
    await many(call.db, 2 * search.BATCH + 1)
    await index.catch_up()
    assert await call.db.read(search.behind) == 0

    await execute(call, "UPDATE tasks SET name = 'renamed' WHERE number = 1")
    await execute(call, "DELETE FROM tasks WHERE number = 2")
    await index.catch_up()

    assert await call.db.read(search.behind) == 0
    assert await execute(call, "SELECT id FROM search_content WHERE c0 LIKE 'renamed%' OR id = 2") == [(1,)]


async def test_nobody_is_woken_by_it_and_it_does_nothing_without_a_commit(db: Database, monkeypatch: pytest.MonkeyPatch):
    await many(db, 3)
    woken: list[int] = []
    db.after_commit(lambda: woken.append(1))
    index = Indexing(db)

    await index.catch_up()
    assert (woken, await db.read(search.behind)) == ([], 0)

    async def never(*args: Any) -> None:
        raise AssertionError("it looked without a reason")

    monkeypatch.setattr(db, "read", never)
    await index.catch_up()


async def test_it_stops_after_a_spell_and_goes_on_at_its_next_time(db: Database, monkeypatch: pytest.MonkeyPatch):
    await many(db, 3 * search.BATCH)
    monkeypatch.setattr(indexing, "SPELL", 0.0)
    index, left = Indexing(db), []

    for _ in range(3):
        await index.catch_up()
        left.append(await db.read(search.behind))

    assert left == [2 * search.BATCH, search.BATCH, 0]


async def test_a_step_holds_the_writer_for_moments_only(db: Database):
    await many(db, 8 * search.BATCH)
    took = []
    while await db.read(search.behind):
        await db.write_quietly(lambda c: took.append(_timed(c)))

    assert len(took) == 8 and sorted(took)[4] < 0.02


def _timed(c: Any) -> float:
    """Seconds of work that one batch is for the writer's thread."""
    began = time.thread_time()
    search.fill(c, texts.stored)
    search.merge(c)
    return time.thread_time() - began


def test_a_runtime_indexes_what_it_was_given(runtime: Living):
    runtime.submit("true", name="find me by this")

    def listed() -> Any:
        return runtime.call("browse", filter="find me by")

    assert [row[2] for row in listed()["rows"]] == ["find me by this"]
    assert until(lambda: listed()["lag"] == 0)
    assert [row[2] for row in listed()["rows"]] == ["find me by this"]
