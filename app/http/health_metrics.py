"""Metric families about Taskdeck itself: its database, backups, dispatcher and process."""

from __future__ import annotations

import os
import platform
import resource
import sqlite3
from collections.abc import Iterator

from prometheus_client.core import Metric

from app.http.metric_rows import (
    LabelValues,
    make_counter,
    make_gauge,
    make_histogram,
    make_plain_gauge,
)
from app.service.monitoring import BACKUP_PROBLEM, MonitoringSnapshot
from app.version import VERSION

ERROR_PARTS = ("dispatch", "storage")
"""Parts whose errors are counted from 0, so that the first one is an increase."""


def list_families(snapshot: MonitoringSnapshot) -> Iterator[Metric]:
    """Yield the families about Taskdeck itself."""
    yield from _list_runtime_families(snapshot)
    yield from _list_database_families(snapshot)
    yield from _list_backup_families(snapshot)
    yield from _list_process_families(snapshot)


def _list_runtime_families(snapshot: MonitoringSnapshot) -> Iterator[Metric]:
    yield make_gauge(
        "build_info", "Versions of the runtime; the value is 1.", ("version", "python", "sqlite"),
        [((VERSION, platform.python_version(), sqlite3.sqlite_version), 1)],
    )  # fmt: skip
    yield make_plain_gauge(
        "start_time_seconds", "Start of the runtime, in seconds since 1970.", snapshot.runtime.since
    )
    yield make_plain_gauge(
        "loop_lag_seconds",
        "Delay of the event loop at its latest check.",
        snapshot.runtime.tick_lag,
    )
    yield make_histogram(
        "dispatch_round_seconds", "Durations of dispatch rounds; there is one a second or more.",
        (), {(): snapshot.counts.rounds},
    )  # fmt: skip
    yield make_plain_gauge(
        "dispatch_halted", "1 if nothing starts, as on a full disk or while the runtime drains.",
        snapshot.runtime.halted is not None,
    )  # fmt: skip
    yield make_plain_gauge(
        "keeper_connected", "1 if the runtime reaches the keeper, which starts and ends the runs.",
        snapshot.runtime.keeper_pid is not None,
    )  # fmt: skip
    errors = {part: 0 for part in ERROR_PARTS} | snapshot.counts.errors
    yield make_counter(
        "errors", "Failures by part of the runtime since its start: dispatch, storage, a duty.",
        ("part",), (((part,), count) for part, count in errors.items()),
    )  # fmt: skip
    names = LabelValues(snapshot.problems)
    yield make_gauge(
        "problem", "1 for each open problem of Taskdeck itself; see: taskdeck alert ls.",
        ("problem",), (((names.get(name),), 1) for name in snapshot.problems), max,
    )  # fmt: skip


def _list_database_families(snapshot: MonitoringSnapshot) -> Iterator[Metric]:
    yield make_plain_gauge(
        "database_ok", "1 if the database can be written.", snapshot.database_state == "ok"
    )
    yield make_plain_gauge(
        "database_size_bytes", "Size of the database file.", snapshot.database_bytes
    )
    yield make_plain_gauge(
        "database_wal_size_bytes", "Size of the write-ahead log.", snapshot.wal_bytes
    )
    yield make_plain_gauge(
        "writer_pending_transactions", "Transactions that wait for the writer or run on it.",
        snapshot.writer.pending,
    )  # fmt: skip
    yield make_counter(
        "writer_lock_waits", "Transactions that waited for the lock of another program.",
        (), [((), snapshot.writer.lock_waits)],
    )  # fmt: skip
    yield make_counter(
        "writer_lock_wait_seconds", "Time for which transactions waited for a lock.",
        (), [((), snapshot.writer.lock_wait_seconds)],
    )  # fmt: skip


def _list_backup_families(snapshot: MonitoringSnapshot) -> Iterator[Metric]:
    """Yield the families about backups, and about the replica if there is one."""
    backup = snapshot.backup
    at = backup.at if backup and not backup.gone else None
    yield make_plain_gauge("backup_enabled", "1 if backups are taken.", backup is not None)
    yield make_plain_gauge(
        "backup_last_success_timestamp_seconds",
        "Time of the newest good backup, in seconds since 1970; no value without one.", at,
    )  # fmt: skip
    yield make_plain_gauge(
        "backup_age_seconds", "Age of the newest good backup; no value without one.",
        None if at is None else max(0.0, snapshot.at - at),
    )  # fmt: skip
    if backup:
        yield make_plain_gauge(
            "backup_late", "1 if the newest good backup is older than its rule allows, or gone.",
            backup.late or bool(backup.gone),
        )  # fmt: skip
        yield make_plain_gauge(
            "backup_last_failed", "1 if the latest backup failed or is bad, 0 if it is good.",
            BACKUP_PROBLEM in snapshot.problems,
        )  # fmt: skip
    if snapshot.replica:
        yield make_plain_gauge(
            "replica_lag_seconds", "Age of the replica; no value before its first copy.",
            snapshot.replica.lag,
        )  # fmt: skip
        yield make_plain_gauge(
            "replica_late", "1 if the replica is too old.", snapshot.replica.late
        )


def _list_process_families(snapshot: MonitoringSnapshot) -> Iterator[Metric]:
    yield make_plain_gauge(
        "resident_memory_bytes", "Memory of the runtime that is resident.", _read_resident_bytes()
    )
    yield make_plain_gauge(
        "open_fds", "Open file descriptors of the runtime.", _count_descriptors()
    )
    used = resource.getrusage(resource.RUSAGE_SELF)
    yield make_counter(
        "cpu_seconds", "CPU time of the runtime, user and system.", (),
        [((), used.ru_utime + used.ru_stime)],
    )  # fmt: skip
    yield make_plain_gauge(
        "disk_free_bytes", "Free space on the disk of the home.", snapshot.host.disk_free
    )


def _read_resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _count_descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) - 1  # one is that of the listing
