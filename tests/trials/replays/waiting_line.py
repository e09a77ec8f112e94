"""Waiting tasks in order, of which a plan reads only those that could start.

A plan over 100,000 waiting tasks would look at each one of them. Here tasks with similar needs are
a class, kept in blocks that know their smallest needs and their shortest expected time. Classes and
blocks that cannot start now are passed over as a whole. So a round takes time for the tasks that
start and for the number of classes, not for all tasks.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from math import frexp, inf, ldexp

from app.core.scheduling.plan import Amounts, PoolBudget, QueuedTask

SortKey = tuple[float, ...]
"""Position of a task in a line; smaller is earlier. Each task has its own."""
Entry = tuple[SortKey, QueuedTask]

BLOCK = 256
"""Tasks of a block after a split."""
STEPS = 16
"""Needs of a class differ by less than an eighth; whole numbers up to 16 do not differ."""


class _Block:
    """Consecutive tasks of a class, with lower bounds of their needs and expected times."""

    __slots__ = ("entries", "least", "removed", "shortest")

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.measure()

    def measure(self) -> None:
        """Compute the bounds again; removals leave them too low."""
        self.shortest, self.least, self.removed = inf, dict[str, float](), 0
        needs = None
        for _, task in self.entries:
            if task.needs is not needs:
                needs = task.needs
                self._lower_needs(needs)
        self.shortest = min(map(_get_expected, self.entries), default=inf)

    def add(self, entry: Entry) -> None:
        insort(self.entries, entry, key=_get_key)
        self.shortest = min(self.shortest, _get_expected(entry))
        self._lower_needs(entry[1].needs)

    def find_next(self, after: SortKey, budget: PoolBudget) -> Entry | None:
        """Return the first task behind a key that the budget admits."""
        if self.shortest > get_longest(budget, self.least):
            return None
        entries, needs, longest = self.entries, None, -1.0
        first = bisect_right(entries, after, key=_get_key)
        for at in range(first, len(entries)):
            task = entries[at][1]
            if task.needs is not needs:
                needs = task.needs
                longest = get_longest(budget, needs)
            if longest >= 0 and _get_expected(entries[at]) <= longest:
                return entries[at]
        if self.removed:
            self.measure()
        return None

    def _lower_needs(self, needs: Amounts) -> None:
        least = self.least
        for name, need in needs.items():
            if need < least.get(name, inf):
                least[name] = need


def get_longest(budget: PoolBudget, needs: Amounts) -> float:
    """Return the longest expected time with which a task with these needs may start now.

    inf is any time, also an unknown one; -1 is none.
    """
    if not budget.free.has(needs):
        return -1.0
    return budget.backfill.get_longest(needs) if budget.backfill else inf


def _get_key(entry: Entry) -> SortKey:
    return entry[0]


def _get_expected(entry: Entry) -> float:
    expected = entry[1].expected
    return inf if expected is None else expected


class _TaskClass:
    """Tasks with similar needs, in order; none needs less than `floor`."""

    __slots__ = ("_blocks", "_lasts", "floor")

    def __init__(self, floor: Amounts) -> None:
        self.floor = floor
        self._blocks: list[_Block] = []
        self._lasts: list[SortKey] = []

    def is_empty(self) -> bool:
        return not self._blocks

    def add(self, entry: Entry) -> None:
        if not self._blocks:
            self._blocks.append(_Block([entry]))
            self._lasts.append(entry[0])
            return
        at = min(bisect_left(self._lasts, entry[0]), len(self._blocks) - 1)
        block = self._blocks[at]
        block.add(entry)
        self._lasts[at] = block.entries[-1][0]
        if len(block.entries) > 2 * BLOCK:
            self._blocks[at : at + 1] = halves = [
                _Block(block.entries[:BLOCK]),
                _Block(block.entries[BLOCK:]),
            ]
            self._lasts[at : at + 1] = [half.entries[-1][0] for half in halves]

    def remove(self, key: SortKey) -> None:
        at = bisect_left(self._lasts, key)
        block = self._blocks[at]
        del block.entries[bisect_left(block.entries, key, key=_get_key)]
        block.removed += 1
        if block.entries:
            self._lasts[at] = block.entries[-1][0]
        else:
            del self._blocks[at], self._lasts[at]

    def find_next(self, after: SortKey, budget: PoolBudget) -> Entry | None:
        """Return the first task behind a key that the budget of the pool admits."""
        for at in range(bisect_right(self._lasts, after), len(self._blocks)):
            if entry := self._blocks[at].find_next(after, budget):
                return entry
        return None


class WaitingLine:
    """Tasks that wait for one pool without shared resources, in queues with free slots."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._classes: dict[tuple[object, ...], _TaskClass] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[QueuedTask]:
        return (task for _, task in self._entries)

    def add(self, key: SortKey, task: QueuedTask) -> None:
        """Add a task at its position."""
        entry = key, task
        insort(self._entries, entry, key=_get_key)
        name = _classify(task.needs)
        if name not in self._classes:
            self._classes[name] = _TaskClass(_make_floor(task.needs))
        self._classes[name].add(entry)

    def remove(self, key: SortKey, task: QueuedTask) -> None:
        """Remove a task, which must be present."""
        del self._entries[bisect_left(self._entries, key, key=_get_key)]
        name = _classify(task.needs)
        self._classes[name].remove(key)
        if self._classes[name].is_empty():
            del self._classes[name]

    def find_open(self, budget: PoolBudget) -> OpenLine:
        """Return the part of the line that may fit the free amounts of a pool."""
        fits = budget.free.has
        classes = [one for one in self._classes.values() if fits(one.floor)]
        return OpenLine(self._entries, classes, budget)


