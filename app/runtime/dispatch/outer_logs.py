"""Logs of runs on other hosts, brought home while they grow.

A node sees the spool, but not the home. So the job writes its log beside its order. What is new is
appended to the log in the home, where all readers look.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from app import paths

CHUNK = 1 << 20
MOST_AT_ONCE = 64 << 20
"""Bytes of one log that a look brings while the run goes on."""


class LogFetcher:
    """Copies of the logs in a spool. Every method may wait for a file server."""

    def __init__(self, home: Path, spool: Path) -> None:
        self._home, self._spool = home, spool
        self._sizes: dict[str, int] = {}
        """Sizes of the logs of which all is at home."""

    def get_path(self, runid: str) -> str:
        """Return the path at which the job of a run writes its log."""
        return f"{self._spool}/runs/{runid[-2:]}/{runid}.log"

    def fetch(self, runids: Iterable[str], most: int = MOST_AT_ONCE) -> list[str]:
        """Append what is new in the logs of runs; return the runs whose logs cannot be read."""
        failed: list[str] = []
        for runid in runids:
            try:
                self._fetch(runid, most)
            except FileNotFoundError:
                pass  # nothing is written yet
            except OSError:
                failed.append(runid)
        return failed

    def forget(self, runids: Iterable[str]) -> None:
        """Drop what is known of the logs of runs that have ended."""
        for runid in runids:
            self._sizes.pop(runid, None)

    def _fetch(self, runid: str, most: int) -> None:
        """Open the log each time: NFS asks the server for its size then, and for no stat."""
        source = paths.open_regular_descriptor(self.get_path(runid))
        try:
            size = os.fstat(source).st_size
            if self._sizes.get(runid) != size:
                done = self._append(source, runid, size, most)
                self._sizes[runid] = done
        finally:
            os.close(source)

    def _append(self, source: int, runid: str, size: int, most: int) -> int:
        """Append what is new; return the size of the log at home."""
        path = paths.get_log_path(self._home, runid)
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with open(os.open(path, flags, 0o600), "wb", buffering=0) as target:
            done = os.fstat(target.fileno()).st_size
            end = min(size, done + most)
            while done < end and (data := os.pread(source, min(end - done, CHUNK), done)):
                done += target.write(data)
        return done
