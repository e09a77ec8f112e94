"""The runtime's line to the keeper, which it brings up when there is none.

Sends never wait. What is sent while there is no keeper is held and goes out after its hello, but for starts: a hello
that does not name a run means that it was not started, so one must not be under way behind it. What was under way when
a keeper died may be lost with it. In both cases the hello says what is known, and the runtime asks again for what is
missing. The keeper starts nothing twice, so asking once too often does no harm.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import app.keeper
from app.runtime import scope
from app.runtime.wire import PREVIOUS, PROTOCOL, NoKeeper, Wire, greet, named

KEEPER = Path(app.keeper.__file__).with_name("keeper.py")
ANOTHER = 4  # the exit code of a keeper that finds another one in its home
UNUSABLE = 5  # and of one that cannot use its home
PATIENCE = 15.0  # seconds for a keeper to come up
PAUSE, CLOSING = 0.01, 2.0
UNMET = (
    f"a keeper of protocol {PREVIOUS} does not answer, or what it left cannot be taken over; "
    f"see run/{named('keeper', PROTOCOL)}.log"
)

Hear = Callable[[dict[str, Any]], None]
"""Takes each event of a keeper, in its order."""


class Line(ABC):
    """What is told to the keepers that follow one another at the socket of one protocol, and what they say."""

    def __init__(self, home: Path, on_event: Hear, protocol: int) -> None:
        self._home, self._on_event, self._protocol = home, on_event, protocol
        self._line: Wire | None = None
        self._open = False  # the hello was passed on: sends go to the line
        self._held: list[bytes] = []
        self.task: asyncio.Task[None] | None = None
        self.known: set[str] = set()
        """The runs that the keeper knows, by what it said and was told."""
        self.hello: dict[str, Any] = {}
        self.pid = self.guard_pid = 0

    @property
    def connected(self) -> bool:
        """Is there a keeper that hears us now? Otherwise what is sent is held, and no run starts."""
        return self._open

    def stop(self, runid: str, reason: str, grace: float) -> None:
        """End a run's whole tree: TERM, and KILL after `grace` seconds. The keeper carries it through alone."""
        self._send({"do": "stop", "run": runid, "reason": reason, "grace": grace})

    def signal(self, runid: str, number: int) -> None:
        """Send a signal to every process of a run."""
        self._send({"do": "signal", "run": runid, "signal": number})

    def refuse(self, runid: str) -> None:
        """Ask that a run never starts; the answer is `refused`, or the event that says where it stands."""
        self._send({"do": "refuse", "run": runid})

    def forget(self, runids: Iterable[str]) -> None:
        """The ends of these runs are stored: the keeper need not know them any longer."""
        gone = list(runids)
        self.known.difference_update(gone)
        self._send({"do": "forget", "runs": gone})

    async def close(self, bye: bool = True) -> None:
        """Hang up; with `bye`, a keeper that has no run ends at once."""
        if self.task:
            self.task.cancel()
            await asyncio.wait([self.task])
        self._open = self._line is not None
        if bye:
            self._send({"do": "bye"})
        await self._hang_up()

    def _send(self, message: dict[str, Any]) -> None:
        self._post(json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n")

    def _post(self, data: bytes) -> None:
        if self._line and self._open:
            self._line.send(data)
        else:
            self._held.append(data)

    async def _listen(self, wire: Wire) -> None:
        """Pass events on for good; a keeper that is gone is followed by another."""
        while True:
            await asyncio.wait([wire.gone])
            await self._hang_up()
            wire = await self._again()
            self._begin(wire)

    @abstractmethod
    async def _again(self) -> Wire:
        """A line to the keeper that follows, however long it takes."""

    def _begin(self, wire: Wire) -> None:
        """From here on sends go to this keeper: first what its hello makes the runtime say, then what was held."""
        held, self._held, self._open = self._held, [], True
        self._pass_on(self.hello)
        wire.send(b"".join(held))
        wire.listen(self._hear)

    def _hear(self, line: bytes) -> None:
        """One line of the keeper's. One that is torn came with its death."""
        try:
            event = json.loads(line)
        except ValueError:
            return
        self._learn(event)
        self._pass_on(event)

    def _learn(self, event: dict[str, Any]) -> None:
        """Keep in mind which runs it knows."""
        if event.get("is") == "inherited":
            self.known |= _runs(event)
        elif event.get("is") == "error" and event["code"] != "bad-request":
            self.known.discard(event["run"])

    def _pass_on(self, event: dict[str, Any]) -> None:
        """Hand an event over; one that cannot be handled is reported, and does not silence those that follow."""
        try:
            self._on_event(event)
        except Exception as error:
            about = {"message": f"keeper event not handled: {event.get('is')}", "exception": error}
            asyncio.get_running_loop().call_exception_handler(about)
        # A start was sent before its refusal or never will be: a runtime that dies here asks for the refusal again.
        refused = [told["run"] for told in event.get("runs", [event]) if told.get("is") == "refused"]
        if refused:
            self.forget(refused)

    async def _greet(self) -> Wire:
        """A line to a keeper that has answered our hello. Raises OSError, NoKeeper."""
        wire, hello = await greet(self._home, self._protocol)
        self.hello, self.pid, self.guard_pid, self._line = hello, hello["pid"], hello["guard"], wire
        self.known = _runs(hello)
        return wire

    async def _hang_up(self) -> None:
        """Close the line."""
        wire, self._line, self._open = self._line, None, False
        if wire:
            await wire.close(CLOSING)


def _runs(event: dict[str, Any]) -> set[str]:
    return {told["run"] for told in event["runs"]}


class Keeping(Line):
    """The line to the keeper of the present protocol; brings keeper and guard up when there are none, reconnects when one dies."""

    def __init__(self, home: Path, on_event: Hear, may_begin: Callable[[dict[str, Any]], Awaitable[bool]]) -> None:
        super().__init__(home, on_event, PROTOCOL)
        self._may_begin = may_begin
        """Given a hello: may it be passed on, or is another to be asked for? Raises NoKeeper."""

    async def start(self) -> None:
        """Connect and say hello. Every event is passed on, in order, each hello first of all; no start before it. Raises NoKeeper."""
        wire = await self._connect()
        self.task = asyncio.create_task(self._attend(wire), name="keeper line")

    def spawn(self, run: dict[str, Any]) -> None:
        """Start a run: run, argv, cwd, env, umask, log, timeout (seconds or None), grace (seconds)."""
        if self._open:
            self.known.add(run["run"])
            self._send({"do": "spawn", **run})

    def inherit(self) -> None:
        """Ask what a keeper of the previous protocol left, if it has died; the answer is `inherited`, or in the next hello."""
        if self._open:
            self._send({"do": "inherit"})

    def take_over(self, held: Iterable[bytes]) -> None:
        """Say what was held for another keeper, whose runs this one has now."""
        for data in held:
            self._post(data)

    async def _attend(self, wire: Wire) -> None:
        self._begin(wire)
        await self._listen(wire)

    async def _again(self) -> Wire:
        while True:
            try:
                return await self._connect()
            except NoKeeper:
                await asyncio.sleep(1)

    async def _connect(self) -> Wire:
        """A line to a living keeper that has answered our hello. Raises NoKeeper."""
        clock = asyncio.get_running_loop().time
        last = clock() + PATIENCE
        while clock() < last:
            try:
                return await asyncio.wait_for(self._answered(), last - clock())
            except TimeoutError:
                break
            except OSError:
                await asyncio.to_thread(bring_up, self._home)
            await asyncio.sleep(PAUSE)
        raise NoKeeper(UNMET if self.hello.get("previous") else "the keeper does not answer")

    async def _answered(self) -> Wire:
        """Ask for a hello until one may be passed on."""
        while True:
            wire = await self._greet()
            if await self._may_begin(self.hello):
                return wire
            await self._hang_up()
            await asyncio.sleep(PAUSE)


def bring_up(home: Path) -> None:
    """Start keeper and guard, which leave our session, and our scope where systemd gives them one; another pair that is up is fine.
    Raises NoKeeper."""
    python = getattr(sys, "_base_executable", None) or sys.executable
    clean = {name: value for name, value in os.environb.items() if not name.startswith(b"TASKDECK_")}

    def start(
        by: Sequence[str] = (), more: dict[bytes, bytes] | None = None, patience: float | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*by, python, "-I", "-S", KEEPER, home],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            start_new_session=True, cwd="/", env=clean | (more or {}), check=False, timeout=patience,
        )  # fmt: skip

    try:
        done = scope.start(home, start, frozenset({0, ANOTHER, UNUSABLE})) or start()
    except OSError as error:  # no process, no descriptor left, or no interpreter any more
        raise NoKeeper(f"the keeper cannot be started: {(error.strerror or 'unknown').lower()}") from error
    if done.returncode not in (0, ANOTHER):
        raise NoKeeper(f"the keeper cannot start: {done.stderr.decode(errors='replace').strip()[-500:]}")
