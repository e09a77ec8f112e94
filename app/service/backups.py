"""Backups as people ask for them and as the runtime takes them: where they lie, what travels along, what is run after each."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, TypeVar

from sqlalchemy import Connection

from app import config, paths
from app.core.clean import clean, cut
from app.core.upkeep import Backup as Settings
from app.errors import Conflict, Problem, Storage, Usage
from app.service.call import Call
from db import files, migrate, operations, restore, sql
from db.backup import keeping, room
from db.backup import restore_tool as tool
from db.backup.mirror import mirror
from db.backup.store import Backup, Fault, Store
from db.backup.taking import Rules, take
from db.errors import DiskFull, ReadOnlyDisk

Row = dict[str, Any]
T = TypeVar("T")
HOOK_SECONDS = 6 * 3600.0
"""How long the program that is run after a backup may take."""
SILENT = 1.0
"""Seconds until who waits for it is told so."""
LONG_ENOUGH = 60.0
"""Seconds for which who asked for a backup waits for it where a runtime is up, in which it goes on."""


UNKNOWN = "So it is not known where the backups lie."
"""What is said where the settings are wrong and may mean another folder."""


def settings() -> Settings:
    """The section `backup` of config.toml as it is now, with the default of what is wrong. Raises Usage while that may be the folder."""
    found = config.read(paths.config_file())
    if found.lost:
        raise Usage(f"{found.lost} {UNKNOWN}", "Mend it.")
    return found.upkeep.backup


def folder(home: Path, chosen: Settings) -> Path:
    """Where the backups of a home lie: in it, or in a folder of its own within the one of the settings, which all homes share.

    That one is named by the home and by where it really is: a home that was moved begins a new one, and the old one stays as it is.
    """
    return Path(chosen.folder) / tool.folder_name(os.path.realpath(home)) if chosen.folder else home / "backups"


def require_above(folder: Path, undone: str) -> None:
    """Raises Conflict where neither a folder is there nor the one in which it is to be made: its disk may be missing."""
    above = folder.parent
    if not folder.exists() and not above.is_dir():
        said = f"there is no folder {clean(str(above))}, in which {clean(folder.name)} is to be made. {undone}"
        raise Conflict(said, f"Is its disk mounted? Where there is to be none: mkdir -p {shlex.quote(str(above))}")


async def backup(call: Call, *, full: bool = False, to: str | None = None) -> Row:
    """Take one now: see `finished`; `to` is an absolute path of another folder, in which nothing is pruned."""
    taken, chosen = await take_asked(call, full, to, not (call.live and call.live.clock_doubt))
    if call.live is not None:
        if chosen:
            await mirrored(call, folder(call.home, chosen))
        await call.db.write(operations.record, call.by, "db backup", f"backup {taken.id}", after={"bytes": taken.bytes})
    return await finished(call, taken, chosen)


async def take_asked(call: Call, full: bool, to: str | None, prune: bool) -> tuple[Backup, Settings | None]:
    """Take one for somebody who asked, and the settings by which a program is run after it; None where none is. `prune`: the clock may say
    what is outdated. Raises Problem."""
    chosen = settings() if to is None else config.read(paths.config_file()).upkeep.backup
    if to is not None and (not to.startswith("/") or "\0" in to):
        raise Usage("the folder for a backup must be an absolute path. Nothing was done.")
    taken = await take_one(call, chosen if prune else replace(chosen, keep=None), full, Path(to) if to else None)
    return taken, chosen if to is None else None


async def finished(call: Call, taken: Backup, chosen: Settings | None) -> Row:
    """Run what is to be run after it; what `as_row` says, and `after`: what was wrong with that program, null when nothing was.
    Without a runtime the database is not looked at any more."""
    return {**as_row(taken), "after": await _after(call, chosen, taken) if chosen else None}


async def _after(call: Call, chosen: Settings, taken: Backup) -> str | None:
    """Run what is to be run after a backup, for somebody who waits for it, though not for hours; what went wrong until then."""
    name = clean(next(iter(chosen.after), ""))
    said = f"the backup {taken.id} is taken; waiting for {name}, which is run after it"
    patience = asyncio.get_running_loop().call_later(SILENT, call.note, said)
    running = asyncio.create_task(_recorded(call, chosen, taken))
    try:
        await asyncio.wait({running}, timeout=LONG_ENOUGH if call.live else None)
    except asyncio.CancelledError:
        running.cancel()
        raise
    finally:
        patience.cancel()
    if running.done():
        return running.result()
    _RUNNING.add(running)
    running.add_done_callback(_RUNNING.discard)
    call.note(f"{name} goes on; whether it failed will stand in: taskdeck operations")
    return None


_RUNNING: set[asyncio.Task[str | None]] = set()
"""Those that nobody waits for any more, so that they stay."""


async def _recorded(call: Call, chosen: Settings, taken: Backup) -> str | None:
    """Run it; what went wrong, which stands in the log of operations while a runtime is up."""
    wrong = await hook(call.home, chosen, taken.path.parent)
    if wrong and call.live is not None:
        with suppress(Problem):  # it is told all the same to who waits
            await call.db.write(operations.record, call.by, "db backup after", f"backup {taken.id}", after={"problem": wrong})
    return wrong


async def take_one(call: Call, chosen: Settings, full: bool = False, to: Path | None = None) -> Backup:
    """Take a backup by the settings, in a thread of its own; what restores and upgrades have put aside goes by the same rule. Raises
    Problem."""
    rules = Rules(chosen.full, chosen.increment, chosen.keep if to is None else None)
    beside = await _beside(call)
    where = to or folder(call.home, chosen)

    def work(step: Callable[[], None]) -> Backup:
        if to is not None or chosen.folder:
            require_above(to or Path(chosen.folder or ""), room.UNDONE)
        migrate.version_of(call.db.path)  # what has lost it could not be restored
        taken = take(call.db.path, where, rules, full, beside, step)
        if rules.keep is not None:
            with suppress(OSError):  # the next one tries again
                restore.prune_kept(call.db.path, rules.keep)
                migrate.prune(call.db.path, rules.keep)
        return taken

    return await _apart(work)


async def mirrored(call: Call, where: Path) -> None:
    """Have what lies there in the table of backups."""
    found = await asyncio.to_thread(Store(where, call.db.path).own)
    await call.db.write(mirror, found)


class GivenUp(Exception):
    """Nobody waits for the work any more."""


async def _apart(work: Callable[[Callable[[], None]], T]) -> T:
    """`work` in a thread, given what it is to call now and then; it is given up when whoever asked is cancelled."""
    over = threading.Event()

    def step() -> None:
        if over.is_set():
            raise GivenUp

    try:
        return await asyncio.to_thread(work, step)
    finally:
        over.set()


async def _beside(call: Call) -> dict[str, bytes]:
    """The user's settings and all definitions, as far as there are any to be had."""
    from app.service import definitions  # which would take most of the time of a command that only lists

    texts = {}
    with suppress(OSError):
        texts["config"] = config.contents(paths.config_file())
    with suppress(Problem, sqlite3.Error, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):  # a value may be damaged
        texts["definitions"] = (await definitions.export(call)).encode()
    return texts


