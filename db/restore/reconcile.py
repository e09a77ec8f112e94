"""What a restored database must learn of the time since its backup: so no work runs twice, none is forgotten, no number comes again.

All of it is done on the file that was rebuilt, before it takes the place of the present one. The present one is only ever read: attached
as `old` where it is whole, else what can still be read of it is copied to a file of its own first, which is attached instead. Runs that
neither names are known from the keeper's journal and from their logs (`Trace`); whose they were may then be unknown, and every task that
waits may have been one of them, so all of those are held. Such runs are written down too: a backup taken after that knows of them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.pool import StaticPool

from db import raw_sql, timestamps
from db.error_translation import translate_error
from db.errors import DamagedDatabase
from db.maintenance import quarantine, value_checks
from db.queries import operations, transitions
from db.restore import adopt_runs
from db.restore.adopt_runs import ObservedRun
from db.sqlite_files import existing_uri, read_only_uri, remove_database
from db.states import ACTIVE_SQL, ENDED, RUN_ENDED, WAITING, RunStatus, TaskStatus

VERB = "db restore"
"""What it is called in the log of operations."""
BY = "restore"
"""Who held what may have run."""
PASSED_OVER = "passed_over"
"""What the first and the last of the numbers that it passes over are called there."""
SAFETY_MARGIN = 1000
"""Numbers that are passed over when it cannot be known how many were given."""
MAX_LISTED = 100
"""Numbers of lost tasks that are told one by one."""


@dataclass(slots=True)
class ReconcileResult:
    """What was brought over. `tasks`: numbers of those submitted since; `renumbered`: those whose number the backup has given to another,
    with the new one; `runs`: how many began or ended since; `ended`: numbers of tasks that ended since and were restored as ended;
    `cancelled`, `deleted`, `stay_held`, `released`: how many stay as a person wished since; `alive`: runs that go on; `adopted`: numbers
    of the tasks that were made for those of them whose own are lost; `held`: how many are held because they may have run; `unknown`: runs
    of unknown tasks; `lost`: numbers given since whose tasks are gone, `at_most` where it cannot be told which were passed over;
    `unreadable`: numbers of those submitted since that are left out, as they cannot be read; `aside`: how much of what is restored cannot
    be read and was set aside; `passed_over`: the first and the last of the numbers that are passed over now; `whole`: the present database
    could be read to the end; `next`: the next number. What was not brought over: `dropped`, names of what was made since, by kind;
    `undone`, how many changes since that do not hold, by verb; `operations`, how many there were since."""

    tasks: list[int] = field(default_factory=list)
    renumbered: list[tuple[int, int]] = field(default_factory=list)
    cancelled: int = 0
    deleted: int = 0
    stay_held: int = 0
    released: int = 0
    runs: int = 0
    ended: list[int] = field(default_factory=list)
    alive: int = 0
    adopted: list[int] = field(default_factory=list)
    held: int = 0
    unknown: int = 0
    lost: list[int] = field(default_factory=list)
    at_most: bool = False
    unreadable: list[int] = field(default_factory=list)
    aside: int = 0
    passed_over: list[int] = field(default_factory=list)
    dropped: dict[str, list[str]] = field(default_factory=dict)
    undone: dict[str, int] = field(default_factory=dict)
    operations: int = 0
    whole: bool = False
    next: int = 1


def reconcile(
    target: Path, present: Path | None, sound: bool, traces: Callable[[], Sequence[ObservedRun]], highest: int, by: str, what: str,
    idle: bool = False, behind: bool = False, passed: Sequence[tuple[int, int]] = (), latest: bool = True,
) -> ReconcileResult:
    """Bring into `target` what came since from `present` (None: there is none; `sound`: it was checked and is whole), and where that
    does not know all from `traces`; `highest`: the highest number that any backup knows of; `by` restores `what`; `idle`: nobody can
    have given a number that no backup knows of; `behind`: `present` lacks what was written last; `passed`: the first and the last of
    the numbers that each restore is known to have passed over; `latest`: `target` is of the last backup, and no older one. Raises
    sqlite3.Error."""
    if present is not None and sound:
        with _ignore_damage(present), _open_attached(target, present) as c:
            return _record_restore(c, _merge(c, True, traces, highest, idle, behind, passed, latest), by, what)
    saved = target.with_name(f"{target.name}.saved")
    remove_database(saved)  # of a restore that was killed
    try:
        _salvage(present, target, saved)
        with _open_attached(target, saved) as c:
            return _record_restore(c, _merge(c, False, traces, highest, idle, behind, passed, latest), by, what)
    finally:
        remove_database(saved)


@contextmanager
def _ignore_damage(present: Path) -> Iterator[None]:
    """Passes over that a database turned out to be damaged, and over nothing else: a full disk is no damage."""
    try:
        yield
    except raw_sql.DRIVER_ERRORS as error:
        if not isinstance(translate_error(error, present), DamagedDatabase):
            raise


@contextmanager
def _open_attached(target: Path, old: Path) -> Iterator[Connection]:
    """A transaction on `target` with `old` attached, which cannot be written."""

    def connect() -> sqlite3.Connection:
        c = sqlite3.connect(existing_uri(target), uri=True, isolation_level=None, timeout=10)
        c.execute("PRAGMA foreign_keys=OFF")  # what refers to nothing is left out by the statements, and looked for at the end
        c.execute("ATTACH ? AS old", (read_only_uri(old),))
        return c

    engine = create_engine("sqlite://", creator=connect, poolclass=StaticPool)
    event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
    try:
        with engine.connect() as c, c.begin():
            yield c
    except Exception as error:
        cause = getattr(error, "orig", error)
        raise cause if isinstance(cause, sqlite3.Error) else error from None
    finally:
        engine.dispose()


# --- what is left of a damaged database --------------------------------------------------------------------------------------------

_SALVAGED = (
    "pools", "queues", "templates", "slas", "environments", "tasks", "dependencies", "instances", "events", "counters", "operations",
    "forgotten", "replicas", "home",
)  # fmt: skip
REQUIRED_TABLES = frozenset(_SALVAGED)
"""Tables that are read of the present database."""
DESCRIPTIVE_COLUMNS = {
    "tasks": ("name", "submitted_by", "held_by", "reason"),
    "instances": ("logs", "reason", "stopped_by"),
    "events": ("by", "note"),
    "templates": ("description",), "queues": ("description",), "pools": ("description",),
}  # fmt: skip
"""What only tells people something: where a byte of it is damaged the rest of the row is as good as ever. All else decides what is run, and
when."""
MAX_READS = 20_000
"""Reads that are tried in one damaged table."""


def _salvage(present: Path | None, shape: Path, saved: Path) -> None:
    """Copy every row of `present` that can be read to `saved`, whose tables have the columns of `shape` and no constraints."""
    with closing(sqlite3.connect(saved, isolation_level=None)) as to:
        to.execute("PRAGMA journal_mode=OFF")
        columns = {}
        with closing(sqlite3.connect(read_only_uri(shape), uri=True)) as like:
            for table in _SALVAGED:
                columns[table] = [row[1] for row in like.execute(f"PRAGMA table_info({table})")]
                to.execute(f"CREATE TABLE {table} ({', '.join(map(_quote, columns[table]))})")
        c = None if present is None else _open_damaged(present)
        if c is None:
            return
        with closing(c):
            for table in _SALVAGED:
                _save_table(c, to, table, columns[table])


def _open_damaged(present: Path) -> sqlite3.Connection | None:
    """A connection to what is left of a database; None where there is none to be had."""
    c = None
    with suppress(*raw_sql.DRIVER_ERRORS):
        c = sqlite3.connect(read_only_uri(present), uri=True, timeout=10, isolation_level=None)
        c.text_factory = _decode_text
        c.execute("PRAGMA writable_schema=ON")  # with it a table whose definition is damaged does not hide the others
        c.execute("BEGIN")  # one lock for all the thousands of reads
    return c


class _InvalidText(bytes):
    """What is stored as text and is no UTF-8."""


def _decode_text(stored: bytes) -> str | _InvalidText:
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return _InvalidText(stored)


def _clean_row(row: Sequence[Any], telling: Sequence[bool]) -> list[Any] | None:
    """The row, with U+FFFD for what is no text in a column that only tells; None where another has any."""
    if any(isinstance(value, _InvalidText) and not tells for value, tells in zip(row, telling, strict=True)):
        return None
    return [value.decode("utf-8", "replace") if isinstance(value, _InvalidText) else value for value in row]


def _save_table(c: sqlite3.Connection, to: sqlite3.Connection, table: str, wanted: list[str]) -> None:
    """Only what is read may be damaged: what cannot be written is told by sqlite3.Error."""
    columns, found = _find_readable_columns(c, table, wanted)
    if not found:
        return
    names = ", ".join(map(_quote, found))
    left = f"SELECT {columns} FROM {table} NOT INDEXED WHERE rowid BETWEEN ? AND ? ORDER BY rowid"
    insert = f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(found))})"
    telling = [name in DESCRIPTIVE_COLUMNS.get(table, ()) for name in found]
    to.execute("BEGIN")
    for rows in _read_pieces(c, f"WITH found ({names}) AS ({left}) SELECT * FROM found", _find_last_rowid(c, table)):
        to.executemany(insert, [row for row in (_clean_row(row, telling) for row in rows) if row])
    to.execute("COMMIT")


def _find_readable_columns(c: sqlite3.Connection, table: str, wanted: list[str]) -> tuple[str, list[str]]:
    """What to select, and which of the wanted columns that is: all, by their places, where there are as many and a name is damaged.

    Of a damaged schema SQLite tells the first time, and knows the rest from then on."""
    there: list[bytes] = []
    for _ in range(2):
        with suppress(*raw_sql.DRIVER_ERRORS):
            there = [name for (name,) in c.execute("SELECT CAST(name AS BLOB) FROM pragma_table_info(?)", (table,))]
    found = [name for name in wanted if name.encode() in there]
    if len(found) < len(wanted) == len(there):
        return "*", wanted
    return ", ".join(map(_quote, found)), found


def _find_last_rowid(c: sqlite3.Connection, table: str) -> int:
    """The last row, or as far as it is worth looking."""
    try:
        return min(c.execute(f"SELECT max(rowid) FROM {table}").fetchone()[0] or 0, MAX_READS * 4096)
    except raw_sql.DRIVER_ERRORS:
        return 1 << 24


def _read_pieces(c: sqlite3.Connection, query: str, last: int) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of a table in pieces; a piece that cannot be read is halved until what is left of it is one row."""
    left, tries = [(at, min(at + 4095, last)) for at in range(0, last + 1, 4096)][::-1], 0
    while left and tries < MAX_READS:
        low, high = left.pop()
        tries += 1
        try:
            yield c.execute(query, (low, high)).fetchall()
        except (*raw_sql.DRIVER_ERRORS, OverflowError):
            if low < high:
                half = (low + high) // 2
                left += [(half + 1, high), (low, half)]


