"""Callers of verbs, a fake runtime handle, and a worker that runs tasks without a keeper."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
from sqlalchemy import Connection

from app.core.board import HostFacts, RuntimeFacts, RunUse
from app.core.maintenance_settings import MaintenanceSettings
from app.core.notifications.channels import NotificationSettings
from app.core.rules.levels import Level
from app.core.runtime_counts import RuntimeCounts
from app.core.scheduling.enforcement import Lack
from app.runtime.change_feed import ChangeFeed
from app.service.context import Call
from app.service.rules.evaluation.levels import AlertText, LevelLog, make_level_key
from db.engine import Database
from db.errors import Storage
from db.rows import SlaRow
from tests.db.builders import TaskBuilder


class FakeRuntimeHandle:
    """A runtime without processes, which records what verbs ask of it."""

    def __init__(self, feed: ChangeFeed) -> None:
        self.halted: str | None = None
        self.lack: Lack | None = None
        self.clock_doubt = ""
        self.clock_ahead = 0.0
        self.feed = feed
        self.uses: dict[str, RunUse] = {}
        self.signals: list[tuple[list[str], int]] = []
        self.stops: list[tuple[bool, str]] = []
        self.stop_error: Storage | None = None
        self.channels = NotificationSettings()
        self.levels = LevelLog()
        self.evaluations = 0
        self.counts = RuntimeCounts()
        self._marked = ""

    @property
    def maintenance(self) -> MaintenanceSettings:
        return MaintenanceSettings()

    @property
    def notifications(self) -> NotificationSettings:
        return self.channels

    async def find_unreadable(self, halts: bool = False) -> str | None:
        return None

    def get_facts(self) -> RuntimeFacts:
        return RuntimeFacts(state="running", pid=1)

    async def enable_limits(self, names: Sequence[str]) -> Lack | None:
        return self.lack

    def get_host(self) -> HostFacts:
        return HostFacts(name="here")

    def watch_changes(self) -> AsyncIterator[None]:
        return self.feed.watch_changes()

    def get_starts(self, queue: str) -> int:
        return 0

    def get_usage(self, runid: str) -> tuple[float, float] | None:
        return None

    def get_run_use(self, runid: str) -> RunUse | None:
        return self.uses.get(runid)

    def list_levels(self, rule: SlaRow) -> Sequence[Level]:
        return self.levels.find(make_level_key(rule))

    def get_left_out(self, rule: SlaRow) -> str:
        return self.levels.get_left_out(make_level_key(rule))

    async def evaluate_rules(self) -> None:
        self.evaluations += 1

    def get_alert_text(self, fingerprint: str) -> AlertText | None:
        return self.levels.texts.get(fingerprint)

    def list_trail(self, rule: SlaRow) -> list[Level]:
        return self.levels.list_trail(make_level_key(rule))

    def signal(self, runids: Sequence[str], number: int) -> None:
        self.signals.append((list(runids), number))

    def mark_stopped(self, by: str, resource: str = "") -> None:
        if self.stop_error:
            raise self.stop_error
        self._marked = by

    def stop(self, drain: bool) -> None:
        self.stops.append((drain, self._marked))


class Worker:
    """Starts and ends runs of tasks, which it takes by number."""

    def __init__(self, db: Database) -> None:
        self.db = db

    async def start(self, number: int) -> str:
        """Claim and start a task; return its run id."""
        return await self.db.write(lambda c: TaskBuilder(c).start_run(_find_uuid(c, number)))

    async def run(self, number: int, code: int | None = 0, **end: object) -> str:
        """Start and end a run of a task; return its run id."""
        runid = await self.start(number)
        await self.end(runid, code, **end)
        return runid

    async def end(self, runid: str, code: int | None = 0, **end: object) -> None:
        await self.db.write(lambda c: TaskBuilder(c).record_end(runid, code, **end))


def _find_uuid(c: Connection, number: int) -> str:
    return c.exec_driver_sql("SELECT uuid FROM tasks WHERE number = ?", (number,)).scalar_one()


@pytest.fixture
def fake_runtime(db: Database) -> FakeRuntimeHandle:
    feed = ChangeFeed()
    db.after_commit(feed.wake)
    return FakeRuntimeHandle(feed)


@pytest.fixture
def caller_notes() -> list[str]:
    """Return the notes sent to the caller of `runtime_call`."""
    return []


@pytest.fixture
def runtime_call(call: Call, fake_runtime: FakeRuntimeHandle, caller_notes: list[str]) -> Call:
    """Return a verb call by ann while a runtime is running."""
    return replace(call, live=fake_runtime, note=caller_notes.append)


@pytest.fixture
def worker(db: Database) -> Worker:
    return Worker(db)
