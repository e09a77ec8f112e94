"""Control groups (cgroup v2) of runs whose limits the kernel enforces.

The keeper divides a folder that was delegated to it. Keeper and guard live in a leaf of their own,
since a cgroup with processes cannot limit those below it; each run has another leaf. The keeper
enters the leaf of a run, spawns and leaves again, so that the first instruction already runs
inside. The limits are written once the keeper has left. Below a small limit of memory, the start of
the program could make the kernel kill the keeper, too. A small weight could hold the keeper up on a
busy machine.
"""

from __future__ import annotations

import os
import time

from app.keeper.log import describe_error, log_message
from app.keeper.processes import read_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

CONTROLLERS = ("memory", "cpu")
OWN = b"own"  # the place that stands for the cgroup in which the keeper was started
KEEPER, RUN = "keeper", "run-"  # the leaf of keeper and guard; the beginning of a run's
CORE_WEIGHT, MAX_WEIGHT = 100, 10_000  # cpu.weight of one core, and the largest
REMOVAL_DELAY = 0.01  # seconds to the second try; each later pause is twice as long
REMOVAL_TIMEOUT = 60.0  # seconds after which a folder in use is left to the next keeper


class CgroupError(Exception):
    """A run's cgroup cannot be made or entered. Nothing was started."""


class CgroupFigures:
    """Figures of a run's cgroup, None where the kernel has none: seconds, KiB, kills for memory."""

    __slots__ = ("cpu", "peak", "kills")

    def __init__(self, path: str) -> None:
        micros = _read_counter(f"{path}/cpu.stat", b"usage_usec")
        self.cpu = None if micros is None else micros / 1e6
        peak = read_file(f"{path}/memory.peak").strip()
        self.peak = int(peak) // 1024 if peak.isdigit() else None
        self.kills = _read_counter(f"{path}/memory.events", b"oom_kill")


class RunCgroup:
    """The cgroup of one run, by the record in its intent: path, KiB of memory, weight."""

    __slots__ = ("path", "memory", "weight")

    def __init__(self, record: dict[str, Any]) -> None:
        self.path: str = record["path"]
        self.memory: int | None = record["memory"]
        self.weight: int | None = record["weight"]

    def enter(self) -> None:
        """Make the folder, check that its limits can be written, and move this process inside.

        Raise CgroupError; the folder is gone then.
        """
        try:
            os.mkdir(self.path, 0o755)
            if self.weight is not None:
                _write(f"{self.path}/cpu.weight", str(MAX_WEIGHT))
            if self.memory is not None:
                _write(f"{self.path}/memory.oom.group", "0")
                _write(f"{self.path}/memory.max", "max")
            _write(f"{self.path}/cgroup.procs", "0")
        except OSError as error:
            self.remove()
            raise CgroupError(f"{self.path}: {describe_error(error)}") from None

    def leave(self) -> None:
        """Move this process back to its own leaf. End it if that fails: the guard forks another."""
        try:
            _write(f"{os.path.dirname(self.path)}/{KEEPER}/cgroup.procs", "0")
        except OSError as error:
            log_message(f"cannot leave the cgroup of a run: {describe_error(error)}")
            os._exit(1)

    def limit(self) -> None:
        """Write the limits. Raise OSError."""
        if self.weight is not None:
            _write(f"{self.path}/cpu.weight", str(self.weight))
        if self.memory is not None:
            _write(f"{self.path}/memory.oom.group", "1")
            _write(f"{self.path}/memory.max", str(self.memory * 1024))

    def limit_again(self) -> None:
        """Limit a run whose keeper may have been killed between its start and its limit."""
        try:
            self.limit()
        except OSError as error:
            log_message(f"no limits in {self.path}: {describe_error(error)}")

    def kill(self) -> None:
        """Kill all processes inside and below, if any."""
        try:
            _write(f"{self.path}/cgroup.kill", "1")
        except OSError:
            pass  # the folder is gone

    def end(self, kills: bool) -> dict[str, Any]:
        """Kill what is left inside, if wanted, and return the figures for the record of the end."""
        if kills:
            self.kill()
        found = CgroupFigures(self.path)
        facts = {"cpu": found.cpu, "rss": None if found.peak is None else max(found.peak, 1)}
        facts["oom"] = None if found.kills is None else found.kills > 0
        return {name: value for name, value in facts.items() if value is not None}

    def list_pids(self) -> list[int]:
        """Return the processes inside, without those of cgroups that the run made below."""
        return [int(pid) for pid in read_file(f"{self.path}/cgroup.procs").split()]

    def remove(self) -> bool:
        """Remove the folder with those that the run made below; return False while it is in use."""
        return remove_folder(self.path)


