"""What is wrong with a database file, and what of it can be mended because it is derived from the rest.

Reading goes through connections that cannot write. Mending writes figures that follow from rows, and lets go of rows that belong to
nothing; what would have to be guessed is only told.
"""

from __future__ import annotations

import json
import shlex
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from db import defaults, raw_sql, schema, timestamps
from db.error_translation import explain
from db.errors import BehindDatabase, DamagedDatabase, Problem, Storage, UnnamedDatabase, damaged
from db.maintenance import migrate, quarantine, value_checks, wal_audit
from db.maintenance.value_checks import NO_JUDGES, Judges
from db.queries import transitions
from db.readonly import broken, lines, reading
from db.states import ACTIVE_SQL


def check(path: Path, judges: Judges = NO_JUDGES) -> list[str]:
    """What SQLite and we, and `judges`, find wrong with the whole file; empty when it is well. Reads every page. Raises Storage when it
    cannot."""
    version = migrate.version_of(path)
    if found := damage(path):
        return found
    with reading(path) as c:
        ours = [f"{kind} {name} is missing" for kind, name in _missing(c)] if version == migrate.HEAD else []
        ours += value_checks.lines(c.execute, judges=judges) if version == migrate.HEAD else []
        ours += [none_at_all(kind) for (kind,) in c.execute(defaults.LACKING)]
    return [*ours, *disorder(path)]


def none_at_all(kind: str) -> str:
    """There is no pool, or no queue: the disk may have been full when the home was made."""
    return f"there is no {kind} at all, so no task can be submitted"


def disorder(path: Path) -> list[str]:
    """What does not follow from the rest as it should. Raises Storage."""
    with reading(path) as c:
        return [*_foreign(c), *_counters(c), *_loads(c)]


def damage(path: Path) -> list[str]:
    """What is wrong with the file itself, which no mending can derive. Raises Storage."""
    try:
        version = migrate.version_of(path)
        with reading(path) as c:
            found = broken(c) or (_lacking(c) if version == migrate.HEAD else [])
            if not found:
                _read_all(c)
            return found
    except DamagedDatabase as problem:
        return [problem.why or problem.message]


def _read_all(c: sqlite3.Connection) -> None:
    """SQLite takes any bytes for text. The driver raises sql.FAILED for those that are none."""
    for name in _names(c, "table"):
        rows = c.execute("SELECT * FROM \"{}\"".format(name.replace('"', '""')))
        while rows.fetchmany(1000):
            pass


def _names(c: sqlite3.Connection, kind: str) -> list[str]:
    """The tables, indexes or triggers of the file."""
    found = "SELECT name FROM sqlite_master WHERE type = ? AND name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY name"
    return [name for (name,) in c.execute(found, (kind,))]


def _lacking(c: sqlite3.Connection) -> list[str]:
    """Tables and columns that every database of this version has."""
    wrong, there = [], _names(c, "table")
    for table in schema.metadata.sorted_tables:
        if table.name not in there:
            wrong.append(f"table {table.name} is missing")
            continue
        columns = {name for (name,) in c.execute("SELECT CAST(name AS BLOB) FROM pragma_table_info(?)", (table.name,))}
        wrong += [f"column {column.name} of {table.name} is missing" for column in table.columns if column.name.encode() not in columns]
    return wrong


def _missing(c: sqlite3.Connection) -> list[tuple[str, str]]:
    """(kind, name) of what a database of this version has and this one has not, but could have again."""
    indexes = [str(index.name) for table in schema.metadata.sorted_tables for index in table.indexes]
    wanted = {"index": indexes, "trigger": list(schema.TRIGGERS)}
    return [(kind, name) for kind, names in wanted.items() for name in sorted({*names} - {*_names(c, kind)})]


def is_unnamed(path: Path) -> bool:
    """Whether a database has lost the row that says its version, and is whole and of this one in all else. Raises Storage."""
    try:
        migrate.version_of(path)
    except UnnamedDatabase:
        with reading(path) as c:
            return not (broken(c) or _lacking(c) or _missing(c) or _unknown(c))
    except Problem:
        pass
    return False


def _unknown(c: sqlite3.Connection) -> list[str]:
    """Tables and columns that no database of this version has."""
    ours = {table.name: {column.name for column in table.columns} for table in schema.metadata.sorted_tables}
    there = {name: {row[1] for row in c.execute(f"PRAGMA table_info({name})")} for name in ours}
    return [name for name in _names(c, "table") if name != "alembic_version" and (name not in ours or there[name] != ours[name])]


def name_version(c: Connection) -> str:
    """Let the database say that it is of this version, as it does in all but its row; what was done, in words."""
    raw_sql.run(c, "INSERT INTO alembic_version VALUES (?)", (migrate.HEAD,))
    return f"the version of the database, which was lost, set to {migrate.HEAD}: all of its tables are of that"


