"""Room for a cleanup on a full disk, where no row can be deleted: that takes some room itself. There the logs go before the rows.

They go a few at a time, and only logs of runs that go by the rules, which the writer looks at once more while it lets nobody else
change them: what is pinned or tried again meanwhile keeps its log. A row that stays for now, as it is not counted yet or there is no
room after all, is of a run that is told as one whose log file has gone. No file is kept in reserve to be given up here: whatever fills
the disk would have its room in the same moment, and homes that are full already have none.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from app import paths
from db.engine import Database
from db.errors import Storage
from db.queries import retention
from db.queries.retention import Cutoff, ExpiredRun, RetentionRules, RuleRuns

ENOUGH_BYTES = 4 * 2**20
"""Bytes that are made free before the rows are tried again: what SQLite's log mostly grows to."""
MAX_FILES = 1000
"""Files that are removed for it at most: where no more of them can be made, it is not bytes that lack."""
BLOCK_BYTES = 512
"""Bytes of a block of `st_blocks`, whatever the file system's own are."""


@dataclass
class FreedSpace:
    """Logs that went before the rows of their runs, and the bytes that they took on the disk."""

    logs: int = 0
    bytes: int = 0

    def add(self, other: FreedSpace) -> None:
        """Count that in."""
        self.logs, self.bytes = self.logs + other.logs, self.bytes + other.bytes

    @property
    def is_enough(self) -> bool:
        """Whether the rows can be tried again."""
        return self.bytes >= ENOUGH_BYTES or self.logs >= MAX_FILES


async def free_space(db: Database, home: Path, by: RetentionRules) -> FreedSpace:
    """Remove some of the logs that go, the oldest of each rule first, and let SQLite use the room of its own log again."""
    freed = await _delete_expired_logs(db, home, by)
    with suppress(Storage):
        await db.checkpoint()
    return freed


async def _delete_expired_logs(db: Database, home: Path, by: RetentionRules) -> FreedSpace:
    """Those whose rows can go now are first, then those that the history has yet to count, which it cannot do while the disk is full."""
    found, freed = await db.read(retention.find_rule_runs, by), FreedSpace()
    for part in (*found, *(part.without_wait() for part in found)):
        async for runs in read_batches(db, retention.list_expired, part):
            freed.add(await db.write_quietly(_delete_logs, home, [run.id for run in runs]))
            if freed.is_enough:
                return freed
    return freed


async def read_batches(db: Database, find: Any, part: RuleRuns, *more: Any) -> AsyncIterator[list[ExpiredRun]]:
    """What `find` finds of a part, in lists that are short enough for one transaction."""
    after: Cutoff = retention.NO_CUTOFF
    while found := await db.read(find, part, *more, after):
        for at in range(0, len(found), retention.BATCH):
            yield found[at : at + retention.BATCH]
        after = (found[-1].ended, found[-1].id)


def _delete_logs(c: Connection, home: Path, runids: Sequence[str]) -> FreedSpace:
    """Remove logs of those runs that may go, where that makes room for the database, until it is enough."""
    disk, freed = os.stat(home).st_dev, FreedSpace()
    for runid in sorted(retention.map_removable(c, runids)):
        if freed.is_enough:
            break
        path = paths.log_path(home, runid)
        with suppress(OSError):
            found = os.lstat(path)
            if found.st_dev == disk:
                os.unlink(path)
                freed.add(FreedSpace(1, found.st_blocks * BLOCK_BYTES))
    return freed
