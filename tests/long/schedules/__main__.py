"""Schedules under any order of events: `python -m tests.long.schedules --steps 50000`.

`machine` runs a state machine over a real database with a clock that it moves: fires, kills at each
transaction, clock changes, DST, pauses, changes, skips and backfills. Exits 1 if a fire time was
lost or handled twice, with the steps that led to it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from app import paths
from app.home.setup import prepare_database
from tests.long.schedules.schedule_machine import run_machine


def main() -> int:
    """Run the machine."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.long.schedules", description="Each fire time exactly once."
    )
    parser.add_argument("--steps", type=int, default=50_000, help="steps (default 50000)")
    parser.add_argument(
        "--random", action="store_true", help="other steps each time, instead of the same"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="td-") as folder:
        prepare_database(Path(folder))
        checked = run_machine(paths.get_database_path(Path(folder)), args.steps, args.random)
    print(f"{args.steps:,} steps: each of {checked:,} fire times was handled exactly once")
    return 0


if __name__ == "__main__":
    sys.exit(main())
