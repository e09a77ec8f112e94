"""`python -m tests.long.chaos --tasks 20000 --kills 1000 --seed 1`: the long proof that nothing dies with a process.

`crowd` runs a real runtime, keeper and guard in a home under the temporary folder, submits tasks of known outcome (exit
codes, deaths by signal, timeouts, cancels, pauses, retries, programs that are not there) and kills the three at random:
at once, or frozen with SIGSTOP so that it is known where each run stood. Where strace is installed, also with the keeper
in slow motion, so that the shortest steps are met too, and the keeper at the entry of one of its system calls: a record
that is not written, an exit that is written and not reaped. A keeper or a guard is killed again only when what outlived
the last kill of the two has ended. In between each of the three is stopped for a second.

`records` kills at each journal write, before and after it; `deaths` kills both supervisors within a run's life, and
changes the boot id; `pids` gives the pid of a run to a stranger. Each is a row of its own; what this machine does not
allow (no strace, not root) is said and counts as not shown.

Prints who was killed at which step of how many runs' lives, the rows, and the verdict; exits 1 when anything was lost, run
twice, ended with another code, or left a counter above 0, when a row is not met, and also when a cell of the table was
never met in 500 kills or more.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable

from tests.long.chaos import journal_writes, reused_pids, supervisor_deaths
from tests.long.chaos.results import TrialResult, format_table
from tests.long.chaos.trial import format_report, run_trial

SINGLE_TRIALS: dict[str, Callable[[], Iterable[TrialResult]]] = {
    "records": journal_writes.run_trials, "deaths": supervisor_deaths.run_trials, "pids": reused_pids.run_trials,
}  # fmt: skip


def main() -> int:
    """Run what the command line says."""
    args = _arguments()
    parts = args.part or ["crowd", *SINGLE_TRIALS]
    rows = [_report_row(row) for name in parts if name in SINGLE_TRIALS for row in SINGLE_TRIALS[name]()]
    good = all(row.met is not False for row in rows)
    if "crowd" in parts:
        good = _run_crowd(args) and good
    if rows:
        print(format_table(rows))
    return 0 if good else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.long.chaos", description="Kills everything, and counts what was lost."
    )
    parser.add_argument("part", nargs="*", help="crowd, records, deaths, pids; all when none is named")
    parser.add_argument("--tasks", type=int, default=20_000, help="at least so many tasks (default 20000)")
    parser.add_argument("--kills", type=int, default=1_000, help="SIGKILLs (default 1000)")
    parser.add_argument("--seed", type=int, default=1, help="for the dice (default 1)")
    parser.add_argument("--capacity", type=int, default=16, help="runs at once (default 16)")
    args = parser.parse_args()
    if wrong := set(args.part) - {"crowd", *SINGLE_TRIALS}:
        parser.error(f"there is no part {', '.join(sorted(wrong))}")
    return args


def _report_row(row: TrialResult) -> TrialResult:
    _print_progress(f"{row.what}: {row.verdict}")
    return row


def _print_progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _run_crowd(args: argparse.Namespace) -> bool:
    """The random kills; whether all is well."""
    outcome = run_trial(args.tasks, args.kills, args.seed, args.capacity, say=_print_progress)
    print(format_report(outcome))
    return not (outcome.faults or (args.kills >= 500 and outcome.unmet_cells))


if __name__ == "__main__":
    sys.exit(main())
