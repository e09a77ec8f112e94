"""The board snapshot that the deck shows, and `status`, a shorter form of it.

The deck asks the runtime over the control socket. The deck reads the database itself only without a
runtime: measurements exist in the runtime alone, and a deck that does not load the database
libraries starts faster.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from app import cluster, paths
from app.core.board import (
    COPY_STATE,
    FAILURE_WINDOW,
    MAX_ALERTS,
    AlertEntry,
    BackupFacts,
    Board,
    BookingEntry,
    ComingEntry,
    DeviceEntry,
    EndedEntry,
    HostFacts,
    LatestAction,
    LockFacts,
    NextEntry,
    OuterUse,
    PoolEntry,
    QueueEntry,
    ReplicaFacts,
    ResourceUse,
    RunningEntry,
    RuntimeFacts,
    get_failure_cutoff,
    get_midnight,
)
from app.core.schedules.recurrence import describe_recurrence
from app.core.scheduling.forecasts import run_times
from app.core.scheduling.plan import (
    Amounts,
    DispatchView,
    PoolView,
    QueuedTask,
    QueueView,
    get_line_key,
    is_open,
    make_budgets,
)
from app.core.scheduling.resources import format_amounts
from app.core.text import units
from app.core.text.joining import join_clauses
from app.core.text.sanitize import sanitize
from app.core.text.status_glyphs import FAILED_STATES
from app.errors import Usage
from app.service import alerts, board_groups, gpus, hooks, outer, sla_evaluation
from app.service.context import Call, RuntimeHandle
from app.service.database import backup_files, backups, replica
from app.service.definitions import queues
from app.service.schedules.rules import get_recurrence
from app.service.scheduling import dispatch_view
from app.service.scheduling.limit_view import list_booked
from app.service.tasks.inspection.views import get_halt_reason
from app.service.tasks.submission import bulk
from app.translation import get_language, tr, tr_noop
from app.version import VERSION
from db import timestamps
from db.engine import Connection, Database
from db.queries import definitions, reads, schedules
from db.queries.history import operations, samples
from db.queries.home import replicas, retention
from db.queries.scheduling import bookings, resources
from db.rows import ActiveRunRow, PoolRow, TaskLineRow, TaskRow
from db.states import ENDED, WAITING, TaskStatus

SHOWN_NEXT = 60
SHOWN_ENDED = 40
SHOWN_COMING = 5
COMING_WITHIN = timedelta(hours=24)
SUCCESSES_FOR = timedelta(hours=1)
ALERTS_FOR = timedelta(minutes=10)
TREND = timedelta(minutes=30)
TREND_CELLS = 10
LOG_TAIL_BYTES = 4096


def count_all_ended(c: Connection, since: str) -> dict[str, int]:
    """Return the tasks that ended since a time by status, those deleted or removed included."""
    found = Counter(reads.count_ended_since(c, since))
    found.update(retention.count_removed(c, since))
    return found


class EndedCount:
    """Cached count of tasks that ended since a given time.

    Counting a million tasks takes 50 ms, so the count is repeated only after twenty times its own
    duration.
    """

    def __init__(self, statuses: Iterable[str], *, kept: bool = False) -> None:
        """Count tasks with these statuses; with `kept` leave out deleted ones.

        Otherwise the count includes tasks whose rows are removed, so that it never falls by itself.
        """
        self._statuses, self._kept = statuses, kept
        self.is_cached = False
        """True if the last answer came from the cache and may be stale."""
        self._since = ""
        self._found: dict[str, int] = {}
        self._due = 0.0

    def count(self, c: Connection, since: str) -> dict[str, int]:
        """Return the number of tasks by status."""
        began = monotonic()
        self.is_cached = since == self._since and began < self._due
        if not self.is_cached:
            self._found, self._since = self._count(c, since), since
            self._due = monotonic() + 20 * (monotonic() - began)
        return self._found

    def _count(self, c: Connection, since: str) -> dict[str, int]:
        if self._kept:
            return reads.count_ended_since(c, since, self._statuses, skip_deleted=True)
        return count_all_ended(c, since)


_TODAY, _UNSEEN = EndedCount(ENDED), EndedCount(FAILED_STATES, kept=True)


BOARD_TTL = 10.0
"""Seconds for which an idle board is reused if nothing is written."""


class BoardCache:
    """The last board of each database.

    An open deck asks once a second, and most answers equal the one before.
    """

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[Database, tuple[Any, Board]] = WeakKeyDictionary()

    async def read(self, call: Call, seen: float | None) -> Board:
        """Return the current board, rereading only changed data."""
        state = (call.db.changes, get_halt_reason(call), seen, call.live and call.live.maintenance,
                 get_language())  # fmt: skip
        known, last = self._of.get(call.db, (None, None))
        now = timestamps.utcnow()
        if (
            last
            and known == state
            and call.live
            and not call.db.damage
            and 0 <= now.timestamp() - last.at < BOARD_TTL
        ):
            return last._replace(
                at=now.timestamp(), runtime=get_runtime_facts(call), host=get_host(call),
                database=get_database_state(call), lock=_get_lock(call, now),
                devices=make_devices(gpus.list_devices({}, len(last.devices))),  # nothing runs
            )  # fmt: skip
        found = await call.db.read(read_board, call, seen)
        if _changes_with_time(found) or _TODAY.is_cached or _UNSEEN.is_cached:
            self._of.pop(call.db, None)
        else:
            self._of[call.db] = state, found
        return found


def _changes_with_time(found: Board) -> bool:
    """Return whether the board changes without a write.

    Runs, retry countdowns, and the lateness and silences of open alerts change with time.
    """
    counted_down = any(
        line.status == TaskStatus.RETRYING
        or (line.starts_at is None and line.expected_in and line.expected_in[1] > 0)
        for line in found.next
    )
    return (
        bool(found.running)
        or counted_down
        or any(line.status != "resolved" for line in found.alerts)
    )


_BOARDS = BoardCache()


async def show_board(call: Call, *, seen: float | None = None) -> dict[str, Any]:
    """Return the board as one snapshot.

    `seen` is the UNIX time at which the user last viewed failures.
    """
    return (await _BOARDS.read(call, seen)).as_dict()


def read_board(c: Connection, call: Call, viewed_at: float | None = None) -> Board:
    """Build the board from one read transaction and the runtime's measurements."""
    now = timestamps.utcnow()
    unseen = timestamps.format_time(
        get_failure_cutoff(
            None if viewed_at is None else datetime.fromtimestamp(viewed_at, UTC), now
        )
    )
    line, active = (
        dispatch_view.read_view(c, dispatch_view.get_cache(c), get_halt_reason(call)),
        reads.list_running(c),
    )
    newest = read_backup(c, call, now)
    counts, trend = (
        reads.count_by_status(c),
        Trend(now, samples.list_samples(c, timestamps.format_time(now - TREND))),
    )
    ended = _TODAY.count(c, timestamps.format_time(get_midnight(now)))
    before = {} if call.live else samples.map_last_measures(c)
    runtime, host = _read_runtime_and_host(c, call)
    pools, held, shared = reads.list_pools(c), resources.sum_held(c), resources.read_totals(c)
    waiting, over = tuple(_build_next_lines(c, line)), tuple(_build_ended_lines(c, now))
    return Board(
        at=now.timestamp(), home=os.fspath(call.home), runtime=runtime, host=host,
        database=get_database_state(call), lock=_get_lock(call, now),
        measured_at=max((timestamps.to_unix(row.updated_at) for row in before.values()),
        default=None),
        backup=newest.to_facts() if newest else None, replica=read_replica(c, call),
        counts=counts, today_ok=ended.get("succeeded", 0),
        today_failed=sum(ended.get(s, 0) for s in FAILED_STATES),
        failed=sum(_UNSEEN.count(c, unseen).values()),
        waiting_total=sum(n for status, n in counts.items() if status in WAITING),
        rules=definitions.count_slas(c),
        queues=tuple(_build_queue_line(call, row, trend) for row in queues.list_queue_dicts(c)),
        pools=tuple(_build_pool_line(row, measure_pool(call, active, row.name), trend,
        before.get(row.name), list_pool_resources(row, held, shared),
        outer.make_use(row, active) if row.kind else None)
        for row in pools),
        resources=list_shared_resources(held, shared),
        devices=make_devices(gpus.read_devices(c, pools, shared)),
        bookings=tuple(_build_booking_lines(c)),
        running=tuple(_build_running_line(c, call, run, now) for run in active),
        groups=board_groups.list_entries(c, (row.group for row in (*waiting, *over))),
        next=waiting, coming=tuple(_build_coming_lines(c, now)), ended=over,
        alerts=tuple(_build_alert_lines(c, now, call.live)),
        news=_read_news(c), ever=reads.has_any_task(c),
    )  # fmt: skip


