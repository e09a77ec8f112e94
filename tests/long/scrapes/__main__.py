"""Scrapes of `/metrics` of a busy runtime: `python -m tests.long.scrapes --scrapes 10000`.

Exits 1 if the scrapes add memory or lock waits, or if one of them fails.
"""

from __future__ import annotations

import argparse
import sys

from tests.long.scrapes.trial import run_trial


def main() -> int:
    """Run the trial and print its figures."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.long.scrapes", description="Scrapes of a busy runtime."
    )
    parser.add_argument("--scrapes", type=int, default=10_000, help="after 1,000 to warm up")
    parser.add_argument("--queues", type=int, default=10, help="with counted runs (default 10)")
    args = parser.parse_args()
    found = run_trial(args.scrapes, args.queues)
    verdicts = list(found.list_verdicts())
    for what, seen, good in verdicts:
        print(f"{'ok ' if good else 'BAD'}  {what}: {seen}")
    return 0 if all(good for _, _, good in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
