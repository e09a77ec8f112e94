"""The index of the tasks' texts follows the tasks, in steps so small and with rests so long that nobody waits for it.

What it has not reached yet is found all the same, by reading the tasks (`db.sources.Indexed`), only not as fast. A million tasks of a
database that had no index take it some 90 s, in which a quarter of the writer's time is its own.
"""

from __future__ import annotations

import asyncio
import time

from app.service import texts
from db import search
from db.engine import Database

SPELL = 1.5
"""Seconds after which it leaves the rest to the next time."""

REST = 2.0
"""How many times as long as a step took it rests after it."""


class Indexing:
    """Stores the texts of new and changed tasks."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._changed = True
        db.after_commit(self._note)

    def _note(self) -> None:
        self._changed = True

    async def catch_up(self) -> None:
        """Index what was submitted, renamed or purged since; after a commit only."""
        if not self._changed:
            return
        self._changed = False
        end = time.monotonic() + SPELL
        while await self.db.read(search.behind):
            await self._step(end)
            if time.monotonic() > end:
                self._changed = True
                return

    async def _step(self, end: float) -> None:
        began = time.monotonic()
        await self.db.write_quietly(search.fill, texts.stored)
        await _rest(began)
        more = True
        while more and time.monotonic() < end:
            began = time.monotonic()
            more = await self.db.write_quietly(search.merge)
            await _rest(began)


async def _rest(began: float) -> None:
    await asyncio.sleep(REST * (time.monotonic() - began))
