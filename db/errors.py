"""Errors that a user can understand and act on.

Each has a message, a hint and an exit code.
"""

from __future__ import annotations

from pathlib import Path

from app.translation import tr


class Problem(Exception):
    """A failure with a cause the user can act on. Never shown with a traceback.

    Message and hint are translated, with `{names}` replaced by `values`.
    """

    code = "failed"
    exit_code = 1

    def __init__(self, message: str, hint: str = "", **values: object) -> None:
        self.message = tr(message, **values)
        self.hint = tr(hint, **values)
        super().__init__(self.message)

    def __str__(self) -> str:
        space = "" if self.message.endswith("。") else " "
        return f"{self.message}{space}{self.hint}".strip()


class Storage(Problem):
    """A database or disk that cannot be used."""

    code = "storage"
    exit_code = 5


class NewerDatabase(Storage):
    """A database created by a later version of Taskdeck."""

    code = "newer-database"


class OlderDatabase(Storage):
    """A database of an earlier version that lacks what the request needs."""

    code = "older-database"

    def __init__(self, path: Path, version: str, expected: str) -> None:
        super().__init__(
            "the database has an older version ({version!r}, this program needs {expected!r}):"
            " {path}. Nothing was done.",
            "The next start upgrades it. To upgrade now: taskdeck db migrate",
            version=version,
            expected=expected,
            path=path,
        )


class UnreleasedDatabase(Storage):
    """A database of an earlier numbering of revisions, before the first release."""

    code = "unreleased-database"


def make_unreleased_error(message: str, **values: object) -> UnreleasedDatabase:
    """Return the problem for a database of the first numbering, which had its own 0001 to 0005.

    No commit upgrades such a database. {commit} in the message is the last that opens it.
    """
    return UnreleasedDatabase(
        message,
        "In an environment of that commit: taskdeck export && taskdeck ls --json",
        commit="c03696b5",
        **values,
    )


class DamagedDatabase(Storage):
    """A file that cannot be read as a database."""

    code = "damaged-database"
    why = ""
    """The fault, in SQLite's words."""
    without_backup = "Move the database away, or put a good copy there."
    """Hint for a database without a good backup."""


class BehindDatabase(DamagedDatabase):
    """A readable database that lacks the latest writes."""

    without_backup = (
        "Back up its contents, then restore them: taskdeck db backup && taskdeck db restore"
    )


class UnnamedDatabase(DamagedDatabase):
    """A database without its version row. Everything else may be intact."""

    without_backup = "If it belongs to this version, repair it: taskdeck db check --repair"


class GoneDatabase(DamagedDatabase):
    """A database file that is no longer at the path where it was opened."""

    code = "gone-database"


def make_damaged_error(
    path: Path, what: str, kind: type[DamagedDatabase] = DamagedDatabase
) -> DamagedDatabase:
    """Return the problem for a damaged database, with the fault `what`."""
    problem = kind(
        "the database is damaged ({what}): {path}. It was not written to.", what=what, path=path
    )
    problem.why = what
    return problem


class DiskFull(Storage):
    """A disk without space to record the request."""

    code = "disk-full"
    undone = "Nothing was stored."

    def with_undone(self, undone: str) -> DiskFull:
        """Return a copy of the problem that names another operation as not done."""
        return DiskFull(self.message.replace(self.undone, undone), self.hint)


class ReadOnlyDisk(Storage):
    """A home that cannot be written to."""

    code = "read-only"


class BusyDatabase(Storage):
    """A database locked by another program for longer than the busy timeout."""

    code = "busy-database"
