"""Long test of the dispatch plan: `python -m tests.long.dispatch --worlds 2000`.

Runs random worlds on the product, then on each mutant, which they must find. Exits 1 otherwise.
"""

from __future__ import annotations

import argparse
import time

from tests.long.dispatch.mutants import MUTANTS, apply_mutant
from tests.long.dispatch.trials import find_fault


def main() -> int:
    """Run the worlds, then each mutant."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.long.dispatch",
        description="Dispatch random tasks in virtual time and check each decision.",
    )
    parser.add_argument("--worlds", type=int, default=2000, help="default 2000")
    parser.add_argument("--seed", type=int, default=1, help="of the first world (default 1)")
    args = parser.parse_args()
    began = time.monotonic()
    fault = find_fault(args.worlds, args.seed)
    print(f"{args.worlds:,} worlds in {time.monotonic() - began:.0f} s: {fault or 'no fault'}")
    missed = []
    for name in MUTANTS:
        with apply_mutant(name):
            found = find_fault(max(30, args.worlds // 10), args.seed)
        print(f"mutant {name!r}: {found or 'NOT found'}", flush=True)
        missed += [] if found else [name]
    print(f"{len(MUTANTS) - len(missed)} of {len(MUTANTS)} mutants found")
    return 1 if fault or missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