def _build_booking_lines(c: Connection) -> Iterator[BookingEntry]:
    for row in bookings.list_rows(c):
        times = (timestamps.to_unix(at) for at in (row.begins_at, row.ends_at))
        yield BookingEntry(row.pool, row.tag, format_amounts(list_booked(row)), *times)


def make_devices(found: Iterable[Mapping[str, Any]]) -> tuple[DeviceEntry, ...]:
    """Return the GPUs of a board, from those of `gpus.list_devices`."""
    return tuple(
        DeviceEntry(d["number"], d["name"], d["run"], d["trouble"], **d["measures"]) for d in found
    )


def _build_coming_lines(c: Connection, now: datetime) -> Iterator[ComingEntry]:
    """Yield the next fire times of schedules within a day."""
    for row in schedules.list_upcoming(c, SHOWN_COMING):
        at = timestamps.parse_time(row.due_at)
        if at - now <= COMING_WITHIN:
            words = describe_recurrence(get_recurrence(row))
            is_elsewhere = units.format_other_offset(at, units.find_zone(row.zone))
            zone = f" ({row.zone})" if is_elsewhere and row.kind != "every" else ""
            yield ComingEntry(row.name, at.timestamp(), words + zone, row.queue or "")


def _read_runtime_and_host(c: Connection, call: Call) -> tuple[RuntimeFacts, HostFacts]:
    """Return the state of the runtime and of the machine.

    A replica names the machine of its home, and the time of the last sync.
    """
    if not call.is_replica:
        return get_runtime_facts(call), get_host(call)
    found = replicas.find_replica(c)
    since = timestamps.to_unix(found.at) if found and found.at else None
    host = found.origin.partition(":")[0] if found else ""
    return RuntimeFacts(COPY_STATE, since=since), HostFacts(name=host)


