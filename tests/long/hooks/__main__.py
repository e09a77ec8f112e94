"""Long trial of hooks: `python -m tests.long.hooks --kills 30 --tasks 1000 --seed 7`.

Prints how often events were told and exits 1 if one was not.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.long.hooks.trial import run_trial


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.long.hooks")
    parser.add_argument("--kills", type=int, default=30, help="kills of the runtime")
    parser.add_argument("--tasks", type=int, default=1000, help="tasks that end in a flood")
    parser.add_argument("--seed", type=int, default=7, help="of the random choices")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="td-", ignore_cleanup_errors=True) as root:
        report = run_trial(Path(root), args.kills, args.tasks, random.Random(args.seed))
    print(
        f"{report.tasks} tasks, {len(report.told)} events told, {report.repeated} of them again"
        f" after {report.kills} kills; {report.seconds:.0f} s"
    )
    for fault in report.find_faults():
        print(fault)
    return 1 if report.find_faults() else 0


if __name__ == "__main__":
    sys.exit(main())
