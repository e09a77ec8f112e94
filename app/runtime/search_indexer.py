"""The index of the tasks' texts follows the tasks, in steps so small and with rests so long that nobody waits for it.

What it has not reached yet is found all the same, by reading the tasks (`db.sources.Indexed`), only not as fast. A million tasks of a
database that had no index take it some 90 s. The database's writer is asked only to note a batch that replaced texts.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from contextlib import suppress

from app.runtime.usage import disk_trouble, kind
from app.service.tasks import search_text
from db.engine import Database
from db.search import fts

log = logging.getLogger(__name__)

SPELL = 1.5
"""Seconds after which it leaves the rest to the next time."""

REST = 2.0
"""How many times as long as a step took it rests after it."""

PASSING = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY}
"""Troubles that are not the file's own."""


class Indexing:
    """Stores the texts of new and changed tasks; makes the index anew where there is none of this database that can be used."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._changed = True
        self._marked = False
        """The database's mark is of this runtime's making, and it knows of the last batch."""
        self._paused: str | None = None
        db.after_commit(self._note)

    def _note(self) -> None:
        self._changed = True

    async def catch_up(self) -> None:
        """Index what was submitted, renamed or purged since; only after a commit, or when the file is another than before,
        and nothing of a database that is damaged.

        A runtime that stops meanwhile leaves the rest to the next one. Raises Storage when the database fails."""
        if self.db.damage is not None or not self._changed and self.db.index.identity == self.db.found.usable():
            return
        self._changed, done = False, False
        try:
            with suppress(asyncio.CancelledError):
                trouble = await asyncio.to_thread(disk_trouble, self.db.path.parent, False)
                done = trouble is None and await self._spell()
                self._pause(trouble)
        except OSError as error:
            self._pause((error.strerror or "unknown").lower())
        except sqlite3.Error as error:
            self._pause(self._told(error))
        finally:
            self._changed |= not done

    def _told(self, error: sqlite3.Error) -> str | None:
        """What there is to wait for; None when it is the file itself that must not be used any more."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in PASSING:
            return str(error)
        self.db.found.blame(self.db.index.identity, error)
        return None

    def _pause(self, trouble: str | None) -> None:
        """Say once that nothing is indexed, and that it goes on."""
        if kind(trouble) != kind(self._paused):
            log.warning("the search index waits: %s", trouble) if trouble else log.info("the search index goes on")
        self._paused = trouble

    async def _spell(self) -> bool:
        """Go on for a while; whether nothing is left to do."""
        if not (await self.db.read(fts.known)).place:
            await self._make()
        end = time.monotonic() + SPELL
        while True:
            began = time.monotonic()
            batch = await self.db.read(fts.batch, not self._marked)
            if batch is None or not (batch.rows or batch.changed):
                return batch is not None
            await self._store(batch)
            await _rest(began)
            await self._merge(end)
            if time.monotonic() > end:
                return False

    async def _merge(self, end: float) -> None:
        """Merge what was stored, in steps."""
        more = True
        while more and time.monotonic() < end:
            began = time.monotonic()
            more = await self.db.indexing(self.db.index.merge)
            await _rest(began)

    async def _store(self, batch: fts.Batch) -> None:
        """The texts first, then the note of it: what was stored and not noted is done once more."""
        self._marked &= batch.mark is None
        await self.db.indexing(self.db.index.store, batch, search_text.stored)
        if batch.mark is not None:
            await self.db.write_quietly(fts.share, batch.mark, batch.stale)
            self._marked = True

    async def _make(self) -> None:
        why = self.db.found.why
        log.warning("the search index is made anew: %s", why) if why else log.info("a search index is begun")
        mark = await self.db.indexing(self.db.index.make)
        self.db.found.forgive()
        await self.db.write_quietly(fts.share, mark)
        self._marked = True


async def _rest(began: float) -> None:
    await asyncio.sleep(REST * (time.monotonic() - began))
