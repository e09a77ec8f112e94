"""Runs of Slurm pools, beside those of the keeper: the client of Slurm and what it needs from home.

The dispatcher gives both the same words. A run belongs to Slurm from its claim on, whatever becomes
of its pool. Without a client, and while Slurm is in trouble, pools of kind slurm hold their tasks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from app.core.scheduling.amounts import Amounts
from app.core.scheduling.resources import CPU, GPU, MEMORY
from app.core.slurm.pool_options import parse_text
from app.core.slurm.settings import SlurmSettings
from app.outer.slurm.client import ClientSettings, SlurmClient
from app.outer.slurm.commands import SlurmPool
from app.outer.spool import Spool
from app.runtime.dispatch.outer_logs import LogFetcher
from app.service import outer
from app.service.database.outer_journal import read_runs
from db.engine import Connection, Database
from db.queries.scheduling import loads
from db.queries.tasks import task_numbers, transitions
from db.queries.tasks.outer_runs import list_active_outer
from db.restore.adopt_runs import ObservedRun, adopt_run, find_unknown
from db.rows import PoolRow

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""Seconds between two looks at settings, trouble and logs."""
CONNECTING = "Slurm has not answered yet: the runtime has just asked it"


class OuterPlace(NamedTuple):
    """A pool of another engine, and what the task asks it for."""

    pool: PoolRow
    needs: Amounts
    priority: int


class OuterRuns:
    """The line to Slurm. `wake` requests a round of the dispatcher."""

    def __init__(
        self,
        db: Database,
        home: Path,
        on_event: Callable[[dict[str, Any]], None],
        wake: Callable[[], None],
    ) -> None:
        self._db, self._home, self._on_event, self._wake = db, home, on_event, wake
        self._runs: set[str] = set()
        self._begun: set[str] = set()
        self._unfetched: set[str] = set()
        """Ended runs whose logs could not be fetched: they are forgotten after that."""
        self._settings = SlurmSettings()
        self._logs: LogFetcher | None = None
        self._client: SlurmClient | None = None

    @property
    def client(self) -> SlurmClient | None:
        """The client of Slurm, or None while Slurm is not set up."""
        return self._client

    @property
    def task(self) -> asyncio.Task[None] | None:
        """The task of the client."""
        return self._client.task if self._client else None

    def has(self, runid: str) -> bool:
        """Return True for a run of Slurm."""
        return runid in self._runs

    def find_trouble(self) -> str | None:
        """Return why nothing is handed over now, or None."""
        if self._client is None:
            return outer.NOT_SET_UP
        if self._client.connected:
            return None
        return self._client.trouble or CONNECTING

    def find_alert(self) -> str | None:
        """Return the trouble that somebody must know of, or None."""
        return (self._client and self._client.trouble) or None

    # --- words of the dispatcher

    def hand_over(self, order: dict[str, Any], place: OuterPlace, name: str) -> None:
        """Hand a claimed run over to Slurm."""
        pool, needs, priority = place
        runid = order["run"]
        self._runs.add(runid)
        if self._client is None or self._logs is None:
            self._on_event({"is": "refused", "run": runid})
            return
        options = parse_text(pool.options)
        asked = {
            "log": self._logs.get_path(runid), "name": name, "rank": max(0, -priority),
            "cpu": needs.get(CPU), "memory": needs.get(MEMORY) or None,
            "gpus": int(needs.get(GPU, 0)),
        }  # fmt: skip
        settings = SlurmPool(
            pool.name, options.get("partition"), options.get("account"), options.get("qos"),
            tuple(options.get("options", ())),
        )  # fmt: skip
        self._client.spawn(order | asked, settings)

    def forget(self, runids: Iterable[str]) -> None:
        """Drop runs whose ends are stored, once their logs are at home."""
        mine = self._runs.intersection(runids)
        self._begun -= mine
        if self._client and (done := mine - self._unfetched):
            self._runs -= done
            self._client.forget(done)

    async def fetch_logs(self, runids: Iterable[str]) -> None:
        """Bring the logs of ended runs home, before their ends are stored."""
        mine = [runid for runid in runids if runid in self._runs]
        if mine and self._logs:
            failed = await asyncio.to_thread(self._logs.fetch, mine, 1 << 62)
            self._unfetched |= {*failed}
            if failed:
                log.warning("the logs of %d runs cannot be fetched from the spool", len(failed))

    def note_event(self, event: Mapping[str, Any]) -> None:
        """Note which runs write logs."""
        if event.get("is") == "started":
            self._begun.add(event["run"])
        elif event.get("is") == "refused":
            self._runs.discard(event["run"])

    # --- looks

    async def run(self, read_settings: Callable[[], SlurmSettings]) -> None:
        """Look each second, forever. A failed look is logged, and the next one tries again."""
        while True:
            try:
                await self.look(read_settings())
            except Exception:
                log.exception("a look at the runs of Slurm failed")
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, settings: SlurmSettings) -> None:
        """Follow the settings, tell whether Slurm takes runs, and bring logs home."""
        if settings != self._settings:
            await self.close()
            self._settings = settings
            await self._open(settings)
        trouble = self.find_trouble()
        if trouble != outer.get_trouble():
            outer.set_trouble(trouble)
            self._wake()
        if self._logs and self._begun:
            await asyncio.to_thread(self._logs.fetch, list(self._begun))
        if self._logs and self._unfetched:
            waiting = {*self._unfetched}
            self._unfetched = {*await asyncio.to_thread(self._logs.fetch, waiting, 1 << 62)}
            self.forget(waiting - self._unfetched)

    async def _open(self, settings: SlurmSettings) -> None:
        if settings.spool is None:
            return
        chosen = ClientSettings(settings.commands or "", settings.poll, conf=settings.conf)
        spool = Path(settings.spool)
        await self._adopt_unknown(Spool(spool))
        active = await self._db.read(list_active_outer)
        client = await SlurmClient.open(chosen, Spool(spool), self._on_event)
        self.attach(client, spool, active)

    async def _adopt_unknown(self, spool: Spool) -> None:
        """Give runs without a row back to their tasks: the database was replaced meanwhile."""
        try:
            runids = await asyncio.to_thread(spool.list_runs)
            unknown = await self._db.read(find_unknown, [*runids]) if runids else ()
            found = await asyncio.to_thread(read_runs, self._home, spool, unknown)
        except OSError:
            return  # the client tells; orders that nobody knows are refused by their gates
        for run in found:
            number = await self._db.write(_adopt, run)
            task = "its task" if number is None else f"task #{number}"
            log.warning("adopted run %s in Slurm for %s", run.runid, task)

    def attach(self, client: SlurmClient, spool: Path, active: Sequence[Any]) -> None:
        """Use a client from now on, which adopts the active runs."""
        self._runs |= {run.runid for run in active}
        client.resume(active)
        self._logs, self._client = LogFetcher(self._home, spool), client
        outer.set_source(client)

    async def load(self) -> None:
        """Read which active runs are Slurm's, before the first round."""
        self._runs |= {run.runid for run in await self._db.read(list_active_outer)}

    async def close(self) -> None:
        """Close the client. Jobs go on; the next client adopts them."""
        client, self._client = self._client, None
        outer.set_source(None)
        if client is not None:
            await client.close()


def _adopt(c: Connection, run: ObservedRun) -> int | None:
    """Store a run without a row; return the number of its task if that is new."""
    number = adopt_run(c, run, transitions.SYSTEM, lambda: task_numbers.take_number(c))
    if number is not None:
        task_numbers.skip_numbers(c, number)
    loads.recount_loads(c)
    return number
