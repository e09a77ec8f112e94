"""A restore that is killed at its n-th rename, link, removal, flush or write: the next one finishes what was asked, and nothing is lost.

strace kills the process where it makes the call, before the call is done.
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
"""The calls that a restore is made of; `WRITES` are those that fill the files."""
WRITES = ("pwrite64", "write", "ftruncate")
MAX_CALLS = 1000
"""Calls of a kind after which a restore is no longer killed."""

Rows = list[tuple[int, str, int]]


class KilledRestore(NamedTuple):
    """One trial: at which call it was killed, and what was wrong afterwards."""

    call: str
    n: int
    wrong: list[str]


class RestoreCase(NamedTuple):
    """A home to restore: where it lies, the tasks it has, and those of a restore that nobody kills."""

    home: Path
    before: Rows
    after: Rows


def make_case(root: Path, damaged: bool) -> RestoreCase:
    """A home with a backup, and work that came and ran since, which stands in the log of the database only; `damaged`: a page of it is
    lost."""
    home = root / "home"
    paths.make_home(home)
    fill_home(home, 12)
    path = paths.database_path(home)
    with closing(sqlite3.connect(path)) as c:
        (page,) = c.execute("SELECT rootpage FROM sqlite_master WHERE name = 'slas'").fetchone()  # which no work writes to
        c.execute("SELECT count(*) FROM tasks").fetchall()  # whoever has it open keeps the log from being folded
        _add_work(path)
        shutil.copytree(home, root / "left")  # as a runtime that was killed leaves it
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
    after = read_tasks(paths.database_path(whole))
    assert len(after) == len(before) == 2 + len(read_tasks(_copy_without_wal(home, root / "bare"))), "what came since stands in the log"
    shutil.rmtree(root / "bare")
    shutil.rmtree(whole)
    return RestoreCase(home, before, after)


def _copy_without_wal(home: Path, to: Path) -> Path:
    """The database of a copy that has no log."""
    path = paths.database_path(_copy_home(home, to))
    path.with_name(f"{path.name}-wal").unlink()
    return path


def _add_work(path: Path) -> None:
    """Tasks that the backup does not know: one ran, one waits."""
    engine = create_write_engine(path)
    with engine.begin() as c:
        made = TaskBuilder(c)
        made.complete_run(made.submit_task(name="ran since"), 0)
        made.submit_task(name="held since", hold=True)
        c.exec_driver_sql("UPDATE tasks SET priority = 7 WHERE number = 3")  # which a restore takes back
    engine.dispose()


def read_tasks(path: Path) -> Rows:
    """The number, status and priority of each."""
    with looking(path) as c:
        return c.execute("SELECT number, status, priority FROM tasks ORDER BY number").fetchall()


def run_trials(case: RestoreCase, calls: Sequence[str], every: int = 1) -> Iterator[KilledRestore]:
    """Kill a restore at each call of these kinds, or at every so-manieth."""
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
    """Restore, and be killed at the n-th call; False when there are not so many."""
    ours, its = _FORKS.Pipe()
    said = home / "said"
    restoring = _FORKS.Process(target=_run_command_when_traced, args=(its, said, ["--home", str(home), "db", "restore", "--yes"]))
    restoring.start()
    with ours, its, trace_calls(restoring.pid or 0, call, f"signal=KILL:when={n}"):
        ours.send(None)
        restoring.join()
    assert "Traceback" not in said.read_text(), said.read_text()
    assert restoring.exitcode in (0, -signal.SIGKILL), said.read_text()
    return restoring.exitcode != 0


_FORKS = get_context("forkserver")
"""Has the program at hand: to trace it from its first import on would take most of the time."""
_FORKS.set_forkserver_preload(["app.cli.commands.db.restore", "app.offline.restore", __name__])


def _run_command_when_traced(gate: Pipe, said: Path, words: list[str]) -> None:
    """The command line, once it is traced; what it says goes to a file."""
    with said.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    gate.recv()
    sys.argv = ["taskdeck", *words]
    main()


def _find_failures(home: Path, case: RestoreCase) -> list[str]:
    """What is not as it should be after the kill, and after the restore that follows it."""
    said = [f"before: {why}" for why in _find_inconsistencies(home, case)]
    try:
        _restore(home)
    except Problem as problem:
        return [*said, f"not restored: {problem}"]
    found = read_tasks(paths.database_path(home))
    if found != case.after:
        said.append(f"restored to {found}")
    if swap.has_unfinished_swap(paths.database_path(home)):
        said.append("still said to be unfinished")
    return said + _find_damage(paths.database_path(home))


def _find_inconsistencies(home: Path, case: RestoreCase) -> Iterator[str]:
    """A reader sees the old state or the new one, or is told what to do."""
    try:
        read_only.read(str(home), "ls", {})
        found = read_tasks(paths.database_path(home))
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
        said = [row[0] for row in c.execute("PRAGMA integrity_check")]
        said += [f"a row of {row[0]} refers to nothing" for row in c.execute("PRAGMA foreign_key_check")]
    return [text for text in said if text != "ok"]
