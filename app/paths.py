"""Paths inside a home, and the checks that the home is the user's own.

Only the home and Taskdeck's own ids are part of a path.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
import time
from contextlib import suppress

from app.errors import Conflict, Refused, Usage
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from pathlib import Path
    from typing import BinaryIO

DATABASE = "taskdeck.db"
REPLICA = "replica.db"
DATABASES = frozenset({DATABASE, REPLICA})
DEMO_ENDS = "TASKDECK_DEMO_ENDS"
"""Environment variable of a deck: the time when its demo ends, in monotonic seconds."""
DISK_FULL_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Errors of a disk without space."""


def resolve_home(option: str | None) -> str:
    """Return the home: `--home`, else TASKDECK_HOME, else the user's data folder.

    The path is absolute and need not exist. The file of a replica means its folder.
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
    path = os.path.abspath(path)
    if os.path.basename(path) == REPLICA and os.path.isfile(path):
        return os.path.dirname(path)
    return path


def get_config_path() -> str:
    """Return the path of the user's settings, which need not exist."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(base, "taskdeck", "config.toml")


def refuse_foreign_home(home: str | Path) -> None:
    """Raise Refused if another user owns part of the home or can replace it.

    Such a user could read what is sent to the runtime, and answer in its place. Files that root
    writes in a home of another user would be unusable for the owner.
    """
    home, own_uid = os.fspath(home), os.geteuid()
    folders = _stat_folders(home)
    if (owner := _find_other_owner(home, folders)) is not None:
        raise _make_foreign_home_error(home, owner, folders)
    for folder, found in folders.items():
        if found.st_uid not in (own_uid, 0):
            raise _make_foreign_folder_error(home, folder, found.st_uid)
        is_parent = folder not in (home, f"{home}/run")
        if _is_open_to_others(found, sticky_protects=is_parent):
            raise _make_open_folder_error(home, folder, found.st_uid)


def _stat_folders(home: str) -> dict[str, os.stat_result]:
    """Return the state of the folders that decide what the paths of the home mean.

    Behind a symlink, the parent of its target is one of them. Folders that do not exist are left
    out, but of the parents the nearest existing one counts.
    """
    parent, found = os.path.dirname(home), dict[str, os.stat_result]()
    for folder in (parent, f"{home}/..", home, f"{home}/run/..", f"{home}/run"):
        with suppress(OSError):
            found[folder] = os.stat(folder)
    while parent not in found and parent != os.path.dirname(parent):
        parent = os.path.dirname(parent)
        with suppress(OSError):
            found[parent] = os.stat(parent)
    return found


def _find_other_owner(home: str, folders: dict[str, os.stat_result]) -> int | None:
    """Return the uid of another user who owns the home, its `run` or its database, or None.

    Root may own the folder of the home alone, for example as the mount point of a volume.
    """
    if home in folders and folders[home].st_uid not in (os.geteuid(), 0):
        return folders[home].st_uid
    return find_foreign_owner(home)


def _make_foreign_home_error(home: str, owner: int, folders: dict[str, os.stat_result]) -> Refused:
    user, where, own_uid = _quote_user_name(owner), shlex.quote(home), os.geteuid()
    is_folder_foreign = home in folders and folders[home].st_uid not in (own_uid, 0)
    if not is_folder_foreign and own_uid in _read_owners(home):
        message = tr(
            "the home {home} belongs in part to {user}, not to you. Nothing was done.",
            home=home,
            user=user,
        )
        return Refused(message, f"Change the owner: sudo chown -R {own_uid or owner}: {where}")
    message = tr(
        "the home {home} belongs to {user}, not to you. Nothing was done.", home=home, user=user
    )
    return Refused(message, f"Run as the owner: sudo -u {user} taskdeck --home {where}")


