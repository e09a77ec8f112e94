"""The keepers of a home as one: that of the present protocol, and beside it one of the previous while that has runs.

A run keeps the keeper that started it, so after an upgrade two live side by side until the last old run is over. Starts
go to the present one; what concerns a run goes to the one that knows it. The old one is never brought up. With nothing
left to keep it is told `bye`. When no one answers at its socket any more, the present one is asked to `inherit`: it tells
by the lock, which no process that may still start something lets go, whether the old pair is dead, and takes over its
journal. What it then knows of the old runs settles them; what was held for the old one is said to it.

Every hello that is passed on says in `elsewhere` which runs the other keeper knows: what is in neither was never started
or is lost. So the first one waits until it is known what the old keeper has, if the present one says that there is one.
"""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from app.runtime.keeping import PATIENCE, PAUSE, Hear, Keeping, Line
from app.runtime.wire import PREVIOUS, PROTOCOL, NoKeeper, Wire, named

LONGEST_PAUSE = 1.0


class Elder(Line):
    """The line to a keeper of the previous protocol; asks `gone` for a look each time that nobody answers."""

    def __init__(self, home: Path, on_event: Hear, gone: Callable[[], None]) -> None:
        super().__init__(home, on_event, PREVIOUS)
        self._gone = gone
        self._fresh: Wire | None = None

    async def greet(self) -> None:
        """Say hello and learn what it knows. Raises OSError when there is none, NoKeeper."""
        self._fresh = await self._greet()

    def start(self) -> None:
        """Pass on what it said, and listen from now on. Once is enough."""
        wire, self._fresh = self._fresh, None
        if wire:
            self._begin(wire)
            self.task = asyncio.create_task(self._listen(wire), name="line to the keeper before")

    def forget(self, runids: Iterable[str]) -> None:
        """The ends of these runs are stored."""
        super().forget(runids)
        self._let_go()

    def retire(self) -> list[bytes]:
        """It is dead and its runs are another's: close the line; what was held for it."""
        if self.task:
            self.task.cancel()
        if self._line:
            self._line.cut()
        self._line, self._open = None, False
        self.known.clear()
        return self._held

    def _begin(self, wire: Wire) -> None:
        super()._begin(wire)
        self._let_go()

    def _learn(self, event: dict[str, Any]) -> None:
        super()._learn(event)
        if event.get("is") == "error":
            self._let_go()

    def _let_go(self) -> None:
        """With nothing to keep it ends, and its guard with it."""
        if self._open and not self.known:
            self._send({"do": "bye"})

    async def _again(self) -> Wire:
        pause = PAUSE
        while True:
            await asyncio.sleep(pause)
            try:
                return await asyncio.wait_for(self._greet(), PATIENCE)
            except (OSError, NoKeeper):
                self._gone()
            pause = min(2 * pause, LONGEST_PAUSE)


class Keepers:
    """What the dispatcher speaks to."""

    def __init__(self, home: Path, on_event: Hear) -> None:
        self._home, self._on_event = home, on_event
        self._present = Keeping(home, self._hear, self._may_begin)
        self._elder: Elder | None = None

    @classmethod
    async def open(cls, home: Path, on_event: Hear) -> Keepers:
        """Connect and say hello. Every event is passed on, each hello first of all; no start before it. Raises NoKeeper."""
        only_known(home)
        keepers = cls(home, on_event)
        try:
            await keepers._present.start()
        except BaseException:
            await keepers.close(bye=False)
            raise
        return keepers

    @property
    def pid(self) -> int:
        """Of the present keeper."""
        return self._present.pid

    @property
    def guard_pid(self) -> int:
        """Of the guard above it."""
        return self._present.guard_pid

    @property
    def task(self) -> asyncio.Task[None] | None:
        """What listens to the present keeper, for good; when it fails, nothing is heard any more."""
        return self._present.task

    @property
    def connected(self) -> bool:
        """Is there a keeper that starts runs now?"""
        return self._present.connected

    def spawn(self, run: dict[str, Any]) -> None:
        """Start a run: run, argv, cwd, env, umask, log, timeout (seconds or None), grace (seconds)."""
        self._present.spawn(run)

    def stop(self, runid: str, reason: str, grace: float) -> None:
        """End a run's whole tree: TERM, and KILL after `grace` seconds."""
        self._of(runid).stop(runid, reason, grace)

    def signal(self, runid: str, number: int) -> None:
        """Send a signal to every process of a run."""
        self._of(runid).signal(runid, number)

    def refuse(self, runid: str) -> None:
        """Ask that a run never starts; the answer is `refused`, or the event that says where it stands."""
        self._of(runid).refuse(runid)

    def forget(self, runids: Iterable[str]) -> None:
        """The ends of these runs are stored."""
        ours = list(runids)
        if self._elder and (theirs := self._elder.known.intersection(ours)):
            ours = [runid for runid in ours if runid not in theirs]
            self._elder.forget(theirs)
        if ours:
            self._present.forget(ours)

    async def close(self, bye: bool = True) -> None:
        """Hang up; with `bye`, a keeper that has no run ends at once."""
        if self._elder:
            await self._elder.close(bye)
        await self._present.close(bye)

    def _of(self, runid: str) -> Line:
        """The line to the keeper of a run."""
        return self._elder if self._elder and runid in self._elder.known else self._present

    async def _may_begin(self, hello: dict[str, Any]) -> bool:
        """Is it known what a keeper of the previous protocol has? One that is not met yet is met here."""
        if not hello["previous"] or self._elder:
            return True
        elder = Elder(self._home, self._pass_on, self._present.inherit)
        try:
            await elder.greet()
        except OSError:
            return False  # it has just died
        self._elder = elder
        return True

    def _hear(self, event: dict[str, Any]) -> None:
        """A word of the present keeper's."""
        if event["is"] in ("hello", "inherited"):
            self._look_at_elder(lives=event["previous"])
        if event["is"] != "inherited":
            self._pass_on(event)
        elif not event["previous"]:
            self._pass_on(event | {"is": "hello"})

    def _look_at_elder(self, lives: bool) -> None:
        """The present keeper has found one of the previous protocol alive, or it has its runs now."""
        elder = self._elder
        if elder and lives:
            elder.start()
        elif elder:
            self._elder = None
            self._present.take_over(elder.retire())

    def _pass_on(self, event: dict[str, Any]) -> None:
        """A word of either; its hello tells what the other knows."""
        if event["is"] == "hello":
            told = {run["run"] for run in event["runs"]}
            others = self._present.known | (self._elder.known if self._elder else set())
            event = event | {"elsewhere": others - told}
        self._on_event(event)


def only_known(home: Path) -> None:
    """Raises NoKeeper when a keeper whose protocol is not spoken here has runs in this home, which to us would seem lost."""
    for lock in (home / "run").glob("keeper*.lock"):
        number = lock.stem.removeprefix("keeper") or "1"
        if number.isdigit() and int(number) not in (PROTOCOL, PREVIOUS) and _has_runs(home, lock, int(number)):
            raise NoKeeper(
                f"a keeper of protocol {number} has runs in this home, and this Taskdeck speaks {PROTOCOL} and {PREVIOUS}: "
                "until they have ended, use the version that started them"
            )


def _has_runs(home: Path, lock: Path, protocol: int) -> bool:
    """Does such a keeper live, or is there something in its journal?"""
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return any((home / "run" / named("journal", protocol)).rglob("*.log"))
