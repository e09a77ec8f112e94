"""Submission of scheduled tasks at their time.

APScheduler holds one job, for the next due time of all schedules. Each change of the database moves
the job, so nothing polls. A failed pass is repeated; a fire time stays due until it is stored.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger

from app.errors import Problem
from app.runtime.change_feed import ChangeFeed
from app.service.schedules import firing
from db import statement_timer, timestamps
from db.engine import Database
from db.queries import schedules

log = logging.getLogger(__name__)

JOB = "schedules"
RETRY_DELAY = timedelta(seconds=10)


class ScheduleTrigger:
    """The job for the next due time."""

    def __init__(self, db: Database, scheduler: AsyncIOScheduler) -> None:
        self.db, self.scheduler = db, scheduler
        self._armed_for: str | None = None

    async def run(self, feed: ChangeFeed) -> None:
        """Submit what is scheduled at boot, then move the job after each change, forever."""
        statement_timer.current_caller.set("schedules")
        boot_id, has_booted = firing.read_boot_id(), False
        async for _ in feed.watch_changes():
            try:
                if not has_booted:
                    await firing.fire_at_boot(self.db, boot_id)
                    has_booted = True
                await self._arm()
            except Problem as problem:
                log.error("schedules: %s", problem)
                self._set_job(timestamps.utcnow() + RETRY_DELAY)

    async def _arm(self) -> None:
        """Move the job to the next due time."""
        due = await self.db.read(schedules.find_next_due)
        if due != self._armed_for:
            self._armed_for = due
            if due is not None:
                self._set_job(timestamps.parse_time(due))
            elif self.scheduler.get_job(JOB):
                self.scheduler.remove_job(JOB)

    def _set_job(self, at: datetime) -> None:
        self.scheduler.add_job(self._fire, DateTrigger(at), id=JOB, replace_existing=True)

    async def _fire(self) -> None:
        """Submit everything that is due. A failure is logged and repeated."""
        try:
            with statement_timer.set_caller("schedules"):
                await firing.fire_due(self.db)
            self._armed_for = None
            await self._arm()
        except Exception as error:
            if isinstance(error, Problem):
                log.error("schedules: %s", error)
            else:
                log.exception("schedules failed")
            self._set_job(timestamps.utcnow() + RETRY_DELAY)
