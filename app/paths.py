"""Where things are. A path is made of the home and our own ids, never of a name from outside."""

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
"""What a disk without room refuses a file with."""


def resolve_home(option: str | None) -> str:
    """The home: `--home`, else TASKDECK_HOME, else the user's data folder. Absolute; need not exist."""
    if option == "":
        raise Usage("--home must not be empty.", "Type: --home=DIR")
    chosen = option or os.environ.get("TASKDECK_HOME")
    if not chosen:
        base = os.environ.get("XDG_DATA_HOME") or os.path.join(os.path.expanduser("~"), ".local", "share")
        chosen = os.path.join(base, "taskdeck")
    if "\0" in chosen:
        raise Usage("--home must not contain a NUL byte.")
    return os.path.abspath(chosen)


def get_config_path() -> str:
    """The user's settings; need not exist."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(base, "taskdeck", "config.toml")


def refuse_foreign_home(home: str | Path) -> None:
    """Raises Refused where somebody else has made the home, or the database in it: what root writes there its owner could not use any
    more."""
    if (owner := find_foreign_owner(home)) is None:
        return
    import shlex

    user, where = _quote_user_name(owner), shlex.quote(os.fspath(home))
    if (mine := os.geteuid()) in _read_owners(home):
        said = f"the home {home} belongs in part to {user}, not to you. Nothing was done."
        raise Refused(said, f"Give it to one of you: sudo chown -R {mine or owner}: {where}")
    said = f"the home {home} belongs to {user}, not to you. Nothing was done."
    raise Refused(said, f"As its owner: sudo -u {user} taskdeck --home {where}")


def _quote_user_name(uid: int) -> str:
    """The name as a shell takes it."""
    import pwd
    import shlex

    try:
        return shlex.quote(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return f"'#{uid}'"


def find_foreign_owner(home: str | Path) -> int | None:
    """The uid of somebody else who made any of what is there; None where it is ours, nothing is there, or it cannot be seen: the folder
    alone may be anybody's."""
    return next((owner for owner in _read_owners(home) if owner != os.geteuid()), None)


def _read_owners(home: str | Path) -> list[int]:
    found = []
    for name in ("run", DATABASE):
        with suppress(OSError):
            found.append(os.stat(os.path.join(home, name)).st_uid)
    return found


def make_home(home: Path) -> None:
    """The home and its folders, private to the user. Raises OSError, and Refused as `refuse_strangers` does."""
    refuse_foreign_home(home)
    home.parent.mkdir(parents=True, exist_ok=True)
    for folder in (home, home / "run", home / "runs"):
        try:
            folder.mkdir(mode=0o700)
            folder.chmod(0o700)  # whatever the umask
        except FileExistsError:
            if not folder.is_dir():
                raise


def database_path(home: Path) -> Path:
    """The one database of a home."""
    return home / DATABASE


def replica_path(home: Path) -> Path:
    """The copy of another home's database, in a folder that may become a home by `db promote`, and does not begin as one."""
    return home / REPLICA


def log_path(home: str | Path, runid: str) -> str:
    """The log of a run. The last digits spread over folders; the first are the time, the same for all runs of an hour."""
    return f"{home}/runs/{runid[-2:]}/{runid}.log"


CONTROL_SOCKET = "control.sock"
LOCK_FILE = "runtime.lock"


def runtime_log_path(home: str | Path) -> str:
    """What the runtime says of itself."""
    return os.path.join(home, "run", "runtime.log")


def stop_marker_path(home: str | Path) -> str:
    """The file that says that somebody stopped the runtime on purpose."""
    return os.path.join(home, "run", "stopped")


def write_stop_marker(home: str | Path, by: str, at: str) -> None:
    """Leave the mark whole or, where the disk has no room for what it says, empty. Raises OSError."""
    new = f"{stop_marker_path(home)}.new"
    try:
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_all(fd, f"{by}\n{at}\n".encode())
        finally:
            os.close(fd)
        os.replace(new, stop_marker_path(home))
    except OSError:
        with suppress(OSError):
            os.unlink(new)
        raise


def _write_all(fd: int, text: bytes) -> None:
    """Write all of a short text, or nothing where the disk is full."""
    try:
        if os.write(fd, text) == len(text):
            return
    except OSError as error:
        if error.errno not in DISK_FULL_ERRORS:
            raise
    os.ftruncate(fd, 0)


STOPPED_CODE = 79
"""What the runtime of a systemd unit exits with after `taskdeck stop`, so that it is not restarted."""


def read_stop_marker(home: str | Path) -> tuple[str, str] | None:
    """Who stopped the runtime, and when (local `10:31`); None when nobody did."""
    try:
        with open(stop_marker_path(home), encoding="utf-8") as file:
            said, when = file.read(), os.fstat(file.fileno()).st_mtime
        by, at = said.split("\n")[:2] if said else ("somebody", time.strftime("%H:%M", time.localtime(when)))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return by, at


def user_name(uid: int, before_number: str = "") -> str:
    """Return the login name of a uid, or the number behind `before_number`."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"{before_number}{uid}"


def refuse_copy(home: str | Path) -> None:
    """Raise Conflict where the copy of another home lies: a fresh home beside it would only hide it."""
    copy, database = (os.path.join(home, name) for name in (REPLICA, DATABASE))
    if os.path.exists(copy) and not os.path.exists(database):
        from pathlib import Path

        from db.restore.replica_file import find_origin

        said = f"{home} is the replica of {find_origin(Path(copy))[0] or 'another home'}. Nothing is started from it."
        raise Conflict(said, f"Make it the home: taskdeck --home {shlex.quote(str(home))} db promote")
