"""Creation of a home, killed by strace at the n-th system call before the call is done."""

from __future__ import annotations

import signal
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

from app import paths
from app.home import setup
from tests.long.faults.disk_faults import trace_calls

_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


def kill_setup(home: Path, call: str, n: int) -> bool:
    """Kill the creation of a home at the n-th call; return false if there are fewer calls."""
    paths.make_home(home)
    ours, its = _FORKS.Pipe()
    making = _FORKS.Process(target=_prepare_when_traced, args=(its, home))
    making.start()
    with ours, its, trace_calls(making.pid or 0, call, f"signal=KILL:when={n}"):
        ours.send(None)
        making.join()
    assert making.exitcode in (0, -signal.SIGKILL)
    return making.exitcode != 0


def _prepare_when_traced(gate: Pipe, home: Path) -> None:
    gate.recv()
    setup.prepare_database(home)
