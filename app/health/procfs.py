"""/proc reader: owner, command line, parent and limits of processes."""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

KEEPER_FILE = os.path.join("keeper", "keeper.py")
_VERSION_FILE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "version.py")
_FORMER_NAME = "app"
"""Name after -m before Taskdeck had a package of its own; a runtime may outlive an upgrade."""
RUNTIME, IN_DECK = "serve", "--in-process"


class TaskdeckProcess:
    """Taskdeck process on this machine.

    `kind` is runtime or keeper. `home` is "" if unknown.
    """

    __slots__ = ("home", "kind", "pid", "uid")

    def __init__(self, pid: int, uid: int, kind: str, home: str) -> None:
        self.pid, self.uid, self.kind, self.home = pid, uid, kind, home


def read_file(path: str) -> str:
    """Return a file of the kernel; empty if missing or unreadable."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def find_taskdeck_processes() -> Iterator[TaskdeckProcess]:
    """Yield the visible runtimes, keepers and guards of every user."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        found = parse_command_line(read_file(f"/proc/{name}/cmdline").split("\0")[:-1])
        try:
            if found:
                yield TaskdeckProcess(int(name), os.stat(f"/proc/{name}").st_uid, *found)
        except OSError:
            continue  # the process has ended


def parse_command_line(argv: list[str]) -> tuple[str, str] | None:
    """Return kind and home of one of our command lines; None for any other."""
    if len(argv) >= 5 and argv[1:3] == ["-I", "-S"] and argv[3].endswith(f"{os.sep}{KEEPER_FILE}"):
        return "keeper", argv[4]
    at = next((i for i, word in enumerate(argv[:5]) if i and _is_taskdeck(argv, i)), None)
    if at is None and argv and os.path.basename(argv[0]) == "taskdeck":
        at = 0
    if at is None or not {RUNTIME, IN_DECK}.intersection(argv[at + 1 :]) or "--detach" in argv:
        return None
    return "runtime", _find_home(argv[at + 1 :])


def _is_taskdeck(argv: list[str], at: int) -> bool:
    """Return True if the word is Taskdeck run by Python."""
    by_python = "python" in os.path.basename(argv[0])
    return by_python and (
        os.path.basename(argv[at]) == "taskdeck" or argv[at - 1 : at + 1] == ["-m", _FORMER_NAME]
    )


def _find_home(argv: list[str]) -> str:
    for word, after in zip(argv, [*argv[1:], ""], strict=True):
        if word == "--home":
            return after
        if word.startswith("--home="):
            return word.removeprefix("--home=")
    return ""


def read_stat(pid: int) -> tuple[int, float] | None:
    """Return parent pid and start time in seconds since boot; None if ended."""
    fields = read_file(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if not fields or fields[0] in "ZX":
        return None
    return int(fields[1]), int(fields[19]) / os.sysconf("SC_CLK_TCK")


def began_before(seconds: float, path: str) -> bool:
    """Return True if a file was replaced since a time in seconds since boot. Raise OSError."""
    began = time.time() - (time.clock_gettime(time.CLOCK_BOOTTIME) - seconds)
    return os.stat(path).st_ctime > began + 1


def is_outdated(pid: int) -> bool:
    """Return True if this Taskdeck was installed after a process began.

    The version may be the same, and modules that the process loads now may not fit.
    """
    about = read_stat(pid)
    try:
        return about is not None and began_before(about[1], _VERSION_FILE)
    except OSError:
        return False


def is_suspended(pid: int) -> bool:
    """Return True if the process was suspended by a signal."""
    return read_file(f"/proc/{pid}/stat").rpartition(")")[2].split()[:1] == ["T"]


def read_limits(pid: int) -> dict[str, float]:
    """Return the soft limits by their names in /proc; infinity for none."""
    found = {}
    for line in read_file(f"/proc/{pid}/limits").splitlines()[1:]:
        name, soft = line[:25].strip(), line[25:].split()[0]
        found[name] = float("inf") if soft == "unlimited" else float(soft)
    return found
