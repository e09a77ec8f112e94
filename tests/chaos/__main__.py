"""`python -m tests.chaos --tasks 20000 --kills 1000 --seed 1`: the long proof that nothing dies with a process.

Runs a real runtime, keeper and guard in a home under the temporary folder, submits tasks of known outcome (exit codes,
deaths by signal, timeouts, cancels, pauses, retries, programs that are not there) and kills the three at random: at
once, or frozen with SIGSTOP so that it is known where each run stood. Where strace is installed, also with the keeper
in slow motion, so that the shortest steps are met too, and the keeper at the entry of one of its system calls: a record
that is not written, an exit that is written and not reaped. A keeper or a guard is killed again only when what outlived
the last kill of the two has ended. In between each of the three is stopped for a second.

Prints who was killed at which step of how many runs' lives, and the verdict; exits 1 when anything was lost, run twice,
ended with another code, or left a counter above 0, and also when a cell of the table was never met in 500 kills or more.
"""

from __future__ import annotations

import argparse
import sys

from tests.chaos.trial import report, trial


def main() -> int:
    """Run one trial as the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="Kills everything, and counts what was lost."
    )
    parser.add_argument("--tasks", type=int, default=20_000, help="at least so many tasks (default 20000)")
    parser.add_argument("--kills", type=int, default=1_000, help="SIGKILLs (default 1000)")
    parser.add_argument("--seed", type=int, default=1, help="for the dice (default 1)")
    parser.add_argument("--capacity", type=int, default=16, help="runs at once (default 16)")
    args = parser.parse_args()
    outcome = trial(
        args.tasks, args.kills, args.seed, args.capacity, say=lambda text: print(text, file=sys.stderr, flush=True)
    )
    print(report(outcome))
    return 1 if outcome.faults or (args.kills >= 500 and outcome.unseen) else 0


if __name__ == "__main__":
    sys.exit(main())
