"""The warm copy of the database on a second disk or host: sqlite3_rsync sends what differs, in a process of its own.

A second SQLite library in this process would drop the locks of the first; the program comes with the apsw package, of which nothing is
imported here.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import socket
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from app import paths
from app.core.clean import clean, cut
from app.errors import Conflict
from app.service.backups import require_above
from app.service.replica import parted
from db import clock, replicas, sql
from db.engine import Database
from db.replicas import Replica

LIMIT = 300.0
"""Seconds after which a copy is given up; the next one goes on from what it has done."""

OURS = frozenset({"run", "runs", "taskdeck.db.promoting", "lost+found"})
"""What may lie in the folder of a first copy: what a promotion that failed left, and what a file system makes."""

WORD = "taskdeck-promoted"
"""What another host says where a home lies."""

OF = f"{paths.REPLICA}.of"
"""The file on another host that names the home its copy is of."""

ASKING = 30.0
"""Seconds that another host may take to say what lies there."""

SSH_FAILED = 255
"""What ssh itself exits with; all else comes from the other host."""

UNSAID = "Databases were not synced due to errors"
"""What sqlite3_rsync says after the reason."""


def tool() -> str | None:
    """The program sqlite3_rsync, that of the apsw package first."""
    spec = find_spec("apsw")
    ours = Path(spec.origin).parent / "sqlite_extra_binaries" / "sqlite3_rsync" if spec and spec.origin else None
    return os.fspath(ours) if ours and os.access(ours, os.X_OK) else shutil.which("sqlite3_rsync")


def origin(home: Path) -> str:
    """How a copy names the home that it is of."""
    return f"{socket.gethostname()}:{os.path.realpath(home)}"


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
        elif of := await self._another(host, Path(folder)):
            raise Conflict(f"{target} has the copy of {of}. It was not touched.", "Choose another folder.")
        await self._db.write(replicas.choose, target, origin(self._home), by)
        return await self.sync()

    def _fits(self, folder: Path) -> None:
        real, home = os.path.realpath(folder), os.path.realpath(self._home)
        if real == home:
            raise Conflict(f"{folder} is the home itself; a copy belongs on another disk or host.")
        if real.startswith(home + os.sep):
            raise Conflict(f"{folder} lies in the home, and would be lost with it; a copy belongs on another disk or host.")
        there = paths.replica(folder)
        if paths.database(folder).exists():
            raise Conflict(f"{folder} is a home of its own. It was not touched.", "Choose an empty folder.")
        if there.exists() and _belongs(there) != origin(self._home):
            raise Conflict(f"{there} is there already and no copy of this home. It was not touched.", "Choose an empty folder.")
        require_above(folder, "Nothing was changed.")
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            if not there.exists() and (others := sorted({*os.listdir(folder)} - OURS)):
                said = f"{folder} holds other files, as {cut(clean(others[0]), 60)}. It was not touched."
                raise Conflict(said, "Choose an empty folder.")
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
        """Copy there; what kept it from its end. A copy that was promoted, be it meanwhile, is left alone."""
        program = tool()
        if program is None:
            return "there is no sqlite3_rsync on this machine"
        host, folder = parted(target)
        there = paths.replica(Path(folder))
        if problem := await self._in_the_way(host, Path(folder)):
            return problem
        code, _, said = await _run(LIMIT, program, os.fspath(self._db.path), f"{host}:{there}" if host else os.fspath(there))
        if code is None:
            return f"it took over {LIMIT:.0f} s"
        if code:
            return in_a_line(said) or f"sqlite3_rsync ended with {code}"
        return await self._in_the_way(host, Path(folder)) if not host else None

    async def _another(self, host: str, folder: Path) -> str | None:
        """Which other home the folder on another host is marked as the copy of. One that is not marked is marked as this home's; one that
        is not there, or whose host does not answer, is none's, and the copying tells."""
        of, mine = shlex.quote(os.fspath(folder / OF)), origin(self._home)
        asks = f"test -e {of} || printf '%s\\n' {shlex.quote(mine)} > {of}; cat {of}"
        with suppress(OSError):
            told = (await _run(ASKING, "ssh", "-e", "none", host, asks))[1].decode("utf-8", "replace").splitlines()
            return next((cut(clean(line), 100) for line in told if ":/" in line and line != mine), None)
        return None

    async def _in_the_way(self, host: str, folder: Path) -> str | None:
        """Why nothing is to be copied there: it was promoted, or its host cannot be asked."""
        database = paths.database(folder)
        if not host:
            return replicas.PROMOTED if database.exists() else None
        # A word is asked for, since a login that may run one program only exits as that program likes.
        asks = f"test -e {shlex.quote(os.fspath(database))} && echo {WORD}"
        try:
            code, told, said = await _run(ASKING, "ssh", "-e", "none", host, asks)
        except OSError as error:
            return f"ssh cannot be started: {(error.strerror or 'unknown').lower()}"
        if code is None:
            return f"{host} did not answer for {ASKING:.0f} s"
        if code == SSH_FAILED:
            return in_a_line(said) or f"ssh to {host} ended with {code}"
        return replicas.PROMOTED if WORD.encode() in told.split() else None


async def _run(limit: float, *words: str) -> tuple[int | None, bytes, bytes]:
    """Exit code (None: it took longer than `limit` seconds, and was ended), stdout and stderr. Raises OSError."""
    process = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        told, said = await asyncio.wait_for(process.communicate(), limit)
        return process.returncode, told, said
    except TimeoutError:
        return None, b"", b""
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def in_a_line(said: bytes) -> str:
    """What a program said on stderr, each line once: sqlite3_rsync calls ssh twice."""
    lines = [line.strip().removeprefix("ERROR: ") for line in said.decode("utf-8", "replace").splitlines()]
    found = [line for line in dict.fromkeys(lines) if line and line != UNSAID]
    return cut(clean("; ".join(found)), 200)


def _belongs(path: Path) -> str | None:
    """Whose copy the database at `path` says it is. Nothing is left beside it: a log would be there only while it is written to."""
    import sqlite3
    from contextlib import closing

    from db.files import undisturbed_uri

    try:
        with closing(sqlite3.connect(undisturbed_uri(path), uri=True)) as c:
            row = c.execute("SELECT origin FROM replicas").fetchone()
    except sql.FAILED:
        return None
    return row[0] if row else None