def quick(path: Path) -> None:
    """Read every page, without comparing rows with indexes. Raises DamagedDatabase, with what was found first."""
    if migrate.version_of(path) is None:
        return
    with reading(path) as c:
        found = lines(c, "PRAGMA quick_check(1)")
    if found:
        raise damaged(path, found[0])


def number_known_elsewhere(path: Path, highest: int) -> list[str]:
    """That `highest`, which others know of, may be given once more. Raises Storage."""
    with reading(path) as c:
        given, known = _numbers(c)
    return [f"the last number given is said to be {given}, a backup or a job knows of #{highest}"] if highest > max(given, known) else []


def lost_writes(path: Path) -> list[str]:
    """That there are writes in the log which SQLite passes over; nobody may be writing meanwhile. Raises Storage."""
    try:
        cut = wal_audit.cut_short(path)
    except (OSError, *raw_sql.FAILED) as error:
        raise explain(error, path) or Storage(f"the log of the database cannot be read ({error}): {path}.") from error
    return ["its log is damaged, and what was written last is behind that"] if cut else []


def missing_last(path: Path, logs: Iterable[str], began: Callable[[str], bool] = lambda runid: True) -> list[str]:
    """That runs with a log began after all that the database knows of, which is only so where its own log was lost: what is said of a run
    is on the disk before that starts, and of one that was pruned there is no log. `logs`: the runs with one; `began`: whether one was
    started, for a log may be left of a start that failed. Raises Storage."""
    if migrate.version_of(path) is None:
        return []
    with reading(path) as c:
        last = max((at for (at,) in c.execute(_LAST_KNOWN)), default=None)
    since = [runid for runid in logs if last is not None and _made(runid) > last]
    with reading(path) as c:  # anew: a row comes before the log
        lost = [runid for runid in strangers(c, sorted(since)) if began(runid)]
    more = f" and {len(lost) - 1:,} more" if len(lost) > 1 else ""
    return [f"what was written last is missing: run {lost[0]}{more} began after all that it knows of"] if lost else []


_LAST_KNOWN = " UNION ALL ".join(
    f"SELECT * FROM (SELECT created_at FROM {table} ORDER BY id DESC LIMIT 1)" for table in ("events", "operations")
)


def _made(runid: str) -> str:
    """The stored time that a run's id was made at; "" for one that is none of ours."""
    try:
        return timestamps.from_unix((UUID(runid).int >> 80) / 1000)
    except (ValueError, OverflowError, OSError):
        return ""


def behind(path: Path, what: str) -> BehindDatabase:
    """The database at `path` lacks what was written last, as `what` says."""
    return BehindDatabase(f"the database is damaged ({what}): {path}. It was not written to.")


def _foreign(c: sqlite3.Connection) -> list[str]:
    firsts: dict[tuple[str, str], Any] = {}
    many: Counter[tuple[str, str]] = Counter()
    for table, row, parent, _ in c.execute("PRAGMA foreign_key_check"):
        firsts.setdefault((table, parent), row)
        many[table, parent] += 1
    return [
        f"row {row} of {table} refers to a missing row of {parent}" if many[table, parent] == 1 else
        f"{many[table, parent]:,} rows of {table} refer to missing rows of {parent}; the first is {row}"
        for (table, parent), row in firsts.items()
    ]  # fmt: skip


_COUNTED = "SELECT 'tasks/' || queue || '/' || status, count(*) FROM tasks WHERE deleted_at IS NULL GROUP BY 1"
_KEPT = "SELECT name, value FROM counters WHERE name LIKE 'tasks/%' AND value <> 0"
_GIVEN = "SELECT coalesce((SELECT value FROM counters WHERE name = 'task-number' AND typeof(value) = 'integer'), 0)"
_NUMBERED = {
    "tasks": "SELECT number FROM tasks",
    "forgotten": "SELECT number FROM forgotten",
    "operations":
        "SELECT CAST(substr(object, 7) AS INTEGER) AS number FROM operations WHERE object BETWEEN 'task #' AND 'task #:' UNION ALL "
        "SELECT coalesce(json_extract(after, '$.last'), json_extract(after, '$.passed_over[1]')) FROM operations "
        "WHERE verb IN ('submit', 'db restore') AND json_valid(after)",
}  # fmt: skip
"""The numbers of tasks that are there, that were removed, and that operations tell of; earlier versions had not all the tables."""
_NO_FIGURES = "SELECT name FROM counters WHERE typeof(value) <> 'integer' AND name NOT LIKE 'tasks/%' ORDER BY name"


