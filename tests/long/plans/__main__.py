"""Query plan check of a whole runtime: `python -m tests.long.plans`.

A runtime executes every statement of the deck, the command line and the schedule over many tasks.
Statements that scan a growing table are printed, and the exit code is 1. `allowed_scans` lists the
exceptions.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from app import paths
from app.cli.demo.teardown import end_all
from app.home import setup
from app.home.lock import hold_lock
from tests.long.plans import database_filler, query_recorder
from tests.long.plans.allowed_scans import find_reason

SLOW_VERB = 0.5
"""Seconds from which a verb is reported."""


def main() -> int:
    """Record all statements and report the scans."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.long.plans",
        description="Report statements of a whole runtime that scan a growing table.",
    )
    parser.add_argument(
        "--tasks", type=int, default=100_000, help="tasks in the database (default 100000)"
    )
    parser.add_argument("--json", action="store_true", help="print the scans as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="td-", ignore_cleanup_errors=True) as root:
        home = Path(root) / "home"
        os.environ["XDG_CONFIG_HOME"] = root  # prevents a user's threshold from applying
        try:
            return _report(_record(home, args.tasks), args.json)
        finally:
            end_all(os.fspath(home))


def _record(home: Path, tasks: int) -> query_recorder.RecordedStatements:
    began = time.monotonic()
    paths.make_home(home)
    with hold_lock(home):
        setup.prepare_database(home)
        database_filler.fill_database(paths.get_database_path(home), tasks)
        print(f"filled with {tasks:,} tasks in {time.monotonic() - began:.1f} s", file=sys.stderr)
        found = query_recorder.run_recorder(home, tasks)
    print(f"asked in {time.monotonic() - began:.1f} s", file=sys.stderr)
    return found


def _report(found: query_recorder.RecordedStatements, as_json: bool) -> int:
    walking = [
        statement
        for statement in found.statements
        if any(find_reason(statement.text, walk) is None for walk in statement.scans)
    ]
    if as_json:
        slow = [
            {"seconds": one.worst, "caller": one.caller, "statement": one.statement}
            for one in found.slow
        ]
        print(
            json.dumps(
                {
                    "statements": len(found.statements),
                    "walking": [str(statement) for statement in walking],
                    "slow": slow,
                    "unexplained": found.unexplained,
                    "took": found.took,
                }
            )
        )
        return 1 if walking else 0
    for statement in walking:
        print(statement)
    for one in found.slow:
        print(f"slow: {one.worst * 1000:.0f} ms, {one.caller}: {one.statement[-300:]}")
    for what, seconds in found.took.items():
        if seconds > SLOW_VERB:
            print(f"long: {seconds:.1f} s, {what}")
    print(
        f"{len(found.statements)} statements of {len(found.took)} verbs and duties, {len(walking)}"
        " walk through a table that grows"
    )
    return 1 if walking else 0


if __name__ == "__main__":
    sys.exit(main())
