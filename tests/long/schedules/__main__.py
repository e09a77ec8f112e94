"""Schedules under any order of events: `python -m tests.long.schedules --steps 50000`.

A state machine runs over a real database with a clock that it moves: fires, kills at each
transaction, clock changes, DST, boots, pauses, changes, skips and backfills. Then it runs over each
injected fault, which it must find. Exits 1 otherwise.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from app import paths
from app.home.setup import prepare_database
from tests.long.schedules.faults import FAULTS, inject_fault
from tests.long.schedules.schedule_machine import run_machine


def main() -> int:
    """Run the machine, then each fault."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.long.schedules", description="Each fire time exactly once."
    )
    parser.add_argument("--steps", type=int, default=50_000, help="steps (default 50000)")
    parser.add_argument("--seed", type=int, default=1, help="of the choices (default 1)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="td-") as folder:
        prepare_database(Path(folder))
        template, began = paths.get_database_path(Path(folder)), time.monotonic()
        checked = run_machine(template, args.steps, args.seed)
        seconds = time.monotonic() - began
        print(
            f"{args.steps:,} steps in {seconds:.0f} s: each of {checked:,} fire times was handled"
            " exactly once",
            flush=True,
        )
        missed = [name for name in FAULTS if not _is_found(name, template, args.steps, args.seed)]
    print(f"{len(FAULTS) - len(missed)} of {len(FAULTS)} faults found")
    return 1 if missed else 0


def _is_found(name: str, template: Path, steps: int, seed: int) -> bool:
    with inject_fault(name):
        try:
            run_machine(template, steps, seed)
        except (AssertionError, ExceptionGroup):
            print(f"fault {name!r}: found", flush=True)
            return True
    print(f"fault {name!r}: NOT found", flush=True)
    return False


if __name__ == "__main__":
    sys.exit(main())