def _counters(c: sqlite3.Connection) -> list[str]:
    counted, kept = dict(c.execute(_COUNTED)), dict(c.execute(_KEPT))
    wrong = [f"counter {name} says {kept.get(name, 0)}, there are {counted.get(name, 0)}"
             for name in sorted({*counted, *kept}) if kept.get(name, 0) != counted.get(name, 0)]  # fmt: skip
    wrong += [f"counter {name} is no number" for (name,) in c.execute(_NO_FIGURES)]
    given, highest = _numbers(c)
    said = f"the last number given is said to be {given}, "
    end = [f"{said}after which there is none; the highest is #{highest}"] if given >= transitions.LAST else []
    return [*wrong, *end, *([f"{said}there is #{highest}"] if highest > given else [])]


def _numbers(c: sqlite3.Connection) -> tuple[int, int]:
    """The last number that is said to be given, and the highest that is known to have been."""
    known = " UNION ALL ".join(query for table, query in _NUMBERED.items() if table in _names(c, "table"))
    highest = f"SELECT coalesce(max(number), 0) FROM ({known}) WHERE typeof(number) = 'integer' AND number < {transitions.LAST}"
    return c.execute(_GIVEN).fetchone()[0], c.execute(highest).fetchone()[0]


_ACTIVE = f"WHERE status IN {ACTIVE_SQL}"


def _loads(c: sqlite3.Connection) -> list[str]:
    """Queues and pools whose figures are not what the active runs reserve."""
    queues = dict(c.execute(f"SELECT queue, count(*) FROM instances {_ACTIVE} GROUP BY 1"))
    pools = {name: used for name, *used in c.execute(f"SELECT pool, sum(cpu), sum(memory) FROM instances {_ACTIVE} GROUP BY 1")}
    wrong = [f"the load of queue {name} is said to be {load}, it is {queues.get(name, 0)}"
             for name, load in c.execute("SELECT name, current_load FROM queues") if load != queues.get(name, 0)]  # fmt: skip
    for name, *said in c.execute("SELECT name, used_cpu, used_memory FROM pools"):
        used = [round(value, 3) for value in pools.get(name, (0.0, 0.0))]
        if said != used:
            cpu, memory = map(_figure, said)
            wrong.append(f"pool {name} is said to have {cpu} cpu and {memory} MiB in use, it has {used[0]:g} and {used[1]:g}")
    return wrong


