"""The warm copy of the database on a second disk or host: sqlite3_rsync sends what differs, in a process of its own.

A second SQLite library in this process would drop the locks of the first; the program comes with the apsw package, of which nothing is
imported here.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from app import paths
from app.core.clean import clean, cut
from app.errors import Conflict
from db import clock, replicas
from db.engine import Database
from db.replicas import Replica

LIMIT = 300.0
"""Seconds after which a copy is given up; the next one goes on from what it has done."""


def tool() -> str | None:
    """The program sqlite3_rsync, that of the apsw package first."""
    spec = find_spec("apsw")
    ours = Path(spec.origin).parent / "sqlite_extra_binaries" / "sqlite3_rsync" if spec and spec.origin else None
    return os.fspath(ours) if ours and os.access(ours, os.X_OK) else shutil.which("sqlite3_rsync")


def origin(home: Path) -> str:
    """How a copy names the home that it is of."""
    return f"{socket.gethostname()}:{os.path.realpath(home)}"


def parted(target: str) -> tuple[str, str]:
    """Host and folder of HOST:FOLDER; the host is "" for a folder of this machine."""
    host, colon, folder = target.partition(":")
    return (host, folder) if colon and "/" not in host else ("", target)


def refuse_copy(home: Path) -> None:
    """Raise Conflict where the copy of another home lies: a fresh home beside it would only hide it."""
    if paths.replica(home).exists() and not paths.database(home).exists():
        of = _belongs(paths.replica(home)) or "another home"
        said = f"{home} is the replica of {of}. Nothing is started from it."
        raise Conflict(said, f"Make it the home: taskdeck --home {home} db promote")


class Replicating:
    """Copies the database of a home to where it is to be copied."""

    def __init__(self, db: Database, home: Path) -> None:
        self._db, self._home = db, home

    async def choose(self, target: str | None, by: str) -> Replica | None:
        """Copy there from now on, and once at once. Raises Conflict for what cannot be."""
        if target is None:
            await self._db.write(replicas.choose, None, origin(self._home), by)
            return None
        if tool() is None:
            raise Conflict("there is no sqlite3_rsync on this machine.", "Type: pip install 'taskdeck[replica]'")
        host, folder = parted(target)
        if not host:
            await asyncio.to_thread(self._fits, Path(folder))
        await self._db.write(replicas.choose, target, origin(self._home), by)
        return await self.sync()

    def _fits(self, folder: Path) -> None:
        if os.path.realpath(folder) == os.path.realpath(self._home):
            raise Conflict(f"{folder} is the home itself; a copy belongs on another disk or host.")
        there = paths.replica(folder)
        if paths.database(folder).exists():
            raise Conflict(f"{folder} is a home of its own. It was not touched.", "Choose an empty folder.")
        if there.exists() and _belongs(there) != origin(self._home):
            raise Conflict(f"{there} is there already and no copy of this home. It was not touched.", "Choose an empty folder.")
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise Conflict(f"{folder} cannot be made: {(error.strerror or 'unknown').lower()}.") from None

    async def sync(self) -> Replica | None:
        """Copy now; None when nowhere. What keeps it from its end is written down with it."""
        replica = await self._db.read(replicas.find)
        if replica is None:
            return None
        began = clock.now()
        await self._db.write_quietly(replicas.begin, began, origin(self._home))
        problem = await self._copy(replica.target)
        await self._db.write_quietly(replicas.end, began, problem)
        return await self._db.read(replicas.find)

    async def _copy(self, target: str) -> str | None:
        program = tool()
        if program is None:
            return "there is no sqlite3_rsync on this machine"
        host, folder = parted(target)
        there = paths.replica(Path(folder))
        process = await asyncio.create_subprocess_exec(
            program, os.fspath(self._db.path), f"{host}:{there}" if host else os.fspath(there),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        try:
            _, said = await asyncio.wait_for(process.communicate(), LIMIT)
        except TimeoutError:
            return f"it took over {LIMIT:.0f} s"
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        words = cut(clean(said.decode("utf-8", "replace").strip().removeprefix("ERROR: ")), 200)
        return None if process.returncode == 0 else words or f"sqlite3_rsync ended with {process.returncode}"


def _belongs(path: Path) -> str | None:
    """Whose copy the database at `path` says it is."""
    import sqlite3
    from contextlib import closing

    from db.files import read_only_uri

    try:
        with closing(sqlite3.connect(read_only_uri(path), uri=True)) as c:
            row = c.execute("SELECT origin FROM replicas").fetchone()
    except sqlite3.Error:
        return None
    return row[0] if row else None