def get_host(call: Call) -> HostFacts:
    """Return the machine as the runtime measured it."""
    return call.live.get_host() if call.live else HostFacts(name=os.uname().nodename)


DATABASE_CONDITIONS = {
    "disk full": "disk full",
    "disk read-only": "read-only",
    "database damaged": "DAMAGED",
    "database gone": "GONE",
}
"""Database conditions by the start of the text that halts dispatch."""


def get_database_state(call: Call) -> str:
    """Return `ok`, or the condition that prevents writes."""
    halted = (call.live.halted if call.live else None) or ""
    return next(
        (state for begin, state in DATABASE_CONDITIONS.items() if halted.startswith(begin)), "ok"
    )


def _get_lock(call: Call, now: datetime) -> LockFacts | None:
    """Return who blocks the runtime's access to the database, or None."""
    holder = call.db.find_lock_holder()
    return LockFacts(now.timestamp() - holder.seconds, holder.by) if holder else None


LATE_FACTOR = 2.5
"""Multiple of the backup interval after which the newest backup is late."""


class BackupStatus(NamedTuple):
    """The newest good backup that exists.

    `at` is in UNIX seconds, None if there is none yet. `gone` is the reason why none exists any
    more, or "".
    """

    at: float | None
    late: bool
    folder: str
    gone: str

    def to_facts(self) -> BackupFacts:
        return BackupFacts(None, late=True) if self.gone else BackupFacts(self.at, self.late)

    def as_dict(self) -> dict[str, Any]:
        """Return the backup as `status` reports it, with `at` None if the backup is gone."""
        at = timestamps.from_unix(self.at) if self.at and not self.gone else None
        return {
            "at": at,
            "late": self.late or bool(self.gone),
            "folder": self.folder,
            "gone": self.gone or None,
        }


