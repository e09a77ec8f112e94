"""The one snapshot that the deck shows, and `status`, which is the same in fewer words.

A deck asks the runtime for it over the control socket, and reads the database itself only when no runtime is up: what was measured
lives in the runtime alone, and a deck that need not load the database's libraries is on the screen sooner.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import Connection

from app import paths
from app.core.board import (
    FAILURES_FOR,
    SHOWN_ALERTS,
    AlertLine,
    BackupFacts,
    Board,
    EndedLine,
    HostFacts,
    LockFacts,
    News,
    NextLine,
    PoolLine,
    QueueLine,
    ReplicaFacts,
    RunningLine,
    RuntimeFacts,
    counted_since,
    midnight,
)
from app.core.scheduling import forecast
from app.core.scheduling.plan import PoolView, QueueView, Room, View, Waiting, opened, rank
from app.core.text import units
from app.core.text.sanitize import clean
from app.core.text.status_glyphs import BAD
from app.errors import Usage
from app.service import alerts, dispatch_view
from app.service.context import Call
from app.service.database import backup_files, backups, replica
from app.service.definitions import queues
from app.service.tasks.views import halted
from app.version import VERSION
from db import raw_sql, timestamps
from db.engine import Database
from db.queries import operations, reads, replicas
from db.rows import ActiveRow, LineRow, PoolRow, TaskRow
from db.states import ENDED, WAITING, Task

SHOWN_NEXT = 60
SHOWN_ENDED = 40
SUCCESSES_FOR = timedelta(hours=1)
ALERTS_FOR = timedelta(minutes=10)
TREND = timedelta(minutes=30)
CELLS = 10
TAIL = 4096


class _Counted:
    """How many ended since a moment, counted again only after twenty times what counting takes: a million cost 50 ms each time."""

    def __init__(self, statuses: Iterable[str], *, kept: bool = False) -> None:
        """`kept`: without those that were deleted."""
        self._statuses, self._kept = statuses, kept
        self.remembered = False
        """Whether the last answer was from before, so that something may have ended since."""
        self._since = ""
        self._found: dict[str, int] = {}
        self._due = 0.0

    def of(self, c: Connection, since: str) -> dict[str, int]:
        """Tasks by status."""
        began = monotonic()
        self.remembered = since == self._since and began < self._due
        if not self.remembered:
            self._found, self._since = reads.ended_since(c, since, self._statuses, kept=self._kept), since
            self._due = monotonic() + 20 * (monotonic() - began)
        return self._found


_TODAY, _UNSEEN = _Counted(ENDED), _Counted(BAD, kept=True)


STILL = 10.0
"""Seconds for which a board on which nothing goes on by itself is not read anew as long as nothing is written."""


class _Still:
    """The last board of each database: a deck that is left open asks once a second, and most of them are as the one before."""

    def __init__(self) -> None:
        self._of: WeakKeyDictionary[Database, tuple[Any, Board]] = WeakKeyDictionary()

    async def read(self, call: Call, seen: float | None) -> Board:
        """The board as it is now; of what is in the database only what can have changed is read."""
        state = (call.db.changes, halted(call), seen, call.live and call.live.upkeep)
        known, last = self._of.get(call.db, (None, None))
        now = timestamps.utcnow()
        if last and known == state and call.live and not call.db.damage and 0 <= now.timestamp() - last.at < STILL:
            return last._replace(
                at=now.timestamp(), runtime=facts(call), host=host(call), database=database(call), lock=_lock(call, now)
            )  # fmt: skip
        found = await call.db.read(read, call, seen)
        if _goes_on(found) or _TODAY.remembered or _UNSEEN.remembered:
            self._of.pop(call.db, None)
        else:
            self._of[call.db] = state, found
        return found


def _goes_on(found: Board) -> bool:
    """Whether it changes though nothing is written: what runs; in how long a retry starts; how late what an open alert is about is by now,
    and whether its rule is silent."""
    counted_down = any(line.status == Task.RETRYING or line.starts_in and line.starts_at is None for line in found.next)
    return bool(found.running) or counted_down or any(line.status != "resolved" for line in found.alerts)


_STILL = _Still()


async def board(call: Call, *, seen: float | None = None) -> dict[str, Any]:
    """Everything the deck shows, as one moment. `seen`: the UNIX time at which failures were last looked at."""
    return (await _STILL.read(call, seen)).as_dict()


def read(c: Connection, call: Call, seen: float | None = None) -> Board:
    """The board, from one read transaction and what the runtime measured."""
    now = timestamps.utcnow()
    unseen = timestamps.stamp(counted_since(None if seen is None else datetime.fromtimestamp(seen, UTC), now))
    line, active = dispatch_view.view(c, dispatch_view.remembered(c), halted(call)), reads.running(c)
    newest = _backup(c, call, now)
    counts, trend = reads.counts(c), Trend(now, reads.samples(c, timestamps.stamp(now - TREND)))
    ended = _TODAY.of(c, timestamps.stamp(midnight(now)))
    before = {} if call.live else reads.last_measures(c)
    return Board(
        at=now.timestamp(), home=os.fspath(call.home), runtime=facts(call), host=host(call),
        database=database(call), lock=_lock(call, now),
        measured_at=max((timestamps.unix(row.updated_at) for row in before.values()), default=None),
        backup=newest.facts() if newest else None, replica=_replica(c),
        counts=counts, today_ok=ended.get("succeeded", 0), today_failed=sum(ended.get(s, 0) for s in BAD),
        failed=sum(_UNSEEN.of(c, unseen).values()),
        waiting_total=sum(n for status, n in counts.items() if status in WAITING), rules=_rules(c),
        queues=tuple(_queue(call, row, trend) for row in queues.queue_dicts(c)),
        pools=tuple(_pool(row, _measured(call, active, row.name), trend, before.get(row.name)) for row in reads.pools(c)),
        running=tuple(_running(c, call, run, now) for run in active), next=tuple(_next(c, line)),
        ended=tuple(_ended(c, now)), alerts=tuple(_alerts(c, now)), news=_news(c), ever=reads.ever(c),
    )  # fmt: skip


def host(call: Call) -> HostFacts:
    """The machine, as the runtime measured it."""
    return call.live.host() if call.live else HostFacts(name=os.uname().nodename)


AILING = {"disk full": "disk full", "disk read-only": "read-only", "database damaged": "DAMAGED", "database gone": "GONE"}
"""How the database is, by what halts the starting."""


def database(call: Call) -> str:
    """`ok`, or what keeps it from being written."""
    halted = (call.live.halted if call.live else None) or ""
    return next((state for begin, state in AILING.items() if halted.startswith(begin)), "ok")


def _lock(call: Call, now: datetime) -> LockFacts | None:
    """Who keeps the runtime from the database, if somebody does."""
    held = call.db.held()
    return LockFacts(now.timestamp() - held.seconds, held.by) if held else None


LATE = 2.5
"""Times between two backups after which the newest one is late."""


class _Newest(NamedTuple):
    """The newest good backup that is there: UNIX seconds, None for none yet; the folder; `gone`: why none is any more, or ""."""

    at: float | None
    late: bool
    folder: str
    gone: str

    def facts(self) -> BackupFacts:
        return BackupFacts(None, late=True) if self.gone else BackupFacts(self.at, self.late)

    def told(self) -> dict[str, Any]:
        """As `status` answers it; `at` is null for one that is gone."""
        at = timestamps.from_unix(self.at) if self.at and not self.gone else None
        return {"at": at, "late": self.late or bool(self.gone), "folder": self.folder, "gone": self.gone or None}


def _backup(c: Connection, call: Call, now: datetime) -> _Newest | None:
    """The newest good backup whose file is there; None where none are taken, or where the settings cannot be read."""
    try:
        rule = call.live.upkeep.backup if call.live else backup_files.settings()
    except Usage:
        return None
    if not rule.enabled:
        return None
    folder = os.fspath(backup_files.folder(call.home, rule))
    found, gone = backups.NEWEST.there(c, folder, None if call.live else call.db.path)
    if found is None:
        return _Newest(None, False, folder, "")
    at = timestamps.unix(found)
    late = now.timestamp() - at > LATE * min(rule.full, rule.increment)
    return _Newest(at, late, folder, gone)


def _replica(c: Connection) -> ReplicaFacts | None:
    """How far behind the copy is."""
    found = replica.told(replicas.find(c))
    return ReplicaFacts(found["lag"], found["late"]) if found["target"] else None


def facts(call: Call) -> RuntimeFacts:
    """The runtime that answers, or how it is that there is none."""
    if call.live is not None:
        return call.live.facts()
    stopped = paths.stopped(call.home)
    if stopped is None:
        return RuntimeFacts()
    return RuntimeFacts(state="stopped", stopped_by=stopped[0], since=os.stat(paths.stopped_mark(call.home)).st_mtime)


def _rules(c: Connection) -> int:
    return raw_sql.value(c, "SELECT count(*) FROM slas")


class Trend:
    """The samples of the last half hour in cells of three minutes, the latest last."""

    def __init__(self, now: datetime, rows: Iterable[Any]) -> None:
        self._of: dict[tuple[str, str], list[tuple[int, Any]]] = {}
        width = TREND.total_seconds() / CELLS
        for row in rows:
            back = int((now - timestamps.parse(row.minute)).total_seconds() / width)
            self._of.setdefault((row.kind, row.name), []).append((CELLS - 1 - min(CELLS - 1, max(0, back)), row))

    def starts(self, queue: str) -> tuple[int, ...]:
        """Starts of a queue in each cell."""
        found = [0] * CELLS
        for cell, row in self._of.get(("queue", queue), ()):
            found[cell] += row.started
        return tuple(found)

    def shares(self, pool: str, column: str, total: float, now: float | None) -> tuple[float, ...]:
        """The greatest measured share of a pool in each cell, 0 to 1; `now` is the latest measurement."""
        found = [0.0] * CELLS
        for cell, row in self._of.get(("pool", pool), ()):
            found[cell] = max(found[cell], getattr(row, column) or 0.0)
        found[-1] = max(found[-1], now or 0.0)
        return tuple(min(1.0, amount / total) if total else 0.0 for amount in found)


def _queue(call: Call, row: dict[str, Any], trend: Trend) -> QueueLine:
    *before, latest = trend.starts(row["name"])
    starts = (*before, latest + (call.live.started(row["name"]) if call.live else 0))
    oldest = timestamps.unix(row["oldest_at"]) if row["oldest_at"] else None
    by = row["status_by"] if row["status"] != "active" else None
    return QueueLine(row["name"], row["pool"], row["capacity"], row["current_load"], row["waiting"], oldest, row["status"], row["word"],
                     row["priority"], by, starts)  # fmt: skip


def _measured(call: Call, active: Sequence[ActiveRow], pool: str) -> tuple[float, float] | None:
    """Cores and MiB that the runs of a pool take; None without a runtime."""
    if call.live is None:
        return None
    used = [call.live.usage(run.runid) or (0.0, 0.0) for run in active if run.pool == pool]
    return sum(cpu for cpu, _ in used), sum(memory for _, memory in used)


def _pool(row: PoolRow, measured: tuple[float, float] | None, trend: Trend, before: Any) -> PoolLine:
    """A pool with what it takes now, or without a runtime took `before`."""
    cpu, memory = measured or (None, None)
    took = (before.measured_cpu, before.measured_memory) if before else (cpu, memory)
    return PoolLine(
        row.name, row.total_cpu, row.total_memory, row.used_cpu, row.used_memory, row.status, *took,
        trend.shares(row.name, "measured_cpu", row.total_cpu, cpu), trend.shares(row.name, "measured_memory", row.total_memory, memory),
    )  # fmt: skip


def _running(c: Connection, call: Call, run: ActiveRow, now: datetime) -> RunningLine:
    used = call.live.usage(run.runid) if call.live else None
    started = timestamps.unix(run.start_time) if run.start_time else None
    ran = now.timestamp() - started if started else 0.0
    past = dispatch_view.remembered(c).of_run(c, run.template, run.name, ran)
    left = forecast.left(ran, past, run.timeout) if started else None
    return RunningLine(
        run.task_id, run.runid, run.number, run.name, run.queue, run.status, run.attempt, started, run.timeout, left, run.cpu, run.memory,
        run.priority, *(used or (None, None)), last_output(call, run.runid), _instead(run), past is None and left is not None,
    )  # fmt: skip


def _instead(run: ActiveRow) -> str:
    """What stands in place of the last output when it does not plainly run."""
    if run.status == "running":
        return ""
    return f"stopping: {run.stop_reason}" if run.status == "stopping" else run.reason or run.status


_TAILS: dict[str, tuple[int, str]] = {}


def last_output(call: Call, runid: str) -> str:
    """The last line that a run wrote, as `\\r` left it; read again only when the log grew."""
    try:
        with open(paths.log_path(call.home, runid), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            known = _TAILS.get(runid)
            if known is not None and known[0] == size:
                return known[1]
            file.seek(max(0, size - TAIL))
            line = _last_line(file.read().decode("utf-8", "replace"))
    except OSError:
        return ""
    if len(_TAILS) > 1000:
        _TAILS.clear()
    _TAILS[runid] = (size, line)
    return line


def _last_line(text: str) -> str:
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        return ""
    parts = [part for part in lines[-1].split("\r") if part.strip()]
    return (parts[-1] if parts else "")[:500]


def _next(c: Connection, seen: View) -> Iterable[NextLine]:
    """The first that wait: what may start as things are, in that order; then what waits for other things, by its time where it has one;
    then what stands still until somebody does something."""
    pools = {pool.name: pool for pool in seen.pools}
    firsts = [(queue, task) for queue in seen.queues for task in queue.waiting[:SHOWN_NEXT]]
    firsts.sort(key=lambda pair: (-pair[0].priority, *rank(pair[1])))
    able, still = (
        [task for queue, task in firsts if _stands_still(queue, pools[queue.pool], task) is so][:SHOWN_NEXT] for so in (False, True)
    )
    spare = max(8, SHOWN_NEXT - len(able))
    others = reads.not_queued(c, spare)
    chosen = (able, still[:spare])
    rows = {row.uuid: row for row in reads.lines(c, [task.uuid for part in chosen for task in part])}
    queued, later = ([rows[task.uuid] for task in part if task.uuid in rows] for part in chosen)
    held = others.pop(Task.HELD)
    tasks = [*queued, *(row for part in others.values() for row in part), *later, *held]
    why = dispatch_view.reasons(c, dispatch_view.remembered(c), tasks, seen.halted, seen)
    return [_next_line(task, why[task.uuid]) for task in tasks]


def _stands_still(queue: QueueView, pool: PoolView, task: Waiting) -> bool:
    """Whether it starts only when somebody does something: its queue or pool is closed, or its pool could never hold it."""
    return not (opened(queue, pool) and Room(pool, 0.0, 0.0).can_ever_hold(task.cpu, task.memory))


def _next_line(task: LineRow, why: Any) -> NextLine:
    first = why.reasons[0]
    at = timestamps.unix(task.not_before) if task.status == Task.SCHEDULED and task.not_before else None
    return NextLine(
        task.uuid, task.number, task.name, task.queue, task.status, timestamps.unix(task.created_at), "; ".join(r.text for r in why.reasons[:2]),
        first.short, task.priority, task.front, why.starts_in, at,
    )  # fmt: skip


def _ended(c: Connection, now: datetime) -> Iterable[EndedLine]:
    """The latest failures of a week, and the latest successes of an hour, newest first. The deck knows which of them are still news."""
    bad = reads.just_ended(c, BAD, timestamps.stamp(now - FAILURES_FOR), SHOWN_ENDED)
    good = reads.just_ended(c, ("succeeded", "cancelled"), timestamps.stamp(now - SUCCESSES_FOR), SHOWN_ENDED)
    rows = sorted([*bad, *good], key=lambda row: row.ended_at or "", reverse=True)
    runs = reads.last_runs(c, [row.uuid for row in rows])
    return [ended_line(row, runs.get(row.uuid)) for row in rows]


def ended_line(row: TaskRow | LineRow, run: Any) -> EndedLine:
    """The line of a task that ended, with its last run."""
    at = timestamps.unix(row.ended_at or "")
    return EndedLine(row.uuid, row.number, row.name, row.queue, row.status, at, how(row, run), row.priority)


def how(row: TaskRow | LineRow, run: Any) -> str:
    """How a task ended, in words: `failed, exit 1 after 3s: No such file`."""
    took = f" after {units.duration(run.run_seconds)}" if run is not None and run.run_seconds is not None else ""
    if row.status == Task.SUCCEEDED:
        return f"succeeded in {took.removeprefix(' after ')}" if took else "succeeded"
    if row.status == Task.CANCELLED:
        return row.reason or "cancelled"
    if row.status == Task.TIMED_OUT:
        return f"timed out{took}"
    reason = clean(row.reason or "")
    said = _last_line(run.logs or "") if run is not None and row.status == Task.FAILED and ":" not in reason else ""
    return f"{row.status.replace('_', ' ')}, {reason}{took}" + (f": {said}" if said else "")


def _alerts(c: Connection, now: datetime) -> Iterable[AlertLine]:
    """Open alerts, worst first; resolved ones for ten minutes."""
    return [_alert(found) for found in alerts.current(c, timestamps.stamp(now - ALERTS_FOR), SHOWN_ALERTS)]


def _alert(found: Any) -> AlertLine:
    row, task = found.alert, found.task
    resolved = timestamps.unix(row.resolved_at) if row.resolved_at else None
    until = timestamps.unix(found.silence.until) if found.silence else None
    return AlertLine(
        row.id, row.name, row.severity, alerts.status(found), row.object, row.text, row.short, timestamps.unix(row.fired_at), row.task_id,
        task.number if task else None, row.acknowledged_by, resolved, until,
    )  # fmt: skip


_DONE = {
    "submit": "submitted", "cancel": "cancelled", "pause": "paused", "resume": "resumed", "hold": "held", "release": "released",
    "retry": "asked again for", "rm": "removed", "front": "moved to the front", "create": "created", "drain": "drains", "set": "changed",
    "ack": "acknowledged", "apply": "applied", "silence": "silenced", "unsilence": "hears again of",
    "unack": "took back that was seen:", "undo": "took back a change of", "timeout": "timed out", "log": "stopped for its log",
    "stop": "stopped the", "backup": "took", "cleanup": "cleaned up the", "repair": "repaired the", "reconcile": "counted anew the",
    "retire": "retired", "restore": "took up again",
}  # fmt: skip


def _news(c: Connection) -> News | None:
    """The latest thing somebody did: `paused #1052 sha256 photos`."""
    rows = operations.listed(c, operations.Wanted(), 1)
    if not rows:
        return None
    words = rows[0].verb.split()  # "pause", "queue pause", "set priority cpu"
    done = next((_DONE[word] for word in words if word in _DONE), rows[0].verb)
    return News(timestamps.unix(rows[0].created_at), rows[0].by, f"{done} {_object(c, rows[0].object)}", rows[0].origin or "")


def _object(c: Connection, obj: str) -> str:
    """`task #12` with its name; other objects as they are."""
    number = obj.removeprefix("task #")
    found = reads.by_number(c, int(number)) if obj.startswith("task #") and number.isdigit() else []
    return f"#{found[0].number} {found[0].name}" if found else obj


# --- status -------------------------------------------------------------------------------------------------------------------------


async def status(call: Call) -> dict[str, Any]:
    """One screen of facts."""
    return await call.db.read(_status, call)


def _status(c: Connection, call: Call) -> dict[str, Any]:
    found = read_status(c, call)
    runtime = found.pop("facts")
    return {
        "version": VERSION, "home": os.fspath(call.home), "host": os.uname().nodename,
        "runtime": {"state": runtime.state, "pid": runtime.pid, "since": timestamps.from_unix(runtime.since) if runtime.since else None,
                    "by": call.by or None, "stopped_by": runtime.stopped_by, "tick_lag": runtime.tick_lag, "halted": runtime.halted,
                    "boottime": runtime.boottime},
        "keeper": {"pid": runtime.keeper_pid, "guard_pid": runtime.guard_pid},
        **found,
    }  # fmt: skip


def read_status(c: Connection, call: Call) -> dict[str, Any]:
    """The parts of `status` that the database knows."""
    now, active = timestamps.utcnow(), reads.running(c)
    ended = reads.ended_since(c, timestamps.stamp(midnight(now)))
    size = os.path.getsize(call.db.path) if call.db.path.exists() else 0
    backup = _backup(c, call, now)
    return {
        "facts": facts(call),
        "counts": reads.counts(c),
        "today": {
            "ok": ended.get("succeeded", 0),
            "failed": sum(ended.get(s, 0) for s in ("failed", "timed_out", "lost")),
        },
        "database": {"size": size, "state": database(call)},
        "backup": backup.told() if backup else None,
        "replica": replica.told(replicas.find(c)),
        "queues": queues.queue_dicts(c),
        "pools": [_with_measured(row, _measured(call, active, row["name"])) for row in queues.pool_dicts(c)],
        "alerts": [
            {**line._asdict(), "since": timestamps.from_unix(line.since)}
            for line in _alerts(c, now)
            if line.status != "resolved"
        ],
    }


def _with_measured(row: dict[str, Any], measured: tuple[float, float] | None) -> dict[str, Any]:
    cpu, memory = measured or (None, None)
    return {**row, "measured_cpu": cpu, "measured_memory": memory}
