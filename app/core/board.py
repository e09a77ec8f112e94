"""Board: a frozen snapshot of everything the deck shows. `service.board` builds it, `tui` draws it.

Times are UNIX seconds, durations seconds, CPU cores, memory MiB. Texts are stored as received; the
code that draws them sanitizes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

from app.core.json_types import is_array, is_list_or_tuple, is_object

DRAINING = "the runtime is draining"
"""Halt reason of a draining runtime, until it ends or the drain is cancelled."""
COPY_STATE = "copy"
"""State of the runtime on the board of a replica."""
MAX_ALERTS = 200
"""Maximum number of alerts on a board, open ones first."""
FAILURE_WINDOW = timedelta(days=7)
"""Age after which a failure is no longer counted."""


def get_midnight(now: datetime) -> datetime:
    """Return the start of the local day."""
    return now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0)


def get_failure_cutoff(viewed_at: datetime | None, now: datetime) -> datetime:
    """Return the time from which unseen failures count.

    The cutoff is the last time the user viewed all failures, or midnight, but at most a week ago.
    """
    return max(viewed_at or get_midnight(now), now - FAILURE_WINDOW)


class RuntimeFacts(NamedTuple):
    """State of the runtime.

    `state` is running, none or stopped, past on a board of the past, or copy on one of a replica.
    `since` is the time when the runtime started or stopped, or the replica was made.
    """

    state: str = "none"
    pid: int | None = None
    since: float | None = None
    stopped_by: str | None = None
    tick_lag: float | None = None
    """Delay in seconds of the last dispatch duty."""
    keeper_pid: int | None = None
    guard_pid: int | None = None
    halted: str | None = None
    """Reason why nothing starts ("disk full since 10:31"), or None."""
    demo: bool = False
    boottime: float | None = None
    """Seconds from boot to the runtime's start, unaffected by clock changes."""
    unheard_since: float | None = None
    """UNIX seconds of the last sign of life. Only a deck sets the value, while the runtime is
    silent."""
    cure: str = ""
    """Unsanitized advice for a damaged or missing database, or about the cluster of the home."""
    http: str = ""
    """URL at which HTTP is served, or ""."""
    http_problem: str = ""
    """Reason why HTTP is not served although the settings ask for HTTP, or ""."""


class DiskUsageEntry(NamedTuple):
    """Disk usage of one entry of the home.

    The name of a folder ends with `/`. `bytes` counts allocated disk space. `whole` is False if the
    count was cut short.
    """

    name: str
    bytes: int
    whole: bool = True


class HostFacts(NamedTuple):
    """State of the machine.

    Memory is in MiB; `disk_free` is in bytes on the home's disk.
    """

    name: str = ""
    cores: int = 0
    cpu_used: float | None = None
    memory_total: float | None = None
    memory_used: float | None = None
    load: float | None = None
    disk_free: int | None = None
    largest: tuple[DiskUsageEntry, ...] = ()
    """Largest entries of the home, biggest first; filled while disk space is short."""


class RunUse(NamedTuple):
    """Resource use of a run since this runtime first measured it.

    Cores and MiB, as current values, maxima, and maxima per cell of `cell` seconds.
    """

    cpu: float
    memory: float
    processes: int
    most_cpu: float
    most_memory: float
    cell: float
    cpu_cells: tuple[float, ...] = ()
    memory_cells: tuple[float, ...] = ()


class QueueEntry(NamedTuple):
    """A queue of the board.

    `word` is open, full, no room, paused, draining or pool off. `starts` counts starts per 3
    minutes, oldest first.
    """

    name: str
    pool: str
    capacity: int
    load: int
    waiting: int
    oldest_at: float | None
    status: str
    word: str
    priority: int
    paused_by: str | None = None
    starts: tuple[int, ...] = ()

    @property
    def key(self) -> str:
        return f"queue:{self.name}"


class DeviceEntry(NamedTuple):
    """A GPU of the machine: share of time in use, memory in MiB, temperature in °C.

    `run` is the number of the task that holds it, `trouble` why no run gets it.
    """

    number: int
    name: str
    run: int | None = None
    trouble: str | None = None
    use: float | None = None
    used_memory: float | None = None
    total_memory: float | None = None
    temperature: float | None = None


class ResourceUse(NamedTuple):
    """A named resource of a pool, or of all pools: what it has in all, and what runs reserve."""

    name: str
    total: int
    used: int


class BookingEntry(NamedTuple):
    """Amounts of a pool that only the tasks of a tag get; times are in UNIX seconds."""

    pool: str
    tag: str
    amounts: str
    begins_at: float
    ends_at: float


