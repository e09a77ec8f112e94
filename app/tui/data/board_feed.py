"""Board feed: one thread that follows change notifications and fetches each board.

If the runtime stops, the feed reports this and starts another. If none can be started, the client
reads the database every `RETRY_INTERVAL` seconds. Nothing else in the deck fetches the board.
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
"""Runtime states without a running process."""


def keep_last_measurements(board: Board, before: Board | None) -> Board:
    """Return the board with later measurements of the previous board.

    The database stores whole minutes only, and nothing about single runs.
    """
    known_at = before and (before.measured_at or before.at)
    if (
        board.runtime.state not in DOWN_STATES
        or before is None
        or not known_at
        or (board.measured_at or 0.0) > known_at
    ):
        return board
    runs = {run.runid: run for run in before.running}
    pools = {pool.name: pool for pool in before.pools}
    return board._replace(
        measured_at=known_at, host=before.host if before.host.cpu_used is not None else board.host,
        running=tuple(_copy_measurements(run, runs.get(run.runid)) for run in board.running),
        pools=tuple(_copy_measurements(pool, pools.get(pool.name)) for pool in board.pools),
    )  # fmt: skip


def _copy_measurements(row: Any, before: Any) -> Any:
    if before is None or before.measured_cpu is None:
        return row
    return row._replace(measured_cpu=before.measured_cpu, measured_memory=before.measured_memory)


MIN_INTERVAL = 0.1
"""Minimum seconds between two boards."""
SLOW_START = 0.8
"""Seconds after which starting a runtime is reported as slow."""
RETRY_INTERVAL = 2.0
"""Seconds between attempts while no runtime is running."""


class BoardClient(Protocol):
    """Client methods used by the feed."""

    def call(self, verb: str, args: dict[str, Any] = ..., /) -> Any: ...

    def watch(self) -> Iterator[None]: ...

    def start(self, resume: bool = ...) -> None: ...

    def close(self) -> None: ...


class BoardFeed(Thread):
    """A thread that runs until `stop()`.

    The thread calls `show(board)`, `gone()` when the runtime stopped, and `lost(error, lives)` when
    no board can be read. `lives` is True if a runtime was running all the same.
    """

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
        """Create the feed. `args` returns the arguments of the board request, in this thread."""
        super().__init__(name="feed", daemon=True)
        # A watch occupies its connection, so boards need another.
        self._watcher = client_factory()
        self._reader = client_factory()
        self._show = show
        self._gone = gone
        self._lost = lost
        self._may_start = start
        self._args = args
        self._is_running = False
        self.notification_count = 0
        """Number of notifications received; read by the app's thread."""
        self._stop_requested = Event()
        self._retry = Event()

    def stop(self) -> None:
        """Stop the thread soon; do not wait for it."""
        self._stop_requested.set()
        self._retry.set()
        self._watcher.close()
        self._reader.close()

    def retry_now(self) -> None:
        """Try again at once, without waiting for `RETRY_INTERVAL`."""
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
        """Show boards until the runtime stops; return False if none was running."""
        self._is_running = False
        self._is_running = self._ensure_runtime()
        if not self._is_running:
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
        """Return True if a runtime is running; start one if allowed.

        If none can be started, show the board from the database and report the error.
        """
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
        """Start a runtime.

        If the start takes long, for example for a database check, show the stored board meanwhile.
        """
        with ThreadPoolExecutor(1, "start") as executor:
            started = executor.submit(self._watcher.start)
            try:
                started.result(SLOW_START)
            except FuturesTimeout:
                with suppress(Problem):  # the start reports the error more precisely
                    self._read_board()
                started.result()

    def _read_board(self) -> str:
        """Fetch and show the current board; return the state of its runtime."""
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
            self._lost(error, self._is_running)
