"""Retention: `db cleanup` deletes ended work by the rules of config.toml.

A dry run finds the same rows as a real one. Log files are deleted after the deletion of their rows
is committed; until then the database lists them, so that a crash leaks none. On a full disk some
logs go first, see `cleanup_full_disk`.
"""

from __future__ import annotations

import os
from asyncio import to_thread
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from app import config, paths
from app.core.maintenance_settings import DAY, BackupSettings, MaintenanceSettings, RetentionRule
from app.core.text import units
from app.core.text.joining import join_and, join_clauses, join_commas
from app.core.text.sanitize import sanitize as shown
from app.errors import Conflict, Usage
from app.service.context import Call
from app.service.database import backup_files, cleanup_full_disk
from app.service.database.cleanup_full_disk import FreedSpace, read_batches
from app.translation import tr, tr_n
from db import engine, timestamps
from db.backup.catalog import BackupCatalog
from db.engine import Connection, Database
from db.errors import DiskFull, Problem
from db.queries import counters
from db.queries.history import operations
from db.queries.home import retention
from db.queries.home.retention import ExpiredRun, ExpiryRule, RemovedRows, RetentionRules, RuleRuns
from db.queries.tasks import transitions
from db.restore import previous_databases

FOLDERS = tuple(f"{number:02x}" for number in range(256))
"""Names of the log folders."""
STRAY_AGE = 7 * DAY
"""Seconds without a write after which the log of an unknown run is deleted."""


@dataclass
class CleanupFigures:
    """Amount of deleted runs and tasks, with the bytes of their logs and rows."""

    runs: int = 0
    tasks: int = 0
    logs: int = 0
    rows: int = 0

    def add(self, other: CleanupFigures) -> None:
        """Add other figures."""
        self.runs, self.tasks = self.runs + other.runs, self.tasks + other.tasks
        self.logs, self.rows = self.logs + other.logs, self.rows + other.rows


@dataclass
class CleanupReport:
    """Figures by rule and reason, and rows of other tables.

    Reasons are `age`, `runs`, `logs` and `removed`. `freed` counts the logs deleted before their
    rows.
    """

    by_rule: dict[tuple[ExpiryRule, str], CleanupFigures] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)
    freed: FreedSpace = field(default_factory=FreedSpace)

    def sum_all(self) -> CleanupFigures:
        """Return the sum over the rules."""
        total = CleanupFigures()
        for figures in self.by_rule.values():
            total.add(figures)
        return total

    def count(self, scope: ExpiryRule, why: str, **figures: int) -> None:
        """Add figures to a rule."""
        self.by_rule.setdefault((scope, why), CleanupFigures()).add(CleanupFigures(**figures))

    def summarize(self) -> dict[str, int]:
        """Return all figures that are not zero."""
        return {
            name: number
            for name, number in {**asdict(self.sum_all()), **self.others}.items()
            if number
        }


