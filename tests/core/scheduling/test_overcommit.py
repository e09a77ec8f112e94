"""Tests of pools that exceed the machine, alone or together."""

from __future__ import annotations

from app.core.scheduling import overcommit


def make_pool(name: str, cpu: float, memory: float = 0.0) -> dict[str, object]:
    return {"name": name, "total_cpu": cpu, "total_memory": memory}


def test_pools_of_the_machines_size_are_accepted():
    assert not list(
        overcommit.find_overcommit(
            [make_pool("a", 2, 600), make_pool("b", 2, 424)], cpu=4, memory=1024
        )
    )
    assert not list(overcommit.find_overcommit([], cpu=4, memory=1024))


def test_one_oversized_pool_is_reported_with_both_figures():
    (one,) = overcommit.find_overcommit(
        [make_pool("a", 200, 500 * 1024), make_pool("b", 1)], cpu=2, memory=24 * 1024
    )

    assert one == overcommit.Overcommit(
        "pool a gives out 200 cpu and 500G memory, but this machine has 2 and 24.0G",
        "a",
        {"cpu": 2, "memory": 24 * 1024},
        True,
    )


def test_jointly_oversized_pools_are_reported_with_the_largest():
    (one,) = overcommit.find_overcommit([make_pool("a", 2), make_pool("b", 3)], cpu=4, memory=1024)

    assert (one.message, one.pool, one.fits) == (
        "the pools together give out 5 cpu, but this machine has 4",
        "b",
        {"cpu": 2},
    )


def test_a_change_does_not_report_another_pool():
    pools = [make_pool("a", 9), make_pool("b", 1)]

    assert not overcommit.list_warnings(pools, 4, 1024, ["b"])
    assert overcommit.list_warnings(pools, 4, 1024, ["a"]) == [
        "pool a gives out 9 cpu, but this machine has 4"
    ]
