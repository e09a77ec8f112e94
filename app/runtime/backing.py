"""The runtime's backups: taken when they are due, one when several were missed, and what went wrong with the last."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from app.core.clean import clean
from app.core.upkeep import Backup as Settings
from app.errors import Problem
from app.service import backups
from app.service.call import Call
from db.backup.mirror import mirror
from db.backup.store import Backup, Store
from db.backup.taking import Rules, due
from db.engine import Database

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
        folder = backups.folder(self._call.home, chosen)
        try:
            before = await asyncio.to_thread(Store(folder).backups)
            wanted = due(before, Rules(chosen.full, chosen.increment, chosen.keep))
            if not wanted:
                return self._recover(before)
            if time.monotonic() < self._not_before:
                return
            await backups.take_one(self._call, chosen)
            self._failed = None
            await backups.mirrored(self._call, folder)
            known = {one.id for one in before if one.problem}
            self._tell("backup", await asyncio.to_thread(_rotten, folder, known))
            self._after(chosen, folder)
        except Problem as problem:
            if time.monotonic() >= self._not_before:
                self._not_before = time.monotonic() + min(AGAIN, chosen.increment)
            self._failed = chosen
            self._tell("backup", str(problem))

    def _recover(self, found: Sequence[Backup]) -> None:
        """What is told of one that could not be taken is over where none is wanted any more, as the newest is good: somebody has taken
        it, or the folder is back with what lies in it."""
        if self._failed and found[-1].verified:
            self._failed = None
            self._tell("backup", None)

    async def remember(self, chosen: Settings) -> None:
        """What lies there when the runtime comes up, also after a restore, so that the header has it."""
        with suppress(Problem, OSError):  # the duty tells what is wrong there
            if found := await asyncio.to_thread(Store(backups.folder(self._call.home, chosen)).backups):
                await self._call.db.write(mirror, found)

    def _after(self, chosen: Settings, folder: Path) -> None:
        """Run the user's program beside the duty, which is not to be late for it; not twice at a time."""
        if chosen.after and not _missing(chosen) and (self._hook is None or self._hook.done()):
            self._hook = asyncio.create_task(self._run(chosen, folder), name="after a backup")

    async def _run(self, chosen: Settings, folder: Path) -> None:
        self._tell("backup-after", await backups.hook(chosen, folder))

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


def _rotten(folder: Path, known: set[str]) -> str | None:
    """The backup that was found bad while the newest was taken, which is a full one for that reason."""
    bad = [one for one in Store(folder).backups() if one.problem and one.id not in known]
    return f"the backup {bad[0].id} is bad: {bad[0].problem}; a new full one was taken" if bad else None
