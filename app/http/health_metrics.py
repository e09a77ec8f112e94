"""Metric families about Taskdeck itself: its database, backups, dispatcher and process."""

from __future__ import annotations

import os
import platform
import resource
import sqlite3
from collections.abc import Iterator

from prometheus_client.core import Metric

from app.http.metric_rows import LabelNames, make_counter, make_gauge, make_histogram, make_value
from app.service.monitoring import BACKUP_PROBLEM, MonitoringSnapshot
from app.version import VERSION

ERROR_PARTS = ("dispatch", "storage")
"""Parts whose errors are counted from 0, so that the first one is an increase."""


def list_families(s: MonitoringSnapshot) -> Iterator[Metric]:
    """Yield the families about Taskdeck itself."""
    yield from _list_runtime_families(s)
    yield from _list_database_families(s)
    yield from _list_copy_families(s)
    yield from _list_process_families(s)


def _list_runtime_families(s: MonitoringSnapshot) -> Iterator[Metric]:
    yield make_gauge(
        "build_info", "Versions of the runtime; the value is 1.", ("version", "python", "sqlite"),
        [((VERSION, platform.python_version(), sqlite3.sqlite_version), 1)],
    )  # fmt: skip
    yield make_value(
        "start_time_seconds", "Start of the runtime, in seconds since 1970.", s.runtime.since
    )
    yield make_value(
        "loop_lag_seconds", "Delay of the event loop at its latest check.", s.runtime.tick_lag
    )
    yield make_histogram(
        "dispatch_round_seconds", "Durations of dispatch rounds; there is one a second or more.",
        (), {(): s.counts.rounds},
    )  # fmt: skip
    yield make_value(
        "dispatch_halted", "1 if nothing starts, as on a full disk or while the runtime drains.",
        s.runtime.halted is not None,
    )  # fmt: skip
    yield make_value(
        "keeper_connected", "1 if the runtime reaches the keeper, which starts and ends the runs.",
        s.runtime.keeper_pid is not None,
    )  # fmt: skip
    errors = {part: 0 for part in ERROR_PARTS} | s.counts.errors
    yield make_counter(
        "errors", "Failures by part of the runtime since its start: dispatch, storage, a duty.",
        ("part",), (((part,), count) for part, count in errors.items()),
    )  # fmt: skip
    names = LabelNames(s.problems)
    yield make_gauge(
        "problem", "1 for each problem of Taskdeck itself that is open: taskdeck alerts.",
        ("problem",), (((names.get(name),), 1) for name in s.problems), max,
    )  # fmt: skip


def _list_database_families(s: MonitoringSnapshot) -> Iterator[Metric]:
    yield make_value("database_ok", "1 if the database can be written.", s.database_state == "ok")
    yield make_value("database_size_bytes", "Size of the database file.", s.database_bytes)
    yield make_value("database_wal_size_bytes", "Size of the write-ahead log.", s.wal_bytes)
    yield make_value(
        "writer_pending_transactions", "Transactions that wait for the writer or run on it.",
        s.writer.pending,
    )  # fmt: skip
    yield make_counter(
        "writer_lock_waits", "Transactions that waited for the lock of another program.",
        (), [((), s.writer.lock_waits)],
    )  # fmt: skip
    yield make_counter(
        "writer_lock_wait_seconds", "Time for which transactions waited for a lock.",
        (), [((), s.writer.lock_wait_seconds)],
    )  # fmt: skip


def _list_copy_families(s: MonitoringSnapshot) -> Iterator[Metric]:
    """Yield the families about backups, and about the replica if there is one."""
    backup = s.backup
    at = backup.at if backup and not backup.gone else None
    yield make_value("backup_enabled", "1 if backups are taken.", backup is not None)
    yield make_value(
        "backup_last_success_timestamp_seconds",
        "Time of the newest good backup, in seconds since 1970; no value without one.", at,
    )  # fmt: skip
    yield make_value(
        "backup_age_seconds", "Age of the newest good backup; no value without one.",
        None if at is None else max(0.0, s.at - at),
    )  # fmt: skip
    if backup:
        yield make_value(
            "backup_late", "1 if the newest good backup is older than its rule allows, or gone.",
            backup.late or bool(backup.gone),
        )  # fmt: skip
        yield make_value(
            "backup_last_failed", "1 if the latest backup failed or is bad, 0 if it is good.",
            BACKUP_PROBLEM in s.problems,
        )  # fmt: skip
    if s.replica:
        yield make_value(
            "replica_lag_seconds", "Age of the replica; no value before its first copy.",
            s.replica.lag,
        )  # fmt: skip
        yield make_value("replica_late", "1 if the replica is too old.", s.replica.late)


def _list_process_families(s: MonitoringSnapshot) -> Iterator[Metric]:
    yield make_value(
        "resident_memory_bytes", "Memory of the runtime that is resident.", _read_resident_bytes()
    )
    yield make_value("open_fds", "Open file descriptors of the runtime.", _count_descriptors())
    used = resource.getrusage(resource.RUSAGE_SELF)
    yield make_counter(
        "cpu_seconds", "CPU time of the runtime, user and system.", (),
        [((), used.ru_utime + used.ru_stime)],
    )  # fmt: skip
    yield make_value("disk_free_bytes", "Free space on the disk of the home.", s.host.disk_free)


def _read_resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _count_descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) - 1  # one is that of the listing
