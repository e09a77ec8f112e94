"""The feed: one thread that follows the runtime's changes and brings each board to the app.

When the runtime goes, the feed says so and brings another up. When that cannot be (somebody stopped it, or it fails), the
client reads the database itself, every `RETRY` seconds. Nothing else in the deck fetches the board.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FuturesTimeout
from contextlib import suppress
from threading import Event, Thread
from time import monotonic
from typing import Any, Protocol

from app.core.board import Board
from app.errors import Problem

DOWN_STATES = ("none", "stopped")
"""States of a runtime that is not there."""


def keep_last_measurements(board: Board, before: Board | None) -> Board:
    """The board, with the measures of the one `before` where that has later ones: the database knows those of whole minutes, and none
    of single runs."""
    known_at = before and (before.measured_at or before.at)
    if board.runtime.state not in DOWN_STATES or before is None or not known_at or (board.measured_at or 0.0) > known_at:
        return board
    runs = {run.runid: run for run in before.running}
    pools = {pool.name: pool for pool in before.pools}
    return board._replace(
        measured_at=known_at, host=before.host if before.host.cpu_used is not None else board.host,
        running=tuple(_copy_measurements(run, runs.get(run.runid)) for run in board.running),
        pools=tuple(_copy_measurements(pool, pools.get(pool.name)) for pool in board.pools),
    )  # fmt: skip


def _copy_measurements(row: Any, was: Any) -> Any:
    if was is None or was.measured_cpu is None:
        return row
    return row._replace(measured_cpu=was.measured_cpu, measured_memory=was.measured_memory)


MIN_INTERVAL = 0.1
"""Seconds between two boards at least."""
SLOW_START = 0.8
"""Seconds after which the start of a runtime takes long."""
RETRY_INTERVAL = 2.0
"""Seconds between two looks while no runtime is up."""


class BoardClient(Protocol):
    """What the feed asks of a client."""

    def call(self, verb: str, args: dict[str, Any] = ..., /) -> Any: ...

    def watch(self) -> Iterator[None]: ...

    def start(self, resume: bool = ...) -> None: ...

    def close(self) -> None: ...


class BoardFeed(Thread):
    """Runs until `stop()`. In this thread it calls `show(board)`, `gone()` when the runtime went, and
    `lost(error, lives)` when there is no board to be had, with whether a runtime lives all the same."""

    def __init__(
        self,
        client_factory: Callable[[], BoardClient],
        show: Callable[[Board], None],
        gone: Callable[[], None],
        lost: Callable[[Exception, bool], None],
        *,
        start: bool = True,
        args: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        """`args` gives what the board is asked with, in this thread."""
        super().__init__(name="feed", daemon=True)
        # A watch keeps its connection, so boards are asked for on another.
        self._watcher = client_factory()
        self._reader = client_factory()
        self._show = show
        self._gone = gone
        self._lost = lost
        self._may_start = start
        self._args = args
        self._lives = False
        self.notification_count = 0
        """Counts the signs of life of the runtime; read by the app's thread."""
        self._stop_requested = Event()
        self._retry = Event()

    def stop(self) -> None:
        """End the thread soon; it is not waited for."""
        self._stop_requested.set()
        self._retry.set()
        self._watcher.close()
        self._reader.close()

    def retry_now(self) -> None:
        """Do not wait for the next look: something was done about the runtime."""
        self._retry.set()

    def run(self) -> None:
        while not self._stop_requested.is_set():
            lived = False
            try:
                lived = self._follow_runtime()
            except Exception as error:
                self._report_error(error)
            self._retry.wait(MIN_INTERVAL if lived else RETRY_INTERVAL)
            self._retry.clear()

    def _follow_runtime(self) -> bool:
        """Show boards until the runtime goes; False when there was none to follow."""
        self._lives = False
        self._lives = self._ensure_runtime()
        if not self._lives:
            return False
        lived = False
        for _ in self._watcher.watch():
            if self._stop_requested.is_set():
                return False
            self.notification_count += 1
            self._read_board()
            lived = True
        if lived:
            self._gone()
        return lived

    def _ensure_runtime(self) -> bool:
        """See to it that a runtime is up; when it cannot be, show what the database says, and why."""
        try:
            if self._may_start:
                self._start_runtime()
                return True
        except Problem as problem:
            if self._read_board() != "stopped":
                self._report_error(problem)
            return False
        return self._read_board() == "running"

    def _start_runtime(self) -> None:
        """Bring one up; where that takes long, as of a database that is looked over first, what is in it is shown meanwhile."""
        with ThreadPoolExecutor(1, "start") as apart:
            started = apart.submit(self._watcher.start)
            try:
                started.result(SLOW_START)
            except FuturesTimeout:
                with suppress(Problem):  # what is wrong is told better by the start
                    self._read_board()
                started.result()

    def _read_board(self) -> str:
        """Show the board as it is now; the state of its runtime."""
        began = monotonic()
        board = Board.from_dict(self._reader.call("board", self._args()))
        self.notification_count += 1
        if self._stop_requested.is_set():
            return board.runtime.state
        self._show(board)
        self._stop_requested.wait(max(0.0, MIN_INTERVAL - (monotonic() - began)))
        return board.runtime.state

    def _report_error(self, error: Exception) -> None:
        if not self._stop_requested.is_set():
            self._lost(error, self._lives)
