"""Backup verbs, and the backups that the runtime takes.

A backup includes the settings and definitions. A configured program may run after each backup.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from app import config, paths
from app.core.maintenance_settings import BackupSettings as Settings
from app.core.text.sanitize import sanitize, truncate
from app.errors import Problem, Usage
from app.service.context import Call
from app.service.database.backup_files import (
    Row,
    check_backups,
    get_folder,
    list_backups,
    read_settings,
    require_parent,
    to_row,
)
from app.translation import tr
from db import sqlite_files
from db.backup import space_errors
from db.backup.catalog import Backup, BackupCatalog
from db.backup.create import BackupRules, take_backup
from db.engine import Connection
from db.maintenance import migrate
from db.queries.history import operations
from db.queries.home.backups import find_newest_good, list_good, write_backup_rows
from db.restore import previous_databases

T = TypeVar("T")
AFTER_PROGRAM_TIMEOUT = 6 * 3600.0
"""Time limit of the after-program, in seconds."""
NOTICE_DELAY = 1.0
"""Seconds until a waiting caller is notified."""
MAX_WAIT = 60.0
"""Seconds that a caller waits for the after-program while a runtime is running."""


async def backup(call: Call, *, full: bool = False, to: str | None = None) -> Row:
    """Take a backup now and return it as `finish_backup` does.

    `to` is the absolute path of another folder, in which nothing is pruned.
    """
    taken, chosen = await take_requested(call, full, to, not (call.live and call.live.clock_doubt))
    if call.live is not None:
        if chosen:
            await update_table(call, get_folder(call.home, chosen))
        await call.db.write(
            operations.record,
            call.by,
            "db backup",
            f"backup {taken.id}",
            after={"bytes": taken.bytes},
        )
    return await finish_backup(call, taken, chosen)


async def take_requested(
    call: Call, full: bool, to: str | None, prune: bool
) -> tuple[Backup, Settings | None]:
    """Take a backup for a user. Return it with the settings for its after-program.

    The settings are None if no program runs. `prune` is false while the clock is in doubt. Raise
    Problem.
    """
    chosen = (
        read_settings() if to is None else config.read(paths.get_config_path()).maintenance.backup
    )
    if to is not None and (not to.startswith("/") or "\0" in to):
        raise Usage("the folder for a backup must be an absolute path. Nothing was done.")
    taken = await take_one_backup(
        call, chosen if prune else replace(chosen, keep=None), full, Path(to) if to else None
    )
    return taken, chosen if to is None else None


async def finish_backup(call: Call, taken: Backup, chosen: Settings | None) -> Row:
    """Run the after-program. Return the backup row with `after`, its error or None.

    Without a runtime the database is not read any more.
    """
    return {
        **to_row(taken),
        "after": await _run_after_program(call, chosen, taken) if chosen else None,
    }


async def _run_after_program(call: Call, chosen: Settings, taken: Backup) -> str | None:
    """Run the after-program and return its error so far.

    A caller with a runtime waits at most `MAX_WAIT`; the program then continues.
    """
    name = sanitize(next(iter(chosen.after), ""))
    notice = tr(
        "backup {id} is complete; waiting for the after-program {name}", id=taken.id, name=name
    )
    notice_timer = asyncio.get_running_loop().call_later(NOTICE_DELAY, call.note, notice)
    running = asyncio.create_task(_run_and_record(call, chosen, taken))
    try:
        await asyncio.wait({running}, timeout=MAX_WAIT if call.live else None)
    except asyncio.CancelledError:
        running.cancel()
        raise
    finally:
        notice_timer.cancel()
    if running.done():
        return running.result()
    _RUNNING.add(running)
    running.add_done_callback(_RUNNING.discard)
    call.note(tr("{name} continues; a failure will be listed in: taskdeck operations", name=name))
    return None


_RUNNING: set[asyncio.Task[str | None]] = set()
"""References to programs without a waiter, against garbage collection."""


async def _run_and_record(call: Call, chosen: Settings, taken: Backup) -> str | None:
    """Run the after-program and return its error.

    While a runtime is running, record the error in the operation log, as an act of its own.
    """
    wrong = await run_hook(call.home, chosen, taken.path.parent)
    if wrong and call.live is not None:
        with suppress(Problem):  # The waiting caller receives the error anyway.
            await call.db.write(
                operations.record,
                operations.Actor.copy_actor(call.by),
                "db backup after",
                f"backup {taken.id}",
                after={"problem": wrong},
            )
    return wrong


async def take_one_backup(
    call: Call,
    chosen: Settings,
    full: bool = False,
    to: Path | None = None,
    compare_indexes: bool = False,
) -> Backup:
    """Take a backup with these settings, in a thread of its own.

    A full one can also compare indexes with rows, which doubles its time. Files put aside by
    restores and upgrades are pruned by the same rule. Raise Problem.
    """
    rules = BackupRules(chosen.full, chosen.increment, chosen.keep if to is None else None)
    attachments = await _read_attachments(call)
    where = to or get_folder(call.home, chosen)

    def work(step: Callable[[], None]) -> Backup:
        if to is not None or chosen.folder:
            require_parent(to or Path(chosen.folder or ""), space_errors.NO_BACKUP_TAKEN)
        # This raises for a database without its version, whose backup could not be restored.
        migrate.read_version(call.db.path)
        taken = take_backup(call.db.path, where, rules, full, attachments, step, compare_indexes)
        if rules.keep is not None:
            with suppress(OSError):  # The next backup tries again.
                previous_databases.prune_previous(call.db.path, rules.keep)
        return taken

    return await _run_in_thread(work)


async def update_table(call: Call, where: Path) -> None:
    """Update the table of backups from a folder."""
    found = await asyncio.to_thread(BackupCatalog(where, call.db.path).list_own)
    await call.db.write(write_backup_rows, found)


class BackupCancelledError(Exception):
    """The caller no longer waits for the work."""


async def _run_in_thread(work: Callable[[Callable[[], None]], T]) -> T:
    """Run `work` in a thread and stop it when the caller is cancelled.

    `work` receives a step function to call regularly.
    """
    is_cancelled = threading.Event()

    def step() -> None:
        if is_cancelled.is_set():
            raise BackupCancelledError

    try:
        return await asyncio.to_thread(work, step)
    finally:
        is_cancelled.set()


async def _read_attachments(call: Call) -> dict[str, bytes]:
    """Return the settings and all definitions, as far as they can be read."""
    # The import dominates the time of a command that only lists.
    from app.service.definitions import apply

    texts = {}
    with suppress(OSError):
        texts["config"] = config.read_regular_file(paths.get_config_path())
    # A stored value may be damaged.
    with suppress(
        Problem, sqlite3.Error, ArithmeticError, AttributeError, LookupError, TypeError, ValueError
    ):
        texts["definitions"] = (await apply.export(call)).encode()
    return texts


async def list_all(call: Call) -> list[Row]:
    """Return all backups, oldest first, as rows."""
    return await asyncio.to_thread(list_backups, call.home)


async def verify(call: Call, *, id: str | None = None) -> Row:
    """Check backups and return the result of `check_backups`."""
    return await _run_in_thread(lambda step: check_backups(call.home, id, step))


NEWEST_TTL = 2.0
"""Seconds for which a look at the backup files is valid."""


class NewestBackup:
    """Cache of the newest good backup whose file exists.

    The cache is refreshed after a while, or when another backup was taken.
    """

    def __init__(self) -> None:
        self._of: tuple[Any, ...] = ()
        self._due = 0.0
        self._found: tuple[str | None, str] = (None, "")

    def find_existing(
        self, c: Connection, folder: str, database: Path | None = None
    ) -> tuple[str | None, str]:
        """Return the result of `_find_newest_existing`, cached.

        Without a runtime nobody updates the table of backups. With the path `database` of the
        database, the backup folder is therefore read first.
        """
        key = (folder, database, find_newest_good(c))
        if self._of != key or monotonic() >= self._due:
            newest_in_folder = _find_newest_in_folder(folder, database) if database else None
            found = (newest_in_folder, "") if newest_in_folder else _find_newest_existing(c, folder)
            self._of, self._found, self._due = key, found, monotonic() + NEWEST_TTL
        return self._found


NEWEST = NewestBackup()


def _find_newest_in_folder(folder: str, database: Path) -> str | None:
    """Return the stored time of the newest good backup in the folder, or None."""
    # Problems in the folder show up in the files that the table names.
    with suppress(Problem, OSError):
        return next(
            (one.at for one in reversed(BackupCatalog(Path(folder), database).list_good())), None
        )
    return None


def _find_newest_existing(c: Connection, folder: str) -> tuple[str | None, str]:
    """Return the time of the newest good backup that exists, and "".

    If none exists, return the time of the newest recorded one, or None, and the reason.
    """
    rows = list_good(c)
    by_id, whys = {row.id: row for row in rows}, []
    for row in rows:
        whys.append(_find_gap(folder, row, by_id))
        if not whys[-1]:
            return row.created_at, ""
        if whys[-1] != FILE_GONE:  # The other backups exist as well.
            break
    return (rows[0].created_at, whys[0]) if rows else (None, "")


def _find_gap(folder: str, row: Any, by_id: dict[int, Any]) -> str:
    """Return why a backup is unusable, or "" if its file and all its bases exist."""
    why = _find_file_problem(os.path.join(folder, row.file))
    base = by_id.get(row.parent_id) if row.parent_id and row.parent_id < row.id else None
    return why or (_find_gap(folder, base, by_id) if base is not None else "")


FILE_GONE = "its file is gone"


def _find_file_problem(path: str) -> str:
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return FILE_GONE if os.path.isdir(os.path.dirname(path)) else tr("its folder is gone")
    except OSError as error:
        return tr(
            "its folder cannot be read: {reason}", reason=(error.strerror or "unknown").lower()
        )
    return ""


async def run_hook(home: Path, chosen: Settings, where: Path) -> str | None:
    """Run the after-program with the folder as its last argument.

    Programs of earlier backups of the home finish first. Return the error or None. Kill the program
    when cancelled.
    """
    if not chosen.after:
        return None
    async with _hook_lock(home):
        return await _run_program(chosen, where)


LOCK_POLL_INTERVAL = 0.05
"""Seconds between two attempts to get the lock, which another process may hold."""


@asynccontextmanager
async def _hook_lock(home: Path) -> AsyncIterator[None]:
    """Lock the run folder of a home while the after-program runs.

    The folder itself is locked, as a full disk takes no new file. Without the folder nobody waits.
    """
    try:
        fd = os.open(home / "run", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        while not sqlite_files.try_lock(fd):
            await asyncio.sleep(LOCK_POLL_INTERVAL)
        yield
    finally:
        os.close(fd)


async def _run_program(chosen: Settings, where: Path) -> str | None:
    name = sanitize(chosen.after[0])
    try:
        process = await asyncio.create_subprocess_exec(
            *chosen.after, os.fspath(where), stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        return (
            f"{name}, which is run after a backup, cannot be started:"
            f" {(error.strerror or 'unknown').lower()}"
        )
    try:
        _, said = await asyncio.wait_for(process.communicate(), AFTER_PROGRAM_TIMEOUT)
    except TimeoutError:
        return (
            f"{name}, which is run after a backup, took over {AFTER_PROGRAM_TIMEOUT / 3600:.0f}"
            " hours and was ended"
        )
    finally:
        with suppress(ProcessLookupError):
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
    return _describe_exit(name, process.returncode, said)


def _describe_exit(name: str, code: int | None, said: bytes) -> str | None:
    if code == 0:
        return None
    last = truncate(sanitize(said.decode("utf-8", "replace").strip().rpartition("\n")[2]), 120)
    return f"{name}, which is run after a backup, exited {code}" + (f": {last}" if last else "")
