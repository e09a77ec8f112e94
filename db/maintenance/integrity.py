"""Integrity checks, and repairs of everything that can be derived from the rest.

Checks use connections that cannot write. Repairs rewrite derived figures and detach rows with
missing references. Anything that would need a guess is only reported.
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

from app.translation import tr
from db import defaults, raw_sql, schema, timestamps
from db.errors import BehindDatabase, DamagedDatabase, Problem, UnnamedDatabase, make_damaged_error
from db.maintenance import migrate, value_checks
from db.maintenance.value_checks import NO_CHECKS, DocumentChecks
from db.queries.home import home_identity
from db.queries.scheduling import loads
from db.queries.tasks import task_numbers
from db.readonly import find_faults, open_read_only, read_check_lines
from db.states import ACTIVE_SQL


def check_database(path: Path, document_checks: DocumentChecks = NO_CHECKS) -> list[str]:
    """Return all faults of a database, found by SQLite, this program and `document_checks`.

    Reads every page. Raise Storage if the check is impossible.
    """
    version = migrate.read_version(path)
    if found := find_damage(path):
        return found
    if version not in (None, migrate.HEAD):
        migrate.require_schema(path, version)
    with open_read_only(path) as c:
        problems = (
            [
                tr("{kind} {name} is missing", kind=kind, name=name)
                for kind, name in _find_missing_objects(c)
            ]
            if version == migrate.HEAD
            else []
        )
        problems += (
            value_checks.describe_unreadable(c.execute, document_checks)
            if version == migrate.HEAD
            else []
        )
        if version == migrate.HEAD and not c.execute("SELECT 1 FROM home").fetchone():
            problems.append("the home has no UUID")
        problems += [
            describe_missing_default(kind) for (kind,) in c.execute(defaults.MISSING_DEFAULTS)
        ]
    return [*problems, *find_inconsistencies(path)]


def describe_missing_default(kind: str) -> str:
    """Return the fault for a home without a pool or queue.

    The disk may have been full when the home was created.
    """
    return tr("there is no {kind} at all, so no task can be submitted", kind=kind)


def find_inconsistencies(path: Path) -> list[str]:
    """Return the inconsistent references and figures. Raise Storage."""
    with open_read_only(path) as c:
        return [
            *_check_references(c), *_check_groups(c), *_check_counters(c), *_check_loads(c)
        ]  # fmt: skip


def find_damage(path: Path) -> list[str]:
    """Return the faults of the file itself, which no repair can fix. Raise Storage."""
    try:
        version = migrate.read_version(path)
        with open_read_only(path) as c:
            found = find_faults(c) or (
                migrate.find_missing_columns(c, version) if version == migrate.HEAD else []
            )
            if not found:
                _read_all_rows(c)
            return found
    except DamagedDatabase as problem:
        return [problem.why or problem.message]


def _read_all_rows(c: sqlite3.Connection) -> None:
    """Read every row, because SQLite accepts any bytes as text.

    The driver raises one of `raw_sql.DRIVER_ERRORS` for text that is not UTF-8.
    """
    for name in _list_objects(c, "table"):
        rows = c.execute('SELECT * FROM "{}"'.format(name.replace('"', '""')))
        while rows.fetchmany(1000):
            pass


def _list_objects(c: sqlite3.Connection, kind: str) -> list[str]:
    """Return the tables, indexes or triggers of the file."""
    found = (
        "SELECT name FROM sqlite_master WHERE type = ? AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"
        " ORDER BY name"
    )
    return [name for (name,) in c.execute(found, (kind,))]


def _find_missing_objects(c: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return (kind, name) of missing indexes and triggers, which can be recreated."""
    indexes = [
        str(index.name) for table in schema.metadata.sorted_tables for index in table.indexes
    ]
    wanted = {"index": indexes, "trigger": list(schema.TRIGGERS)}
    return [
        (kind, name)
        for kind, names in wanted.items()
        for name in sorted({*names} - {*_list_objects(c, kind)})
    ]


