"""Health checks of limits: rlimits of the processes, and their control groups."""

from __future__ import annotations

import os

from app.core.scheduling import overcommit
from app.core.text import units
from app.core.text.sanitize import sanitize
from app.health.finding import Finding, make_command, make_root_command, quote_word
from app.health.procfs import read_file, read_limits
from app.translation import tr
from db import host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

MIN_OPEN_FILES = 512
"""Descriptors a runtime with many decks may need."""

SPARE_PROCESSES = 64
"""Processes to leave free beyond one per job."""

NO_LIMIT = float("inf")
UNLIMITED = 1 << 60
"""Smallest value that control groups of version 1 write for no limit."""


def check_limits(home: str, status: dict[str, Any] | None) -> Iterator[Finding]:
    """Check open files, file size and processes of runtime, keeper and guard.

    If none of them runs, check this shell, which would start them.
    """
    findings = [*_check_rlimits(status), *_check_process_count(home, status)]
    yield from findings
    if not findings:
        yield Finding(
            "limits",
            (
                tr("sufficient for {jobs:,} concurrent jobs", jobs=count_max_jobs(status))
                if status
                else "sufficient"
            ),
        )


def _check_rlimits(status: dict[str, Any] | None) -> Iterator[Finding]:
    for name, pid in _list_processes(status):
        found = read_limits(pid)
        files, size = found.get("Max open files", NO_LIMIT), found.get("Max file size", NO_LIMIT)
        if files < MIN_OPEN_FILES:
            text = tr("{name} can open only {files:.0f} files", name=name, files=files)
            yield Finding(
                "limits",
                text,
                "broken",
                make_root_command(f"prlimit --pid {pid} --nofile=4096:4096"),
            )
        if size < NO_LIMIT:
            text = tr(
                "{name} cannot write files above {bytes}, which limits logs and the database",
                name=name,
                bytes=units.format_bytes(size),
            )
            yield Finding(
                "limits",
                text,
                "broken",
                make_root_command(f"prlimit --pid {pid} --fsize=unlimited:unlimited"),
            )


def _list_processes(status: dict[str, Any] | None) -> list[tuple[str, int]]:
    """Return the running processes by name, else our parent, the shell."""
    runtime, keeper = (status or {}).get("runtime") or {}, (status or {}).get("keeper") or {}
    up = [
        ("the runtime", runtime.get("pid")),
        ("the keeper", keeper.get("pid")),
        ("the guard", keeper.get("guard_pid")),
    ]
    living = [(name, pid) for name, pid in up if pid and os.path.exists(f"/proc/{pid}")]
    return living or [("this shell, which would start the runtime,", os.getppid())]


def _check_process_count(home: str, status: dict[str, Any] | None) -> Iterator[Finding]:
    """Check that enough processes can be created for all concurrent jobs."""
    if not status:
        return
    most, (room, what) = count_max_jobs(status), min(_list_headroom(_list_processes(status)[-1][1]))
    if room < most + SPARE_PROCESSES and status.get("queues"):
        largest = max(status["queues"], key=lambda queue: queue["capacity"])
        fits = max(1, int(largest["capacity"] - (most + SPARE_PROCESSES - room)))
        text = tr(
            "queues and pools allow {most:,} concurrent jobs, but only {room:,.0f} more"
            " processes are possible ({what})",
            most=most,
            room=max(0, room),
            what=what,
        )
        yield Finding(
            "limits",
            text,
            "broken",
            make_command(home, f"queue set {quote_word(largest['name'])} --capacity {fits}"),
        )


def count_max_jobs(status: dict[str, Any] | None) -> int:
    """Return the maximum number of concurrent jobs.

    The number is limited by queues, and by the CPU of each pool at one core per job.
    """
    most = 0.0
    found = status or {}
    for pool in found.get("pools", ()):
        capacity = sum(
            queue["capacity"]
            for queue in found.get("queues", ())
            if queue.get("pool") == pool["name"]
        )
        most += min(capacity, pool["total_cpu"])
    return int(most)


