"""A client of Slurm on a loopback cluster, with the events that it reported."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.core.ids import make_uuid7
from app.outer.slurm.client import SlurmClient
from app.outer.slurm.client_settings import ClientSettings
from app.outer.slurm.commands import SlurmPool
from app.outer.spool import Spool

SECONDS = 120.0
"""Limit of a wait; a quiet machine needs one or two."""
BEAT = 0.2
POOL = SlurmPool("big")


@dataclass
class RunRow:
    """Active run, as the database knows it."""

    runid: str
    status: str
    start_time: str | None = None


class ClientSite:
    """Site with one client after another on one spool, as the runtimes of a home are."""

    def __init__(self, folder: Path, conf: Path, poll: float = 0.1, beat: float = BEAT) -> None:
        self.folder, self.spool = folder, Spool(folder / "spool")
        self.settings = ClientSettings(poll=poll, beat=beat, conf=str(conf))
        self.identity = ""
        self.events: list[dict[str, Any]] = []
        self.client: SlurmClient

    @asynccontextmanager
    async def open(self, *active: tuple[str, str]) -> AsyncIterator[SlurmClient]:
        """Yield a client that watches active runs: id and status."""
        settings = replace(self.settings, identity=self.identity)
        client = self.client = await SlurmClient.open(settings, self.spool, self.events.append)
        client.resume(RunRow(run, status) for run, status in active)
        try:
            await wait_until(lambda: client.connected or client.trouble)
            yield self.client
        finally:
            self.identity = client.spool_identity or self.identity
            await self.client.close()

    def spawn(self, script: str, pool: SlurmPool = POOL, **asked: Any) -> str:
        """Hand over a shell script and return its run id."""
        order = self.make_order(script, **asked)
        self.client.spawn(order, pool)
        return order["run"]

    def make_order(self, script: str, **asked: Any) -> dict[str, Any]:
        """Return the order of a shell script that runs in the folder of the site."""
        run = make_uuid7()
        order = {"run": run, "argv": ["/bin/sh", "-c", script], "cwd": str(self.folder)}
        order |= {"env": {"PATH": "/usr/bin:/bin"}, "umask": 0o22, "grace": 30.0, "early": None}
        order |= {"log": str(self.folder / "logs" / run), "timeout": None}
        return order | {"cpu": 1, "memory": 10, "gpus": 0, "rank": 0} | asked

    def find(self, kind: str, run: str) -> dict[str, Any] | None:
        """Return the last event of a kind of a run."""
        found = [event for event in self.events if event["is"] == kind and event["run"] == run]
        return found[-1] if found else None

    async def wait_for(self, kind: str, run: str) -> dict[str, Any]:
        """Wait for an event of a run."""
        return await wait_until(lambda: self.find(kind, run))

    async def wait_for_all(self, kind: str, runs: Iterable[str]) -> None:
        """Wait for an event of each run."""
        for run in runs:
            await self.wait_for(kind, run)


async def wait_until(is_done: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """Wait until something is true and return it. Raise TimeoutError."""
    limit = time.monotonic() + seconds
    while not (found := is_done()):
        if time.monotonic() >= limit:
            raise TimeoutError
        await asyncio.sleep(0.02)
    return found
