"""The whole database looked at: its pages, its rows, and the runs that the keeper and the disk know; and what of it can be mended."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from app import paths
from app.core import sla
from app.core.text import units
from app.errors import Conflict, Problem
from app.service.context import Call
from app.service.database import backup_files, journal
from db.backup.catalog import Store
from db.maintenance import integrity as checks
from db.maintenance.value_checks import Judges
from db.queries import operations, transitions
from db.readonly import TOLD, reading

JUDGES: Judges = {("slas", "conditions"): sla.parse}
"""What means something to the program alone: the database takes any document."""


async def check(call: Call) -> dict[str, Any]:
    """Read the whole database and say what is wrong with it."""
    problems = await asyncio.to_thread(examine, call.home, call.live is not None)
    return {"ok": not problems, "problems": problems}


async def repair(call: Call) -> dict[str, Any]:
    """Mend what can be derived; what was done, and what is still wrong."""
    if call.live is None:
        raise Conflict("no runtime is up, so nothing was done.", "Type: taskdeck db check --repair")
    damage = await asyncio.to_thread(checks.damage, call.db.path)
    lost = [] if damage else await asyncio.to_thread(logs_of_nobody, call.home)
    given = await asyncio.to_thread(highest, call.home)
    done = [] if damage else await call.db.write(mend, lost, call.by, given)
    problems = await asyncio.to_thread(examine, call.home, True)
    return {"ok": not problems, "done": done, "problems": problems}


def examine(home: Path, live: bool) -> list[str]:
    """What is wrong, in words. While a runtime is up (`live`) a run may be on its way to the keeper, so none is missed there."""
    path = paths.database(home)
    runs, logs = journal.known_to_keeper(home), list(journal.logs(home))
    problems = checks.check(path, JUDGES)
    torn = [] if live else checks.lost_writes(path)
    if torn or problems and checks.damage(path):
        return [*torn, *problems]
    problems = [*([] if live else checks.missing_last(path, logs, journal.may_have_begun(home))), *problems]
    problems += checks.number_known_elsewhere(path, highest(home))
    with reading(path) as c:
        strange, alone = checks.strangers(c, sorted(runs)), checks.strangers(c, logs)
        lost = [] if live else [runid for runid in checks.running(c) if runid not in runs]
    return [*problems, *_keeper(home, strange, lost), *_logs(home, alone)]


def highest(home: Path) -> int:
    """The highest number of a task that its backups or the jobs that live know of; 0 where there are none to be read."""
    found = list(journal.numbers(home))
    with suppress(Problem, OSError):  # a folder that is out of reach, or settings that do not say which
        own = Store(backup_files.folder(home, backup_files.settings()), paths.database(home)).own()
        found += [int(backup.facts.get("highest") or 0) for backup in own if backup.verified]
    return max((number for number in found if number < transitions.LAST), default=0)


def lacking(home: Path, path: Path | None = None) -> list[str]:
    """That the database of a home lacks what was written last; nobody may be writing meanwhile. `path`: where it lies, if not in its
    place. Raises Storage."""
    path = path or paths.database(home)
    return checks.lost_writes(path) or checks.missing_last(path, journal.logs(home), journal.may_have_begun(home))


def _keeper(home: Path, strange: list[str], lost: list[str]) -> list[str]:
    alive = {trace.runid for trace in journal.traces(home) if trace.goes_on} if strange else set()
    then = ": it goes on, and becomes a task with the next start (taskdeck serve --detach)"
    found = [f"the keeper has run {runid}, which no row knows{then if runid in alive else ''}" for runid in strange[: TOLD]]
    ends = journal.ends(home, lost)
    ended = {runid: "its end is recorded anew by the next start" if runid in ends else "it ends as lost" for runid in lost}
    return found + [f"run {runid} is said to go on, and the keeper does not know it: {ended[runid]}" for runid in lost[: TOLD]]


def _logs(home: Path, alone: list[str]) -> list[str]:
    if not alone:
        return []
    size = units.size(sum(_size(Path(paths.log_path(home, runid))) for runid in alone))
    return [f"{len(alone):,} {'log of a run' if len(alone) == 1 else 'logs of runs'} that no row knows ({size})"]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def logs_of_nobody(home: Path) -> list[str]:
    """The runs of which there is a log and nothing else, neither a row nor a word of the keeper."""
    logs, runs = list(journal.logs(home)), journal.told(home)
    with reading(paths.database(home)) as c:
        return [runid for runid in checks.strangers(c, logs) if runid not in runs]


def name_version(c: Connection, by: str) -> list[str]:
    """Let a database that has lost its version say it again; what was done, which goes into the log of operations."""
    done = [checks.name_version(c)]
    operations.record(c, by, "db repair", "database", after=done)
    return done


def mend(c: Connection, logs: list[str], by: str, highest: int = 0) -> list[str]:
    """Mend the rows, and let the cleanup remove these logs; what was done, which goes into the log of operations. No number up to
    `highest` is given again."""
    done = checks.repair(c, highest, JUDGES)
    if logs:
        checks.discard(c, logs)
        done.append(f"{len(logs):,} {'log' if len(logs) == 1 else 'logs'} of runs that no row knows will be removed by the cleanup")
    if done:
        operations.record(c, by, "db repair", "database", after=done)
    return done
