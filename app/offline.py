"""Reading without a runtime, and the verbs that need there to be none."""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError

from app import paths
from app.core import amounts
from app.errors import Conflict, NotFound, Storage
from app.runtime.advice import advised
from app.runtime.inplace import check_in_place, note_quiet, quiet_since
from app.service import checking, given, traces
from app.service.call import Call
from db import check as checks
from db import clock, legible, migrate, restore
from db.backup import restore_tool as tool
from db.backup.store import Backup, NoBackup, Store
from db.engine import memory_database, open_database, write_engine
from db.errors import BehindDatabase, DamagedDatabase, OlderDatabase, UnnamedDatabase, damaged
from db.operations import By


@contextmanager
def _usable(home: str) -> Iterator[None]:
    """Says in words what the system refuses."""
    try:
        with advised(Path(home)):
            yield
    except OSError as error:
        why = (error.strerror or "unknown").lower()
        raise Storage(f"the home {home} cannot be used: {why}. Nothing was done.", "Choose another: --home DIR") from None


def read(home: str, verb: str, args: dict[str, Any]) -> Any:
    """What a reading verb answers from the database as it lies there; a home that was never used reads as a fresh one.

    Raises DamagedDatabase where there was a database and is none.
    """
    with _usable(home):
        found = asyncio.run(_read(Path(home), verb, args))
        if verb == "status" and (state := _ails(Path(home))):
            found["database"]["state"] = state
        return found


def _ails(home: Path) -> str:
    """What is wrong with the database, which a look at its figures does not tell, where the last runtime did not let go of it in peace;
    empty when nothing is."""
    from app.runtime.fresh import unsure

    if _behind(home):
        return "DAMAGED"
    if not unsure(home):
        return ""
    with checks.reading(paths.database(home)) as c:
        return next(iter(legible.lines(c.execute, legible.IN_USE, checking.JUDGES)), "")


async def _read(home: Path, verb: str, args: dict[str, Any]) -> Any:
    from app.service.verbs import answer  # all of them, which nobody else here needs

    async with _opened(home) as call:
        return await answer(call, verb, args)


@asynccontextmanager
async def _opened(home: Path, note: Callable[[str], None] = lambda text: None) -> AsyncIterator[Call]:
    """A call on the database as it lies there."""
    path = paths.database(home)
    check_in_place(home)
    opened = open_database(path, writable=False) if migrate.version_of(path) is not None else memory_database(_seed)
    try:
        async with opened as db:
            yield Call(db, "", home, note=note)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, DBAPIError) as error:
        _blame(path, error)
        raise


def _blame(path: Path, error: Exception) -> None:
    """Raises Storage when what came up at reading may come of what is wrong with the file, or of its version, rather than of a mistake of
    ours."""
    if (version := migrate.version_of(path)) is None:
        return
    if version != migrate.HEAD:
        raise OlderDatabase(path, version, migrate.HEAD) from error
    if not (wrong := checks.check(path, checking.JUDGES)):
        return
    if checks.damage(path):
        raise damaged(path, wrong[0]) from error
    raise Storage(f"the database is not in order ({wrong[0]}): {path}.", "See all of it: taskdeck db check") from error


def _seed(c: Any) -> None:
    from db.seed import seed

    seed(c)


def migrate_home(home: str) -> list[str]:
    """Make or upgrade the database, while no runtime has the home; what was done. Raises DamagedDatabase."""
    from app.runtime.fresh import prepare, refuse_behind
    from app.runtime.lock import hold_lock

    with _usable(home):
        paths.make_home(Path(home))
        with hold_lock(Path(home)):
            restore.sweep(paths.database(Path(home)))
            check_in_place(Path(home))
            if migrate.version_of(paths.database(Path(home))) not in (None, migrate.HEAD):
                refuse_behind(Path(home))  # as a start is
            done = prepare(Path(home))
            if not done:  # what is made anew, or upgraded from a copy that was checked, has been read
                checks.quick(paths.database(Path(home)))
                refuse_behind(Path(home))
            return done


