"""The backups of a folder, as its manifest and their own headers tell them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

from db import sql
from db.backup import restore_tool as tool
from db.backup import room
from db.errors import Problem, Storage
from db.files import undisturbed_uri


class NoBackup(Problem):
    """There is no such backup."""

    code = "not-found"
    exit_code = 3


class BadBackup(Storage):
    """A backup that cannot be used; `ident` is the one that is at fault."""

    code = "bad-backup"

    def __init__(self, ident: str, why: str) -> None:
        super().__init__(f"the backup {ident} is bad: {why}.", "See which are good: taskdeck db backups")
        self.ident, self.why = ident, why


class Backup(NamedTuple):
    """One backup. `kind` is full or increment; `base`: what an increment is built upon; `at`: its time as stored; `bytes`: of its
    file; `sha256`: of the whole database file; `facts`: rows, last_event, revision, highest and newest_task; `stranger`: where the database
    of another home lies that it is of, None for one of our own; `doubtful`: where one lies that may be another home's, None where it is
    known whose it is; `unreadable`: what of it cannot be read, though it can be restored."""

    id: str
    kind: str
    at: str
    base: str | None
    path: Path
    bytes: int
    pages: int
    page_size: int
    sha256: str
    verified: bool
    problem: str | None
    facts: Mapping[str, Any]
    stranger: str | None = None
    doubtful: str | None = None
    unreadable: tuple[str, ...] = ()


class Fault(NamedTuple):
    """Something about a backup; `own`: it is bad for that, which is not so where it cannot be read now, or where what travels along is
    not as it was."""

    ident: str
    why: str
    own: bool


class Store:
    """Reads one folder of backups, which need not exist, for the home whose `database` is named; without it all are its own."""

    def __init__(self, folder: Path, database: Path | None = None) -> None:
        self.folder, self._database = folder, database

    def entries(self) -> list[dict[str, Any]]:
        """All of them as the tool tells them, oldest first. Raises Storage."""
        try:
            if not self.folder.is_dir() and os.path.lexists(self.folder):
                raise room.no_folder(self.folder)
            return tool.entries(str(self.folder))
        except OSError as error:
            raise room.problem(self.folder, error) from None

    def backups(self) -> list[Backup]:
        """All of them, oldest first, those of other homes too."""
        found = self.entries()
        whose = self._whose(found)
        return [_backup(entry, whose) for entry in found]

    def own(self) -> list[Backup]:
        """Those of the home, oldest first."""
        return [backup for backup in self.backups() if backup.stranger is None and backup.doubtful is None]

    def others(self) -> list[dict[str, Any]]:
        """The entries of those that were taken elsewhere, where none is there that is surely the home's own."""
        found = self.entries()
        elsewhere = [entry for entry in found if self._database and entry.get("of") not in (None, os.path.realpath(self._database))]
        return elsewhere if not self._whose(found).sure else []

    def _whose(self, found: list[dict[str, Any]]) -> _Whose:
        return _whose(found, self._database) if self._database else _Whose(frozenset(), {}, {})

    def good(self) -> list[Backup]:
        """Those of the home that can be restored as far as is known, oldest first."""
        return [backup for backup in self.own() if backup.verified]

    def find(self, ident: str | None = None, at: str | None = None) -> Backup:
        """The one named `ident`, else the newest good one of the home, of the stored time `at` or before. Raises NoBackup."""
        try:
            found = self.entries()
            whose = self._whose(found)
            theirs = whose.strangers.keys() | whose.doubtful.keys()
            chosen = tool.pick(found if ident is not None else [entry for entry in found if entry["id"] not in theirs], ident, at)
            return _backup(chosen, whose)
        except tool.Unknown as error:
            raise NoBackup(f"{error}.", "See which there are: taskdeck db backups") from None

    def rebuild(self, backup: Backup, target: Path) -> None:
        """Make the database file that it is of at `target`, which must not exist. Raises BadBackup, Storage and FileExistsError."""
        with told(self.folder, room.UNRESTORED):
            tool.rebuild(tool.chain(self.entries(), backup.id), str(target))

    def check(self, backup: Backup, image: Path, step: Callable[[], None] = tool.no_step) -> list[Fault]:
        """What is wrong with it, or with one that it is built upon, built up at `image` for a while; nothing when it is well. Raises
        Storage, and what `step` raises."""
        with told(self.folder, room.UNCHECKED):
            found = self.entries()
            chosen = tool.pick(found, backup.id)
            try:
                unread = _faults(backup.id, [], [f"{what}; see: taskdeck db check" for what in backup.unreadable])
                return unread + _faults(backup.id, *tool.check_whole(str(self.folder), found, chosen, str(image), step))
            except tool.Damaged as damaged:
                return [Fault(damaged.ident, damaged.why, True)]

    def damaged_files(self) -> Iterator[Fault]:
        """What is not as it was written, of all of them."""
        for entry in self.entries():
            yield from _faults(entry["id"], *tool.check_file(str(self.folder), entry))

    def damaged_lines(self) -> list[int]:
        """The numbers of the manifest's lines that cannot be read."""
        return tool.manifest(str(self.folder))[1]


