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
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import app.keeper
from app.version import VERSION

KEEPER = Path(app.keeper.__file__).with_name("keeper.py")
PROTOCOL = 1
ANOTHER = 4  # the exit code of a keeper that finds another one in its home
PATIENCE = 15.0  # seconds for a keeper to come up
PAUSE, CLOSING = 0.01, 2.0
LONGEST_LINE = 256 * 1024 * 1024  # a hello names every run that is not yet forgotten


class NoKeeper(Exception):
    """A keeper cannot be brought up, or speaks another protocol. The text says why."""


class Keeping:
    """The runtime's line to the keeper; brings keeper and guard up when there are none, reconnects when one dies."""

    def __init__(self, home: Path, on_event: Callable[[dict[str, Any]], None]) -> None:
        self._home, self._on_event = home, on_event
        self._line: asyncio.StreamWriter | None = None
        self._open = False  # the hello was passed on: sends go to the line
        self._held: list[bytes] = []
        self._task: asyncio.Task[None] | None = None
        self.hello: dict[str, Any] = {}
        self.pid = self.guard_pid = 0

    @classmethod
    async def open(cls, home: Path, on_event: Callable[[dict[str, Any]], None]) -> Keeping:
        """Connect and say hello. Every event is passed on, in order, each hello first of all; no start before it. Raises NoKeeper."""
        keeping = cls(home, on_event)
        reader = await keeping._connect()
        keeping._task = asyncio.create_task(keeping._listen(reader), name="keeper line")
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
            self._line.write(data)
        else:
            self._held.append(data)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Pass events on for good; a keeper that is gone is replaced."""
        while True:
            try:
                self._begin()
                async for text in reader:
                    self._pass_on(json.loads(text))
            except (OSError, ValueError):
                pass  # torn or reset: the keeper has died
            await self._hang_up()
            reader = await self._connect_for_good()

    def _begin(self) -> None:
        """From here on sends go to this keeper: first what its hello makes the runtime say, then what was held."""
        held, self._held, self._open = self._held, [], True
        self._pass_on(self.hello)
        if self._line:
            self._line.writelines(held)

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

    async def _connect_for_good(self) -> asyncio.StreamReader:
        """Connect, however long it takes."""
        while True:
            try:
                return await self._connect()
            except NoKeeper:
                await asyncio.sleep(1)

    async def _connect(self) -> asyncio.StreamReader:
        """A line to a living keeper that has answered our hello. Raises NoKeeper."""
        clock = asyncio.get_running_loop().time
        last = clock() + PATIENCE
        while clock() < last:
            try:
                return await asyncio.wait_for(self._greet(), last - clock())
            except TimeoutError:
                break
            except (OSError, asyncio.IncompleteReadError):
                await asyncio.to_thread(bring_up, self._home)
            await asyncio.sleep(PAUSE)
        raise NoKeeper("the keeper does not answer")

    async def _greet(self) -> asyncio.StreamReader:
        """Say hello and read the answer."""
        reader, writer = await asyncio.open_unix_connection(sock=dial(self._home), limit=LONGEST_LINE)
        try:
            writer.write(json.dumps({"do": "hello", "protocol": PROTOCOL, "version": VERSION}).encode() + b"\n")
            hello = json.loads(await reader.readuntil(b"\n"))
            if hello.get("protocol") != PROTOCOL:
                raise NoKeeper(f"the keeper speaks protocol {hello.get('protocol')}, not {PROTOCOL}")
        except BaseException:
            writer.transport.abort()
            raise
        self.hello, self.pid, self.guard_pid, self._line = hello, hello["pid"], hello["guard"], writer
        return reader

    async def _hang_up(self) -> None:
        """Close the line, after what was written; a keeper that does not read is not waited for."""
        writer, self._line, self._open = self._line, None, False
        if not writer:
            return
        writer.close()
        try:
            await asyncio.wait_for(writer.wait_closed(), CLOSING)
        except (OSError, TimeoutError):
            writer.transport.abort()


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
    """Start keeper and guard, which leave our session; another pair that is up is fine. Raises NoKeeper."""
    python = getattr(sys, "_base_executable", None) or sys.executable
    clean = {name: value for name, value in os.environb.items() if not name.startswith(b"TASKDECK_")}
    done = subprocess.run(
        [python, "-I", "-S", KEEPER, home],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        start_new_session=True, cwd="/", env=clean, check=False,
    )  # fmt: skip
    if done.returncode not in (0, ANOTHER):
        raise NoKeeper(f"the keeper cannot start: {done.stderr.decode(errors='replace').strip()[-500:]}")