async def cleanup(call: Call, *, dry_run: bool = False, sure: bool = False) -> dict[str, Any]:
    """Delete old work, or with `dry_run` report it.

    `sure` confirms that the clock is right. Raise Conflict while the clock may be so wrong that a
    rule would delete everything, and DiskFull if no row can be deleted.

    Return {"dry_run", "rules": [{"rule", "why", "because", "runs", "tasks", "logs", "rows"}],
    "runs", "tasks", "logs", "rows", "others": {table: rows}, "kept", "waiting": {"runs", "logs"},
    "freed": {"logs", "bytes"}, "unknown", "paused", "size": {"before", "after"}, "next"}.

    `logs` and `rows` are bytes. `kept` counts old runs that stay as the last success of a name or
    template, `waiting` those that the history has yet to count, `freed` logs deleted first on a
    full disk. `unknown` lists doubtful rules, `size` is that of the database, and `next` describes
    the next cleanup: {"runs", "tasks", "bytes", "words"}. If the rules cannot be read, `paused`
    says why a dry run is empty, and a real run raises Usage.
    """
    upkeep = (
        call.live.maintenance if call.live else config.read(paths.get_config_path()).maintenance
    )
    if upkeep.retention_fault and not dry_run:
        raise Usage(
            "{reason} Nothing was removed.",
            "Correct the file; nothing is removed until then.",
            reason=upkeep.retention_fault,
        )
    if (
        call.live
        and not dry_run
        and not sure
        and call.live.clock_ahead >= min(upkeep.retention.time_limits)
    ):
        raise Conflict(
            "{reason} Nothing was removed.",
            "If the clock is right: taskdeck db cleanup --yes",
            reason=call.live.clock_doubt,
        )
    before = await call.db.read(retention.get_size)
    report = await _run(call, upkeep, dry_run)
    after = await call.db.read(retention.get_size)
    spared_count, waiting = (
        (0, {"runs": 0, "logs": 0}) if upkeep.retention_fault else await _count_kept(call, upkeep)
    )
    following = _describe_next(report if dry_run else CleanupReport())
    if upkeep.retention_fault:
        following["words"] = tr("nothing while config.toml is wrong")
    return {
        "dry_run": dry_run,
        "rules": [
            _format_rule(scope, why, figures, upkeep)
            for (scope, why), figures in report.by_rule.items()
        ],
        **asdict(report.sum_all()),
        "others": report.others,
        "kept": spared_count,
        "waiting": waiting,
        "freed": asdict(report.freed),
        "unknown": [
            *await find_unknown_names(call.db, upkeep),
            *config.find_short_retention(upkeep),
        ],
        "paused": upkeep.retention_fault or None,
        "size": {"before": before, "after": after},
        "next": following,
    }


async def _run(call: Call, upkeep: MaintenanceSettings, dry_run: bool) -> CleanupReport:
    if upkeep.retention_fault:
        return CleanupReport()
    return (
        await preview(call.db, call.home, upkeep)
        if dry_run
        else await clean(call.db, call.home, upkeep, call.by)
    )


async def _count_kept(call: Call, upkeep: MaintenanceSettings) -> tuple[int, dict[str, int]]:
    """Return how many old runs stay as a last success, and how many wait."""
    found = await call.db.read(retention.find_rule_runs, await _read_rules(call.home, upkeep))
    waiting = [await call.db.read(retention.count_waiting, part) for part in found]
    spared_count = sum([await call.db.read(retention.count_spared, part) for part in found])
    return spared_count, {
        "runs": sum(runs for runs, _ in waiting),
        "logs": sum(logs for _, logs in waiting),
    }


async def find_unknown_names(db: Database, upkeep: MaintenanceSettings) -> list[str]:
    """Describe each rule for a queue or template that does not exist.

    The name may be misspelt.
    """
    named = {"queue": upkeep.retention.queues, "template": upkeep.retention.templates}
    return [
        tr("[retention.{kind}.{shown}]: there is no {kind} {shown}", kind=kind, shown=shown(name))
        for kind, by_name in named.items()
        for name in await db.read(retention.find_unused_names, kind, list(by_name))
    ]


def _format_rule(
    scope: ExpiryRule, why: str, figures: CleanupFigures, upkeep: MaintenanceSettings
) -> dict[str, Any]:
    """Return what one rule deletes, as sent to clients."""
    name = {"all": "all", "removed": "removed"}.get(scope.kind, f"{scope.kind} {scope.name}")
    return {
        "rule": name,
        "why": why,
        "because": _describe_reason(scope, why, upkeep),
        **asdict(figures),
    }


def _describe_reason(scope: ExpiryRule, why: str, upkeep: MaintenanceSettings) -> str:
    """Return the reason in words: `older than 30d`."""
    named = {"queue": upkeep.retention.queues, "template": upkeep.retention.templates}.get(
        scope.kind, {}
    )
    rule = named.get(scope.name, upkeep.retention.all)
    return {
        "age": tr(
            "older than {duration}",
            duration=units.format_duration_setting(rule.keep or _get_longest_age(upkeep)),
        ),
        "runs": tr("beyond the newest {n:,} runs", n=rule.runs or 0),
        "logs": tr("beyond {logs} of logs", logs=units.format_memory(rule.logs)),
    }.get(why, tr("deleted by a user"))


