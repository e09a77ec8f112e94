"""Paths inside a home. Only the home and Taskdeck's own ids are part of a path."""

from __future__ import annotations

import errno
import os
import shlex
import time
from contextlib import suppress

from app.errors import Conflict, Refused, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

DATABASE = "taskdeck.db"
REPLICA = "replica.db"
DATABASES = frozenset({DATABASE, REPLICA})
DISK_FULL_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Errors of a disk without space."""


def resolve_home(option: str | None) -> str:
    """Return the home: `--home`, else TASKDECK_HOME, else the user's data folder.

    The path is absolute and need not exist.
    """
    if option == "":
        raise Usage("--home must not be empty.", "Use: --home=DIR")
    path = option or os.environ.get("TASKDECK_HOME")
    if not path:
        base = os.environ.get("XDG_DATA_HOME") or os.path.join(
            os.path.expanduser("~"), ".local", "share"
        )
        path = os.path.join(base, "taskdeck")
    if "\0" in path:
        raise Usage("--home must not contain a NUL byte.")
    return os.path.abspath(path)


def get_config_path() -> str:
    """Return the path of the user's settings, which need not exist."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(base, "taskdeck", "config.toml")


def refuse_foreign_home(home: str | Path) -> None:
    """Raise Refused if another user owns the home or its database.

    Files that root writes there would be unusable for the owner.
    """
    if (owner := find_foreign_owner(home)) is None:
        return
    import shlex

    user, where = _quote_user_name(owner), shlex.quote(os.fspath(home))
    if (own_uid := os.geteuid()) in _read_owners(home):
        message = f"the home {home} belongs in part to {user}, not to you. Nothing was done."
        raise Refused(message, f"Change the owner: sudo chown -R {own_uid or owner}: {where}")
    message = f"the home {home} belongs to {user}, not to you. Nothing was done."
    raise Refused(message, f"Run as the owner: sudo -u {user} taskdeck --home {where}")


def _quote_user_name(uid: int) -> str:
    import pwd
    import shlex

    try:
        return shlex.quote(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return f"'#{uid}'"


def find_foreign_owner(home: str | Path) -> int | None:
    """Return the uid of another user who owns part of the home, or None.

    The folder alone may belong to anybody.
    """
    return next((owner for owner in _read_owners(home) if owner != os.geteuid()), None)


def _read_owners(home: str | Path) -> list[int]:
    found = []
    for name in ("run", DATABASE):
        with suppress(OSError):
            found.append(os.stat(os.path.join(home, name)).st_uid)
    return found


def make_home(home: Path) -> None:
    """Create the home and its folders, private to the user.

    Raise OSError, or Refused as `refuse_foreign_home` does.
    """
    refuse_foreign_home(home)
    home.parent.mkdir(parents=True, exist_ok=True)
    for folder in (home, home / "run", home / "runs"):
        try:
            folder.mkdir(mode=0o700)
            folder.chmod(0o700)  # regardless of the umask
        except FileExistsError:
            if not folder.is_dir():
                raise


def get_database_path(home: Path) -> Path:
    """Return the path of the database."""
    return home / DATABASE


def get_replica_path(home: Path) -> Path:
    """Return the path of a replica of another home's database.

    `db promote` turns the folder of a replica into a home.
    """
    return home / REPLICA


def get_log_path(home: str | Path, runid: str) -> str:
    """Return the path of the log of a run.

    The last digits of the run id spread logs over folders; the first are the time and equal within
    an hour.
    """
    return f"{home}/runs/{runid[-2:]}/{runid}.log"


CONTROL_SOCKET = "control.sock"
LOCK_FILE = "runtime.lock"


def get_runtime_log_path(home: str | Path) -> str:
    """Return the path of the runtime's own log."""
    return os.path.join(home, "run", "runtime.log")


def get_stop_marker_path(home: str | Path) -> str:
    """Return the path of the marker of a runtime stopped on purpose."""
    return os.path.join(home, "run", "stopped")


def write_stop_marker(home: str | Path, by: str, at: str) -> None:
    """Write the stop marker completely, or empty if the disk is full. Raise OSError."""
    new = f"{get_stop_marker_path(home)}.new"
    try:
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_all(fd, f"{by}\n{at}\n".encode())
        finally:
            os.close(fd)
        os.replace(new, get_stop_marker_path(home))
    except OSError:
        with suppress(OSError):
            os.unlink(new)
        raise


def _write_all(fd: int, text: bytes) -> None:
    """Write all of a short text, or nothing if the disk is full."""
    try:
        if os.write(fd, text) == len(text):
            return
    except OSError as error:
        if error.errno not in DISK_FULL_ERRORS:
            raise
    os.ftruncate(fd, 0)


STOPPED_CODE = 79
"""Exit code of the runtime after `taskdeck stop`, so that systemd does not restart its unit."""


def read_stop_marker(home: str | Path) -> tuple[str, str] | None:
    """Return who stopped the runtime and when (local `10:31`), or None."""
    try:
        with open(get_stop_marker_path(home), encoding="utf-8") as file:
            message, when = file.read(), os.fstat(file.fileno()).st_mtime
        by, at = (
            message.split("\n")[:2]
            if message
            else ("somebody", time.strftime("%H:%M", time.localtime(when)))
        )
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return by, at


def get_user_name(uid: int, before_number: str = "") -> str:
    """Return the login name of a uid, or the number behind `before_number`."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"{before_number}{uid}"


def refuse_replica(home: str | Path) -> None:
    """Raise Conflict if the directory holds a replica but no database.

    A new home next to the replica would only hide it.
    """
    copy, database = (os.path.join(home, name) for name in (REPLICA, DATABASE))
    if os.path.exists(copy) and not os.path.exists(database):
        from pathlib import Path

        from db.restore.replica_file import find_origin

        message = (
            f"{home} is the replica of {find_origin(Path(copy))[0] or 'another home'}. Nothing is"
            " started from it."
        )
        raise Conflict(
            message, f"Make it the home: taskdeck --home {shlex.quote(str(home))} db promote"
        )