def check_home(home: str) -> list[str]:
    """What is wrong with the whole database; nothing when it is well."""
    from app.runtime.lock import held

    path = paths.database(Path(home))
    with _usable(home):
        _look_there(path)
        return checking.examine(Path(home), held(Path(home)))


def advice(home: str) -> str:
    """What can be done about the database where its file is damaged or it lacks what was written last, which no mending can derive; else
    empty."""
    from app.runtime.advice import advice
    from app.runtime.lock import held

    place = Path(home)
    if checks.damage(paths.database(place)):
        return str(advice(place, DamagedDatabase("the database is damaged.")))
    if not held(place) and checking.lacking(place):
        return str(advice(place, BehindDatabase("the database lacks what was written last.")))
    return ""


def refuse_start(home: str) -> None:
    """Raises BehindDatabase where the next runtime would be kept from starting by what is missing: what can be told of that at once."""
    with _usable(home):
        if lost := _behind(Path(home)):
            raise checks.behind(paths.database(Path(home)), lost[0])


def _behind(home: Path) -> list[str]:
    """What is missing where the last runtime did not let go of the database in peace; nothing while there is one."""
    from app.runtime.fresh import unsure
    from app.runtime.lock import held

    return checking.lacking(home) if unsure(home) and not held(home) else []


def _look_there(path: Path) -> None:
    """Raises NotFound while there is no database yet, DamagedDatabase where there was one."""
    check_in_place(path.parent)
    if migrate.version_of(path) is None:
        raise _none_yet(path.parent)


def _none_yet(home: Path) -> NotFound:
    return NotFound(f"there is no database in {home} yet.", "The first submit makes one.")


def repair_home(home: str) -> dict[str, Any]:
    """Mend what can be derived, while no runtime has the home: `done`, and `problems` that are left. Raises RuntimeExists."""
    from app.runtime.lock import hold_lock, user_name

    path = paths.database(Path(home))
    with _usable(home), hold_lock(_made(Path(home))):
        restore.sweep(path)
        check_in_place(Path(home))
        by = By(user_name(os.getuid()))
        done = _written(path, checking.name_version, by) if checks.is_unnamed(path) else []
        try:
            version = migrate.version_of(path)
        except UnnamedDatabase as unnamed:
            raise damaged(path, f"{unnamed.why}, and not all else of it is as in this version") from None
        if version is None:
            raise _none_yet(Path(home))
        if version != migrate.HEAD:
            raise OlderDatabase(path, version, migrate.HEAD)
        if not (checks.damage(path) or checking.lacking(Path(home))):
            done += _written(path, checking.mend, checking.logs_of_nobody(Path(home)), by, checking.highest(Path(home)))
        problems = checking.examine(Path(home), False)
    return {"ok": not problems, "done": done, "problems": problems}


def _made(home: Path) -> Path:
    """The home, made around a database that may have come alone. Raises NotFound where there is neither, and DamagedDatabase where there
    was one."""
    if paths.database(home).exists():
        paths.make_home(home)
    elif not (home / "run").is_dir():
        check_in_place(home)
        raise _none_yet(home)
    return home


def _written(path: Path, mend: Callable[..., list[str]], *more: Any) -> list[str]:
    """What `mend(c, …)` did in one transaction."""
    engine = write_engine(path)
    try:
        with engine.begin() as c:
            return mend(c, *more)
    finally:
        engine.dispose()


Told = dict[str, Any]
"""What a restore would change: the backup, before, after, carried, present, restored, kept."""