def _quote(name: str) -> str:
    return f'"{name}"'


# --- bringing it over --------------------------------------------------------------------------------------------------------------


def _quote_words(words: Any) -> str:
    return ", ".join(sorted(f"'{word}'" for word in words))


_CREATE_NEWS = f"""
CREATE TEMP TABLE news AS SELECT o.runid, o.task_id, o.status, o.end_time FROM old.instances o
LEFT JOIN main.instances r ON r.runid = o.runid
WHERE o.status IN ({_quote_words(RunStatus)}) AND (r.runid IS NULL OR (r.status NOT IN ({_quote_words(RUN_ENDED)}) AND r.updated_at <> o.updated_at
  OR r.status NOT IN ({_quote_words(RUN_ENDED)}) AND r.status <> o.status))
"""
_CREATE_FRESH = f"""
CREATE TEMP TABLE fresh AS SELECT o.uuid, o.number, o.number AS was FROM old.tasks o
WHERE o.status IN ({_quote_words(TaskStatus)}) AND typeof(o.number) = 'integer' AND o.deleted_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM main.tasks r WHERE r.uuid = o.uuid)
  AND NOT (o.number IN (SELECT number FROM main.tasks WHERE status NOT IN ({_quote_words(ENDED)}))
    AND o.uuid IN (SELECT runid FROM old.instances))
"""
"""But for one that was made for a run whose own task the backup has, and that may start: there that run is of that."""
_STATE_COLUMNS = (
    "status", "attempts", "failures", "started_at", "ended_at", "retry_at", "reason", "front", "hold", "held_by", "not_before",
    "updated_at",
)  # fmt: skip


