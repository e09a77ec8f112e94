"""Backup schedule. One backup makes up for several missed ones, and a failed one is retried."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from app.core.maintenance_settings import BackupSettings as Settings
from app.core.text.sanitize import sanitize
from app.errors import Problem
from app.service.context import Call
from app.service.database import backup_files, backups
from app.translation import tr
from db.backup.catalog import Backup, BackupCatalog
from db.backup.create import BackupRules, is_due
from db.engine import Database
from db.queries.home.backups import find_newest_good, write_backup_rows

log = logging.getLogger(__name__)

RETRY_DELAY = 600.0
"""Maximum seconds before a failed backup is retried."""


class BackupScheduler:
    """Backup schedule of the runtime.

    A failed backup raises an alert and stops no task.
    """

    def __init__(self, db: Database, home: Path) -> None:
        self._call = Call(db, "", home)
        self._retry_after = 0.0
        self._failed_settings: Settings | None = None
        """Settings of the last failed backup."""
        self._hook_task: asyncio.Task[None] | None = None
        self._mirrored: list[Backup] | None = None
        """Backups last written to the table of backups."""
        self._bad_ids: set[str] | None = None
        """Ids of bad backups at the last check."""
        self.problems: dict[str, str] = {}
        """Current problems by name, for alerts."""

    async def take_if_due(self, settings: Settings) -> None:
        """Take a backup if one is due."""
        if not settings.enabled:
            self.problems.clear()
            return
        self._set_problem("backup-program", _find_hook_fault(settings))
        if not settings.after:
            self._set_problem("backup-after", None)
        if self._failed_settings != settings:
            self._retry_after = 0.0
        await self._take_due(settings)

    async def _take_due(self, settings: Settings) -> None:
        folder = backup_files.get_folder(self._call.home, settings)
        try:
            before = await self._list_backups(folder)
            await self._mirror(before)
            if bad_backup := self._find_newly_bad(before):
                self._set_problem("backup", bad_backup)
            if not is_due(before, BackupRules(settings.full, settings.increment, settings.keep)):
                return self._clear_failure(before)
            if time.monotonic() < self._retry_after:
                return
            if not before:
                await self._require_disk(settings)
            backup = await backups.take_one_backup(self._call, settings, compare_indexes=True)
            self._failed_settings = None
            found = await self._list_backups(folder)
            await self._mirror(found)
            bad_backup = bad_backup or self._find_newly_bad(found)
            self._set_problem(
                "backup",
                (
                    tr(
                        "{bad_backup}; a new full one was taken"
                        if backup.kind == "full"
                        else "{bad_backup}; a new one was taken",
                        bad_backup=bad_backup,
                    )
                    if bad_backup
                    else None
                ),
            )
            self._start_hook(settings, folder)
        except Problem as problem:
            if time.monotonic() >= self._retry_after:
                self._retry_after = time.monotonic() + min(RETRY_DELAY, settings.increment)
            self._failed_settings = settings
            self._set_problem("backup", str(problem))

    async def _require_disk(self, settings: Settings) -> None:
        """Raise Storage if the folder is empty although backups were taken.

        Its disk may not be mounted, and no backup should go below its mount point.
        """
        newest = await self._call.db.read(find_newest_good)
        if newest is not None:
            await asyncio.to_thread(
                backup_files.require_disk, self._call.home, settings, newest.file, newest.created_at
            )

    async def _list_backups(self, folder: Path) -> list[Backup]:
        """Return the backups in the folder.

        List the folder twice if a backup became bad, because a backup being pruned looks lost for a
        moment.
        """
        store = BackupCatalog(folder, self._call.db.path)
        found = await asyncio.to_thread(store.list_own)
        bad = {one.id for one in found if one.problem}
        return await asyncio.to_thread(store.list_own) if bad - (self._bad_ids or set()) else found

    async def _mirror(self, found: list[Backup]) -> None:
        """Store changed backups in the table of backups.

        Other processes may have taken or checked backups. An empty folder may be out of reach, so
        the stored rows stay and count as gone.
        """
        if found and found != self._mirrored:
            with suppress(Problem):  # a database that cannot be written must not prevent backups
                await self._call.db.write(write_backup_rows, found)
                self._mirrored = found

    def _find_newly_bad(self, found: Sequence[Backup]) -> str | None:
        """Describe a backup that became bad since the last check, or return None."""
        bad, known = [one for one in found if one.problem], self._bad_ids
        self._bad_ids = {one.id for one in bad}
        return next(
            (
                tr("the backup {id} is bad: {problem}", id=one.id, problem=one.problem)
                for one in bad
                if known is not None and one.id not in known
            ),
            None,
        )

    def _clear_failure(self, found: Sequence[Backup]) -> None:
        """Clear the failure if no backup is due because the newest one is good.

        A user has taken a backup, or the folder is available again.
        """
        if self._failed_settings and found[-1].verified:
            self._failed_settings = None
            self._set_problem("backup", None)

    async def store_existing(self, settings: Settings) -> None:
        """Store the existing backups at startup, also after a restore, for the header."""
        with suppress(Problem, OSError):  # the duty reports the problem
            await self._mirror(
                await asyncio.to_thread(
                    BackupCatalog(
                        backup_files.get_folder(self._call.home, settings), self._call.db.path
                    ).list_own
                )
            )

    def _start_hook(self, settings: Settings, folder: Path) -> None:
        """Start the user's program in the background, one at a time."""
        if (
            settings.after
            and not _find_hook_fault(settings)
            and (self._hook_task is None or self._hook_task.done())
        ):
            self._hook_task = asyncio.create_task(
                self._run_hook(settings, folder), name="after a backup"
            )

    async def _run_hook(self, settings: Settings, folder: Path) -> None:
        self._set_problem("backup-after", await backups.run_hook(self._call.home, settings, folder))

    def _set_problem(self, name: str, problem: str | None) -> None:
        if problem is None:
            self.problems.pop(name, None)
        else:
            if self.problems.get(name) != problem:
                log.error("%s", problem)
            self.problems[name] = problem


def _find_hook_fault(settings: Settings) -> str | None:
    """Return the fault of the configured program, or None."""
    if not settings.after or shutil.which(settings.after[0]):
        return None
    return tr(
        "{program}, the program to run after each backup ([backup] after in config.toml), was"
        " not found",
        program=sanitize(settings.after[0]),
    )