def _make_foreign_folder_error(home: str, folder: str, owner: int) -> Refused:
    user = _quote_user_name(owner)
    message = tr(
        "{folder} belongs to {user}, who can replace the home {home}. Nothing was done.",
        folder=os.path.realpath(folder),
        user=user,
        home=home,
    )
    if os.geteuid() == 0:
        hint = tr(
            "Run as the owner: sudo -u {user} taskdeck --home {home}",
            user=user,
            home=shlex.quote(home),
        )
        return Refused(message, hint)
    return Refused(message, "Choose another: --home DIR")


def _make_open_folder_error(home: str, folder: str, owner: int) -> Refused:
    real = os.path.realpath(folder)
    message = tr(
        "other users may write to {real}, so they can replace the home {home}. Nothing was done.",
        real=real,
        home=home,
    )
    if os.geteuid() in (owner, 0):
        # the sticky bit lets others use a shared folder
        mode = "+t" if folder not in (home, f"{home}/run", f"{home}/run/..") else "go-w"
        return Refused(message, f"Prevent it: chmod {mode} {shlex.quote(real)}")
    return Refused(message, "Choose another: --home DIR")


def _is_open_to_others(folder: os.stat_result, sticky_protects: bool) -> bool:
    """Return True if other users may rename files in the folder.

    The sticky bit protects a home in a shared folder, but not files that the home lacks yet.
    """
    if folder.st_mode & stat.S_ISVTX and sticky_protects:
        return False
    return bool(
        folder.st_mode & stat.S_IWOTH
        or folder.st_mode & stat.S_IWGRP
        and not _is_private_group(folder.st_gid)
    )


def _is_private_group(gid: int) -> bool:
    """Return True if nobody but the user and root is in the group, as far as is known.

    Many systems give each user such a group, named like the user, and a umask of 002. The group of
    a container's volume often has no entry at all.
    """
    import grp

    if gid == 0:
        return True
    try:
        group = grp.getgrgid(gid)
    except KeyError:
        return True
    user = get_user_name(os.geteuid())
    return group.gr_name == user and set(group.gr_mem) <= {user}


def refuse_foreign_peer(sock: socket.socket, home: str | Path) -> None:
    """Raise Conflict if a process of another user listens at the other end of the socket."""
    if (uid := read_peer(sock)[1]) != os.geteuid():
        message = tr(
            "a process of {user_name} answers in place of Taskdeck in the home {home}."
            " Nothing was sent to it.",
            user_name=get_user_name(uid, "uid "),
            home=home,
        )
        raise Conflict(message, "Choose another: --home DIR")


def read_peer(sock: socket.socket) -> tuple[int, int]:
    """Return pid and uid of the process at the other end, as the kernel reports them."""
    from socket import SO_PEERCRED, SOL_SOCKET

    pid, uid, _ = memoryview(sock.getsockopt(SOL_SOCKET, SO_PEERCRED, 12)).cast("I")
    return pid, uid


def _quote_user_name(uid: int) -> str:
    import pwd

    try:
        return shlex.quote(pwd.getpwuid(uid).pw_name)
    except KeyError:
        return f"'#{uid}'"


def find_foreign_owner(home: str | Path) -> int | None:
    """Return the uid of another user who owns `run` or the database of the home, or None."""
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
    _make_parents(home.parent)
    for folder in (home, home / "run", home / "runs"):
        try:
            folder.mkdir(mode=0o700)
            folder.chmod(0o700)  # regardless of the umask
        except FileExistsError:
            if not folder.is_dir():
                raise


def _make_parents(folder: Path) -> None:
    """Create missing folders. Others may not write to them, whatever the umask."""
    if not folder.is_dir():
        _make_parents(folder.parent)
        folder.mkdir(mode=0o755, exist_ok=True)


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


def get_companion_path(home: str | Path, runid: str) -> str:
    """Return the path of the socket of the companion of a run."""
    return f"{home}/run/companions/{runid}.sock"


def get_index_path(log: str) -> str:
    """Return the path of the index of the error output in a log."""
    return f"{log.removesuffix('.log')}.err"


def delete_log(home: str | Path, runid: str) -> None:
    """Delete the log of a run, and its index first. Raise OSError."""
    log = get_log_path(home, runid)
    with suppress(FileNotFoundError):
        os.unlink(get_index_path(log))
    os.unlink(log)


