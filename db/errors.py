"""Errors that a person can understand and usually mend. Each knows its message, its advice and its exit code."""

from __future__ import annotations

from pathlib import Path


class Problem(Exception):
    """Something that went wrong for a reason the user can act on. Never shown with a traceback."""

    code = "failed"
    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class Storage(Problem):
    """The database or the disk under it cannot be used."""

    code = "storage"
    exit_code = 5


class NewerDatabase(Storage):
    """The database was made by a later Taskdeck."""

    code = "newer-database"


class OlderDatabase(Storage):
    """The database was made by an earlier Taskdeck, and has not all that is asked of it."""

    code = "older-database"

    def __init__(self, path: Path, version: str, ours: str) -> None:
        said = f"the database is of an earlier version ({version!r}, this is {ours!r}): {path}. Nothing was done."
        super().__init__(said, "A start brings it up to date, or at once: taskdeck db migrate")


class DamagedDatabase(Storage):
    """The database file cannot be read as one."""

    code = "damaged-database"
    why = ""
    """What was found, in SQLite's words."""
    without_backup = "Move the database away, or put a good copy there."
    """What to do where there is no good backup of it."""


class BehindDatabase(DamagedDatabase):
    """What was written last is missing from the database; what is in it can be read."""

    without_backup = "Take one of what is in it, and bring that up to date: taskdeck db backup && taskdeck db restore"


class UnnamedDatabase(DamagedDatabase):
    """The database does not say of which version it is; all else of it may be whole."""

    without_backup = "See whether it is of this version, and if so mend it: taskdeck db check --repair"


class GoneDatabase(DamagedDatabase):
    """The database file is no longer where it was opened."""

    code = "gone-database"


def make_damaged_error(path: Path, what: str, kind: type[DamagedDatabase] = DamagedDatabase) -> DamagedDatabase:
    """The database at `path` is damaged, as SQLite says it in `what`."""
    problem = kind(f"the database is damaged ({what}): {path}. It was not written to.")
    problem.why = what
    return problem


class DiskFull(Storage):
    """There is no room to record what was asked."""

    code = "disk-full"
    undone = "Nothing was stored."

    def with_undone(self, undone: str) -> DiskFull:
        """The same for somebody who asked for something of its own."""
        return DiskFull(self.message.replace(self.undone, undone), self.hint)


class ReadOnlyDisk(Storage):
    """The home cannot be written to."""

    code = "read-only"


class BusyDatabase(Storage):
    """Another program held the database for longer than the busy timeout."""

    code = "busy-database"
