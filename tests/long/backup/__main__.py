"""Long backup test: `python -m tests.long.backup --backups 120 --kills 36 --flips 500`.

Prints its findings and exits 1 on a failure.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

from db.backup.catalog import BackupCatalog
from db.backup.create import BackupRules, take_backup
from tests.long.backup import step_database, trials


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.long.backup",
        description="Back up a database that is written to, kill the backups, and flip bits.",
    )
    for name, value, text in (
        ("backups", 120, "number of good backups"),
        ("kills", 36, "processes killed during a backup"),
        ("flips", 500, "flipped bits that must be noticed"),
        ("seed", 1, "of the random choices"),
    ):
        parser.add_argument(f"--{name}", type=int, default=value, help=f"{text} (default {value})")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="td-") as root:
        return run_trial(Path(root), args, random.Random(args.seed))


def run_trial(root: Path, args: argparse.Namespace, dice: random.Random) -> int:
    database, folder, began = root / "live.db", root / "backups", time.monotonic()
    step_database.create_database(database, 3000)
    with step_database.run_writer(database), trials.run_workers(database, folder) as kill_one:
        for _ in range(args.kills):
            kill_one(dice)
        killed = len(BackupCatalog(folder).list_backups())
        take_backup(database, folder, BackupRules())
        while len(BackupCatalog(folder).list_backups()) < args.backups:
            take_backup(database, folder, BackupRules())
    left, steps = trials.find_leftovers(folder), trials.verify_all(folder)
    missed = trials.find_unnoticed_flips(folder, args.flips, dice)
    print(
        f"{len(steps)} backups exact, {killed} of them by processes that were killed {args.kills}"
        f" times, steps {steps[0]} to {steps[-1]}"
    )
    print(
        f"left over: {sorted(left) or 'nothing'}; {args.flips} bits flipped, unnoticed:"
        f" {missed or 'none'}"
    )
    print(f"{time.monotonic() - began:.0f} s")
    return 1 if left or missed or steps != sorted(steps) else 0


if __name__ == "__main__":
    raise SystemExit(main())