def _describe_next(report: CleanupReport) -> dict[str, Any]:
    figures, others = report.sum_all(), sum(report.others.values())
    size = figures.logs + figures.rows
    parts, runs, tasks = list[str](), figures.runs, figures.tasks
    if runs or tasks:
        counts = [tr_n(runs, "{n:,} run", "{n:,} runs")] if runs else []
        counts += [tr_n(tasks, "{n:,} task", "{n:,} tasks")] if tasks else []
        bytes_ = units.format_bytes(size)
        parts.append(join_commas([join_and(counts), bytes_]))
    if others:
        parts.append(tr_n(others, "{n:,} row of other records", "{n:,} rows of other records"))
    words = join_clauses(parts) if parts else tr("nothing")
    return {"runs": figures.runs, "tasks": figures.tasks, "bytes": size, "words": words}


# --- rules ------------------------------------------------------------------------------


async def _read_rules(home: Path, upkeep: MaintenanceSettings) -> RetentionRules:
    """Return the rules as of now."""
    return build_rules(
        upkeep, timestamps.utcnow(), await to_thread(find_oldest, home, upkeep.backup)
    )


def build_rules(upkeep: MaintenanceSettings, moment: datetime, since: str) -> RetentionRules:
    """Return the rules as of an aware time, for the oldest backup `since`.

    Specific rules come first: template, queue, all.
    """
    found = upkeep.retention
    scopes = [_make_scope("template", name, rule, moment) for name, rule in found.templates.items()]
    scopes += [_make_scope("queue", name, rule, moment) for name, rule in found.queues.items()]
    first = moment - timedelta(seconds=found.operations)
    return RetentionRules(
        (*scopes, _make_scope("all", "", found.all, moment)),
        _stamp_ago(moment, _get_longest_age(upkeep)), first.year * 100 + first.month,
        _get_outcomes_cutoff(upkeep, moment, since),
    )  # fmt: skip


def _get_outcomes_cutoff(upkeep: MaintenanceSettings, moment: datetime, since: str) -> str:
    """Return the time from which outcomes of removed runs are kept, or "" to keep all.

    A restored database needs them (table `forgotten`). Outcomes are kept back to the oldest backup
    that the rules allow, and to the oldest existing one.
    """
    return "" if upkeep.backup.keep is None else min(_stamp_ago(moment, upkeep.backup.keep), since)


END_OF_TIME = "~"
"""A stamp later than all times."""


def find_oldest(home: Path, settings: BackupSettings) -> str:
    """Return the time of the oldest restorable database, or "" if unknown.

    Backups and databases put aside by a restore count. The time is unknown while a folder is out of
    reach.
    """
    folders = {home / "backups", backup_files.get_folder(home, settings)}
    try:
        if any(_may_hold_backups(home, folder) for folder in folders):
            return ""
        found = [one.at for folder in folders for one in BackupCatalog(folder).list_backups()]
        return min(
            [
                *found,
                *(
                    one.at
                    for one in previous_databases.list_before_restores(
                        paths.get_database_path(home)
                    )
                ),
            ],
            default=END_OF_TIME,
        )
    except (Problem, OSError):
        return ""


def _may_hold_backups(home: Path, folder: Path) -> bool:
    """Return whether a missing folder may hold backups.

    The folder in the home is created with its first backup.
    """
    return not folder.is_dir() and (folder.parent != home or os.path.lexists(folder))


def _make_scope(kind: str, name: str, rule: RetentionRule, moment: datetime) -> ExpiryRule:
    before = None if rule.keep is None else _stamp_ago(moment, rule.keep)
    return ExpiryRule(
        kind, name, before, rule.runs, None if rule.logs is None else int(rule.logs * 2**20)
    )


def _get_longest_age(upkeep: MaintenanceSettings) -> float:
    """Return the longest age limit of all rules, in seconds."""
    found = upkeep.retention
    return max(
        (
            rule.keep
            for rule in (found.all, *found.queues.values(), *found.templates.values())
            if rule.keep
        ),
        default=30 * DAY,
    )


def _stamp_ago(moment: datetime, seconds: float) -> str:
    return timestamps.format_time(moment - timedelta(seconds=seconds))


# --- deletion ---------------------------------------------------------------------------