async def backups(call: Call) -> list[Row]:
    """All of them, oldest first: see `as_row`."""
    return await asyncio.to_thread(listed, call.home)


async def verify(call: Call, *, id: str | None = None) -> Row:
    """See `checked`."""
    return await _apart(lambda step: checked(call.home, id, step))


def listed(home: Path) -> list[Row]:
    """The backups of a home, oldest first; neither database nor runtime is needed."""
    return [as_row(found) for found in within_reach(home).backups()]


def left_behind(home: Path) -> Row | None:
    """Good backups in the home while there is none in the folder that the settings name: {"path", "good", "at"}, path and time of the
    newest; None where there are none."""
    chosen = settings()
    database = paths.database(home)
    if chosen.folder is None or Store(folder(home, chosen), database).good():
        return None
    good = Store(home / "backups", database).good()
    return {"path": os.fspath(good[-1].path), "good": len(good), "at": good[-1].at} if good else None


def kept(home: Path) -> Row:
    """What restores and upgrades have put aside: {"files": [{path, at, bytes}], oldest first; "keep": seconds that all but the newest
    stay, or null}."""
    found = [{"path": os.fspath(one.path), "at": one.at, "bytes": one.bytes} for one in restore.all_kept(paths.database(home))]
    return {"files": found, "keep": settings().keep}


