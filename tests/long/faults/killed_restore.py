"""A restore killed at its n-th system call: the next restore completes it without loss.

strace kills the process at the call, before the call is done.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import NamedTuple

from app import paths
from app.__main__ import main
from app.errors import Problem
from app.offline import read_only
from app.offline import restore as offline_restore
from db.engine import create_write_engine
from db.readonly import open_read_only as looking
from db.restore import swap
from tests.db.builders import TaskBuilder
from tests.long.corruption.trials import PAGE_SIZE, fill_home
from tests.long.faults.disk_faults import trace_calls

STEPS = ("rename", "link", "unlink", "fsync")
"""Calls that put the files of a restore in place; `WRITES` are the calls that fill the files."""
WRITES = ("pwrite64", "write", "ftruncate")
MAX_CALLS = 1000
"""Number of calls of a kind after which no further restore is killed."""

Rows = list[tuple[int, str, int]]


class KilledRestore(NamedTuple):
    """Trial: the call at which the restore was killed, and the failures found."""

    call: str
    n: int
    failures: list[str]


class RestoreCase(NamedTuple):
    """Home to restore: its tasks, and the tasks after an undisturbed restore."""

    home: Path
    before: Rows
    after: Rows


def make_case(root: Path, damaged: bool) -> RestoreCase:
    """Create a home with a backup and later work that only the WAL contains.

    With `damaged`, a page of the database is destroyed.
    """
    home = root / "home"
    paths.make_home(home)
    fill_home(home, 12)
    path = paths.get_database_path(home)
    with closing(sqlite3.connect(path)) as c:
        # no later work writes to this table
        (page,) = c.execute("SELECT rootpage FROM sqlite_master WHERE name = 'slas'").fetchone()
        c.execute("SELECT count(*) FROM tasks").fetchall()  # an open reader prevents the checkpoint
        _add_work(path)
        shutil.copytree(home, root / "left")  # the state that a killed runtime leaves
    shutil.rmtree(home)
    (root / "left").rename(home)
    before = read_tasks(_copy_home(home, root / "read") / path.name)
    shutil.rmtree(root / "read")
    if damaged:
        with path.open("r+b") as file:
            file.seek((page - 1) * PAGE_SIZE)
            file.write(bytes(PAGE_SIZE))
    whole = _copy_home(home, root / "whole")
    _restore(whole)
    after = read_tasks(paths.get_database_path(whole))
    assert (
        len(after) == len(before) == 2 + len(read_tasks(_copy_without_wal(home, root / "bare")))
    ), "the later work must be in the WAL only"
    shutil.rmtree(root / "bare")
    shutil.rmtree(whole)
    return RestoreCase(home, before, after)


def _copy_without_wal(home: Path, to: Path) -> Path:
    """Return the database of a copy without WAL."""
    path = paths.get_database_path(_copy_home(home, to))
    path.with_name(f"{path.name}-wal").unlink()
    return path


def _add_work(path: Path) -> None:
    """Add tasks that the backup does not contain: one ran, one waits."""
    engine = create_write_engine(path)
    with engine.begin() as c:
        made = TaskBuilder(c)
        made.complete_run(made.submit_task(name="ran since"), 0)
        made.submit_task(name="held since", hold=True)
        # a restore reverts this change
        c.exec_driver_sql("UPDATE tasks SET priority = 7 WHERE number = 3")
    engine.dispose()


def read_tasks(path: Path) -> Rows:
    """Return number, status and priority of each task."""
    with looking(path) as c:
        return c.execute("SELECT number, status, priority FROM tasks ORDER BY number").fetchall()


def run_trials(case: RestoreCase, calls: Sequence[str], every: int = 1) -> Iterator[KilledRestore]:
    """Kill a restore at every n-th call of each kind."""
    for call in calls:
        for n in range(1, MAX_CALLS, every):
            home = _copy_home(case.home, case.home.with_name("trial"))
            try:
                if not _kill_restore(home, call, n):
                    break
                yield KilledRestore(call, n, _find_failures(home, case))
            finally:
                shutil.rmtree(home)


def _copy_home(home: Path, to: Path) -> Path:
    return Path(shutil.copytree(home, to, symlinks=True, ignore=shutil.ignore_patterns("*.sock")))


def _kill_restore(home: Path, call: str, n: int) -> bool:
    """Kill a restore at the n-th call; return false if there are fewer calls."""
    ours, child_end = _FORKS.Pipe()
    output_path = home / "said"
    restoring = _FORKS.Process(
        target=_run_command_when_traced,
        args=(child_end, output_path, ["--home", str(home), "db", "restore", "--yes"]),
    )
    restoring.start()
    with ours, child_end, trace_calls(restoring.pid or 0, call, f"signal=KILL:when={n}"):
        ours.send(None)
        restoring.join()
    assert "Traceback" not in output_path.read_text(), output_path.read_text()
    assert restoring.exitcode in (0, -signal.SIGKILL), output_path.read_text()
    return restoring.exitcode != 0


_FORKS = get_context("forkserver")
"""Fork server with preloaded modules; tracing the imports would take most of the time."""
_FORKS.set_forkserver_preload(["app.cli.commands.db.restore", "app.offline.restore", __name__])


def _run_command_when_traced(gate: Pipe, output_path: Path, words: list[str]) -> None:
    """Run the command line once traced, with its output in a file."""
    with output_path.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    gate.recv()
    sys.argv = ["taskdeck", *words]
    main()


def _find_failures(home: Path, case: RestoreCase) -> list[str]:
    """Return the failures after the kill and after the next restore."""
    failures = [f"before: {why}" for why in _find_inconsistencies(home, case)]
    try:
        _restore(home)
    except Problem as problem:
        return [*failures, f"not restored: {problem}"]
    found = read_tasks(paths.get_database_path(home))
    if found != case.after:
        failures.append(f"restored to {found}")
    if swap.has_unfinished_swap(paths.get_database_path(home)):
        failures.append("still said to be unfinished")
    return failures + _find_damage(paths.get_database_path(home))


def _find_inconsistencies(home: Path, case: RestoreCase) -> Iterator[str]:
    """Check that a reader sees the old state, the new state, or an error with a remedy."""
    try:
        read_only.read(str(home), "ls", {})
        found = read_tasks(paths.get_database_path(home))
    except Problem as problem:
        if problem.exit_code != 5 or "db restore" not in problem.hint:
            yield f"{problem}"
        return
    if found not in (case.before, case.after):
        yield f"read {found}"


def _restore(home: Path) -> None:
    offline_restore.restore_home(str(home), None, None, lambda told: True)


def _find_damage(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as c:
        failures = [row[0] for row in c.execute("PRAGMA integrity_check")]
        failures += [
            f"a row of {row[0]} refers to nothing" for row in c.execute("PRAGMA foreign_key_check")
        ]
    return [text for text in failures if text != "ok"]
