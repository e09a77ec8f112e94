"""Long test of failover: `python -m tests.long.failover`.

Two Pacemaker nodes in namespaces share one home. The trial pulls the plug, kills the runtime, moves
the home and cuts the network. It exits 1 if an acknowledged task is missing or begins twice. Needs
root, corosync and pacemaker; takes three minutes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.long.failover.cluster import find_obstacle, make_folder
from tests.long.failover.trial import Trial, TrialError


def main() -> int:
    """Run the trial and print the recovery times."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.long.failover", description="Failures of a two-node cluster."
    )
    parser.parse_args()
    if obstacle := find_obstacle():
        print(f"skipped: {obstacle}")
        return 0
    with make_folder() as folder:
        trial = Trial(Path(folder), lambda text: print(text, file=sys.stderr, flush=True))
        try:
            print(trial.run(trial.failures).format())
        except (TrialError, TimeoutError) as fault:
            print(f"fault: {fault}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