def _merge(
    c: Connection, whole: bool, traces: Callable[[], Sequence[ObservedRun]], highest: int, idle: bool, behind: bool,
    passed: Sequence[tuple[int, int]], latest: bool,
) -> ReconcileResult:  # fmt: skip
    done = ReconcileResult(whole=whole)
    before = raw_sql.fetch_value(c, "SELECT coalesce((SELECT value FROM main.counters WHERE name = 'task-number'), 0)")
    open_then = json.dumps(raw_sql.fetch_column(c, f"SELECT uuid FROM main.tasks WHERE status NOT IN ({_quote_words(ENDED)})"))
    made_then = _list_definitions(c, "main")
    judged = {*raw_sql.fetch_column(c, "SELECT runid FROM main.forgotten WHERE task_id = ''")}
    _merge_recorded_runs(c)
    _end_deleted_tasks(c)
    follows = whole and not _is_unrelated(c, before)
    _merge_replica(c, follows)
    _keep_home(c)
    tells_all = follows and not _was_restored_since(c)
    shown: Sequence[ObservedRun] = () if tells_all else traces()
    given = _find_used_numbers(c, before, highest, shown, follows if whole else False if behind else True if idle else None)
    if whole:
        raw_sql.execute_statement(c, f"{_CREATE_WISHES} AND {_DIFFERS if tells_all and _has_last_operation(c) else _LATER}")
    _merge_tasks(c, done, given.last)
    _merge_runs(c, done)
    cancelled = _merge_decisions(c, done) if whole else set()
    sure = follows or idle and latest and not whole
    held = [] if tells_all else _merge_observed_runs(c, shown, done, judged, given.last, behind, sure)
    if not sure:
        held += _hold_waiting(c, _UNSEEN)
    _set_next_number(c, done, before, given, passed)
    over = raw_sql.fetch_rows(
        c,
        f"SELECT uuid, number FROM main.tasks WHERE uuid IN (SELECT value FROM json_each(?)) AND +status IN ({_quote_words(ENDED)})",
        (open_then,),
    )
    transitions.propagate_to_children(c, [row.uuid for row in over])
    transitions.recount_loads(c)
    stay = f"SELECT count(*) FROM main.tasks WHERE uuid IN (SELECT value FROM json_each(?)) AND +status IN ({_quote_words(WAITING)})"
    done.held = raw_sql.fetch_value(c, stay, (json.dumps(held),))
    done.ended = sorted(row.number for row in over if row.uuid not in cancelled)
    done.aside = len(quarantine.quarantine_rows(c))
    done.alive = raw_sql.fetch_value(c, f"SELECT count(*) FROM main.instances WHERE status IN {ACTIVE_SQL}")
    _report_missing(c, done, made_then)
    return done


def _record_restore(c: Connection, done: ReconcileResult, by: str, what: str) -> ReconcileResult:
    """The restore is one of the operations; no id of those that it takes away comes again."""
    figures: dict[str, Any] = {"tasks": len(done.tasks), "runs": done.runs, "ended": len(done.ended), "lost": len(done.lost)}
    figures["held"] = done.held
    if done.adopted:
        figures["adopted"] = done.adopted
    if done.passed_over:
        figures[PASSED_OVER] = done.passed_over
    last = raw_sql.fetch_value(c, "SELECT max(id) FROM old.operations WHERE typeof(id) = 'integer'") or 0
    operations.record_above(c, by, VERB, what, figures, last)
    return done


def _find_common_columns(c: Connection, table: str) -> str:
    """The columns that both have; of different versions they may differ."""
    ours, theirs = (raw_sql.fetch_column(c, f"SELECT name FROM pragma_table_info(?, '{schema}')", (table,)) for schema in ("main", "old"))
    return ", ".join(_quote(name) for name in ours if name in theirs)


def _copy_rows(c: Connection, table: str, which: str, instead: tuple[str, str] = ("", "")) -> None:
    """Rows of a table that are not there; `instead`: a column, as it is quoted, and what it is to be."""
    names = _find_common_columns(c, table)
    values = names.replace(*instead) if instead[0] else names
    raw_sql.execute_statement(c, f"INSERT OR IGNORE INTO main.{table} ({names}) SELECT {values} FROM old.{table} AS o WHERE {which}")


def _renumber_conflicts(c: Connection, last: int) -> None:
    """Tasks whose number another has in the backup get one above `last`: a database that was made anew has counted from 1 again."""
    taken = "SELECT DISTINCT uuid, number FROM temp.fresh WHERE number IN (SELECT number FROM main.tasks) ORDER BY number, uuid"
    rows = [(last + at, row.number, row.uuid) for at, row in enumerate(raw_sql.fetch_rows(c, taken), 1)]
    raw_sql.execute_statements(c, "UPDATE temp.fresh SET number = ?, was = ? WHERE uuid = ?", rows)