class OuterUse(NamedTuple):
    """Runs that a Slurm pool has handed over: those that run, and those that wait there.

    Of the `nodes` of the cluster, `usable` take jobs; 0 if none is known.
    """

    running: int
    waiting: int
    usable: int = 0
    nodes: int = 0
    trouble: str = ""
    words: tuple[str, ...] = ()
    """Options of the command that creates the pool."""


class PoolEntry(NamedTuple):
    """A pool of the board. `used_*` is reserved, `measured_*` is actual use.

    `*_history` are shares from 0 to 1, one per 3 minutes, oldest first.
    """

    name: str
    total_cpu: float
    total_memory: float
    used_cpu: float
    used_memory: float
    status: str
    measured_cpu: float | None = None
    measured_memory: float | None = None
    cpu_history: tuple[float, ...] = ()
    memory_history: tuple[float, ...] = ()
    resources: tuple[ResourceUse, ...] = ()
    """Named resources of the pool itself, by name."""
    outer: OuterUse | None = None
    """Use of a Slurm pool, which has no amounts."""

    @property
    def key(self) -> str:
        return f"pool:{self.name}"


class RunningEntry(NamedTuple):
    """An active run of the board.

    `status` is starting, in slurm, running, paused or stopping. `left` is the time in seconds until
    the expected end; a negative value means overdue.
    """

    uuid: str
    runid: str
    number: int
    name: str
    queue: str
    status: str
    attempt: int
    started_at: float | None
    timeout: float | None
    left: float | None
    cpu: float
    memory: float
    priority: int = 0
    measured_cpu: float | None = None
    measured_memory: float | None = None
    output: str = ""
    note: str = ""
    """Text shown instead of the last output, such as "paused by ann"."""
    at_most: bool = False
    """True if `left` derives from the timeout only, for lack of past runs."""
    holds: Mapping[str, int] | None = None
    """Named resources that the run holds; None for none, and on a board of the past."""
    group: int | None = None
    member: str = ""
    """What tells the task from the others of its group, such as `lr=0.1 bs=32` or `[7]`."""

    @property
    def key(self) -> str:
        return self.uuid


class NextEntry(NamedTuple):
    """A waiting task of the board, in dispatch order.

    `expected_in` is the range of the expected start in seconds from now, `starts_in` its begin if
    past runs tell it; `starts_at` is an exact time in UNIX seconds. `repeats` is True if the row
    above gives the same reason.
    """

    uuid: str
    number: int
    name: str
    queue: str
    status: str
    since: float
    why: str
    why_short: str
    priority: int = 0
    front: int = 0
    starts_in: float | None = None
    starts_at: float | None = None
    expected_in: tuple[float, float] | None = None
    repeats: bool = False
    group: int | None = None
    """Group of the task; the board has only the first waiting task of each group."""
    member: str = ""

    @property
    def key(self) -> str:
        return self.uuid


class ComingEntry(NamedTuple):
    """A coming fire time of a schedule on the board.

    `fires_at` is in UNIX seconds, with the jitter. `queue` is empty for the template's queue or the
    default one.
    """

    name: str
    fires_at: float
    words: str
    queue: str = ""

    @property
    def key(self) -> str:
        return f"schedule:{self.name}"


class EndedEntry(NamedTuple):
    """An ended task of the board.

    `how` describes the end: "exit 1 after 3s: No such file".
    """

    uuid: str
    number: int
    name: str
    queue: str
    status: str
    ended_at: float
    how: str
    priority: int = 0
    group: int | None = None
    member: str = ""

    @property
    def key(self) -> str:
        return self.uuid


class GroupEntry(NamedTuple):
    """A group of tasks: numbers of its tasks, and one status for all.

    `rate` is in ends per minute, `eta` in seconds from now; None while they are unknown.
    """

    number: int
    name: str
    status: str
    total: int
    ended: int
    failed: int
    running: int
    waiting: int
    rate: float | None = None
    eta: float | None = None
    max_running: int | None = None

    @property
    def key(self) -> str:
        return f"group:{self.number}"


class AlertEntry(NamedTuple):
    """An alert of the board: an SLA rule that fired for one object.

    `status` is firing, acknowledged, silenced or resolved; `severity` is critical, warning or info.
    `until` is the end of the silence.
    """

    id: int
    sla: str
    severity: str
    status: str
    object: str
    why: str
    short: str
    since: float
    uuid: str | None = None
    number: int | None = None
    by: str | None = None
    resolved_at: float | None = None
    until: float | None = None

    @property
    def key(self) -> str:
        return f"alert:{self.id}"


class LatestAction(NamedTuple):
    """The latest action of a user, for the message line."""

    at: float
    by: str
    text: str
    origin: str = ""
    """Terminal of the action, as named by `identify_terminal`; "" if there was none."""