def read_backup(c: Connection, call: Call, now: datetime) -> BackupStatus | None:
    """Return the newest good backup that exists.

    Return None if backups are disabled or the settings cannot be read, and for a replica.
    """
    if call.is_replica:
        return None
    try:
        rule = call.live.maintenance.backup if call.live else backup_files.read_settings()
    except Usage:
        return None
    if not rule.enabled:
        return None
    folder = os.fspath(backup_files.get_folder(call.home, rule))
    found, missing = backups.NEWEST.find_existing(c, folder, None if call.live else call.db.path)
    if found is None:
        return BackupStatus(None, False, folder, "")
    at = timestamps.to_unix(found)
    late = now.timestamp() - at > LATE_FACTOR * min(rule.full, rule.increment)
    return BackupStatus(at, late, folder, missing)


def read_replica(c: Connection, call: Call) -> ReplicaFacts | None:
    """Return the lag of the home's replica, or None without one, and None for a replica itself."""
    found = replica.to_dict(None if call.is_replica else replicas.find_replica(c))
    return ReplicaFacts(found["lag"], found["late"]) if found["target"] else None


def get_runtime_facts(call: Call) -> RuntimeFacts:
    """Return the state of the runtime, or why there is none."""
    if call.live is not None:
        return call.live.get_facts()
    home = os.fspath(call.home)
    stopped = paths.read_stop_marker(home)
    cure = cluster.find_cure(home)
    if stopped is None:
        return RuntimeFacts(cure=cure)
    return RuntimeFacts(
        cure=cure,
        state="stopped",
        stopped_by=stopped[0],
        since=os.stat(paths.get_stop_marker_path(call.home)).st_mtime,
    )


class Trend:
    """Samples of the last half hour in ten cells of three minutes, oldest first."""

    def __init__(self, now: datetime, rows: Iterable[Any]) -> None:
        self._of: dict[tuple[str, str], list[tuple[int, Any]]] = {}
        width = TREND.total_seconds() / TREND_CELLS
        for row in rows:
            back = int((now - timestamps.parse_time(row.minute)).total_seconds() / width)
            self._of.setdefault((row.kind, row.name), []).append(
                (TREND_CELLS - 1 - min(TREND_CELLS - 1, max(0, back)), row)
            )

    def get_starts(self, queue: str) -> tuple[int, ...]:
        """Return the number of starts of a queue in each cell."""
        found = [0] * TREND_CELLS
        for cell, row in self._of.get(("queue", queue), ()):
            found[cell] += row.started
        return tuple(found)

    def get_shares(
        self, pool: str, column: str, total: float, now: float | None
    ) -> tuple[float, ...]:
        """Return the largest measured share of a pool in each cell, from 0 to 1.

        `now` is the latest measurement.
        """
        found = [0.0] * TREND_CELLS
        for cell, row in self._of.get(("pool", pool), ()):
            found[cell] = max(found[cell], getattr(row, column) or 0.0)
        found[-1] = max(found[-1], now or 0.0)
        return tuple(min(1.0, amount / total) if total else 0.0 for amount in found)


def _build_queue_line(call: Call, row: dict[str, Any], trend: Trend) -> QueueEntry:
    *before, latest = trend.get_starts(row["name"])
    starts = (*before, latest + (call.live.get_starts(row["name"]) if call.live else 0))
    oldest = timestamps.to_unix(row["oldest_at"]) if row["oldest_at"] else None
    by = row["status_by"] if row["status"] != "active" else None
    return QueueEntry(row["name"], row["pool"], row["capacity"], row["current_load"],
    row["waiting"], oldest, row["status"], row["word"],
                     row["priority"], by, starts)  # fmt: skip


