"""A connection to a keeper: JSON lines over the socket of its protocol, `run/keeper.sock` or, for the second, `run/keeper2.sock`."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from app.version import VERSION

PROTOCOL = 2
PREVIOUS = PROTOCOL - 1


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

    def cut(self) -> None:
        """Hang up at once; nothing more is heard."""
        self._hear = ignore
        if self._line:
            self._line.abort()

    async def close(self, seconds: float) -> None:
        """Hang up after what was sent; a keeper that does not read is waited for so long and no longer."""
        if self._line:
            self._line.close()
            await asyncio.wait([self.gone], timeout=seconds)
            self._line.abort()


def ignore(line: bytes) -> None:
    """A line that nobody waits for any more."""


async def greet(home: Path, protocol: int) -> tuple[Wire, dict[str, Any]]:
    """A line to the keeper of that protocol, and its answer to our hello. Raises OSError, NoKeeper."""
    _, wire = await asyncio.get_running_loop().create_unix_connection(Wire, sock=dial(home, protocol))
    try:
        wire.send(json.dumps({"do": "hello", "protocol": protocol, "version": VERSION}).encode() + b"\n")
        hello = json.loads(await wire.hello)
        if hello.get("protocol") != protocol:
            raise NoKeeper(f"the keeper speaks protocol {hello.get('protocol')}, not {protocol}")
    except BaseException:
        await wire.close(0)
        raise
    return wire, hello


def dial(home: Path, protocol: int) -> socket.socket:
    """Connect to the keeper's socket, however long its path. Raises OSError."""
    folder = os.open(home / "run", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    line = socket.socket(socket.AF_UNIX)
    try:
        line.setblocking(False)
        line.connect(f"/proc/self/fd/{folder}/{named('keeper', protocol)}.sock")
    except BaseException:
        line.close()
        raise
    finally:
        os.close(folder)
    return line


def named(what: str, protocol: int) -> str:
    """What the keeper of that protocol calls it in the run folder: that of the first had no number there."""
    return what if protocol == 1 else f"{what}{protocol}"
