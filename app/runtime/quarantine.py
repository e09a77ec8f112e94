"""A value that cannot be read stops what has it, and nothing else: when a part of the runtime fails, such values are looked for."""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial

from sqlalchemy import Connection

from app.errors import Storage
from app.service.database.integrity import JUDGES
from db import raw_sql
from db.engine import Database
from db.maintenance import quarantine, value_checks

log = logging.getLogger(__name__)

AGAIN, AGAIN_WHOLE = 5.0, 60.0
"""Seconds in which nothing is looked for once more where nothing was found: in what is in use, and in every row there is."""


class Aside:
    """Looks for values that cannot be read and sets aside what has them."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lock = asyncio.Lock()
        self._in_vain: dict[bool, float] = {}

    async def anywhere(self) -> list[str]:
        """`look` where it is likely, and everywhere else if it is not there."""
        return await self.look() or await self.look(whole=True)

    async def look(self, whole: bool = False) -> list[str]:
        """What was set aside now, in words; of what is in use, or of the `whole` database."""
        async with self._lock:
            if time.monotonic() - self._in_vain.get(whole, float("-inf")) < (AGAIN_WHOLE if whole else AGAIN):
                return []
            try:
                done = await self._look(whole)
            except Storage as problem:
                log.error("%s", problem)
                return []
        for line in done:
            log.error("set aside: %s", line)
        if not done:
            self._in_vain[whole] = time.monotonic()
        return done

    async def _look(self, whole: bool) -> list[str]:
        """It is written only where there is something: many rows are read, which must not keep the writer."""
        where = value_checks.MENDABLE if whole else value_checks.IN_USE
        return await self._db.write(quarantine.set_aside, where, JUDGES) if await self._db.read(_any, whole) else []


def _any(c: Connection, whole: bool) -> bool:
    return next(value_checks.odd(partial(raw_sql.rows, c), value_checks.MENDABLE if whole else value_checks.IN_USE, JUDGES), None) is not None
