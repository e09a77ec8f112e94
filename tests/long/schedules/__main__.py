"""Schedules under any order of events: `python -m tests.long.schedules --steps 50000 --kills 60`.

A state machine runs over a real database with a clock that it moves: fires, kills at each
transaction, clock changes, DST, pauses, changes, skips and backfills. Then a real runtime is killed
at random moments while schedules fire every second. Fails if a fire time was lost or handled twice.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from app import paths
from app.home.setup import prepare_database
from tests.long.schedules.killed_runtime import format_report, run_trial
from tests.long.schedules.schedule_machine import run_machine


def main() -> int:
    """Run the machine, then the kills."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.long.schedules", description="Each fire time exactly once."
    )
    parser.add_argument("--steps", type=int, default=50_000, help="steps (default 50000)")
    parser.add_argument("--kills", type=int, default=60, help="SIGKILLs (default 60)")
    parser.add_argument("--seed", type=int, default=1, help="for the kills (default 1)")
    parser.add_argument(
        "--random", action="store_true", help="other steps each time, instead of the same"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="td-") as folder:
        prepare_database(Path(folder))
        checked = run_machine(paths.get_database_path(Path(folder)), args.steps, args.random)
    said = f"{args.steps:,} steps: each of {checked:,} fire times was handled exactly once"
    print(said, flush=True)
    result = run_trial(args.kills, args.seed)
    print(format_report(result))
    return 1 if result.faults else 0


if __name__ == "__main__":
    sys.exit(main())