def _merge_tasks(c: Connection, done: ReconcileResult, last: int) -> None:
    """Tasks submitted since, with what they refer to; `last` is the highest number that was ever given."""
    raw_sql.execute_statement(c, _CREATE_FRESH)
    _skip_unreadable(c, done)
    _renumber_conflicts(c, last)
    for table, key, name in (("queues", "queue", "name"), ("templates", "template", "name"), ("environments", "env_id", "sha256")):
        wanted = f"SELECT t.{key} FROM old.tasks t JOIN temp.fresh f ON f.uuid = t.uuid"
        if table == "queues":
            _copy_rows(c, "pools", f"name IN (SELECT q.pool FROM old.queues q WHERE q.name IN ({wanted}))")
            raw_sql.execute_statement(c, "UPDATE main.pools SET sla_id = NULL WHERE sla_id NOT IN (SELECT id FROM main.slas)")
        _copy_rows(c, table, f"{name} IN ({wanted})")
    _copy_rows(
        c, "tasks",
        "uuid IN (SELECT uuid FROM temp.fresh) AND EXISTS (SELECT 1 FROM main.queues q WHERE q.name = o.queue) "
        "AND (o.template IS NULL OR EXISTS (SELECT 1 FROM main.templates m WHERE m.name = o.template))",
        ('"number"', "(SELECT f.number FROM temp.fresh f WHERE f.uuid = o.uuid)"),
    )  # fmt: skip
    _copy_rows(
        c, "dependencies",
        "task_id IN (SELECT uuid FROM temp.fresh) AND EXISTS (SELECT 1 FROM main.tasks t WHERE t.uuid = o.task_id) "
        "AND EXISTS (SELECT 1 FROM main.tasks t WHERE t.uuid = o.parent_id)",
    )  # fmt: skip
    brought = raw_sql.fetch_rows(c, "SELECT DISTINCT f.was, t.number FROM main.tasks t JOIN temp.fresh f ON f.uuid = t.uuid ORDER BY t.number")
    done.tasks = [row.number for row in brought]
    done.renumbered = [(row.was, row.number) for row in brought if row.was != row.number]


_NEW_WAITING = f"uuid IN (SELECT uuid FROM temp.fresh) AND status IN ({_quote_words(WAITING)})"
_NEW_ENVIRONMENTS = f"sha256 IN (SELECT env_id FROM old.tasks WHERE {_NEW_WAITING}) AND sha256 NOT IN (SELECT sha256 FROM main.environments)"


def _skip_unreadable(c: Connection, done: ReconcileResult) -> None:
    """Tasks that have not begun and cannot be read, or their environment, stay where they are: nobody could run them."""
    odd = list(value_checks.find_unreadable(partial(raw_sql.fetch_rows, c), {"tasks": _NEW_WAITING, "environments": _NEW_ENVIRONMENTS}, of="old"))
    rows, environments = (json.dumps([row.row for row in odd if row.table == table]) for table in ("tasks", "environments"))
    found = (
        f"SELECT uuid, number FROM old.tasks WHERE {_NEW_WAITING} AND (rowid IN (SELECT value FROM json_each(?)) OR env_id IN "
        "(SELECT sha256 FROM old.environments WHERE rowid IN (SELECT value FROM json_each(?)))) ORDER BY number"
    )
    left = raw_sql.fetch_rows(c, found, (rows, environments)) if odd else []
    raw_sql.execute_statements(c, "DELETE FROM temp.fresh WHERE uuid = ?", [(row.uuid,) for row in left])
    done.unreadable = [row.number for row in left]


def _merge_runs(c: Connection, done: ReconcileResult) -> None:
    """Runs that began or ended since, and their tasks to where these brought them; those that are over for good into the ledger."""
    raw_sql.execute_statement(c, _CREATE_NEWS)
    raw_sql.execute_statement(c, "DELETE FROM temp.news WHERE NOT EXISTS (SELECT 1 FROM main.tasks t WHERE t.uuid = task_id)")
    raw_sql.execute_statement(c, "DELETE FROM main.instances WHERE runid IN (SELECT runid FROM temp.news)")
    _copy_rows(c, "instances", "runid IN (SELECT runid FROM temp.news)")
    sets = ", ".join(f"{name} = o.{name}" for name in _STATE_COLUMNS)
    raw_sql.execute_statement(
        c,
        f"UPDATE OR IGNORE main.tasks SET {sets} FROM old.tasks o WHERE o.uuid = main.tasks.uuid "
        "AND o.uuid IN (SELECT task_id FROM temp.news) AND o.uuid NOT IN (SELECT uuid FROM temp.fresh)",
    )
    _update_tasks_from_runs(c)
    now = timestamps.now()
    raw_sql.execute_statement(
        c,
        "INSERT OR IGNORE INTO main.forgotten (runid, task_id, number, status, ended_at, created_at, updated_at) "
        "SELECT n.runid, n.task_id, t.number, n.status, n.end_time, :now, :now FROM temp.news n JOIN main.tasks t ON t.uuid = n.task_id "
        f"WHERE t.status IN ({_quote_words(ENDED)}) AND t.uuid NOT IN (SELECT uuid FROM temp.fresh)",
        {"now": now},
    )
    names = [_quote(name) for name in ("task_id", "runid", "status", "by", "note", "created_at", "updated_at")]
    raw_sql.execute_statement(
        c,
        f"INSERT OR IGNORE INTO main.events ({', '.join(names)}) SELECT {', '.join(f'o.{name}' for name in names)} "
        "FROM old.events o WHERE (o.task_id IN (SELECT uuid FROM temp.fresh) OR o.task_id IN (SELECT task_id FROM temp.news)) "
        "AND NOT EXISTS (SELECT 1 FROM main.events r WHERE r.task_id = o.task_id AND r.status = o.status AND r.created_at = o.created_at)",
    )
    _release_readable(c)
    done.runs = raw_sql.fetch_value(c, "SELECT count(*) FROM temp.news")


def _update_tasks_from_runs(c: Connection) -> None:
    """A run could be read and its task's row could not: the task is where that run brought it."""
    rows = raw_sql.fetch_rows(
        c,
        "SELECT t.uuid, n.status, n.end_time FROM temp.news n JOIN main.tasks t ON t.uuid = n.task_id "
        f"WHERE t.status IN ({_quote_words(WAITING)}) AND NOT EXISTS (SELECT 1 FROM old.tasks o WHERE o.uuid = n.task_id) ORDER BY n.runid",
    )
    for row in rows:
        active = row.status not in RUN_ENDED
        raw_sql.execute_statement(
            c,
            "UPDATE main.tasks SET status = ?, ended_at = ?, retry_at = NULL, attempts = attempts + 1 WHERE uuid = ?",
            ("running" if active else row.status, None if active else row.end_time or timestamps.now(), row.uuid),
        )