def measure_pool(
    call: Call, active: Sequence[ActiveRunRow], pool: str
) -> tuple[float, float] | None:
    """Return the cores and MiB used by the runs of a pool, or None without a runtime."""
    if call.live is None:
        return None
    use = [call.live.get_usage(run.runid) or (0.0, 0.0) for run in active if run.pool == pool]
    return sum(cpu for cpu, _ in use), sum(memory for _, memory in use)


Held = Mapping[str, Mapping[str, int]]
"""{pool: {named resource: amount that its active runs hold}}."""


def list_pool_resources(
    row: PoolRow, held: Held, shared: Mapping[str, int]
) -> tuple[ResourceUse, ...]:
    """Return the named resources of a pool, and those that runs hold after it gave them up."""
    totals, used = resources.parse_named(row.resources), held.get(row.name, {})
    names = {*totals, *(name for name in used if name not in shared)}
    return tuple(
        ResourceUse(name, totals.get(name, 0), used.get(name, 0)) for name in sorted(names)
    )


def list_shared_resources(held: Held, shared: Mapping[str, int]) -> tuple[ResourceUse, ...]:
    """Return the resources that all pools share."""
    return tuple(
        ResourceUse(name, shared[name], sum(used.get(name, 0) for used in held.values()))
        for name in sorted(shared)
    )


def _build_pool_line(
    row: PoolRow,
    measured: tuple[float, float] | None,
    trend: Trend,
    before: Any,
    named: tuple[ResourceUse, ...],
    use: OuterUse | None,
) -> PoolEntry:
    """Build the row of a pool.

    Without a runtime use the last stored measurement `before`.
    """
    cpu, memory = measured or (None, None)
    took = (before.measured_cpu, before.measured_memory) if before else (cpu, memory)
    return PoolEntry(
        row.name, row.total_cpu, row.total_memory, row.used_cpu, row.used_memory, row.status, *took,
        trend.get_shares(row.name, "measured_cpu", row.total_cpu, cpu),
        trend.get_shares(row.name, "measured_memory", row.total_memory, memory), named, use,
    )  # fmt: skip


def _build_running_line(
    c: Connection, call: Call, run: ActiveRunRow, now: datetime
) -> RunningEntry:
    use = call.live.get_usage(run.runid) if call.live else None
    started = timestamps.to_unix(run.start_time) if run.start_time else None
    ran = now.timestamp() - started if started else 0.0
    past = dispatch_view.get_cache(c).get_usual_of_run(c, run.template, run.name, ran)
    left = run_times.estimate_remaining(ran, past, run.timeout) if started else None
    return RunningEntry(
        run.task_id, run.runid, run.number, run.name, run.queue, outer.get_shown_status(run),
        run.attempt, started,
        run.timeout, left, run.cpu, run.memory,
        run.priority, *(use or (None, None)), _read_output(call, run),
        _describe_state(run), past is None and left is not None,
        dict(resources.parse_named(run.resources)) or None,
        **board_groups.get_place(run),
    )  # fmt: skip


def _read_output(call: Call, run: ActiveRunRow) -> str:
    """Return the last output of a run, behind the node on which a job runs."""
    found = read_last_output(call, run.runid)
    return ": ".join(filter(None, (run.node, found))) if run.node else found


def _describe_state(run: ActiveRunRow) -> str:
    """Return the text shown instead of the last output of a run that is not running."""
    if run.status == "running":
        return ""
    if waiting := outer.describe_wait(run):
        return waiting
    if run.status == "stopping":
        return tr("stopping: {why}", why=run.stop_reason)
    return run.reason or tr(run.status)


_OUTPUT_CACHE: dict[str, tuple[int, str]] = {}


