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

from app.runtime.usage import find_disk_trouble, get_trouble_kind
from app.service.tasks import search_text
from db.engine import Database
from db.search import fts

log = logging.getLogger(__name__)

MAX_SECONDS = 1.5
"""Seconds after which it leaves the rest to the next time."""

PAUSE_RATIO = 2.0
"""How many times as long as a step took it rests after it."""

TRANSIENT_ERRORS = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY}
"""Troubles that are not the file's own."""


class SearchIndexer:
    """Stores the texts of new and changed tasks; makes the index anew where there is none of this database that can be used."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._has_changes = True
        self._is_mark_current = False
        """The database's mark is of this runtime's making, and it knows of the last batch."""
        self._pause_reason: str | None = None
        db.after_commit(self._mark_changed)

    def _mark_changed(self) -> None:
        self._has_changes = True

    async def catch_up(self) -> None:
        """Index what was submitted, renamed or purged since; only after a commit, or when the file is another than before,
        and nothing of a database that is damaged.

        A runtime that stops meanwhile leaves the rest to the next one. Raises Storage when the database fails."""
        if self.db.damage is not None or not self._has_changes and self.db.index.identity == self.db.found.get_usable():
            return
        self._has_changes, done = False, False
        try:
            with suppress(asyncio.CancelledError):
                trouble = await asyncio.to_thread(find_disk_trouble, self.db.path.parent, False)
                done = trouble is None and await self._index_for_a_while()
                self._set_pause(trouble)
        except OSError as error:
            self._set_pause((error.strerror or "unknown").lower())
        except sqlite3.Error as error:
            self._set_pause(self._handle_error(error))
        finally:
            self._has_changes |= not done

    def _handle_error(self, error: sqlite3.Error) -> str | None:
        """What there is to wait for; None when it is the file itself that must not be used any more."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in TRANSIENT_ERRORS:
            return str(error)
        self.db.found.disable(self.db.index.identity, error)
        return None

    def _set_pause(self, trouble: str | None) -> None:
        """Say once that nothing is indexed, and that it goes on."""
        if get_trouble_kind(trouble) != get_trouble_kind(self._pause_reason):
            log.warning("the search index waits: %s", trouble) if trouble else log.info("the search index goes on")
        self._pause_reason = trouble

    async def _index_for_a_while(self) -> bool:
        """Go on for a while; whether nothing is left to do."""
        if not (await self.db.read(fts.read_state)).place:
            await self._rebuild()
        end = time.monotonic() + MAX_SECONDS
        while True:
            began = time.monotonic()
            batch = await self.db.read(fts.read_batch, not self._is_mark_current)
            if batch is None or not (batch.rows or batch.changed):
                return batch is not None
            await self._store_batch(batch)
            await _pause_after(began)
            await self._merge_stored(end)
            if time.monotonic() > end:
                return False

    async def _merge_stored(self, end: float) -> None:
        """Merge what was stored, in steps."""
        more = True
        while more and time.monotonic() < end:
            began = time.monotonic()
            more = await self.db.run_on_index(self.db.index.merge)
            await _pause_after(began)

    async def _store_batch(self, batch: fts.IndexBatch) -> None:
        """The texts first, then the note of it: what was stored and not noted is done once more."""
        self._is_mark_current &= batch.mark is None
        await self.db.run_on_index(self.db.index.store, batch, search_text.make_stored_text)
        if batch.mark is not None:
            await self.db.write_quietly(fts.record_batch, batch.mark, batch.stale)
            self._is_mark_current = True

    async def _rebuild(self) -> None:
        why = self.db.found.why
        log.warning("the search index is made anew: %s", why) if why else log.info("a search index is begun")
        mark = await self.db.run_on_index(self.db.index.create)
        self.db.found.enable()
        await self.db.write_quietly(fts.record_batch, mark)
        self._is_mark_current = True


async def _pause_after(began: float) -> None:
    await asyncio.sleep(PAUSE_RATIO * (time.monotonic() - began))
