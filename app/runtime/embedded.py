"""The runtime as a thread of the deck (`taskdeck --in-process`), with a loop of its own.

What a runtime does to its process holds here as far as a deck can share it: the umask, the log (a file only; stderr is the
deck's screen), nothing of a run in the environment. The directory stays the user's, since what the deck submits runs there.
Signals are the deck's business. A life that ends, whatever ended it, leaves the deck alone; `start` begins the next one.
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
from app.home.setup import look_over, prepare, prepare_apart
from app.paths import refuse_copy
from app.runtime.serve import Runtime, in_words, log_to, open_runtime, own_environment
from db.maintenance import migrate

log = logging.getLogger("app.runtime")

WHERE = ", in a deck (--in-process)"
"""What the lock's file says behind the usual words. Others read it: this runtime ends before its process does."""


class Inside:
    """The runtime of `home` inside this process: at most one life at a time. For any thread."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = Lock()
        self._life: Life | None = None
        self._left = False

    @property
    def alive(self) -> bool:
        """Whether a runtime lives here now."""
        return self._life is not None and self._life.going

    def start(self) -> None:
        """Return when it answers. Raises what it failed with, such as RuntimeExists when another has the home."""
        self._going().up.result()

    def stop(self, seconds: float) -> bool:
        """End it in order, for good; whether it had ended after so many seconds."""
        with self._lock:
            self._left, life = True, self._life
        if life is None:
            return True
        life.end()
        life.join(seconds)
        return not life.is_alive()

    def _going(self) -> Life:
        """The life that goes on or comes up; a new one where the last has ended."""
        with self._lock:
            if self._left:
                raise Conflict("the deck is being left, and its runtime with it.")
            if self._life is None or not self._life.going:
                self._life = Life(self._home, after=self._life)
                self._life.start()
            return self._life


class Life(Thread):
    """One runtime from its start to its end. `up` says that it answers, or what kept it from that."""

    def __init__(self, home: Path, after: Life | None) -> None:
        super().__init__(name="runtime", daemon=True)
        self.up: Future[None] = Future()
        self.going = True
        """Until it begins to end."""
        self._home, self._before = home, after
        self._over = Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._runtime: Runtime | None = None

    def end(self) -> None:
        """End soon, from any thread."""
        self._over.set()
        if self._loop is not None and self._runtime is not None:
            with suppress(RuntimeError):  # the loop was closed meanwhile
                self._loop.call_soon_threadsafe(self._runtime.ending.set)

    def run(self) -> None:
        try:
            self._after_the_last()
            with in_words(self._home):
                self._live()
        except BaseException as error:
            self._failed(error)
        finally:
            self.going = False

    def _after_the_last(self) -> None:
        if self._before is not None:
            self._before.join()
            self._before = None

    def _live(self) -> None:
        refuse_copy(self._home)
        paths.make_home(self._home)
        log_to(paths.runtime_log(self._home), foreground=False)
        with hold_lock(self._home), _said_where(self._home):
            _prepare(self._home)
            asyncio.run(self._main())

    async def _main(self) -> None:
        async with open_runtime(self._home) as runtime:
            self._loop, self._runtime = asyncio.get_running_loop(), runtime
            if self._over.is_set():
                runtime.ending.set()
            self.up.set_result(None)
            try:
                await runtime.ended()
            finally:
                self.going = False

    def _failed(self, error: BaseException) -> None:
        """Tell whoever waits for it to come up; later on nobody does, and the log is told."""
        if not self.up.done():
            self.up.set_exception(error)
        else:
            log.error("the runtime failed", exc_info=error)


def own_process() -> int:
    """Make this process fit for a runtime, before it has any other thread; the umask it had. May begin the program again."""
    own_environment()
    return os.umask(0o077)


def _prepare(home: Path) -> None:
    """A home made ready: apart where that can be, for once the deck's threads are there none may fork."""
    if active_count() <= 2:
        prepare_apart(home)
    else:
        look_over(home)
        if migrate.version_of(paths.database(home)) != migrate.HEAD:
            prepare(home)


@contextmanager
def _said_where(home: Path) -> Iterator[None]:
    """While the lock is held, its file says that the holder is a deck."""
    with open(home / "run" / paths.LOCK, "r+b", buffering=0) as file:
        with suppress(OSError):  # a full disk
            file.seek(0, os.SEEK_END)
            file.write(WHERE.encode())
        try:
            yield
        finally:
            file.truncate(0)
