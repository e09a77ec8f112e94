"""Copies of the logs of runs to the files that their users named.

The log stays the whole truth, so a full disk costs nothing but the copy. A file
is an exact copy of the log of its run, or of its output or error output alone, written in place
while the run writes: a copy that a crash interrupted begins again. Files are opened with the rights
of the user, and only regular files.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import stat
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from app import log_parts, paths
from app.core.text.sanitize import sanitize, truncate
from app.log_parts import LogPart
from app.service import companions
from db.engine import Database, WatchedRead
from db.queries.tasks import run_outputs
from db.queries.tasks.run_outputs import OutputCopy

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
        self._places: dict[tuple[str, str], tuple[int, int]] = {}
        """By run and column: how far the log was read and the file written."""
        self.runs: set[str] = set()
        """Runs whose output is copied, of those that this process has read."""

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
            for copy, _ in ended:
                self.runs.discard(copy.runid)
                self._places.pop((copy.runid, copy.column), None)

    async def copy_ends(self, runids: Collection[str]) -> None:
        """Copy the rest of runs that ended, so that who waits for an end finds the file whole.

        The error output of a run may still be on its way to the log; wait for it briefly.
        """
        await companions.drain(self._home, runids)
        if self.runs.isdisjoint(runids):
            return
        copies = [copy for copy in await self._db.read(run_outputs.list_copies)
                  if copy.runid in runids]  # fmt: skip
        async with self._lock:
            await asyncio.to_thread(self._copy_all, copies, END_SECONDS)

    def _copy_all(
        self, copies: Sequence[OutputCopy], seconds: float
    ) -> list[tuple[OutputCopy, str | None]]:
        """Copy for a while; return the copies of ended runs that are over, with their problems."""
        ended: list[tuple[OutputCopy, str | None]] = []
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
                ended.append((copy, problem))
        return ended

    def _copy(self, copy: OutputCopy, end: float) -> bool:
        """Copy a log until the time is up; return True if nothing is left. Raise OSError."""
        log_path = paths.get_log_path(self._home, copy.runid)
        try:
            source = paths.open_regular_descriptor(log_path)
        except FileNotFoundError:
            return True  # removed by retention, or not yet there
        try:
            make_folder(os.path.dirname(copy.path), copy.umask)
            target = open_target(copy.path, copy.umask)
        except BaseException:
            os.close(source)
            raise
        try:
            return self._copy_pieces(copy, log_path, source, target, end)
        finally:
            os.close(target)
            os.close(source)

    def _copy_pieces(
        self, copy: OutputCopy, log_path: str, source: int, target: int, end: float
    ) -> bool:
        key, part = (copy.runid, copy.column), _choose_part(copy)
        at, written = self._places.get(key, (0, 0))
        size = os.fstat(source).st_size
        index = log_parts.ErrorIndex() if part == LogPart.ALL else log_parts.read_index(log_path)
        if not copy.is_active:
            index = index._replace(limit=None)  # nobody writes any more
        os.lseek(target, written, os.SEEK_SET)
        for piece in log_parts.list_pieces(part, index, at, size):
            at = piece.start
            while at < piece.stop and (
                sent := os.sendfile(target, source, at, min(PIECE, piece.stop - at))
            ):
                at, written = at + sent, written + sent
                self._places[key] = at, written
                if time.monotonic() > end:
                    return False
        self._places[key] = max(at, log_parts.find_known_end(part, index, size)), written
        if os.fstat(target).st_size > written:
            os.ftruncate(target, written)  # what an earlier file held
        return True


def _choose_part(copy: OutputCopy) -> LogPart:
    if copy.column == "copy_error_to":
        return LogPart.ERROR
    return LogPart.OUTPUT if copy.is_split else LogPart.ALL


def make_folder(path: str, umask: int) -> None:
    """Make the folder and those above it that are missing, with the mode of the task's umask."""
    if not path or os.path.isdir(path):
        return
    make_folder(os.path.dirname(path), umask)
    with suppress(FileExistsError):  # a file in its place is named when the copy is opened
        os.mkdir(path, 0o700)
        os.chmod(path, 0o777 & ~umask)


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
