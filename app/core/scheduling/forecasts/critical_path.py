"""Critical path of tasks that wait for one another, and their order as a tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter
from typing import NamedTuple


class PathTask(NamedTuple):
    """A task: its number, its seconds, and the numbers of the tasks that it waits for.

    `seconds` is 0 if the time is unknown.
    """

    number: int
    seconds: float
    parents: Sequence[int]


class CriticalPath(NamedTuple):
    """The longest chain of tasks, first to last, and its seconds; empty if no time is known."""

    numbers: tuple[int, ...]
    seconds: float


def find_critical_path(tasks: Sequence[PathTask]) -> CriticalPath:
    """Return the critical path of tasks without a cycle; unknown parents do not count."""
    ends = _find_ends(tasks)
    seconds = max((end for end, _ in ends.values()), default=0.0)
    at = next((n for n, (end, _) in ends.items() if end == seconds > 0), None)
    path = list[int]()
    while at is not None:
        path.append(at)
        at = ends[at][1]
    return CriticalPath(tuple(reversed(path)), seconds)


def arrange_tree(tasks: Sequence[PathTask]) -> list[tuple[int, int]]:
    """Return each task once as depth and number, below the parent that ends last."""
    ends = _find_ends(tasks)
    children: dict[int | None, list[int]] = {}
    for number, (_, parent) in sorted(ends.items()):
        children.setdefault(parent, []).append(number)
    stack = [(0, number) for number in reversed(children.get(None, []))]
    found = list[tuple[int, int]]()
    while stack:
        depth, number = stack.pop()
        found.append((depth, number))
        stack += [(depth + 1, child) for child in reversed(children.get(number, []))]
    return found


def _find_ends(tasks: Sequence[PathTask]) -> dict[int, tuple[float, int | None]]:
    """Return the earliest end of each task, in a pool without limits, and its latest parent."""
    known: Mapping[int, PathTask] = {task.number: task for task in tasks}
    order = TopologicalSorter({task.number: task.parents for task in tasks}).static_order()
    ends: dict[int, tuple[float, int | None]] = {}
    for number in order:
        if number in known:
            parents = [parent for parent in known[number].parents if parent in known]
            latest = max(parents, key=lambda parent: (ends[parent][0], -parent), default=None)
            start = 0.0 if latest is None else ends[latest][0]
            ends[number] = (start + known[number].seconds, latest)
    return ends