def _merge_recorded_runs(c: Connection) -> None:
    """What an earlier restore has written down stays."""
    _copy_rows(c, "forgotten", f"typeof(runid) = 'text' AND status IN ({_quote_words(RunStatus)})")


def _merge_replica(c: Connection, follows: bool) -> None:
    """Where the database is copied to stays as it was chosen last, or that it is to be copied nowhere where the present one `follows`."""
    chosen = "typeof(o.target) = 'text' AND typeof(o.origin) = 'text'"
    if follows or raw_sql.fetch_value(c, f"SELECT 1 FROM old.replicas o WHERE {chosen}"):
        raw_sql.execute_statement(c, "DELETE FROM main.replicas")
        _copy_rows(c, "replicas", chosen)


def _keep_home(c: Connection) -> None:
    """Keep the UUID of the present database, also where the backup is of another home."""
    known = "typeof(o.uuid) = 'text'"
    if raw_sql.fetch_value(c, f"SELECT 1 FROM old.home o WHERE {known}"):
        raw_sql.execute_statement(c, "DELETE FROM main.home")
        _copy_rows(c, "home", known)


def _was_restored_since(c: Connection) -> bool:
    """Whether the present database was itself restored after the backup was taken: what it does not have may be what that one lost.

    Told by the operations alone, of which none is ever brought over: the backup knows of every restore before it.
    """
    found = (
        "SELECT 1 FROM old.operations o WHERE o.verb = ? "
        "AND NOT EXISTS (SELECT 1 FROM main.operations m WHERE m.verb = o.verb AND m.created_at = o.created_at)"
    )
    return raw_sql.fetch_value(c, found, (VERB,)) is not None


def _has_last_operation(c: Connection) -> bool:
    """Whether the present database has the last operation of the backup: then what is otherwise there came later, whatever the clock
    said."""
    last = "SELECT id, created_at FROM main.operations ORDER BY id DESC LIMIT 1"
    found = f"SELECT 1 FROM ({last}) m WHERE NOT EXISTS (SELECT 1 FROM old.operations o WHERE o.id = m.id AND o.created_at = m.created_at)"
    return raw_sql.fetch_value(c, found) is None


_FROM_DELETED = f"""
FROM main.tasks t WHERE t.status NOT IN ({_quote_words(ENDED)}) AND NOT EXISTS (SELECT 1 FROM old.tasks o WHERE o.uuid = t.uuid)
"""
_RECORDED_STATUS = "(SELECT f.status FROM main.forgotten f WHERE f.task_id = t.uuid ORDER BY f.runid DESC LIMIT 1)"


def _end_deleted_tasks(c: Connection) -> None:
    """Tasks that the present database has no longer, and of which the ledger says that they ended."""
    for status in sorted(ENDED):
        gone = raw_sql.fetch_column(c, f"SELECT t.uuid {_FROM_DELETED} AND {_RECORDED_STATUS} = ?", (status,))
        _end_tasks(c, gone, "ended after the backup and was cleaned up since", status)


def _is_unrelated(c: Connection, before: int) -> bool:
    """Whether the present database may be none that the backup became: it lacks a task and no ledger says why, or has counted less."""
    counted = raw_sql.fetch_value(c, "SELECT value FROM old.counters WHERE name = 'task-number' AND typeof(value) = 'integer'") or 0
    return counted < before or raw_sql.fetch_value(c, f"SELECT 1 {_FROM_DELETED} LIMIT 1") is not None


# --- what people wished since ------------------------------------------------------------------------------------------------------

_QUARANTINED = f"coalesce(substr(o.held_by, 1, {len(quarantine.HELD_BY)}), '') = '{quarantine.HELD_BY}'"
_CREATE_WISHES = f"""
CREATE TEMP TABLE wishes AS SELECT o.uuid, r.status IN ({_quote_words(WAITING)}) AND o.status <> 'running' AS waited, r.hold AS held
FROM old.tasks o JOIN main.tasks r ON r.uuid = o.uuid WHERE NOT (o.status IN ({_quote_words(WAITING)}) AND {_QUARANTINED})
"""
"""What was set aside waits as the backup has it: that it is held, and what took the place of its values, was nobody's wish."""
_DIFFERS = "o.updated_at <> r.updated_at"
_LATER = f"""
(o.updated_at > r.updated_at OR {_DIFFERS} AND EXISTS (SELECT 1 FROM old.events e WHERE e.task_id = o.uuid AND e.runid IS NULL
  AND NOT EXISTS (SELECT 1 FROM main.events m WHERE m.task_id = e.task_id AND m.status = e.status AND m.created_at = e.created_at)))
"""
"""Of a database that may have been restored from an older backup: where the clock was set back, what a task has been through tells."""
_WITHOUT_RUN = "w.waited AND w.uuid NOT IN (SELECT task_id FROM temp.news)"
"""Of a task with a run since, all of its state came with that. One that had ended and was asked to run again stays as it ended."""
_FROM_WISHES = "FROM main.tasks t JOIN temp.wishes w ON w.uuid = t.uuid WHERE"


