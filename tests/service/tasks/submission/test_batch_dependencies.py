"""Dependencies within a submission."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

from app.errors import NotFound
from app.service.tasks.submission import batch_dependencies
from app.service.tasks.submission.batch_dependencies import DependencyEdge, Dependent


class CountingList(list[int]):
    """List that counts the items that loops over it pass."""

    passed = 0

    def __iter__(self) -> Iterator[int]:
        for item in super().__iter__():
            CountingList.passed += 1
            yield item


class CountedEdges(tuple[DependencyEdge, ...]):
    """Dependencies that count how many of them loops pass."""

    passed = 0

    def __iter__(self) -> Iterator[DependencyEdge]:
        for edge in super().__iter__():
            CountedEdges.passed += 1
            yield edge


def find_nothing(reference: str | int) -> str:
    raise NotFound(f'there is no task "{reference}".')


def make_dependents(count: int, name: str, after: str, first: int = 0) -> list[Dependent]:
    return [
        Dependent(at, name, (("success", after),), at + 1) for at in range(first, first + count)
    ]


def test_tasks_that_wait_for_rejected_tasks_pass_each_once():
    many = 300
    CountingList.passed = 0

    _, unknown = batch_dependencies.find_dependencies(
        [*make_dependents(many, "a", "gone"), *make_dependents(many, "b", "a", many)],
        {"a": CountingList(range(many)), "b": CountingList(range(many, 2 * many))},
        find_nothing,
    )

    assert len(unknown) == 2 * many and CountingList.passed < 5 * many
    assert "a cycle" not in str(unknown[many])


def test_parents_come_first_in_a_dense_graph():
    many = 300
    parents: Mapping[int, Sequence[DependencyEdge]] = {
        at: CountedEdges(DependencyEdge(at, other, "success") for other in range(many - 1, at, -1))
        for at in range(many)
    }
    CountedEdges.passed = 0

    assert [*batch_dependencies.iterate_parents_first(many, parents)] == [*range(many)][::-1]
    assert CountedEdges.passed < many * many * 2


def test_parents_come_first_in_random_graphs():
    for seed in range(200):
        chance = random.Random(seed)
        place = chance.sample(range(30), 30)
        parents = {
            at: [
                DependencyEdge(at, other, "any")
                for other in chance.sample(range(30), 5)
                if place[other] < place[at]
            ]
            for at in range(30)
        }

        order = [*batch_dependencies.iterate_parents_first(30, parents)]

        assert sorted(order) == [*range(30)]
        assert all(
            order.index(edge.parent) < order.index(at)
            for at, edges in parents.items()
            for edge in edges
            if isinstance(edge.parent, int)
        )
