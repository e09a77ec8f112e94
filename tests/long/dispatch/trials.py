"""Runs of random worlds with a seed."""

from __future__ import annotations

from tests.long.dispatch.checker import Checker, DispatchError
from tests.long.dispatch.world import decide, make_world

MAX_ROUNDS = 3000


def find_fault(worlds: int, first: int = 1) -> str | None:
    """Return the first fault in worlds with these seeds, or None."""
    for seed in range(first, first + worlds):
        try:
            run_world(seed)
        except DispatchError as fault:
            return f"world {seed}: {fault}"
    return None


def run_world(seed: int) -> int:
    """Run a world to its end and check each decision; return the number of decisions."""
    world = make_world(seed)
    checker, rounds = Checker(world), 0
    while world.advance():
        rounds += 1
        if rounds > MAX_ROUNDS:
            break
        view = world.build_view()
        decided = decide(view)
        checker.check_plan(view, decided)
        checker.check_starts(decided, world.start(decided))
    checker.check_end()
    return rounds
