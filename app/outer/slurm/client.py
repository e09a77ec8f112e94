"""Client of Slurm, with the requests of the keeper's client; gate, record and beat lie in a spool.

A task polls squeue, reads the spool where Slurm's states call for it, decides, and acts. Requests
only note what is wanted, so they never wait. A job is looked up by its name, which holds the run
id: Slurm reuses ids. A runtime that dies leaves nothing open. The next runtime adopts the jobs that
have a name of an active run; by the gate, it refuses a run that has no job and has not begun. A
late sbatch of the dead runtime then starts nothing.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from app.core.times import to_unix_or_none
from app.outer.slurm.client_settings import ClientSettings, EventHandler, KnownRun
from app.outer.slurm.cluster_watch import ClusterWatch
from app.outer.slurm.commands import CommandRunner, SlurmPool
from app.outer.slurm.facts import ClusterFacts, JobFacts, describe_run, make_cluster_facts
from app.outer.slurm.rows import parse_jobs
from app.outer.slurm.spool_access import SpoolAccess
from app.outer.slurm.states import FINAL_STATES, IDLE_STATES, NextStep, decide
from app.outer.slurm.stopper import Stopper, shorten_stop
from app.outer.slurm.submitter import Submitter
from app.outer.slurm.watched_run import SpoolFacts, WatchedRun, read_spool
from app.outer.spool import Spool

log = logging.getLogger(__name__)

BEATS = 4
"""Beats without a move, by our clock, after which a run that Slurm does not run is lost."""
IDLE_POLL = 30.0
"""Seconds between two polls while nothing is handed over."""
ANSWER_PATIENCE = 1.0
"""Seconds for which a round waits for the answer of a poll."""
FAILED_ROUND_PAUSE = 5.0
PROBE_EVERY = 10.0
"""Seconds between two trials of a spool that cannot be used."""
GHOST_SECONDS = 20.0
"""Seconds after the end of a run in which its job ends in Slurm, too."""
CANCEL_BATCH = 40
"""Jobs of runs that are over which are cancelled between two polls; more would delay the polls."""
LEFTOVER_SECONDS = 600.0
"""Seconds for which jobs of refused runs are looked for: an sbatch may still be under way."""


class SlurmClient:
    """Runs in Slurm. Reports the keeper's events: started, ended, refused."""

    def __init__(self, settings: ClientSettings, spool: Spool, on_event: EventHandler) -> None:
        self._settings, self._on_event = settings, on_event
        self._runner = CommandRunner(settings.commands, settings.conf)
        self._spool = SpoolAccess(spool, settings.identity)
        self._watch = ClusterWatch(self._runner)
        self._submitter = Submitter(self._runner, self._spool)
        self._stopper = Stopper(self._runner, self._spool)
        self._runs: dict[str, WatchedRun] = {}
        self._facts: dict[str, JobFacts] = {}
        self._forgotten: set[str] = set()
        self._leftovers: dict[str, float] = {}
        """Runs whose waiting jobs are removed, since their refusal or their last job."""
        self._early: set[str] = set()
        self._next_poll = self._next_probe = 0.0
        self._polling: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, settings: ClientSettings, spool: Spool, on_event: EventHandler
    ) -> SlurmClient:
        """Return a client that polls. It is connected once Slurm and spool have answered."""
        client = cls(settings, spool, on_event)
        client.task = asyncio.create_task(client._run(), name="slurm client")
        return client

    async def close(self) -> None:
        """Stop polling. Jobs go on; the next client adopts them."""
        for task in (self.task, self._polling):
            if task:
                task.cancel()
                await asyncio.wait([task])
        self._runner.close()

    # --- state

    @property
    def connected(self) -> bool:
        """Return True if runs may be handed over now."""
        return self._spool.is_ready and self._watch.answered_at is not None and not self.trouble

    @property
    def trouble(self) -> str | None:
        """Return why nothing is handed over, or None."""
        return self._spool.trouble or self._watch.trouble or None

    @property
    def spool_identity(self) -> str:
        """Return the identity of the spool once it can be used, else ""."""
        return self._spool.identity if self._spool.is_ready else ""

    @property
    def facts(self) -> Mapping[str, JobFacts]:
        """Facts of each run."""
        return self._facts

    @property
    def cluster(self) -> ClusterFacts:
        """Facts of the cluster."""
        watch = self._watch
        return make_cluster_facts(
            self._runs, watch.nodes, watch.answered_at, watch.answer_seconds, watch.error
        )

    # --- requests

    def spawn(self, order: dict[str, Any], pool: SlurmPool) -> None:
        """Hand a run over: the keeper's order, with cpu, memory, gpus and rank.

        Its id is new, so no job can have its name yet.
        """
        runid = order["run"]
        if runid not in self._runs:
            order = {**order, "beat": self._settings.beat}
            run = WatchedRun(runid, order, pool, may_submit=True, unbegun_at=time.time())
            self._runs[runid] = run
            self._facts[runid] = JobFacts(reason="being handed over to Slurm")
        self._poll_within(self._settings.poll)

    def resume(self, runs: Iterable[KnownRun]) -> None:
        """Watch the active runs of an earlier runtime."""
        for active in runs:
            if active.runid not in self._runs:
                was_started = active.status in ("running", "paused")
                run = self._runs[active.runid] = WatchedRun(active.runid, was_started=was_started)
                run.unbegun_at = to_unix_or_none(active.start_time) or 0.0
        self._poll_within(0.0)

    def stop(self, runid: str, reason: str, grace: float) -> None:
        """Stop a run with all its processes: TERM, then KILL after `grace` seconds."""
        run = self._runs.setdefault(runid, WatchedRun(runid))
        shorten_stop(run, reason, grace)
        self._poll_within(0.0)

    def signal(self, runid: str, number: int) -> None:
        """Suspend (SIGSTOP), resume (SIGCONT) or signal a run."""
        if run := self._runs.get(runid):
            run.signals.append(number)
            self._wake.set()

    def signal_early(self, runid: str) -> None:
        """Let a run have its signal before the timeout now, unless the run had it."""
        self._early.add(runid)
        self._wake.set()

    def refuse(self, runid: str) -> None:
        """Make sure that a run never starts; a run that began goes on."""
        self._runs.setdefault(runid, WatchedRun(runid)).must_refuse = True
        self._wake.set()

    def forget(self, runids: Iterable[str]) -> None:
        """Drop runs whose ends are stored, with their files in the spool."""
        for runid in runids:
            if self._runs.pop(runid, None):
                self._forgotten.add(runid)
            self._facts.pop(runid, None)
        self._wake.set()

    def _poll_within(self, seconds: float) -> None:
        self._next_poll = min(self._next_poll, time.monotonic() + seconds)
        self._wake.set()

    # --- rounds

    async def _run(self) -> None:
        """Do rounds forever: after a request, at a poll, and when a run is due."""
        while True:
            self._wake.clear()
            try:
                pause = await self._do_round()
            except Exception:
                log.exception("a round of the Slurm client failed")
                pause = FAILED_ROUND_PAUSE
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def _do_round(self) -> float:
        """Poll if it is time, then act. Return the seconds to the next round."""
        if not await self._prepare_spool():
            return self._settings.poll
        if self._forgotten:
            await self._forget_files()
        await self._poll_if_due()
        with suppress(OSError):  # kept by the spool as its trouble
            await self._look()
            await self._refuse_runs()
            await self._stop_runs()
        if not (self._watch.is_silent or self._spool.trouble):
            await self._send_requests()
            if await self._submitter.hand_over(list(self._runs.values()), self._end_run):
                return 0.0
        return self._settings.poll if self._polling else self._next_poll - time.monotonic()

    async def _prepare_spool(self) -> bool:
        """Return True if the spool was ready once. Try again while it is in trouble."""
        now = time.monotonic()
        if (self._spool.trouble or not self._spool.is_ready) and now >= self._next_probe:
            self._next_probe = now + PROBE_EVERY
            with suppress(OSError):
                await self._spool.prepare(must_exist=bool(self._runs))
        return self._spool.is_ready

    async def _forget_files(self) -> None:
        """Remove the files of forgotten runs; keep the names for later if that fails."""
        with suppress(OSError):
            forgotten = set(self._forgotten)
            await self._spool.call(self._spool.spool.forget, forgotten)
            self._forgotten -= forgotten

    async def _poll_if_due(self) -> None:
        """Start a poll if it is time, and wait for its answer, but not for a controller that hangs.

        The spool is looked at meanwhile.
        """
        if self._polling is None and time.monotonic() >= self._next_poll:
            self._polling = asyncio.create_task(self._poll(), name="slurm poll")
        if self._polling is not None:
            await asyncio.wait([self._polling], timeout=ANSWER_PATIENCE)
            if self._polling.done():
                done, self._polling = self._polling, None
                done.result()
            else:
                self._polling.add_done_callback(lambda _: self._wake.set())

    async def _poll(self) -> None:
        """Take over what squeue says of each run."""
        begun = time.monotonic()
        is_busy = bool(self._runs or self._leftovers)
        self._next_poll = begun + (self._settings.poll if is_busy else IDLE_POLL)
        lines = await self._watch.list_jobs()
        if lines is None:
            return
        for run in self._runs.values():
            if run.see_lines(lines.get(run.runid, ()), begun):
                self._describe(run)
        await self._remove_leftovers(lines)

    async def _remove_leftovers(self, lines: Mapping[str, tuple[str, ...]]) -> None:
        """Cancel what Slurm has of runs that are over; forget those of which it has nothing.

        A controller that came back from an older state runs jobs that ended meanwhile, for ever.
        """
        now, unwanted = time.monotonic(), []
        for runid, since in list(self._leftovers.items()):
            states = {row.state for row in parse_jobs(lines.get(runid, ()))}
            if states & IDLE_STATES or (states - FINAL_STATES and now - since > GHOST_SECONDS):
                self._leftovers[runid] = now
                unwanted.append(runid)
            elif now - since > LEFTOVER_SECONDS:
                del self._leftovers[runid]
                if runid not in self._runs:
                    self._forgotten.add(runid)
        await asyncio.gather(*map(self._stopper.cancel, unwanted[:CANCEL_BATCH]))

    async def _look(self) -> None:
        """Read the spool for the runs that need it, and decide on them. Raise OSError."""
        now, is_silent = time.monotonic(), self._watch.is_silent
        wanted = [run for run in self._runs.values() if run.needs_look(now, is_silent)]
        if not wanted:
            return
        found = await self._read_runs(wanted)
        now = time.monotonic()
        for run in wanted:
            run.take_facts(found[run.runid], now)
            if run.runid in self._runs:
                self._judge(run, now)
                self._describe(run)

    async def _read_runs(self, runs: list[WatchedRun]) -> dict[str, SpoolFacts]:
        """Read the spool. No beat could move during a failure, so it does not count as silence."""
        names, begun = [(run.runid, run.gate) for run in runs], time.monotonic()
        try:
            found = await self._spool.call_surely(read_spool, self._spool.spool, names)
        except OSError:
            begun = -math.inf
            raise
        finally:
            if time.monotonic() - begun > self._settings.beat:
                for run in self._runs.values():
                    run.beat_moved_at = 0.0
        return found

    def _judge(self, run: WatchedRun, now: float) -> None:
        """Report what a look has shown, and note the next action."""
        if run.gate and run.gate.refused and run.record is None and not run.was_started:
            return self._report_refused(run)
        if run.began and run.gate and run.record is None:
            self._report_start(run)
        is_unseen = self._watch.is_silent or not run.is_seen
        if run.record is not None and is_unseen:
            return self._end_run(run, run.record)
        if is_unseen or (run.must_refuse and run.record is None):
            return None
        decision = decide(run.make_sight(now), BEATS * self._settings.beat)
        if decision.step is NextStep.END:
            self._end_run(run, decision.end or {})
        elif decision.step is NextStep.GIVE_UP:
            run.must_refuse, run.give_up = True, decision.end
        elif decision.step is NextStep.SUBMIT:
            run.may_submit, run.must_refuse = bool(run.order), not run.order
        return None

    async def _refuse_runs(self) -> None:
        """Refuse the runs that must not begin, by the gate. Raise OSError."""
        for run in list(self._runs.values()):
            is_stopped = run.stop is not None and not run.began
            if run.is_over or not (run.must_refuse or is_stopped):
                continue
            run.must_refuse = False
            try:
                is_refused = await self._spool.call_surely(self._spool.spool.refuse, run.runid)
            except OSError:
                run.must_refuse = True
                raise
            if not is_refused:
                run.gate = await self._spool.call(self._spool.spool.read_gate, run.runid)
            elif run.give_up is not None:
                self._end_run(run, run.give_up)
            else:
                self._report_refused(run)

    async def _stop_runs(self) -> None:
        stopped = [run for run in self._runs.values() if run.stop and run.began]
        stopped = [run for run in stopped if not run.is_over]
        await self._stopper.stop_runs(stopped, self._watch.is_silent)

    async def _send_requests(self) -> None:
        """Send the signals that were requested."""
        for run in [run for run in self._runs.values() if run.signals]:
            await self._stopper.send_signals(run)
            self._describe(run)
        early, self._early = self._early, set()
        for runid in early:
            with suppress(OSError):
                await self._stopper.signal_early(runid)

    # --- events

    def _report_start(self, run: WatchedRun) -> None:
        if run.is_reported or not run.gate:
            return
        run.is_reported = True
        at = min(max(run.gate.started_at, run.unbegun_at), time.time())
        boot_at = time.clock_gettime(time.CLOCK_BOOTTIME) - (time.time() - at)
        self._emit({
            "is": "started", "run": run.runid, "pid": 0, "ticks": 0, "at": at,
            "boot_at": boot_at, "stop": None, "job": run.gate.job, "node": run.gate.node,
        })  # fmt: skip

    def _end_run(self, run: WatchedRun, end: Mapping[str, Any]) -> None:
        """Report the end of a run once. The run stays until its end is stored."""
        if run.is_over:
            return
        run.is_over = True
        gate, row = run.gate, run.row
        places = {
            "job": (gate.job if gate else "") or (row.job if row else ""),
            "node": (gate.node if gate else "") or (row.node if row else ""),
            "by": "job" if run.record is not None else "slurm",
        }
        at = min(end.get("at", math.inf), time.time())  # the clock of the node may be fast
        self._leftovers[run.runid] = time.monotonic()
        self._emit({**places, **end, "is": "ended", "run": run.runid, "at": at})

    def _report_refused(self, run: WatchedRun) -> None:
        self._runs.pop(run.runid, None)
        self._facts.pop(run.runid, None)
        self._leftovers[run.runid] = time.monotonic()
        self._emit({"is": "refused", "run": run.runid})

    def _emit(self, event: dict[str, Any]) -> None:
        try:
            self._on_event(event)
        except Exception as error:
            message = f"event of a run in Slurm not handled: {event.get('is')}"
            context = {"message": message, "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    def _describe(self, run: WatchedRun) -> None:
        """Renew the facts of a run."""
        now, lost_after = time.monotonic(), BEATS * self._settings.beat
        if run.runid in self._runs:
            facts = describe_run(run, self._watch.nodes, now, time.time(), lost_after)
            self._facts[run.runid] = facts
