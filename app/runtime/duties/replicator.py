"""Replicator: syncs the database to another disk or host with sqlite3_rsync.

The program runs as a subprocess. A second SQLite library in this process would drop the locks of
the first. The program comes with the apsw package, which is never imported here.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from weakref import WeakKeyDictionary

from app import paths
from app.core.text.sanitize import sanitize, truncate
from app.errors import Conflict
from app.extras import make_install_command
from app.service.database.backup_files import require_parent
from app.service.database.replica import split_target
from db import timestamps
from db.engine import Database
from db.queries.home import home_identity, replicas
from db.queries.home.replicas import Replica
from db.restore import replica_file

SYNC_TIMEOUT = 300.0
"""Maximum seconds of a sync; the next one continues."""

ALLOWED_ENTRIES = frozenset({"run", "runs", "taskdeck.db.promoting", "lost+found"})
"""Allowed entries of a new target: leftovers of a failed promotion, and files of a file system."""

PROMOTED_REPLY = "taskdeck-promoted"
"""Reply of another host whose folder is a home."""

LOST_UUID = "the database has lost the UUID of its home"
REPAIR_HINT = "repair it: taskdeck db check --repair"
MARK_PREFIX = "taskdeck-of"
"""Prefix of mark lines in the reply; alone on a line, it means a replica without a mark and without
traces of this home."""

MARK_FILE = f"{paths.REPLICA}.of"
"""File on another host with the origin of the replica and the UUID of its home."""

QUERY_TIMEOUT = 30.0
"""Maximum seconds for the reply of another host."""

SSH_FAILED = 255
"""Exit code of ssh itself; other codes come from the other host."""

IGNORED_ERROR = "Databases were not synced due to errors"
"""Final error line of sqlite3_rsync, without the reason."""


def find_rsync_tool() -> str | None:
    """Return the path of sqlite3_rsync, preferably from the apsw package, or None."""
    spec = find_spec("apsw")
    ours = (
        Path(spec.origin).parent / "sqlite_extra_binaries" / "sqlite3_rsync"
        if spec and spec.origin
        else None
    )
    return os.fspath(ours) if ours and os.access(ours, os.X_OK) else shutil.which("sqlite3_rsync")


def format_origin(home: Path) -> str:
    """Return the name of this home in its replica."""
    return f"{socket.gethostname()}:{os.path.realpath(home)}"


@dataclass(frozen=True, slots=True)
class TargetState:
    """Content of a replication target.

    `promoted` means that a home is there. `origin` is the origin of the replica there: "" if
    unknown, None without a replica or for an unmarked one of this home. `home` is the UUID of its
    home, "" if unknown.
    """

    promoted: bool
    origin: str | None
    home: str

    def describe_owner(self) -> str:
        """Describe the owner of the replica, to follow its name."""
        return (
            f"has the replica of {truncate(sanitize(self.origin), 100)}"
            if self.origin
            else "has a replica of another home"
        )


@dataclass(frozen=True, slots=True)
class HomeIdentity:
    """Identity of the home to replicate.

    `home` is its UUID. `last_origin` is its location at the start of the last sync, or None.
    `is_first_sync` is True until a sync to the current target has succeeded.
    """

    origin: str
    home: str
    last_origin: str | None
    is_first_sync: bool

    def owns(self, found: TargetState) -> bool:
        """Return True if the target belongs to this home or to none.

        A moved home keeps its UUID, but a copied home has the same one. A matching UUID alone is
        therefore accepted only for a target that the user has just chosen. The other home then
        notices the change.
        """
        if found.origin is None:
            return True
        return found.home == self.home and (
            self.is_first_sync
            or sanitize(found.origin) in (sanitize(self.origin), sanitize(self.last_origin or ""))
        )

    @property
    def mark_lines(self) -> tuple[str, str]:
        """Lines of the mark file beside the replica."""
        return sanitize(self.origin), self.home

    @property
    def mark_command(self) -> str:
        """Shell command that writes the mark file in the current folder."""
        return f"printf '%s\\n' {shlex.join(self.mark_lines)} > {MARK_FILE}"

    @property
    def fingerprint(self) -> str:
        """Text that only a copy of this home contains: its UUID, then the year of its row."""
        return f"{self.home}20"


_LOCKS: WeakKeyDictionary[Database, asyncio.Lock] = WeakKeyDictionary()
"""One sync at a time per database, so that no target gets the result of another."""


class Replicator:
    """Replication of a home's database to its configured target."""

    def __init__(self, db: Database, home: Path) -> None:
        self._db, self._home = db, home
        self._lock = _LOCKS.setdefault(db, asyncio.Lock())

    async def choose_target(self, target: str | None, by: str) -> Replica | None:
        """Set the target and sync once.

        Raise Conflict for an invalid target, and if the first sync fails while a good replica
        exists elsewhere. That replica stays in use.
        """
        if target is None:
            await self._db.write(replicas.set_target, None, format_origin(self._home), by)
            return None
        if find_rsync_tool() is None:
            raise Conflict(
                "there is no sqlite3_rsync on this machine.",
                "Install: {command}",
                command=make_install_command("replica"),
            )
        host, folder = split_target(target)
        identity = await self._read_identity(None)
        problem = (
            await self._check_remote(target, identity)
            if host
            else await asyncio.to_thread(self._check_local, Path(folder), identity)
        )
        async with self._lock:
            if good := await self._find_good_elsewhere(target):
                problem = problem or await self._run_sync(host, Path(folder))
                if problem:
                    raise Conflict(
                        "no replica can be made in {target}: {problem}. The one in {good}"
                        " stays in use.",
                        "Choose another place.",
                        target=target,
                        problem=problem,
                        good=good,
                    )
            await self._db.write(replicas.set_target, target, identity.origin, by)
            return await self._sync_locked()

    async def _find_good_elsewhere(self, target: str) -> str | None:
        """Return the target of a good replica that a change to `target` would give up."""
        replica = await self._db.read(replicas.find_replica)
        good = (
            replica is not None
            and replica.target != target
            and replica.synced_at
            and not replica.problem
        )
        return replica.target if replica and good else None

    async def _check_remote(self, target: str, identity: HomeIdentity) -> str | None:
        """Return why the other host cannot be queried, or None.

        Raise Conflict for an invalid target.
        """
        found = await self._query_remote(*_split_target(target), identity)
        if isinstance(found, str):
            return found
        if found.promoted:
            raise Conflict(
                "{target} is a home of its own. It was not touched.",
                "Choose an empty folder.",
                target=target,
            )
        if not identity.owns(found):
            raise Conflict(
                "{target} {owner}. It was not touched.",
                "Choose another folder, or remove {file} there.",
                target=target,
                owner=found.describe_owner(),
                file=paths.REPLICA,
            )
        return None

    async def _read_identity(self, replica: Replica | None) -> HomeIdentity:
        uuid = await self._db.read(home_identity.read)
        if uuid is None:
            raise Conflict(f"{LOST_UUID}. Nothing was replicated.", REPAIR_HINT)
        return HomeIdentity(
            format_origin(self._home),
            uuid,
            replica.origin if replica else None,
            replica is None or replica.synced_at is None,
        )

    def _check_local(self, folder: Path, identity: HomeIdentity) -> None:
        real, home = os.path.realpath(folder), os.path.realpath(self._home)
        if real == home:
            raise Conflict(
                "{folder} is the home itself; a replica belongs on another disk or host.",
                folder=folder,
            )
        if real.startswith(home + os.sep):
            raise Conflict(
                "{folder} is inside the home and would be lost with it; a replica belongs on"
                " another disk or host.",
                folder=folder,
            )
        replica_path = paths.get_replica_path(folder)
        if paths.get_database_path(folder).exists():
            raise Conflict(
                "{folder} is a home of its own. It was not touched.",
                "Choose an empty folder.",
                folder=folder,
            )
        if replica_path.exists() and not (
            (found := _read_local_target(folder)).origin and identity.owns(found)
        ):
            raise Conflict(
                "{path} exists and is not a replica of this home. It was not touched.",
                "Choose an empty folder.",
                path=replica_path,
            )
        require_parent(folder, "Nothing was changed.")
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            if not replica_path.exists() and (
                others := sorted({*os.listdir(folder)} - ALLOWED_ENTRIES)
            ):
                message = (
                    f"{folder} holds other files, as {truncate(sanitize(others[0]), 60)}. It was"
                    " not touched."
                )
                raise Conflict(message, "Choose an empty folder.")
        except OSError as error:
            raise Conflict(
                "{folder} cannot be made: {reason}.",
                folder=folder,
                reason=(error.strerror or "unknown").lower(),
            ) from None

    async def sync(self) -> Replica | None:
        """Sync now and record the result; return None if there is no target."""
        async with self._lock:
            return await self._sync_locked()

    async def _sync_locked(self) -> Replica | None:
        replica = await self._db.read(replicas.find_replica)
        if replica is None:
            return None
        began = timestamps.now()
        try:
            identity = await self._read_identity(replica)
        except Conflict:
            problem = f"{LOST_UUID}; {REPAIR_HINT}"
        else:
            problem = await self._find_obstacle(*_split_target(replica.target), identity)
        if problem is None:  # without a sync, the location of the last one stays recorded
            await self._db.write_quietly(replicas.record_start, began, format_origin(self._home))
            problem = await self._run_sync(*_split_target(replica.target))
        await self._db.write_quietly(replicas.record_end, began, problem)
        return await self._db.read(replicas.find_replica)

    async def _run_sync(self, host: str, folder: Path) -> str | None:
        """Sync and return the problem, or None. A target promoted meanwhile is a problem."""
        program = find_rsync_tool()
        if program is None:
            return "there is no sqlite3_rsync on this machine"
        replica_path = paths.get_replica_path(folder)
        code, _, stderr = await _run_program(
            SYNC_TIMEOUT,
            program,
            os.fspath(self._db.path),
            f"{host}:{replica_path}" if host else os.fspath(replica_path),
        )
        if code is None:
            return f"the sync took more than {SYNC_TIMEOUT:.0f} s"
        if code:
            return join_error_lines(stderr) or f"sqlite3_rsync ended with {code}"
        return (
            replicas.PROMOTED_PROBLEM
            if not host and paths.get_database_path(folder).exists()
            else None
        )

    async def _find_obstacle(self, host: str, folder: Path, identity: HomeIdentity) -> str | None:
        """Return why the target must not be written, or None.

        The target was promoted or belongs to another home, or its host cannot be queried. An
        outdated mark is rewritten.
        """
        found = await (
            self._query_remote(host, folder, identity)
            if host
            else asyncio.to_thread(_read_local_target, folder)
        )
        if isinstance(found, str):
            return found
        if found.promoted:
            return replicas.PROMOTED_PROBLEM
        if not identity.owns(found):
            return (
                f"the folder {found.describe_owner()}. Remove {paths.REPLICA} there, or choose"
                " another folder"
            )
        if host and found.origin is not None and (found.origin, found.home) != identity.mark_lines:
            with suppress(OSError):  # the next sync repeats it
                await _run_program(
                    QUERY_TIMEOUT,
                    "ssh",
                    "-e",
                    "none",
                    host,
                    _wrap_in_sh(f"cd {_quote_path(folder)} && {identity.mark_command}"),
                )
        return None

    async def _query_remote(
        self, host: str, folder: Path, identity: HomeIdentity
    ) -> TargetState | str:
        """Return the content of a target on another host, or why it is unknown.

        Mark an empty target, or a replica of this home without a mark. If marking fails, the sync
        reports the cause or the next sync marks the target.
        """
        # The reply uses words instead of exit codes: a login restricted to one program exits and
        # prints as that program does.
        script = (
            f"cd {_quote_path(folder)} || exit 0; test -e {paths.DATABASE} && echo {PROMOTED_REPLY}"
            f" && exit 0; if test -e {paths.REPLICA} && test -s {MARK_FILE};"
            f" then sed 's/^/{MARK_PREFIX} /' {MARK_FILE};"
            f" elif test -e {paths.REPLICA}"
            f" && ! grep -qF -e {identity.fingerprint} {paths.REPLICA};"
            f" then echo {MARK_PREFIX};"
            f" else {identity.mark_command}; fi"
        )
        try:
            code, stdout, stderr = await _run_program(
                QUERY_TIMEOUT, "ssh", "-e", "none", host, _wrap_in_sh(script)
            )
        except OSError as error:
            return f"ssh cannot be started: {(error.strerror or 'unknown').lower()}"
        if code is None:
            return f"{host} did not answer for {QUERY_TIMEOUT:.0f} s"
        if code == SSH_FAILED:
            return join_error_lines(stderr) or f"ssh to {host} ended with {code}"
        lines = stdout.decode("utf-8", "replace").splitlines()
        mark = [
            line.removeprefix(MARK_PREFIX).strip() for line in lines if line.startswith(MARK_PREFIX)
        ]
        return TargetState(
            PROMOTED_REPLY in lines, mark[0] if mark else None, mark[1] if mark[1:] else ""
        )


