"""Long fault test: `python -m tests.long.faults --each 40`.

The runtime's writes, syncs, renames and opens fail in turn, and a restore is killed at each of its
calls.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.long.faults import killed_restore
from tests.long.faults.disk_faults import CALLS, ERRORS, DiskFault, find_obstacle, run_trials
from tests.runtime_process import RuntimeProcess


def main() -> int:
    """Return 1 if an acknowledged task was lost or work did not resume."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.long.faults", description="A disk that fails at every n-th call."
    )
    parser.add_argument("--each", type=int, default=20, help="how many of each call (default 20)")
    args = parser.parse_args()
    if why := find_obstacle():
        print(why, file=sys.stderr)
        return 2
    faults = [
        DiskFault(call, error, n, n % 3 == 0)
        for call in CALLS
        for error in ERRORS
        for n in range(1, args.each + 1)
    ]
    failure_count = 0
    with tempfile.TemporaryDirectory(prefix="td-", ignore_cleanup_errors=True) as root:
        living = RuntimeProcess(Path(root))
        try:
            for found in run_trials(living, faults):
                failure_count += bool(found.failures)
                print(
                    found.fault,
                    f"{len(found.known)} known, {found.refused} refused",
                    "; ".join(found.failures) or "well",
                    flush=True,
                )
        finally:
            living.kill_all()
    killed = [found for damaged in (False, True) for found in _kill_restores(damaged)]
    failure_count += sum(bool(found.failures) for found in killed)
    print(
        f"{len(faults)} faults and {len(killed)} killed restores,"
        f" {failure_count} with something wrong"
    )
    return 1 if failure_count else 0


def _kill_restores(damaged: bool) -> Iterator[killed_restore.KilledRestore]:
    with tempfile.TemporaryDirectory(prefix="td-") as root:
        for found in killed_restore.run_trials(
            killed_restore.make_case(Path(root), damaged),
            (*killed_restore.STEPS, *killed_restore.WRITES),
        ):
            print(
                f"restore killed at {found.call} {found.n}",
                "; ".join(found.failures) or "well",
                flush=True,
            )
            yield found


if __name__ == "__main__":
    sys.exit(main())
