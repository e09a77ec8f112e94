"""Tests of what tasks used in a period."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.errors import Usage
from app.service import usage
from app.service.context import Call
from db import timestamps
from db.queries.history import usage as store
from db.queries.home import retention
from tests.service.calls import execute_sql, submit_task

NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def fixed_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timestamps, "utcnow", lambda: NOW)


def at(hours: float) -> str:
    """Return the time some hours ago."""
    return timestamps.format_time(NOW - timedelta(hours=hours))


async def add_run(
    call: Call, number: int, attempt: int, began: float, ended: float | None, **columns: Any
) -> None:
    """Insert a run that began and ended some hours ago; without an end it is active."""
    hours = None if ended is None else began - ended
    values = {
        "runid": f"{number}-{attempt}", "status": "running" if ended is None else "succeeded",
        "start_time": at(began), "end_time": None if ended is None else at(ended),
        "tags": "{}", "created_at": at(began), "updated_at": at(began), "attempt": attempt,
        "queue": "default", "pool": "default", "cpu": 2.0, "memory": 512.0,
        "run_seconds": None if hours is None else hours * 3600,
        "cpu_seconds": None if hours is None else hours * 1800,
    } | columns  # fmt: skip
    names = ", ".join(values)
    marks = ", ".join("?" * len(values))
    await execute_sql(
        call,
        f"INSERT INTO instances ({names}, task_id) SELECT {marks}, uuid FROM tasks WHERE number ="
        " ?",
        *values.values(),
        number,
    )
    await execute_sql(call, "UPDATE tasks SET attempts = ? WHERE number = ?", attempt, number)
    if attempt == 1:
        await execute_sql(
            call, "UPDATE tasks SET created_at = ? WHERE number = ?", at(began + 1), number
        )


async def read_rows(call: Call, **args: Any) -> dict[str | None, dict[str, Any]]:
    return {row["name"]: row for row in (await usage.read_usage(call, **args))["rows"]}


async def test_a_retried_task_counts_once_with_the_hours_of_all_attempts(call: Call):
    await submit_task(call)
    await add_run(call, 1, 1, began=10, ended=9, status="failed")
    await add_run(call, 1, 2, began=5, ended=3)

    (row,) = (await read_rows(call)).values()

    assert (row["tasks"], row["runs"], row["failed"]) == (1, 2, 1)
    assert row["cpu_hours"] == pytest.approx(6.0)
    assert row["cpu_used_hours"] == pytest.approx(1.5)
    assert row["memory_gib_hours"] == pytest.approx(1.5)
    assert row["mean_wait"] == row["longest_wait"] == pytest.approx(3600.0, abs=1)


async def test_rows_are_made_beside_the_event_loop(call: Call, monkeypatch: pytest.MonkeyPatch):
    threads: list[int] = []
    make_rows = usage._make_rows

    def note(*args: Any) -> Any:
        threads.append(threading.get_ident())
        return make_rows(*args)

    monkeypatch.setattr(usage, "_make_rows", note)

    assert await read_rows(call, by="name") == {}
    assert len(threads) == 1 and threading.get_ident() not in threads


async def test_only_the_hours_within_the_period_count(call: Call):
    for _ in range(3):
        await submit_task(call)
    await add_run(call, 1, 1, began=30, ended=23, resources='{"gpu": 2}')
    await add_run(call, 2, 1, began=4, ended=None)
    await add_run(call, 3, 1, began=40, ended=30)

    (row,) = (await read_rows(call, since="24h")).values()

    assert (row["tasks"], row["run_hours"]) == (2, pytest.approx(5.0))
    assert row["cpu_used_hours"] == pytest.approx(0.5)
    assert row["gpu_hours"] == pytest.approx(2.0)


async def test_groups_are_those_of_tags_users_and_templates(call: Call):
    for number, tags in enumerate(['{"exp.a": "lr"}', '{"exp.a": "bs"}', "{}"], 1):
        await submit_task(call)
        await add_run(call, number, 1, began=number + 1, ended=1, tags=tags)

    rows = await read_rows(call, by="tag:exp.a")
    assert {name: row["cpu_hours"] for name, row in rows.items()} == {
        "lr": pytest.approx(2.0),
        "bs": pytest.approx(4.0),
        None: pytest.approx(6.0),
    }
    assert [*await read_rows(call, by="user")] == ["ann"]
    assert [*await read_rows(call, by="template")] == [None]
    assert (await usage.read_usage(call))["total"]["tasks"] == 3


async def test_groups_and_names_are_summed_with_named_resources(call: Call):
    await submit_task(call)
    for name in ("a", "a", "b"):
        await submit_task(call, name=name)
    await execute_sql(call, "UPDATE tasks SET group_number = 7 WHERE number > 1")
    named = '{"license.matlab": 2, "gpu": 1}'
    for number in (1, 2, 3, 4):
        held = None if number == 1 else named
        ended = None if number == 4 else 1
        await add_run(call, number, 1, began=2, ended=ended, resources=held)

    rows = await read_rows(call, by="group")
    assert [*rows] == ["g7", None] and rows[None]["resource_hours"] == {}
    assert rows["g7"]["resource_hours"] == {"license.matlab": pytest.approx(8.0)}
    assert rows["g7"]["gpu_hours"] == pytest.approx(4.0)
    rows = await read_rows(call, by="name")
    assert rows["b"]["resource_hours"] == {"license.matlab": pytest.approx(4.0)}
    total = (await usage.read_usage(call, by="name"))["total"]
    assert total["resource_hours"] == {"license.matlab": pytest.approx(8.0)}


async def test_pages_neither_drop_nor_repeat_runs(call: Call, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store, "PAGE", 2)
    for number in range(1, 8):
        await submit_task(call)
        await add_run(call, number, 1, began=6, ended=2 if number < 5 else number - 4)

    assert (await usage.read_usage(call))["total"]["runs"] == 7


@pytest.mark.parametrize("by", ["pool", "tag:", 5])
async def test_an_unknown_group_is_refused(call: Call, by: Any):
    with pytest.raises(Usage, match="usage is by queue, template, user, group, name or tag:KEY"):
        await usage.read_usage(call, by=by)


async def test_a_home_without_runs_has_no_usage(call: Call):
    found = await usage.read_usage(call)

    assert found["rows"] == [] and found["total"]["tasks"] == 0


async def test_figures_say_since_when_no_run_is_missing(call: Call):
    for _ in range(2):
        await submit_task(call)
    await add_run(call, 1, 1, began=10, ended=9)
    await add_run(call, 2, 1, began=5, ended=3)
    await execute_sql(call, "UPDATE tasks SET status = 'succeeded', ended_at = ?", at(3))
    assert (await usage.read_usage(call))["complete_since"] is None

    await call.db.write(retention.remove_runs, ["1-1"])
    await call.db.write(retention.remove_runs, [])

    assert (await usage.read_usage(call))["complete_since"] == at(9)
    assert (await usage.read_usage(call, since="8h"))["complete_since"] is None