def _merge_decisions(c: Connection, done: ReconcileResult) -> set[str]:
    """What was cancelled, held, released or deleted since stays so; the tasks that stay cancelled."""
    _take_columns(c, ("deleted_at", "updated_at"), "1")
    _take_columns(c, _STATE_COLUMNS, _WITHOUT_RUN)
    raw_sql.execute_statement(
        c,
        "INSERT INTO main.events (task_id, status, by, note, created_at, updated_at) "
        "SELECT o.task_id, o.status, o.by, o.note, o.created_at, o.updated_at FROM old.events o JOIN temp.wishes w ON w.uuid = o.task_id "
        f"WHERE {_WITHOUT_RUN} AND o.runid IS NULL AND NOT EXISTS (SELECT 1 FROM main.events r WHERE r.task_id = o.task_id "
        "AND r.status = o.status AND r.created_at = o.created_at) ORDER BY o.id",
    )
    transitions.recompute_waiting_state(c, raw_sql.fetch_column(c, f"SELECT t.uuid {_FROM_WISHES} {_WITHOUT_RUN}"), BY)
    _restore_holds(c)
    done.stay_held = raw_sql.fetch_value(c, f"SELECT count(*) {_FROM_WISHES} {_WITHOUT_RUN} AND t.status = 'held' AND NOT w.held")
    done.released = raw_sql.fetch_value(c, f"SELECT count(*) {_FROM_WISHES} {_WITHOUT_RUN} AND t.status IN ({_quote_words(WAITING)}) AND NOT t.hold AND w.held")
    done.deleted = raw_sql.fetch_value(c, f"SELECT count(*) {_FROM_WISHES} t.deleted_at IS NOT NULL")
    cancelled = set(raw_sql.fetch_column(c, f"SELECT t.uuid {_FROM_WISHES} {_WITHOUT_RUN} AND t.status = 'cancelled' AND t.deleted_at IS NULL"))
    done.cancelled = len(cancelled)
    return cancelled


def _restore_holds(c: Connection) -> None:
    """What a person had held when it was set aside is held by that one again."""
    last = "SELECT e.by FROM old.events e WHERE e.task_id = o.uuid AND e.status = 'held' ORDER BY e.id DESC LIMIT 1"
    found = (
        f"SELECT o.uuid, ({last}) AS by FROM old.tasks o JOIN main.tasks t ON t.uuid = o.uuid "
        f"WHERE o.status = 'held' AND {_QUARANTINED} AND t.status IN ({_quote_words(WAITING)}) AND NOT t.hold"
    )
    for row in raw_sql.fetch_rows(c, found):
        if row.by is not None and not row.by.startswith(quarantine.HELD_BY):
            transitions.hold(c, [row.uuid], True, row.by)


def _release_readable(c: Connection) -> None:
    """What was set aside between two attempts, and can be read in the backup, is tried again."""
    found = (
        "SELECT o.uuid FROM main.tasks o LEFT JOIN main.environments e ON e.sha256 = o.env_id "
        "WHERE o.uuid IN (SELECT task_id FROM temp.news) AND o.uuid NOT IN (SELECT uuid FROM temp.fresh) "
        f"AND o.status NOT IN ({_quote_words(ENDED)}) AND {_QUARANTINED} AND e.variables IS NOT '{value_checks.NO_ENVIRONMENT}' "
        f"AND CASE WHEN json_valid(o.launch) THEN json_type(o.launch, '$.{quarantine.UNREADABLE}') IS NULL END"
    )
    transitions.hold(c, raw_sql.fetch_column(c, found), False, BY)


def _take_columns(c: Connection, columns: Sequence[str], which: str) -> None:
    """Columns as the present database has them, of those tasks `w` for which that holds."""
    sets = ", ".join(f"{name} = o.{name}" for name in columns)
    chosen = f"SELECT w.uuid FROM temp.wishes w WHERE {which}"
    raw_sql.execute_statement(c, f"UPDATE main.tasks SET {sets} FROM old.tasks o WHERE o.uuid = main.tasks.uuid AND o.uuid IN ({chosen})")


def _end_tasks(c: Connection, uuids: Sequence[str], reason: str, status: str = "lost", at: str | None = None) -> None:
    """These tasks ended, and so did their runs; `at` that time, if it is known."""
    now, given = timestamps.now(), json.dumps(list(uuids))
    raw_sql.execute_statement(
        c,
        "UPDATE main.instances SET status = :status, end_time = :at, reason = :reason, updated_at = :now "
        f"WHERE task_id IN (SELECT value FROM json_each(:uuids)) AND +status IN {ACTIVE_SQL}",
        {"now": now, "at": at or now, "reason": reason, "uuids": given, "status": status},
    )
    raw_sql.execute_statement(
        c,
        "UPDATE main.tasks SET status = :status, ended_at = :at, retry_at = NULL, reason = :reason, updated_at = :now "
        "WHERE uuid IN (SELECT value FROM json_each(:uuids))",
        {"now": now, "at": at or now, "reason": reason, "uuids": given, "status": status},
    )
    raw_sql.execute_statement(  # without it an alert of such a task would never be over
        c,
        "INSERT INTO main.events (task_id, status, by, note, created_at, updated_at) "
        "SELECT value, :status, :by, :reason, :now, :now FROM json_each(:uuids)",
        {"now": now, "reason": reason, "uuids": given, "status": status, "by": BY},
    )


# --- runs that only the keeper and their logs know ---------------------------------------------------------------------------------


def _merge_observed_runs(
    c: Connection, traces: Sequence[ObservedRun], done: ReconcileResult, judged: set[str], last: int, behind: bool, sure: bool
) -> list[str]:
    """Runs that no row tells of; the tasks that are held for them. With the present database whole there are none. `judged`: those of
    unknown tasks that the backup knows of; of the others that are in the ledger the present database knows, and has held its own tasks
    for them. `last`: the highest number that may have been given; `behind`: what the present one shows to wait may have run since; `sure`:
    nothing else has."""
    given, seen = json.dumps([trace.runid for trace in traces]), {trace.runid: trace for trace in traces}
    tried = _end_unreported_runs(c, seen)
    known: set[str] = set()
    for table in ("instances", "forgotten", "discarded_logs"):
        known |= {*raw_sql.fetch_column(c, f"SELECT runid FROM main.{table} WHERE runid IN (SELECT value FROM json_each(?))", (given,))}
    unknown = [trace.runid for trace in traces if trace.runid not in known and not _attach_run(c, trace, done, last)]
    earlier = {*raw_sql.fetch_column(c, "SELECT runid FROM main.forgotten WHERE task_id = ''")} - judged
    held: list[str] = []
    if unknown:
        held = _hold_waiting(c, released="" if behind else _UNSEEN)
    elif earlier:
        held = _hold_waiting(c, "AND uuid NOT IN (SELECT uuid FROM old.tasks)" if done.whole else "")
    done.unknown = len(unknown) + (len(earlier) if held else 0)
    held += _hold_waiting(c, "AND uuid IN (SELECT value FROM json_each(:given))", tried)
    if unknown or not sure:
        transitions.hold(c, _find_possible_retries(c, seen), True, BY)
    _record_unknown_runs(c, unknown)
    return held


