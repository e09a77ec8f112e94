"""Fuzzing of the HTTP API: `python -m tests.long.http --minutes 5`.

schemathesis makes requests of the OpenAPI document, right and wrong ones. Exits 1 if an answer is
a server error or differs from the document, or if anything was written.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.long.http.trial import find_program, run_trial


def main() -> int:
    """Run the trial."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.long.http", description="Fuzz the HTTP API of a real runtime."
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="of requests (default 5)")
    parser.add_argument("--seed", type=int, help="repeat a run with the same requests")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="td-", ignore_cleanup_errors=True) as folder:
        program = find_program(Path(folder))
        if program is None:
            print("schemathesis is missing and cannot be installed", file=sys.stderr)
            return 2
        result = run_trial(program, round(args.minutes * 60), args.seed)
    print(result)
    return 0 if result.is_met else 1


if __name__ == "__main__":
    sys.exit(main())
