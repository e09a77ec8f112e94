"""How a deck that has the runtime in its process is left: in order and within five seconds, whatever ends it. Jobs go on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

from app.core.board import Board, RuntimeFacts
from app.errors import Problem

PATIENCE = 4.0
"""Seconds that a runtime is given to end; the next one makes up for what it could not put in order."""

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class OwnRuntime(Protocol):
    """What a deck asks of the runtime in its process."""

    @property
    def alive(self) -> bool:
        """Whether it lives here now."""
        ...

    def start(self) -> None:
        """Return when it answers. Raises Problem."""
        ...

    def stop(self, seconds: float) -> bool:
        """End it for good; whether it had ended after so many seconds."""
        ...


@dataclass
class Told:
    """What a signal made of the deck."""

    code: int = 0


class _Signal(BaseException):
    """A signal asked for the end while no deck was open to hear it."""


@contextmanager
def in_order(runtime: OwnRuntime) -> Iterator[Told]:
    """A signal ends the body and gives its code; behind the body the runtime is ended."""
    told = Told()

    def tell(number: int, frame: FrameType | None) -> None:
        told.code = 128 + number
        raise _Signal

    for number in SIGNALS:
        signal.signal(number, tell)
    try:
        yield told
    except _Signal:
        pass
    finally:
        _deaf()
        runtime.stop(PATIENCE)


def left(runtime: OwnRuntime, home: Path, board: Board, goes_on: bool) -> Board:
    """The deck was left: end its runtime, with `goes_on` leave one in the background. The board as it then is. Raises Problem."""
    _deaf()
    if not runtime.alive:
        return board
    ended = runtime.stop(PATIENCE)
    return board._replace(runtime=_in_background(home, ended) if goes_on else RuntimeFacts("none"))


def _in_background(home: Path, ended: bool) -> RuntimeFacts:
    from app import client, launch

    if not ended:
        said = f"the runtime was still busy after {PATIENCE:.0f} s, so none was left in the background."
        raise Problem(said, "Start one: taskdeck serve --detach")
    launch.runtime(os.fspath(home))
    line = client.connect(os.fspath(home))
    if line is None:
        return RuntimeFacts("none")
    line.close()
    return RuntimeFacts("running", pid=line.pid)


def _deaf() -> None:
    """The end has begun, and needs no second word for it."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
