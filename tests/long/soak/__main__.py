"""`python -m tests.long.soak --minutes 3`: a day of a busy queue in minutes, and whether anything grows.

A day of one short task a second is 86,400 tasks; they run as fast as they can, with failures, deaths by signal, retries,
timeouts and cancels among them, while the cleanup removes rows and logs of what ended some seconds ago. Sixty times
memory, descriptors, zombies and files are looked at. Exits 1 when something grows that must not, or ended otherwise
than it must.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from tests.long.soak.trial import SoakResult, format_report, run_soak


def main() -> int:
    """Soak as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.long.soak", description="A day of a busy queue in minutes.")
    parser.add_argument("--minutes", type=float, default=3.0, help="of full load (default 3)")
    parser.add_argument("--json", action="store_true", help="every look and verdict as one JSON document")
    args = parser.parse_args()
    found = run_soak(args.minutes * 60, say=lambda text: print(text, file=sys.stderr, flush=True))
    print(format_json(found) if args.run_json else format_report(found))
    return 0 if all(good for _, _, good in found.list_verdicts()) else 1


def format_json(found: SoakResult) -> str:
    """All that was seen."""
    verdicts = [{"what": what, "seen": seen, "good": good} for what, seen, good in found.list_verdicts()]
    return json.dumps({**asdict(found), "verdicts": verdicts}, indent=1)


if __name__ == "__main__":
    sys.exit(main())
