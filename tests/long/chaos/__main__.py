"""Chaos test: `python -m tests.long.chaos --tasks 20000 --kills 1000 --seed 1`.

`crowd` runs a real runtime, keeper and guard in a temporary home, submits tasks of known outcome
(exit codes, deaths by signal, timeouts, cancels, pauses, retries, missing programs) and kills the
three at random: at once, or stopped with SIGSTOP so that the step of each run is known. With strace
it also slows down the keeper, to meet the shortest steps, and kills the keeper at the entry of a
system call: before a record is written, or after an exit is written and before it is reaped. A
keeper or guard is killed again only after the runs that survived the last such kill have ended.
From time to time each of the three is stopped for a second.

`records` kills at each journal write, before and after the write; `deaths` kills both supervisors
during a run, and changes the boot id; `pids` gives the pid of a run to a foreign process. Each
trial is one row. Trials that the machine does not allow (no strace, not root) are reported and do
not count.

Prints which process was killed at which step of how many runs, the rows, and the verdict. Exits 1
if a task was lost, ran twice, ended with a wrong code, or left a counter above 0, if a row failed,
or if a cell of the table was never met in 500 kills or more.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable

from tests.long.chaos import journal_writes, reused_pids, supervisor_deaths
from tests.long.chaos.results import TrialResult, format_table
from tests.long.chaos.trial import format_report, run_trial

SINGLE_TRIALS: dict[str, Callable[[], Iterable[TrialResult]]] = {
    "records": journal_writes.run_trials, "deaths": supervisor_deaths.run_trials,
    "pids": reused_pids.run_trials,
}  # fmt: skip


def main() -> int:
    """Run the selected parts."""
    args = _arguments()
    parts = args.part or ["crowd", *SINGLE_TRIALS]
    rows = [
        _report_row(row) for name in parts if name in SINGLE_TRIALS for row in SINGLE_TRIALS[name]()
    ]
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
    parser.add_argument(
        "part", nargs="*", help="crowd, records, deaths, pids; all when none is named"
    )
    parser.add_argument(
        "--tasks", type=int, default=20_000, help="at least so many tasks (default 20000)"
    )
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
    """Kill at random; return true if nothing went wrong."""
    outcome = run_trial(args.tasks, args.kills, args.seed, args.capacity, say=_print_progress)
    print(format_report(outcome))
    return not (outcome.faults or (args.kills >= 500 and outcome.unmet_cells))


if __name__ == "__main__":
    sys.exit(main())