async def preview(db: Database, home: Path, upkeep: MaintenanceSettings) -> CleanupReport:
    """Report what `clean` would delete now."""
    by, report, seen = await _read_rules(home, upkeep), CleanupReport(), Counter[str]()
    for part in await db.read(retention.find_rule_runs, by):
        async for runs in read_batches(db, retention.list_expired, part):
            removed = await db.read(retention.preview_removal, runs, seen)
            _count_batch(report, part, runs, removed)
        async for tasks in read_batches(db, retention.list_without_runs, part, by.records_before):
            removed = await db.read(
                retention.preview_removal, (), seen, [task.id for task in tasks]
            )
            _count_batch(report, part, (), removed)
    for table in retention.OTHER_TABLES:
        _count_others(report, table, await db.read(retention.count_old, table, by))
    return report


async def clean(
    db: Database, home: Path, upkeep: MaintenanceSettings, by: str | None = None
) -> CleanupReport:
    """Delete by the rules, with logs, then shrink the file.

    `by` is None when the runtime cleans up by itself. Raise DiskFull if even deleting logs first
    does not make enough room.
    """
    found, report = await _read_rules(home, upkeep), CleanupReport()
    before: dict[str, int] | None = None
    while True:
        try:
            await _clean_once(db, home, found, report, by)
            return report
        except DiskFull as problem:
            freed = await cleanup_full_disk.free_space(db, home, found)
            report.freed.add(freed)
            if not freed.logs and report.summarize() == before:
                raise _make_disk_full(problem, report) from None
            before = report.summarize()


def _make_disk_full(problem: DiskFull, report: CleanupReport) -> DiskFull:
    """Return a DiskFull problem that names what was deleted nevertheless."""
    gone, logs = report.sum_all(), report.freed.logs
    removed = [
        f"{many:,} {what}"
        for many, what in (
            (gone.runs, "runs"),
            (gone.tasks, "tasks"),
            (logs, tr("logs of expired runs")),
        )
        if many
    ]
    undone = (
        tr("Removed: {removed}. Removing more needs free space.", removed=", ".join(removed))
        if removed
        else tr("Nothing was removed: removing needs some free space.")
    )
    return DiskFull(
        problem.with_undone(undone).message, "Free space in another way, then try again."
    )


async def _clean_once(
    db: Database, home: Path, found: RetentionRules, report: CleanupReport, by: str | None
) -> None:
    """Delete once and count in the report. Work of an earlier attempt is not repeated."""
    await delete_leftover_logs(db, home)
    parts, unlinked = await db.read(retention.find_rule_runs, found), list[str]()
    if any(part.cutoff != part.without_wait().cutoff for part in parts):
        # Fail early on a full disk, where the history never counts the runs that wait for it.
        await db.write_quietly(engine.test_write)
    for part in parts:
        async for runs in read_batches(db, retention.list_expired, part):
            removed = await db.write(retention.remove_runs, [run.id for run in runs])
            unlinked += await to_thread(_delete_logs, home, removed.runs)
            _count_batch(report, part, runs, removed)
            if len(unlinked) >= retention.ROWS_PER_BATCH:
                await _unlist_logs(db, unlinked)
        async for tasks in read_batches(
            db, retention.list_without_runs, part, found.records_before
        ):
            _count_batch(
                report,
                part,
                (),
                await db.write(retention.remove_runs, (), [task.id for task in tasks]),
            )
    await _unlist_logs(db, unlinked)
    for table in retention.OTHER_TABLES:
        await _remove_old(db, table, found, report)
    while await db.read(retention.list_unused_environments):
        await db.write_quietly(retention.remove_unused_environments)
    if by is not None or report.summarize() or await db.read(_has_other_day, _get_today()):
        await db.write_quietly(_record, report.summarize(), by)
    with suppress(DiskFull):  # Free pages are reused in any case.
        await _shrink(db)


def _count_batch(
    report: CleanupReport, part: RuleRuns, runs: Sequence[ExpiredRun], removed: RemovedRows
) -> None:
    """Count a batch.

    A task is removed for the reason of its last run. A task that never ran is old or was removed.
    """
    reasons: dict[str, str] = {}
    removed_runs = set(removed.runs)
    for run in runs:
        if run.id in removed_runs:
            reasons[run.task] = part.get_reason(run)
            report.count(part.scope, reasons[run.task], runs=1, logs=run.log, rows=run.row)
    usual = "removed" if part.scope.kind == "removed" else "age"
    for task, size in removed.tasks.items():
        report.count(part.scope, reasons.get(task, usual), tasks=1, rows=size)


