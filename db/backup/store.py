"""The backups of a folder, as its manifest and their own headers tell them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from db.backup import restore_tool as tool
from db.backup import room
from db.errors import Problem, Storage


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


@dataclass(frozen=True)
class Backup:
    """One backup. `kind` is full or increment; `base`: what an increment is built upon; `at`: its time as stored; `bytes`: of its
    file; `sha256`: of the whole database file; `facts`: rows, last_event, revision, highest and newest_task."""

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


class Fault(NamedTuple):
    """Something about a backup; `own`: it is bad for that, which is not so where it cannot be read now, or where what travels along is
    not as it was."""

    ident: str
    why: str
    own: bool


class Store:
    """Reads one folder of backups; it need not exist."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def entries(self) -> list[dict[str, Any]]:
        """All of them as the tool tells them, oldest first. Raises Storage."""
        try:
            return tool.entries(str(self.folder))
        except OSError as error:
            raise room.problem(self.folder, error) from None

    def backups(self) -> list[Backup]:
        """All of them, oldest first."""
        return [_backup(entry) for entry in self.entries()]

    def good(self) -> list[Backup]:
        """Those that can be restored as far as is known, oldest first."""
        return [backup for backup in self.backups() if backup.verified]

    def find(self, ident: str | None = None, at: str | None = None) -> Backup:
        """The one named `ident`, else the newest good one, of the stored time `at` or before. Raises NoBackup."""
        try:
            return _backup(tool.pick(self.entries(), ident, at))
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
            try:
                return _faults(backup.id, *tool.check_whole(str(self.folder), found, tool.pick(found, backup.id), str(image), step))
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


def _backup(entry: Mapping[str, Any]) -> Backup:
    names = ("id", "kind", "at", "base", "bytes", "pages", "page_size", "sha256", "problem", "facts")
    return Backup(path=Path(entry["path"]), verified=entry["problem"] is None, **{name: entry[name] for name in names})
