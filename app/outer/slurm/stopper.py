"""Stops and signals for runs in Slurm, repeated until they have done their work.

The gate refuses a run that has not begun, even if Slurm starts its job later. The spool asks a run
that began to stop: its job sends TERM, then KILL after the grace, and records the end. Slurm wakes
the job for that; a job that nobody wakes looks at its next beat. After the grace by our clock, a
cancel by Slurm ends what is left, and may leave no record. Such a cancel also reaches processes
that left the session of the job; a signal of Slurm does not.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterable
from contextlib import suppress

from app.outer.slurm.commands import (
    THREADS,
    CommandRunner,
    build_batch_signal,
    build_cancel,
    build_lookup,
    build_signal,
    build_suspend,
)
from app.outer.slurm.rows import JobRow, group_lines, parse_jobs
from app.outer.slurm.spool_access import SpoolAccess
from app.outer.slurm.states import FINAL_STATES, IDLE_STATES
from app.outer.slurm.watched_run import StopRequest, WatchedRun

RECORD_SECONDS = 5.0
"""Seconds after the grace in which a job records its end before Slurm kills the job."""


class Stopper:
    """Sender of stops and signals."""

    def __init__(self, runner: CommandRunner, spool: SpoolAccess) -> None:
        self._runner, self._spool = runner, spool
        self._lanes = asyncio.Semaphore(THREADS)
        self._is_silent = False

    async def stop_runs(self, runs: Iterable[WatchedRun], is_silent: bool) -> None:
        """Do the next step of the stop of each run that began."""
        self._is_silent = is_silent
        await asyncio.gather(*(self._stop(run) for run in runs))

    async def _stop(self, run: WatchedRun) -> None:
        stop = run.stop
        assert stop is not None
        if not stop.is_asked:
            with suppress(OSError):
                ask = self._spool.spool.ask_stop
                await self._spool.call(ask, run.runid, stop.reason, stop.grace)
                stop.is_asked = True
        async with self._lanes:
            if not self._is_silent:  # a controller that is down lets each command hang
                await self._tell_slurm(run, stop, time.monotonic())

    async def _tell_slurm(self, run: WatchedRun, stop: StopRequest, now: float) -> None:
        if stop.told_at is None:
            if run.row is not None and run.row.state == "SUSPENDED":
                await self._suspend(run, is_resume=True)  # a stopped job cannot stop its task
            wake = build_batch_signal(run.runid, "USR1")
            command = wake if stop.is_asked else build_signal(run.runid, "TERM")
            answer = await self._runner.run(command)
            stop.told_at = now if answer.code == 0 else None
            self._is_silent = answer.code != 0
        elif now >= stop.told_at + stop.grace + (RECORD_SECONDS if stop.is_asked else 0.0):
            await self.cancel(run.runid)
        if any(row.state in IDLE_STATES for row in run.jobs):
            await self.cancel(run.runid)

    async def cancel(self, runid: str) -> None:
        """Cancel all jobs of a run."""
        await self._runner.run(build_cancel(runid))

    async def send_signals(self, run: WatchedRun) -> None:
        """Suspend, resume or signal a run, by jobs just looked up: ids are given again."""
        numbers, run.signals = run.signals, []
        for number in numbers:
            if number in (signal.SIGSTOP, signal.SIGCONT):
                await self._suspend(run, number == signal.SIGCONT)
            else:
                await self._runner.run(build_signal(run.runid, signal.Signals(number).name[3:]))

    async def _suspend(self, run: WatchedRun, is_resume: bool) -> None:
        rows = [row for row in await self.find_jobs(run.runid) if row.state not in IDLE_STATES]
        rows = [row for row in rows if (row.state == "SUSPENDED") is is_resume]
        run.note = ""
        for row in rows:
            answer = await self._runner.run(build_suspend(row.job, is_resume))
            if answer.code != 0:
                does, goes = ("resume", "rests") if is_resume else ("suspend", "runs on")
                run.note = f"Slurm did not {does} it, so it {goes}: {answer.error}"

    async def find_jobs(self, runid: str) -> list[JobRow]:
        """Look up the living jobs of a run."""
        answer = await self._runner.run(build_lookup(runid))
        lines = group_lines(answer.output).get(runid, ())
        return [row for row in parse_jobs(lines) if row.state not in FINAL_STATES]

    async def signal_early(self, runid: str) -> None:
        """Let the job send the signal before the timeout now. Raise OSError."""
        await self._spool.call(self._spool.spool.ask_early, runid)
        await self._runner.run(build_batch_signal(runid, "USR1"))


def shorten_stop(run: WatchedRun, reason: str, grace: float) -> None:
    """Request a stop, or another grace for the stop of a run."""
    if run.stop is None:
        run.stop = StopRequest(reason, grace)
    elif grace != run.stop.grace:
        run.stop.grace, run.stop.is_asked = min(grace, run.stop.grace), False