def _count_others(report: CleanupReport, table: str, rows: int) -> None:
    if rows:
        report.others[table] = report.others.get(table, 0) + rows


async def _remove_old(db: Database, table: str, by: RetentionRules, report: CleanupReport) -> None:
    """Delete old rows of one of the other tables."""
    left = await db.read(retention.count_old, table, by)
    while left > 0:
        done = await db.write_quietly(retention.remove_old, table, by)
        _count_others(report, table, done)
        left = left - done if done else 0


async def _shrink(db: Database) -> None:
    """Return free pages of the file to the disk."""
    free = await db.read(retention.count_free_pages)
    while free:
        await db.write_quietly(retention.free_pages)
        was, free = free, await db.read(retention.count_free_pages)
        if free >= was:
            return


# --- logs -------------------------------------------------------------------------------


async def delete_leftover_logs(db: Database, home: Path) -> None:
    """Delete the logs of deleted runs that a crash left behind."""
    while unlinked := await to_thread(_delete_logs, home, await db.read(retention.list_discarded)):
        await _unlist_logs(db, unlinked)


async def _unlist_logs(db: Database, unlinked: list[str]) -> None:
    """Unlist deleted logs in the database and empty the list."""
    if unlinked:
        await db.write_quietly(retention.mark_logs_removed, list(unlinked))
        unlinked.clear()


def _delete_logs(home: Path, runids: Sequence[str]) -> list[str]:
    """Delete logs and return the runs that have none any more.

    A log that cannot be deleted is tried again next time.
    """
    done = []
    for runid in runids:
        try:
            paths.delete_log(home, runid)
        except FileNotFoundError:
            pass
        except OSError:
            continue
        done.append(runid)
    return done


async def sweep(db: Database, home: Path, folder: str) -> int:
    """Delete old logs of unknown runs in one of FOLDERS. Return their number."""
    found = await to_thread(_find_old_logs, home / "runs" / folder)
    strays = await db.read(retention.find_unknown, found) if found else []
    return len(await to_thread(_delete_logs, home, strays))


def _find_old_logs(folder: Path) -> list[str]:
    """Return the runs whose logs in a folder have not been written to lately."""
    before = timestamps.utcnow().timestamp() - STRAY_AGE
    try:
        with os.scandir(folder) as files:
            return [file.name[:-4] for file in files if _is_old_log(file, folder.name, before)]
    except FileNotFoundError:
        return []


def _is_old_log(file: os.DirEntry[str], folder: str, before: float) -> bool:
    return (
        file.name.endswith(f"{folder}.log")
        and file.is_file(follow_symlinks=False)
        and file.stat().st_mtime < before
    )


# --- operation log ----------------------------------------------------------------------

_NOTES = "cleanup/"
"""Folder in `counters` of unrecorded deletions by the runtime and their day (20261125)."""


def _get_today() -> int:
    return int(timestamps.now()[:10].replace("-", ""))


def _has_other_day(c: Connection, day: int) -> bool:
    """Return whether figures of another day are noted.

    The day may lie in the future if the clock was ahead.
    """
    return counters.map_values(c, _NOTES).get("day", day) != day


def _record(c: Connection, removed: Mapping[str, int], by: str | None) -> None:
    """Record a person's cleanup at once and the runtime's cleanups once a day."""
    if by is not None:
        operations.record(c, by, "db cleanup", "database", after=dict(removed))
        return
    noted, day = counters.map_values(c, _NOTES), _get_today()
    if noted.pop("day", day) != day:
        operations.record(
            c,
            transitions.SYSTEM,
            "db cleanup",
            "database",
            after={name: number for name, number in noted.items() if number},
        )
        counters.delete_below(c, _NOTES)
    if removed:
        counters.add_values(c, {_NOTES + name: number for name, number in removed.items()})
        counters.create(c, f"{_NOTES}day", day)
