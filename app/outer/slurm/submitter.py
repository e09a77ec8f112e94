"""Hand-over of runs to Slurm by sbatch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from app.outer.slurm.commands import THREADS, CommandAnswer, CommandRunner, build_submit
from app.outer.slurm.spool_access import SpoolAccess
from app.outer.slurm.states import MAX_TRIES, compute_delay, make_end
from app.outer.slurm.submit_errors import SubmitError, classify_error
from app.outer.slurm.watched_run import WatchedRun

BATCH = 100
"""Jobs handed over between two polls; about a second of sbatch."""
EndRun = Callable[[WatchedRun, Mapping[str, Any]], None]

LIMIT_DELAY, SILENT_DELAY = 30.0, 5.0
"""Seconds until the next sbatch of a run that met a limit of jobs, or no answer."""


class Submitter:
    """Writer of orders and caller of sbatch."""

    def __init__(self, runner: CommandRunner, spool: SpoolAccess) -> None:
        self._runner, self._spool = runner, spool
        self._lanes = asyncio.Semaphore(THREADS)
        self._is_halted = False

    async def hand_over(self, runs: Iterable[WatchedRun], end_run: EndRun) -> bool:
        """Hand over the runs that are due. Return True if more are due."""
        now = time.monotonic()
        due = [run for run in runs if is_due(run, now)]
        self._is_halted = False
        with suppress(OSError):  # kept by the spool as its trouble
            await asyncio.gather(*(self._submit(run, end_run) for run in due[:BATCH]))
        return len(due) > BATCH and not self._is_halted

    async def _submit(self, run: WatchedRun, end_run: EndRun) -> None:
        """Hand one run over. Raise OSError if its order cannot be written.

        A controller that is down lets each sbatch hang, so the others of a batch are put off.
        """
        async with self._lanes:
            if self._is_halted or not is_due(run, time.monotonic()):
                return
            try:
                await self._write_order(run)
            except ValueError as error:
                return end_run(run, make_end(code=126, reason=str(error)))
            except OSError as error:
                self._is_halted, run.note = True, self._spool.trouble
                raise error
            if is_due(run, time.monotonic()):
                await self._call_sbatch(run)

    async def _write_order(self, run: WatchedRun) -> None:
        """Write the order unless it is there. Raise OSError, ValueError."""
        spool = self._spool.spool
        if not run.tries or not await self._spool.call(spool.has_order, run.runid):
            await self._spool.call(spool.write_order, run.runid, run.order)

    async def _call_sbatch(self, run: WatchedRun) -> None:
        assert run.order is not None and run.pool is not None
        run.may_submit = False
        command = self._spool.spool.build_command(run.runid)
        answer = await self._runner.run(build_submit(run.order, run.pool, command))
        run.asked_at = time.monotonic()
        run.tries += 1
        self._take_answer(run, answer)

    def _take_answer(self, run: WatchedRun, answer: CommandAnswer) -> None:
        """Note an error. The next poll says if there is a job nonetheless."""
        now = time.monotonic()
        run.note, run.next_try = "", now + compute_delay(run.tries)
        if answer.code == 0:
            run.failures = 0
            return
        kind, run.tries = classify_error(answer.error), run.tries - 1
        self._is_halted = self._is_halted or kind is SubmitError.SILENT
        run.note = f"Slurm did not take it: {answer.error}"
        run.next_try = now + (LIMIT_DELAY if kind is SubmitError.LIMIT else SILENT_DELAY)
        if kind is SubmitError.UNKNOWN:
            run.failures += 1
            run.next_try = now + compute_delay(run.failures)
        if kind is SubmitError.REFUSED or run.failures >= MAX_TRIES:
            run.must_refuse = True
            run.give_up = make_end(code=126, reason=f"Slurm refused it: {answer.error}")


def is_due(run: WatchedRun, now: float) -> bool:
    """Return True if a run should be handed over now."""
    is_wanted = run.may_submit and not (run.is_over or run.stop or run.must_refuse)
    return is_wanted and now >= run.next_try
