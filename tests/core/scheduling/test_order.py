"""Orders of waiting tasks under the policies of a pool."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.core.scheduling.order import (
    FIFO,
    POLICIES,
    PRIORITY,
    SHORTEST,
    WAIT_WEIGHT,
    check_ageing,
    check_policy,
    compute_rank,
    describe_policy,
    format_ageing,
)
from app.core.scheduling.plan import get_sort_key, make_plan
from tests.core.scheduling.builders import make_pool, make_queue, make_task, make_view

SUBMITTED = {1: (100.0, 60.0, 0), 2: (110.0, 5.0, 9), 3: (130.0, 4.0, 5), 4: (700.0, 1.0, 1)}
"""Submission, expected run time and priority by task number."""


@pytest.mark.parametrize(
    ("policy", "order"), [(PRIORITY, [2, 3, 4, 1]), (FIFO, [1, 2, 3, 4]), (SHORTEST, [2, 3, 1, 4])]
)
def test_tasks_start_in_the_order_of_the_policy(policy: str, order: list[int]):
    tasks = [
        replace(
            make_task(number, priority=priority, expected=expected),
            rank=compute_rank(policy, submitted, expected),
        )
        for number, (submitted, expected, priority) in SUBMITTED.items()
    ]
    view = make_view(make_pool(cpu=8), make_queue("q", *sorted(tasks, key=get_sort_key)))

    assert [task.number for task in make_plan(view).starts] == order


@pytest.mark.parametrize("policy", POLICIES)
def test_a_task_moved_to_the_front_is_first_under_each_policy(policy: str):
    tasks = [
        replace(make_task(number, front=number == 3), rank=compute_rank(policy, number, 10.0))
        for number in (1, 2, 3)
    ]
    view = make_view(make_pool(cpu=1), make_queue("q", *sorted(tasks, key=get_sort_key)))

    assert [task.number for task in make_plan(view).starts] == [3]


def test_an_unknown_run_time_counts_as_a_day():
    assert compute_rank(SHORTEST, 5.0, None) == 5.0 + WAIT_WEIGHT * 86400


def test_unknown_policies_are_refused_by_name():
    assert (check_policy("fifo"), check_policy("priority")) == ("fifo", None)
    with pytest.raises(ValueError, match='must be priority, fifo or shortest, not "best"'):
        check_policy("best")
    assert describe_policy(SHORTEST) == "shortest first"


def test_ageings_are_parsed_and_formatted():
    assert [check_ageing(value) for value in (None, "7d", "2d", "never", 60, 0)] == [
        None, None, 172800.0, 0.0, 60.0, 0.0,
    ]  # fmt: skip
    assert [format_ageing(stored) for stored in (None, 0.0, 172800.0)] == ["7d", "never", "2d"]
    with pytest.raises(ValueError, match="must be a duration such as 3d, or never"):
        check_ageing([1])
