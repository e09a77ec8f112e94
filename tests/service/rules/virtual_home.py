"""A real database under a clock that tests move, with the engine of the rules."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from app.core.ids import make_uuid7
from app.runtime.dispatch.run_verdict import judge_run
from app.service import alerts
from app.service.context import Call
from app.service.definitions import slas
from app.service.rules.evaluation.engine import RuleEngine
from app.service.rules.facts.probes import RunProbe
from db import timestamps
from db.queries import reads
from db.queries.tasks import transitions
from tests.service.calls import execute_sql, open_call, submit_task

MONDAY = datetime(2026, 11, 30, 0, 0, tzinfo=UTC).timestamp()
"""A Monday at midnight, UTC."""


class FakeProbes:
    """Values outside of the database, which tests set."""

    def __init__(self) -> None:
        self.host: dict[str, float | None] = {
            "cpu_ratio": 0.1, "memory_ratio": 0.5, "disk_free_ratio": 0.5, "disk_free": 1e12,
        }  # fmt: skip
        self.runs: dict[str, RunProbe] = {}
        self.lag: float | None = 0.0

    def read_host(self) -> Mapping[str, float | None]:
        return dict(self.host)

    def read_run(self, runid: str) -> RunProbe:
        return self.runs.get(runid, RunProbe())

    def read_tick_lag(self) -> float | None:
        return self.lag


class VirtualHome:
    """A home whose clock moves on request.

    `log` holds what the rules did: (seconds since the start, action, subject). `rule_log` has the
    rule in place of the subject.
    """

    def __init__(self, call: Call, start: float) -> None:
        self.call, self.start, self.now = call, start, start
        self.probes = FakeProbes()
        self.engine = RuleEngine(call.db, self.probes)
        self.log: list[tuple[float, str, str]] = []
        self.rule_log: list[tuple[float, str, str]] = []
        self.commits = 0
        self._numbers: Iterator[int] = itertools.count(1)

    def get_time(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)

    async def add_rule(self, conditions: dict[str, Any], name: str = "rule", **more: Any) -> None:
        await slas.create(self.call, name=name, conditions=conditions, **more)

    def restart(self) -> None:
        """Lose what the engine keeps in memory."""
        self.engine = RuleEngine(self.call.db, self.probes)

    async def run_pass(self) -> None:
        outcome = await self.engine.run_if_due()
        for change in outcome.changes if outcome else ():
            if change.action:
                at = round(self.now - self.start, 3)
                self.log.append((at, change.action, change.subject))
                self.rule_log.append((at, change.action, change.rule.name))

    async def advance(self, seconds: float) -> None:
        """Move the clock, with a pass at each second at which one is due."""
        end = self.now + seconds
        await self.run_pass()
        while self.now < end:
            self.now = min(end, max(self.now + 0.001, self.engine.next_at))
            await self.run_pass()

    async def skip(self, seconds: float) -> None:
        """Move the clock without a pass."""
        self.now += seconds

    def take_log(self) -> list[tuple[float, str]]:
        """Return (seconds, action) since the last call."""
        found, self.log = [(at, action) for at, action, _ in self.log], []
        return found

    async def submit(self, name: str = "work", **spec: Any) -> str:
        task = await submit_task(self.call, name=name, **spec)
        rows = await execute_sql(
            self.call, "SELECT uuid FROM tasks WHERE number = ?", task["number"]
        )
        return rows[0][0]

    async def start_run(self, uuid: str) -> str:
        """Start a run of a waiting task now."""
        return (await self.start_runs([uuid]))[0]

    async def start_runs(self, uuids: Sequence[str]) -> list[str]:
        """Start runs of waiting tasks now."""

        def start(c: Connection) -> list[str]:
            rows = [reads.list_by_uuid(c, [uuid])[0] for uuid in uuids]
            runids = [make_uuid7() for _ in uuids]
            transitions.claim(c, [{
                "uuid": row.uuid, "runid": runid, "queue": row.queue, "pool": "default",
                "cpu": row.cpu, "memory": row.memory, "tags": json.dumps(row.tags),
                "attempt": row.attempts + 1, "resources": row.resources,
            } for row, runid in zip(rows, runids, strict=True)])  # fmt: skip
            started = {"pid": 4242, "ticks": 17, "at": self.now, "boot": "b" * 36}
            transitions.record_starts(c, [{"run": runid, **started} for runid in runids])
            return runids

        return await self.call.db.write(start)

    async def end_run(self, runid: str, code: int = 0) -> None:
        event = {"run": runid, "code": code, "signal": None, "at": self.now}
        await self.call.db.write(lambda c: transitions.record_ends(c, [event], judge_run))

    async def run_task(self, name: str = "work", code: int = 0, seconds: float = 0.0) -> None:
        """Submit, start and end a task; the clock moves without a pass."""
        runid = await self.start_run(await self.submit(name))
        await self.skip(seconds)
        await self.end_run(runid, code)

    async def list_alerts(self) -> list[dict[str, Any]]:
        return await alerts.ls(self.call, all=True)


def make_conditions(scope: str, when: Any, **more: Any) -> dict[str, Any]:
    """Return the conditions of a rule."""
    return {"scope": scope, "when": when, **more}


@asynccontextmanager
async def open_virtual_home(
    path: Path, monkeypatch: pytest.MonkeyPatch, start: float = MONDAY
) -> AsyncIterator[VirtualHome]:
    """Yield a home whose clock begins at a UNIX time."""
    clock = [start]
    monkeypatch.setattr(timestamps, "utcnow", lambda: datetime.fromtimestamp(clock[0], UTC))
    async with open_call(path) as call:
        home = VirtualHome(call, start)
        monkeypatch.setattr(timestamps, "utcnow", home.get_time)
        yield home