def _list_headroom(pid: int) -> Iterator[tuple[float, str]]:
    """Yield the number of processes that can still be created, and the limit's name."""
    count = sum(name.isdigit() for name in os.listdir("/proc"))
    yield _parse_number(read_file("/proc/sys/kernel/pid_max")) - count, "kernel.pid_max"
    yield _parse_number(read_file("/proc/sys/kernel/threads-max")) - count, "kernel.threads-max"
    if os.geteuid():
        mine = sum(1 for name in os.listdir("/proc") if name.isdigit() and _is_mine(name))
        yield read_limits(pid).get("Max processes", NO_LIMIT) - mine, "ulimit -u"
    for path in iter_cgroup_folders(pid, "pids"):
        used = _parse_number(read_file(f"{path}/pids.current"))
        if used < NO_LIMIT:
            yield (
                _parse_number(read_file(f"{path}/pids.max")) - used,
                tr("pids.max of {path}", path=sanitize(path)),
            )


def _is_mine(name: str) -> bool:
    try:
        return os.stat(f"/proc/{name}").st_uid == os.geteuid()
    except OSError:
        return False


def _parse_number(text: str) -> float:
    """Parse a number of the kernel; infinity for no limit."""
    text = text.strip()
    return float(text) if text.isdigit() and int(text) < UNLIMITED else NO_LIMIT


def read_cgroups(pid: int) -> dict[str, str]:
    """Return the control groups of a process by controller; the key of version 2 is ""."""
    found = {}
    for line in read_file(f"/proc/{pid}/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        found |= dict.fromkeys(names.split(","), path)
    return found


def iter_cgroup_folders(pid: int, controller: str) -> Iterator[str]:
    """Yield the folders of a controller, from the process's own group upwards."""
    found = read_cgroups(pid)
    roots = {
        controller: f"/sys/fs/cgroup/{controller}",
        "": "/sys/fs/cgroup",
        "unified": "/sys/fs/cgroup/unified",
    }
    for name, root in roots.items():
        path = found.get("" if name == "unified" else name)
        while path is not None and ".." not in path and os.path.isdir(root):
            yield f"{root}{path}".rstrip("/")
            path = os.path.dirname(path) if path != "/" else None


def check_pools(home: str, status: dict[str, Any] | None) -> Iterator[Finding]:
    """Check that pools do not exceed the machine."""
    for one in overcommit.find_overcommit((status or {}).get("pools") or (), *host.read_capacity()):
        options = [
            f"--{what} {f'{int(fits)}M' if what == 'memory' else units.format_number(fits)}"
            for what, fits in one.fits.items()
        ]
        cure = make_command(home, f"pool set {quote_word(one.pool)} {' '.join(options)}")
        yield Finding(
            "pools",
            tr("{problem}; this is fine if the pools share it on purpose", problem=one.message),
            "hint",
            cure,
        )


def check_memory(home: str, status: dict[str, Any] | None) -> Iterator[Finding]:
    """Check that pools do not exceed the memory of the control group."""
    if not status or not status.get("pools"):
        return
    total = sum(pool["total_memory"] for pool in status["pools"]) * 2**20
    figures = [
        (
            min(
                _parse_number(read_file(f"{path}/memory.max")),
                _parse_number(read_file(f"{path}/memory.limit_in_bytes")),
            ),
            path,
        )
        for path in iter_cgroup_folders(_list_processes(status)[-1][1], "memory")
    ]
    least, path = min(figures, default=(NO_LIMIT, ""))
    if least < total * 0.999:
        pool = max(status["pools"], key=lambda pool: pool["total_memory"])
        fits = max(1, int(pool["total_memory"] - (total - least) / 2**20))
        text = tr(
            "the pools provide {bytes} of memory, but {path} has {limit}",
            bytes=units.format_bytes(total),
            path=sanitize(path),
            limit=units.format_bytes(least),
        )
        yield Finding(
            "cgroups",
            text,
            "hint",
            make_command(home, f"pool set {quote_word(pool['name'])} --memory {fits}M"),
        )
