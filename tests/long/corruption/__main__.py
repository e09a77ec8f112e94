"""Long corruption test: `python -m tests.long.corruption --trials 120`.

Prints the damage of each trial and exits 1 on a failure.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

from app import paths
from tests.long.corruption import trials


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.long.corruption",
        description="Damage databases at random, and check that nothing wrong is accepted.",
    )
    parser.add_argument("--trials", type=int, default=120, help="default 120")
    parser.add_argument("--seed", type=int, default=1, help="of the damage (default 1)")
    args = parser.parse_args()
    failure_count, began, dice = 0, time.monotonic(), random.Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="td-") as root:
        model = Path(root) / "model"
        paths.make_home(model)
        trials.fill_home(model, 400)
        for at in range(args.trials):
            try:
                print(f"{at + 1}: {trials.run_trial(model, Path(root) / 'home', dice)}", flush=True)
            except AssertionError as fault:
                failure_count += 1
                print(f"{at + 1}: WRONG: {fault}", flush=True)
    print(f"{args.trials} trials, {failure_count} wrong, {time.monotonic() - began:.0f} s")
    return 1 if failure_count else 0


raise SystemExit(main())
