"""Submission of scheduled tasks at their time.

APScheduler holds one job, for the next due time of all schedules. The job and each change of the
database wake the trigger, which submits what is due and moves the job. Nothing polls. A failed
pass is repeated; a fire time stays due until it is stored.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger

from app.errors import Problem
from app.runtime.change_feed import DEBOUNCE_SECONDS
from app.runtime.dispatch.dispatcher import Dispatcher
from app.service.schedules import firing
from db import host, statement_timer, timestamps
from db.engine import Database

log = logging.getLogger(__name__)

JOB = "schedules"
RETRY_DELAY = timedelta(seconds=10)


class ScheduleTrigger:
    """The job for the next due time, and the loop that it wakes."""

    def __init__(self, db: Database, scheduler: AsyncIOScheduler, dispatcher: Dispatcher) -> None:
        self.db, self.scheduler, self.dispatcher = db, scheduler, dispatcher
        self._changed = asyncio.Event()
        self._boot_id: str | None = host.read_boot_id()
        self._due_at: datetime | None = None
        self._set_backs, self._handled_set_backs = 1, 0  # one perhaps since the last runtime

    def notice_set_back(self) -> None:
        """Compute next fire times again, since the clock was set back."""
        self._set_backs += 1
        self._changed.set()

    async def run(self) -> None:
        """Submit what is due, at the start and after each change, forever."""
        statement_timer.current_caller.set("schedules")
        self.db.after_commit(self._changed.set)
        while True:
            self._changed.clear()
            try:
                self._set_job(await self._fire())
            except Exception as error:
                if isinstance(error, Problem):
                    log.error("schedules: %s", error)
                elif not await self.dispatcher.find_unreadable(halts=True):
                    log.exception("schedules failed")
                self._set_job(timestamps.utcnow() + RETRY_DELAY)
            await asyncio.sleep(DEBOUNCE_SECONDS)
            await self._changed.wait()

    async def _fire(self) -> datetime | None:
        """Submit what is due and, once, what is scheduled at boot; return the next due time."""
        if self._boot_id is not None:
            await firing.fire_at_boot(self.db, self._boot_id)
            self._boot_id = None
        if (set_backs := self._set_backs) != self._handled_set_backs:
            await firing.recompute_after_set_back(self.db)
            self._handled_set_backs = set_backs
        due_at = await firing.fire_due(self.db, self._changed.set, self.dispatcher.wake)
        return None if due_at is None else timestamps.parse_time(due_at)

    def _set_job(self, at: datetime | None) -> None:
        if at == self._due_at:
            return
        if at is not None:
            self.scheduler.add_job(self._wake, DateTrigger(at), id=JOB, replace_existing=True)
        elif self.scheduler.get_job(JOB):
            self.scheduler.remove_job(JOB)
        self._due_at = at

    async def _wake(self) -> None:
        self._due_at = None
        self._changed.set()
