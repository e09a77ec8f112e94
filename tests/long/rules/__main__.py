"""Long test of rules and alerts: `python -m tests.long.rules --steps 50000`.

Runs the state machine on the product, then on each mutant, which it must find. Exits 1 otherwise.
"""

from __future__ import annotations

import argparse
import time

from tests.long.rules.mutants import MUTANTS, apply_mutant
from tests.long.rules.trials import STEPS, find_fault


def main() -> int:
    """Run the machine, then each mutant."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.long.rules",
        description="Evaluate, acknowledge, silence, resolve and crash in random order.",
    )
    parser.add_argument("--steps", type=int, default=50_000, help="default 50000")
    parser.add_argument("--seed", type=int, default=1, help="of the first step (default 1)")
    args = parser.parse_args()
    began = time.monotonic()
    fault = find_fault(args.steps, args.seed)
    print(f"{args.steps:,} steps in {time.monotonic() - began:.0f} s: {fault or 'no fault'}")
    missed = []
    for name in MUTANTS:
        with apply_mutant(name):
            found = find_fault(args.steps // 5, args.seed)
        print(f"mutant {name!r}: {'found' if found else 'NOT found'}", flush=True)
        missed += [] if found else [name]
    print(f"{len(MUTANTS) - len(missed)} of {len(MUTANTS)} mutants found; {STEPS} steps a run")
    return 1 if fault or missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
