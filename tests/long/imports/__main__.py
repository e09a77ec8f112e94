"""Long test of imports: `python -m tests.long.imports --every 1`.

Kills an import at each of its steps, or lets the peer go then, and repeats it. Exits 1 at the first
task that was lost or has run twice.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from tests.long.chaos.results import open_runtime
from tests.long.imports.peers import KINDS
from tests.long.imports.trial import ImportFaultError, run_trials


def main() -> int:
    """Run the trials and print their number."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.long.imports",
        description="Disturb imports from other queue managers at each of their steps.",
    )
    parser.add_argument("--every", type=int, default=1, help="disturb each N-th step (default 1)")
    parser.add_argument("--peer", choices=sorted(KINDS), action="append", help="default: all")
    args = parser.parse_args()
    began = time.monotonic()
    for name in args.peer or KINDS:
        with tempfile.TemporaryDirectory() as folder, open_runtime() as runtime:
            try:
                trials = list(run_trials(runtime, KINDS[name], Path(folder), args.every))
            except ImportFaultError as fault:
                print(f"fault: {name}: {fault}")
                return 1
        print(f"{len(trials):8,} imports from {name} without a fault")
    print(f"no fault in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