def read_last_output(call: Call, runid: str) -> str:
    """Return the last line of a run's log, with carriage returns applied.

    The log is read again only after it has grown.
    """
    try:
        with paths.open_regular(paths.get_log_path(call.home, runid)) as file:
            size = os.fstat(file.fileno()).st_size
            known = _OUTPUT_CACHE.get(runid)
            if known is not None and known[0] == size:
                return known[1]
            file.seek(max(0, size - LOG_TAIL_BYTES))
            line = _extract_last_line(file.read().decode("utf-8", "replace"))
    except OSError:
        return ""
    if len(_OUTPUT_CACHE) > 1000:
        _OUTPUT_CACHE.clear()
    _OUTPUT_CACHE[runid] = (size, line)
    return line


def _extract_last_line(text: str) -> str:
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        return ""
    parts = [part for part in lines[-1].split("\r") if part.strip()]
    return (parts[-1] if parts else "")[:500]


def _build_next_lines(c: Connection, seen: DispatchView) -> Iterable[NextEntry]:
    """Return the first waiting tasks.

    Tasks that can start come first, in dispatch order, then tasks that wait for a time, a
    dependency or a retry, then tasks that need somebody to act.
    """
    pools = {pool.name: pool for pool in seen.pools}
    firsts = [(queue, task) for queue in seen.queues for task in queue.waiting[:SHOWN_NEXT]]
    firsts.sort(key=lambda pair: get_line_key(pair[1], pair[0].priority))
    startable, blocked = (
        [
            task
            for queue, task in board_groups.keep_first_members(c, firsts)
            if _needs_action(queue, pools[queue.pool], task, seen.shared) is so
        ][:SHOWN_NEXT]
        for so in (False, True)
    )
    spare = max(8, SHOWN_NEXT - len(startable))
    others = reads.list_not_queued(c, spare)
    chosen = (startable, blocked[:spare])
    behind = board_groups.map_behind_groups(c, seen)
    rows = {
        row.uuid: row
        for row in reads.list_lines(c, [*(task.uuid for part in chosen for task in part), *behind])
    }
    queued, later = ([rows[task.uuid] for task in part if task.uuid in rows] for part in chosen)
    held = others.pop(TaskStatus.HELD)
    tasks = board_groups.drop_followers([
        *queued, *(rows[uuid] for uuid in behind if uuid in rows),
        *(row for part in others.values() for row in part), *later, *held,
    ])  # fmt: skip
    known = [task for task in tasks if task.uuid not in behind]
    why = dispatch_view.explain_waiting(
        c, dispatch_view.get_cache(c), known, seen.halted, seen, may_lag=True
    )
    return [
        _build_next_line(task, why[task.uuid])
        if task.uuid in why
        else board_groups.build_behind_line(task, behind[task.uuid])
        for task in tasks
    ]


def _needs_action(queue: QueueView, pool: PoolView, task: QueuedTask, shared: Amounts) -> bool:
    """Return whether the task needs somebody to act before it can start.

    Its queue or pool is closed, or its pool can never hold it.
    """
    return not (
        is_open(queue, pool) and make_budgets([pool], shared)[pool.name].can_ever_fit(task.needs)
    )


def _build_next_line(task: TaskLineRow, why: Any) -> NextEntry:
    first = why.reasons[0]
    at = (
        timestamps.to_unix(task.not_before)
        if task.status == TaskStatus.SCHEDULED and task.not_before
        else None
    )
    return NextEntry(
        task.uuid, task.number, task.name, task.queue, task.status,
        timestamps.to_unix(task.created_at), join_clauses(r.text for r in why.reasons[:2]),
        first.short, task.priority, task.front, why.starts_in, at, why.expected_in,
        **board_groups.get_place(task),
    )  # fmt: skip