NOT_REGULAR_ERRORS = frozenset({errno.ELOOP, errno.ENXIO})
"""Errors of `open_regular` for a link, a FIFO or a folder, and for a socket."""


def open_regular(path: str) -> BinaryIO:
    """Open a file that a job may have replaced. Raise OSError as `open_regular_descriptor`."""
    return os.fdopen(open_regular_descriptor(path), "rb")


def open_regular_descriptor(path: str) -> int:
    """Return a descriptor of a log, or of another file that a job may have replaced.

    Raise OSError, with ELOOP for anything but a regular file. To open a FIFO would wait for a
    writer, and a link may lead to any file.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
    raise OSError(errno.ELOOP, "not a regular file", path)


def read_log_end(path: str, most: int) -> tuple[int, bytes]:
    """Return the size of a log and at most its last `most` bytes.

    Raise OSError as `open_regular_descriptor`. A file object would cost twice the time.
    """
    fd = open_regular_descriptor(path)
    try:
        size = os.fstat(fd).st_size
        return size, os.pread(fd, min(size, most), max(0, size - most)) if size else b""
    finally:
        os.close(fd)


CONTROL_SOCKET = "control.sock"
LOCK_FILE = "runtime.lock"
SUBMISSIONS = "submissions"
"""Folder in `run` of the files of large submissions (`app.service.tasks.submission.bulk`)."""


def open_locked(path: str | Path) -> BinaryIO:
    """Create a file of a submission, which only its owner reads, and lock it.

    The runtime removes a file without a lock, since the process that made the file was killed.
    """
    import fcntl

    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        file = os.fdopen(fd, "r+b")
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return file
        file.close()  # removed before it was locked


def get_runtime_log_path(home: str | Path) -> str:
    """Return the path of the runtime's own log."""
    return os.path.join(home, "run", "runtime.log")


def get_stop_marker_path(home: str | Path) -> str:
    """Return the path of the marker of a runtime stopped on purpose."""
    return os.path.join(home, "run", "stopped")


def write_stop_marker(home: str | Path, by: str, at: str, resource: str = "") -> None:
    """Write the stop marker completely, or empty if the disk is full. Raise OSError.

    `resource` names the resource of the cluster that stopped the runtime.
    """
    new = f"{get_stop_marker_path(home)}.new"
    try:
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            _write_all(fd, f"{by}\n{at}\n{resource}\n".encode())
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


def read_stop_marker(home: str | Path) -> tuple[str, str, str] | None:
    """Return who stopped the runtime, when (local `10:31`) and by which resource, or None.

    The resource is "" unless a cluster stopped the runtime.
    """
    try:
        with open(get_stop_marker_path(home), encoding="utf-8") as file:
            message, when = file.read(), os.fstat(file.fileno()).st_mtime
        if not message:
            return "somebody", time.strftime("%H:%M", time.localtime(when)), ""
        by, at, *more = message.split("\n")
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return by, at, more[0] if more else ""


def get_user_name(uid: int, before_number: str = "") -> str:
    """Return the login name of a uid, or the number behind `before_number`."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"{before_number}{uid}"


def is_replica(home: str | Path) -> bool:
    """Return True if the directory holds a replica but no database."""
    copy, database = (os.path.join(home, name) for name in (REPLICA, DATABASE))
    return os.path.exists(copy) and not os.path.exists(database)


def refuse_replica(home: str | Path) -> None:
    """Raise Conflict if the directory is a replica.

    A new home next to the replica would only hide it.
    """
    if is_replica(home):
        from pathlib import Path

        from db.restore.replica_file import find_origin

        origin = find_origin(Path(home, REPLICA))[0] or "another home"
        where = shlex.quote(str(home))
        message = tr(
            "{home} is the replica of {origin}. Nothing is started from it. To read it:"
            " taskdeck --read-only --home {where}.",
            home=home,
            origin=origin,
            where=where,
        )
        raise Conflict(message, f"Make it the home: taskdeck --home {where} db promote")