def restore_home(
    home: str, ident: str | None, at: str | None, agree: Callable[[Told], bool], trial: bool = False, asks: bool = False
) -> Told:
    """Put a backup in the place of the database, if `agree` says so to what that would change; a `trial` only says it. Where it `asks` a
    person, nobody is kept from the home until there is an answer.

    `ident`: which one (see `_chosen`), else the newest good one, of the stored time `at` or before. Raises RuntimeExists while a runtime
    is up, but for a trial, Conflict when something else would change after the answer, BadBackup, NoBackup, Storage.
    """
    place = Path(home)
    with _usable(home):
        chosen = _chosen(place, ident, at)
        paths.make_home(place)
        if asks:
            _refuse_while_held(place)
        if trial or asks:
            with _prepared(place, chosen, trial=True) as (_, told):
                shown = told
            if not agree(shown) or trial:
                return shown
            agree = _unchanged_since(shown)
        with _alone(place), _prepared(place, chosen) as (ready, told):
            if not agree(told):
                return told
            given.pass_over(place, ready.carried.next - 1, ready.carried.passed_over)
            kept = restore.put_in_place(ready, paths.database(place))
        return told | {"restored": True, "kept": None if kept is None else str(kept)}


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Hold the runtime's lock. Raises RuntimeExists."""
    from app.runtime.lock import RuntimeExists, hold_lock

    try:
        with hold_lock(home):
            yield
    except RuntimeExists as runtime:
        raise RuntimeExists(f"{runtime.message} Nothing was restored.", "First: taskdeck stop") from None


def _refuse_while_held(home: Path) -> None:
    """Raises RuntimeExists, before anything is asked."""
    from app.runtime.lock import held

    if held(home):
        with _alone(home):
            pass


def _unchanged_since(shown: Told) -> Callable[[Told], bool]:
    """Agrees to what was shown, and to nothing else."""

    def agree(told: Told) -> bool:
        if told != shown:
            raise Conflict("something has changed since you were asked. Nothing was restored.", "See it: taskdeck db restore --dry-run")
        return True

    return agree


def moment(text: str) -> str:
    """A time that is over, as a person writes it, as it is stored. Raises ValueError with a sentence that can follow `--at`."""
    try:
        return tool.stored_time(text)
    except tool.Unknown:
        raise ValueError(f"must be a time that is over, such as {tool.TIMES}, not {amounts.quoted(text)}") from None


def named(home: str, ident: str | None, at: str | None) -> dict[str, Any]:
    """The backup that is meant: id, kind, at. Raises NoBackup."""
    with _usable(home):
        return _chosen(Path(home), ident, at).told


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What is to be restored: how it is `told`, how it is made, the bytes that it takes, the highest number that is known to have been
    given, what was passed over, and the id of the last of the home's own."""

    told: dict[str, Any]
    rebuild: restore.Rebuild
    size: int
    highest: int
    passed: Sequence[tuple[int, int]]
    last: str

    @property
    def what(self) -> str:
        """As the log of operations names it."""
        return f"{'database' if self.told['kind'] == 'kept' else 'backup'} {self.told['id']}"


def _chosen(home: Path, ident: str | None, at: str | None, any_home: bool = False) -> _Chosen:
    """A backup by its id, its first letters or its file, which may lie anywhere, or what an earlier restore or upgrade has put aside by its
    file; without `ident` the newest good one, of the time `at` or before. Raises NoBackup, Storage, and Conflict for what is of another
    home, unless that is wanted (`any_home`) or its file was named."""
    from app.runtime.advice import folder
    from app.service.backups import store_of

    where = folder(home)
    own = Store(where, paths.database(home)).own()
    noted = given.read(home)
    highest = max([noted.highest, *(int(backup.facts.get("highest") or 0) for backup in own)])
    last = own[-1].id if own else ""
    for one in restore.all_kept(paths.database(home)):
        if ident is not None and (ident == one.path.name or os.path.realpath(ident) == os.path.realpath(one.path)):
            return _Chosen({"id": one.path.name, "kind": "kept", "at": one.at}, one.copy, one.bytes, highest, noted.passed, last)
    store = store_of(home, ident)
    try:
        found = store.find(ident, at)
    except NoBackup as none:
        if ident is not None and _is_database(ident):
            raise _no_backup(ident) from None
        raise none if ident is not None else _or_a_copy(home, at, none) from None
    if found.stranger and not any_home:
        raise _of_another(found)
    return _Chosen(
        {"id": found.id, "kind": found.kind, "at": found.at}, lambda target: store.rebuild(found, target), found.pages * found.page_size,
        max(highest, int(found.facts.get("highest") or 0)), noted.passed, last,
    )  # fmt: skip


