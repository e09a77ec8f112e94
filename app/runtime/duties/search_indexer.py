"""Search indexer: keeps the text index current in small steps with pauses.

A search also reads tasks that are not indexed yet (`db.search.candidates.IndexSource`), only more
slowly. Indexing a million tasks takes about 90 s. The database writer is used only to record a
batch that replaced texts.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from contextlib import suppress

from app.runtime.duties.usage import find_disk_trouble, get_trouble_kind
from app.service.tasks import search_text
from db.engine import Database
from db.search import fts

log = logging.getLogger(__name__)

MAX_SECONDS = 1.5
"""Maximum seconds of one call."""

PAUSE_RATIO = 2.0
"""Ratio of a pause to the step before it."""

BUSY_PAUSE_RATIO = 20.0
"""Ratio of a pause to the step before it while others commit.

Steps then take less than 5 % of the time, so most starts of tasks and most reads meet no step.
"""

TRANSIENT_ERRORS = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,
}
"""Errors not caused by the index file itself."""


class SearchIndexer:
    """Indexer of new and changed tasks. Rebuilds a missing, foreign or unusable index."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._has_changes = True
        self._is_mark_current = False
        """True if this runtime wrote the database's mark and the mark covers the last batch."""
        self._pause_reason: str | None = None
        db.after_commit(self._mark_changed)

    def _mark_changed(self) -> None:
        self._has_changes = True

    async def catch_up(self) -> None:
        """Index the tasks changed since the last call.

        Do nothing without a commit since then, unless the file was replaced. Do nothing for a
        damaged database, and during a large write, which indexing would slow down. After an
        interruption, the next runtime continues. Raise Storage if the database fails.
        """
        if (
            self.db.damage is not None
            or self.db.has_large_write
            or not self._has_changes
            and self.db.index.identity == self.db.found.get_usable()
        ):
            return
        self._has_changes, is_complete = False, False
        try:
            with suppress(asyncio.CancelledError):
                trouble = await asyncio.to_thread(find_disk_trouble, self.db.path.parent, False)
                is_complete = trouble is None and await self._index_for_a_while()
                self._set_pause(trouble)
        except OSError as error:
            self._set_pause((error.strerror or "unknown").lower())
        except sqlite3.Error as error:
            self._set_pause(self._handle_error(error))
        finally:
            self._has_changes |= not is_complete

    def _handle_error(self, error: sqlite3.Error) -> str | None:
        """Return the cause of a transient error, or None after disabling a broken index."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in TRANSIENT_ERRORS:
            return str(error)
        self.db.found.disable(self.db.index.identity, error)
        return None

    def _set_pause(self, trouble: str | None) -> None:
        """Log once that indexing is paused or resumed."""
        if get_trouble_kind(trouble) != get_trouble_kind(self._pause_reason):
            log.warning("indexing paused: %s", trouble) if trouble else log.info("indexing resumed")
        self._pause_reason = trouble

    async def _index_for_a_while(self) -> bool:
        """Index until the time is up; return True if nothing is left."""
        if not (await self.db.read(fts.read_state)).mark_position:
            await self._rebuild()
        end = time.monotonic() + MAX_SECONDS
        while True:
            began, changes = time.monotonic(), self.db.changes
            batch = await self.db.read(fts.read_batch, not self._is_mark_current)
            if batch is None or not (batch.rows or batch.changed):
                return batch is not None
            await self._store_batch(batch)
            await self._pause_after(began, changes)
            await self._merge_stored(end)
            if time.monotonic() > end or self.db.has_large_write:
                return False

    async def _merge_stored(self, end: float) -> None:
        """Merge stored texts in steps."""
        more = True
        while more and time.monotonic() < end and not self.db.has_large_write:
            began, changes = time.monotonic(), self.db.changes
            more = await self.db.run_on_index(self.db.index.merge)
            await self._pause_after(began, changes)

    async def _pause_after(self, began: float, changes: int) -> None:
        """Pause after a step, and longer if others commit meanwhile.

        The step itself commits at most once, so more commits are those of others.
        """
        took = time.monotonic() - began
        await asyncio.sleep(PAUSE_RATIO * took)
        if self.db.changes - changes > 1:
            await asyncio.sleep((BUSY_PAUSE_RATIO - PAUSE_RATIO) * took)

    async def _store_batch(self, batch: fts.IndexBatch) -> None:
        """Store texts, then record the batch. A batch without a record is stored again."""
        self._is_mark_current &= batch.mark is None
        await self.db.run_on_index(self.db.index.store, batch, search_text.make_stored_text)
        if batch.mark is not None:
            await self.db.write_quietly(fts.record_batch, batch.mark, batch.stale)
            self._is_mark_current = True

    async def _rebuild(self) -> None:
        why = self.db.found.why
        log.warning("rebuilding the search index: %s", why) if why else log.info(
            "building the search index"
        )
        mark = await self.db.run_on_index(self.db.index.create)
        self.db.found.enable()
        await self.db.write_quietly(fts.record_batch, mark)
        self._is_mark_current = True
