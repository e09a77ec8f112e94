"""Soak test: `python -m tests.long.soak --minutes 3` runs a day of a busy queue in minutes.

A day of one short task a second is 86,400 tasks. They run as fast as possible, with failures,
deaths by signal, retries, timeouts and cancels, while the cleanup deletes rows and logs that are
some seconds old. Memory, descriptors, zombies and files are sampled sixty times. Exits 1 if
something grows or ends unexpectedly.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from tests.long.soak.trial import SoakResult, format_report, run_soak


def main() -> int:
    """Run the soak test."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.long.soak", description="A day of a busy queue in minutes."
    )
    parser.add_argument("--minutes", type=float, default=3.0, help="of full load (default 3)")
    parser.add_argument(
        "--json", action="store_true", help="print samples and verdicts as one JSON document"
    )
    args = parser.parse_args()
    found = run_soak(args.minutes * 60, say=lambda text: print(text, file=sys.stderr, flush=True))
    print(format_json(found) if args.json else format_report(found))
    return 0 if all(good for _, _, good in found.list_verdicts()) else 1


def format_json(found: SoakResult) -> str:
    """Return all samples and verdicts as JSON."""
    verdicts = [
        {"what": what, "seen": seen, "good": good} for what, seen, good in found.list_verdicts()
    ]
    return json.dumps({**asdict(found), "verdicts": verdicts}, indent=1)


if __name__ == "__main__":
    sys.exit(main())
