"""Long test of GPUs: `python -m tests.long.gpus --tasks 2000`.

Runs an hour of virtual time on eight stand-in GPUs and checks each device and each reason. Exits 1
at the first fault.
"""

from __future__ import annotations

import argparse
import time

from tests.long.gpus.machine import GpuFault, run_hour


def main() -> int:
    """Run the hour and print what was seen."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.long.gpus",
        description="Run tasks on eight GPUs of which some fail or are taken by others.",
    )
    parser.add_argument("--tasks", type=int, default=2000, help="default 2000")
    parser.add_argument("--seed", type=int, default=1, help="of the hour (default 1)")
    args = parser.parse_args()
    began = time.monotonic()
    try:
        seen = run_hour(args.seed, args.tasks)
    except GpuFault as fault:
        print(f"fault: {fault}")
        return 1
    print(f"no fault in {time.monotonic() - began:.0f} s")
    for what, count in seen.most_common():
        print(f"{count:8,} {what}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
