"""Which backup is meant: by its id, its file or its time, or what an earlier restore or upgrade has kept."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from app import paths
from app.core.text import units
from app.errors import Conflict
from app.home.restore_advice import folder
from app.offline.home_errors import usable
from app.service.database.backup_files import store_of
from db import timestamps
from db.backup import restore_tool as tool
from db.backup.catalog import Backup, NoBackup, Store
from db.restore import previous_databases


def moment(text: str) -> str:
    """A time that is over, as a person writes it, as it is stored. Raises ValueError with a sentence that can follow `--at`."""
    try:
        return tool.stored_time(text)
    except tool.Unknown:
        raise ValueError(f"must be a time that is over, such as {tool.TIMES}, not {units.quoted(text)}") from None


def named(home: str, ident: str | None, at: str | None) -> dict[str, Any]:
    """The backup that is meant: id, kind, at. Raises NoBackup."""
    with usable(home):
        return chosen(Path(home), ident, at).told


class Chosen(NamedTuple):
    """What is to be restored: how it is `told`, how it is made, the bytes that it takes, the highest number that backups know to have been
    given, and the id of the last of the home's own."""

    told: dict[str, Any]
    rebuild: Callable[[Path], None]
    size: int
    highest: int
    last: str

    @property
    def what(self) -> str:
        """As the log of operations names it."""
        return f"{'database' if self.told['kind'] == 'kept' else 'backup'} {self.told['id']}"


def chosen(home: Path, ident: str | None, at: str | None, any_home: bool = False) -> Chosen:
    """A backup by its id, its first letters or its file, which may lie anywhere, or what an earlier restore or upgrade has put aside by its
    file; without `ident` the newest good one, of the time `at` or before. Raises NoBackup, Storage, and Conflict for what is of another
    home, unless that is wanted (`any_home`) or its file was named."""
    where = folder(home)
    own = Store(where, paths.database(home)).own()
    highest = max((int(backup.facts.get("highest") or 0) for backup in own), default=0)
    last = own[-1].id if own else ""
    for one in previous_databases.all_kept(paths.database(home)):
        if ident is not None and (ident == one.path.name or os.path.realpath(ident) == os.path.realpath(one.path)):
            return Chosen({"id": one.path.name, "kind": "kept", "at": one.at}, one.copy, one.bytes, highest, last)
    store = store_of(home, ident)
    try:
        found = store.find(ident, at)
    except NoBackup as none:
        if ident is not None and _is_database(ident):
            raise _no_backup(ident) from None
        raise none if ident is not None else _or_a_copy(home, at, none) from None
    if found.stranger and not any_home:
        raise _of_another(found)
    return Chosen(
        {"id": found.id, "kind": found.kind, "at": found.at}, lambda target: store.rebuild(found, target), found.pages * found.page_size,
        max(highest, int(found.facts.get("highest") or 0)), last,
    )  # fmt: skip


def _or_a_copy(home: Path, at: str | None, none: NoBackup) -> NoBackup:
    """The same, with the newest copy from before an upgrade, of the time `at` or before, where there is one."""
    copies = [one for one in previous_databases.before_upgrades(paths.database(home)) if at is None or one.at <= at]
    if not copies:
        return none
    then, now = timestamps.parse(copies[-1].at), timestamps.utcnow()
    old = units.age((now - then).total_seconds())
    said = f"{none.message} There is a copy from before an upgrade: {units.clock(then, now)}, {old} old."
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
    """What to say of a file as `restoring.restore_to` makes one: it lacks what tells that a backup is whole."""
    file = shlex.quote(path)
    looked = f"mkdir -m 700 DIR && cp {file} DIR/taskdeck.db && taskdeck --home DIR ls"
    said = f"{path} is a database and no backup. Nothing was restored."
    return NoBackup(said, f"A backup is named by its ID: taskdeck db backups. To look into the file: {looked}")
