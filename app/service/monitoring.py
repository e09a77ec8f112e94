"""Snapshot of a home for monitoring, read by one transaction that scans no table that grows.

Durations are in seconds, memory in MiB, sizes in bytes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from app.core import sla
from app.core.board import (
    DeviceEntry,
    HostFacts,
    PoolEntry,
    ReplicaFacts,
    ResourceUse,
    RuntimeFacts,
)
from app.core.runtime_counts import RuntimeCounts
from app.service import board, gpus, outer
from app.service.context import Call
from db import timestamps
from db.engine import Connection
from db.maintenance.slow_queries import get_wal_size
from db.queries import definitions, reads
from db.queries.rules import alerts, silences
from db.queries.scheduling import resources, waits
from db.rows import PoolRow, QueueRow, SlaRow

RULE_STATES = ("off", "ok", "pending", "firing", "acknowledged", "silenced")
"""States of a rule."""
BACKUP_PROBLEM = "backup"
"""Name of the alert after a failed backup."""


class RuleUse(NamedTuple):
    """A rule with its state and its open alerts by status."""

    name: str
    severity: str
    state: str
    alerts: Mapping[str, int]


class WriterUse(NamedTuple):
    """Transactions that wait for the writer, and its waits for the lock of another program."""

    pending: int
    lock_waits: int
    lock_wait_seconds: float


@dataclass(frozen=True, slots=True)
class MonitoringSnapshot:
    """Everything that monitoring reads of a home, at one moment."""

    at: float
    runtime: RuntimeFacts
    host: HostFacts
    database_state: str
    database_bytes: int
    wal_bytes: int
    writer: WriterUse
    counts: RuntimeCounts
    tasks: Mapping[tuple[str, str], int]
    """Tasks by queue and status."""
    queues: Sequence[QueueRow]
    waits: Mapping[str, float]
    """Longest wait of each queue that has queued tasks."""
    pools: Sequence[PoolEntry]
    shared: Sequence[ResourceUse]
    devices: Sequence[DeviceEntry]
    rules: Sequence[RuleUse]
    problems: Sequence[str]
    """Names of the open alerts about Taskdeck itself."""
    backup: board.BackupStatus | None
    replica: ReplicaFacts | None


async def take_snapshot(call: Call) -> MonitoringSnapshot:
    """Return the snapshot of a home."""
    return await call.db.read(read_snapshot, call)


def read_snapshot(c: Connection, call: Call) -> MonitoringSnapshot:
    """Return the snapshot, read by one transaction."""
    now, shared = timestamps.utcnow(), resources.read_totals(c)
    rows, held, queues = reads.list_pools(c), resources.sum_held(c), reads.list_queues(c)
    lock = call.db.lock_waits
    return MonitoringSnapshot(
        at=now.timestamp(), runtime=board.get_runtime_facts(call), host=board.get_host(call),
        database_state=board.get_database_state(call),
        database_bytes=_get_size(call), wal_bytes=get_wal_size(call.db.path),
        writer=WriterUse(call.db.pending_writes, lock.count, lock.total),
        counts=_copy_counts(call, queues), tasks=reads.read_counters(c), queues=queues,
        waits={name: max(0.0, now.timestamp() - timestamps.to_unix(since))
               for name, since in waits.map_longest_waits(c).items() if timestamps.is_time(since)},
        pools=tuple(_list_pools(c, call, rows, held, shared)),
        shared=board.list_shared_resources(held, shared),
        devices=board.make_devices(gpus.read_devices(c, rows, shared)),
        rules=tuple(_list_rules(c)), problems=sorted(alerts.map_system_alerts(c)),
        backup=board.read_backup(c, call, now), replica=board.read_replica(c, call),
    )  # fmt: skip


def _copy_counts(call: Call, queues: Sequence[QueueRow]) -> RuntimeCounts:
    """Return the counts; a queue without any counts 0, so that its first run is an increase."""
    if call.live is None:
        return RuntimeCounts()
    for row in queues:
        call.live.counts.get_queue(row.name)
    return call.live.counts.copy()


def _get_size(call: Call) -> int:
    try:
        return os.stat(call.db.path).st_size
    except OSError:  # removed: the runtime is about to end
        return 0


def _list_pools(
    c: Connection, call: Call, rows: Sequence[PoolRow], held: board.Held,
    shared: Mapping[str, int],
) -> Iterator[PoolEntry]:  # fmt: skip
    active = reads.list_running(c)
    for row in rows:
        cpu, memory = board.measure_pool(call, active, row.name) or (None, None)
        yield PoolEntry(
            row.name, row.total_cpu, row.total_memory, row.used_cpu, row.used_memory, row.status,
            cpu, memory, resources=board.list_pool_resources(row, held, shared),
            outer=outer.make_use(row, active) if row.kind else None,
        )  # fmt: skip


def _list_rules(c: Connection) -> Iterator[RuleUse]:
    counts, covering = alerts.count_by_rule(c), silences.map_covering(c)
    for row in definitions.list_slas(c):
        found = counts.get(row.id, {})
        state = _find_state(row, found, row.id in covering)
        yield RuleUse(row.name, sla.get_severity(row.priority), state, found)


def _find_state(row: SlaRow, counts: Mapping[str, int], is_silenced: bool) -> str:
    if not row.enabled:
        return "off"
    if is_silenced:
        return "silenced"
    order = ("firing", "acknowledged", "pending", "silenced")
    return next((word for word in order if counts.get(word)), "ok")
