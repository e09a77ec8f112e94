"""Everything the deck shows, as of one moment: frozen rows, built by `service.board`, drawn by `tui`.

Times are UNIX seconds, durations seconds, CPU cores, memory MiB. Texts are as stored: whoever draws them cleans them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

DRAINING = "the runtime is draining"
"""Why nothing starts where somebody wished it so, until the runtime ends or is told to go on."""
MAX_ALERTS = 200
"""Alerts that a board has at most, the open ones first."""
FAILURE_WINDOW = timedelta(days=7)
"""For how long a failure is told of."""


def get_midnight(now: datetime) -> datetime:
    """When the local day began."""
    return now.astimezone().replace(hour=0, minute=0, second=0, microsecond=0)


def get_failure_cutoff(looked: datetime | None, now: datetime) -> datetime:
    """From when on failures are counted that nobody has looked at: the last look at all of them, else midnight; a week ago at most."""
    return max(looked or get_midnight(now), now - FAILURE_WINDOW)


class RuntimeFacts(NamedTuple):
    """The living part. `state` is running, none or stopped; `since` is when it came up or went."""

    state: str = "none"
    pid: int | None = None
    since: float | None = None
    stopped_by: str | None = None
    tick_lag: float | None = None
    """Seconds the last dispatch duty came late."""
    keeper_pid: int | None = None
    guard_pid: int | None = None
    halted: str | None = None
    """Why nothing starts at all ("disk full since 10:31"), or None."""
    demo: bool = False
    boottime: float | None = None
    """Seconds from the machine's start to that of the runtime: what no change of the clock moves."""
    unheard_since: float | None = None
    """UNIX seconds since when a deck has heard nothing of it, though it is there; only a deck sets it."""
    cure: str = ""
    """What to do about a database that is damaged or gone, where that was said; not cleaned."""


class DiskUsageEntry(NamedTuple):
    """What something in the home takes: its name there (that of a folder ends with `/`), bytes of the disk, and whether all of it was
    counted."""

    name: str
    bytes: int
    whole: bool = True


class HostFacts(NamedTuple):
    """The machine. Memory in MiB, disk in bytes free where the home is."""

    name: str = ""
    cores: int = 0
    cpu_used: float | None = None
    memory_total: float | None = None
    memory_used: float | None = None
    load: float | None = None
    disk_free: int | None = None
    largest: tuple[DiskUsageEntry, ...] = ()
    """What takes the most of that disk in the home, the largest first: counted while there is too little room."""


class RunUse(NamedTuple):
    """What a run took since this runtime saw it first: cores and MiB, each now, at most, and the most in each cell of `cell` seconds."""

    cpu: float
    memory: float
    processes: int
    most_cpu: float
    most_memory: float
    cell: float
    cpu_cells: tuple[float, ...] = ()
    memory_cells: tuple[float, ...] = ()


class QueueEntry(NamedTuple):
    """A queue. `word` is open, full, no room, paused, draining or pool off; `starts` counts starts per 3 minutes, oldest first."""

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


class PoolEntry(NamedTuple):
    """A pool. `used_*` is reserved, `measured_*` what its instances really take.

    `*_history` are shares 0..1, one per 3 minutes, oldest first.
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

    @property
    def key(self) -> str:
        return f"pool:{self.name}"


class RunningEntry(NamedTuple):
    """An active instance. `status` is starting, running, paused or stopping; `left` is seconds until its expected end (negative: late)."""

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
    """Replaces the last output when it is not plainly running: "paused by ann"."""
    at_most: bool = False
    """Whether `left` is no more than what its limit allows, as no past runs are known."""

    @property
    def key(self) -> str:
        return self.uuid


class NextEntry(NamedTuple):
    """A waiting task, in dispatch order; `starts_in` is the estimate in seconds, `starts_at` an exact time (UNIX seconds)."""

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

    @property
    def key(self) -> str:
        return self.uuid


class EndedEntry(NamedTuple):
    """A task that ended. `how` says it in words: "exit 1 after 3s: No such file"."""

    uuid: str
    number: int
    name: str
    queue: str
    status: str
    ended_at: float
    how: str
    priority: int = 0

    @property
    def key(self) -> str:
        return self.uuid


class AlertEntry(NamedTuple):
    """An SLA that came true on one object. `status` is firing, acknowledged, silenced or resolved; `severity` critical, warning or
    info; `until` is when its silence ends."""

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
    """The latest thing somebody did, for the message line."""

    at: float
    by: str
    text: str
    origin: str = ""
    """The terminal it was done from, as `session.terminal` names it; "" when it came from none."""


class BackupFacts(NamedTuple):
    """The newest backup that was restored and checked: UNIX seconds, None for none yet; whether it is older than its rule."""

    at: float | None = None
    late: bool = False


class ReplicaFacts(NamedTuple):
    """The copy on another disk or host: seconds since it was as the database is (None: never yet), and whether that is too long."""

    lag: float | None = None
    late: bool = False


class LockFacts(NamedTuple):
    """Another program holds the database's write lock: since when (UNIX seconds), and which, "" where that cannot be known."""

    since: float
    by: str = ""


