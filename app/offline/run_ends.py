"""End of all runs of a home without a runtime, before a cluster takes the home off this host.

A process that outlived the move would run beside its retry on the other host.
"""

from __future__ import annotations

import asyncio
import os
import select
import time
from pathlib import Path
from typing import Any

from app.core.text.joining import end_sentence
from app.errors import Problem
from app.home.lock import is_held
from app.offline.home_errors import translate_os_errors
from app.runtime.dispatch.keeper_client import KeeperClient, KeeperUnavailableError
from app.translation import tr_n

KILL_MARGIN = 10.0
"""Seconds after the grace within which killed processes must be gone."""
EXIT_TIMEOUT = 5.0
"""Seconds within which a keeper without runs must end."""


def is_in_use(home: str) -> bool:
    """Return True if a runtime, also one that only starts, or a command in its place has `home`."""
    return is_held(Path(home))


def end_runs(home: str, reason: str, grace: float) -> int:
    """Stop all runs, then keeper and guard. Return the number of runs not stopping before.

    A home without a keeper gets one first: runs of dead supervisors may be alive. Raise Problem if
    something is left.
    """
    with translate_os_errors(home):
        try:
            return asyncio.run(_end_runs(Path(home), reason, grace))
        except KeeperUnavailableError as error:
            raise Problem(end_sentence(str(error))) from error


async def _end_runs(home: Path, reason: str, grace: float) -> int:
    living, changed = dict[str, Any](), asyncio.Event()

    def note(event: dict[str, Any]) -> None:
        for one in event.get("runs", [event]):
            if one.get("is") == "started":
                living[one["run"]] = one["stop"]
            elif one.get("is") in ("ended", "refused"):
                living.pop(one["run"], None)
        changed.set()

    keeper = await KeeperClient.open(home, note)
    await changed.wait()  # for the hello, which names all runs
    stopped = [runid for runid, stop in living.items() if not stop]
    watched = [os.pidfd_open(pid) for pid in (keeper.pid, keeper.guard_pid)]
    try:
        for runid in list(living):
            keeper.stop(runid, reason, grace)
        await _wait_until_empty(living, changed, grace + KILL_MARGIN)
        await keeper.close()
        await asyncio.to_thread(_wait_for_exits, watched)
    finally:
        for fd in watched:
            os.close(fd)
    return len(stopped)


async def _wait_until_empty(living: dict[str, Any], changed: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            while living:
                changed.clear()
                await changed.wait()
    except TimeoutError:
        count = tr_n(len(living), "{n} run", "{n} runs")
        raise Problem("{n} did not end within {seconds:.0f} s.", n=count, seconds=seconds) from None


def _wait_for_exits(watched: list[int]) -> None:
    until = time.monotonic() + EXIT_TIMEOUT
    for fd in watched:
        if not select.select([fd], [], [], max(0.0, until - time.monotonic()))[0]:
            raise Problem("the keeper did not end.")