def _build_ended_lines(c: Connection, now: datetime) -> Iterable[EndedEntry]:
    """Return the latest failures of a week and successes of an hour, newest first.

    The deck decides which of them are still news.
    """
    bad = reads.list_just_ended(
        c, FAILED_STATES, timestamps.format_time(now - FAILURE_WINDOW), SHOWN_ENDED
    )
    good = reads.list_just_ended(
        c, ("succeeded", "cancelled"), timestamps.format_time(now - SUCCESSES_FOR), SHOWN_ENDED
    )
    rows = sorted([*bad, *good], key=lambda row: row.ended_at or "", reverse=True)
    runs = reads.map_last_runs(c, [row.uuid for row in rows])
    return [
        build_ended_line(row, runs.get(row.uuid))._replace(**board_groups.get_place(row))
        for row in rows
    ]


def build_ended_line(row: TaskRow | TaskLineRow, run: Any) -> EndedEntry:
    """Build the row of an ended task with its last run."""
    at = timestamps.to_unix(row.ended_at or "")
    return EndedEntry(
        row.uuid,
        row.number,
        row.name,
        row.queue,
        row.status,
        at,
        describe_end(row, run),
        row.priority,
    )


def describe_end(row: TaskRow | TaskLineRow, run: Any) -> str:
    """Describe the end of a task: `failed, exit 1 after 3s: No such file`."""
    seconds = run.run_seconds if run is not None else None
    took = "" if seconds is None else units.format_duration(seconds)
    if row.status == TaskStatus.SUCCEEDED:
        return tr("succeeded in {duration}", duration=took) if took else tr("succeeded")
    if row.status == TaskStatus.CANCELLED:
        return row.reason or tr("cancelled")
    if row.status == TaskStatus.TIMED_OUT:
        return tr("timed out after {duration}", duration=took) if took else tr("timed out")
    reason = sanitize(row.reason or "")
    said = (
        _extract_last_line(run.logs or "")
        if run is not None and row.status == TaskStatus.FAILED and ":" not in reason
        else ""
    )
    end = f"{tr(row.status.replace('_', ' '))}, {reason}"
    if took:
        end = tr("{end} after {duration}", end=end, duration=took)
    return end + (f": {said}" if said else "")


def _build_alert_lines(
    c: Connection, now: datetime, live: RuntimeHandle | None
) -> Iterable[AlertEntry]:
    """Return open alerts, firing ones first, and those resolved in the last ten minutes."""
    since = timestamps.format_time(now - ALERTS_FOR)
    found = alerts.list_current(c, since, MAX_ALERTS, live)
    return [_build_alert_line(alert) for alert in found]


def _build_alert_line(found: Any) -> AlertEntry:
    row, task = found.alert, found.task
    resolved = timestamps.to_unix(row.resolved_at) if row.resolved_at else None
    until = timestamps.to_unix(found.silence.until) if found.silence else None
    return AlertEntry(
        row.id, row.name, row.severity, alerts.get_status(found), row.object, row.text, row.short,
        timestamps.to_unix(row.fired_at), row.task_id,
        task.number if task else None, row.acknowledged_by, resolved, until,
    )  # fmt: skip


_PAST_TENSE = {
    "submit": tr_noop("submitted {object}"),
    "cancel": tr_noop("cancelled {object}"),
    "pause": tr_noop("paused {object}"),
    "resume": tr_noop("resumed {object}"),
    "hold": tr_noop("held {object}"),
    "release": tr_noop("released {object}"),
    "retry": tr_noop("retried {object}"),
    "rm": tr_noop("removed {object}"),
    "front": tr_noop("moved to the front {object}"),
    "create": tr_noop("created {object}"),
    "drain": tr_noop("drained {object}"),
    "set": tr_noop("changed {object}"),
    "ack": tr_noop("acknowledged {object}"),
    "apply": tr_noop("applied {object}"),
    "silence": tr_noop("silenced {object}"),
    "unsilence": tr_noop("unsilenced {object}"),
    "unack": tr_noop("unacknowledged {object}"),
    "undo": tr_noop("undid a change of {object}"),
    "timeout": tr_noop("timed out {object}"),
    "log": tr_noop("stopped for its log {object}"),
    "stop": tr_noop("stopped the {object}"),
    "backup": tr_noop("took {object}"),
    "cleanup": tr_noop("cleaned up the {object}"),
    "repair": tr_noop("repaired the {object}"),
    "reconcile": tr_noop("reconciled the {object}"),
    "retire": tr_noop("retired {object}"),
    "restore": tr_noop("restored {object}"),
}


