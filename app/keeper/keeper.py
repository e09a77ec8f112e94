"""The keeper, parent of all instances, and the guard above it: `python -I -S keeper.py HOME`.

One file of the standard library that imports nothing of ours, so that it stays small and outlives every upgrade.

Two processes run this code. The guard is the keeper's parent; both are subreapers from their first instruction and
share, by fork, the lock, the listening socket and the journal. `live` is the one rule: each ends its part when the
other has died, reads what the dead one wrote, and forks a new keeper below itself.

* The keeper serves the runtime, spawns, and carries through stops and deadlines, of the guard's runs too (a signal
  needs no parenthood). The guard only reaps what fell to it, writes those exits down and tells the keeper.
* Journal: files of JSON lines in `run/journal2`, space preallocated. The guard owns all that exist when it forks a
  keeper, the keeper those that it makes; only the owner appends to one or deletes it. Records, by their first key:
  i intent, p pid, s stop, e exit, r refused, v void (nothing was started after all), f forgotten.
* An exit is written before it is reaped. If it cannot be written the zombie is left, and tried again each second.
* A run with neither parent alive cannot be waited for: it is looked at each second and ends `lost`.
* Each journal file begins with what tells it from a copy of it. In a copy of a home what ran then is another home's: it
  is `lost` at once, and never touched.
* Each protocol has names of its own in the run folder.

Peak memory is the kernel's figure for the process and the children it waited for, unless that may be the keeper's own:
Linux carries the peak of the spawning process (about 12 MiB; `slim` keeps it there) over exec. Of a job that stays
below that, the largest peak seen is told: its tree is looked at 10 ms after its start, and again after twice as long
each time. One that ended unseen is put at the pages it faulted in, which leaves out what the kernel mapped around
them: `/bin/true` shows about 0.25 MiB and has 1.7. CPU seconds include orphans of the session that ended before it.

Wire: JSON lines; requests say what to `do`, events what `is`. Times are UNIX seconds, durations seconds, memory KiB.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import heapq
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

VERSION = "0.1.0"  # of the Taskdeck that this file is part of
PROTOCOL = 2
SOCKET, LOCK, LOG = (f"keeper{PROTOCOL}.{kind}" for kind in ("sock", "lock", "log"))
JOURNAL = f"journal{PROTOCOL}"
COPIED = "a copy"  # the boot of a journal file that tells of another home's runs
SEGMENT = 512 * 1024  # bytes preallocated for one journal file
EXIT_ROOM = 512  # bytes set aside for the exit of each living run
SLACK = 16 * 1024  # bytes left for stops, refusals and what `tidy` moves
FEW = 32  # a closed journal file with no more runs than this is emptied into the current one
MANY = 4  # more files than this are put together by who inherits them
SYNC_AFTER = 0.1
DEADLINE_GRACE = 2.0  # the runtime stops a run at its deadline; the keeper acts by itself this much later
IDLE = 60.0
UNKILLABLE = 10.0  # after this long under SIGKILL a tree whose leader has ended is given up
FIRST_LOOK, LAST_LOOK = 0.01, 300.0  # seconds between looks at the memory of a job smaller than the keeper
INEXACT = 1024  # KiB by which two figures of the same peak may differ: the kernel counts on each CPU
GROWN = 2048  # KiB of growth after which the keeper gives memory back
HANGING = 5.0  # a job that has not come from fork to exec within this time is taken as started
LONGEST_LINE = 32 * 1024 * 1024
MOST_CLIENTS = 32
MOST_UNSENT = 64 * 1024 * 1024
LOG_LIMIT = 256 * 1024
TICKS = os.sysconf("SC_CLK_TCK")
COOKIE = b"TASKDECK_RUNID="
EVERY_SIGNAL = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
KIB_PER_PAGE = os.sysconf("SC_PAGE_SIZE") // 1024
WAITID = {"x86_64": 247, "ppc64le": 272, "s390x": 281}.get(os.uname().machine, 95)  # 95: what is newer
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EMFILE, errno.ENFILE)

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
encode = json.JSONEncoder(separators=(",", ":")).encode


def line(message: dict[str, Any]) -> bytes:
    """One message or record as it travels and is stored: ASCII JSON and a newline."""
    return encode(message).encode("ascii") + b"\n"


def boottime() -> float:
    """Seconds since the machine started, time asleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def read(path: str) -> bytes:
    """A small file of /proc, whole; empty when it is gone or not ours to read."""
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


# ---------------------------------------------------------------------------------------------------- processes


class Process:
    """What /proc says of one process: parent, session, start ticks, and whether it is dead already."""

    __slots__ = ("pid", "parent", "session", "ticks", "dead")

    def __init__(self, pid: int, stat: bytes) -> None:
        fields = stat[stat.rindex(b")") + 2 :].split()
        self.pid, self.parent, self.session = pid, int(fields[1]), int(fields[3])
        # The first thread of a process may have ended, and look like a zombie, while others go on.
        self.ticks, self.dead = int(fields[19]), fields[0] in b"ZX" and int(fields[17]) < 2


def process(pid: int) -> Process | None:
    """The process with that pid, dead or alive, or None when there is none."""
    stat = read(f"/proc/{pid}/stat")
    return Process(pid, stat) if stat else None