class Board(NamedTuple):
    """Everything the dashboard shows. `counts` is tasks by status; `waiting_total` counts all that wait (next holds the first)."""

    at: float = 0.0
    home: str = ""
    runtime: RuntimeFacts = RuntimeFacts()
    host: HostFacts = HostFacts()
    database: str = "ok"
    lock: LockFacts | None = None
    """None: the database can be had."""
    measured_at: float | None = None
    """When what stands as measured was, where no runtime is up to measure; None: at `at`."""
    backup: BackupFacts | None = None
    """None: none are taken here, or not known."""
    replica: ReplicaFacts | None = None
    """None: there is none."""
    counts: Mapping[str, int] = MappingProxyType({})
    today_ok: int = 0
    today_failed: int = 0
    failed: int = 0
    """Failures since whoever asked last looked at them, within a week."""
    waiting_total: int = 0
    rules: int = 0
    queues: tuple[QueueEntry, ...] = ()
    pools: tuple[PoolEntry, ...] = ()
    running: tuple[RunningEntry, ...] = ()
    next: tuple[NextEntry, ...] = ()
    ended: tuple[EndedEntry, ...] = ()
    alerts: tuple[AlertEntry, ...] = ()
    news: LatestAction | None = None
    ever: bool = False
    """Whether a task was ever submitted here; False shows the first-run guidance."""

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Board:
        """The board that `as_dict` was made from, after a trip through JSON."""
        return _from_dict(cls, found)

    def as_dict(self) -> dict[str, Any]:
        """All of it by name, for JSON."""
        return _to_dict(self) | {"counts": dict(self.counts)}


_ROW_TYPES: dict[str, type] = {
    "queues": QueueEntry, "pools": PoolEntry, "running": RunningEntry, "next": NextEntry, "ended": EndedEntry, "alerts": AlertEntry,
    "largest": DiskUsageEntry,
}  # fmt: skip
_RECORD_TYPES: dict[str, type] = {
    "runtime": RuntimeFacts, "host": HostFacts, "lock": LockFacts, "news": LatestAction, "backup": BackupFacts, "replica": ReplicaFacts,
}  # fmt: skip


def _to_dict(row: Any) -> dict[str, Any]:
    """A row by the names of its fields, and so the rows in it."""
    return {name: _value_to_dict(name, value) for name, value in row._asdict().items()}


def _value_to_dict(name: str, value: Any) -> Any:
    if name in _ROW_TYPES:
        return tuple(_to_dict(line) for line in value)
    return _to_dict(value) if name in _RECORD_TYPES and value is not None else value


def _from_dict(kind: Any, found: Mapping[str, Any]) -> Any:
    """A `kind` from a mapping; keys it does not know are left out (a newer runtime)."""
    return kind(**{name: _value_from_dict(name, value) for name, value in found.items() if name in kind._fields})


def _value_from_dict(name: str, value: Any) -> Any:
    if name in _ROW_TYPES and isinstance(value, (list, tuple)):
        return tuple(_from_dict(_ROW_TYPES[name], item) for item in value)
    if name in _RECORD_TYPES and isinstance(value, Mapping):
        return _from_dict(_RECORD_TYPES[name], value)
    return tuple(value) if isinstance(value, list) else value