def _find_possible_retries(c: Connection, seen: dict[str, ObservedRun]) -> list[str]:
    """Tasks whose run has ended, as the keeper is still to tell, with attempts left and none of them seen: it may have told that before,
    so that any of those may have been made since."""
    rows = raw_sql.fetch_rows(c, f"SELECT r.runid, r.task_id FROM main.instances r WHERE r.status IN {ACTIVE_SQL}")
    shown = [(row.task_id, seen[row.runid]) for row in rows if row.runid in seen]
    go_on = {task_id for task_id, trace in shown if trace.is_active}
    over = {task_id for task_id, trace in shown if trace.told and trace.can_be_retried} - go_on
    return [uuid for uuid in sorted(over) if _has_attempts(c, uuid)]


def _end_unreported_runs(c: Connection, seen: dict[str, ObservedRun]) -> list[str]:
    """Active runs that the present database does not name, and the keeper will not tell of, have ended; where nobody can tell how, they
    are lost, and not tried again. Of one that it names the keeper was told to forget the end once that was stored: it lacks that. Which
    tasks have attempts left: any of those may have been made since."""
    active = (
        "SELECT r.runid, r.task_id, r.stop_reason, EXISTS (SELECT 1 FROM old.instances o WHERE o.runid = r.runid) AS named "
        f"FROM main.instances r WHERE r.status IN {ACTIVE_SQL}"
    )
    tried = []
    for row in raw_sql.fetch_rows(c, active):
        trace = seen.get(row.runid, ObservedRun(row.runid))
        if trace.told or not (trace.ended or not row.named):
            continue
        if trace.can_be_retried and row.stop_reason in {None, trace.stop} and _has_attempts(c, row.task_id):
            _record_failure(c, trace)
            tried.append(row.task_id)
        else:
            _end_run(c, row.task_id, trace)
    return tried


def _has_attempts(c: Connection, task_id: str) -> bool:
    return raw_sql.fetch_value(c, "SELECT failures < retries FROM main.tasks WHERE uuid = ?", (task_id,)) == 1


def _record_failure(c: Connection, trace: ObservedRun) -> None:
    """A run failed, and its task waits for another attempt."""

    def judge(run: transitions.RunFacts, end: dict[str, Any]) -> transitions.RunVerdict:
        return transitions.RunVerdict(RunStatus(trace.status), _END_REASON, run.retry_delay)

    at = timestamps.to_unix(timestamps.now()) if trace.end is None else trace.end
    transitions.record_ends(c, [{"run": trace.runid, "code": trace.code, "at": at}], judge)


_END_REASON = "ended after the backup"


def _end_run(c: Connection, task_id: str, trace: ObservedRun) -> None:
    """A task's run ended, and the task with it, however many attempts it had left."""
    reason = _END_REASON if trace.ended else f"{_END_REASON}; how cannot be known"
    at = timestamps.now() if trace.end is None else timestamps.from_unix(trace.end)
    _end_tasks(c, [task_id], reason, trace.status, at)
    _record_run(c, trace.runid, task_id, trace.status, at)


def _attach_run(c: Connection, trace: ObservedRun, done: ReconcileResult, last: int) -> bool:
    """Give a run to its task, or to one of its own where it goes on and that is lost; whether its task is known."""
    if trace.is_active:
        number = adopt_runs.adopt_run(c, trace, BY, lambda: max([last, *done.adopted, *(new for _, new in done.renumbered)]) + 1)
        done.adopted += [] if number is None else [number]
    elif trace.number is not None:
        for uuid in raw_sql.fetch_column(c, f"SELECT uuid FROM main.tasks WHERE number = ? AND +status NOT IN ({_quote_words(ENDED)})", (trace.number,)):
            _end_run(c, uuid, trace)
    return trace.number is not None


def _record_run(c: Connection, runid: str, task_id: str, status: str, ended_at: str) -> None:
    now = timestamps.now()
    raw_sql.execute_statement(
        c,
        "INSERT OR IGNORE INTO main.forgotten (runid, task_id, number, status, ended_at, created_at, updated_at) "
        "SELECT ?, uuid, number, ?, ?, ?, ? FROM main.tasks WHERE uuid = ?",
        (runid, status, ended_at, now, now, task_id),
    )


def _record_unknown_runs(c: Connection, runids: Sequence[str]) -> None:
    """Runs of nobody knows which task: what they may mean is judged once."""
    now = timestamps.now()
    raw_sql.execute_statements(
        c, "INSERT INTO main.forgotten (runid, task_id, status, ended_at, created_at, updated_at) VALUES (?, '', 'lost', ?, ?, ?)",
        [(runid, now, now, now) for runid in runids],
    )  # fmt: skip


_UNSEEN = f"AND NOT EXISTS (SELECT 1 FROM old.tasks o WHERE o.uuid = main.tasks.uuid AND o.status IN ({_quote_words(WAITING)}))"
"""What the present database does not show waiting: it may have run, and its log and its row may have been cleaned up since."""


def _hold_waiting(c: Connection, which: str = "", given: Sequence[str] = (), released: str = _UNSEEN) -> list[str]:
    """Hold every task that may start, or those of `which` that holds: one of them may have run already. What a person holds is held for
    this as well where it may have been `released` and run. Which these are."""
    held = f"held_by IS NOT '{BY}' AND coalesce(substr(held_by, 1, {len(quarantine.HELD_BY)}), '') <> '{quarantine.HELD_BY}' {released}"
    found = f"SELECT uuid FROM main.tasks WHERE status IN ({_quote_words(WAITING)}) AND deleted_at IS NULL AND (hold = 0 OR {held}) {which}"
    waiting = raw_sql.fetch_column(c, found, {"given": json.dumps(list(given))})
    transitions.hold(c, waiting, True, BY)
    return waiting


