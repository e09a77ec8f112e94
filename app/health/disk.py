"""The disk under a home: how much is free, whether it takes what is written, and how long that takes."""

from __future__ import annotations

import os
import secrets
import time

from app.core.text import units
from app.core.text.sanitize import clean
from app.health.finding import Finding, quote, sudo
from app.health.procfs import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LEAST_FREE = 500 * 2**20
LEAST_SHARE = 0.05
"""Below either of these, bytes or share of the disk, nothing new is started."""
SMALL_SHARE = 0.1
"""Of a small disk, which never had so many bytes free, this share takes their place."""

SLOW = 0.5
"""Seconds that bringing a line to the disk may take before it is told."""

REMOTE = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "afs", "ceph", "gluster")


def least_free(total: int) -> int:
    """How many bytes of a disk of `total` must be free for anything new to start."""
    return int(max(min(LEAST_FREE, total * SMALL_SHARE), total * LEAST_SHARE))


def disk(home: str) -> Iterator[Finding]:
    """Room, and a trial."""
    place = existing(home)
    space = os.statvfs(place)
    free, total = space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize
    text, cure = f"{units.size(free)} free of {units.size(total)}", making_room(home)
    if not free:
        yield Finding("disk", f"{text}: nothing can be accepted", "broken", cure)
    elif free < least_free(total):
        yield Finding("disk", f"{text}: nothing new starts below {units.size(least_free(total))}", "broken", cure)
    elif space.f_files and not space.f_favail:
        yield Finding("disk", f"{text}, but no file more can be made (inodes)", "broken", cure)
    elif place == home and os.path.isdir(home):
        yield _tried(home, text)
    else:
        yield Finding("disk", text)


def _tried(home: str, text: str) -> Finding:
    """Write a line and see when it is on the disk."""
    try:
        took = sync_time(home)
    except PermissionError:
        return Finding("disk", text)  # whose it is says all
    except OSError as error:
        why = (error.strerror or "unknown").lower()
        return Finding("disk", f"{text}, but it takes no write: {why}", "broken", making_writable(home))
    if took > SLOW:
        slow = f"{text}; a line takes {took:.1f} s to get there, and every submission waits as long"
        return Finding("disk", slow, "hint", sudo("iotop -o"))
    return Finding("disk", text)


def making_room(home: str) -> str:
    """The command that shows what takes the room."""
    return f"du -xhd1 {quote(_point(home))} | sort -h"


def making_writable(home: str) -> str:
    """The command that lets a disk that went read-only take what is written again."""
    return sudo(f"mount -o remount,rw {quote(_point(home))}")


def _point(home: str) -> str:
    place = existing(home)
    return mount(os.path.realpath(place))[0] or place


def sync_time(home: str) -> float:
    """Seconds that one line takes to be on the disk, by a file of which nothing stays. Raises OSError."""
    path = os.path.join(home, f".doctor-{secrets.token_hex(8)}")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.unlink(path)
        os.write(fd, b"\n")
        began = time.monotonic()
        os.fdatasync(fd)
        return time.monotonic() - began
    finally:
        os.close(fd)


def files(home: str) -> Iterator[Finding]:
    """SQLite's write-ahead log needs memory shared between processes: a network file system has none."""
    kind = mount(os.path.realpath(existing(home)))[1]
    if kind.startswith(REMOTE):
        cure = f"taskdeck --home /var/tmp/{quote(f'taskdeck-{os.geteuid()}')} doctor"
        yield Finding("files", f"the home is on {kind}, where a database is not safe; one on a local disk is", "broken", cure)
    else:
        yield Finding("files", f"on {kind or 'a local disk'}")


def existing(path: str) -> str:
    """The nearest folder above that is there."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def mount(path: str) -> tuple[str, str]:
    """Mount point and type of the file system that holds a path: the longest mount point above it."""
    best = ("", "")
    for line in read("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        point = _plain(fields[4]) if len(fields) > 4 and right else ""
        if point and len(point) >= len(best[0]) and (path + "/").startswith(point.rstrip("/") + "/"):
            best = (point, clean(right.split()[0]))
    return best


def _plain(point: str) -> str:
    """A mount point without the kernel's escapes for spaces and the like."""
    for code, c in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(code, c)
    return point