def _split_target(target: str) -> tuple[str, Path]:
    host, folder = split_target(target)
    return host, Path(folder)


def _quote_path(path: Path) -> str:
    return shlex.quote(os.fspath(path))


def _wrap_in_sh(script: str) -> str:
    """Wrap a script for plain sh, whatever the login shell is."""
    return f"sh -c {shlex.quote(script)}"


async def _run_program(limit: float, *words: str) -> tuple[int | None, bytes, bytes]:
    """Run a program; return its exit code, stdout and stderr. Raise OSError.

    The exit code is None if the program exceeded `limit` seconds and was killed.
    """
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        stdout, stderr = await asyncio.wait_for(process.communicate(), limit)
        return process.returncode, stdout, stderr
    except TimeoutError:
        return None, b"", b""
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def join_error_lines(stderr: bytes) -> str:
    """Join the lines of stderr without duplicates. sqlite3_rsync calls ssh twice."""
    lines = [
        line.strip().removeprefix("ERROR: ")
        for line in stderr.decode("utf-8", "replace").splitlines()
    ]
    found = [line for line in dict.fromkeys(lines) if line and line != IGNORED_ERROR]
    return truncate(sanitize("; ".join(found)), 200)


def _read_local_target(folder: Path) -> TargetState:
    """Return the content of a local target folder."""
    of, home = (
        replica_file.find_origin(paths.get_replica_path(folder))
        if paths.get_replica_path(folder).exists()
        else (None, None)
    )
    return TargetState(paths.get_database_path(folder).exists(), of, home or "")
