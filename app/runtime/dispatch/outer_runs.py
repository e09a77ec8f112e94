"""Runs of Slurm pools, beside those of the keeper: the client of Slurm and what it needs from home.

The dispatcher makes the same requests to both. A run belongs to Slurm from its claim on, whatever
becomes of its pool. Without a client, and while Slurm is in trouble, pools of kind slurm start
nothing. The spool may be slow or hang, so nothing here lets a round of the dispatcher wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from app.core.scheduling.amounts import Amounts
from app.core.scheduling.resources import CPU, GPU, MEMORY
from app.core.slurm.pool_options import parse_options
from app.core.slurm.settings import SlurmSettings
from app.outer.slow_calls import call_in_thread
from app.outer.slurm.client import SlurmClient
from app.outer.slurm.client_settings import ClientSettings
from app.outer.slurm.commands import SlurmPool
from app.outer.spool import Spool
from app.runtime.dispatch.outer_logs import LogFetcher
from app.service import outer
from app.service.database import outer_journal
from db import statement_timer
from db.engine import Connection, Database
from db.queries.scheduling import loads
from db.queries.tasks import task_numbers, transitions
from db.queries.tasks.outer_runs import list_active_outer
from db.restore.adopt_runs import ObservedRun, adopt_run, find_unknown
from db.rows import PoolRow

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""Seconds between two looks at settings, trouble and logs."""
EVERYTHING = 1 << 62
"""Bytes of a log that ended."""
CONNECTING = "Slurm has not answered yet: the runtime has just asked it"


class OuterPlace(NamedTuple):
    """A pool of another engine, and what the task asks it for."""

    pool: PoolRow
    needs: Amounts
    priority: int


