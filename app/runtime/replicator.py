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
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from weakref import WeakKeyDictionary

from app import paths
from app.core.text.sanitize import clean, cut
from app.errors import Conflict
from app.service.database.backup_files import require_above
from app.service.database.replica import parted
from db import timestamps
from db.engine import Database
from db.queries import home_identity, replicas
from db.queries.replicas import Replica
from db.restore import replica_file

LIMIT = 300.0
"""Seconds after which a copy is given up; the next one goes on from what it has done."""

OURS = frozenset({"run", "runs", "taskdeck.db.promoting", "lost+found"})
"""What may lie in the folder of a first copy: what a promotion that failed left, and what a file system makes."""

WORD = "taskdeck-promoted"
"""What another host says where a home lies."""

MARK = "taskdeck-of"
"""What it says before each line of the mark of a copy, and alone of one that has no mark and nothing in it of the home that asks."""

OF = f"{paths.REPLICA}.of"
"""The file on another host that tells of the home its copy is of: as a copy names it, and its UUID."""

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


@dataclass(frozen=True, slots=True)
class Lying:
    """What lies where a copy is to be made: whether it was `promoted`; which home the copy there is `of`, "" where that is not known but
    that it is none of ours, None where it is ours or there is none; the UUID of that `home`, "" where that is not known."""

    promoted: bool
    of: str | None
    home: str

    def whose(self) -> str:
        """Of which home it is, to be said after a name for it."""
        return f"has the copy of {cut(clean(self.of), 100)}" if self.of else "has a copy that is none of this home"


@dataclass(frozen=True, slots=True)
class Us:
    """The home that is copied: where it lies, its UUID, where it lay `before` as the last copy was begun, and whether none was made there
    yet since the place was chosen."""

    origin: str
    home: str
    before: str | None
    first: bool

    def may_have(self, found: Lying) -> bool:
        """Return whether the copy is of this home, or of none. Where a home was copied with its folder, both have the UUID: the one is told
        that the other has taken the place, unless a person has just chosen it."""
        if found.of is None:
            return True
        return found.home == self.home and (self.first or clean(found.of) in (clean(self.origin), clean(self.before or "")))

    @property
    def mark(self) -> tuple[str, str]:
        """What tells of us beside a copy."""
        return clean(self.origin), self.home

    @property
    def marks(self) -> str:
        """What the shell in its folder is to do to mark a copy as ours."""
        return f"printf '%s\\n' {shlex.join(self.mark)} > {OF}"

    @property
    def trace(self) -> str:
        """What only a copy of ours has in it: in its row a time follows the UUID."""
        return f"{self.home}20"


_TURNS: WeakKeyDictionary[Database, asyncio.Lock] = WeakKeyDictionary()
"""One copies at a time: the place of another would be told to have what went to the one before."""