def is_version_lost(path: Path) -> bool:
    """Return True if only the version row of a database is missing. Raise Storage."""
    try:
        migrate.read_version(path)
    except UnnamedDatabase:
        with open_read_only(path) as c:
            return not (
                find_faults(c)
                or migrate.find_missing_columns(c, migrate.HEAD)
                or _find_missing_objects(c)
                or _find_unknown_columns(c)
            )
    except Problem:
        pass
    return False


def _find_unknown_columns(c: sqlite3.Connection) -> list[str]:
    """Return the tables and columns that this version does not have."""
    problems = {
        table.name: {column.name for column in table.columns}
        for table in schema.metadata.sorted_tables
    }
    existing = {
        name: {row[1] for row in c.execute(f"PRAGMA table_info({name})")} for name in problems
    }
    return [
        name
        for name in _list_objects(c, "table")
        if name != "alembic_version" and (name not in problems or existing[name] != problems[name])
    ]


def restore_version(c: Connection) -> str:
    """Insert the lost version row; return a description."""
    raw_sql.execute_statement(c, "INSERT INTO alembic_version VALUES (?)", (migrate.HEAD,))
    return tr(
        "the lost version of the database set to {version}, which matches its tables",
        version=migrate.HEAD,
    )


def check_pages(path: Path) -> None:
    """Read every page, without comparing rows with indexes, and look for each table and column.

    Raise DamagedDatabase with the first fault. The upgrade compares the tables of an earlier
    revision.
    """
    version = migrate.read_version(path)
    if version is None:
        return
    with open_read_only(path) as c:
        found = read_check_lines(c, "PRAGMA quick_check(1)")
        if not found and version == migrate.HEAD:
            found = migrate.find_missing_columns(c, version)
    if found:
        raise make_damaged_error(path, found[0])


def check_highest_number(path: Path, highest: int) -> list[str]:
    """Return the fault that number `highest`, known elsewhere, may be reused.

    Raise Storage.
    """
    with open_read_only(path) as c:
        counter, known_highest = _read_highest_numbers(c)
    return (
        [
            tr(
                "the task number counter says {counter}, a backup or job has #{highest}",
                counter=counter,
                highest=highest,
            )
        ]
        if highest > max(counter, known_highest)
        else []
    )


def find_missing_runs(
    path: Path, logs: Iterable[str], began: Callable[[str], bool] = lambda runid: True
) -> list[str]:
    """Return the fault that runs with a log started after the database's latest entry.

    A run's row is on disk before the run starts, and pruned runs have no log, so such a run proves
    lost writes. `logs` are the runs with a log. `began` tells if a run started: a failed start may
    leave a log too. Raise Storage.
    """
    if migrate.read_version(path) is None:
        return []
    with open_read_only(path) as c:
        last = max((at for (at,) in c.execute(_LATEST_ENTRIES)), default=None)
    since = [runid for runid in logs if last is not None and _get_creation_time(runid) > last]
    with open_read_only(path) as c:  # second read: rows precede logs
        lost = [runid for runid in find_unknown_runs(c, sorted(since)) if began(runid)]
    more = tr(" and {more:,} more", more=len(lost) - 1) if len(lost) > 1 else ""
    if not lost:
        return []
    return [
        tr(
            "the latest writes are missing: run {run}{more} began after its last entry",
            run=lost[0],
            more=more,
        )
    ]


_LATEST_ENTRIES = " UNION ALL ".join(
    f"SELECT * FROM (SELECT created_at FROM {table} ORDER BY id DESC LIMIT 1)"
    for table in ("events", "operations")
)


def _get_creation_time(runid: str) -> str:
    """Return the stored time in a run id, or "" for a foreign id."""
    try:
        return timestamps.from_unix((UUID(runid).int >> 80) / 1000)
    except (ValueError, OverflowError, OSError):
        return ""


def make_behind_error(path: Path, what: str) -> BehindDatabase:
    """Return the error for a database that lacks its latest writes."""
    return BehindDatabase(
        "the database is damaged ({what}): {path}. It was not written to.", what=what, path=path
    )