def store_of(home: Path, ident: str | None) -> Store:
    """Where the backup lies that a path names, which may be any folder; else that of the home."""
    where = os.path.dirname(ident or "")
    return Store(Path(os.path.abspath(where))) if where else within_reach(home)


def within_reach(home: Path) -> Store:
    """The backups of the home. Raises Storage where their folder is not there though some were taken, or cannot be made."""
    chosen, database = settings(), paths.database(home)
    where = folder(home, chosen)
    if _is_missing(where):
        above = Path(chosen.folder).parent if chosen.folder else where.parent
        if chosen.folder and _is_missing(Path(chosen.folder)) and _is_missing(above):
            said = f"the folder of the backups is out of reach: there is no {clean(str(above))}."
            raise Storage(said, f"Is its disk mounted? Where there is to be none: mkdir -p {shlex.quote(str(above))}")
        if (newest := _newest_told(database)) and not (home / "backups" / newest).exists():  # else the settings came after it
            raise Storage(f"the folder of the backups is gone: {clean(str(where))}.", "Is its disk mounted? Else: taskdeck db backup")
    return Store(where, database)


def _is_missing(path: Path) -> bool:
    """Whether nothing is there; what cannot be looked at is told by who opens it."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False


def _newest_told(database: Path) -> str | None:
    """The file of the newest good backup that the database tells of, where it can be read."""
    with suppress(*sql.FAILED):
        if database.exists():
            with closing(sqlite3.connect(files.undisturbed_uri(database), uri=True)) as c:
                row = c.execute(_GOOD).fetchone()
                return row[3] if row else None
    return None


def checked(home: Path, ident: str | None = None, step: Callable[[], None] = lambda: None) -> Row:
    """Build one backup up and check it, which an id, its first letters or a path names; without one check the files of all, and build
    up the newest.

    {"checked": how many, "bad": [{id, problem}], "odd": [{id, problem}], "strangers": [{id, of}], "doubtful": [{id, of}],
    "damaged_lines": numbers of the manifest's}. One that is found bad is told in the manifest, and counts no more. What is odd is no fault
    of the backup: it cannot be read as things stand, or what travels along is not as it was. Strangers are `of` the database of another
    home, and what is doubtful may be. Raises NoBackup and Storage.
    """
    store = store_of(home, ident)
    if not store.folder.is_dir():
        checked = len([store.find(ident)] if ident else store.backups())
        return {"checked": checked, "bad": [], "odd": [], "strangers": [], "doubtful": [], "damaged_lines": []}
    try:
        with keeping.alone(store.folder, step, room.UNCHECKED):
            return _checked(store, ident, step)
    except OSError as error:
        raise room.problem(store.folder, error, room.UNCHECKED) from None


def _checked(store: Store, ident: str | None, step: Callable[[], None]) -> Row:
    known = store.backups()
    asked = [store.find(ident)] if ident else known
    faults = [] if ident else list(store.damaged_files())
    bad = {fault.ident for fault in faults if fault.own}
    own = [one for one in asked if one.id not in bad and not (one.stranger or one.doubtful)]
    whole = asked[0] if ident else next(reversed(own), None)
    with suppress(OSError):  # the next backup sweeps
        keeping.clear(store.folder)
    try:
        faults += _built_up(store, whole, step) if whole else []
    except (DiskFull, ReadOnlyDisk) as refused:
        if not bad:
            many = f"{len(asked)} backup{'' if len(asked) == 1 else 's'}"
            well = "" if ident or faults else f"the files of {many} are well, but "
            raise type(refused)(f"{well}{refused.message}", refused.hint) from None
    wrong, odd = _by_backup(fault for fault in faults if fault.own), _by_backup(fault for fault in faults if not fault.own)
    for one in known:
        if one.id in wrong and one.problem is None:
            _mark_bad(store, one.id, wrong[one.id])
    told = {name: [{"id": ident, "problem": why} for ident, why in found.items()] for name, found in (("bad", wrong), ("odd", odd))}
    told["strangers"] = [{"id": one.id, "of": one.stranger} for one in asked if one.stranger]
    told["doubtful"] = [{"id": one.id, "of": one.doubtful} for one in asked if one.doubtful]
    return {"checked": len(asked), **told, "damaged_lines": store.damaged_lines()}


def _by_backup(faults: Iterable[Fault]) -> dict[str, str]:
    """What there is of each, by its id."""
    found: dict[str, dict[str, None]] = {}
    for fault in faults:
        found.setdefault(fault.ident, {})[fault.why] = None
    return {ident: "; ".join(whys) for ident, whys in found.items()}


def _built_up(store: Store, backup: Backup, step: Callable[[], None]) -> list[Fault]:
    """What is wrong with it as a whole, built up beside, or where temporary files go if that disk takes nothing. Raises DiskFull and
    ReadOnlyDisk where it cannot be built up."""
    needed = backup.pages * backup.page_size if backup.verified else 0
    try:
        room.require(store.folder, needed, room.UNCHECKED)
        return store.check(backup, keeping.image(store.folder, "verifying"), step)
    except (DiskFull, ReadOnlyDisk) as refused:
        with TemporaryDirectory(prefix="taskdeck-") as elsewhere:
            try:
                room.require(Path(elsewhere), needed, room.UNCHECKED)
            except DiskFull:
                raise refused from None
            return store.check(backup, Path(elsewhere) / "image", step)


def _mark_bad(store: Store, ident: str, why: str) -> None:
    """A disk that is full, or read-only, may take no line; the next check finds it again."""
    try:
        keeping.mark_bad(store.folder, ident, why)
    except OSError as error:
        if not isinstance(room.problem(store.folder, error), DiskFull | ReadOnlyDisk):
            raise


def as_row(backup: Backup) -> Row:
    """{id, kind, at, path, bytes, verified, base, problem, stranger, doubtful, unreadable}: `at` as stored, `bytes` of its file;
    `stranger`: the database of another home that it is of, null for one of our own; `doubtful`: one that it is of and that may be another
    home's; `unreadable`: what of it cannot be read."""
    return {
        "id": backup.id, "kind": backup.kind, "at": backup.at, "path": os.fspath(backup.path), "bytes": backup.bytes,
        "verified": backup.verified, "base": backup.base, "problem": backup.problem, "stranger": backup.stranger,
        "doubtful": backup.doubtful, "unreadable": list(backup.unreadable),
    }  # fmt: skip


LOOK_AGAIN = 2.0
"""Seconds for which a look at the files of the backups holds: their disk may be slow, and the board is asked for many times a second."""


class _Seen:
    """The newest good backup whose file is there, looked for again only after a while or when another was taken."""

    def __init__(self) -> None:
        self._of: tuple[Any, ...] = ()
        self._due = 0.0
        self._found: tuple[str | None, str] = (None, "")

    def there(self, c: Connection, folder: str, alone: Path | None = None) -> tuple[str | None, str]:
        """As `_newest_there`. While there is no runtime nobody keeps the table of backups, and the folder is looked at first, for the
        database `alone`."""
        of = (folder, alone, c.exec_driver_sql(f"{_GOOD} LIMIT 1").first())
        if self._of != of or monotonic() >= self._due:
            lying = _newest_lying(folder, alone) if alone else None
            found = (lying, "") if lying else _newest_there(c, folder)
            self._of, self._found, self._due = of, found, monotonic() + LOOK_AGAIN
        return self._found


NEWEST = _Seen()
_GOOD = "SELECT id, parent_id, created_at, file FROM backups WHERE verified_at IS NOT NULL AND problem IS NULL ORDER BY id DESC"


def _newest_lying(folder: str, database: Path) -> str | None:
    """The stored time of the newest good backup, as the folder tells it."""
    with suppress(Problem, OSError):  # what is wrong there is told by the files of those that the table knows
        return next((one.at for one in reversed(Store(Path(folder), database).good())), None)
    return None


def _newest_there(c: Connection, folder: str) -> tuple[str | None, str]:
    """The stored time of the newest good backup that is there, and ""; where none is, that of the newest, None for none yet, and why it is
    none any more."""
    rows = c.exec_driver_sql(_GOOD).all()
    by_id, whys = {row.id: row for row in rows}, []
    for row in rows:
        whys.append(_lacking(folder, row, by_id))
        if not whys[-1]:
            return row.created_at, ""
        if whys[-1] != FILE_GONE:  # the others lie there too
            break
    return (rows[0].created_at, whys[0]) if rows else (None, "")


def _lacking(folder: str, row: Any, by_id: dict[int, Any]) -> str:
    """Why a backup is none any more; "" while its file is there, and those of the ones that it is built upon."""
    why = _gone(os.path.join(folder, row.file))
    base = by_id.get(row.parent_id) if row.parent_id and row.parent_id < row.id else None
    return why or (_lacking(folder, base, by_id) if base is not None else "")


FILE_GONE = "its file is gone"


def _gone(path: str) -> str:
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return FILE_GONE if os.path.isdir(os.path.dirname(path)) else "its folder is gone"
    except OSError as error:
        return f"its folder cannot be read: {(error.strerror or 'unknown').lower()}"
    return ""


async def hook(home: Path, chosen: Settings, where: Path) -> str | None:
    """Run the program of the settings with the folder as its last word, when those of earlier backups of the home have ended; what went
    wrong, or None. Cancelled, it is ended."""
    if not chosen.after:
        return None
    async with _turn(home):
        return await _run(chosen, where)


LOOK_FOR_TURN = 0.05
"""Seconds between two looks whether the program of an earlier backup has ended, which another process may wait for."""


@asynccontextmanager
async def _turn(home: Path) -> AsyncIterator[None]:
    """Hold the folder of what runs for a home, as no file can be made on a full disk; without that folder nobody waits."""
    try:
        fd = os.open(home / "run", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        while not files.taken(fd):
            await asyncio.sleep(LOOK_FOR_TURN)
        yield
    finally:
        os.close(fd)


async def _run(chosen: Settings, where: Path) -> str | None:
    name = clean(chosen.after[0])
    try:
        process = await asyncio.create_subprocess_exec(
            *chosen.after, os.fspath(where), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        return f"{name}, which is run after a backup, cannot be started: {(error.strerror or 'unknown').lower()}"
    try:
        _, said = await asyncio.wait_for(process.communicate(), HOOK_SECONDS)
    except TimeoutError:
        return f"{name}, which is run after a backup, took over {HOOK_SECONDS / 3600:.0f} hours and was ended"
    finally:
        with suppress(ProcessLookupError):
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
    return _ended(name, process.returncode, said)


def _ended(name: str, code: int | None, said: bytes) -> str | None:
    if code == 0:
        return None
    last = cut(clean(said.decode("utf-8", "replace").strip().rpartition("\n")[2]), 120)
    return f"{name}, which is run after a backup, exited {code}" + (f": {last}" if last else "")
