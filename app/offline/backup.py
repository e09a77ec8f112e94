"""A backup taken while no runtime has the home."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app import paths
from app.home.clock_guard import Steady, last_sample
from app.home.database_presence import note_quiet
from app.home.lock import hold_lock
from app.offline.home_errors import usable
from app.offline.read_only import look_there, opened
from app.service.database import backups


def backup(home: str, args: dict[str, Any], note: Callable[[str], None]) -> dict[str, Any]:
    """Take a backup while no runtime has the home: what the verb db.backup answers; `note` is told what is waited for. Raises
    RuntimeExists."""
    logging.basicConfig(format="taskdeck: %(message)s")  # what a runtime writes down, a person is told
    with usable(home):
        look_there(paths.database(Path(home)))
        paths.make_home(Path(home))
        return asyncio.run(_backup(Path(home), note, **args))


async def _backup(home: Path, note: Callable[[str], None], full: bool = False, to: str | None = None) -> dict[str, Any]:
    """The program that is run after it may take hours, for which no runtime is kept out."""
    steady = Steady()
    with hold_lock(home):
        async with opened(home, note) as call:
            steady.begin(await call.db.read(last_sample))
            taken, chosen = await backups.take_asked(call, full, to, steady.look())
        if to is None:
            note_quiet(home, taken.id)
    return await backups.finished(call, taken, chosen)