def _check_references(c: sqlite3.Connection) -> list[str]:
    firsts: dict[tuple[str, str], Any] = {}
    many: Counter[tuple[str, str]] = Counter()
    for table, row, parent, _ in c.execute("PRAGMA foreign_key_check"):
        firsts.setdefault((table, parent), row)
        many[table, parent] += 1
    return [
        tr(
            "row {row} of {table} refers to a missing row of {parent}",
            row=row,
            table=table,
            parent=parent,
        )
        if many[table, parent] == 1
        else tr(
            "{many:,} rows of {table} refer to missing rows of {parent}; the first is {row}",
            many=many[table, parent],
            table=table,
            parent=parent,
            row=row,
        )
        for (table, parent), row in firsts.items()
    ]


_OF_MISSING_GROUPS = (
    "FROM tasks WHERE typeof(group_number) = 'integer' AND NOT EXISTS (SELECT 1 FROM groups g WHERE"
    " g.number = group_number)"
)
"""Tasks that no list by groups shows. The reference is no foreign key."""


def _check_groups(c: sqlite3.Connection) -> Iterator[str]:
    if "groups" in _list_objects(c, "table"):
        for number, many in c.execute(
            f"SELECT group_number, count(*) {_OF_MISSING_GROUPS} GROUP BY 1"
        ):
            refer = tr("1 task refers") if many == 1 else tr("{many:,} tasks refer", many=many)
            yield tr("{refer} to the missing group g{number}", refer=refer, number=number)


_COUNTED = (
    "SELECT 'tasks/' || queue || '/' || status, count(*) FROM tasks WHERE deleted_at IS NULL GROUP"
    " BY 1"
)
_COUNTED_OF_GROUPS = (
    "SELECT 'groups/' || group_number || '/' || status, count(*) FROM tasks WHERE deleted_at IS"
    " NULL AND group_number IS NOT NULL GROUP BY 1"
)
_KEPT = (
    "SELECT name, value FROM counters WHERE (name LIKE 'tasks/%' OR name LIKE 'groups/%') AND"
    " value <> 0"
)
_NUMBER_COUNTER = (
    "SELECT coalesce((SELECT value FROM counters WHERE name = 'task-number' AND typeof(value) ="
    " 'integer'), 0)"
)
_KNOWN_NUMBERS = {
    "tasks": "SELECT number FROM tasks",
    "forgotten": "SELECT number FROM forgotten",
    "operations": (
        "SELECT CAST(substr(object, 7) AS INTEGER) AS number FROM operations"
        " WHERE object BETWEEN 'task #' AND 'task #:'"
        " UNION ALL"
        " SELECT coalesce(json_extract(after, '$.last'), json_extract(after, '$.passed_over[1]'))"
        " FROM operations WHERE verb IN ('submit', 'db restore') AND json_valid(after)"
    ),
}
"""Numbers of existing and deleted tasks, and numbers in operations. Earlier versions lack some
tables."""
_INVALID_COUNTERS = (
    "SELECT name FROM counters WHERE typeof(value) <> 'integer' AND name NOT LIKE 'tasks/%'"
    " AND name NOT LIKE 'groups/%' ORDER BY name"
)


def _check_counters(c: sqlite3.Connection) -> list[str]:
    counted, kept = dict(c.execute(_COUNTED)), dict(c.execute(_KEPT))
    if "groups" in _list_objects(c, "table"):
        counted |= dict(c.execute(_COUNTED_OF_GROUPS))
    faults = [tr("counter {name} says {said}, there are {counted}", name=name,
                 said=kept.get(name, 0), counted=counted.get(name, 0))
             for name in sorted({*counted, *kept}) if kept.get(name, 0) != counted.get(name,
             0)]  # fmt: skip
    faults += [
        tr("counter {name} is not a number", name=name) for (name,) in c.execute(_INVALID_COUNTERS)
    ]
    counter, highest = _read_highest_numbers(c)
    said = tr("the task number counter says {counter}, ", counter=counter)
    end = (
        [tr("{said}the maximum; the highest task is #{highest}", said=said, highest=highest)]
        if counter >= task_numbers.MAX_NUMBER
        else []
    )
    return [
        *faults,
        *end,
        *(
            [tr("{said}there is #{highest}", said=said, highest=highest)]
            if highest > counter
            else []
        ),
    ]