class OuterRuns:
    """Runs of Slurm pools. `wake` requests a round of the dispatcher."""

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
        self._ended: dict[str, dict[str, Any]] = {}
        """Ends that are not reported yet, because their logs are still in the spool."""
        self._has_ended = asyncio.Event()
        self._unfetched: set[str] = set()
        """Ended runs whose logs could not be fetched: they are forgotten after that."""
        self._settings = SlurmSettings()
        self._settled = ""
        """Identity of the spool of which was taken over what earlier runtimes left there."""
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

    def list_begun(self) -> list[str]:
        """Return the runs whose jobs write logs."""
        return sorted(self._begun)

    def find_trouble(self) -> str | None:
        """Return why nothing is handed over now, or None."""
        if self._client is None:
            return outer.NOT_SET_UP
        if self._client.connected and self._settled == self._client.spool_identity:
            return None
        return self._client.trouble or CONNECTING

    def find_alert(self) -> str | None:
        """Return the trouble that somebody must know of, or None."""
        if self._client is None:
            return outer.get_seen_trouble() if self._runs else None
        return self._client.trouble

    # --- requests of the dispatcher

    def hand_over(self, order: dict[str, Any], place: OuterPlace, name: str) -> None:
        """Hand a claimed run over to Slurm."""
        pool, needs, priority = place
        runid = order["run"]
        self._runs.add(runid)
        if self._client is None or self._logs is None:
            self._on_event({"is": "refused", "run": runid})
            return
        options = parse_options(pool.options)
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
        if self._logs:
            self._logs.forget(mine)
        if self._client and (done := mine - self._unfetched):
            self._runs -= done
            self._client.forget(done)

    def drop(self, runids: Iterable[str]) -> None:
        """Drop refused runs, once the refusals are stored: the keeper would not know a stop."""
        self._runs.difference_update(runids)

    def take_event(self, event: dict[str, Any]) -> None:
        """Report an event of the client; an end later, once its log is at home."""
        if event["is"] == "ended":
            self._ended[event["run"]] = event
            self._has_ended.set()
        else:
            self._on_event(event)

    def note_event(self, event: Mapping[str, Any]) -> None:
        """Note which runs write logs."""
        if event["is"] == "started" and (runid := event["run"]) in self._runs:
            self._begun.add(runid)

    # --- looks

    async def run(self, read_settings: Callable[[], SlurmSettings]) -> None:
        """Look, and bring logs home, each second, forever. There are no logs without a client."""
        statement_timer.current_caller.set("slurm")
        await asyncio.gather(
            _repeat(lambda: self.look(read_settings()), asyncio.Event()),
            _repeat(self.follow_logs, self._has_ended, lambda: self._logs is not None),
        )

    async def look(self, settings: SlurmSettings) -> None:
        """Follow the settings, and tell whether Slurm takes runs."""
        if settings != self._settings:
            await self.close()
            self._settings = settings
            self._tell_trouble()
            await self._open(settings)
        self._tell_trouble()
        if self._client and self._client.spool_identity != self._settled:
            await self._settle(self._client, Spool(Path(settings.spool or "")))
            self._tell_trouble()

    def _tell_trouble(self) -> None:
        trouble = self.find_trouble()
        if trouble != outer.get_trouble():
            outer.set_trouble(trouble)
            self._wake()

    async def follow_logs(self) -> None:
        """Bring the logs of runs home, then report the ends whose logs are there."""
        self._has_ended.clear()
        ended, late = [*self._ended], {*self._unfetched}
        if self._logs and self._begun:
            await call_in_thread(self._logs.fetch, self.list_begun())
        if self._logs and (ended or late):
            failed = {*await call_in_thread(self._logs.fetch, [*ended, *late], EVERYTHING)}
            if new := failed - late:
                log.warning("the logs of %d runs cannot be fetched from the spool", len(new))
            self._unfetched = failed
            self.forget(late - failed)
        for event in (self._ended.pop(runid, None) for runid in ended):
            if event is not None:
                self._on_event(event)

    async def _open(self, settings: SlurmSettings) -> None:
        if settings.spool is None:
            return
        chosen = ClientSettings(
            settings.commands or "", settings.poll, conf=settings.conf,
            identity=outer_journal.read_identity(self._home),
        )  # fmt: skip
        spool = Path(settings.spool)
        active = await self._db.read(list_active_outer)
        client = await SlurmClient.open(chosen, Spool(spool), self.take_event)
        self.attach(client, spool, active)

    async def _settle(self, client: SlurmClient, spool: Spool) -> None:
        """Take over what is left in the spool, before anything is handed over.

        A run without a row goes back to its task: the database was replaced meanwhile. Files of
        stored ends and refused runs are those that an earlier runtime could not remove.
        """
        identity = client.spool_identity
        try:
            runids = await call_in_thread(spool.list_runs)
            unknown = await self._db.read(find_unknown, [*runids])
            left = await call_in_thread(outer_journal.read_left_runs, self._home, spool, unknown)
            for run in left.active:
                number = await self._db.write(_adopt, run)
                task = "its task" if number is None else f"task #{number}"
                log.warning("adopted run %s in Slurm for %s", run.runid, task)
            active = await self._db.read(list_active_outer)
            done = runids - unknown - {run.runid for run in active} - self._runs
            logs = LogFetcher(self._home, spool.root)
            failed = await call_in_thread(logs.fetch, done, EVERYTHING)
            await call_in_thread(spool.forget, {*left.refused, *done.difference(failed)})
            outer_journal.write_identity(self._home, identity)
        except OSError as error:
            log.warning("the spool cannot be read: %s", error)
            return
        self._runs |= {run.runid for run in active}
        client.resume(active)
        self._settled = identity

    def attach(self, client: SlurmClient, spool: Path, active: Sequence[Any]) -> None:
        """Use a client from now on, which adopts the active runs."""
        self._runs |= {run.runid for run in active}
        client.resume(active)
        self._logs, self._client = LogFetcher(self._home, spool), client
        self._has_ended.set()
        outer.set_source(client)

    async def load(self) -> None:
        """Read which active runs are Slurm's, before the first round."""
        self._runs |= {run.runid for run in await self._db.read(list_active_outer)}

    async def close(self) -> None:
        """Close the client. Jobs go on; the next client adopts them."""
        client, self._client, self._settled = self._client, None, ""
        self._ended.clear()  # the next client reads them again
        outer.set_source(None)
        if client is not None:
            await client.close()


async def _repeat(
    work: Callable[[], Awaitable[None]],
    hurry: asyncio.Event,
    is_needed: Callable[[], bool] = lambda: True,
) -> None:
    """Do work each second while it is needed, and at once after `hurry`.

    A failure is logged; the next try follows.
    """
    while True:
        try:
            await work()
        except Exception:
            log.exception("a look at the runs of Slurm failed")
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS if is_needed() else None):
                await hurry.wait()


def _adopt(c: Connection, run: ObservedRun) -> int | None:
    """Store a run without a row; return the number of its task if that is new."""
    number = adopt_run(c, run, transitions.SYSTEM, lambda: task_numbers.take_number(c))
    if number is not None:
        task_numbers.skip_numbers(c, number)
    loads.recount_loads(c)
    return number
