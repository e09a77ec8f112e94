"""Kept first tasks of many queues."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from sqlalchemy import Connection

from db import raw_sql
from db.queries.scheduling import age_order, dispatch, first_lines
from db.queries.scheduling.first_lines import FirstLines, LineSize
from tests.db.queries.scheduling.test_kept_lines import UndoError, add_tasks, change
from tests.service.calls import execute_sql, open_call, reopen_call

SIZES = {"default": LineSize(True, 3), "q2": LineSize(False, 4)}


def check(c: Connection, kept: FirstLines) -> None:
    for first, second in ((3, 4), (5, 2)):
        found = kept.map_lines(c, {"default": LineSize(True, first), "q2": LineSize(False, second)})
        assert found == {
            "default": dispatch.list_queued(c, "default", first),
            "q2": age_order.list_queued(c, "q2", second),
        }


@pytest.fixture(autouse=True)
def keep_two_queues(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(first_lines, "MIN_QUEUES", 2)


@pytest.mark.parametrize("seed", range(8))
async def test_kept_lines_equal_those_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
):
    rng, kept = random.Random(seed), FirstLines()
    monkeypatch.setattr(first_lines, "MAX_ROWS", rng.choice([20, 1000]))

    def work(c: Connection, is_undone: bool) -> None:
        for _ in range(rng.randrange(3)):
            change(c, rng)
        if rng.random() < 0.8:
            check(c, kept)
        for _ in range(rng.randrange(3)):
            change(c, rng)
        if rng.random() < 0.3:
            check(c, kept)
        if is_undone:
            raise UndoError

    async with open_call(tmp_path) as call:
        await call.db.write(add_tasks)
        for _ in range(20):
            try:
                await call.db.write(work, rng.random() < 0.3)
            except UndoError:
                pass
            if rng.random() < 0.1:
                await call.db.write(kept.choose, 0)


async def test_only_a_changed_queue_is_read_again(tmp_path: Path):
    kept = FirstLines()
    async with open_call(tmp_path) as call:
        await call.db.write(add_tasks)
        await execute_sql(call, "UPDATE tasks SET queue = 'q2' WHERE number > 9")
        # the first transaction may have changed rows before it looked
        await call.db.write(kept.map_lines, SIZES)
        before = await call.db.write(kept.map_lines, SIZES)
        await execute_sql(call, "UPDATE tasks SET priority = 9 WHERE number = 7")

        found = await call.db.write(kept.map_lines, SIZES)

        assert found["q2"] is before["q2"]
        assert [row.number for row in found["default"]] == [7, 1, 2]


async def test_another_connection_makes_kept_lines_invalid(tmp_path: Path):
    kept = FirstLines()
    async with open_call(tmp_path) as call:
        await call.db.write(add_tasks)
        for _ in range(2):
            await call.db.write(kept.map_lines, SIZES)
        async with reopen_call(tmp_path) as other:
            await execute_sql(other, "UPDATE tasks SET priority = 9 WHERE number = 7")

        found = await call.db.write(kept.map_lines, SIZES)

        assert found["default"][0].number == 7


async def test_nothing_watches_tasks_while_few_queues_wait(tmp_path: Path):
    kept = FirstLines()
    triggers = "SELECT count(*) FROM temp.sqlite_master WHERE type = 'trigger'"

    def count_triggers(c: Connection) -> int:
        return raw_sql.fetch_value(c, triggers)

    async with open_call(tmp_path) as call:
        await call.db.write(kept.map_lines, {"default": SIZES["default"]})
        assert await call.db.write(count_triggers) == 0
        await call.db.write(kept.map_lines, SIZES)
        await call.db.write(kept.choose, 1)
        assert await call.db.write(count_triggers) == 3

        await call.db.write(kept.choose, 0)

        assert await call.db.write(count_triggers) == 0
