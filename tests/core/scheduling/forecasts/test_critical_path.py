"""Critical paths, and the order of tasks as a tree."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.scheduling.forecasts.critical_path import PathTask, arrange_tree, find_critical_path

DIAMOND = [
    PathTask(1, 5.0, ()),
    PathTask(2, 10.0, (1,)),
    PathTask(3, 20.0, (1,)),
    PathTask(4, 1.0, (2, 3)),
    PathTask(5, 2.0, (2, 99)),
]


def test_the_longest_chain_is_critical():
    assert find_critical_path(DIAMOND) == ((1, 3, 4), 26.0)


def test_without_known_times_no_task_is_critical():
    assert find_critical_path([task._replace(seconds=0.0) for task in DIAMOND]) == ((), 0.0)


def test_each_task_is_listed_once_below_the_parent_that_ends_last():
    assert arrange_tree(DIAMOND) == [(0, 1), (1, 2), (2, 5), (1, 3), (2, 4)]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(0, 100), st.sets(st.integers(0, 19))), max_size=20))
def test_the_path_is_a_chain_and_no_chain_is_longer(drawn: list[tuple[float, set[int]]]):
    tasks = [
        PathTask(n, seconds, [parent for parent in sorted(parents) if parent < n])
        for n, (seconds, parents) in enumerate(drawn)
    ]

    path, tree = find_critical_path(tasks), arrange_tree(tasks)

    ends: list[float] = []
    for task in tasks:
        ends.append(task.seconds + max((ends[parent] for parent in task.parents), default=0.0))
    assert path.seconds == max(ends, default=0.0)
    assert all(a in tasks[b].parents for a, b in zip(path.numbers, path.numbers[1:], strict=False))
    assert sorted(number for _, number in tree) == list(range(len(tasks)))
