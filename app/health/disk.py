"""Health check of the disk under a home: free space, writability and latency."""

from __future__ import annotations

import os
import secrets
import time

from app.core.text import units
from app.core.text.sanitize import sanitize
from app.health.finding import Finding, make_root_command, quote_word
from app.health.procfs import read_file
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

MIN_FREE_BYTES = 500 * 2**20
MIN_FREE_SHARE = 0.05
"""Tasks start only above both limits: bytes, and share of the disk."""
SMALL_DISK_SHARE = 0.1
"""Share that replaces the limit in bytes on a small disk."""

SLOW_SYNC = 0.5
"""Seconds of sync time above which the disk is reported as slow."""

NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "9p", "fuse.sshfs", "afs", "ceph", "gluster")


def get_min_free(total: int) -> int:
    """Return the bytes that must be free on a disk of `total` bytes to start tasks."""
    return int(max(min(MIN_FREE_BYTES, total * SMALL_DISK_SHARE), total * MIN_FREE_SHARE))


def check_disk(home: str) -> Iterator[Finding]:
    """Check free space and write a test line."""
    place = find_existing_folder(home)
    space = os.statvfs(place)
    free, total = space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize
    text, cure = (
        tr(
            "{free} free of {total}", free=units.format_bytes(free), total=units.format_bytes(total)
        ),
        suggest_usage_command(home),
    )
    if not free:
        yield Finding("disk", tr("{said}: no task can be accepted", said=text), "broken", cure)
    elif free < get_min_free(total):
        yield Finding(
            "disk",
            tr(
                "{said}: no task starts below {bytes}",
                said=text,
                bytes=units.format_bytes(get_min_free(total)),
            ),
            "broken",
            cure,
        )
    elif space.f_files and not space.f_favail:
        yield Finding(
            "disk", tr("{said}, but no inodes are left for new files", said=text), "broken", cure
        )
    elif place == home and os.path.isdir(home):
        yield _test_write(home, text)
    else:
        yield Finding("disk", text)


def _test_write(home: str, text: str) -> Finding:
    """Write a line and measure the sync."""
    try:
        took = measure_sync_time(home)
    except PermissionError:
        return Finding("disk", text)  # the check of the owner reports the reason
    except OSError as error:
        why = (error.strerror or "unknown").lower()
        return Finding(
            "disk",
            tr("{said}, but writing fails: {why}", said=text, why=why),
            "broken",
            suggest_remount_command(home),
        )
    if took > SLOW_SYNC:
        slow = tr(
            "{said}; syncing a line takes {took:.1f} s, and every submission waits as long",
            said=text,
            took=took,
        )
        return Finding("disk", slow, "hint", make_root_command("iotop -o"))
    return Finding("disk", text)


def suggest_usage_command(home: str) -> str:
    """Return the command that shows disk usage."""
    return f"du -xhd1 {quote_word(_find_mount_point(home))} | sort -h"


def suggest_remount_command(home: str) -> str:
    """Return the command that remounts a read-only disk for writing."""
    return make_root_command(f"mount -o remount,rw {quote_word(_find_mount_point(home))}")


def _find_mount_point(home: str) -> str:
    place = find_existing_folder(home)
    return find_mount(os.path.realpath(place))[0] or place


def measure_sync_time(home: str) -> float:
    """Return the seconds to sync one line, using a file that is removed at once.

    Raise OSError.
    """
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


def check_file_system(home: str) -> Iterator[Finding]:
    """Check for a network file system.

    SQLite's write-ahead log needs memory shared between processes, which a network file system
    lacks.
    """
    kind = find_mount(os.path.realpath(find_existing_folder(home)))[1]
    if kind.startswith(NETWORK_FILE_SYSTEMS):
        cure = f"taskdeck --home /var/tmp/{quote_word(f'taskdeck-{os.geteuid()}')} doctor"
        yield Finding(
            "files",
            tr("the home is on {kind}, where a database is unsafe; use a local disk", kind=kind),
            "broken",
            cure,
        )
    else:
        yield Finding("files", tr("on {kind}", kind=kind or tr("a local disk")))


def find_existing_folder(path: str) -> str:
    """Return the nearest existing folder above a path."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


def find_mount(path: str) -> tuple[str, str]:
    """Return mount point and type of the file system of a path.

    The longest mount point above the path wins.
    """
    best = ("", "")
    for line in read_file("/proc/self/mountinfo").splitlines():
        mount_fields, _, right = line.partition(" - ")
        fields = mount_fields.split()
        point = _decode_mount_point(fields[4]) if len(fields) > 4 and right else ""
        if (
            point
            and len(point) >= len(best[0])
            and (path + "/").startswith(point.rstrip("/") + "/")
        ):
            best = (point, sanitize(right.split()[0]))
    return best


def _decode_mount_point(point: str) -> str:
    """Decode the kernel's escapes of a mount point."""
    for code, c in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        point = point.replace(code, c)
    return point