class Replicating:
    """Copies the database of a home to where it is to be copied."""

    def __init__(self, db: Database, home: Path) -> None:
        self._db, self._home = db, home
        self._turn = _TURNS.setdefault(db, asyncio.Lock())

    async def choose(self, target: str | None, by: str) -> Replica | None:
        """Copy there from now on, and once at once. Raises Conflict for what cannot be, and where no copy can be made there while a good
        one is elsewhere, which goes on."""
        if target is None:
            await self._db.write(replicas.choose, None, origin(self._home), by)
            return None
        if tool() is None:
            raise Conflict("there is no sqlite3_rsync on this machine.", f"Type: {shlex.quote(sys.executable)} -m pip install apsw")
        host, folder = parted(target)
        us = await self._us(None)
        problem = await self._far(target, us) if host else await asyncio.to_thread(self._fits, Path(folder), us)
        async with self._turn:
            if good := await self._good_elsewhere(target):
                problem = problem or await self._copy(host, Path(folder))
                if problem:
                    raise Conflict(f"no copy can be made in {target}: {problem}. The one in {good} goes on.", "Choose another place.")
            await self._db.write(replicas.choose, target, us.origin, by)
            return await self._sync()

    async def _good_elsewhere(self, target: str) -> str | None:
        """Where a good copy is that would be given up for one at `target`."""
        replica = await self._db.read(replicas.find)
        good = replica is not None and replica.target != target and replica.synced_at and not replica.problem
        return replica.target if replica and good else None

    async def _far(self, target: str, us: Us) -> str | None:
        """Why the other host cannot be asked what lies there. Raises Conflict for what cannot be."""
        found = await self._asked(*_place(target), us)
        if isinstance(found, str):
            return found
        if found.promoted:
            raise Conflict(f"{target} is a home of its own. It was not touched.", "Choose an empty folder.")
        if not us.may_have(found):
            raise Conflict(f"{target} {found.whose()}. It was not touched.", f"Choose another folder, or remove {paths.REPLICA} there.")
        return None

    async def _us(self, replica: Replica | None) -> Us:
        uuid = await self._db.read(home_identity.read)
        return Us(origin(self._home), uuid or "", replica.origin if replica else None, replica is None or replica.synced_at is None)

    def _fits(self, folder: Path, us: Us) -> None:
        real, home = os.path.realpath(folder), os.path.realpath(self._home)
        if real == home:
            raise Conflict(f"{folder} is the home itself; a copy belongs on another disk or host.")
        if real.startswith(home + os.sep):
            raise Conflict(f"{folder} lies in the home, and would be lost with it; a copy belongs on another disk or host.")
        there = paths.replica(folder)
        if paths.database(folder).exists():
            raise Conflict(f"{folder} is a home of its own. It was not touched.", "Choose an empty folder.")
        if there.exists() and not ((found := _lying(folder)).of and us.may_have(found)):
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
        async with self._turn:
            return await self._sync()

    async def _sync(self) -> Replica | None:
        replica = await self._db.read(replicas.find)
        if replica is None:
            return None
        began = timestamps.now()
        problem = await self._in_the_way(*_place(replica.target), await self._us(replica))
        if problem is None:  # what is not copied leaves where the home lay when it last was
            await self._db.write_quietly(replicas.begin, began, origin(self._home))
            problem = await self._copy(*_place(replica.target))
        await self._db.write_quietly(replicas.end, began, problem)
        return await self._db.read(replicas.find)

    async def _copy(self, host: str, folder: Path) -> str | None:
        """Copy there; what kept it from its end. One that was promoted meanwhile is told as that."""
        program = tool()
        if program is None:
            return "there is no sqlite3_rsync on this machine"
        there = paths.replica(folder)
        code, _, said = await _run(LIMIT, program, os.fspath(self._db.path), f"{host}:{there}" if host else os.fspath(there))
        if code is None:
            return f"it took over {LIMIT:.0f} s"
        if code:
            return in_a_line(said) or f"sqlite3_rsync ended with {code}"
        return replicas.PROMOTED if not host and paths.database(folder).exists() else None

    async def _in_the_way(self, host: str, folder: Path, us: Us) -> str | None:
        """Why nothing is to be copied there: it was promoted, it has the copy of another home, or its host cannot be asked. A mark that
        says where the home lay before is made anew."""
        found = await (self._asked(host, folder, us) if host else asyncio.to_thread(_lying, folder))
        if isinstance(found, str):
            return found
        if found.promoted:
            return replicas.PROMOTED
        if not us.may_have(found):
            return f"it {found.whose()}. Remove {paths.REPLICA} there, or choose another folder"
        if host and found.of is not None and (found.of, found.home) != us.mark:
            with suppress(OSError):  # the next one does it
                await _run(ASKING, "ssh", "-e", "none", host, _shell(f"cd {_quoted(folder)} && {us.marks}"))
        return None

    async def _asked(self, host: str, folder: Path, us: Us) -> Lying | str:
        """What lies there on another host, or why that cannot be known. A folder without a copy, whose mark then says nothing, and one
        with a copy of ours without a mark are marked as ours; where that fails the copying tells why, or it is done the next time."""
        there, of = paths.REPLICA, OF
        # Words are asked for, since a login that may run one program only exits, and says, as that program likes.
        asks = (
            f"cd {_quoted(folder)} || exit 0; test -e {paths.DATABASE} && echo {WORD} && exit 0; "
            f"if test -e {there} && test -s {of}; then sed 's/^/{MARK} /' {of}; "
            f"elif test -e {there} && ! grep -qF -e {us.trace} {there}; then echo {MARK}; else {us.marks}; fi"
        )
        try:
            code, told, said = await _run(ASKING, "ssh", "-e", "none", host, _shell(asks))
        except OSError as error:
            return f"ssh cannot be started: {(error.strerror or 'unknown').lower()}"
        if code is None:
            return f"{host} did not answer for {ASKING:.0f} s"
        if code == SSH_FAILED:
            return in_a_line(said) or f"ssh to {host} ended with {code}"
        lines = told.decode("utf-8", "replace").splitlines()
        mark = [line.removeprefix(MARK).strip() for line in lines if line.startswith(MARK)]
        return Lying(WORD in lines, mark[0] if mark else None, mark[1] if mark[1:] else "")


def _place(target: str) -> tuple[str, Path]:
    host, folder = parted(target)
    return host, Path(folder)


def _quoted(path: Path) -> str:
    return shlex.quote(os.fspath(path))


def _shell(script: str) -> str:
    """A script for the plain shell, whatever the one of the login is."""
    return f"sh -c {shlex.quote(script)}"


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


def _lying(folder: Path) -> Lying:
    """What lies in a folder of this machine."""
    of, home = replica_file.whose(paths.replica(folder)) if paths.replica(folder).exists() else (None, None)
    return Lying(paths.database(folder).exists(), of, home or "")
