"""Backup trials: processes killed during a backup, and bits flipped in stored backups."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from db.backup import restore_tool as tool
from db.backup.catalog import BackupCatalog
from db.backup.folder import TOOL_NAME
from tests.long.backup import step_database

MAX_DELAY = 0.12
"""Upper limit of the seconds between the start of a backup and the kill."""


@contextmanager
def run_workers(database: Path, folder: Path) -> Iterator[Callable[[random.Random], None]]:
    """Yield a function that starts a backup process and kills it during an early backup."""
    argv = [sys.executable, "-m", "tests.long.backup.backup_worker", database, folder]
    with subprocess.Popen(
        argv, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_make_environment()
    ) as process:
        yield partial(_kill_one, process)


def _kill_one(process: subprocess.Popen[bytes], dice: random.Random) -> None:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(b"\n")
    pid = int(process.stdout.readline())
    try:
        for _ in range(dice.randint(1, 3)):
            assert process.stdout.read(1) == b"."
        select.select([], [], [], dice.uniform(0, MAX_DELAY))
    finally:
        os.kill(pid, signal.SIGKILL)
        while process.stdout.read(1) not in (b"x", b""):
            pass


def _make_environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": os.fspath(Path(__file__).parents[3])}


def verify_all(folder: Path) -> list[int]:
    """Rebuild and compare every listed backup; return their steps, oldest first."""
    store, image = BackupCatalog(folder), folder.parent / "compared"
    steps = []
    for backup in store.list_backups():
        assert backup.verified, backup
        store.rebuild(backup, image)
        steps.append(step_database.assert_exact(image))
        image.unlink()
    return steps


def find_leftovers(folder: Path) -> set[str]:
    """Return the files that belong to no backup."""
    wanted = {tool.MANIFEST, TOOL_NAME}
    for entry in BackupCatalog(folder).list_entries():
        wanted |= {Path(entry["path"]).name, *entry["beside"]}
    return {path.name for path in folder.iterdir()} - wanted


def flip_last_byte(path: Path) -> None:
    """Change the last byte of a file, whatever its value."""
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 0xFF]))


def flip_bit(path: Path, dice: random.Random) -> int:
    """Flip one bit of a file and return its position."""
    data = bytearray(path.read_bytes())
    at = dice.randrange(len(data) * 8)
    data[at // 8] ^= 1 << at % 8
    path.write_bytes(data)
    return at


def find_unnoticed_flips(folder: Path, many: int, dice: random.Random) -> list[tuple[str, int]]:
    """Flip bits one at a time and return those that no check found."""
    missed = []
    files = sorted(path for path in folder.iterdir() if path.name != TOOL_NAME)
    for _ in range(many):
        path = dice.choice(files)
        before = path.read_bytes()
        at = flip_bit(path, dice)
        store = BackupCatalog(folder)
        if not [*store.find_damaged_files(), *store.find_damaged_lines()]:
            missed.append((path.name, at))
        path.write_bytes(before)
    return missed
