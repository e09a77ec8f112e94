"""Reader of /proc: processes, their environment, children and memory."""

from __future__ import annotations

import os
import time

TICKS = os.sysconf("SC_CLK_TCK")
COOKIE = b"TASKDECK_RUNID="


def read_boot_time() -> float:
    """Return the seconds since boot, including suspend."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def read_file(path: str) -> bytes:
    """Return the content of a small /proc file, or b"" if it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
        return b"".join(parts)
    except OSError:
        return b""
    finally:
        os.close(fd)


class Process:
    """A process as described by /proc/PID/stat."""

    __slots__ = ("pid", "parent", "session", "ticks", "dead")

    def __init__(self, pid: int, stat: bytes) -> None:
        fields = stat[stat.rindex(b")") + 2 :].split()
        self.pid, self.parent, self.session = pid, int(fields[1]), int(fields[3])
        # The first thread may have ended and look like a zombie while others run.
        self.ticks, self.dead = int(fields[19]), fields[0] in b"ZX" and int(fields[17]) < 2


def read_process(pid: int) -> Process | None:
    """Return the process with that pid, dead or alive, or None."""
    stat = read_file(f"/proc/{pid}/stat")
    return Process(pid, stat) if stat else None


def list_processes() -> dict[int, Process]:
    """Return every visible process by pid."""
    found = (read_process(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {p.pid: p for p in found if p}


def read_cookie(pid: int) -> str:
    """Return the run id in a process's environment, or ""."""
    for entry in read_file(f"/proc/{pid}/environ").split(b"\0"):
        if entry.startswith(COOKIE):
            return entry[len(COOKIE) :].decode(errors="surrogateescape")
    return ""


def is_caught(pid: int, number: int) -> bool:
    """Return whether a process has a handler for a signal."""
    _, _, after = read_file(f"/proc/{pid}/status").partition(b"SigCgt:")
    return bool(after) and bool(int(after.split(None, 1)[0], 16) >> (number - 1) & 1)


def list_children(parent: int) -> list[int]:
    """Return the pids of a process's children, or [] if the kernel does not list them."""
    return [int(pid) for pid in read_file(f"/proc/{parent}/task/{parent}/children").split()]


def read_tree_peak(pid: int) -> int:
    """Return the largest peak of a process and its living descendants, in KiB.

    At most a hundred processes are read.
    """
    peak, tree = 0, [pid]
    for one in tree:
        _, _, after = read_file(f"/proc/{one}/status").partition(b"VmHWM:")
        peak = max(peak, int(after.split(None, 1)[0]) if after else 0)
        if len(tree) < 100:
            tree += map(int, read_file(f"/proc/{one}/task/{one}/children").split())
    return peak


def has_ended(pid: int) -> bool:
    """Return whether a child has ended.

    /proc also shows the end of a traced child, which is reported to the tracer first.
    """
    found = read_process(pid)
    return found is None or found.dead


def is_empty_session(session: int, table: dict[int, Process]) -> bool:
    """Return whether a session has no living process except its leader.

    The number of a session is not reused while it has a process.
    """
    return not any(p.session == session and p.pid != session and not p.dead for p in table.values())


def has_group(group: int) -> bool:
    """Return whether a process group has a process."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
