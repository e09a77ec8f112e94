"""Three coding agents on one home: `python -m tests.long.agents --tasks 200 --kills 3`.

Each agent submits tasks, and cancels and retries its own and those of others. All ask for more than
their limits. Exits 1 if a limit did not hold at every moment. The program also exits 1 if an
agent changed the work of another, or if an answer was too long.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.long.agents.trial import run_trial
from tests.runtime_process import RuntimeProcess


def main() -> int:
    """Run the trial and print what it found."""
    parser = argparse.ArgumentParser(prog="python -m tests.long.agents")
    parser.add_argument("--tasks", type=int, default=200, help="of all agents (default 200)")
    parser.add_argument("--kills", type=int, default=3, help="of the runtime (default 3)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="taskdeck-agents-") as folder:
        runtime = RuntimeProcess(Path(folder, "home"))
        try:
            found = asyncio.run(
                run_trial(runtime, Path(folder, "config"), args.tasks, args.seed, args.kills)
            )
        finally:
            runtime.kill_all()
    print(f"{found.tasks} tasks, {found.runs} runs, longest answer {found.longest_log:,} bytes")
    for name, peaks in found.peaks.items():
        print(f"client {name}: most at once {peaks}; refused {dict(found.errors[name])}")
    print("\n".join(found.faults) or "no faults")
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
