"""The runtime's line to the keeper: JSON lines over `run/keeper.sock`.

Sends never wait. What is sent while there is no keeper is held and goes out after its hello, but for starts: a hello
that does not name a run means that it was not started, so one must not be under way behind it. What was under way when
a keeper died may be lost with it. In both cases the hello says what is known, and the runtime asks again for what is
missing. The keeper starts nothing twice, so asking once too often does no harm.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, cast

import app.keeper
from app.runtime import scope
from app.version import VERSION

KEEPER = Path(app.keeper.__file__).with_name("keeper.py")
PROTOCOL = 1
ANOTHER = 4  # the exit code of a keeper that finds another one in its home
UNUSABLE = 5  # and of one that cannot use its home
PATIENCE = 15.0  # seconds for a keeper to come up
PAUSE, CLOSING = 0.01, 2.0


class NoKeeper(Exception):
    """A keeper cannot be brought up, or speaks another protocol. The text says why."""


class Wire(asyncio.Protocol):
    """A connection to a keeper: its answer to our hello, then each line as it comes, without a task to wake for it."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.hello: asyncio.Future[bytes] = loop.create_future()
        self.gone: asyncio.Future[None] = loop.create_future()
        self._hear: Callable[[bytes], None] | None = None
        self._parts: list[bytes] = []
        self._early: list[bytes] = []
        self._line: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._line = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        whole, newline, rest = data.rpartition(b"\n")
        if not newline:
            self._parts.append(data)
            return
        lines = b"".join([*self._parts, whole]).split(b"\n")
        self._parts = [rest]
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        if not self.hello.done():
            self.hello.set_result(line)
        elif self._hear:
            self._hear(line)
        else:
            self._early.append(line)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.hello.done():
            self.hello.set_exception(exc or ConnectionResetError("the keeper hung up"))
        self.gone.set_result(None)

    def listen(self, hear: Callable[[bytes], None]) -> None:
        """Hand over every line from now on, those first that came meanwhile."""
        self._hear, early, self._early = hear, self._early, []
        for line in early:
            hear(line)

    def send(self, data: bytes) -> None:
        """Send it, now or when there is room. To a keeper that is gone it is lost."""
        if self._line:
            self._line.write(data)

    async def close(self, seconds: float) -> None:
        """Hang up after what was sent; a keeper that does not read is waited for so long and no longer."""
        if self._line:
            self._line.close()
            await asyncio.wait([self.gone], timeout=seconds)
            self._line.abort()


class Keeping:
    """The runtime's line to the keeper; brings keeper and guard up when there are none, reconnects when one dies."""

    def __init__(self, home: Path, on_event: Callable[[dict[str, Any]], None]) -> None:
        self._home, self._on_event = home, on_event
        self._line: Wire | None = None
        self._open = False  # the hello was passed on: sends go to the line
        self._held: list[bytes] = []
        self._task: asyncio.Task[None] | None = None
        self.hello: dict[str, Any] = {}
        self.pid = self.guard_pid = 0

    @classmethod
    async def open(cls, home: Path, on_event: Callable[[dict[str, Any]], None]) -> Keeping:
        """Connect and say hello. Every event is passed on, in order, each hello first of all; no start before it. Raises NoKeeper."""
        keeping = cls(home, on_event)
        wire = await keeping._connect()
        keeping._task = asyncio.create_task(keeping._listen(wire), name="keeper line")
        return keeping

    @property
    def connected(self) -> bool:
        """Is there a keeper that hears us now? Otherwise what is sent is held, and no run starts."""
        return self._open

    def spawn(self, run: dict[str, Any]) -> None:
        """Start a run: run, argv, cwd, env, umask, log, timeout (seconds or None), grace (seconds)."""
        if self._open:
            self._send({"do": "spawn", **run})

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
        self._send({"do": "forget", "runs": list(runids)})

    async def close(self, bye: bool = True) -> None:
        """Hang up; with `bye`, a keeper that has no run ends at once."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._open = self._line is not None
        if bye:
            self._send({"do": "bye"})
        await self._hang_up()

    def _send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"
        if self._line and self._open:
            self._line.send(data)
        else:
            self._held.append(data)

    async def _listen(self, wire: Wire) -> None:
        """Pass events on for good; a keeper that is gone is replaced."""
        while True:
            self._begin(wire)
            await asyncio.wait([wire.gone])
            await self._hang_up()
            wire = await self._connect_for_good()

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
        self._pass_on(event)

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

    async def _connect_for_good(self) -> Wire:
        """Connect, however long it takes."""
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
                return await asyncio.wait_for(self._greet(), last - clock())
            except TimeoutError:
                break
            except OSError:
                await asyncio.to_thread(bring_up, self._home)
            await asyncio.sleep(PAUSE)
        raise NoKeeper("the keeper does not answer")

    async def _greet(self) -> Wire:
        """Say hello and read the answer."""
        _, wire = await asyncio.get_running_loop().create_unix_connection(Wire, sock=dial(self._home))
        try:
            wire.send(json.dumps({"do": "hello", "protocol": PROTOCOL, "version": VERSION}).encode() + b"\n")
            hello = json.loads(await wire.hello)
            if hello.get("protocol") != PROTOCOL:
                raise NoKeeper(f"the keeper speaks protocol {hello.get('protocol')}, not {PROTOCOL}")
        except BaseException:
            await wire.close(0)
            raise
        self.hello, self.pid, self.guard_pid, self._line = hello, hello["pid"], hello["guard"], wire
        return wire

    async def _hang_up(self) -> None:
        """Close the line."""
        wire, self._line, self._open = self._line, None, False
        if wire:
            await wire.close(CLOSING)


def dial(home: Path) -> socket.socket:
    """Connect to the keeper's socket, however long its path. Raises OSError."""
    folder = os.open(home / "run", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    line = socket.socket(socket.AF_UNIX)
    try:
        line.setblocking(False)
        line.connect(f"/proc/self/fd/{folder}/keeper.sock")
    except BaseException:
        line.close()
        raise
    finally:
        os.close(folder)
    return line


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

    done = scope.start(home, start, frozenset({0, ANOTHER, UNUSABLE})) or start()
    if done.returncode not in (0, ANOTHER):
        raise NoKeeper(f"the keeper cannot start: {done.stderr.decode(errors='replace').strip()[-500:]}")