def _faults(ident: str, wrong: list[str], odd: list[str]) -> list[Fault]:
    return [*(Fault(ident, why, True) for why in wrong), *(Fault(ident, why, False) for why in odd)]


class told:
    """Turns what the tool raises into problems: `with told(folder): …`; `undone` is what does not happen then."""

    def __init__(self, folder: Path, undone: str = room.UNDONE) -> None:
        self.folder, self.undone = folder, undone

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, tool.Damaged):
            raise BadBackup(error.ident, error.why) from error
        if isinstance(error, tool.Unknown):
            raise Storage(f"{error}.") from error
        if isinstance(error, OSError) and not isinstance(error, FileExistsError):
            raise room.problem(self.folder, error, self.undone) from error


class _Whose(NamedTuple):
    """The ids of those that are surely the home's own; where their database lies, by the ids of those that are another's, and of those
    that may be."""

    sure: frozenset[str]
    strangers: dict[str, str]
    doubtful: dict[str, str]


def _whose(found: list[dict[str, Any]], database: Path) -> _Whose:
    """Ours are those that were taken where ours lies, and those of our history, which a home keeps where it is moved to, promoted or
    restored; where ours cannot be read, what was taken of it tells. Of the others, one that has no history, as no number was given yet or
    as it is of long ago, may be another's, unless we took one in the same place after it or it came along when the home was moved. Where
    ours cannot be read and none is surely ours, all are: it is what there is. What does not say where it was taken is ours."""
    place = os.path.realpath(database)
    known, mine = _history(database)
    ours = {mine} - {None} or {entry.get("history") for entry in found if entry.get("of") == place} - {None}
    sure = {entry["id"]: entry for entry in found if entry.get("of") == place or entry.get("history") in ours}
    elsewhere = [entry for entry in found if entry.get("of") is not None and entry["id"] not in sure]
    theirs = {entry["id"]: entry["of"] for entry in elsewhere if ours and entry.get("history")}
    left = [entry for entry in elsewhere if entry["id"] not in theirs] if sure or known else []
    last = {entry.get("of"): entry["at"] for entry in sorted(sure.values(), key=lambda entry: entry["at"])}
    unsure = [entry for entry in left if entry.get("history") or last.get(entry["of"], "") < entry["at"]]
    doubtful = {entry["id"]: entry["of"] for entry in unsure if not _came_along(entry, database, mine)}
    return _Whose(frozenset(sure), theirs, doubtful)


def _came_along(entry: Mapping[str, Any], database: Path, mine: str | None) -> bool:
    """Whether the home was where it was taken: that is a copy of it, or is gone and our folder in the home tells how it was taken, which
    it does not of a file that was put there."""
    there, history = _history(Path(entry["of"]))
    in_home = Path(entry["path"]).parent.parent == database.parent
    return history is not None and history == mine if there else in_home and "what" in entry and not os.path.lexists(entry["of"])


def _history(database: Path) -> tuple[bool, str | None]:
    """Whether there is a database that can be read, and its history."""
    with suppress(OSError, *sql.FAILED):
        if database.is_file():
            with closing(sqlite3.connect(undisturbed_uri(database), uri=True)) as c:
                return True, tool.history(c)
    return False, None


def _backup(entry: Mapping[str, Any], whose: _Whose) -> Backup:
    names = ("id", "kind", "at", "base", "bytes", "pages", "page_size", "sha256", "problem", "facts")
    told = {name: entry[name] for name in names} | {"path": Path(entry["path"]), "verified": entry["problem"] is None}
    told["unreadable"] = tuple(entry.get("unreadable", ()))
    return Backup(**told, stranger=whose.strangers.get(entry["id"]), doubtful=whose.doubtful.get(entry["id"]))
