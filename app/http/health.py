"""Health of a runtime, as `/healthz` reports: tasks can start, or the reasons against."""

from __future__ import annotations

import asyncio
from typing import Any

from app.errors import Problem
from app.service.context import Call

PROBE_SECONDS = 3.0
"""Maximum seconds that an empty transaction may wait for the writer."""
MAX_LAG = 5.0
"""Seconds after which the loop of the runtime counts as late."""


class HealthCheck:
    """Check of one runtime. At most one empty transaction waits for the writer."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._probe: asyncio.Task[None] | None = None

    async def list_reasons(self) -> list[str]:
        """Return the reasons why nothing can start now; none for a healthy runtime."""
        found = [self._find_halt(), self._find_lost_keeper(), self._find_lag()]
        return [reason for reason in (*found, await self._find_blocked_write()) if reason]

    async def close(self) -> None:
        """Cancel a probe that still waits."""
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.wait([self._probe])

    def _find_halt(self) -> str | None:
        return self._call.live.halted if self._call.live else "no runtime is running"

    def _find_lost_keeper(self) -> str | None:
        live = self._call.live
        if live is not None and live.get_facts().keeper_pid is None:
            return "the keeper does not answer"
        return None

    def _find_lag(self) -> str | None:
        lag = self._call.live.get_facts().tick_lag if self._call.live else None
        return f"the runtime is {lag:.0f} s late" if lag is not None and lag > MAX_LAG else None

    async def _find_blocked_write(self) -> str | None:
        """Return why an empty transaction failed. One that waits is asked again later."""
        if self._probe is None:
            self._probe = asyncio.create_task(self._call.db.write_quietly(_do_nothing))
        done, _ = await asyncio.wait([self._probe], timeout=PROBE_SECONDS)
        if not done:
            return "the database takes no writes"
        probe, self._probe = self._probe, None
        error = None if probe is None or probe.cancelled() else probe.exception()
        if isinstance(error, Problem):
            return error.message
        return f"the database cannot be written ({type(error).__name__})" if error else None


def _do_nothing(_c: Any) -> None:
    """Change nothing: BEGIN IMMEDIATE and COMMIT alone show that the database takes writes."""
