"""Tests of the waiting line: a plan that reads only a part of it decides as for the whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.scheduling.plan import (
    ActiveRun,
    QueuedTask,
    get_known_end,
    make_budgets,
    make_plan,
    start_tasks,
)
from tests.core.scheduling.builders import make_pool, make_queue, make_run, make_task, make_view
from tests.trials.replays import waiting_line
from tests.trials.replays.waiting_line import WaitingLine

AMOUNTS = st.fixed_dictionaries(
    {"cpu": st.integers(0, 5), "memory": st.integers(0, 4)}, optional={"gpu": st.integers(0, 2)}
)
SECONDS = st.none() | st.integers(1, 12).map(float)


@pytest.fixture(autouse=True, scope="module")
def short_blocks() -> Iterator[None]:
    """Split blocks of more than four tasks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waiting_line, "BLOCK", 2)
        yield


def start_from_line(
    line: WaitingLine, active: list[ActiveRun], totals: Mapping[str, float]
) -> list[QueuedTask]:
    """Return what a plan starts that reads the tasks from a line."""
    pool = make_pool(**split_named(totals))
    budget = make_budgets([pool], {})[pool.name]
    for run in active:
        budget.occupy(run, get_known_end(run.ends_in))
    return start_tasks(line.find_open(budget).walk(), {"q": budget}, {"q": 100})


def split_named(amounts: Mapping[str, float]) -> dict[str, Any]:
    named = {name: int(n) for name, n in amounts.items() if name == "gpu"}
    return {"cpu": amounts["cpu"], "memory": amounts["memory"], "named": named}


@given(
    totals=AMOUNTS,
    waiting=st.lists(st.tuples(st.permutations(range(3)), AMOUNTS, SECONDS), max_size=16),
    active=st.lists(st.tuples(AMOUNTS, st.none() | st.integers(-2, 12).map(float)), max_size=5),
    removed=st.sets(st.integers(0, 15)),
)
@settings(max_examples=80, deadline=None)
def test_a_plan_of_a_line_starts_what_the_plan_of_all_tasks_starts(
    totals, waiting, active, removed
):
    runs = [
        make_run(100 + at, ends_in=end, **split_named(needs))
        for at, (needs, end) in enumerate(active)
    ]
    line, tasks = WaitingLine(), dict[tuple[float, ...], QueuedTask]()
    for at, (place, needs, expected) in enumerate(waiting):
        key = (*place, at)
        tasks[key] = make_task(at, expected=expected, **split_named(needs))
        line.add(key, tasks[key])
    for key in [key for key in tasks if key[-1] in removed]:
        line.remove(key, tasks.pop(key))
    ordered = [tasks[key] for key in sorted(tasks)]

    chosen = start_from_line(line, runs, totals)

    pool = make_pool(**split_named(totals))
    whole = make_plan(make_view(pool, make_queue("q", *ordered), *runs))
    assert [task.number for task in line] == [task.number for task in ordered]
    assert [task.number for task in chosen] == [task.number for task in whole.starts]


def test_a_plan_passes_over_tasks_that_cannot_start():
    line, read = WaitingLine(), 0
    for at in range(1000):
        line.add((at,), make_task(at, cpu=2 if at else 4, expected=float(10 + at % 7)))
    line.add((1000,), make_task(1000, cpu=1, expected=5.0))
    budget = make_budgets([make_pool(4, 4)], {})["p"]
    budget.occupy(make_run(2000, cpu=3), 8.0)

    for task in line.find_open(budget).walk():
        read += 1
        start_tasks([task], {"q": budget}, {"q": 100})

    assert budget.free.get("cpu") == 0 and budget.backfill and budget.backfill.starts_in < inf
    assert read == 2