def _read_news(c: Connection) -> LatestAction | None:
    """Return the latest operation: `paused #1052 sha256 photos`."""
    rows = operations.list_operations(c, operations.OperationFilter(), 1)
    if not rows:
        return None
    words = rows[0].verb.split()  # Examples: "pause", "queue pause", "set priority cpu".
    verb = next((_PAST_TENSE[word] for word in words if word in _PAST_TENSE), None)
    shown = _format_object(c, rows[0].object)
    return LatestAction(
        timestamps.to_unix(rows[0].created_at),
        rows[0].by,
        tr(verb, object=shown) if verb else f"{rows[0].verb} {shown}",
        rows[0].origin or "",
    )


def _format_object(c: Connection, obj: str) -> str:
    """Return `task #12` with its name; return other objects unchanged."""
    number = obj.removeprefix("task #")
    found = (
        [*reads.map_by_number(c, [int(number)]).values()]
        if obj.startswith("task #") and number.isdigit()
        else []
    )
    return f"#{found[0].number} {found[0].name}" if found else obj


# --- status -----------------------------------------------------------------------------


async def show_status(call: Call) -> dict[str, Any]:
    """Return the state of runtime, queues, pools and alerts on one screen."""
    await sla_evaluation.evaluate_for_reader(call)
    return await call.db.read(_read_status, call)


def _read_status(c: Connection, call: Call) -> dict[str, Any]:
    found = read_database_status(c, call)
    runtime, host = found.pop("facts")
    return {
        "version": VERSION, "home": os.fspath(call.home), "host": host.name,
        "runtime": {"state": runtime.state, "pid": runtime.pid,
        "since": timestamps.from_unix(runtime.since) if runtime.since else None,
                    "by": call.by or None, "stopped_by": runtime.stopped_by,
                    "tick_lag": runtime.tick_lag, "halted": runtime.halted,
                    "boottime": runtime.boottime, "cure": runtime.cure},
        "keeper": {"pid": runtime.keeper_pid, "guard_pid": runtime.guard_pid},
        "http": {"url": runtime.http or None, "problem": runtime.http_problem or None},
        **found,
    }  # fmt: skip


def read_database_status(c: Connection, call: Call) -> dict[str, Any]:
    """Return the parts of `status` that come from the database."""
    now, active = timestamps.utcnow(), reads.list_running(c)
    ended = count_all_ended(c, timestamps.format_time(get_midnight(now)))
    size = os.path.getsize(call.db.path) if call.db.path.exists() else 0
    backup = read_backup(c, call, now)
    return {
        "facts": _read_runtime_and_host(c, call),
        "counts": reads.count_by_status(c),
        "storing": bulk.count_unfinished(c),
        "today": {
            "ok": ended.get("succeeded", 0),
            "failed": sum(ended.get(s, 0) for s in ("failed", "timed_out", "lost")),
        },
        "database": {"size": size, "state": get_database_state(call)},
        "backup": backup.as_dict() if backup else None,
        "replica": replica.to_dict(None) if call.is_replica else replica.read_status(c),
        "hooks": hooks.list_states(c),
        "queues": queues.list_queue_dicts(c),
        "pools": [
            _add_measured(row, measure_pool(call, active, row["name"]))
            for row in queues.list_pool_dicts(c)
        ],
        "resources": [
            one._asdict()
            for one in list_shared_resources(resources.sum_held(c), resources.read_totals(c))
        ],
        "alerts": [
            {**line._asdict(), "since": timestamps.from_unix(line.since)}
            for line in _build_alert_lines(c, now, call.live)
            if line.status != "resolved"
        ],
    }


def _add_measured(row: dict[str, Any], measured: tuple[float, float] | None) -> dict[str, Any]:
    cpu, memory = measured or (None, None)
    return {**row, "measured_cpu": cpu, "measured_memory": memory}
