"""Quarantine of unreadable rows.

An unreadable value stops only its own row. The search runs when a part of the runtime fails.
"""

from __future__ import annotations

import asyncio
import logging
import time

from app.errors import Storage
from app.service.database.integrity import VALIDATORS
from db.engine import Database
from db.maintenance import quarantine, value_checks

log = logging.getLogger(__name__)

SEARCH_INTERVAL, WHOLE_SEARCH_INTERVAL = 5.0, 60.0
"""Seconds before another search after an empty one: of active data, of the whole database."""


class Quarantine:
    """Search for unreadable values and quarantine of their rows."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lock = asyncio.Lock()
        self._empty_at: dict[bool, float] = {}

    async def search_everywhere(self) -> list[str]:
        """Quarantine unreadable rows in active data, else in the whole database."""
        return await self.search() or await self.search(full_scan=True)

    async def search(self, full_scan: bool = False) -> list[str]:
        """Quarantine and describe unreadable rows of active data, or of all data by `full_scan`."""
        async with self._lock:
            if time.monotonic() - self._empty_at.get(full_scan, float("-inf")) < (
                WHOLE_SEARCH_INTERVAL if full_scan else SEARCH_INTERVAL
            ):
                return []
            try:
                quarantined = await self._quarantine_rows(full_scan)
            except Storage as problem:
                log.error("%s", problem)
                return []
        for line in quarantined:
            log.error("quarantined: %s", line)
        if not quarantined:
            self._empty_at[full_scan] = time.monotonic()
        return quarantined

    async def _quarantine_rows(self, whole: bool) -> list[str]:
        """Quarantine unreadable rows if a reader finds any, and describe them.

        The search may be long, so it must not block the writer.
        """
        where = value_checks.REPAIRABLE if whole else value_checks.IN_USE
        return (
            await self._db.write(quarantine.quarantine_rows, where, VALIDATORS)
            if await self._db.read(quarantine.has_unreadable, where, VALIDATORS)
            else []
        )
