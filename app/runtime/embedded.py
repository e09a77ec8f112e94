"""Embedded runtime: a thread of the deck with its own event loop (`taskdeck --in-process`).

The runtime's process settings apply where a deck can share them: the umask, a log in a file only
(stderr is the deck's screen), and no run variables in the environment. The working directory stays
the user's, because submitted commands run there. The deck handles signals. A failed runtime does
not affect the deck; `start` starts the next one.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Lock, Thread, active_count

from app import paths
from app.errors import Conflict
from app.home.lock import hold_lock
from app.home.setup import prepare_database, prepare_in_subprocess, verify_before_start
from app.paths import refuse_replica
from app.runtime.serve import (
    Runtime,
    configure_logging,
    open_runtime,
    reset_environment,
    translate_errors,
)
from db.maintenance import migrate

log = logging.getLogger("app.runtime")

LOCK_FILE_NOTE = ", in a deck (--in-process)"
"""Text added to the lock file. The text tells other processes that this runtime may end before its
process."""


class InProcessRuntime:
    """Runtime of a home in this process, at most one at a time. Thread-safe."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = Lock()
        self._thread: RuntimeThread | None = None
        self._is_stopped = False

    @property
    def is_alive(self) -> bool:
        """True while a runtime is running here."""
        return self._thread is not None and self._thread.is_active

    def start(self) -> None:
        """Wait until the runtime answers. Raise its error, such as RuntimeExists."""
        self._get_or_start().up.result()

    def stop(self, seconds: float) -> bool:
        """Stop the runtime for good; return True if it ended within `seconds`."""
        with self._lock:
            self._is_stopped, thread = True, self._thread
        if thread is None:
            return True
        thread.request_end()
        thread.join(seconds)
        return not thread.is_alive()

    def _get_or_start(self) -> RuntimeThread:
        """Return the current thread, or start a new one if the last has ended."""
        with self._lock:
            if self._is_stopped:
                raise Conflict("the deck is exiting, and its runtime with it.")
            if self._thread is None or not self._thread.is_active:
                self._thread = RuntimeThread(self._home, after=self._thread)
                self._thread.start()
            return self._thread


class RuntimeThread(Thread):
    """Thread of one runtime.

    `up` is resolved once the runtime answers, or holds its start error.
    """

    def __init__(self, home: Path, after: RuntimeThread | None) -> None:
        super().__init__(name="runtime", daemon=True)
        self.up: Future[None] = Future()
        self.is_active = True
        """True until the runtime begins to stop."""
        self._home, self._previous = home, after
        self._end_requested = Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._runtime: Runtime | None = None

    def request_end(self) -> None:
        """Request the end, from any thread."""
        self._end_requested.set()
        if self._loop is not None and self._runtime is not None:
            with suppress(RuntimeError):  # the loop has just been closed
                self._loop.call_soon_threadsafe(self._runtime.ending.set)

    def run(self) -> None:
        try:
            self._wait_for_previous()
            with translate_errors(self._home):
                self._run_runtime()
        except BaseException as error:
            self._report_failure(error)
        finally:
            self.is_active = False

    def _wait_for_previous(self) -> None:
        if self._previous is not None:
            self._previous.join()
            self._previous = None

    def _run_runtime(self) -> None:
        refuse_replica(self._home)
        paths.make_home(self._home)
        configure_logging(paths.get_runtime_log_path(self._home), foreground=False)
        with hold_lock(self._home), _mark_lock_file(self._home):
            _prepare_home(self._home)
            asyncio.run(self._main())

    async def _main(self) -> None:
        async with open_runtime(self._home) as runtime:
            self._loop, self._runtime = asyncio.get_running_loop(), runtime
            if self._end_requested.is_set():
                runtime.ending.set()
            self.up.set_result(None)
            try:
                await runtime.wait_for_end()
            finally:
                self.is_active = False

    def _report_failure(self, error: BaseException) -> None:
        """Report an error to the waiting starter, or log it after the start."""
        if not self.up.done():
            self.up.set_exception(error)
        else:
            log.error("the runtime failed", exc_info=error)


def prepare_process() -> int:
    """Prepare this process for a runtime, and return the old umask.

    The process must have no other threads. The function may execute the program again.
    """
    reset_environment()
    return os.umask(0o077)


def _prepare_home(home: Path) -> None:
    """Prepare the home, in a subprocess if possible.

    A process with the deck's threads must not fork.
    """
    if active_count() <= 2:
        prepare_in_subprocess(home)
    else:
        verify_before_start(home)
        if migrate.read_version(paths.get_database_path(home)) != migrate.HEAD:
            prepare_database(home)


@contextmanager
def _mark_lock_file(home: Path) -> Iterator[None]:
    """Record in the lock file that the holder is a deck, while the block runs."""
    with open(home / "run" / paths.LOCK_FILE, "r+b", buffering=0) as file:
        with suppress(OSError):  # the disk may be full
            file.seek(0, os.SEEK_END)
            file.write(LOCK_FILE_NOTE.encode())
        try:
            yield
        finally:
            file.truncate(0)