def _read_highest_numbers(c: sqlite3.Connection) -> tuple[int, int]:
    """Return the highest number by the counter, and by all other records."""
    known_highest = " UNION ALL ".join(
        query for table, query in _KNOWN_NUMBERS.items() if table in _list_objects(c, "table")
    )
    highest = (
        f"SELECT coalesce(max(number), 0) FROM ({known_highest}) WHERE typeof(number) = 'integer'"
        f" AND number < {task_numbers.MAX_NUMBER}"
    )
    return c.execute(_NUMBER_COUNTER).fetchone()[0], c.execute(highest).fetchone()[0]


_ACTIVE = f"WHERE status IN {ACTIVE_SQL}"


def _check_loads(c: sqlite3.Connection) -> list[str]:
    """Return queues and pools whose figures differ from the active runs."""
    queues = dict(c.execute(f"SELECT queue, count(*) FROM instances {_ACTIVE} GROUP BY 1"))
    pools = {
        name: used
        for name, *used in c.execute(
            f"SELECT pool, sum(cpu), sum(memory) FROM instances {_ACTIVE} GROUP BY 1"
        )
    }
    faults = [
        tr(
            "the load of queue {name} is recorded as {load}, it is {actual}",
            name=name,
            load=load,
            actual=queues.get(name, 0),
        )
        for name, load in c.execute("SELECT name, current_load FROM queues")
        if load != queues.get(name, 0)
    ]
    for name, *said in c.execute("SELECT name, used_cpu, used_memory FROM pools"):
        used = [round(value, 3) for value in pools.get(name, (0.0, 0.0))]
        if said != used:
            cpu, memory = map(_format_figure, said)
            faults.append(
                tr(
                    "pool {name} is recorded with {cpu} cpu and {memory} MiB in use, it has"
                    " {used_cpu:g} and {used_memory:g}",
                    name=name,
                    cpu=cpu,
                    memory=memory,
                    used_cpu=used[0],
                    used_memory=used[1],
                )
            )
    return faults


