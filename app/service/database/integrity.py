"""Integrity check and repair of the database.

The check covers pages, rows, and the runs that the keeper and the log files know.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

from app import paths
from app.core import sla
from app.core.rules.actions import normalize_actions
from app.core.schedules.definition import check_names, check_stored_dates
from app.core.task_spec import TaskSpec
from app.core.text import units
from app.core.text.sanitize import sanitize
from app.errors import Conflict, Problem, Refused, Storage
from app.service.context import Call
from app.service.database import backup_files, journal
from app.translation import tr, tr_n
from db.backup.catalog import BackupCatalog
from db.engine import Connection
from db.maintenance import integrity as checks
from db.maintenance.value_checks import DocumentChecks, find_first_unreadable
from db.queries import reads
from db.queries.history import operations
from db.queries.tasks import task_numbers
from db.readonly import MAX_FAULTS, open_read_only

MAX_REPAIRED = 20_000
"""Tasks of a database that is repaired beside a runtime; some 3 µs each in one transaction."""
VALIDATORS: DocumentChecks = {
    ("slas", "conditions"): sla.normalize_conditions,
    ("slas", "actions"): normalize_actions,
    ("schedules", "task"): TaskSpec.model_validate,
    ("schedules", "exclude"): check_names,
    ("calendars", "dates"): check_stored_dates,
}
"""Parsers of columns that accept any document in the database."""


async def check(call: Call) -> dict[str, Any]:
    """Check the whole database and list its problems."""
    problems = await asyncio.to_thread(find_problems, call.home, call.live is not None)
    return {"ok": not problems, "problems": problems}


async def repair(call: Call) -> dict[str, Any]:
    """Repair derived data. Return the repairs and the remaining problems.

    Raise Refused for a database so large that the runtime would wait.
    """
    if call.live is None:
        raise Conflict(
            "no runtime is running. Nothing was done.", "Run: taskdeck db check --repair"
        )
    problems = await asyncio.to_thread(find_problems, call.home, True)
    if not problems:
        return {"ok": True, "done": [], "problems": []}
    if await call.db.read(reads.has_more_tasks, MAX_REPAIRED):
        raise Refused(
            "a repair of more than {max_repaired:,} tasks would hold up the runtime. Nothing"
            " was repaired.",
            "Jobs continue without the runtime: taskdeck stop; taskdeck db check --repair; taskdeck"
            " serve --detach",
            max_repaired=MAX_REPAIRED,
        )
    damage = await asyncio.to_thread(checks.find_damage, call.db.path)
    missing_runs = [] if damage else await asyncio.to_thread(find_orphan_logs, call.home)
    highest = await asyncio.to_thread(find_highest_number, call.home)
    uuid = await asyncio.to_thread(find_home_uuid, call.home)
    repairs = (
        [] if damage else await call.db.write(apply_repairs, missing_runs, call.by, highest, uuid)
    )
    problems = await asyncio.to_thread(find_problems, call.home, True)
    return {"ok": not problems, "done": repairs, "problems": problems}


def find_problems(home: Path, live: bool) -> list[str]:
    """Return the problems of a home as sentences.

    While a runtime is running (`live`), a run may still be on its way to the keeper, so runs
    missing there are no problem.
    """
    path = paths.get_database_path(home)
    runs, logs = journal.list_known_runs(home), list(journal.list_logs(home))
    problems = checks.check_database(path, VALIDATORS)
    if problems and checks.find_damage(path):
        return problems
    if not live:
        problems = [*find_lost_writes(home), *problems]
    problems += checks.check_highest_number(path, find_highest_number(home))
    with open_read_only(path) as c:
        unknown_runs, orphan_logs = (
            checks.find_unknown_runs(c, sorted(runs)),
            checks.find_unknown_runs(c, logs),
        )
        missing_runs = (
            [] if live else [runid for runid in checks.list_running(c) if runid not in runs]
        )
    return [
        *problems,
        *_describe_keeper_problems(home, unknown_runs, missing_runs),
        *_describe_orphan_logs(home, orphan_logs),
    ]


def find_unreadable_value(c: Connection) -> str | None:
    """Return a description of the first value that cannot be read, or None."""
    found = find_first_unreadable(c, VALIDATORS)
    return found and sanitize(str(found))


def make_value_error(path: Path, found: str) -> Storage:
    """Return the problem of a database with values that cannot be read."""
    return Storage(
        "the database has problems ({faults}): {path}.",
        "List all: taskdeck db check",
        faults=found,
        path=path,
    )


def find_highest_number(home: Path) -> int:
    """Return the highest task number known to backups and living jobs, or 0."""
    found = list(journal.read_task_numbers(home))
    with suppress(Problem, OSError):  # The folder is out of reach, or its setting cannot be read.
        own = _open_catalog(home).list_own()
        found += [int(backup.facts.get("highest") or 0) for backup in own if backup.verified]
    return max((number for number in found if number < task_numbers.MAX_NUMBER), default=0)


def find_home_uuid(home: Path) -> str | None:
    """Return the UUID of the home in its last backup, or None."""
    with suppress(Problem, OSError):
        return _open_catalog(home).find_home_uuid()
    return None


def _open_catalog(home: Path) -> BackupCatalog:
    folder = backup_files.get_folder(home, backup_files.read_settings())
    return BackupCatalog(folder, paths.get_database_path(home))


def find_lost_writes(home: Path, path: Path | None = None) -> list[str]:
    """Return problems that show the loss of the latest writes.

    Nobody may write meanwhile. `path` is the database if it is not in its usual place. Raise
    Storage.
    """
    return checks.find_missing_runs(
        path or paths.get_database_path(home),
        journal.list_logs(home),
        journal.make_possible_start_check(home),
    )


def _describe_keeper_problems(
    home: Path, unknown_runs: list[str], missing_runs: list[str]
) -> list[str]:
    alive = (
        {trace.runid for trace in journal.list_runs(home) if trace.is_active}
        if unknown_runs
        else set()
    )
    consequence = tr(
        ": it is running, and becomes a task at the next start (taskdeck serve --detach)"
    )
    found = [
        tr(
            "the keeper has run {runid}, which has no row{consequence}",
            runid=runid,
            consequence=consequence if runid in alive else "",
        )
        for runid in unknown_runs[:MAX_FAULTS]
    ]
    ends = journal.read_ends(home, missing_runs)
    ended = {
        runid: (
            tr("the next start records its end again")
            if runid in ends
            else tr("the next start marks it as lost")
        )
        for runid in missing_runs
    }
    return found + [
        tr(
            "run {runid} is recorded as running, but the keeper does not know it: {ended}",
            runid=runid,
            ended=ended[runid],
        )
        for runid in missing_runs[:MAX_FAULTS]
    ]


def _describe_orphan_logs(home: Path, orphan_logs: list[str]) -> list[str]:
    if not orphan_logs:
        return []
    size = units.format_bytes(
        sum(_get_size(Path(paths.get_log_path(home, runid))) for runid in orphan_logs)
    )
    return [
        tr_n(
            len(orphan_logs),
            "{n:,} log of a run without a row ({size})",
            "{n:,} logs of runs without a row ({size})",
            size=size,
        )
    ]


def _get_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def find_orphan_logs(home: Path) -> list[str]:
    """Return runs with a log but without a row or a journal entry."""
    logs, runs = list(journal.list_logs(home)), journal.read_runs(home)
    with open_read_only(paths.get_database_path(home)) as c:
        return [runid for runid in checks.find_unknown_runs(c, logs) if runid not in runs]


def restore_version(c: Connection, by: str) -> list[str]:
    """Restore the database's lost version number and record the repair."""
    repairs = [checks.restore_version(c)]
    operations.record(c, by, "db repair", "database", after=repairs)
    return repairs


def apply_repairs(
    c: Connection, logs: list[str], by: str, highest: int = 0, home_uuid: str | None = None
) -> list[str]:
    """Repair rows and discard the given logs. Record and return the repairs.

    No number up to `highest` is assigned again. `home_uuid` replaces a lost UUID of the home.
    """
    repairs = checks.repair_database(c, highest, home_uuid)
    if logs:
        checks.discard_logs(c, logs)
        repairs.append(
            f"{len(logs):,} {'log' if len(logs) == 1 else 'logs'} of runs without a row will be"
            " removed by the cleanup"
        )
    if repairs:
        operations.record(c, by, "db repair", "database", after=repairs)
    return repairs
