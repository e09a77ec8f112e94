"""Pools against the machine: which are too large, alone or together, and how small they would have to be."""

from __future__ import annotations

from app.core.scheduling import overcommit


def pool(name: str, cpu: float, memory: float = 0.0) -> dict[str, object]:
    return {"name": name, "total_cpu": cpu, "total_memory": memory}


def test_pools_that_are_the_machine_are_not_too_large():
    assert not list(overcommit.found([pool("a", 2, 600), pool("b", 2, 424)], cpu=4, memory=1024))
    assert not list(overcommit.found([], cpu=4, memory=1024))


def test_one_that_is_too_large_by_itself_is_told_with_both_figures():
    (one,) = overcommit.found([pool("a", 200, 500 * 1024), pool("b", 1)], cpu=2, memory=24 * 1024)

    assert one == overcommit.Oversize(
        "pool a gives out 200 cpu and 500G memory, but this machine has 2 and 24.0G", "a", {"cpu": 2, "memory": 24 * 1024}, True
    )


def test_what_all_are_too_large_in_together_is_told_with_the_largest():
    (one,) = overcommit.found([pool("a", 2), pool("b", 3)], cpu=4, memory=1024)

    assert (one.said, one.pool, one.fits) == ("the pools together give out 5 cpu, but this machine has 4", "b", {"cpu": 2})


def test_after_a_change_nothing_is_said_of_another_pool():
    pools = [pool("a", 9), pool("b", 1)]

    assert not overcommit.after(pools, 4, 1024, ["b"])
    assert overcommit.after(pools, 4, 1024, ["a"]) == ["pool a gives out 9 cpu, but this machine has 4"]
