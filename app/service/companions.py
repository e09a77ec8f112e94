"""Connections to the companions of runs, which hold inputs and mark error output."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

from app import paths

DRAIN_SECONDS = 0.5
"""Time for the error output of ended runs to reach their logs."""


class CompanionConnection:
    """Connection to the companion of a run. Raise OSError if there is none."""

    def __init__(self, home: Path, runid: str) -> None:
        self._path = paths.get_companion_path(home, runid)

    async def __aenter__(self) -> CompanionConnection:
        """Connect, whatever the length of the path."""
        folder, name = os.path.split(self._path)
        at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.setblocking(False)
            sock.connect(f"/proc/self/fd/{at}/{name}")
            self._reader, self._writer = await asyncio.open_unix_connection(sock=sock)
        except BaseException:
            sock.close()
            raise
        finally:
            os.close(at)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        self._writer.close()

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and return its answer. Raise OSError or EOFError."""
        self._writer.write(json.dumps(request).encode() + b"\n")
        line = await self._reader.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        return json.loads(line)


async def drain(home: Path, runids: Collection[str]) -> None:
    """Wait briefly until all error output of ended runs is in their logs."""
    if not os.path.isdir(os.path.dirname(paths.get_companion_path(home, ""))):
        return  # no task ever had a companion
    left = [runid for runid in runids if os.path.exists(paths.get_companion_path(home, runid))]
    if left:
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await asyncio.gather(*(_drain_run(home, runid) for runid in left))


async def _drain_run(home: Path, runid: str) -> None:
    with suppress(OSError, EOFError):  # the companion has ended, after all was copied
        async with CompanionConnection(home, runid) as connection:
            await connection.ask({"do": "drain"})