class BackupFacts(NamedTuple):
    """The newest restored and verified backup.

    `at` is in UNIX seconds, None if there is no backup yet. `late` means older than its rule
    allows.
    """

    at: float | None = None
    late: bool = False


class ReplicaFacts(NamedTuple):
    """The replica on another disk or host.

    `lag` is in seconds, None if no sync has succeeded yet. `late` means the lag is too long.
    """

    lag: float | None = None
    late: bool = False


class LockFacts(NamedTuple):
    """Another program that holds the database's write lock.

    `since` is in UNIX seconds. `by` names the program, "" if unknown.
    """

    since: float
    by: str = ""


class Board(NamedTuple):
    """Everything the deck shows, at one moment.

    `counts` has tasks by status. `waiting_total` counts all waiting tasks; `next` holds the first
    ones.
    """

    at: float = 0.0
    home: str = ""
    runtime: RuntimeFacts = RuntimeFacts()
    host: HostFacts = HostFacts()
    database: str = "ok"
    lock: LockFacts | None = None
    """None while the database is available."""
    measured_at: float | None = None
    """Time of the measurements if no runtime is running; None means `at`."""
    backup: BackupFacts | None = None
    """None if backups are off or their state is unknown."""
    replica: ReplicaFacts | None = None
    """None if no replica is configured."""
    counts: Mapping[str, int] = MappingProxyType({})
    today_ok: int = 0
    today_failed: int = 0
    failed: int = 0
    """Failures within a week that the user has not viewed."""
    waiting_total: int = 0
    rules: int = 0
    queues: tuple[QueueEntry, ...] = ()
    pools: tuple[PoolEntry, ...] = ()
    resources: tuple[ResourceUse, ...] = ()
    """Resources that all pools share, by name; empty on a board of the past."""
    devices: tuple[DeviceEntry, ...] = ()
    """GPUs as the runtime last saw them; empty without a runtime or a pool with GPUs."""
    bookings: tuple[BookingEntry, ...] = ()
    """Bookings that have not ended, by their begin; empty on a board of the past."""
    groups: tuple[GroupEntry, ...] = ()
    """Groups of the waiting and ended tasks of the board, by number."""
    running: tuple[RunningEntry, ...] = ()
    next: tuple[NextEntry, ...] = ()
    coming: tuple[ComingEntry, ...] = ()
    """Next fire times of schedules within a day, the earliest first."""
    ended: tuple[EndedEntry, ...] = ()
    alerts: tuple[AlertEntry, ...] = ()
    news: LatestAction | None = None
    ever: bool = False
    """False until the first task is submitted; the deck then shows first-run guidance."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Board:
        """Build a board from the JSON form of `as_dict`."""
        return _from_dict(cls, values)

    def as_dict(self) -> dict[str, Any]:
        """Return all values by name, for JSON."""
        return _to_dict(self) | {"counts": dict(self.counts)}


_ROW_TYPES: dict[str, type] = {
    "queues": QueueEntry, "pools": PoolEntry, "running": RunningEntry, "next": NextEntry,
    "coming": ComingEntry, "ended": EndedEntry, "alerts": AlertEntry,
    "largest": DiskUsageEntry, "resources": ResourceUse, "devices": DeviceEntry,
    "groups": GroupEntry, "bookings": BookingEntry,
}  # fmt: skip
_RECORD_TYPES: dict[str, type] = {
    "runtime": RuntimeFacts, "host": HostFacts, "lock": LockFacts, "news": LatestAction,
    "backup": BackupFacts, "replica": ReplicaFacts, "outer": OuterUse,
}  # fmt: skip


def _to_dict(row: Any) -> dict[str, Any]:
    return {name: _value_to_dict(name, value) for name, value in row._asdict().items()}


def _value_to_dict(name: str, value: Any) -> Any:
    if name in _ROW_TYPES and is_list_or_tuple(value):
        return tuple(_to_dict(line) for line in value)
    return _to_dict(value) if name in _RECORD_TYPES and value is not None else value


def _from_dict(kind: Any, values: Mapping[str, Any]) -> Any:
    """Build a `kind` from a mapping.

    Unknown keys, which a newer runtime may send, are ignored.
    """
    return kind(
        **{
            name: _value_from_dict(name, value)
            for name, value in values.items()
            if name in kind._fields
        }
    )


def _value_from_dict(name: str, value: Any) -> Any:
    if name in _ROW_TYPES and is_list_or_tuple(value):
        return tuple(_from_dict(_ROW_TYPES[name], item) for item in value)
    if name in _RECORD_TYPES and is_object(value):
        return _from_dict(_RECORD_TYPES[name], value)
    return tuple(value) if is_array(value) else value
