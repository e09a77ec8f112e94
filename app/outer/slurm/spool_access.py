"""Spool in threads of its own: a file server that hangs must not stop the event loop."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import time
from collections.abc import Callable
from typing import TypeVar

from app.core.text.sanitize import sanitize, truncate
from app.outer.slow_calls import call_in_thread
from app.outer.spool import Spool

T = TypeVar("T")

THREADS = 2
"""Calls at the same time."""
PATIENCE = 30.0
"""Seconds after which a spool that does not answer is in trouble."""
OTHER_SPOOL = (
    "it is not the one with the jobs of this home, which may not be mounted (taskdeck help"
    " slurm-pools)"
)


class SpoolAccess:
    """Calls of the spool, and the trouble that they met.

    `identity` is that of the spool with the active runs; "" if it is not known.
    """

    def __init__(self, spool: Spool, identity: str = "") -> None:
        self.spool, self.identity = spool, identity
        self.is_ready = False
        self._tickets = itertools.count()
        self._error = ""
        self._begun: dict[int, float] = {}
        self._lanes = asyncio.Semaphore(THREADS)

    async def call(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a function in a thread. Raise OSError, and keep it as the trouble of the spool."""
        ticket = next(self._tickets)
        self._begun[ticket] = time.monotonic()
        try:
            async with self._lanes:
                return await call_in_thread(function, *arguments)
        except OSError as error:
            self._error = _describe(error)
            raise
        finally:
            self._begun.pop(ticket, None)

    async def call_surely(self, function: Callable[..., T], *arguments: object) -> T:
        """Call a function whose answer decides on runs, in the spool that has them alone."""

        def check_and_call() -> T:
            self._require_identity(self.spool.read_identity())
            return function(*arguments)

        return await self.call(check_and_call)

    async def prepare(self, must_exist: bool) -> None:
        """Make the spool ready, or find out that its trouble is over. Raise OSError.

        A spool that runs use is not made again: its file system is not mounted, or somebody removed
        their files.
        """
        if must_exist or self.is_ready:
            await self.call(os.stat, self.spool.root / "runs")
        found = await self.call(self._prepare, must_exist)
        self.identity, self.is_ready, self._error = found, True, ""

    def _prepare(self, must_exist: bool) -> str:
        if must_exist and self.identity:
            self._require_identity(self.spool.read_identity())
        return self.spool.prepare()

    def _require_identity(self, found: str) -> None:
        if self.identity and found != self.identity:
            raise OSError(errno.ESTALE, OTHER_SPOOL)

    @property
    def trouble(self) -> str:
        """Return why the spool cannot be used, or ""."""
        root = truncate(sanitize(str(self.spool.root)), 120)
        if self._error:
            return f"the spool {root} cannot be used: {self._error}"
        oldest = min(self._begun.values(), default=None)
        if oldest is not None and time.monotonic() - oldest > PATIENCE:
            return f"the spool {root} does not answer"
        return ""


def _describe(error: OSError) -> str:
    name = truncate(sanitize(str(error.filename or "")), 120)
    where = f" ({name})" if name else ""
    return sanitize((error.strerror or "unknown error").lower()) + where
