"""Client of the keeper: JSON lines over its Unix socket.

No request waits. While no keeper is connected, requests are queued and sent after the next hello.
Spawns are dropped instead: the runtime assumes that a run which the hello does not name was never
started, so its spawn must not arrive later. Requests in transit when a keeper dies may be lost. In
both cases the hello names the runs that the keeper knows, and the runtime repeats what is missing.
The keeper never starts a run twice, so a repeated request does no harm.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import app.keeper
from app import config, paths
from app.errors import find_process_limit
from app.runtime import file_limit, systemd_scope
from app.version import VERSION

KEEPER = Path(app.keeper.__file__).with_name("keeper.py")
PROTOCOL = 2
OWN_CGROUP = "own"  # word for the keeper's own cgroup, which the keeper may divide
SOCKET, LOG = f"keeper{PROTOCOL}.sock", f"keeper{PROTOCOL}.log"
ALREADY_RUNNING = 4  # exit code of a keeper that finds another one in its home
UNUSABLE_HOME = 5  # exit code of a keeper that cannot use its home
CONNECT_TIMEOUT = 15.0
CLOSE_TIMEOUT = 2.0
RETRY_DELAY = 0.01
RESTART_DELAY = 1.0
LONGEST_LINE = 128 * 1024 * 1024  # bytes; the keeper drops a client with 64 MiB unsent

EventHandler = Callable[[dict[str, Any]], None]
"""Called with each event of the keeper, in order."""


class KeeperUnavailableError(Exception):
    """The keeper cannot be started or speaks another protocol. The text says why."""


class KeeperClient:
    """Connection to the keeper of one home. Starts a keeper if none runs; reconnects if it dies."""

    def __init__(self, home: Path, on_event: EventHandler) -> None:
        self._home, self._on_event = home, on_event
        self._writer: asyncio.StreamWriter | None = None
        self._connected = False
        self._queue: list[bytes] = []
        self._resumed = asyncio.Event()
        self.delegates = False
        """True if the next keeper to start shall divide a cgroup."""
        self.task: asyncio.Task[None] | None = None
        """Reads events. Ends only by an error, after which no event arrives any more."""
        self.pid = self.guard_pid = 0

    @classmethod
    async def open(
        cls, home: Path, on_event: EventHandler, delegates: bool = False
    ) -> KeeperClient:
        """Connect, then pass on each event in order, every hello first.

        Raise KeeperUnavailableError.
        """
        refuse_other_protocols(home)
        client = cls(home, on_event)
        client.delegates = delegates
        reader, hello = await client._connect()
        client.task = asyncio.create_task(client._listen(reader, hello), name="keeper client")
        return client

    async def close(self, bye: bool = True) -> None:
        """Disconnect. With `bye`, a keeper without runs exits at once."""
        if self.task:
            self.task.cancel()
            await asyncio.wait([self.task])
        self._connected = self._writer is not None
        if bye:
            self._send({"do": "bye"})
        await self._disconnect()

    @property
    def connected(self) -> bool:
        """Return True if the keeper receives requests now. Otherwise no run starts."""
        return self._connected

    async def renew(self) -> None:
        """Let a keeper without runs end and another start, or reconnect. Raise TimeoutError."""
        self._resumed.clear()
        self._send({"do": "bye"})
        async with asyncio.timeout(CONNECT_TIMEOUT):
            await self._resumed.wait()

    # --- requests

    def spawn(self, run: dict[str, Any]) -> None:
        """Start a run: run, argv, cwd, env, umask, log, timeout and grace in seconds or None."""
        if self._connected:
            self._send({"do": "spawn", **run})

    def stop(self, runid: str, reason: str, grace: float) -> None:
        """Stop a run with all its processes: SIGTERM, then SIGKILL after `grace` seconds."""
        self._send({"do": "stop", "run": runid, "reason": reason, "grace": grace})

    def signal_early(self, runid: str) -> None:
        """Let a run have its signal before the timeout now, unless the run had it."""
        self._send({"do": "early", "run": runid})

    def signal(self, runid: str, number: int) -> None:
        """Send a signal to every process of a run."""
        self._send({"do": "signal", "run": runid, "signal": number})

    def refuse(self, runid: str) -> None:
        """Make sure that a run never starts. The keeper answers `refused`, or the run's state."""
        self._send({"do": "refuse", "run": runid})

    def forget(self, runids: Iterable[str]) -> None:
        """Drop runs from the keeper whose ends are stored."""
        self._send({"do": "forget", "runs": list(runids)})

    def _send(self, request: dict[str, Any]) -> None:
        data = _encode(request)
        if self._writer and self._connected:
            self._writer.write(data)
        else:
            self._queue.append(data)

    # --- events

    async def _listen(self, reader: asyncio.StreamReader, hello: dict[str, Any]) -> None:
        """Handle events without end. Reconnect each time the connection breaks."""
        while True:
            self._resume(hello)
            await self._read_events(reader)
            await self._disconnect()
            reader, hello = await self._reconnect()

    def _resume(self, hello: dict[str, Any]) -> None:
        """Handle the hello, then send the queue: requests that the hello causes go first."""
        queue, self._queue, self._connected = self._queue, [], True
        self._handle(hello)
        if self._writer:
            self._writer.writelines(queue)
        self._resumed.set()

    async def _read_events(self, reader: asyncio.StreamReader) -> None:
        """Handle events until the connection breaks. Ignore a line that was cut off by it."""
        with suppress(OSError):
            async for line in reader:
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                self._handle(event)

    def _handle(self, event: dict[str, Any]) -> None:
        """Call the handler. Report its exceptions, so that later events still arrive."""
        try:
            self._on_event(event)
        except Exception as error:
            message = f"keeper event not handled: {event.get('is')}"
            context = {"message": message, "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
        # A refused run can be forgotten, because its spawn was sent before the refusal or never
        # will be. A runtime that dies here asks for the refusal again.
        reports = event.get("runs", [event])
        if refused := [run["run"] for run in reports if run.get("is") == "refused"]:
            self.forget(refused)

    # --- connection

    async def _connect(self) -> tuple[asyncio.StreamReader, dict[str, Any]]:
        """Return a connection's reader and the keeper's hello. Raise KeeperUnavailableError."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CONNECT_TIMEOUT
        while loop.time() < deadline:
            try:
                async with asyncio.timeout_at(deadline):
                    return await self._greet()
            except TimeoutError:
                break
            except OSError:
                await asyncio.to_thread(start_keeper, self._home, self.delegates)
            await asyncio.sleep(RETRY_DELAY)
        raise KeeperUnavailableError(f"the keeper does not answer; see run/{LOG}")

    async def _reconnect(self) -> tuple[asyncio.StreamReader, dict[str, Any]]:
        """Connect, however long it takes."""
        while True:
            try:
                return await self._connect()
            except KeeperUnavailableError:
                await asyncio.sleep(RESTART_DELAY)

    async def _greet(self) -> tuple[asyncio.StreamReader, dict[str, Any]]:
        """Exchange hellos on a new connection. Raise OSError, KeeperUnavailableError."""
        sock = _dial(self._home)
        reader, writer = await asyncio.open_unix_connection(sock=sock, limit=LONGEST_LINE)
        try:
            writer.write(_encode({"do": "hello", "protocol": PROTOCOL, "version": VERSION}))
            line = await reader.readline()
            if not line.endswith(b"\n"):
                raise ConnectionResetError("the keeper hung up")
            hello = json.loads(line)
            if hello.get("protocol") != PROTOCOL:
                spoken = hello.get("protocol")
                raise KeeperUnavailableError(f"the keeper speaks protocol {spoken}, not {PROTOCOL}")
        except BaseException:
            writer.transport.abort()
            raise
        self._writer, self.pid, self.guard_pid = writer, hello["pid"], hello["guard"]
        return reader, hello

    async def _disconnect(self) -> None:
        """Close the connection once all data is sent, or after CLOSE_TIMEOUT."""
        writer, self._writer, self._connected = self._writer, None, False
        if not writer:
            return
        try:
            writer.close()
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await writer.wait_closed()
        except OSError:
            pass
        finally:
            writer.transport.abort()


def _encode(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"


def _dial(home: Path) -> socket.socket:
    """Connect to the keeper's socket, whatever the length of its path.

    Raise OSError, or KeeperUnavailableError if a process of another user listens there.
    """
    folder = os.open(home / "run", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
        sock.connect(f"/proc/self/fd/{folder}/{SOCKET}")
        if (uid := paths.read_peer(sock)[1]) != os.geteuid():
            user = paths.get_user_name(uid, "uid ")
            raise KeeperUnavailableError(f"a process of {user} answers in place of the keeper")
    except BaseException:
        sock.close()
        raise
    finally:
        os.close(folder)
    return sock


def start_keeper(home: Path, delegates: bool = False) -> None:
    """Start keeper and guard in a session of their own, and in a systemd scope where possible.

    With `delegates`, they divide the scope, or the cgroup of the configuration, for limits of runs.
    Do nothing if the home has a keeper already. Raise KeeperUnavailableError.
    """
    folder = read_cgroup_setting() if delegates else ""
    place = folder or (OWN_CGROUP if delegates else "")
    try:
        done = systemd_scope.run_in_scope(
            home,
            lambda by, env, timeout: _run_keeper(home, place, by, env, timeout),
            frozenset({0, ALREADY_RUNNING, UNUSABLE_HOME}),
            delegates and not folder,
        ) or _run_keeper(home, folder)
    except OSError as error:  # no process or descriptor is left, or the interpreter is gone
        why = find_process_limit(error) or (error.strerror or "unknown").lower()
        raise KeeperUnavailableError(f"the keeper cannot be started: {why}") from error
    if done.returncode not in (0, ALREADY_RUNNING):
        why = done.stderr.decode(errors="replace").strip()[-500:] or f"see run/{LOG}"
        raise KeeperUnavailableError(f"the keeper cannot start: {why}")


def read_cgroup_setting() -> str:
    """Return the folder of the configuration that keepers may divide, or ""."""
    return config.read(str(paths.get_config_path())).settings.cgroup


def _run_keeper(
    home: Path,
    place: str,
    by: Sequence[str] = (),
    env: dict[bytes, bytes] | None = None,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run the keeper's command, prefixed with the words `by`, until it is in the background.

    `place` is the cgroup that the keeper divides, or "".
    """
    python = getattr(sys, "_base_executable", None) or sys.executable
    inherited = {n: v for n, v in os.environb.items() if not n.startswith(b"TASKDECK_")}
    words = [*by, python, "-I", "-S", KEEPER, home, str(file_limit.INHERITED_LIMIT)]
    return subprocess.run(
        [*words, place] if place else words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        cwd="/",
        env=inherited | (env or {}),
        check=False,
        timeout=timeout,
    )


def refuse_other_protocols(home: Path) -> None:
    """Raise KeeperUnavailableError if a keeper of another protocol has runs here.

    Its runs would seem lost to this version.
    """
    for lock in (home / "run").glob("keeper*.lock"):
        number = lock.stem.removeprefix("keeper") or "1"  # the first protocol had no number there
        if number.isdigit() and int(number) != PROTOCOL and _has_runs(lock):
            raise KeeperUnavailableError(
                f"a keeper of protocol {number} has runs in this home, and this Taskdeck speaks"
                f" {PROTOCOL}: until they have ended, use the version that started them"
            )


def _has_runs(lock: Path) -> bool:
    """Return True if the keeper with this lock is alive or left records in its journal."""
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    journal = lock.with_name(lock.stem.replace("keeper", "journal", 1))
    return any(journal.rglob("*.log"))
