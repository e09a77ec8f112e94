"""Backup picker: resolves an id, a file, a time or a kept database to one backup."""

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
from app.translation import tr
from db import timestamps
from db.backup import restore_tool as tool
from db.backup.catalog import Backup, BackupCatalog, NoBackup
from db.restore import previous_databases


def parse_past_time(text: str) -> str:
    """Return the stored form of a past time.

    Raise ValueError with a message that continues from `--at`.
    """
    try:
        return tool.parse_past_time(text)
    except tool.RestoreError:
        raise ValueError(
            f"must be a past time, such as {tool.TIME_NOTATIONS}, not {units.quote(text)}"
        ) from None


def describe_choice(home: str, ident: str | None, at: str | None) -> dict[str, Any]:
    """Return id, kind and time of the chosen backup. Raise NoBackup."""
    with translate_os_errors(home):
        return choose_backup(Path(home), ident, at).summary


class BackupChoice(NamedTuple):
    """Backup chosen for a restore.

    `summary` holds its id, kind and time. `rebuild` writes the database, which has `size` bytes.
    `highest_number` is the highest task number known to backups. `last_own_id` is the id of the
    home's newest own backup, or "".
    """

    summary: dict[str, Any]
    rebuild: Callable[[Path], None]
    size: int
    highest_number: int
    last_own_id: str

    @property
    def label(self) -> str:
        """Name in the operation log."""
        is_kept = self.summary["kind"] == "kept"
        return tr("database {id}" if is_kept else "backup {id}", id=self.summary["id"])


def choose_backup(
    home: Path, ident: str | None, at: str | None, any_home: bool = False
) -> BackupChoice:
    """Return a backup by id, first letters or file, or a kept database by its file.

    Without `ident`, return the newest good backup at or before the time `at`. Raise NoBackup,
    Storage, and Conflict for a backup of another home, unless its file was given or `any_home` is
    set.
    """
    where = find_backup_folder(home)
    own = BackupCatalog(where, paths.get_database_path(home)).list_own()
    highest = max((int(backup.facts.get("highest") or 0) for backup in own), default=0)
    last = own[-1].id if own else ""
    for one in previous_databases.list_previous(paths.get_database_path(home)):
        if ident is not None and (
            ident == one.path.name or os.path.realpath(ident) == os.path.realpath(one.path)
        ):
            return BackupChoice(
                {"id": one.path.name, "kind": "kept", "at": one.at},
                one.copy_to,
                one.bytes,
                highest,
                last,
            )
    store = open_store_for(home, ident)
    try:
        found = store.find_backup(ident, at)
    except NoBackup as none:
        if ident is not None and _is_database(ident):
            raise _make_database_error(ident) from None
        if ident is not None:
            raise
        raise _add_foreign_backup(store, _add_upgrade_copy(home, at, none)) from None
    if found.stranger and not any_home:
        raise _make_foreign_error(found)
    return BackupChoice(
        {"id": found.id, "kind": found.kind, "at": found.at},
        lambda target: store.rebuild(found, target), found.pages * found.page_size,
        max(highest, int(found.facts.get("highest") or 0)), last,
    )  # fmt: skip


def _add_upgrade_copy(home: Path, at: str | None, problem: NoBackup) -> NoBackup:
    """Extend the error with the newest copy from before an upgrade, if there is one."""
    copies = [
        one
        for one in previous_databases.list_before_upgrades(paths.get_database_path(home))
        if at is None or one.at <= at
    ]
    if not copies:
        return problem
    copied_at, now = timestamps.parse_time(copies[-1].at), timestamps.utcnow()
    old = units.format_age((now - copied_at).total_seconds())
    said = tr(
        "{problem} There is a copy from before an upgrade: {time}, {old} old.",
        problem=problem.message,
        time=units.format_clock_time(copied_at, now),
        old=old,
    )
    return NoBackup(said, f"Preview: taskdeck db restore --dry-run {copies[-1].path.name}")


def _add_foreign_backup(store: BackupCatalog, problem: NoBackup) -> NoBackup:
    """Extend the error with the newest backup of another home, if there is one."""
    foreign = [backup for backup in store.list_backups() if backup.stranger and backup.verified]
    if not foreign:
        return problem
    newest = foreign[-1]
    return NoBackup(
        "{problem} Another home's backup is there: {id} of {stranger}.",
        "To turn this home into that one: taskdeck db restore {path}",
        problem=problem.message,
        id=newest.id,
        stranger=newest.stranger,
        path=_quote_path(newest),
    )


def _quote_path(backup: Backup) -> str:
    return shlex.quote(os.fspath(backup.path))


def _make_foreign_error(backup: Backup) -> Conflict:
    message = tr(
        "the backup {id} belongs to another home ({stranger}). Nothing was restored.",
        id=backup.id,
        stranger=backup.stranger,
    )
    return Conflict(
        message,
        f"To restore into a file: taskdeck db restore {backup.id} --to FILE."
        f" To turn this home into that one: taskdeck db restore {_quote_path(backup)}",
    )


def _is_database(path: str) -> bool:
    if not os.path.isfile(path):  # reading a pipe would block
        return False
    try:
        with open(path, "rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except OSError:
        return False


def _make_database_error(path: str) -> NoBackup:
    """Return the error for a database file, such as `restore_to_file` writes.

    Such a file lacks the data that proves a backup complete.
    """
    file = shlex.quote(path)
    inspect_command = f"mkdir -m 700 DIR && cp {file} DIR/taskdeck.db && taskdeck --home DIR ls"
    said = tr("{path} is a database, not a backup. Nothing was restored.", path=path)
    return NoBackup(
        said, f"List backups: taskdeck db backups. To inspect the file: {inspect_command}"
    )
