"""The runtime's backups: taken when they are due, one when several were missed, and what went wrong with the last."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from app.core.maintenance_settings import Backup as Settings
from app.core.text.sanitize import clean
from app.errors import Problem
from app.service.context import Call
from app.service.database import backup_files, backups
from db.backup.catalog import Backup, Store
from db.backup.create import Rules, due
from db.engine import Database
from db.queries.backups import mirror

log = logging.getLogger(__name__)

AGAIN = 600.0
"""Seconds until one that could not be taken is tried again, at most."""


class Backing:
    """Looks whether a backup is due. A failure is a problem to tell, never one of the duty: it stops no task."""

    def __init__(self, db: Database, home: Path) -> None:
        self._call = Call(db, "", home)
        self._not_before = 0.0
        self._failed: Settings | None = None
        """By which settings the last could not be taken."""
        self._hook: asyncio.Task[None] | None = None
        self._mirrored: list[Backup] | None = None
        """What the table of backups holds, as far as it was written here."""
        self._bad: set[str] | None = None
        """Which were bad at the last look."""
        self.problems: dict[str, str] = {}
        """What is wrong now, by name, for alerts."""

    async def look(self, chosen: Settings) -> None:
        """Take a backup when it is time for one."""
        if not chosen.enabled:
            self.problems.clear()
            return
        self._tell("backup-program", _missing(chosen))
        if not chosen.after:
            self._tell("backup-after", None)
        if self._failed != chosen:
            self._not_before = 0.0
        await self._take_due(chosen)

    async def _take_due(self, chosen: Settings) -> None:
        folder = backup_files.folder(self._call.home, chosen)
        try:
            before = await self._lying(folder)
            await self._mirror(before)
            if rotten := self._rotten(before):
                self._tell("backup", rotten)
            if not due(before, Rules(chosen.full, chosen.increment, chosen.keep)):
                return self._recover(before)
            if time.monotonic() < self._not_before:
                return
            if not before:
                await self._require_disk(chosen)
            taken = await backups.take_one(self._call, chosen)
            self._failed = None
            found = await self._lying(folder)
            await self._mirror(found)
            rotten = rotten or self._rotten(found)
            self._tell("backup", f"{rotten}; a new {'full ' * (taken.kind == 'full')}one was taken" if rotten else None)
            self._after(chosen, folder)
        except Problem as problem:
            if time.monotonic() >= self._not_before:
                self._not_before = time.monotonic() + min(AGAIN, chosen.increment)
            self._failed = chosen
            self._tell("backup", str(problem))

    async def _require_disk(self, chosen: Settings) -> None:
        """Raises Storage where none lies there, as its disk may not be mounted: by itself nothing is put in the place of that."""
        newest = await self._call.db.read(lambda c: c.exec_driver_sql(backup_files.GOOD).first())
        if newest is not None:
            await asyncio.to_thread(backup_files.require_disk, self._call.home, chosen, newest.file, newest.created_at)

    async def _lying(self, folder: Path) -> list[Backup]:
        """What lies there; read twice where one has become bad, as one that is just pruned seems to be lost for a moment."""
        store = Store(folder, self._call.db.path)
        found = await asyncio.to_thread(store.own)
        bad = {one.id for one in found if one.problem}
        return await asyncio.to_thread(store.own) if bad - (self._bad or set()) else found

    async def _mirror(self, found: list[Backup]) -> None:
        """Have it in the table of backups, where it is another than it was: somebody may have checked them, or taken one. A folder in
        which there is nothing may be one that is out of reach: what is known of it stays, and is told as gone."""
        if found and found != self._mirrored:
            with suppress(Problem):  # what keeps the database from being written keeps no backup from being taken
                await self._call.db.write(mirror, found)
                self._mirrored = found

    def _rotten(self, found: Sequence[Backup]) -> str | None:
        """One that was found bad since the last look."""
        bad, known = [one for one in found if one.problem], self._bad
        self._bad = {one.id for one in bad}
        return next((f"the backup {one.id} is bad: {one.problem}" for one in bad if known is not None and one.id not in known), None)

    def _recover(self, found: Sequence[Backup]) -> None:
        """What is told of one that could not be taken is over where none is wanted any more, as the newest is good: somebody has taken
        it, or the folder is back with what lies in it."""
        if self._failed and found[-1].verified:
            self._failed = None
            self._tell("backup", None)

    async def remember(self, chosen: Settings) -> None:
        """What lies there when the runtime comes up, also after a restore, so that the header has it."""
        with suppress(Problem, OSError):  # the duty tells what is wrong there
            await self._mirror(await asyncio.to_thread(Store(backup_files.folder(self._call.home, chosen), self._call.db.path).own))

    def _after(self, chosen: Settings, folder: Path) -> None:
        """Run the user's program beside the duty, which is not to be late for it; not twice at a time."""
        if chosen.after and not _missing(chosen) and (self._hook is None or self._hook.done()):
            self._hook = asyncio.create_task(self._run(chosen, folder), name="after a backup")

    async def _run(self, chosen: Settings, folder: Path) -> None:
        self._tell("backup-after", await backups.hook(self._call.home, chosen, folder))

    def _tell(self, name: str, problem: str | None) -> None:
        if problem is None:
            self.problems.pop(name, None)
        else:
            if self.problems.get(name) != problem:
                log.error("%s", problem)
            self.problems[name] = problem


def _missing(chosen: Settings) -> str | None:
    """What is wrong with the program of the settings before it is run."""
    if not chosen.after or shutil.which(chosen.after[0]):
        return None
    return f"{clean(chosen.after[0])}, which is to be run after each backup ([backup] after in config.toml), is no program that is there"
