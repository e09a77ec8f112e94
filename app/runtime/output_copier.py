"""Copies of the logs of runs to the files that their users named.

The log stays the whole truth, so a full disk or a missing folder costs nothing but the copy. A file
is an exact copy of the log of its run, written in place while the run writes: a copy that a crash
interrupted begins again. Files are opened with the rights of the user, and only regular files.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import stat
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from app import paths
from app.core.text.sanitize import sanitize, truncate
from db.engine import Database, WatchedRead
from db.queries import run_outputs
from db.queries.run_outputs import OutputCopy

PIECE = 4 * 1024 * 1024
"""Bytes copied between two looks at the clock."""
TURN_SECONDS = 0.5
"""Seconds for one copy of a pass of the duty."""
END_SECONDS = 0.2
"""Seconds for the rest of a copy before the end of its run is stored."""

log = logging.getLogger(__name__)


class OutputCopier:
    """The copies in progress, and how much of each is done."""

    def __init__(self, db: Database, home: Path) -> None:
        self._db = db
        self._home = home
        self._copies = WatchedRead(db, run_outputs.list_copies)
        self._lock = asyncio.Lock()
        self._offsets: dict[str, int] = {}
        self.runs: set[str] = set()
        """Runs with a copy, as far as known."""

    async def run(self) -> None:
        """Copy what is new, and store which copies are complete."""
        copies = await self._copies.read()
        self.runs |= {copy.runid for copy in copies}
        if not copies:
            return
        async with self._lock:
            ended = await asyncio.to_thread(self._copy_all, copies, TURN_SECONDS)
        if ended:
            await self._db.write(run_outputs.finish_copies, ended)
            for runid, _ in ended:
                self.runs.discard(runid)
                self._offsets.pop(runid, None)

    async def copy_ends(self, runids: Collection[str]) -> None:
        """Copy the rest of runs that ended, so that who waits for an end finds the file whole."""
        if self.runs.isdisjoint(runids):
            return
        copies = [copy for copy in await self._db.read(run_outputs.list_copies)
                  if copy.runid in runids]  # fmt: skip
        async with self._lock:
            await asyncio.to_thread(self._copy_all, copies, END_SECONDS)

    def _copy_all(
        self, copies: Sequence[OutputCopy], seconds: float
    ) -> list[tuple[str, str | None]]:
        """Copy for a while; return the copies of ended runs that are over, with their problems."""
        ended: list[tuple[str, str | None]] = []
        for copy in copies:
            try:
                is_whole, problem = self._copy(copy, time.monotonic() + seconds), None
            except OSError as error:
                if error.errno in paths.DISK_FULL_ERRORS:
                    continue  # until there is space
                is_whole, problem = True, _describe_problem(copy, error)
            if is_whole and not copy.is_active:
                if problem:
                    log.warning("run %s: %s", copy.runid, problem)
                ended.append((copy.runid, problem))
        return ended

    def _copy(self, copy: OutputCopy, end: float) -> bool:
        """Copy a log until the time is up; return True if nothing is left. Raise OSError."""
        try:
            source = paths.open_regular_descriptor(paths.get_log_path(self._home, copy.runid))
        except FileNotFoundError:
            return True  # removed by retention, or not yet there
        try:
            target = open_target(copy.path, copy.umask)
        except BaseException:
            os.close(source)
            raise
        try:
            at = self._offsets.get(copy.runid, 0)
            os.lseek(target, at, os.SEEK_SET)
            while sent := os.sendfile(target, source, at, PIECE):
                at += sent
                self._offsets[copy.runid] = at
                if time.monotonic() > end:
                    return False
            if os.fstat(target).st_size > at:
                os.ftruncate(target, at)  # what an earlier file held
            return True
        finally:
            os.close(target)
            os.close(source)


def open_target(path: str, umask: int) -> int:
    """Open the file of a copy for writing; a new one gets the mode of the task's umask."""
    flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        fd = os.open(path, flags | os.O_CREAT, 0o666 & ~umask)  # also behind a dangling link
        if stat.S_ISREG(os.fstat(fd).st_mode):
            return fd
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file") from None
    os.fchmod(fd, 0o666 & ~umask)
    return fd


def _describe_problem(copy: OutputCopy, error: OSError) -> str:
    why = (error.strerror or "unknown").lower()
    return f"output not copied to {truncate(sanitize(copy.path), 200)}: {why}"