class OpenLine:
    """Tasks of a line that may start within one decision, while the free amounts shrink."""

    def __init__(
        self, entries: Sequence[Entry], classes: Sequence[_TaskClass], budget: PoolBudget
    ) -> None:
        self._entries, self._classes, self._budget = entries, classes, budget

    def has_candidates(self, after: SortKey = ()) -> bool:
        """Return True if a task behind a key may start now."""
        return any(one.find_next(after, self._budget) for one in self._classes)

    def walk(self, backfills: bool = True) -> Iterator[QueuedTask]:
        """Yield the tasks that may start, and the task that gets the reservation, in order.

        The plan tries each task before it takes the next one, and changes the budget, which each
        step reads again. A reservation that delays no later task is left out. Without backfill the
        first task that does not fit is the last one.
        """
        budget = self._budget
        after: SortKey = ()
        for after, task in self._entries:
            if not budget.free.has(task.needs) and not (backfills and self.has_candidates(after)):
                return
            yield task
            if budget.backfill is not None:
                break
        yield from self._walk_behind(after)

    def _walk_behind(self, after: SortKey) -> Iterator[QueuedTask]:
        """Yield the first task of each class that may start, until none is left."""
        budget = self._budget
        heads = [
            (entry[0], at, one, entry[1])
            for at, one in enumerate(self._classes)
            if (entry := one.find_next(after, budget))
        ]
        heapify(heads)
        while heads:
            key, at, one, task = heappop(heads)
            yield task
            if entry := one.find_next(key, budget):
                heappush(heads, (entry[0], at, one, entry[1]))


def _classify(needs: Amounts) -> tuple[object, ...]:
    """Return the class of tasks with these needs."""
    found: list[object] = []
    for name, need in needs.items():
        mantissa, exponent = frexp(need)
        found += (name, exponent, int(mantissa * STEPS))
    return tuple(found)


def _make_floor(needs: Amounts) -> Amounts:
    """Return the least needs of a class, from those of any of its tasks."""
    found = dict[str, float]()
    for name, need in needs.items():
        mantissa, exponent = frexp(need)
        found[name] = ldexp(int(mantissa * STEPS) / STEPS, exponent)
    return found