class Cgroups:
    """The folder delegated to a keeper; without one, `why` tells the reason."""

    def __init__(self, root: str = "", why: str = "") -> None:
        self.root, self.why = root, why
        self.controllers: list[str] = []
        self.unremoved: dict[str, float] = {}  # folders still in use, and the time of the first try
        self.retry_at: float | None = None  # monotonic time of the next try
        self.pause = REMOVAL_DELAY  # seconds from one try to the next

    def describe(self) -> dict[str, Any]:
        """Return the controllers that limits can use, and the reason without any."""
        return {"root": self.root, "controllers": self.controllers, "why": self.why}

    def divide(self) -> None:
        """Move this process to its leaf and let other leaves have limits.

        Raise OSError or ValueError.
        """
        leaf = f"{self.root}/{KEEPER}"
        os.makedirs(leaf, 0o755, exist_ok=True)
        if not os.path.isfile(f"{leaf}/cgroup.kill"):
            raise ValueError("it needs cgroup v2 and Linux 5.14")
        _write(f"{leaf}/cgroup.procs", "0")
        self.controllers = enable_controllers(self.root)
        if "cpu" in self.controllers:
            # Runs without limits live in this leaf: together they weigh as the whole machine.
            _write(f"{leaf}/cpu.weight", str(compute_weight(os.cpu_count() or 1)))
        if not self.controllers:
            self.why = f"{self.root} has neither the controller memory nor cpu"

    def make_record(self, runid: str, limits: dict[str, Any]) -> dict[str, Any]:
        """Return the record of a new run's cgroup: KiB of `memory`, cores of `cpu`, or None."""
        cores = limits.get("cpu")
        return {
            "path": f"{self.root}/{RUN}{runid}",
            "memory": limits.get("memory"),
            "weight": None if cores is None else compute_weight(cores),
        }

    def find_lack(self, limits: dict[str, Any]) -> str:
        """Return why these limits cannot be enforced, or ""."""
        missing = [name for name in CONTROLLERS if limits.get(name) is not None]
        missing = [name for name in missing if name not in self.controllers]
        if not self.root or missing:
            return self.why or f"{self.root} has no controller {missing[0]}"
        return ""

    def remove(self, path: str) -> None:
        """Remove a run's folder, now or in a later try."""
        if not remove_folder(path):
            self.unremoved[path], self.pause = time.monotonic(), REMOVAL_DELAY
            self.retry_at = time.monotonic() + self.pause

    def retry_removals(self) -> None:
        """Try again to remove what was in use, if it is time, less and less often; then give up."""
        if self.retry_at is None or time.monotonic() < self.retry_at:
            return
        for path, since in list(self.unremoved.items()):
            if remove_folder(path) or time.monotonic() > since + REMOVAL_TIMEOUT:
                del self.unremoved[path]
        self.pause *= 2
        self.retry_at = time.monotonic() + self.pause if self.unremoved else None

    def list_unknown(self, known: set[str]) -> list[str]:
        """Return the folders of runs that are not among the known run ids."""
        try:
            names = os.listdir(self.root) if self.root else []
        except OSError:
            return []
        runs = [name for name in names if name.startswith(RUN)]
        return [f"{self.root}/{name}" for name in runs if name.removeprefix(RUN) not in known]


def divide_cgroup(place: bytes, home: bytes) -> Cgroups:
    """Divide the cgroup at a place: `OWN`, or a folder shared with other homes, or b"" for none."""
    if not place:
        return Cgroups(why="the keeper was started without a cgroup of its own")
    try:
        if place == OWN:
            found = Cgroups(find_own_folder())
        else:
            found = Cgroups(make_folder_of_home(os.fsdecode(place), home))
        found.divide()
    except (OSError, ValueError) as error:
        why = describe_error(error) if isinstance(error, OSError) else str(error)
        return Cgroups(why=f"the keeper cannot divide its cgroup: {why}")
    return found


def find_own_folder() -> str:
    """Return the folder of the cgroup of this process. Raise ValueError without cgroup v2."""
    lines = read_file("/proc/self/cgroup").decode(errors="surrogateescape").splitlines()
    own = next((line[3:] for line in lines if line.startswith("0::")), None)
    mounts = read_file("/proc/self/mountinfo").decode(errors="surrogateescape").splitlines()
    for line in mounts:
        fields, _, kind = line.partition(" - ")
        root, at = fields.split()[3:5]
        if own and kind.startswith("cgroup2 "):
            return at + own.removeprefix(root.rstrip("/")).rstrip("/")
    raise ValueError("this machine has no cgroup v2")


def make_folder_of_home(place: str, home: bytes) -> str:
    """Make the folder of a home below one that several homes may divide. Raise OSError."""
    if not os.path.isfile(f"{place}/cgroup.controllers"):
        raise ValueError(f"{place} is no folder of cgroup v2")
    enable_controllers(place)
    about = os.stat(home)
    folder = f"{place.rstrip('/')}/taskdeck-{about.st_dev:x}-{about.st_ino:x}"
    os.makedirs(folder, 0o755, exist_ok=True)
    return folder


def enable_controllers(folder: str) -> list[str]:
    """Let the cgroups below have limits; return the controllers that they have."""
    there = read_file(f"{folder}/cgroup.controllers").decode().split()
    for name in CONTROLLERS:
        if name in there:
            try:
                _write(f"{folder}/cgroup.subtree_control", f"+{name}")
            except OSError as error:
                log_message(f"no limits of {name} in {folder}: {describe_error(error)}")
    given = read_file(f"{folder}/cgroup.subtree_control").decode().split()
    return [name for name in CONTROLLERS if name in given]


def compute_weight(cores: float) -> int:
    """Return the cpu.weight of a run that asked for these cores."""
    return max(1, min(MAX_WEIGHT, round(CORE_WEIGHT * cores)))


def remove_folder(path: str) -> bool:
    """Remove a cgroup and those below; return False while one has a process.

    Programs make those below, to any depth: recursion could end the keeper.
    """
    folders = []
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        folders.append(path)
    try:
        for folder in folders:
            folders += list_folders(folder)
        for folder in reversed(folders):
            os.rmdir(folder)
    except OSError:
        return False
    return True


def list_folders(folder: str) -> list[str]:
    """Return the paths of the cgroups directly below one. Raise OSError."""
    with os.scandir(folder) as entries:
        return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


def _read_counter(path: str, name: bytes) -> int | None:
    """Return a value of a file with a name and a number in each line, or None."""
    for line in read_file(path).splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == name and words[1].isdigit():
            return int(words[1])
    return None


def _write(path: str, value: str) -> None:
    """Write a value to a file of a cgroup. Raise OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)