def _figure(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else repr(value)


# --- mending ------------------------------------------------------------------------------------------------------------------------

_NO_TASK = "NOT EXISTS (SELECT 1 FROM tasks t WHERE t.uuid = {})"
_MENDS: dict[str, tuple[str, str]] = {
    "{} of tasks that are not there removed|run|runs": ("instances", _NO_TASK.format("task_id")),
    "{} of tasks that are not there removed|dependency|dependencies":
        ("dependencies", f"{_NO_TASK.format('task_id')} OR {_NO_TASK.format('parent_id')}"),
    "{} of rules that are not there removed|silence|silences": ("silences", "sla_id NOT IN (SELECT id FROM slas)"),
}  # fmt: skip
_LOOSE = (("pools", "sla_id", "slas", "id"), ("alerts", "sla_id", "slas", "id"), ("alerts", "task_id", "tasks", "uuid"),
          ("backups", "parent_id", "backups", "id"))  # fmt: skip
"""References without which a row is as good as ever: (table, column, what it refers to by which column)."""


def repair(c: Connection, highest: int = 0, judges: Judges = NO_JUDGES) -> list[str]:
    """Mend what follows from the rest: rows of tasks and rules that are not there, queues that tasks wait in, a pool and a queue where
    there is none, counters, the last number, loads, indexes and triggers; and set aside what cannot be read. What was done, in words.
    `highest`: a number that was given, as others know."""
    done = [*_made_anew(c), *_orphans(c), *_loose(c), *quarantine.set_aside(c, value_checks.MENDABLE, judges)]
    done += [*_pool(c), *_queues(c), *_recount(c), *_renumber(c, highest)]
    return [*done, *(f"the figures of {name} counted anew" for name in transitions.recount(c))]


def _driver(c: Connection) -> sqlite3.Connection:
    return cast(sqlite3.Connection, c.connection.driver_connection)


def _made_anew(c: Connection) -> Iterator[str]:
    """Indexes and triggers that are gone; but for an index whose rows are no longer each of their own."""
    indexes = {str(index.name): index for table in schema.metadata.sorted_tables for index in table.indexes}
    for kind, name in _missing(_driver(c)):
        with suppress(IntegrityError):
            if kind == "index":
                indexes[name].create(c)
            else:
                raw_sql.run(c, schema.TRIGGERS[name])
            yield f"{kind} {name} made anew"


def _orphans(c: Connection) -> Iterator[str]:
    for words, (table, lost) in _MENDS.items():
        many = raw_sql.value(c, f"SELECT count(*) FROM {table} WHERE {lost}")
        if many:
            raw_sql.run(c, f"DELETE FROM {table} WHERE {lost}")
            said, one, more = words.split("|")
            yield said.format(f"{many:,} {one if many == 1 else more}")


def _loose(c: Connection) -> Iterator[str]:
    for table, column, parent, key in _LOOSE:
        lost = f"{column} IS NOT NULL AND {column} NOT IN (SELECT {key} FROM {parent})"
        if many := raw_sql.value(c, f"SELECT count(*) FROM {table} WHERE {lost}"):
            raw_sql.run(c, f"UPDATE {table} SET {column} = NULL WHERE {lost}")
            yield f"{many:,} {'row' if many == 1 else 'rows'} of {table} let go of {parent} that are not there"


_NO_QUEUE = "SELECT queue FROM tasks UNION SELECT queue FROM templates WHERE queue IS NOT NULL EXCEPT SELECT name FROM queues ORDER BY 1"
_POOL = "SELECT name, max(1, CAST(total_cpu AS INTEGER)) AS cores FROM pools ORDER BY name <> 'default', name LIMIT 1"


def _pool(c: Connection) -> Iterator[str]:
    if "pool" in raw_sql.column(c, defaults.LACKING):
        cores, memory = defaults.pool(c)
        yield f"pool {defaults.NAME} made anew with all of this machine: {cores} cpu, {memory} MiB"


def _queues(c: Connection) -> Iterator[str]:
    """A queue that is missing comes back with what a new one has, and paused: its pool and capacity may have been others."""
    pools, now = raw_sql.rows(c, _POOL), timestamps.now()
    wanted = raw_sql.column(c, _NO_QUEUE) or ([defaults.NAME] if "queue" in raw_sql.column(c, defaults.LACKING) else [])
    for name in wanted if pools else ():
        values = {"name": name, "pool": pools[0].name, "capacity": pools[0].cores, "status": "paused", "created_at": now, "updated_at": now}
        c.execute(schema.queues.insert().values(values))
        open_ = f"taskdeck queue resume {shlex.quote(name)}"
        yield f"queue {name} made anew in pool {pools[0].name}, paused: see what it should be, then {open_}"


def _recount(c: Connection) -> Iterator[str]:
    counted, kept = dict(raw_sql.rows(c, _COUNTED)), dict(raw_sql.rows(c, _KEPT))
    now = timestamps.now()
    for name in sorted({*counted, *kept}):
        was, right = kept.get(name, 0), counted.get(name, 0)
        if was != right:
            _set_counter(c, name, right, now)
            yield f"counter {name} set from {was} to {right}"


def _renumber(c: Connection, known: int) -> Iterator[str]:
    given, highest = _numbers(_driver(c))
    highest = max(highest, known)
    if highest > given or given >= transitions.LAST:
        _set_counter(c, "task-number", highest, timestamps.now())
        yield f"the next task will be #{highest + 1}"


def _set_counter(c: Connection, name: str, value: int, now: str) -> None:
    raw_sql.run(
        c,
        "INSERT INTO counters (name, value, created_at, updated_at) VALUES (:name, :value, :now, :now) "
        "ON CONFLICT (name) DO UPDATE SET value = :value, updated_at = :now",
        {"name": name, "value": value, "now": now},
    )


# --- runs in the journal and on the disk, against their rows -----------------------------------------------------------------------

MANY = 5000
"""Runs that are looked up at once."""
KNOWING = ("instances", "forgotten", "discarded_logs")
"""The tables that know of runs; earlier versions had not all of them."""


def strangers(c: sqlite3.Connection, runids: Sequence[str]) -> list[str]:
    """Those runs that no row and no ledger of a restore knows, and whose log is not to be removed yet."""
    found: list[str] = []
    tables = [name for name in KNOWING if name in _names(c, "table")]
    knows = " UNION ".join(f"SELECT runid FROM {name} WHERE runid IN (SELECT value FROM json_each(?1))" for name in tables)
    for at in range(0, len(runids), MANY):
        some = runids[at : at + MANY]
        known = {row[0] for row in c.execute(knows, (json.dumps(some),))}
        found += [runid for runid in some if runid not in known]
    return found


def running(c: sqlite3.Connection) -> list[str]:
    """Runs that were seen to start and not to end."""
    return [row[0] for row in c.execute(f"SELECT runid FROM instances {_ACTIVE} AND start_time IS NOT NULL")]


def discard(c: Connection, runids: Sequence[str]) -> None:
    """Let the logs of these runs be removed with those of runs that were pruned."""
    now = timestamps.now()
    raw_sql.run_many(
        c, "INSERT OR IGNORE INTO discarded_logs (runid, created_at, updated_at) VALUES (?, ?, ?)",
        [(runid, now, now) for runid in runids],
    )  # fmt: skip