def _format_figure(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else repr(value)


# --- repair ---------------------------------------------------------------------------------

_NO_TASK = "NOT EXISTS (SELECT 1 FROM tasks t WHERE t.uuid = {})"
_ORPHANS: dict[str, tuple[str, str]] = {
    "{} of missing tasks removed|run|runs": ("instances", _NO_TASK.format("task_id")),
    "{} of missing tasks removed|dependency|dependencies":
        ("dependencies", f"{_NO_TASK.format('task_id')} OR {_NO_TASK.format('parent_id')}"),
    "{} of missing rules removed|silence|silences":
        ("silences", "sla_id NOT IN (SELECT id FROM slas)"),
}  # fmt: skip
_OPTIONAL_REFERENCES = (("pools", "sla_id", "slas", "id"), ("alerts", "sla_id", "slas", "id"),
("alerts", "task_id", "tasks", "uuid"),
("deliveries", "sla_id", "slas", "id"), ("deliveries", "alert_id", "alerts", "id"),
("deliveries", "task_id", "tasks", "uuid"),
          ("backups", "parent_id", "backups", "id"))  # fmt: skip
"""Optional references: (table, column, referenced table and column)."""


def repair_database(c: Connection, highest: int = 0, home_uuid: str | None = None) -> list[str]:
    """Repair everything that can be derived; return what was done.

    Removes rows of missing tasks and rules. Recreates missing queues, groups, indexes and triggers,
    and a pool and queue if there are none. Recounts counters, the highest number and loads.
    `highest` is a number known to have been used. A lost UUID of the home becomes `home_uuid`, or a
    new one.
    """
    repairs = [
        *_recreate_objects(c),
        *_restore_identity(c, home_uuid),
        *_remove_orphans(c),
        *_clear_references(c),
        *_create_pool(c),
        *_recreate_queues(c),
        *_recreate_groups(c),
        *_recount_counters(c),
        *_raise_number_counter(c, highest),
    ]
    return [
        *repairs,
        *(tr("the figures of {name} recounted", name=name) for name in loads.recount_loads(c)),
    ]


def _get_driver(c: Connection) -> sqlite3.Connection:
    return cast(sqlite3.Connection, c.connection.driver_connection)


def _recreate_objects(c: Connection) -> Iterator[str]:
    """Recreate missing indexes and triggers.

    A unique index is skipped if its rows are no longer unique.
    """
    indexes = {
        str(index.name): index for table in schema.metadata.sorted_tables for index in table.indexes
    }
    for kind, name in _find_missing_objects(_get_driver(c)):
        with suppress(IntegrityError):
            if kind == "index":
                indexes[name].create(c)
            else:
                raw_sql.execute_statement(c, schema.TRIGGERS[name])
            yield tr("{kind} {name} recreated", kind=kind, name=name)


def _restore_identity(c: Connection, uuid: str | None) -> Iterator[str]:
    if home_identity.read(c) is None:
        home_identity.create(c, uuid=uuid)
        yield (
            "the UUID of the home set to that of its last backup"
            if uuid
            else "the home has a new UUID"
        )


def _remove_orphans(c: Connection) -> Iterator[str]:
    for template, (table, condition) in _ORPHANS.items():
        many = raw_sql.fetch_value(c, f"SELECT count(*) FROM {table} WHERE {condition}")
        if many:
            raw_sql.execute_statement(c, f"DELETE FROM {table} WHERE {condition}")
            text, one, more = template.split("|")
            yield text.format(f"{many:,} {one if many == 1 else more}")


def _clear_references(c: Connection) -> Iterator[str]:
    for table, column, parent, key in _OPTIONAL_REFERENCES:
        condition = f"{column} IS NOT NULL AND {column} NOT IN (SELECT {key} FROM {parent})"
        if many := raw_sql.fetch_value(c, f"SELECT count(*) FROM {table} WHERE {condition}"):
            raw_sql.execute_statement(c, f"UPDATE {table} SET {column} = NULL WHERE {condition}")
            yield (
                tr(
                    "{many:,} row of {table} detached from missing {parent}"
                    if many == 1
                    else "{many:,} rows of {table} detached from missing {parent}",
                    many=many,
                    table=table,
                    parent=parent,
                )
            )


_NO_QUEUE = (
    "SELECT queue FROM tasks UNION SELECT queue FROM templates WHERE queue IS NOT NULL EXCEPT"
    " SELECT name FROM queues ORDER BY 1"
)
_POOL = (
    "SELECT name, max(1, CAST(total_cpu AS INTEGER)) AS cores FROM pools ORDER BY name <>"
    " 'default', name LIMIT 1"
)


def _create_pool(c: Connection) -> Iterator[str]:
    if "pool" in defaults.list_missing(c):
        cores, memory = defaults.create_default_pool(c)
        yield (
            tr(
                "pool {name} recreated with the whole machine: {cores} cpu, {memory} MiB",
                name=defaults.DEFAULT_NAME,
                cores=cores,
                memory=memory,
            )
        )


def _recreate_queues(c: Connection) -> Iterator[str]:
    """Recreate missing queues with defaults, paused.

    Their pool and capacity may have been different.
    """
    pools, now = raw_sql.fetch_rows(c, _POOL), timestamps.now()
    wanted = raw_sql.fetch_column(c, _NO_QUEUE) or (
        [defaults.DEFAULT_NAME] if "queue" in defaults.list_missing(c) else []
    )
    for name in wanted if pools else ():
        values = {
            "name": name,
            "pool": pools[0].name,
            "capacity": pools[0].cores,
            "status": "paused",
            "created_at": now,
            "updated_at": now,
        }
        c.execute(schema.queues.insert().values(values))
        open_ = f"taskdeck queue resume {shlex.quote(name)}"
        yield (
            tr(
                "queue {name} recreated in pool {pool}, paused. Check its settings, then run:"
                " {command}",
                name=name,
                pool=pools[0].name,
                command=open_,
            )
        )


def _recreate_groups(c: Connection) -> Iterator[str]:
    """Recreate missing groups of tasks, each with the name of its first task."""
    numbers = raw_sql.fetch_column(
        c,
        "INSERT OR IGNORE INTO groups (number, uuid, name, submitted_by, created_at, updated_at,"
        " first_number) SELECT group_number, min(uuid), name, submitted_by, created_at, updated_at,"
        f" min(number) {_OF_MISSING_GROUPS} GROUP BY group_number RETURNING number",
    )
    for number in numbers:
        yield tr("group g{number} recreated, without a maximum of running tasks", number=number)


def _recount_counters(c: Connection) -> Iterator[str]:
    every = f"{_COUNTED} UNION ALL {_COUNTED_OF_GROUPS}"
    counted, kept = dict(raw_sql.fetch_rows(c, every)), dict(raw_sql.fetch_rows(c, _KEPT))
    now = timestamps.now()
    for name in sorted({*counted, *kept}):
        was, right = kept.get(name, 0), counted.get(name, 0)
        if was != right:
            _set_counter(c, name, right, now)
            yield tr("counter {name} set from {was} to {right}", name=name, was=was, right=right)


def _raise_number_counter(c: Connection, known_highest: int) -> Iterator[str]:
    counter, highest = _read_highest_numbers(_get_driver(c))
    highest = max(highest, known_highest)
    if highest > counter or counter >= task_numbers.MAX_NUMBER:
        _set_counter(c, "task-number", highest, timestamps.now())
        yield tr("the next task will be #{number}", number=highest + 1)


def _set_counter(c: Connection, name: str, value: int, now: str) -> None:
    raw_sql.execute_statement(
        c,
        "INSERT INTO counters (name, value, created_at, updated_at) VALUES (:name, :value, :now,"
        " :now) ON CONFLICT (name) DO UPDATE SET value = :value, updated_at = :now",
        {"name": name, "value": value, "now": now},
    )


# --- runs in the journal and on disk --------------------------------------------------------

RUNS_PER_QUERY = 5000
"""Runs looked up in one query."""
RUN_TABLES = ("instances", "forgotten", "discarded_logs")
"""Tables that know runs. Earlier versions lack some of them."""


def find_unknown_runs(c: sqlite3.Connection, runids: Sequence[str]) -> list[str]:
    """Return the runs that no row knows and whose log is not about to be removed."""
    found: list[str] = []
    tables = [name for name in RUN_TABLES if name in _list_objects(c, "table")]
    knows = " UNION ".join(
        f"SELECT runid FROM {name} WHERE runid IN (SELECT value FROM json_each(?1))"
        for name in tables
    )
    for at in range(0, len(runids), RUNS_PER_QUERY):
        some = runids[at : at + RUNS_PER_QUERY]
        known_highest = {row[0] for row in c.execute(knows, (json.dumps(some),))}
        found += [runid for runid in some if runid not in known_highest]
    return found


def list_running(c: sqlite3.Connection) -> list[str]:
    """Return the runs of this machine that started and have not ended."""
    found = (
        f"SELECT runid FROM instances {_ACTIVE} AND start_time IS NOT NULL AND outer_job IS NULL"
    )
    return [row[0] for row in c.execute(found)]


def discard_logs(c: Connection, runids: Sequence[str]) -> None:
    """Schedule the logs of runs for removal."""
    now = timestamps.now()
    raw_sql.execute_statements(
        c, "INSERT OR IGNORE INTO discarded_logs (runid, created_at, updated_at) VALUES (?, ?, ?)",
        [(runid, now, now) for runid in runids],
    )  # fmt: skip
