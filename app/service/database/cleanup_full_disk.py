"""Free space for a cleanup on a full disk.

Deleting rows needs disk space, so a few log files are deleted first. Only logs of expired runs go,
and the writer checks each run again in its transaction: a run pinned or retried meanwhile keeps its
log. A row that stays for now is shown as a run whose log file is gone. No reserve file is kept,
since whatever fills the disk would take its space at once.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app import paths
from db.engine import Connection, Database
from db.errors import Storage
from db.queries.home import retention
from db.queries.home.retention import Cutoff, ExpiredRun, RetentionRules, RuleRuns

ENOUGH_BYTES = 4 * 2**20
"""Bytes to free before rows are tried again, about the maximum size of the WAL."""
MAX_FILES = 1000
"""Maximum number of files to delete.

If no file can be created, inodes may be short instead of bytes.
"""
BLOCK_BYTES = 512
"""Unit of `st_blocks` in bytes, whatever the file system's block size."""


@dataclass
class FreedSpace:
    """Log files deleted before the rows of their runs, and their bytes on the disk."""

    logs: int = 0
    bytes: int = 0

    def add(self, other: FreedSpace) -> None:
        """Add other figures."""
        self.logs, self.bytes = self.logs + other.logs, self.bytes + other.bytes

    @property
    def is_enough(self) -> bool:
        """True if the deletion of rows can be tried again."""
        return self.bytes >= ENOUGH_BYTES or self.logs >= MAX_FILES


async def free_space(db: Database, home: Path, by: RetentionRules) -> FreedSpace:
    """Delete some logs of expired runs, oldest first by rule, and checkpoint the WAL."""
    freed = await _delete_expired_logs(db, home, by)
    with suppress(Storage):
        await db.checkpoint()
    return freed


async def _delete_expired_logs(db: Database, home: Path, by: RetentionRules) -> FreedSpace:
    """Delete logs until enough is free.

    Logs of rows that can be deleted now come first, then logs of runs that the history has yet to
    count, which a full disk prevents.
    """
    found, freed = await db.read(retention.find_rule_runs, by), FreedSpace()
    for part in (*found, *(part.without_wait() for part in found)):
        async for runs in read_batches(db, retention.list_expired, part):
            freed.add(await db.write_quietly(_delete_logs, home, [run.id for run in runs]))
            if freed.is_enough:
                return freed
    return freed


async def read_batches(
    db: Database, find: Any, part: RuleRuns, *more: Any
) -> AsyncIterator[list[ExpiredRun]]:
    """Yield the results of `find` for a part, in lists that fit one transaction."""
    after: Cutoff = retention.NO_CUTOFF
    while found := await db.read(find, part, *more, after):
        for at in range(0, len(found), retention.BATCH):
            yield found[at : at + retention.BATCH]
        after = (found[-1].ended, found[-1].id)


def _delete_logs(c: Connection, home: Path, runids: Sequence[str]) -> FreedSpace:
    """Delete logs of expired runs on the home's disk until enough is free."""
    disk, freed = os.stat(home).st_dev, FreedSpace()
    for runid in sorted(retention.map_removable(c, runids)):
        if freed.is_enough:
            break
        path = paths.get_log_path(home, runid)
        with suppress(OSError):
            found = os.lstat(path)
            if found.st_dev == disk:
                paths.delete_log(home, runid)
                freed.add(FreedSpace(1, found.st_blocks * BLOCK_BYTES))
    return freed
