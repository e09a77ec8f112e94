"""Backup without a running runtime."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app import paths
from app.home.clock_guard import ClockGuard, find_last_sample
from app.home.database_presence import record_offline_backup
from app.home.lock import hold_lock
from app.offline.home_errors import translate_os_errors
from app.offline.read_only import open_call, require_database
from app.service.database import backups


def take_backup(home: str, args: dict[str, Any], note: Callable[[str], None]) -> dict[str, Any]:
    """Take a backup while no runtime has the home. Return the answer of db.backup.

    `note` receives messages about waiting. Raise RuntimeExists.
    """
    logging.basicConfig(format="taskdeck: %(message)s")  # show log messages to the person
    with translate_os_errors(home):
        require_database(paths.get_database_path(Path(home)))
        paths.make_home(Path(home))
        return asyncio.run(_take_backup(Path(home), note, **args))


async def _take_backup(
    home: Path, note: Callable[[str], None], full: bool = False, to: str | None = None
) -> dict[str, Any]:
    """Take the backup under the lock and run the follow-up program without it.

    The program may take hours, during which a runtime may start.
    """
    clock_guard = ClockGuard()
    with hold_lock(home):
        async with open_call(home, note) as call:
            clock_guard.begin(await call.db.read(find_last_sample))
            backup, settings = await backups.take_requested(
                call, full, to, clock_guard.is_trusted()
            )
        if to is None:
            record_offline_backup(home, backup.id)
    return await backups.finish_backup(call, backup, settings)
