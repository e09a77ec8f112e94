"""Imports that are killed at a step, or overtaken by the peer, and repeated until they end."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from app.cli.context import CommandContext
from app.cli.imports import gflow, pueue, take_over, task_spooler
from app.cli.imports import journal as journals
from app.cli.imports.take_over import Report
from app.errors import Problem
from tests.long.imports.peers import NAMES, PeerHome
from tests.runtime_process import RuntimeProcess

KILLED, FAILED = 9, 1
STEPS = {
    journals.ImportJournal: ("_append", "finish"),
    os: ("replace",),
    task_spooler: ("run_program", "_send"),
    gflow: ("run_program",),
}
"""Functions whose calls are steps, by owner. Calls of verbs are steps, too."""


class ImportFaultError(Exception):
    """A task that was lost or has run twice."""


def try_import(
    runtime: RuntimeProcess, peer_home: PeerHome, step: int, is_killed: bool, runs_there: bool
) -> bool:
    """Disturb an import at a step, and repeat it; return False if there is no such step.

    With `is_killed` the import dies at the step, else the peer runs its tasks then. With
    `runs_there` the peer runs its tasks before the repetition. Raise ImportFaultError.
    """

    def disturb() -> None:
        if is_killed:
            os.kill(os.getpid(), signal.SIGKILL)
        peer_home.run_waiting()

    is_reached = _fork_import(runtime, peer_home, step, disturb) != 0 or not is_killed
    if runs_there:
        peer_home.run_waiting()
    for _ in range(3):
        _fork_import(runtime, peer_home, None, disturb)
    peer_home.run_waiting()
    peer_home.wait_until_idle()
    _wait_for_tasks(runtime)
    runs = peer_home.count_runs()
    if runs != dict.fromkeys(NAMES, 1):
        raise ImportFaultError(f"step {step}: {dict(runs)}")
    if journals.has_journal(os.fspath(runtime.home), peer_home.name):
        raise ImportFaultError(f"step {step}: the import has not ended")
    return is_reached


def count_steps(runtime: RuntimeProcess, peer_home: PeerHome) -> int:
    """Return the number of steps of an import that nothing disturbs."""
    read, write = os.pipe()
    if _fork_import(runtime, peer_home, None, lambda: None, write):
        raise ImportFaultError("an undisturbed import fails")
    os.close(write)
    with open(read, "rb") as file:
        return int(file.read())


def _fork_import(
    runtime: RuntimeProcess,
    peer_home: PeerHome,
    step: int | None,
    disturb: Callable[[], None],
    fd: int | None = None,
) -> int:
    """Import in a child, which disturbs a step; return its exit status."""
    if not (pid := os.fork()):
        code = FAILED
        try:
            code = _import(os.fspath(runtime.home), peer_home, step, disturb, fd)
        except Problem as problem:  # it says that the import must be repeated
            print(problem.message, file=sys.stderr) if step is None else None
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


def _import(
    home: str, peer_home: PeerHome, step: int | None, disturb: Callable[[], None], fd: int | None
) -> int:
    pueue.DAEMON = "no-such-daemon"  # a developer may run a daemon of pueue
    context = CommandContext(home, lambda: 0, lambda: 0, lambda: [], lambda: 0)
    done = 0

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **more: Any) -> Any:
            count()
            found = function(*args, **more)
            count()
            return found

        return wrapped

    def count() -> None:
        nonlocal done
        if done == step:
            disturb()
        done += 1

    for owner, names in [*STEPS.items(), (context, ("call",))]:
        for name in names:
            setattr(owner, name, wrap(getattr(owner, name)))
    report = take_over.apply(context, peer_home.make_peer())
    _settle_unclear(context, peer_home, report)
    if fd is not None:
        os.write(fd, str(done).encode())
    return 0


def _settle_unclear(context: CommandContext, peer_home: PeerHome, report: Report) -> None:
    """Do as the message says: release what has not run there, cancel the others."""
    peer_home.wait_until_idle() if report.unclear else None
    for number in report.unclear:
        words = context.call("show", id=number)["launch"]["argv"]
        has_run = any(done in words[-1].split() for done in peer_home.count_runs())
        context.call("cancel" if has_run else "release", ids=[number])


def _wait_for_tasks(runtime: RuntimeProcess) -> None:
    rows = runtime.call("ls", limit=200)["tasks"]
    waiting = [row["number"] for row in rows if row["status"] not in ("succeeded", "cancelled")]
    if waiting:
        runtime.wait_for_end(*map(str, waiting))


def run_trials(
    runtime: RuntimeProcess, kind: type[PeerHome], folder: Path, every: int
) -> Iterator[tuple[int, bool, bool]]:
    """Disturb each step of an import, or some; yield the step and how. Raise ImportFaultError."""
    first = kind(folder / "undisturbed")
    try:
        total = count_steps(runtime, first)
        first.run_waiting()
    finally:
        first.close()
    ways = [(True, False), (True, True), (False, False)][: 3 if kind.can_overtake else 2]
    for step in range(0, total, every):
        for way in ways if every == 1 else [ways[step // every % len(ways)]]:
            peer_home = kind(folder / f"{step}-{way[0]:d}{way[1]:d}")
            try:
                try_import(runtime, peer_home, step, *way)
            finally:
                peer_home.close()
            yield step, *way
