"""What backups must withstand: a process that is killed while it takes them, and bits that flip where they lie."""

from __future__ import annotations

import os
import random
import select
import subprocess
import sys
from pathlib import Path

from db.backup import restore_tool as tool
from db.backup.keeping import TOOL
from db.backup.store import Store
from tests.backup import writing

LONGEST = 0.12
"""Seconds after the beginning of a backup until its process is killed, at most."""


def kill_taker(database: Path, folder: Path, dice: random.Random) -> None:
    """Let a process take backups, and kill it some moment into one of the first."""
    process = subprocess.Popen([sys.executable, "-m", "tests.backup.taker", database, folder], stdout=subprocess.PIPE, env=_env())
    assert process.stdout is not None
    try:
        for _ in range(dice.randint(1, 3)):
            assert os.read(process.stdout.fileno(), 1) == b"."
        select.select([], [], [], dice.uniform(0, LONGEST))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _env() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": os.fspath(Path(__file__).parents[2])}


def all_exact(folder: Path) -> list[int]:
    """Build every backup up that can be seen, and compare it; the steps they hold, oldest first."""
    store, image = Store(folder), folder.parent / "compared"
    steps = []
    for backup in store.backups():
        assert backup.verified, backup
        store.rebuild(backup, image)
        steps.append(writing.assert_exact(image))
        image.unlink()
    return steps


def leftovers(folder: Path) -> set[str]:
    """Files that belong to no backup."""
    wanted = {tool.MANIFEST, TOOL}
    for entry in Store(folder).entries():
        wanted |= {Path(entry["path"]).name, *entry["beside"]}
    return {path.name for path in folder.iterdir()} - wanted


def flip(path: Path, dice: random.Random) -> int:
    """Flip one bit of a file; where."""
    data = bytearray(path.read_bytes())
    at = dice.randrange(len(data) * 8)
    data[at // 8] ^= 1 << at % 8
    path.write_bytes(data)
    return at


def unnoticed_flips(folder: Path, many: int, dice: random.Random) -> list[tuple[str, int]]:
    """Flip that many bits, one at a time; those that nobody noticed."""
    missed = []
    files = sorted(path for path in folder.iterdir() if path.name != TOOL)
    for _ in range(many):
        path = dice.choice(files)
        before = path.read_bytes()
        at = flip(path, dice)
        store = Store(folder)
        if not [*store.damaged_files(), *store.damaged_lines()]:
            missed.append((path.name, at))
        path.write_bytes(before)
    return missed
