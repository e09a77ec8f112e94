"""Run with its journal records, the estimate of its memory, and its events.

Peak memory is the kernel's figure for the process and the children it waited for. That figure may
be the keeper's own: Linux carries the peak of the spawning process over exec, about 10 MiB, which
`trim_memory` keeps small. For a job below that peak, the largest peak seen is used: its tree is
sampled 10 ms after the start and then at doubling intervals. A job that ended before a sample gets
the pages that it faulted in. Pages that the kernel mapped around them are missing: `/bin/true`
shows about 0.25 MiB and has 1.7. CPU seconds include orphans of the session that ended before the
job.
"""

from __future__ import annotations

import time

from app.keeper.cgroups import RunCgroup
from app.keeper.journal_segment import JournalSegment
from app.keeper.own_process import read_own_peak
from app.keeper.processes import TICKS, Process
from app.keeper.system_calls import EndedChild

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COPIED_BOOT = "a copy"  # boot id of a journal file that belongs to another home
# KiB by which two figures of the same peak may differ: the kernel counts on each CPU
PEAK_TOLERANCE = 1024


class Run:
    """A run: its journal records by letter, and values not in the journal."""

    __slots__ = (
        "id",
        "records",
        "segments",
        "is_known_to_guard",
        "leftover_count",
        "cpu",
        "rss",
        "sampled_peak",
        "sampled_members",
        "is_term_sent",
        "quiet_sweeps",
        "has_marked_children",
        "kill_at",
        "is_session_empty",
        "end_seen",
    )

    def __init__(self, runid: str) -> None:
        self.id = runid
        self.records: dict[str, dict[str, Any]] = {}
        self.segments: list[JournalSegment] = []
        self.is_known_to_guard = False
        self.leftover_count = 0
        self.cpu, self.rss = 0.0, 0  # of orphans of the session that ended before the run
        self.sampled_peak = 0  # largest sampled peak
        self.sampled_members: dict[int, int] = {}  # {pid: start ticks} as sampled during a stop
        self.is_term_sent = False
        self.quiet_sweeps = 0  # sweeps in a row without a process of the run
        # the last search among children of subreapers found one with the mark
        self.has_marked_children = False
        self.kill_at = 0.0
        # (time, run seconds) of the first sight of the end
        self.end_seen: tuple[float, float] | None = None
        self.is_session_empty = False  # the session is empty, so its number may be reused

    @property
    def is_alive(self) -> bool:
        """True if the run has no recorded end or refusal."""
        return "e" not in self.records and "r" not in self.records

    @property
    def pid(self) -> int:
        """Pid of the leader, 0 if unknown."""
        return self.records["p"]["pid"] if "p" in self.records else 0

    @property
    def mark(self) -> int:
        """Mark of the run's processes, 0 if they have none."""
        return self.records.get("i", {}).get("mark", 0)

    @property
    def cgroup(self) -> RunCgroup | None:
        """Cgroup of a run whose limits the kernel enforces, in whose folder it may still be."""
        record = self.records.get("i", {}).get("cgroup")
        return None if record is None or self.segments[0].boot == COPIED_BOOT else RunCgroup(record)

    @property
    def ticks(self) -> int:
        """Start of the leader; before the pid is known, its earliest possible start."""
        return (
            self.records["p"]["ticks"]
            if "p" in self.records
            else int(self.records["i"]["boot"] * TICKS) - 1
        )

    @property
    def deadline(self) -> float | None:
        """Boot time of the deadline."""
        intent = self.records["i"]
        return None if intent["timeout"] is None else intent["boot"] + intent["timeout"]

    @property
    def early_at(self) -> float | None:
        """Boot time of the signal before the deadline, None without one or once it was sent."""
        early = self.records.get("i", {}).get("early")
        if early is None or self.deadline is None or "w" in self.records:
            return None
        return self.deadline - early[1]

    def add_record(self, letter: str, record: dict[str, Any]) -> None:
        """Add a record.

        The first stop reason and the first end count. Later stops only shorten the grace.
        """
        if letter == "s":
            due = record["boot"] + record["grace"]
            self.kill_at = min(self.kill_at, due) if "s" in self.records else due
        if letter not in ("s", "e"):
            self.records[letter] = record
        self.records.setdefault(letter, record)

    def make_pid_record(self, found: Process) -> dict[str, Any]:
        """Return the pid record, with the peak inherited from the keeper."""
        return {"p": self.id, "pid": found.pid, "ticks": found.ticks, "own": read_own_peak()}

    @property
    def inherited_peak(self) -> int:
        """Peak in KiB up to which the kernel's figure may be the keeper's own."""
        return self.records.get("p", {}).get("own", read_own_peak()) + PEAK_TOLERANCE

    def estimate_peak(self, child: EndedChild) -> int:
        """Return the best estimate of the peak memory in KiB."""
        if child.rss > self.inherited_peak:
            return child.rss
        return max(self.rss, self.sampled_peak or min(child.rss, child.faulted))

    def make_exit_record(self, **facts: Any) -> dict[str, Any]:
        """Return an exit record; omitted values are unknown."""
        record: dict[str, Any] = {
            "e": self.id,
            "code": None,
            "signal": None,
            "at": time.time(),
            "seconds": None,
        }
        record |= {"cpu": None, "rss": None}
        return record | facts

    def make_lost_record(self, reason: str) -> dict[str, Any]:
        """Return the exit record of a run whose outcome is unknown."""
        return self.make_exit_record(lost=True, reason=reason)

    def make_lost_elsewhere_record(self) -> dict[str, Any]:
        """Return the exit record of a run of another boot or another home.

        In another home the run may still be alive, so it is not retried.
        """
        if self.segments[0].boot == COPIED_BOOT:
            return self.make_lost_record(
                "the home was copied, or moved to another disk, while it ran"
            ) | {"again": False}
        return self.make_lost_record("host restarted")


def make_started_event(run: Run) -> dict[str, Any]:
    """Return the event of a running run."""
    intent, stop = run.records["i"], run.records.get("s")
    event = {"is": "started", "run": run.id, "pid": run.pid, "ticks": run.ticks, "at": intent["at"]}
    return event | {"boot_at": intent["boot"], "stop": stop["reason"] if stop else None}


def make_ended_event(run: Run) -> dict[str, Any]:
    """Return the event of an ended run."""
    end, stop, ran = run.records["e"], run.records.get("s"), "p" in run.records
    return {
        "is": "ended",
        "run": run.id,
        "code": end["code"],
        "signal": end["signal"],
        "reason": end.get("reason"),
        "stop": stop["reason"] if stop else None,
        "lost": end.get("lost", False),
        "again": end.get("again", True),
        "started_at": run.records["i"]["at"] if ran else None,
        "at": end["at"],
        "run_seconds": end["seconds"],
        "cpu": end["cpu"],
        "maxrss": end["rss"],
        "pid": run.pid or None,
        "left": run.leftover_count,
        "oom": end.get("oom"),
    }
