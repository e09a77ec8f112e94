"""Kept lines of queued tasks without those that limits stop."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from db import raw_sql
from db.queries.scheduling import kept_lines, limits
from db.queries.scheduling.kept_lines import KeptLines
from db.queries.scheduling.limits import Exclusion
from db.queries.tasks import transitions
from tests.db.builders import make_task_row
from tests.service.calls import execute_sql, open_call, reopen_call

GROUP, TAG = Exclusion((), (), None, 0.0, group=1), Exclusion(("team=a",), (), None, 0.0)
CHANGES = [
    "UPDATE tasks SET status = 'held' WHERE number = ?",
    "UPDATE tasks SET status = 'queued' WHERE number = ?",
    "UPDATE tasks SET priority = number % 7 WHERE number = ?",
    "UPDATE tasks SET front = 1 - front WHERE number = ?",
    "UPDATE tasks SET queue = CASE queue WHEN 'default' THEN 'q2' ELSE 'default' END"
    " WHERE number = ?",
    "UPDATE tasks SET group_number = NULL WHERE number = ?",
    "UPDATE tasks SET group_number = 1 WHERE number = ?",
    'UPDATE tasks SET tags = \'{"team": "a"}\' WHERE number = ?',
    "UPDATE tasks SET tags = '{}' WHERE number = ?",
    "DELETE FROM tasks WHERE number = ?",
    "INSERT",
]


class UndoError(Exception):
    """End of a transaction that is rolled back."""


def add_task(c: Connection, **more: Any) -> None:
    transitions.submit(c, [make_task_row(**more)], [], "ann")


def add_tasks(c: Connection) -> None:
    c.exec_driver_sql(
        "INSERT INTO queues (name, capacity, status, priority, pool, created_at, updated_at)"
        " SELECT 'q2', capacity, status, priority, pool, created_at, updated_at FROM queues"
    )
    for number in range(24):
        add_task(c, group_number=1 if number % 3 else None)


def change(c: Connection, rng: random.Random) -> None:
    what = rng.choice(CHANGES)
    if what == "INSERT":
        return add_task(c, group_number=rng.choice([None, 1]), priority=rng.randrange(3))
    c.exec_driver_sql(what, (rng.randrange(1, 30),))


def list_in_steps(c: Connection, kept: KeptLines, *line: Any) -> list[Any]:
    """Return three rows of a line, after as many rounds as it takes."""
    queue, by_priority, excluded = line
    for _ in range(100):
        kept.begin_round(c)
        found = kept.list_queued(c, queue, by_priority, 3, excluded)
        if kept._misses_changes:  # a line of this transaction is not kept
            return kept.list_queued(c, queue, by_priority, 3, excluded, at_once=True)
        if not kept.is_cut:
            return found
    raise AssertionError("a line is never whole")


def check(c: Connection, kept: KeptLines) -> None:
    for queue in ("default", "q2"):
        for by_priority in (True, False):
            for excluded in ([GROUP], [GROUP, TAG]):
                found = list_in_steps(c, kept, queue, by_priority, excluded)
                assert found == limits.list_queued(c, queue, by_priority, 3, excluded)


@pytest.mark.parametrize("seed", range(11))
async def test_kept_lines_equal_those_read_from_all_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
):
    rng, kept = random.Random(seed), KeptLines()
    monkeypatch.setattr(kept_lines, "MAX_ROWS", rng.choice([4, 100]))
    monkeypatch.setattr(kept_lines, "STEP_ROWS", rng.choice([2, 100]))
    monkeypatch.setattr(kept_lines, "MAX_SECONDS", rng.choice([0.0, 1.0]))
    monkeypatch.setattr(kept_lines, "MAX_CHANGES", rng.choice([6, 100]))

    def work(c: Connection, is_undone: bool) -> None:
        for _ in range(rng.randrange(4)):
            change(c, rng)
        if rng.random() < 0.8:
            check(c, kept)
        for _ in range(rng.randrange(3)):
            change(c, rng)
        if is_undone:
            raise UndoError

    async with open_call(tmp_path) as call:
        await call.db.write(add_tasks)
        for _ in range(25):
            try:
                await call.db.write(work, rng.random() < 0.3)
            except UndoError:
                pass
            if rng.random() < 0.1:
                await call.db.write(kept.stop)


async def test_a_kept_line_passes_no_stopped_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    kept, passes = KeptLines(), list[str]()
    read = limits.list_part

    def list_part(c: Connection, queue: str, *more: Any) -> list[Any]:
        passes.append(queue)
        return read(c, queue, *more)

    async with open_call(tmp_path) as call:
        await call.db.write(add_tasks)
        for _ in range(2):  # the first transaction may have changed rows before it looked
            await call.db.write(kept.list_queued, "default", True, 3, [GROUP], True)
        monkeypatch.setattr(limits, "list_part", list_part)
        await execute_sql(call, "UPDATE tasks SET priority = 9 WHERE number = 7")

        found = await call.db.write(kept.list_queued, "default", True, 3, [GROUP], True)

        assert [row.number for row in found] == [7, 1, 4]
        assert passes == []


async def test_another_connection_makes_kept_lines_invalid(tmp_path: Path):
    kept = KeptLines()
    async with open_call(tmp_path) as call:
        await call.db.write(add_tasks)
        for _ in range(2):
            await call.db.write(kept.list_queued, "default", True, 3, [GROUP], True)
        async with reopen_call(tmp_path) as other:
            await execute_sql(other, "UPDATE tasks SET priority = 9 WHERE number = 7")

        found = await call.db.write(kept.list_queued, "default", True, 3, [GROUP], True)

        assert found[0].number == 7


async def test_nothing_watches_tasks_once_lines_are_not_kept(tmp_path: Path):
    kept = KeptLines()
    triggers = "SELECT count(*) FROM temp.sqlite_master WHERE type = 'trigger'"

    def count_triggers(c: Connection) -> int:
        return raw_sql.fetch_value(c, triggers)

    async with open_call(tmp_path) as call:
        await call.db.write(kept.list_queued, "default", True, 3, [GROUP], True)
        assert await call.db.write(count_triggers) == 3

        await call.db.write(kept.stop)

        assert await call.db.write(count_triggers) == 0
