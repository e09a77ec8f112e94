"""Long test of terminal input: `python -m tests.long.input --sequences 1000000`.

Prints each failure with its seed and exits 1 on a failure.
"""

from __future__ import annotations

import argparse
import random
import time

from tests.long.input import trials

GROUP = 20
"""Sequences of one parser."""


def main() -> int:
    """Feed random sequences to the deck's input parser."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.long.input",
        description="Feed random terminal input to the deck's parser, and check its events.",
    )
    parser.add_argument("--sequences", type=int, default=1_000_000, help="default 1000000")
    parser.add_argument("--seed", type=int, default=1, help="of the first group (default 1)")
    args = parser.parse_args()
    failures, began, groups = 0, time.monotonic(), -(-args.sequences // GROUP)
    for seed in range(args.seed, args.seed + groups):
        try:
            trials.check_sequences(random.Random(seed), GROUP)
        except Exception as fault:
            failures += 1
            print(f"seed {seed}: WRONG: {type(fault).__name__}: {fault}", flush=True)
    seconds = time.monotonic() - began
    print(f"{groups * GROUP:,} sequences, {failures} wrong, {seconds:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
