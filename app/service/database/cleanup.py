"""`db cleanup`: ended work leaves by the rules of config.toml, and what is left of it; what would leave is found in the same way.

The logs of runs are removed once their rows are gone for good. Which ones these are is in the database meanwhile, so that a crash
leaks none. On a full disk some go first (see `makingroom`).
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

from sqlalchemy import Connection

from app import config, paths
from app.core.maintenance_settings import DAY, Backup, Rule, Upkeep
from app.core.text import units
from app.core.text.sanitize import clean as shown
from app.errors import Conflict, Usage
from app.service.context import Call
from app.service.database import backup_files, cleanup_full_disk
from app.service.database.cleanup_full_disk import Freed, batches
from db import engine, raw_sql, timestamps
from db.backup.catalog import Store
from db.engine import Database
from db.errors import DiskFull, Problem
from db.queries import operations, retention, transitions
from db.queries.retention import Old, Part, Rules, Scope, Taken
from db.restore import previous_databases

FOLDERS = tuple(f"{number:02x}" for number in range(256))
"""The folders of logs."""
STRAY = 7 * DAY
"""Seconds without a write after which the log of a run that nobody knows is removed."""


@dataclass
class Figures:
    """How much goes: runs, tasks, bytes of their log files, and about the bytes of their rows."""

    runs: int = 0
    tasks: int = 0
    logs: int = 0
    rows: int = 0

    def add(self, other: Figures) -> None:
        """Count that in."""
        self.runs, self.tasks = self.runs + other.runs, self.tasks + other.tasks
        self.logs, self.rows = self.logs + other.logs, self.rows + other.rows


@dataclass
class Report:
    """What goes by each rule and for each reason (`age`, `runs`, `logs`, `removed`), and rows of the other tables. `freed`: what went
    before the rows."""

    by_rule: dict[tuple[Scope, str], Figures] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)
    freed: Freed = field(default_factory=Freed)

    def all(self) -> Figures:
        """The sum over the rules."""
        total = Figures()
        for figures in self.by_rule.values():
            total.add(figures)
        return total

    def count(self, scope: Scope, why: str, **figures: int) -> None:
        """Add to what goes by a rule."""
        self.by_rule.setdefault((scope, why), Figures()).add(Figures(**figures))

    def summary(self) -> dict[str, int]:
        """All that is not nothing."""
        return {name: number for name, number in {**asdict(self.all()), **self.others}.items() if number}


async def cleanup(call: Call, *, dry_run: bool = False, sure: bool = False) -> dict[str, Any]:
    """Remove what is old now, or say only what would go; `sure`: a person says that the clock is right. Raises Conflict while it may be
    so wrong that all would go by one of the rules, DiskFull where no row can be removed.

    {"dry_run", "rules": [{"rule", "why", "because", "runs", "tasks", "logs", "rows"}], "runs", "tasks", "logs", "rows", "others":
    {table: rows}, "kept", "waiting": {"runs", "logs"}, "freed": {"logs", "bytes"}, "unknown", "paused", "size": {"before", "after"},
    "next"}: `logs` and `rows` in bytes, `kept` the old runs that stay as the last success of a task's name or a template, `waiting` those
    that go once the history has counted them, `freed` how many logs went first, as the disk was full, and their bytes, `unknown` what is
    odd about the rules, `size` that of the database, and `next` what the cleanup after this one will remove as things stand: {"runs",
    "tasks", "bytes", "words"}. While it is not known what may go, `paused` says why a dry run names nothing, and a real one raises Usage.
    """
    upkeep = call.live.upkeep if call.live else config.read(paths.config_file()).upkeep
    if upkeep.doubt and not dry_run:
        raise Usage(f"{upkeep.doubt} Nothing was removed.", "Mend it; nothing is removed while it is wrong.")
    if call.live and not dry_run and not sure and call.live.clock_ahead >= min(upkeep.retention.keeps):
        raise Conflict(f"{call.live.clock_doubt} Nothing was removed.", "If it is right: taskdeck db cleanup --yes")
    before = await call.db.read(retention.size)
    report = await _done(call, upkeep, dry_run)
    after = await call.db.read(retention.size)
    kept, waiting = (0, {"runs": 0, "logs": 0}) if upkeep.doubt else await _staying(call, upkeep)
    return {
        "dry_run": dry_run, "rules": [_told(scope, why, figures, upkeep) for (scope, why), figures in report.by_rule.items()],
        **asdict(report.all()), "others": report.others, "kept": kept,
        "waiting": waiting, "freed": asdict(report.freed),
        "unknown": [*await unknown(call.db, upkeep), *config.brief(upkeep)], "paused": upkeep.doubt or None,
        "size": {"before": before, "after": after},
        "next": _next(report if dry_run else Report()) | ({"words": "nothing while config.toml is wrong"} if upkeep.doubt else {}),
    }  # fmt: skip


async def _done(call: Call, upkeep: Upkeep, dry_run: bool) -> Report:
    if upkeep.doubt:
        return Report()
    return await look(call.db, call.home, upkeep) if dry_run else await clean(call.db, call.home, upkeep, call.by)


async def _staying(call: Call, upkeep: Upkeep) -> tuple[int, dict[str, int]]:
    """How many runs stay that the rules would let go, each as the last success of a name or a template, and which only wait."""
    found = await call.db.read(retention.parts, await _rules(call.home, upkeep))
    waiting = [await call.db.read(retention.waiting, part) for part in found]
    kept = sum([await call.db.read(retention.spared, part) for part in found])
    return kept, {"runs": sum(runs for runs, _ in waiting), "logs": sum(logs for _, logs in waiting)}


async def unknown(db: Database, upkeep: Upkeep) -> list[str]:
    """A sentence about each rule for a queue or a template that there is not: its name may be misspelt."""
    named = {"queue": upkeep.retention.queues, "template": upkeep.retention.templates}
    return [
        f"[retention.{kind}.{shown(name)}]: there is no {kind} {shown(name)}"
        for kind, by_name in named.items()
        for name in await db.read(retention.unnamed, kind, list(by_name))
    ]


def _told(scope: Scope, why: str, figures: Figures, upkeep: Upkeep) -> dict[str, Any]:
    """What goes by one rule on the wire."""
    name = {"all": "all", "removed": "removed by hand"}.get(scope.kind, f"{scope.kind} {scope.name}")
    return {"rule": name, "why": why, "because": _because(scope, why, upkeep), **asdict(figures)}


def _because(scope: Scope, why: str, upkeep: Upkeep) -> str:
    """The reason in words: `older than 30d`."""
    named = {"queue": upkeep.retention.queues, "template": upkeep.retention.templates}.get(scope.kind, {})
    rule = named.get(scope.name, upkeep.retention.all)
    return {
        "age": f"older than {units.setting(rule.keep or _longest(upkeep))}",
        "runs": f"beyond the newest {rule.runs or 0:,} runs",
        "logs": f"beyond {units.memory(rule.logs)} of logs",
    }.get(why, "removed by hand")


def _next(report: Report) -> dict[str, Any]:
    figures, others = report.all(), sum(report.others.values())
    size = figures.logs + figures.rows
    work = " and ".join(_many(count, what) for count, what in ((figures.runs, "run"), (figures.tasks, "task")) if count)
    noted = f"{_many(others, 'row')} of what was noted" if others else ""
    words = "; ".join(part for part in (work and f"{work}, {units.size(size)}", noted) if part) or "nothing"
    return {"runs": figures.runs, "tasks": figures.tasks, "bytes": size, "words": words}


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


# --- the rules ----------------------------------------------------------------------------------------------------------------------


async def _rules(home: Path, upkeep: Upkeep) -> Rules:
    """The rules as of now."""
    return rules(upkeep, timestamps.utcnow(), await to_thread(oldest, home, upkeep.backup))


def rules(upkeep: Upkeep, moment: datetime, since: str) -> Rules:
    """The rules of the settings as of an aware time. One that is more special goes before the others: template, queue, all.
    `since`: see `oldest`."""
    found = upkeep.retention
    scopes = [_scope("template", name, rule, moment) for name, rule in found.templates.items()]
    scopes += [_scope("queue", name, rule, moment) for name, rule in found.queues.items()]
    first = moment - timedelta(seconds=found.operations)
    return Rules(
        (*scopes, _scope("all", "", found.all, moment)), _ago(moment, _longest(upkeep)), first.year * 100 + first.month,
        _ledger(upkeep, moment, since),
    )  # fmt: skip


def _ledger(upkeep: Upkeep, moment: datetime, since: str) -> str:
    """From when on the ledger is kept: as far back as backups are by the rules, and as any is that lies there; empty: for good."""
    return "" if upkeep.backup.keep is None else min(_ago(moment, upkeep.backup.keep), since)


NONE_LIES_THERE = "~"
"""Behind all times."""


def oldest(home: Path, chosen: Backup) -> str:
    """The stored time of the oldest database that may be brought back: a backup, or what a restore has put aside. Empty while that cannot
    be known, as a folder is out of reach."""
    folders = {home / "backups", backup_files.folder(home, chosen)}
    try:
        if any(_out_of_reach(home, folder) for folder in folders):
            return ""
        found = [one.at for folder in folders for one in Store(folder).backups()]
        return min([*found, *(one.at for one in previous_databases.by_restores(paths.database(home)))], default=NONE_LIES_THERE)
    except (Problem, OSError):
        return ""


def _out_of_reach(home: Path, folder: Path) -> bool:
    """Whether there may be backups in a folder that is not there: the one in the home is made with the first of them."""
    return not folder.is_dir() and (folder.parent != home or os.path.lexists(folder))


def _scope(kind: str, name: str, rule: Rule, moment: datetime) -> Scope:
    before = None if rule.keep is None else _ago(moment, rule.keep)
    return Scope(kind, name, before, rule.runs, None if rule.logs is None else int(rule.logs * 2**20))


def _longest(upkeep: Upkeep) -> float:
    """Seconds that the most patient rule keeps things."""
    found = upkeep.retention
    return max((rule.keep for rule in (found.all, *found.queues.values(), *found.templates.values()) if rule.keep), default=30 * DAY)


def _ago(moment: datetime, seconds: float) -> str:
    return timestamps.stamp(moment - timedelta(seconds=seconds))


# --- looking, and doing it ----------------------------------------------------------------------------------------------------------


async def look(db: Database, home: Path, upkeep: Upkeep) -> Report:
    """What `clean` would remove now."""
    by, report, seen = await _rules(home, upkeep), Report(), Counter[str]()
    for part in await db.read(retention.parts, by):
        async for runs in batches(db, retention.page, part):
            taken = await db.read(retention.would_remove, runs, seen)
            _count(report, part, runs, taken)
        async for tasks in batches(db, retention.idle, part, by.before):
            taken = await db.read(retention.would_remove, (), seen, [task.id for task in tasks])
            _count(report, part, (), taken)
    for table in retention.OTHERS:
        _count_others(report, table, await db.read(retention.count_old, table, by))
    return report


async def clean(db: Database, home: Path, upkeep: Upkeep, by: str | None = None) -> Report:
    """Remove what the rules let go, with its logs; then the file shrinks. Without a person `by` the runtime does it by itself. Raises
    DiskFull where not even the logs that go make room enough."""
    found, report = await _rules(home, upkeep), Report()
    before: dict[str, int] | None = None
    while True:
        try:
            await _clean(db, home, found, report, by)
            return report
        except DiskFull as problem:
            freed = await cleanup_full_disk.make(db, home, found)
            report.freed.add(freed)
            if not freed.logs and report.summary() == before:
                raise _no_room(problem, report) from None
            before = report.summary()


def _no_room(problem: DiskFull, report: Report) -> DiskFull:
    """The disk is full, and what was removed nevertheless."""
    gone, logs = report.all(), report.freed.logs
    removed = [f"{many:,} {what}" for many, what in ((gone.runs, "runs"), (gone.tasks, "tasks"), (logs, "logs of runs that go")) if many]
    undone = f"Removed: {', '.join(removed)}. To remove more takes room." if removed else "Nothing was removed, which takes some room."
    return DiskFull(problem.instead(undone).message, "Free space in another way, then try again.")


async def _clean(db: Database, home: Path, found: Rules, report: Report, by: str | None) -> None:
    """Do it, and count it in the report. What an earlier try has done is not done again."""
    await settle(db, home)
    parts, unlinked = await db.read(retention.parts, found), list[str]()
    if any(part.edge != part.at_once().edge for part in parts):
        await db.write_quietly(engine.try_out)  # on a full disk the history never counts what waits for that
    for part in parts:
        async for runs in batches(db, retention.page, part):
            taken = await db.write(retention.remove, [run.id for run in runs])
            unlinked += await to_thread(_unlinked, home, taken.runs)
            _count(report, part, runs, taken)
            if len(unlinked) >= retention.ROWS:
                await _forget_logs(db, unlinked)
        async for tasks in batches(db, retention.idle, part, found.before):
            _count(report, part, (), await db.write(retention.remove, (), [task.id for task in tasks]))
    await _forget_logs(db, unlinked)
    for table in retention.OTHERS:
        await _remove_old(db, table, found, report)
    while await db.read(retention.unused):
        await db.write_quietly(retention.remove_unused)
    if by is not None or report.summary() or await db.read(_noted_before, _today()):
        await db.write_quietly(_note, report.summary(), by)
    with suppress(DiskFull):  # what is free in the file is used again in any case
        await _shrink(db)


def _count(report: Report, part: Part, runs: Sequence[Old], taken: Taken) -> None:
    """Count a batch in. A task goes for the reason of its last run; one that never ran is old, or was removed."""
    reasons: dict[str, str] = {}
    gone = set(taken.runs)
    for run in runs:
        if run.id in gone:
            reasons[run.task] = part.why(run)
            report.count(part.scope, reasons[run.task], runs=1, logs=run.log, rows=run.row)
    usual = "removed" if part.scope.kind == "removed" else "age"
    for task, size in taken.tasks.items():
        report.count(part.scope, reasons.get(task, usual), tasks=1, rows=size)


def _count_others(report: Report, table: str, rows: int) -> None:
    if rows:
        report.others[table] = report.others.get(table, 0) + rows


async def _remove_old(db: Database, table: str, by: Rules, report: Report) -> None:
    """Old rows of one of the other tables."""
    left = await db.read(retention.count_old, table, by)
    while left > 0:
        done = await db.write_quietly(retention.remove_old, table, by)
        _count_others(report, table, done)
        left = left - done if done else 0


async def _shrink(db: Database) -> None:
    """Give what is free in the file back to the disk."""
    free = await db.read(retention.free)
    while free:
        await db.write_quietly(retention.give_back)
        was, free = free, await db.read(retention.free)
        if free >= was:
            return


# --- logs ---------------------------------------------------------------------------------------------------------------------------


async def settle(db: Database, home: Path) -> None:
    """Remove the logs of pruned runs that a crash has left."""
    while unlinked := await to_thread(_unlinked, home, await db.read(retention.discarded)):
        await _forget_logs(db, unlinked)


async def _forget_logs(db: Database, unlinked: list[str]) -> None:
    """Remember no longer that these logs are to be removed, and empty the list."""
    if unlinked:
        await db.write_quietly(retention.removed_logs, list(unlinked))
        unlinked.clear()


def _unlinked(home: Path, runids: Sequence[str]) -> list[str]:
    """Those of the runs that have no log any more; one that cannot be removed is tried again next time."""
    done = []
    for runid in runids:
        try:
            os.unlink(paths.log_path(home, runid))
        except FileNotFoundError:
            pass
        except OSError:
            continue
        done.append(runid)
    return done


async def sweep(db: Database, home: Path, folder: str) -> int:
    """Remove old logs of runs that the database does not know, in one of FOLDERS; how many there were."""
    found = await to_thread(_old_logs, home / "runs" / folder)
    strays = await db.read(retention.unknown, found) if found else []
    return len(await to_thread(_unlinked, home, strays))


def _old_logs(folder: Path) -> list[str]:
    """The runs whose logs there were not written to lately."""
    before = timestamps.utcnow().timestamp() - STRAY
    try:
        with os.scandir(folder) as files:
            return [file.name[:-4] for file in files if _is_old_log(file, folder.name, before)]
    except FileNotFoundError:
        return []


def _is_old_log(file: os.DirEntry[str], folder: str, before: float) -> bool:
    return file.name.endswith(f"{folder}.log") and file.is_file(follow_symlinks=False) and file.stat().st_mtime < before


# --- the operation log --------------------------------------------------------------------------------------------------------------

_NOTED = "cleanup/"
"""Where `counters` hold what the runtime has removed since it was last recorded, and since which day (20261125)."""


def _today() -> int:
    return int(timestamps.now()[:10].replace("-", ""))


def _noted(c: Connection) -> dict[str, int]:
    found = "SELECT substr(name, ?), value FROM counters WHERE name >= ? AND name < ?"
    return {row[0]: row[1] for row in raw_sql.rows(c, found, (len(_NOTED) + 1, _NOTED, _NOTED[:-1] + "0"))}


def _noted_before(c: Connection, day: int) -> bool:
    """Whether something was noted on another day; on one to come where the clock was ahead."""
    return _noted(c).get("day", day) != day


def _note(c: Connection, removed: Mapping[str, int], by: str | None) -> None:
    """Record what a person has removed; what the runtime does every few minutes is recorded once a day."""
    if by is not None:
        operations.record(c, by, "db cleanup", "database", after=dict(removed))
        return
    noted, day = _noted(c), _today()
    if noted.pop("day", day) != day:
        operations.record(c, transitions.SYSTEM, "db cleanup", "database", after={name: number for name, number in noted.items() if number})
        raw_sql.run(c, "DELETE FROM counters WHERE name >= ? AND name < ?", (_NOTED, _NOTED[:-1] + "0"))
    now = timestamps.now()
    rows = [(_NOTED + name, number, now, now) for name, number in removed.items()]
    raw_sql.run_many(
        c,
        "INSERT INTO counters (name, value, created_at, updated_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET value = value + excluded.value, updated_at = excluded.updated_at",
        rows,
    )
    if rows:
        since = "INSERT INTO counters (name, value, created_at, updated_at) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO NOTHING"
        raw_sql.run(c, since, (f"{_NOTED}day", day, now, now))