def _or_a_copy(home: Path, at: str | None, none: NoBackup) -> NoBackup:
    """The same, with the newest copy from before an upgrade, of the time `at` or before, where there is one."""
    copies = [one for one in restore.before_upgrades(paths.database(home)) if at is None or one.at <= at]
    if not copies:
        return none
    then, now = clock.parse(copies[-1].at), clock.utcnow()
    old = amounts.age((now - then).total_seconds())
    said = f"{none.message} There is a copy from before an upgrade: {amounts.clock(then, now)}, {old} old."
    return NoBackup(said, f"See what would change: taskdeck db restore --dry-run {copies[-1].path.name}")


def _of_another(found: Backup) -> Conflict:
    """What to say of a backup that was put among those of the home."""
    said = f"the backup {found.id} is of another home ({found.stranger}). Nothing was restored."
    all_the_same = f"To make this that home all the same: taskdeck db restore {shlex.quote(os.fspath(found.path))}"
    return Conflict(said, f"Into a file: taskdeck db restore {found.id} --to FILE. {all_the_same}")


def _is_database(path: str) -> bool:
    if not os.path.isfile(path):  # a pipe would be waited for
        return False
    try:
        with open(path, "rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except OSError:
        return False


def _no_backup(path: str) -> NoBackup:
    """What to say of a file as `restore_to` makes one: it lacks what tells that a backup is whole."""
    file = shlex.quote(path)
    looked = f"mkdir -m 700 DIR && cp {file} DIR/taskdeck.db && taskdeck --home DIR ls"
    said = f"{path} is a database and no backup. Nothing was restored."
    return NoBackup(said, f"A backup is named by its ID: taskdeck db backups. To look into the file: {looked}")


@contextmanager
def _prepared(home: Path, chosen: _Chosen, trial: bool = False) -> Iterator[tuple[restore.Prepared, Told]]:
    """What may take the place of the database, and what that would change."""
    from app.runtime.lock import held, user_name

    with restore.prepared(
        chosen.rebuild, paths.database(home), chosen.size, lambda: traces.traces(home), chosen.highest, By(user_name(os.getuid())),
        chosen.what, trial, quiet_since(home, chosen.last), lambda path: not (trial and held(home)) and bool(checking.lacking(home, path)),
        chosen.passed,
    ) as ready:  # fmt: skip
        yield ready, {"backup": chosen.told, **ready.told(), "restored": False, "kept": None}


def restore_to(home: str, ident: str | None, at: str | None, target: str) -> dict[str, Any]:
    """Make a file of its own of a backup, which may be done at any time. Raises Conflict when the file is there already, NotFound where
    its folder is not."""
    with _usable(home):
        for there in (target, *(f"{target}{ending}" for ending in restore.BESIDE)):  # SQLite would take a log for that of the new file
            if os.path.lexists(there):
                raise Conflict(f"{there} is there already. Nothing was restored.", "Choose another name: --to FILE")
        where = os.path.dirname(target)
        if not os.path.isdir(where):
            raise NotFound(f"there is no folder {where}. Nothing was restored.", "Make it first, or choose another: --to FILE")
        if os.path.basename(target) in paths.DATABASES or Path(home).resolve() in Path(where).resolve().parents:
            said = f"{target} would be a file of a home. Nothing was restored."
            raise Conflict(said, "In the place of the database: taskdeck db restore. Beside it: --to FILE, of another name elsewhere.")
        if not os.access(where, os.W_OK):
            raise Storage(f"nothing can be written into {where}. Nothing was restored.", "Choose another folder: --to FILE")
        chosen = _chosen(Path(home), ident, at, any_home=True)
        stand = restore.image(chosen.rebuild, Path(target), chosen.size, chosen.what)
    return {"backup": chosen.told, "to": target, "after": asdict(stand)}


def refuse_copy(home: str) -> None:
    """Raises Conflict where the copy of another home lies, which is no home yet."""
    from app.runtime import replicating

    with _usable(home):
        replicating.refuse_copy(Path(home))


def copy_at(home: str) -> dict[str, Any]:
    """What the copy at `home` says of itself: origin, at, highest, running. Raises NotFound and Conflict."""
    from db import promote

    path = paths.replica(Path(home))
    with _usable(home):
        if paths.database(Path(home)).exists():
            raise Conflict(f"{home} is a home of its own already.")
        if not path.exists():
            raise NotFound(f"there is no replica in {home}.", "Name the folder of the copy: --home DIR")
        return promote.look(path)._asdict()


def promote_home(home: str) -> int:
    """Make the copy at `home` a home of its own; the last number that counts as given. Raises NotFound and Conflict: it may be one since
    a person was asked."""
    from app.runtime.lock import hold_lock, user_name
    from db import promote

    with _usable(home):
        paths.make_home(Path(home))
        with hold_lock(Path(home)):
            restore.sweep(paths.database(Path(home)))
            copy_at(home)
            return promote.promote(paths.replica(Path(home)), paths.database(Path(home)), user_name(os.getuid()))


def backup(home: str, args: dict[str, Any], note: Callable[[str], None]) -> dict[str, Any]:
    """Take a backup while no runtime has the home: what the verb db.backup answers; `note` is told what is waited for. Raises
    RuntimeExists."""
    logging.basicConfig(format="taskdeck: %(message)s")  # what a runtime writes down, a person is told
    with _usable(home):
        _look_there(paths.database(Path(home)))
        paths.make_home(Path(home))
        return asyncio.run(_backup(Path(home), note, **args))


async def _backup(home: Path, note: Callable[[str], None], full: bool = False, to: str | None = None) -> dict[str, Any]:
    """The program that is run after it may take hours, for which no runtime is kept out."""
    from app.runtime.lock import hold_lock
    from app.runtime.steady import Steady, last_sample
    from app.service import backups

    steady = Steady()
    with hold_lock(home):
        async with _opened(home, note) as call:
            steady.begin(await call.db.read(last_sample))
            taken, chosen = await backups.take_asked(call, full, to, steady.look())
        if to is None:
            note_quiet(home, taken.id)
    return await backups.finished(call, taken, chosen)


def require_folder() -> None:
    """Raises Usage while it is not known where backups lie, as the settings are wrong."""
    from app.service.backups import settings

    settings()


def backups(home: str) -> list[dict[str, Any]]:
    """The backups of a home, oldest first. The database is not looked at: it may be what is damaged."""
    from app.service.backups import listed

    return listed(Path(home))


def left_behind(home: str) -> dict[str, Any] | None:
    """Backups that lie where the settings look no longer; see `service.backups.left_behind`."""
    from app.service.backups import left_behind

    return left_behind(Path(home))


def kept(home: str) -> dict[str, Any]:
    """What restores and upgrades have put aside; see `service.backups.kept`."""
    from app.service.backups import kept

    with _usable(home):
        return kept(Path(home))


def verify(home: str, ident: str | None) -> dict[str, Any]:
    """Check one backup, or all and what upgrades have kept; see `service.backups.checked`, and "copies": [{id, problem}], null where there
    is none. The database is not looked at."""
    from app.service.backups import checked

    found = checked(Path(home), ident)
    with _usable(home):
        copies = restore.before_upgrades(paths.database(Path(home))) if ident is None else []
        return found | {"copies": [{"id": one.path.name, "problem": restore.wrong_with(one)} for one in copies]}
