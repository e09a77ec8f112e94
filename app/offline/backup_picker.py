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
from app.home.restore_advice import find_backup_folder
from app.offline.home_errors import translate_os_errors
from app.service.database.backup_files import open_store_for
from db import timestamps
from db.backup import restore_tool as tool
from db.backup.catalog import Backup, BackupCatalog, NoBackup
from db.restore import previous_databases


def parse_past_time(text: str) -> str:
    """A time that is over, as a person writes it, as it is stored. Raises ValueError with a sentence that can follow `--at`."""
    try:
        return tool.parse_past_time(text)
    except tool.RestoreError:
        raise ValueError(f"must be a time that is over, such as {tool.TIME_NOTATIONS}, not {units.quote(text)}") from None


def describe_choice(home: str, ident: str | None, at: str | None) -> dict[str, Any]:
    """The backup that is meant: id, kind, at. Raises NoBackup."""
    with translate_os_errors(home):
        return choose_backup(Path(home), ident, at).summary


class BackupChoice(NamedTuple):
    """What is to be restored: how it is `told`, how it is made, the bytes that it takes, the highest number that backups know to have been
    given, and the id of the last of the home's own."""

    summary: dict[str, Any]
    rebuild: Callable[[Path], None]
    size: int
    highest_number: int
    last_own_id: str

    @property
    def label(self) -> str:
        """As the log of operations names it."""
        return f"{'database' if self.summary['kind'] == 'kept' else 'backup'} {self.summary['id']}"


def choose_backup(home: Path, ident: str | None, at: str | None, any_home: bool = False) -> BackupChoice:
    """A backup by its id, its first letters or its file, which may lie anywhere, or what an earlier restore or upgrade has put aside by its
    file; without `ident` the newest good one, of the time `at` or before. Raises NoBackup, Storage, and Conflict for what is of another
    home, unless that is wanted (`any_home`) or its file was named."""
    where = find_backup_folder(home)
    own = BackupCatalog(where, paths.database_path(home)).list_own()
    highest = max((int(backup.facts.get("highest") or 0) for backup in own), default=0)
    last = own[-1].id if own else ""
    for one in previous_databases.list_previous(paths.database_path(home)):
        if ident is not None and (ident == one.path.name or os.path.realpath(ident) == os.path.realpath(one.path)):
            return BackupChoice({"id": one.path.name, "kind": "kept", "at": one.at}, one.copy_to, one.bytes, highest, last)
    store = open_store_for(home, ident)
    try:
        found = store.find_backup(ident, at)
    except NoBackup as none:
        if ident is not None and _is_database(ident):
            raise _make_database_error(ident) from None
        raise none if ident is not None else _add_upgrade_copy(home, at, none) from None
    if found.stranger and not any_home:
        raise _make_foreign_error(found)
    return BackupChoice(
        {"id": found.id, "kind": found.kind, "at": found.at}, lambda target: store.rebuild(found, target), found.pages * found.page_size,
        max(highest, int(found.facts.get("highest") or 0)), last,
    )  # fmt: skip


def _add_upgrade_copy(home: Path, at: str | None, none: NoBackup) -> NoBackup:
    """The same, with the newest copy from before an upgrade, of the time `at` or before, where there is one."""
    copies = [one for one in previous_databases.list_before_upgrades(paths.database_path(home)) if at is None or one.at <= at]
    if not copies:
        return none
    then, now = timestamps.parse_time(copies[-1].at), timestamps.utcnow()
    old = units.format_age((now - then).total_seconds())
    said = f"{none.message} There is a copy from before an upgrade: {units.format_clock_time(then, now)}, {old} old."
    return NoBackup(said, f"See what would change: taskdeck db restore --dry-run {copies[-1].path.name}")


def _make_foreign_error(found: Backup) -> Conflict:
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


def _make_database_error(path: str) -> NoBackup:
    """What to say of a file as `restoring.restore_to` makes one: it lacks what tells that a backup is whole."""
    file = shlex.quote(path)
    looked = f"mkdir -m 700 DIR && cp {file} DIR/taskdeck.db && taskdeck --home DIR ls"
    said = f"{path} is a database and no backup. Nothing was restored."
    return NoBackup(said, f"A backup is named by its ID: taskdeck db backups. To look into the file: {looked}")