def processes() -> dict[int, Process]:
    """Every process that can be seen, by pid."""
    found = (process(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {p.pid: p for p in found if p}


def cookie(pid: int) -> str:
    """The run that a process says it belongs to, or nothing."""
    for entry in read(f"/proc/{pid}/environ").split(b"\0"):
        if entry.startswith(COOKIE):
            return entry[len(COOKIE) :].decode(errors="surrogateescape")
    return ""


def children() -> list[int]:
    """Pids of our own children; empty where the kernel does not list them."""
    me = os.getpid()
    return [int(pid) for pid in read(f"/proc/{me}/task/{me}/children").split()]


def poke(pid: int, ticks: int, number: int) -> None:
    """Send a signal to exactly that process: a pid that was given to another since is left alone."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    try:
        found = process(pid)
        if found and found.ticks == ticks:
            signal.pidfd_send_signal(handle, number)
    except OSError:
        pass  # it has ended, or became another user's
    finally:
        os.close(handle)


class Ended:
    """A child that has ended and is not yet reaped. Peak memory and what it faulted in, in KiB."""

    __slots__ = ("pid", "code", "signal", "cpu", "rss", "faulted")

    def __init__(self, pid: int, how: int, status: int, usage: tuple[int, ...]) -> None:
        self.pid = pid
        self.code, self.signal = (status, None) if how == os.CLD_EXITED else (None, status)
        self.cpu = usage[0] + usage[2] + (usage[1] + usage[3]) / 1e6
        self.rss, self.faulted = usage[4], (usage[8] + usage[9]) * KIB_PER_PAGE


SIGINFO, RUSAGE = ctypes.create_string_buffer(128), ctypes.create_string_buffer(256)
WAITING = os.WEXITED | os.WNOHANG | os.WNOWAIT


def ended_child() -> Ended | None:
    """Any child that has ended, left unreaped, with its usage: os.waitid gives no usage, and wait4 reaps."""
    if libc.syscall(WAITID, os.P_ALL, 0, SIGINFO, WAITING, RUSAGE) != 0:
        return None
    how, _, pid, _, status = struct.unpack_from("iiiii", SIGINFO, 8)
    return Ended(pid, how, status, struct.unpack_from("10l", RUSAGE)) if pid else None


def own_peak() -> int:
    """The most memory that this process ever had, in KiB: what a job begins with in the kernel's books."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def slim() -> None:
    """Give back what is free and let our peak be what we hold now, where the kernel can: else it is only less exact."""
    libc.malloc_trim(0)
    set_own("clear_refs", b"5")


def set_own(name: str, value: bytes) -> None:
    """Write to a file of our own in /proc, where that can be done."""
    try:
        fd = os.open(f"/proc/self/{name}", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(fd, value)
    except OSError:
        pass
    finally:
        os.close(fd)


def tree_peak(pid: int) -> int:
    """The largest peak of a process and of those below it that live now, a hundred at most, in KiB."""
    peak, tree = 0, [pid]
    for one in tree:
        _, _, after = read(f"/proc/{one}/status").partition(b"VmHWM:")
        peak = max(peak, int(after.split(None, 1)[0]) if after else 0)
        if len(tree) < 100:
            tree += map(int, read(f"/proc/{one}/task/{one}/children").split())
    return peak


def has_ended(pid: int) -> bool:
    """Has this child of ours ended? /proc knows it of a traced one too, whose end is reported to the tracer first."""
    found = process(pid)
    return found is None or found.dead


# ---------------------------------------------------------------------------------------------------- runs


class Run:
    """One run: its journal records by their letter, and what is known only while we live."""

    __slots__ = ("id", "facts", "segments", "shared", "left", "cpu", "rss", "seen", "caught", "warned", "kill_at", "apart", "over")

    def __init__(self, runid: str) -> None:
        self.id = runid
        self.facts: dict[str, dict[str, Any]] = {}
        self.segments: list[Segment] = []
        self.shared = False  # the guard knows it too
        self.left = 0
        self.cpu, self.rss = 0.0, 0  # of orphans of its session that ended before it
        self.seen = 0  # the largest peak seen while it ran
        self.caught: dict[int, int] = {}  # start ticks of its processes, by pid, as seen while it is being stopped
        self.warned = False
        self.kill_at = 0.0
        self.over: tuple[float, float] | None = None  # when its end was first seen, and after how many seconds
        self.apart = False  # its session is empty, so that the number may be another's

    @property
    def lives(self) -> bool:
        """It was started, as far as is known, and its end has not been seen."""
        return "e" not in self.facts and "r" not in self.facts

    @property
    def pid(self) -> int:
        """The leader's pid, 0 when not known."""
        return self.facts["p"]["pid"] if "p" in self.facts else 0

    @property
    def ticks(self) -> int:
        """When its leader started; before its pid is known, the earliest that it can have started."""
        return self.facts["p"]["ticks"] if "p" in self.facts else int(self.facts["i"]["boot"] * TICKS) - 1

    @property
    def deadline(self) -> float | None:
        """Boot time at which it is overdue."""
        begun = self.facts["i"]
        return None if begun["timeout"] is None else begun["boot"] + begun["timeout"]

    def learn(self, letter: str, record: dict[str, Any]) -> None:
        """Take in a record. The first reason to stop and the first end stand; later stops only shorten the grace."""
        if letter == "s":
            due = record["boot"] + record["grace"]
            self.kill_at = min(self.kill_at, due) if "s" in self.facts else due
        if letter not in ("s", "e"):
            self.facts[letter] = record
        self.facts.setdefault(letter, record)

    def leader(self, found: Process) -> dict[str, Any]:
        """The pid record, once its process is known, with the peak that it has from us."""
        return {"p": self.id, "pid": found.pid, "ticks": found.ticks, "own": own_peak()}

    @property
    def hidden(self) -> int:
        """A peak up to this may be the one that its process had from the keeper, in KiB."""
        return self.facts.get("p", {}).get("own", own_peak()) + INEXACT

    def peak(self, child: Ended) -> int:
        """Its peak memory in KiB, as well as it can be known."""
        if child.rss > self.hidden:
            return child.rss
        return max(self.rss, self.seen or min(child.rss, child.faulted))

    def exit(self, **facts: Any) -> dict[str, Any]:
        """An exit record; what is not given is unknown."""
        record: dict[str, Any] = {"e": self.id, "code": None, "signal": None, "at": time.time(), "seconds": None}
        record |= {"cpu": None, "rss": None}
        return record | facts

    def lost(self, reason: str) -> dict[str, Any]:
        """The exit record of a run whose outcome cannot be known."""
        return self.exit(lost=True, reason=reason)

    def lost_before(self) -> dict[str, Any]:
        """The same of one that is of another boot than ours, or of another home: there it may live on, and nobody is to start it again."""
        if self.segments[0].boot == COPIED:
            return self.lost("the home was copied, or moved to another disk, while it ran") | {"again": False}
        return self.lost("host restarted")


def started(run: Run) -> dict[str, Any]:
    """The event of a run that is running."""
    begun, stop = run.facts["i"], run.facts.get("s")
    event = {"is": "started", "run": run.id, "pid": run.pid, "ticks": run.ticks, "at": begun["at"]}
    return event | {"boot_at": begun["boot"], "stop": stop["reason"] if stop else None}


def ended(run: Run) -> dict[str, Any]:
    """The event of a run that has ended."""
    end, stop, ran = run.facts["e"], run.facts.get("s"), "p" in run.facts
    return {
        "is": "ended",
        "run": run.id,
        "code": end["code"],
        "signal": end["signal"],
        "reason": end.get("reason"),
        "stop": stop["reason"] if stop else None,
        "lost": end.get("lost", False),
        "again": end.get("again", True),
        "started_at": run.facts["i"]["at"] if ran else None,
        "at": end["at"],
        "run_seconds": end["seconds"],
        "cpu": end["cpu"],
        "maxrss": end["rss"],
        "pid": run.pid or None,
        "left": run.left,
    }


def members(runs: Iterable[Run]) -> dict[str, dict[int, int]]:
    """The living processes of each run: of its session, with its cookie, below one of these, or caught before.

    By run, {pid: start ticks}.
    """
    wanted = {run.id: run for run in runs if run.pid}
    table = {pid: p for pid, p in processes().items() if not p.dead or pid in {run.pid for run in wanted.values()}}
    owners = owners_of(table, wanted)
    found: dict[str, dict[int, int]] = {runid: {} for runid in wanted}
    for pid, owner in owners.items():
        if owner in found and not table[pid].dead:
            found[owner][pid] = table[pid].ticks
    return found


def owners_of(table: dict[int, Process], runs: dict[str, Run]) -> dict[int, str]:
    """The run that each process belongs to, by pid; our own two apart."""
    for run in runs.values():
        run.apart = run.apart or (not run.lives and is_empty(run.pid, table))
    sessions = {run.pid: run.id for run in runs.values() if not run.apart and not reused(table.get(run.pid), run)}
    caught = {(pid, ticks): run.id for run in runs.values() for pid, ticks in run.caught.items()}
    oldest = min((run.ticks for run in runs.values()), default=0)
    for pid in (os.getpid(), os.getppid()):
        table.pop(pid, None)
    owners = {
        pid: sessions.get(p.session) or caught.get((pid, p.ticks)) or cookie(pid)
        for pid, p in table.items()
        if p.ticks >= oldest
    }
    descend(table, owners, runs)
    return owners


def is_empty(session: int, table: dict[int, Process]) -> bool:
    """Does nobody live in a session, its leader apart? A number is not given again before that."""
    return not any(p.session == session and p.pid != session and not p.dead for p in table.values())


def reused(leader: Process | None, run: Run) -> bool:
    """Has the run's pid been given to another process?"""
    return leader is not None and leader.ticks != run.ticks


def descend(table: dict[int, Process], owners: dict[int, str], runs: dict[str, Run]) -> None:
    """Give the children of a run's processes to the run, as deep as they go."""
    below: dict[int, list[int]] = {}
    for pid in owners:
        below.setdefault(table[pid].parent, []).append(pid)
    todo = [pid for pid, owner in owners.items() if owner in runs]
    while todo:
        parent = todo.pop()
        for pid in below.get(parent, ()):
            if owners[pid] not in runs:
                owners[pid] = owners[parent]
                todo.append(pid)


# ---------------------------------------------------------------------------------------------------- journal


class Segment:
    """One journal file. `size` is where the next record goes, or, while another owns it, how far it has been read."""

    __slots__ = ("name", "fd", "size", "torn", "boot", "runs", "owed", "unsynced", "entered", "mine")

    def __init__(self, name: str, fd: int) -> None:
        self.name, self.fd, self.size, self.torn, self.boot = name, fd, 0, False, ""
        self.runs: set[str] = set()  # not yet forgotten
        self.owed = 0  # exits that are still to be written here
        self.unsynced: dict[str, float] = {}  # when each exit was written that is in memory only, oldest first
        self.entered = False  # its name is on the disk
        self.mine = False

    @property
    def file(self) -> list[int]:
        """What no copy of the file has, and the file itself keeps where its home is moved to."""
        found = os.fstat(self.fd)
        return [found.st_dev, found.st_ino]

    def fits(self) -> bool:
        """Is there room for one more run and for the exits of all that live?"""
        return self.size + (self.owed + 1) * EXIT_ROOM + SLACK <= SEGMENT

    def append(self, record: dict[str, Any]) -> None:
        """Write one record with one write(). Raises OSError when it did not fit; a part is then left and ignored."""
        data = b"\n" + line(record) if self.torn else line(record)
        written = os.pwrite(self.fd, data, self.size)
        self.size += written
        self.torn = written < len(data)
        if self.torn:
            raise OSError(errno.ENOSPC, "no space for the journal")

    def unread(self) -> Iterator[dict[str, Any]]:
        """Records that another wrote since. A torn last line is passed over."""
        data = os.pread(self.fd, os.fstat(self.fd).st_size, self.size).rstrip(b"\0")
        self.size += len(data)
        self.torn = bool(data) and not data.endswith(b"\n")
        for text in data.split(b"\n"):
            try:
                record = json.loads(text)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict):
                yield record


def allocate(fd: int) -> None:
    """Reserve a journal file's space, where the file system can. Raises OSError when there is none."""
    try:
        os.posix_fallocate(fd, 0, SEGMENT)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise


class Ledger:
    """All that is known of the runs, and the journal that keeps it."""

    def __init__(self, folder: int, boot: str) -> None:
        self.folder, self.boot = folder, boot
        self.runs: dict[str, Run] = {}
        self.segments: dict[str, Segment] = {}
        self.current: Segment | None = None
        self.sync_at: float | None = None

    # -- reading

    def inherit(self) -> None:
        """Read what the other wrote, and own all of it from now on."""
        self.current = None
        names = sorted(name for name in os.listdir(self.folder) if name.endswith(".log"))
        for gone in self.segments.keys() - set(names):
            os.close(self.segments.pop(gone).fd)
        for name in names:
            segment = self.segments.get(name) or self.open(name, os.O_RDWR)
            if not segment.mine:
                self.take(segment)
        for segment in list(self.segments.values()):
            self.tidy(segment)

    def gather(self) -> None:
        """Put what little the files of many predecessors hold into one."""
        if len(self.segments) > MANY:
            try:
                self.rotate()
            except OSError:
                pass  # no space: they stay

    def take(self, segment: Segment) -> None:
        """Read a segment and own it."""
        for record in segment.unread():
            try:
                self.apply(record, segment)
            except (KeyError, TypeError, StopIteration):
                continue  # not a record of ours
        segment.mine = True

    def apply(self, record: dict[str, Any], segment: Segment) -> None:
        """Take in one record."""
        letter = next(iter(record))
        if letter == "boot":
            copied = record["boot"] == self.boot and record.get("file", segment.file) != segment.file
            segment.boot = COPIED if copied else record["boot"]
        elif letter == "f":
            for runid in record["f"]:
                self.drop(runid)
        elif letter == "v":
            self.drop(record["v"])
        elif run := self.known(letter, record[letter]):
            run.learn(letter, record)
            self.hold(run, segment)

    def known(self, letter: str, runid: str) -> Run | None:
        """The run a record is about; only an intent or a refusal makes one."""
        if letter in "ir":
            return self.runs.setdefault(runid, Run(runid))
        return self.runs.get(runid)

    def disown(self) -> None:
        """Called in a new keeper: all that exists belongs to the guard."""
        for segment in self.segments.values():
            segment.mine = False
            segment.unsynced.clear()
        for run in self.runs.values():
            run.shared = True
        self.current = self.sync_at = None

    # -- writing

    def open(self, name: str, flags: int) -> Segment:
        """Open a journal file and list it."""
        fd = os.open(name, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=self.folder)
        if other := self.segments.get(name):
            os.close(other.fd)  # the guard's, deleted since
        self.segments[name] = Segment(name, fd)
        return self.segments[name]

    def begin(self, intent: dict[str, Any]) -> Run:
        """Write down that a run is about to be started. Raises OSError when there is no room for it and its exit."""
        segment = self.current if self.current and self.current.fits() else self.rotate()
        segment.append(intent)
        segment.owed += 1
        run = self.runs[intent["i"]] = Run(intent["i"])
        run.learn("i", intent)
        self.hold(run, segment)
        return run

    def note(self, run: Run, letter: str, record: dict[str, Any]) -> None:
        """Write down one more fact of a run. Raises OSError when that cannot be done."""
        segment = next((s for s in run.segments if s.mine), None) or self.current or self.rotate()
        segment.append(record)
        run.learn(letter, record)
        self.hold(run, segment)
        if letter == "e":
            segment.owed -= run.segments[0] is segment
            segment.unsynced[run.id] = time.monotonic()
            self.sync_at = self.sync_at or time.monotonic() + SYNC_AFTER

    def note_if_possible(self, run: Run, letter: str, record: dict[str, Any]) -> None:
        """The same for a fact that is acted on even if it cannot be written."""
        try:
            self.note(run, letter, record)
        except OSError:
            run.learn(letter, record)

    def refuse(self, runid: str) -> Run:
        """Never start this run. Raises OSError when that cannot be written."""
        segment = self.current or self.rotate()
        segment.append({"r": runid})
        run = self.runs.setdefault(runid, Run(runid))
        run.learn("r", {"r": runid})
        self.hold(run, segment)
        return run

    def void(self, run: Run) -> None:
        """Take back an intent: nothing was started."""
        segment = run.segments[0]
        segment.append({"v": run.id})
        segment.owed -= 1
        self.drop(run.id)

    def forget(self, runids: list[str]) -> list[Run]:
        """Drop runs whose end the runtime has stored, and the files that held nothing else; those that were known."""
        known = [runid for runid in runids if runid in self.runs and not self.runs[runid].lives]
        segment = self.current
        if known and segment:
            try:
                segment.append({"f": known})
            except OSError:
                pass  # after a restart the runtime says it again
        dropped = [run for runid in known if (run := self.drop(runid))]
        for segment in {s for run in dropped for s in run.segments}:
            self.tidy(segment)
        return dropped

    def drop(self, runid: str) -> Run | None:
        """No longer know a run."""
        run = self.runs.pop(runid, None)
        for segment in run.segments if run else ():
            segment.runs.discard(runid)
            segment.unsynced.pop(runid, None)
        return run

    def hold(self, run: Run, segment: Segment) -> None:
        """Remember that a segment says something of a run, so that it stays as long as the run."""
        if segment not in run.segments:
            run.segments.append(segment)
            segment.runs.add(run.id)

    # -- files

    def rotate(self) -> Segment:
        """Start a new file. Raises OSError when there is no space for it."""
        last = max((int(name[:-4]) for name in os.listdir(self.folder) if name[:-4].isdigit()), default=0)
        segment = self.open(f"{last + 1:08}.log", os.O_RDWR | os.O_CREAT | os.O_EXCL)
        segment.mine, segment.boot = True, self.boot
        try:
            allocate(segment.fd)
            segment.append({"boot": self.boot, "protocol": PROTOCOL, "file": segment.file})
        except OSError:
            self.delete(segment)
            raise
        self.current = segment
        for other in list(self.segments.values()):
            self.tidy(other)
        return segment

    def tidy(self, segment: Segment) -> None:
        """Delete a closed file of ours that holds nothing any more; one that holds little is emptied first."""
        if not segment.mine or segment is self.current or len(segment.runs) > FEW:
            return
        if self.current:
            try:
                self.move(segment, self.current)
            except OSError:
                return  # no space: it stays as it is
        if not segment.runs:
            self.delete(segment)

    def move(self, segment: Segment, to: Segment) -> None:
        """Write the records of a segment's runs again, into another."""
        for run in [self.runs[runid] for runid in segment.runs]:
            if run.lives and segment.boot != to.boot:
                continue  # its file is what tells that the machine was restarted
            if not to.fits():
                break
            for record in run.facts.values():
                to.append(record)
            self.hold(run, to)
            to.owed += run.lives
            run.segments.remove(segment)
            segment.runs.discard(run.id)
        if not segment.runs:
            self.harden(to)

    def delete(self, segment: Segment) -> None:
        """Close a file; only its owner removes it."""
        if segment.mine:
            try:
                os.unlink(segment.name, dir_fd=self.folder)
            except OSError:
                return
        os.close(segment.fd)
        self.segments.pop(segment.name, None)
        if segment is self.current:
            self.current = None

    def sync(self) -> None:
        """Bring exits to the disk that nobody has stored elsewhere in time. Raises OSError when the disk refuses."""
        waiting = [segment for segment in self.segments.values() if segment.unsynced]
        oldest = min((next(iter(segment.unsynced.values())) for segment in waiting), default=None)
        self.sync_at = None if oldest is None else oldest + SYNC_AFTER
        if self.sync_at and time.monotonic() >= self.sync_at:
            self.sync_at = None
            for segment in waiting:
                self.harden(segment)

    def harden(self, segment: Segment) -> None:
        """Bring a file to the disk, and its name. Raises OSError when the disk refuses."""
        segment.unsynced.clear()
        os.fdatasync(segment.fd)
        if not segment.entered:
            os.fsync(self.folder)
        segment.entered = True

    def close(self) -> None:
        """Leave: of our own files only those stay that hold something."""
        for segment in list(self.segments.values()):
            if not segment.runs:
                self.delete(segment)


# ---------------------------------------------------------------------------------------------------- starting a job


class CannotStart(Exception):
    """The program of a run cannot be started, with the exit code a shell would give."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code, self.reason = code, reason


def raw(text: str) -> bytes:
    """A string of the wire as the bytes it stands for."""
    return text.encode("utf-8", "surrogateescape")


def shown(value: bytes, most: int = 120) -> str:
    """Bytes for a message, cut when long."""
    text = value.decode("utf-8", "surrogateescape")
    return text if len(text) <= most else text[: most - 1] + "…"


class Launch:
    """What a spawn request asks for, checked. Raises ValueError, KeyError or TypeError when it is no such request."""

    __slots__ = ("run", "argv", "cwd", "env", "umask", "log", "timeout", "grace")

    def __init__(self, ask: dict[str, Any]) -> None:
        self.run = runid(ask)
        self.argv = [raw(word) for word in ask["argv"]]
        self.env = {raw(name): raw(value) for name, value in ask["env"].items()}
        self.cwd, self.log, self.umask = raw(ask["cwd"]), raw(ask["log"]), int(ask["umask"]) & 0o777
        self.timeout = None if ask.get("timeout") is None else seconds(ask["timeout"])
        self.grace = seconds(ask["grace"])
        if not self.argv or not self.argv[0]:
            raise ValueError("argv is empty")

    def intent(self) -> dict[str, Any]:
        """The journal record that comes before the start."""
        clocks = {"at": time.time(), "boot": boottime(), "mono": time.monotonic()}
        return {"i": self.run} | clocks | {"timeout": self.timeout, "grace": self.grace}


def seconds(value: Any) -> float:
    """A duration. Raises ValueError when it is none."""
    found = float(value)
    if not 0 <= found < 1e10:
        raise ValueError("no duration")
    return found


def runid(ask: dict[str, Any]) -> str:
    """The run a request is about. Raises ValueError when it cannot be an id."""
    found = ask["run"]
    if not isinstance(found, str) or not 0 < len(found) <= 100 or not found.isascii():
        raise ValueError("no run id")
    return found


def open_log(path: bytes) -> int:
    """Open a run's log for appending, and make its folder when it is not there. Raises OSError."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        return os.open(path, flags, 0o600)


def unmake_log(path: bytes, log: int) -> None:
    """Remove the log of a run that was not begun, where it says nothing: a log tells that its run has been there."""
    if os.fstat(log).st_size == 0:
        try:
            os.unlink(path)
        except OSError:
            pass  # who counts runs by their logs looks into those of which the journal says nothing


def start(launch: Launch, log: int) -> int:
    """Start the program in a session of its own; its pid. Raises CannotStart; OSError when there is no process left."""
    enter(launch.cwd)
    try:
        program = find(launch.argv[0], launch.env)
        os.umask(launch.umask)
        return spawn(program, launch, log)
    finally:
        os.umask(0o077)
        os.chdir("/")


def enter(cwd: bytes) -> None:
    """Go to the run's working directory."""
    try:
        os.chdir(cwd)
    except (OSError, ValueError) as error:
        raise CannotStart(126, f"cannot enter directory {shown(cwd)}: {said(error)}") from None


def said(error: Exception) -> str:
    """What went wrong, without errno and path."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def spawn(program: bytes, launch: Launch, log: int) -> int:
    """posix_spawn; a file without a first line that names its interpreter is a script of sh, as for execvp."""
    try:
        return spawn_as(program, launch.argv, launch, log)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.ENOMEM):
            raise
        if error.errno == errno.ENOEXEC:
            return spawn_as(b"/bin/sh", [b"/bin/sh", program, *launch.argv[1:]], launch, log)
        why = "its interpreter is missing" if error.errno == errno.ENOENT else said(error)
        raise CannotStart(126, f"cannot run {shown(program)}: {why}") from None
    except ValueError as error:
        raise CannotStart(126, f"cannot run {shown(program)}: {error}") from None


def spawn_as(program: bytes, argv: list[bytes], launch: Launch, log: int) -> int:
    """One posix_spawn: own session, default signals, output to the log; all other descriptors close by themselves."""
    output = [(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
    return os.posix_spawn(
        program, argv, launch.env, file_actions=output, setsid=True, setsigmask=(), setsigdef=EVERY_SIGNAL
    )


def find(name: bytes, env: dict[bytes, bytes]) -> bytes:
    """The program a name stands for on the run's own PATH. Raises CannotStart."""
    if b"/" in name:
        return check(name)
    path = env.get(b"PATH", os.fsencode(os.defpath))
    folders = [folder or b"." for folder in path.split(b":")]
    places = [folder + b"/" + name for folder in folders]
    files = [place for place in places if os.path.isfile(place)]
    for place in files:
        if os.access(place, os.X_OK):
            return place
    if files:
        raise CannotStart(126, f"not executable: {shown(files[0])}")
    raise CannotStart(127, f'no program "{shown(name)}" in PATH ({shown(path, 60)}){near(name, folders)}')


def check(program: bytes) -> bytes:
    """A program given by its path. Raises CannotStart."""
    if not os.path.lexists(program):
        raise CannotStart(127, f"no such file: {shown(program)}")
    if not os.path.isfile(program) or not os.access(program, os.X_OK):
        raise CannotStart(126, f"not executable: {shown(program)}")
    return program


def near(name: bytes, folders: list[bytes]) -> str:
    """Names the first program that is one letter away, for the end of a message."""
    close = one_off(name)
    for folder in folders:
        try:
            names = sorted(close.intersection(os.listdir(folder)))
        except OSError:
            continue
        for found in names:
            if os.access(folder + b"/" + found, os.X_OK):
                return f". Nearest: {shown(found)}"
    return ""


def one_off(name: bytes) -> set[bytes]:
    """All names one slip of a finger away: a letter missing, too many, wrong, or two swapped."""
    if not 1 < len(name) <= 64:
        return set()
    letters = [bytes([c]) for c in b"abcdefghijklmnopqrstuvwxyz0123456789-_.+"]
    splits = [(name[:i], name[i:]) for i in range(len(name) + 1)]
    missing = {a + b[1:] for a, b in splits if b}
    swapped = {a + b[1:2] + b[:1] + b[2:] for a, b in splits if len(b) > 1}
    return missing | swapped | {a + c + rest for a, b in splits for c in letters for rest in (b, b[1:])}


# ---------------------------------------------------------------------------------------------------- connections


class Line:
    """A connection that carries JSON lines both ways and never blocks."""

    __slots__ = ("sock", "unread", "unsent", "open")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock, self.unread, self.unsent, self.open = sock, bytearray(), bytearray(), True

    def receive(self) -> list[bytes]:
        """The lines that are there. `open` is False once the other side is gone."""
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        whole, newline, rest = data.rpartition(b"\n")
        lines = bytes(self.unread + whole).split(b"\n") if newline else []
        if newline:
            self.unread.clear()
        self.unread += rest
        self.open = bool(data) and len(self.unread) < LONGEST_LINE
        return lines

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message for `flush`."""
        self.unsent += line(message)

    def flush(self) -> None:
        """Send what the other side takes now."""
        try:
            del self.unsent[: self.sock.send(self.unsent)]
        except BlockingIOError:
            pass
        except OSError:
            self.unsent.clear()  # gone; reading says so


# ---------------------------------------------------------------------------------------------------- the two


class House:
    """What the two share by fork: the listening socket, the ledger, and which runs are children of this process."""

    def __init__(self, listener: socket.socket, ledger: Ledger) -> None:
        self.listener, self.ledger = listener, ledger
        self.mine: dict[int, Run] = {}
        self.strays: dict[int, tuple[int, str]] = {}  # children that are no runs: session and cookie

    def adopt(self) -> None:
        """Find out which living runs are our children by now."""
        for run in list(self.ledger.runs.values()):
            if run.lives and run.pid not in self.mine:
                leader = process(run.pid) if run.pid else None
                if leader and leader.ticks == run.ticks and leader.parent == os.getpid():
                    self.mine[run.pid] = run

    def settle(self, first: bool) -> None:
        """Settle the intents without a pid that the dead left; `first`: those of both, not of one of us two."""
        for run in [run for run in self.ledger.runs.values() if run.lives and not run.pid]:
            if first:
                self.recover(run)
            else:
                self.resolve(run)

    def resolve(self, run: Run) -> None:
        """A dead keeper could not follow this intent with a pid: its process, if any, is our child now."""
        found = self.candidates(run)
        if len(found) == 1:
            self.ledger.note_if_possible(run, "p", run.leader(found[0]))
        elif found:
            self.ledger.note_if_possible(run, "e", run.lost("supervisors killed"))
        else:
            self.ledger.note_if_possible(run, "r", {"r": run.id})

    def recover(self, run: Run) -> None:
        """After the death of both, an intent without a pid can only be followed by the cookie of a living process."""
        same_boot = run.segments[0].boot == self.ledger.boot
        young = (p for p in processes().values() if p.session == p.pid and p.ticks >= run.ticks)
        leader = next((p for p in young if cookie(p.pid) == run.id), None) if same_boot else None
        if leader:
            self.ledger.note_if_possible(run, "p", run.leader(leader))
        else:
            self.ledger.note_if_possible(run, "e", run.lost("supervisors killed") if same_boot else run.lost_before())

    def candidates(self, run: Run) -> list[Process]:
        """The children that may be the one process started for an intent.

        Those with its cookie, and dead ones, which show none; when no cookie is found, also living ones without any.
        """
        known = {(other.pid, other.ticks) for other in self.ledger.runs.values() if other.pid}
        young = [p for p in settled_children(run.ticks) if (p.pid, p.ticks) not in known]
        cookies = {p.pid: cookie(p.pid) for p in young}
        named = run.id in cookies.values()
        return [p for p in young if cookies[p.pid] == run.id or (not cookies[p.pid] and (p.dead or not named))]

    def note_strays(self) -> None:
        """Look which of our children are no runs."""
        now = set(children()) - self.mine.keys()
        for pid in self.strays.keys() - now:
            del self.strays[pid]
        for pid in now - self.strays.keys():
            found = process(pid)
            self.strays[pid] = (found.session if found else 0, cookie(pid))


def settled_children(since: int) -> list[Process]:
    """Our children started since then (in ticks) that lead a session.

    One between fork and exec is waited for; one that does not come that far, on a file system that hangs, counts too.
    """
    us, me, end = read("/proc/self/cmdline"), os.getpid(), time.monotonic() + HANGING
    while True:
        young = [p for p in processes().values() if p.parent == me and p.ticks >= since]
        unborn = [p for p in young if not p.dead and read(f"/proc/{p.pid}/cmdline") == us]
        if not unborn or time.monotonic() > end:
            return [p for p in young if p.session == p.pid or p in unborn]
        time.sleep(0.001)


class Role:
    """What guard and keeper have in common: they wait, reap, and write each exit down before that."""

    def __init__(self, house: House, link: Line) -> None:
        self.house, self.ledger, self.link = house, house.ledger, link
        self.over = False
        self.table: dict[int, Process] = {}  # the processes as last looked at while reaping
        self.retry_at: float | None = 0.0  # a child may have ended before we listened
        self.handlers: dict[int, Callable[[], None]] = {}
        self.blocked: set[int] = set()
        self.poll = select.epoll()
        self.wake, self.waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self.waker, warn_on_full_buffer=False)
        self.listen(self.wake, self.woken)
        self.listen(link.sock.fileno(), self.on_link)

    def listen(self, fd: int, handler: Callable[[], None]) -> None:
        """Call the handler whenever there is something to read."""
        self.handlers[fd] = handler
        self.poll.register(fd, select.EPOLLIN)

    def ignore(self, fd: int) -> None:
        """No longer listen."""
        del self.handlers[fd]
        self.blocked.discard(fd)
        self.poll.unregister(fd)

    def woken(self) -> None:
        """A signal came: a child has ended."""
        os.read(self.wake, 4096)

    def step(self) -> None:
        """Wait for something to do, and do it."""
        for fd, _ in self.poll.poll(self.wait()):
            if handler := self.handlers.get(fd):
                handler()
        self.reap()
        self.due()
        self.flush()

    def wait(self) -> float:
        """Seconds until something is due; -1: nothing is."""
        times = [moment for moment in self.moments() if moment is not None]
        return max(0.0, min(times) - time.monotonic()) if times else -1

    def moments(self) -> list[float | None]:
        """The monotonic times at which something is due."""
        return [self.ledger.sync_at, self.retry_at]

    def due(self) -> None:
        """Do what is due."""
        now = time.monotonic()
        if self.ledger.sync_at and now >= self.ledger.sync_at:
            try:
                self.ledger.sync()
            except OSError as error:
                complain(f"journal not synced: {said(error)}")

    def flush(self) -> None:
        """Send what is queued."""
        self.send_out(self.link)

    def send_out(self, to: Line) -> None:
        """Send what is queued for one, and look for when it takes more."""
        if to.unsent:
            to.flush()
        fd = to.sock.fileno()
        if bool(to.unsent) != (fd in self.blocked):
            self.poll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if to.unsent else 0))
            self.blocked ^= {fd}

    def reap(self) -> None:
        """Take in the children that have ended, one after another."""
        self.retry_at, self.table = None, {}
        while not self.over and (child := ended_child()):
            run = self.house.mine.get(child.pid)
            if not (self.bury(run, child) if run else self.stranger(child)):
                return

    def bury(self, run: Run, child: Ended) -> bool:
        """A run has ended: written down, then reaped, then told. False when it cannot be written now."""
        run.over = run.over or (time.time(), time.monotonic() - run.facts["i"]["mono"])
        usage = {"cpu": child.cpu + run.cpu, "rss": max(run.peak(child), 1)}
        record = run.exit(code=child.code, signal=child.signal, at=run.over[0], seconds=run.over[1], **usage)
        try:
            self.ledger.note(run, "e", record)
        except OSError as error:
            complain(f"exit of {run.id} not written yet: {said(error)}")
            self.retry_at = time.monotonic() + 1
            return False
        run.apart = "s" in run.facts and self.leaves_none(child.pid)
        os.waitpid(child.pid, 0)
        del self.house.mine[child.pid]
        run.left = 0 if "s" in run.facts else self.left_by(run)
        self.on_end(run)
        return True

    def leaves_none(self, pid: int) -> bool:
        """Is nobody else in the session of this dead child? One look serves all children that were dead by then."""
        if pid not in self.table or not self.table[pid].dead:
            self.table = processes()
        return is_empty(pid, self.table)

    def left_by(self, run: Run) -> int:
        """How many processes of a run live on after it; all are looked at only when there is a sign of one."""
        self.house.note_strays()
        if group_lives(run.pid) or any(run.pid == s or run.id == c for s, c in self.house.strays.values()):
            return len(members([run])[run.id])
        return 0

    def stranger(self, child: Ended) -> bool:
        """An orphan of some run has ended: its usage counts for the run while that lives."""
        found = process(child.pid)
        run = self.house.mine.get(found.session) if found else None
        if run:
            run.cpu, run.rss = run.cpu + child.cpu, max(run.rss, child.rss)
        os.waitpid(child.pid, 0)
        self.house.strays.pop(child.pid, None)
        return True

    def on_end(self, run: Run) -> None:
        """Tell of a run that has ended."""
        raise NotImplementedError

    def on_link(self) -> None:
        """The other of the two has said something."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what belongs to this role alone."""
        signal.set_wakeup_fd(-1)
        for fd in (self.wake, self.waker):
            os.close(fd)
        self.link.sock.close()
        self.poll.close()


def group_lives(group: int) -> bool:
    """Is there a process in the group?"""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def complain(message: str) -> None:
    """Say something in the log, which is begun anew when it has grown too long."""
    try:
        if os.fstat(2).st_size > LOG_LIMIT:
            os.ftruncate(2, 0)
        os.write(2, f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {os.getpid()} {message}\n".encode(errors="replace"))
    except OSError:
        pass  # a full disk is what most complaints are about


class Guard(Role):
    """The keeper's parent. Its runs are those that fell to it when a keeper, or the guard above it, died."""

    def __init__(self, house: House, link: Line, keeper: int) -> None:
        super().__init__(house, link)
        self.keeper = keeper
        self.house.strays[keeper] = (0, "")

    def run(self) -> bool:
        """Until the keeper is dead; True when it left because nothing is to be kept."""
        while not self.over:
            self.step()
        self.house.strays.pop(self.keeper, None)
        status = os.waitpid(self.keeper, 0)[1]
        if os.WIFEXITED(status) and status:
            time.sleep(0.2)  # it failed by itself, as the next one may
        return status == 0

    def stranger(self, child: Ended) -> bool:
        """Once the keeper is dead, an unknown child may be its run: nothing is reaped before that is settled."""
        self.over = child.pid == self.keeper or has_ended(self.keeper)
        return not self.over and super().stranger(child)

    def on_link(self) -> None:
        """The keeper says which runs are forgotten."""
        for text in self.link.receive():
            self.ledger.forget(json.loads(text)["f"])
        if not self.link.open:
            self.ignore(self.link.sock.fileno())

    def flush(self) -> None:
        """Nothing is sent to a keeper that is gone."""
        if self.link.open:
            super().flush()

    def on_end(self, run: Run) -> None:
        """Pass the exit record on."""
        self.link.send(run.facts["e"] | {"left": run.left})


class Keeper(Role):
    """Serves the runtime: starts runs, and stops them."""

    def __init__(self, house: House, link: Line, guard: int) -> None:
        super().__init__(house, link)
        self.guard = guard
        self.clients: dict[int, Line] = {}
        self.client: Line | None = None
        self.untold: dict[str, Run] = {}
        self.foreign: dict[str, Run] = {}  # living runs that are not our children: the guard's, and those of the dead
        self.orphans: dict[str, Run] = {}  # those of the dead
        # By boot time: a run, and 0 for its deadline, or the pause before a look at its memory.
        self.agenda: list[tuple[float, str, float]] = []
        self.signals: list[tuple[Run, int]] = []
        self.stopping: dict[str, Run] = {}
        self.sweep_at: float | None = None
        self.pause = 0.0
        self.idle_since = time.monotonic()
        self.slim_above = 0
        self.take_over()
        self.listen(house.listener.fileno(), self.accept)

    # -- life

    def run(self) -> bool:
        """Until the guard is dead. When there is nothing to keep, this process ends."""
        while not self.over:
            self.step()
        return False

    def take_over(self) -> None:
        """Go on with all that is known: watch, time and stop it."""
        guards, self.house.mine = set(self.house.mine), {}
        self.house.strays = {}
        for run in list(self.ledger.runs.values()):
            if run.lives:
                self.foreign[run.id] = run
                if run.pid not in guards:
                    self.watch(run)
        self.look_at_orphans()
        for run in self.ledger.runs.values():
            if run.lives:
                self.time(run)
            if "s" in run.facts and run.segments[0].boot == self.ledger.boot:
                self.stopping[run.id] = run
        if self.stopping:
            self.sweep()

    def watch(self, run: Run) -> None:
        """A run that has no parent of ours: it is lost now, or when it ends."""
        if run.segments[0].boot != self.ledger.boot:
            return self.lose(run, run.lost_before())
        self.orphans[run.id] = run

    def look_at_orphans(self) -> None:
        """Nobody tells us of their end."""
        for run in list(self.orphans.values()):
            leader = process(run.pid)
            if not leader or leader.dead or leader.ticks != run.ticks:
                del self.orphans[run.id]
                self.lose(run, run.lost("supervisors killed"))

    def lose(self, run: Run, record: dict[str, Any]) -> None:
        """The outcome of this run cannot be known."""
        if run.lives:
            self.ledger.note_if_possible(run, "e", record)
            self.on_end(run)

    def on_link(self) -> None:
        """The guard tells of exits; or it is dead."""
        for text in self.link.receive():
            record = json.loads(text)
            run = self.ledger.runs.get(record["e"])
            if run and run.lives:
                run.left = record.pop("left")
                run.learn("e", record)
                self.on_end(run)
        self.over = not self.link.open

    def on_end(self, run: Run) -> None:
        """A run has ended; while it is being stopped, that is told when its whole tree is gone."""
        self.foreign.pop(run.id, None)
        if run.id in self.stopping:
            self.sweep_soon()
        else:
            self.tell(run)

    def stranger(self, child: Ended) -> bool:
        """What is reaped may have been the last of a tree that is being stopped."""
        if self.stopping:
            self.sweep_soon()
        return super().stranger(child)

    def idle(self) -> bool:
        """Is there nothing that lives?"""
        return not (self.house.mine or self.foreign or self.stopping)

    def leave(self) -> None:
        """End, and the guard with us, unless somebody is at the door."""
        if not any(fd == self.house.listener.fileno() for fd, _ in self.poll.poll(0)):
            self.ledger.close()
            os._exit(0)

    def close(self) -> None:
        """Let go of the clients."""
        for client in self.clients.values():
            client.sock.close()
        super().close()

    # -- time

    def moments(self) -> list[float | None]:
        """The monotonic times at which something is due. Sleep of the machine is noticed within a minute."""
        now, more = time.monotonic(), super().moments() + [self.sweep_at]
        if self.agenda:
            more.append(now + min(IDLE, self.agenda[0][0] - boottime()))
        if self.orphans:
            more.append(now + 1)
        if not self.clients and self.idle():
            more.append(self.idle_since + IDLE)
        return more

    def due(self) -> None:
        """Deadlines, looks, signals, stops, and the end of an idle keeper."""
        super().due()
        self.keep_agenda()
        self.look_at_orphans()
        self.send_signals()
        now = time.monotonic()
        if self.sweep_at is not None and now >= self.sweep_at:
            self.sweep()
        if self.clients or not self.idle():
            self.idle_since = now
        elif now >= self.idle_since + IDLE:
            self.leave()

    def time(self, run: Run) -> None:
        """Remember when a run is overdue."""
        if run.deadline is not None:
            self.plan(run.deadline + DEADLINE_GRACE, run, 0)

    def plan(self, at: float, run: Run, pause: float) -> None:
        """Put something on the agenda; what is there for runs that have ended is cleared away when it is most of it."""
        heapq.heappush(self.agenda, (at, run.id, pause))
        if len(self.agenda) > 64 + 4 * (len(self.house.mine) + len(self.foreign)):
            self.agenda = [entry for entry in self.agenda if self.living(entry[1])]
            heapq.heapify(self.agenda)

    def living(self, runid: str) -> Run | None:
        """The run of that id, if it lives."""
        run = self.ledger.runs.get(runid)
        return run if run and run.lives else None

    def keep_agenda(self) -> None:
        """Stop what is overdue and nobody stopped, and look at what is due for it."""
        while self.agenda and self.agenda[0][0] <= boottime():
            _, runid, pause = heapq.heappop(self.agenda)
            if not (run := self.living(runid)):
                continue
            if pause:
                self.look_at_memory(run, pause)
            elif "s" not in run.facts:
                self.begin_stop(run, "timeout", run.facts["i"]["grace"])
                self.say({"is": "stopping", "run": run.id, "reason": "timeout"})

    def look_at_memory(self, run: Run, pause: float) -> None:
        """See how much a run has used, until the kernel's own figure tells it."""
        run.seen = max(run.seen, tree_peak(run.pid))
        if run.seen <= run.hidden:
            pause = min(2 * pause, LAST_LOOK)
            self.plan(boottime() + pause, run, pause)

    # -- stopping

    def begin_stop(self, run: Run, reason: str, grace: float) -> None:
        """Stop a run and all that belongs to it."""
        record = {"s": run.id, "reason": reason[:100], "grace": grace, "boot": boottime()}
        self.ledger.note_if_possible(run, "s", record)
        self.stopping[run.id] = run
        self.sweep_at, self.pause = 0.0, 0.0

    def sweep_soon(self) -> None:
        """Something has changed in what is being stopped; many changes at once are looked at together."""
        soon, self.pause = time.monotonic() + 0.005, 0.0
        self.sweep_at = soon if self.sweep_at is None else min(self.sweep_at, soon)

    def sweep(self) -> None:
        """One look at all that is being stopped; the next one waits longer while nothing changes."""
        began, now = time.monotonic(), boottime()
        found = members(self.stopping.values())
        for run in list(self.stopping.values()):
            self.press(run, found.get(run.id, {}), now)
        took = time.monotonic() - began
        ended = any("e" in run.facts or now >= run.kill_at for run in self.stopping.values())
        self.pause = max(0.01, min(0.25 if ended else 1.0, self.pause * 1.5), took * 4)
        self.sweep_at = began + took + self.until_next(now) if self.stopping else None

    def until_next(self, now: float) -> float:
        """Seconds until the next look: the pause, or when the first grace ends."""
        grace = min(run.kill_at for run in self.stopping.values()) - now
        return min(self.pause, grace) if grace > 0 else self.pause

    def press(self, run: Run, tree: dict[int, int], now: float) -> None:
        """TERM and CONT at first, KILL when the grace is over, and an end when nothing is left."""
        over = "e" in run.facts
        if over and (not tree or now > run.kill_at + UNKILLABLE):
            run.left = len(tree)
            del self.stopping[run.id]
            return self.tell(run)
        run.caught = tree
        if now >= run.kill_at:
            send(tree, signal.SIGKILL)
        elif not run.warned:
            run.warned = True
            send(tree, signal.SIGTERM)
            send(tree, signal.SIGCONT)

    # -- serving

    def accept(self) -> None:
        """A client has come; only our own user and root may."""
        try:
            sock, _ = self.house.listener.accept()
        except OSError:
            return
        uid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
        if uid not in (0, os.getuid()):
            sock.close()
            return
        client = Line(sock)
        self.clients[sock.fileno()] = client
        self.listen(sock.fileno(), lambda: self.on_client(client))
        if len(self.clients) > MOST_CLIENTS:
            self.dismiss(next(other for other in self.clients.values() if other is not self.client))

    def on_client(self, client: Line) -> None:
        """Handle what a client asks, in order; a client that was closed meanwhile is not heard."""
        for text in client.receive():
            if client.sock.fileno() in self.clients and not self.over:
                self.handle(client, text)
        if not client.open:
            self.dismiss(client)

    def handle(self, client: Line, text: bytes) -> None:
        """Answer one request."""
        ask: Any = None
        try:
            ask = json.loads(text)
            if ask["do"] == "hello":
                self.greet(client)
            elif client is self.client:
                REQUESTS[ask["do"]](self, ask)
            else:
                raise ValueError("say hello first")
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            about = ask.get("run") if isinstance(ask, dict) else None
            client.send({"is": "error", "run": about, "code": "bad-request", "message": repr(error)[:200]})

    def greet(self, client: Line) -> None:
        """A new client: older ones are closed and what they had sent is not heard."""
        for other in [other for other in self.clients.values() if other is not client]:
            self.dismiss(other)
        self.client = client
        self.untold.clear()
        runs = [self.state(run) for run in self.ledger.runs.values()]
        about = {"protocol": PROTOCOL, "version": VERSION, "pid": os.getpid(), "guard": self.guard}
        client.send({"is": "hello"} | about | {"boot": self.ledger.boot, "runs": runs})

    def dismiss(self, client: Line) -> None:
        """Close a client, once."""
        if self.clients.pop(client.sock.fileno(), None):
            self.ignore(client.sock.fileno())
            client.sock.close()
        if client is self.client:
            self.client = None

    def state(self, run: Run) -> dict[str, Any]:
        """The event that says where a run stands."""
        if "r" in run.facts:
            return {"is": "refused", "run": run.id}
        return ended(run) if "e" in run.facts and run.id not in self.stopping else started(run)

    def tell(self, run: Run) -> None:
        """Say where a run stands, at the end of this step: of one that has ended by then only that."""
        self.untold[run.id] = run

    def tell_all(self) -> None:
        """Say what is to be told."""
        runs, self.untold = self.untold, {}
        if client := self.client:
            for run in runs.values():
                client.send(self.state(run))

    def say(self, event: dict[str, Any]) -> None:
        """Send an event to the client, when there is one, after what was to be told before."""
        self.tell_all()
        if self.client:
            self.client.send(event)

    def flush(self) -> None:
        """Send what is queued; a client that does not read is closed."""
        super().flush()
        self.tell_all()
        for client in list(self.clients.values()):
            self.send_out(client)
            if len(client.unsent) > MOST_UNSENT:
                self.dismiss(client)

    # -- requests

    def on_spawn(self, ask: dict[str, Any]) -> None:
        """Start a run that was never heard of; of any other, say where it stands."""
        launch = Launch(ask)
        if known := self.ledger.runs.get(launch.run):
            return self.tell(known)
        try:
            log = open_log(launch.log)
        except (OSError, ValueError) as error:
            return self.no_log(launch, error)
        try:
            self.start(launch, log)
            if launch.run not in self.ledger.runs:
                unmake_log(launch.log, log)
        finally:
            os.close(log)

    def no_log(self, launch: Launch, error: Exception) -> None:
        """A full disk can be waited for; any other trouble with the log is the end of the run."""
        reason = f"cannot write log {shown(launch.log)}: {said(error)}"
        if getattr(error, "errno", None) in FULL:
            self.fail(launch.run, "no-space", reason)
        elif run := self.intend(launch):
            self.not_started(run, CannotStart(126, reason))

    def intend(self, launch: Launch) -> Run | None:
        """Write the intent; without it nothing may be started.

        Nor without a guard, or the run would have one supervisor above it only. The intent has its time before the
        guard is looked for: a run whose guard dies just then has begun before that death.
        """
        intent = launch.intent()
        if os.getppid() != self.guard:
            self.over = True
            return None
        try:
            return self.ledger.begin(intent)
        except OSError as error:
            self.fail(launch.run, "no-space", f"cannot write the journal: {said(error)}")
            return None

    def start(self, launch: Launch, log: int) -> None:
        """Intent, start, pid."""
        if not (run := self.intend(launch)):
            return
        if own_peak() > self.slim_above:
            slim()
            self.slim_above = own_peak() + GROWN
        try:
            pid = start(launch, log)
        except CannotStart as why:
            return self.not_started(run, why)
        except OSError as error:
            self.ledger.void(run)
            return self.fail(run.id, "no-process", said(error))
        self.has_started(run, pid)

    def has_started(self, run: Run, pid: int) -> None:
        """Keep the pid with its start time, and tell."""
        found = process(pid)
        if found:
            self.ledger.note_if_possible(run, "p", run.leader(found))
            self.plan(boottime() + FIRST_LOOK, run, FIRST_LOOK)
        self.house.mine[pid] = run
        self.time(run)
        self.tell(run)

    def not_started(self, run: Run, why: CannotStart) -> None:
        """The run has ended before it began."""
        self.ledger.note_if_possible(run, "e", run.exit(code=why.code, reason=why.reason))
        self.tell(run)

    def fail(self, run: str, code: str, message: str) -> None:
        """Say that a request could not be met and nothing was done."""
        self.say({"is": "error", "run": run, "code": code, "message": message})

    def on_stop(self, ask: dict[str, Any]) -> None:
        """Stop a run; of one that has ended, say so."""
        reason, grace = str(ask["reason"]), seconds(ask["grace"])
        run = self.ledger.runs.get(runid(ask))
        if not run:
            self.fail(runid(ask), "unknown-run", "no such run")
        elif run.lives or run.id in self.stopping:
            self.begin_stop(run, reason, grace)
        else:
            self.tell(run)

    def on_signal(self, ask: dict[str, Any]) -> None:
        """Send a signal to all of a run."""
        number, run = int(ask["signal"]), self.ledger.runs.get(runid(ask))
        if run and run.lives and 0 < number < signal.NSIG:
            self.signals.append((run, number))

    def send_signals(self) -> None:
        """Send what was asked for since the last look, in order; one search of the processes serves all."""
        asked, self.signals = self.signals, []
        found = members(run for run, _ in asked) if asked else {}
        for run, number in asked:
            send(found.get(run.id, {}), number)

    def on_refuse(self, ask: dict[str, Any]) -> None:
        """Never start a run that was never heard of; of any other, say where it stands."""
        name = runid(ask)
        try:
            self.tell(self.ledger.runs.get(name) or self.ledger.refuse(name))
        except OSError as error:
            self.fail(name, "no-space", f"cannot write the journal: {said(error)}")

    def on_forget(self, ask: dict[str, Any]) -> None:
        """The runtime has stored how these ended."""
        dropped = self.ledger.forget([str(run) for run in ask["runs"] if run not in self.stopping])
        shared = [run.id for run in dropped if run.shared]
        if shared:
            self.link.send({"f": shared})

    def on_bye(self, ask: dict[str, Any]) -> None:
        """The runtime ends; with nothing to keep, so do we."""
        if self.client:
            self.dismiss(self.client)
        if self.idle():
            self.leave()


REQUESTS: dict[str, Callable[[Keeper, dict[str, Any]], None]] = {
    "spawn": Keeper.on_spawn,
    "stop": Keeper.on_stop,
    "signal": Keeper.on_signal,
    "refuse": Keeper.on_refuse,
    "forget": Keeper.on_forget,
    "bye": Keeper.on_bye,
}


def send(tree: dict[int, int], number: int) -> None:
    """Send a signal to each of these processes, {pid: start ticks}."""
    for pid, ticks in tree.items():
        poke(pid, ticks, number)


# ---------------------------------------------------------------------------------------------------- beginning


def prctl(option: int, value: Any) -> None:
    """One setting of this process."""
    libc.prctl(option, value, 0, 0, 0)


def become(name: bytes) -> None:
    """Whoever is above the runs takes in their orphans, from the first moment; and can be told apart in `ps`."""
    prctl(36, 1)  # PR_SET_CHILD_SUBREAPER
    prctl(15, name)  # PR_SET_NAME


def live(house: House) -> None:
    """The one rule: the survivor forks a new keeper below itself."""
    first = True
    while True:
        become(b"taskdeck-guard")
        house.ledger.inherit()
        house.settle(first)
        house.ledger.gather()
        house.adopt()
        first = False
        role = fork(house)
        left = role.run()
        role.close()
        if left:
            return house.ledger.close()


def fork(house: House) -> Guard | Keeper:
    """Two processes from one: what each of them is from now on."""
    above, below = socket.socketpair()
    me = os.getpid()
    while (child := fork_if_possible()) is None:
        time.sleep(0.1)
    if child:
        below.close()
        return Guard(house, Line(above), child)
    become(b"taskdeck-keeper")
    above.close()
    house.ledger.disown()
    return Keeper(house, Line(below), me)


def fork_if_possible() -> int | None:
    """os.fork, or None while the machine has no process to give."""
    try:
        return os.fork()
    except OSError as error:
        complain(f"no new keeper: {said(error)}")
        return None


def settle_in(home: bytes) -> House:
    """Take the home: folders, lock, socket, journal. Raises OSError; BlockingIOError when another keeper has it."""
    os.makedirs(home + b"/run/" + JOURNAL.encode(), 0o700, exist_ok=True)
    run = os.open(home + b"/run", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600, dir_fd=run)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    listener = listen(run)
    log = os.open(LOG, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600, dir_fd=run)
    os.dup2(log, 2)
    os.close(log)
    journal = os.open(JOURNAL, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=run)
    boot = read("/proc/sys/kernel/random/boot_id").decode().strip()
    return House(listener, Ledger(journal, boot))


def listen(run: int) -> socket.socket:
    """The socket in the run folder, whatever the length of its path."""
    try:
        os.unlink(SOCKET, dir_fd=run)
    except FileNotFoundError:
        pass
    listener = socket.socket(socket.AF_UNIX)
    listener.setblocking(False)
    listener.bind(f"/proc/self/fd/{run}/{SOCKET}")
    os.chmod(SOCKET, 0o600, dir_fd=run)
    listener.listen(64)
    return listener


def shed() -> None:
    """Begin again without the environment of a run, or a sweep for that run would find us."""
    clean = {name: value for name, value in os.environb.items() if not name.startswith(b"TASKDECK_")}
    if len(clean) < len(os.environb):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], clean)


def bare() -> None:
    """Nothing open but /dev/null, nothing heeded but the end of children."""
    os.umask(0o077)
    os.closerange(3, 1 << 20)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1):
        os.dup2(null, fd)
    os.close(null)
    os.chdir("/")
    set_own("oom_score_adj", b"0")  # the kernel judges us and our jobs as any process; lower is not ours to choose
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)


def detach() -> None:
    """Leave session and parent."""
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)


def main(home: bytes) -> int:
    """Take the home and stay there, in the background. 4: another keeper has it; 5: it cannot be used."""
    shed()
    home = os.path.abspath(home)
    bare()
    try:
        house = settle_in(home)
    except BlockingIOError:
        return 4
    except OSError as error:
        complain(f"cannot use {shown(home)}: {said(error)}")
        return 5
    libc.malloc_trim(0)
    detach()
    try:
        live(house)
    except BaseException as error:
        complain("failed")
        sys.excepthook(type(error), error, error.__traceback__)
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(os.fsencode(sys.argv[1])))