# --- what is not brought over ------------------------------------------------------------------------------------------------------

_DEFINITION_TABLES = {"queue": "queues", "pool": "pools", "template": "templates", "sla": "slas"}
"""Tables of what people define, by what the operations call one."""
_USER_COLUMNS = (
    "name", "priority", "queue", "cpu", "memory", "timeout", "retries", "retry_delay", "grace", "tags", "parameters", "launch", "log_limit",
    "pinned", "hold", "front", "not_before", "deleted_at",
)  # fmt: skip
"""What people ask for of a task."""
_FROM_LATER_OPERATIONS = """
FROM old.operations o WHERE typeof(o.verb) = 'text' AND typeof(o.object) = 'text'
AND NOT EXISTS (SELECT 1 FROM main.operations m WHERE m.id = o.id AND m.verb = o.verb AND m.created_at = o.created_at)
"""


def _list_definitions(c: Connection, schema: str) -> dict[str, set[str]]:
    """The names of what is defined, by kind."""
    return {kind: {*raw_sql.fetch_column(c, f"SELECT name FROM {schema}.{table}")} for kind, table in _DEFINITION_TABLES.items()}


def _report_missing(c: Connection, done: ReconcileResult, made_then: dict[str, set[str]]) -> None:
    """What the present database has and the restored one has not. `made_then`: what was defined when the backup was taken."""
    here, there = _list_definitions(c, "main"), _list_definitions(c, "old")
    dropped = {kind: sorted(name for name in there[kind] - here[kind] if isinstance(name, str)) for kind in _DEFINITION_TABLES}
    done.dropped = {kind: names for kind, names in dropped.items() if names}
    done.operations = raw_sql.fetch_value(c, f"SELECT count(*) {_FROM_LATER_OPERATIONS}")
    told = {f"{kind} {name}" for kind in _DEFINITION_TABLES for name in {*dropped[kind], *here[kind] - made_then[kind]}}
    differs = " OR ".join(f"o.{name} IS NOT t.{name}" for name in _USER_COLUMNS)
    again = f"o.status IN ({_quote_words(WAITING)}) AND t.status IN ({_quote_words(ENDED)})"  # it was asked to run again
    changed = raw_sql.fetch_column(c, f"SELECT o.number FROM old.tasks o JOIN main.tasks t ON t.uuid = o.uuid WHERE {differs} OR {again}")
    rows = raw_sql.fetch_rows(c, f"SELECT o.verb, o.object, count(*) AS many {_FROM_LATER_OPERATIONS} AND o.verb <> 'submit' GROUP BY 1, 2 ORDER BY 1, 2")
    lost = {f"task #{number}" for number in changed}
    for row in rows:
        if row.object in lost or row.object not in told and str(row.object).split(" ")[0] in _DEFINITION_TABLES:
            done.undone[row.verb] = done.undone.get(row.verb, 0) + row.many


# --- numbers -----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _UsedNumbers:
    """The highest number that is known to have been given, and the highest that may have been."""

    known: int
    last: int


def _find_used_numbers(c: Connection, before: int, highest: int, traces: Sequence[ObservedRun], follows: bool | None) -> _UsedNumbers:
    """Asked before any task is brought over. `follows`: the present database has counted on from the backup; None: its figure tells."""
    counted = [value for value in raw_sql.fetch_column(c, "SELECT value FROM old.counters WHERE name = 'task-number'") if isinstance(value, int)]
    given = [before, highest, *(trace.number or 0 for trace in traces), *counted]
    given += [value or 0 for value in raw_sql.fetch_column(c, "SELECT max(number) FROM old.tasks WHERE typeof(number) = 'integer'")]
    given += [value or 0 for value in raw_sql.fetch_column(c, "SELECT max(number) FROM main.tasks")]
    given = [0, *(number for number in given if number < transitions.MAX_NUMBER)]  # no others were ever given
    sure = max([0, *counted]) >= max(before, 1) if follows is None else follows
    return _UsedNumbers(max(given), max(given) + (0 if sure else SAFETY_MARGIN))


def _set_next_number(c: Connection, done: ReconcileResult, before: int, given: _UsedNumbers, passed: Sequence[tuple[int, int]]) -> None:
    """The next number is above all that were ever given; those that are gone are told."""
    if not done.whole:
        there = set(raw_sql.fetch_column(c, "SELECT number FROM main.tasks WHERE number > ?", (before,)))
        there = there.union(*_find_skipped_ranges(c), *(range(low, min(high, low + SAFETY_MARGIN) + 1) for low, high in passed))
        done.lost = [number for number in range(before + 1, min(given.known, before + MAX_LISTED * 100) + 1) if number not in there]
        done.at_most = len(done.lost) >= SAFETY_MARGIN and raw_sql.fetch_value(c, "SELECT count(*) FROM old.operations") == 0
    done.passed_over = [given.known + 1, given.last] if given.last > given.known else []
    last = max([given.last, *done.adopted, *(new for _, new in done.renumbered)])
    now = timestamps.now()
    raw_sql.execute_statement(
        c,
        "INSERT INTO main.counters (name, value, created_at, updated_at) VALUES ('task-number', :value, :now, :now) "
        "ON CONFLICT (name) DO UPDATE SET value = :value, updated_at = :now",
        {"value": last, "now": now},
    )
    done.next = last + 1


def _find_skipped_ranges(c: Connection) -> Iterator[range]:
    """The numbers that earlier restores have given to nobody, as far as an operation tells."""
    for schema in ("main", "old"):
        for after in raw_sql.fetch_column(c, f"SELECT after FROM {schema}.operations WHERE verb = ? AND typeof(after) = 'text'", (VERB,)):
            with suppress(ValueError, TypeError, AttributeError, KeyError):
                first, last = json.loads(after)[PASSED_OVER]
                yield range(first, min(last, first + SAFETY_MARGIN) + 1)
