"""Retention by age, count and size.

Covers ended runs with their logs, tasks left without runs, and tables of past records. Active and
pinned tasks stay, and so does the last success of each template or named task. A reader finds the
expired rows page by page. The writer gets short lists, checks each row again, and delays other
writes only for moments.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection

from db import raw_sql, timestamps
from db.queries.history import rollups, usage
from db.queries.tasks import groups, pending_parents, skips
from db.schema import OPERATIONS_KEPT_FROM
from db.states import ENDED

BATCH = 100
"""Runs or tasks in one transaction, which takes less than 50 ms."""
ROWS_PER_BATCH = 1000
"""Rows of other tables in one transaction."""
PAGE = 4000
"""Runs found in one query."""
PAGES_FREED = 100
"""Pages freed in one transaction."""
KEPT_NAMES = 5000
"""Names without a template whose last success stays, latest first. Many names belong to a single
task."""

FIRES_KEPT = timedelta(days=90)
"""Age of fire times without a task that expire, if nothing else does."""

Cutoff = tuple[str, str]
"""An end time and a runid. A run is beyond the cutoff if its own pair is smaller."""
NO_CUTOFF: Cutoff = ("", "")
CUT_ALL: Cutoff = ("~", "~")
COUNTED_LIMITS = ("runs", "logs")
"""Limits that apply only to runs already counted in the rollups."""


class ExpiryRule(NamedTuple):
    """A retention rule for a `template`, a `queue`, or `all` other tasks.

    Runs expire if they ended before `before`, or are beyond the newest `runs` runs or `logs` bytes
    of logs. None: no limit.
    """

    kind: str
    name: str = ""
    before: str | None = None
    runs: int | None = None
    logs: int | None = None


class RetentionRules(NamedTuple):
    """All retention rules.

    Tasks without runs, events, samples and closed alerts expire before `records_before`. Operations
    expire before `operations_before_month` (202611), and outcomes of removed runs (table
    `forgotten`) before `outcomes_before`. Empty: never.
    """

    scopes: tuple[ExpiryRule, ...]
    records_before: str
    operations_before_month: int
    outcomes_before: str = ""


class RuleRuns(NamedTuple):
    """The runs of one rule and the cutoffs beyond which they expire.

    `get_reason` follows the order of `cutoffs`. `spared_tasks`: tasks (JSON) with the last success
    of their name. Runs that ended after `counted` expire by age only.
    """

    scope: ExpiryRule
    where: str
    parameters: Mapping[str, Any]
    cutoffs: Mapping[str, Cutoff]
    spared_tasks: str
    counted: Cutoff = CUT_ALL

    @property
    def runs(self) -> str:
        """FROM clause that reads few runs of other rules."""
        return _BY_END if self.scope.kind == "all" else _BY_TASK

    @property
    def cutoff(self) -> Cutoff:
        """The latest cutoff. Runs beyond it expire."""
        return max(
            (
                min(edge, self.counted) if why in COUNTED_LIMITS else edge
                for why, edge in self.cutoffs.items()
            ),
            default=NO_CUTOFF,
        )

    def without_wait(self) -> RuleRuns:
        """Return the part without the wait for the rollups."""
        return self._replace(counted=CUT_ALL)

    def get_reason(self, run: ExpiredRun) -> str:
        """Return `age`, `runs`, `logs` or `removed`."""
        return next(why for why, edge in self.cutoffs.items() if (run.ended, run.id) < edge)


class ExpiredRun(NamedTuple):
    """An expired run, or a task without runs (`task` is its id too).

    Its end, and the bytes of its log file and of its row.
    """

    id: str
    task: str
    ended: str
    log: int
    row: int


class RemovedRows(NamedTuple):
    """Rows that a batch removed, or would remove: runs, {task: bytes of its row}."""

    runs: list[str]
    tasks: dict[str, int]


# --- expired runs ---------------------------------------------------------------------------

_ENDED_WORDS = ", ".join(f"'{word}'" for word in sorted(ENDED))
_REMOVABLE = f"+t.status IN ({_ENDED_WORDS}) AND (t.pinned = 0 OR t.deleted_at IS NOT NULL)"
"""Tasks that may lose runs: ended, so no attempt is active or expected."""
_RUNS = "instances i JOIN tasks t ON t.uuid = i.task_id"
_BY_END = "instances i INDEXED BY idx_instances_ended CROSS JOIN tasks t ON t.uuid = i.task_id"
_BY_TASK = "tasks t CROSS JOIN instances i ON i.task_id = t.uuid"
_ROW = "300 + length(CAST(coalesce(i.logs, '') AS BLOB)) + length(i.tags)"
_TASK_ROW = (
    "500 + length(t.name) + length(t.parameters) + length(t.launch) + length(t.tags) +"
    " coalesce(length(t.env), 0)"
)
_SUCCEEDED = "CASE t.status WHEN 'succeeded' THEN t.ended_at ELSE i.end_time END"
_LATER = (
    f"+n.status = 'succeeded' AND n.ended_at > {_SUCCEEDED} AND n.deleted_at IS NULL AND n.uuid <>"
    " t.uuid"
)
_LAST_OF_TASK = (
    "i.status = 'succeeded' AND NOT EXISTS (SELECT 1 FROM instances m WHERE m.task_id = i.task_id"
    " AND +m.status = 'succeeded' AND m.end_time > i.end_time)"
)
_LAST_OF_TEMPLATE = (
    "(t.template IS NOT NULL AND NOT EXISTS (SELECT 1 FROM tasks n INDEXED BY idx_tasks_template "
    f"WHERE n.template = t.template AND {_LATER}))"
)
_LAST_OF_NAME = """
SELECT uuid, max(at) AS latest FROM (
  SELECT t.uuid, t.name, t.ended_at AS at FROM tasks t NOT INDEXED
  WHERE t.status = 'succeeded' AND t.template IS NULL AND t.deleted_at IS NULL
  UNION ALL SELECT t.uuid, t.name, i.end_time FROM tasks t NOT INDEXED
    CROSS JOIN instances i ON i.task_id = t.uuid
  WHERE t.attempts > 1 AND t.status <> 'succeeded' AND t.template IS NULL AND t.deleted_at IS NULL
    AND +i.status = 'succeeded'
) GROUP BY name ORDER BY latest DESC LIMIT :names
"""
"""Read once as a whole. By name, each run would search all tasks of that name."""


def find_rule_runs(c: Connection, rules: RetentionRules) -> list[RuleRuns]:
    """Return the runs of each rule, most specific first, then deleted tasks."""
    kept = json.dumps(raw_sql.fetch_column(c, _LAST_OF_NAME, {"names": KEPT_NAMES}))
    found = [_make_rule_runs(c, scope, rules)._replace(spared_tasks=kept) for scope in rules.scopes]
    return [
        *found,
        RuleRuns(ExpiryRule("removed"), "t.deleted_at IS NOT NULL", {}, {"removed": CUT_ALL}, kept),
    ]


def _make_rule_runs(c: Connection, scope: ExpiryRule, rules: RetentionRules) -> RuleRuns:
    part = RuleRuns(scope, *_build_scope(scope, rules), {}, "[]")
    edges: dict[str, Cutoff] = {"age": (scope.before, "")} if scope.before else {}
    if scope.runs is not None:
        edges["runs"] = _find_runs_cutoff(c, part, scope.runs)
    if scope.logs is not None:
        edges["logs"] = _find_logs_cutoff(c, part, scope.logs)
    return part._replace(cutoffs=edges, counted=_find_counted_cutoff(c))


def _build_scope(scope: ExpiryRule, rules: RetentionRules) -> tuple[str, dict[str, str]]:
    """Return a condition on `t` for a rule's tasks. Its first term uses an index."""
    others = {
        kind: json.dumps([other.name for other in rules.scopes if other.kind == kind])
        for kind in ("template", "queue")
    }
    of_no_template = "coalesce(t.template, '') NOT IN (SELECT value FROM json_each(:template))"
    of_no_queue = "t.queue NOT IN (SELECT value FROM json_each(:queue))"
    if scope.kind == "template":
        return "t.template = :name AND t.deleted_at IS NULL", {"name": scope.name}
    if scope.kind == "queue":
        return f"t.queue = :name AND {of_no_template} AND t.deleted_at IS NULL", {
            "name": scope.name,
            "template": others["template"],
        }
    given = {kind: names for kind, names in others.items() if names != "[]"}
    conditions = [of_no_template] * ("template" in given) + [of_no_queue] * ("queue" in given)
    return " AND ".join([*conditions, "t.deleted_at IS NULL"]), given


def _find_counted_cutoff(c: Connection) -> Cutoff:
    """Return the time up to which the rollups are final."""
    minute = rollups.find_counted_until(c)
    return (
        (
            timestamps.now()
            if minute is None
            else timestamps.from_unix((minute - rollups.RECOUNTED_MINUTES) * 60)
        ),
        "",
    )


def _find_runs_cutoff(c: Connection, part: RuleRuns, runs: int) -> Cutoff:
    newest = (
        f"SELECT i.end_time, i.runid FROM {part.runs} WHERE i.end_time IS NOT NULL AND {part.where}"
        " ORDER BY i.end_time DESC, i.runid DESC LIMIT 1 OFFSET :skipped"
    )
    return _query_cutoff(c, newest, {**part.parameters, "skipped": runs - 1})


def _find_logs_cutoff(c: Connection, part: RuleRuns, logs: int) -> Cutoff:
    """Return the oldest run up to which the logs fit. The newest run always stays."""
    summed = (
        "SELECT i.end_time AS at, i.runid AS runid, sum(coalesce(i.log_bytes, 0)) OVER newest AS"
        f" written, row_number() OVER newest AS place FROM {part.runs} WHERE i.end_time IS NOT NULL"
        f" AND {part.where} WINDOW newest AS (ORDER BY i.end_time DESC, i.runid DESC)"
    )
    within = (
        f"SELECT at, runid FROM ({summed}) WHERE written <= :logs OR place = 1 ORDER BY at, runid"
        " LIMIT 1"
    )
    return _query_cutoff(c, within, {**part.parameters, "logs": logs})


def _query_cutoff(c: Connection, statement: str, given: Mapping[str, Any]) -> Cutoff:
    return next(((row[0], row[1]) for row in raw_sql.fetch_rows(c, statement, given)), NO_CUTOFF)


_LAST = (
    f"({_LAST_OF_TASK} AND (t.uuid IN (SELECT value FROM json_each(:kept)) OR {_LAST_OF_TEMPLATE}))"
)
"""The last success of a name or template, which stays."""
_BETWEEN = (
    "i.end_time >= :after AND i.end_time <= :upto "
    "AND (i.end_time, i.runid) > (:after, :after_id) AND (i.end_time, i.runid) < (:upto, :upto_id)"
)


def list_expired(
    c: Connection, part: RuleRuns, after: Cutoff, limit: int = PAGE
) -> list[ExpiredRun]:
    """Return the oldest expired runs of a part after a cutoff."""
    found = (
        f"SELECT i.runid, i.task_id, i.end_time, coalesce(i.log_bytes, 0), {_ROW} FROM {part.runs} "
        f"WHERE {_BETWEEN} AND {_build_expired(part)} ORDER BY i.end_time, i.runid LIMIT :limit"
    )
    given = {
        **part.parameters,
        **_make_bounds(part, after),
        "kept": part.spared_tasks,
        "limit": limit,
    }
    return [ExpiredRun._make(row) for row in raw_sql.fetch_rows(c, found, given)]


def _build_expired(part: RuleRuns) -> str:
    spare = "" if part.scope.kind == "removed" else f" AND NOT {_LAST}"
    return f"{part.where} AND {_REMOVABLE}{spare}"


def count_waiting(c: Connection, part: RuleRuns) -> tuple[int, int]:
    """Return number and log bytes of runs that expire once rollups count them."""
    hasty = part.without_wait()
    if hasty.cutoff == part.cutoff:
        return 0, 0
    found = (
        f"SELECT count(*), coalesce(sum(i.log_bytes), 0) FROM {part.runs} WHERE {_BETWEEN} AND"
        f" {_build_expired(part)}"
    )
    ((many, size),) = raw_sql.fetch_rows(
        c, found, {**part.parameters, **_make_bounds(hasty, part.cutoff), "kept": part.spared_tasks}
    )
    return many, size


def count_spared(c: Connection, part: RuleRuns) -> int:
    """Count the runs that stay only as the last success of their template or name."""
    if part.scope.kind == "removed":
        return 0
    found = (
        f"SELECT count(*) FROM {part.runs} WHERE {_BETWEEN} AND {part.where} AND {_REMOVABLE} AND"
        f" {_LAST}"
    )
    return raw_sql.fetch_value(
        c, found, {**part.parameters, **_make_bounds(part, NO_CUTOFF), "kept": part.spared_tasks}
    )


def _make_bounds(part: RuleRuns, after: Cutoff) -> dict[str, str]:
    return {
        "after": after[0],
        "after_id": after[1],
        "upto": part.cutoff[0],
        "upto_id": part.cutoff[1],
    }


def find_unused_names(c: Connection, kind: str, names: Sequence[str]) -> list[str]:
    """Return the names that no queue or template (`kind`) has."""
    found = (
        f"SELECT value FROM json_each(?) WHERE NOT EXISTS (SELECT 1 FROM {kind}s n WHERE n.name ="
        " value)"
    )
    return raw_sql.fetch_column(c, found, (json.dumps(list(names)),)) if names else []


def list_without_runs(
    c: Connection, part: RuleRuns, before: str, after: Cutoff, limit: int = PAGE
) -> list[ExpiredRun]:
    """Return expired ended tasks without runs.

    No task waits for them: their end released all children, or `remove_runs` leaves them for later.
    """
    when = "1" if part.scope.kind == "removed" else "t.pinned = 0 AND t.ended_at < :before"
    found = (
        f"SELECT t.uuid, t.uuid, t.ended_at, 0, 0 FROM tasks t WHERE {part.where} AND t.status IN"
        f" ({_ENDED_WORDS}) AND {when} AND (t.ended_at, t.uuid) > (:after, :after_id) AND NOT"
        " EXISTS (SELECT 1 FROM instances i WHERE i.task_id = t.uuid) ORDER BY t.ended_at, t.uuid"
        " LIMIT :limit"
    )
    age = part.scope.before or before
    given = {
        **part.parameters,
        "before": age,
        "after": after[0],
        "after_id": after[1],
        "limit": limit,
    }
    return [ExpiredRun._make(row) for row in raw_sql.fetch_rows(c, found, given)]


# --- runs and tasks -------------------------------------------------------------------------


def remove_runs(c: Connection, runids: Sequence[str], tasks: Iterable[str] = ()) -> RemovedRows:
    """Delete ended runs, and tasks without runs; return the deleted rows.

    The outcome of each task is recorded in `forgotten`. Logs are scheduled for removal after the
    commit (see `list_discarded`). A task with very many dependencies loses a batch of them, and is
    deleted by a later call.
    """
    runs = map_removable(c, runids)
    now = timestamps.now()
    raw_sql.execute_statements(
        c,
        "INSERT OR IGNORE INTO discarded_logs (runid, created_at, updated_at) VALUES (?, ?, ?)",
        [(r, now, now) for r in runs],
    )
    usage.note_removal(c, list(runs))
    _delete_rows(c, "instances", "runid", list(runs))
    task_rows = _delete_dependencies(c, _find_without_runs(c, {*runs.values(), *tasks}))
    last = {task: runid for runid, task in sorted(runs.items())}
    _record_outcomes(
        c,
        [
            (last.get(row.uuid, row.uuid), row.uuid, row.number, row.status, row.ended_at, now, now)
            for row in task_rows
        ],
    )
    removed = [row.uuid for row in task_rows]
    of_groups = groups.list_numbers_of_tasks(c, removed)
    _delete_rows(c, "alerts", "task_id", removed)
    _delete_rows(c, "tasks", "uuid", removed)
    if of_groups:
        groups.remove_empty(c, of_groups)
    return RemovedRows(list(runs), {row.uuid: row.bytes for row in task_rows})


DEPENDENCIES_PER_BATCH = 5000
"""Dependencies deleted in one transaction, in some 15 ms."""
_DEPENDENCIES = (
    "SELECT rowid FROM dependencies WHERE parent_id IN (SELECT value FROM json_each(:tasks)) UNION"
    " ALL SELECT rowid FROM dependencies WHERE task_id IN (SELECT value FROM json_each(:tasks))"
    " LIMIT :limit"
)
_RELATED = (
    "SELECT value FROM json_each(:tasks) WHERE EXISTS (SELECT 1 FROM dependencies WHERE parent_id ="
    " value) OR EXISTS (SELECT 1 FROM dependencies WHERE task_id = value)"
)


_FAILED_ONE = (
    "SELECT d.task_id FROM json_each(:tasks) j CROSS JOIN dependencies d ON d.parent_id = j.value"
    " JOIN tasks p ON p.uuid = d.parent_id WHERE +d.kind = 'failures' AND NOT"
    f" ({skips.NO_FAILURE})"
)


def _delete_dependencies(c: Connection, tasks: Sequence[Any]) -> list[Any]:
    """Delete a batch of the dependencies of tasks; return the tasks without any left.

    A task that waits for the failure of one of several then waits only for the end of the others.
    """
    given = {"tasks": json.dumps([row.uuid for row in tasks])}
    raw_sql.execute_statement(
        c,
        "UPDATE dependencies SET kind = 'any', updated_at = :now WHERE task_id IN"
        f" ({_FAILED_ONE}) AND kind = 'failures'",
        given | {"now": timestamps.now()},
    )
    raw_sql.execute_statement(
        c,
        f"DELETE FROM dependencies WHERE rowid IN ({_DEPENDENCIES})",
        given | {"limit": DEPENDENCIES_PER_BATCH},
    )
    related = set(raw_sql.fetch_column(c, _RELATED, given))
    return [row for row in tasks if row.uuid not in related]


def map_removable(c: Connection, runids: Sequence[str]) -> dict[str, str]:
    """Return {run: task} of the runs that may be deleted: they and their tasks ended."""
    found = (
        f"SELECT i.runid, i.task_id FROM {_RUNS} WHERE i.runid IN (SELECT value FROM json_each(?))"
        f" AND i.end_time IS NOT NULL AND {_REMOVABLE}"
    )
    return dict(raw_sql.fetch_rows(c, found, (json.dumps(list(runids)),)))


def _find_without_runs(c: Connection, tasks: Iterable[str]) -> list[Any]:
    found = (
        f"SELECT t.uuid, t.number, t.status, t.ended_at, {_TASK_ROW} AS bytes FROM tasks t "
        f"WHERE t.uuid IN (SELECT value FROM json_each(?)) AND {_REMOVABLE} "
        "AND NOT EXISTS (SELECT 1 FROM instances i WHERE i.task_id = t.uuid)"
        f"AND NOT EXISTS (SELECT 1 FROM counters WHERE name = '{pending_parents.FOLDER}' || uuid)"
    )
    return raw_sql.fetch_rows(c, found, (json.dumps(list(tasks)),))


def _record_outcomes(c: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Record the outcome of tasks for a database restored from before their end."""
    raw_sql.execute_statements(
        c,
        "INSERT OR IGNORE INTO forgotten (runid, task_id, number, status, ended_at, created_at,"
        " updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


def preview_removal(
    c: Connection, runs: Sequence[ExpiredRun], seen: Counter[str], tasks: Iterable[str] = ()
) -> RemovedRows:
    """Return the rows that `remove_runs` would delete.

    `seen` counts the runs of each task over all calls.
    """
    seen.update(run.task for run in runs)
    tasks_json = json.dumps(list({run.task for run in runs}))
    all_ = dict(
        raw_sql.fetch_rows(
            c,
            "SELECT task_id, count(*) FROM instances WHERE task_id IN (SELECT value FROM"
            " json_each(?)) GROUP BY 1",
            (tasks_json,),
        )
    )
    last = [*(task for task, many in all_.items() if seen[task] == many), *tasks]
    found = (
        f"SELECT t.uuid, {_TASK_ROW} FROM tasks t WHERE t.uuid IN (SELECT value FROM json_each(?))"
        f" AND {_REMOVABLE}"
    )
    return RemovedRows(
        [run.id for run in runs], dict(raw_sql.fetch_rows(c, found, (json.dumps(last),)))
    )


def list_discarded(c: Connection, limit: int = PAGE) -> list[str]:
    """Return deleted runs whose logs still have to be removed."""
    return raw_sql.fetch_column(c, "SELECT runid FROM discarded_logs LIMIT ?", (limit,))


def mark_logs_removed(c: Connection, runids: Sequence[str]) -> None:
    """Record that the logs of runs are removed."""
    _delete_rows(c, "discarded_logs", "runid", runids)


def find_unknown(c: Connection, runids: Sequence[str]) -> list[str]:
    """Return the runs that the database does not know."""
    found = (
        "SELECT value FROM json_each(?) WHERE NOT EXISTS (SELECT 1 FROM instances i WHERE i.runid ="
        " value) AND NOT EXISTS (SELECT 1 FROM forgotten f WHERE f.runid = value)"
    )
    return raw_sql.fetch_column(c, found, (json.dumps(list(runids)),))


def _delete_rows(c: Connection, table: str, key: str, values: Sequence[str]) -> None:
    if values:
        raw_sql.execute_statement(
            c,
            f"DELETE FROM {table} WHERE {key} IN (SELECT value FROM json_each(?))",
            (json.dumps(list(values)),),
        )


# --- other tables ---------------------------------------------------------------------------

_OLD_CONDITIONS = {
    "samples": "minute < :before",
    "alerts": "resolved_at < :before AND task_id IS NULL",
    "silences": "until < :before",
    "fires": "fire_time < :before AND task_id IS NULL",
    "bookings": "ends_at < :before",
}
"""Tables that are small or have an index on the time."""
_TIME_ORDERED = ("events", "operations", "forgotten", "deliveries")
"""Tables whose rows are in time order."""
OTHER_TABLES = (*_OLD_CONDITIONS, *_TIME_ORDERED)


def count_old(c: Connection, table: str, rules: RetentionRules) -> int:
    """Count the expired rows of a table in OTHER_TABLES."""
    where, given = _build_old(c, table, rules)
    return raw_sql.fetch_value(c, f"SELECT count(*) FROM {table} WHERE {where}", given)


def remove_old(c: Connection, table: str, rules: RetentionRules) -> int:
    """Delete a batch of expired rows of a table in OTHER_TABLES; return their number.

    A number below ROWS_PER_BATCH means that the batch was the last.
    """
    if table == "operations":
        _allow_deletion(c, rules.operations_before_month)
    where, given = _build_old(c, table, rules)
    old = raw_sql.fetch_column(
        c, f"SELECT rowid FROM {table} WHERE {where} ORDER BY rowid LIMIT {ROWS_PER_BATCH}", given
    )
    raw_sql.execute_statement(
        c,
        f"DELETE FROM {table} WHERE rowid IN (SELECT value FROM json_each(?))",
        (json.dumps(old),),
    )
    return len(old)


def _build_old(c: Connection, table: str, rules: RetentionRules) -> tuple[str, dict[str, Any]]:
    if table in _OLD_CONDITIONS:
        before = rules.records_before
        if table == "fires" and not before:  # tasks without end do not keep what was missed
            before = timestamps.format_time(timestamps.utcnow() - FIRES_KEPT)
        return _OLD_CONDITIONS[table], {"before": before}
    if table == "forgotten":
        # An entry also prevents the dispatch of its task, if a restored database still has it.
        removed = "NOT EXISTS (SELECT 1 FROM tasks t WHERE t.uuid = task_id)"
        given = {
            "last": _find_last_old(c, table, rules.outcomes_before),
            "before": rules.outcomes_before,
        }
        return f"rowid <= :last AND created_at < :before AND {removed}", given
    before = (
        f"{rules.operations_before_month // 100:04d}-{rules.operations_before_month % 100:02d}"
        if table == "operations"
        else rules.records_before
    )
    unsent = " AND next_at IS NULL" if table == "deliveries" else ""
    # After a clock jump rows are out of order: some stay, but no young row is deleted.
    return f"rowid <= :last AND created_at < :before{unsent}", {
        "last": _find_last_old(c, table, before),
        "before": before,
    }


def _find_last_old(c: Connection, table: str, before: str) -> int:
    """Return the last row before a time, for rows in time order.

    The very last row is never returned, so that its id is not reused.
    """
    low, high = (
        raw_sql.fetch_value(c, f"SELECT min(rowid) FROM {table}") or 0,
        raw_sql.fetch_value(c, f"SELECT max(rowid) FROM {table}") or 0,
    )
    low -= 1
    while high - low > 1:
        middle = (low + high) // 2
        row = raw_sql.fetch_rows(
            c,
            f"SELECT rowid AS at, created_at FROM {table} WHERE rowid >= ? ORDER BY rowid LIMIT 1",
            (middle,),
        )[0]
        if row.created_at >= before:
            high = middle
        else:
            low = min(row.at, high - 1)
    return low


def count_removed(c: Connection, since: str, until: str = "9999") -> dict[str, int]:
    """Count the removed tasks that ended in a period, by status, from their recorded outcomes."""
    counted = (
        "SELECT status, count(DISTINCT task_id) FROM forgotten f WHERE rowid > :first AND ended_at"
        " >= :since AND ended_at <= :until AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.uuid ="
        " f.task_id) GROUP BY status"
    )
    given = {"first": _find_last_old(c, "forgotten", since), "since": since, "until": until}
    return dict(raw_sql.fetch_rows(c, counted, given))


def _allow_deletion(c: Connection, month: int) -> None:
    """Allow operations before a month to be deleted. The month never moves back."""
    now = timestamps.now()
    raw_sql.execute_statement(
        c,
        "INSERT INTO counters (name, value, created_at, updated_at) VALUES (?, ?, ?, ?) ON CONFLICT"
        " (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at WHERE"
        " excluded.value > value",
        (OPERATIONS_KEPT_FROM, month, now, now),
    )


def list_unused_environments(c: Connection) -> list[str]:
    """Return a batch of environments that no task needs."""
    free = (
        "SELECT e.sha256 FROM environments e WHERE NOT EXISTS (SELECT 1 FROM tasks t WHERE t.env_id"
        " = e.sha256) LIMIT ?"
    )
    return raw_sql.fetch_column(c, free, (BATCH,))


def remove_unused_environments(c: Connection) -> None:
    """Delete a batch of unused environments."""
    _delete_rows(c, "environments", "sha256", list_unused_environments(c))


def get_size(c: Connection) -> int:
    """Return the size of the database in bytes."""
    return raw_sql.fetch_value(c, "PRAGMA page_count") * raw_sql.fetch_value(c, "PRAGMA page_size")


def count_free_pages(c: Connection) -> int:
    """Return the number of free pages."""
    return raw_sql.fetch_value(c, "PRAGMA freelist_count")


def free_pages(c: Connection) -> None:
    """Return a batch of free pages to the file system."""
    for _ in range(min(count_free_pages(c), PAGES_FREED)):
        # The driver runs one step of a statement without columns, and a step frees one page,
        # whatever number is given.
        raw_sql.execute_statement(c, "PRAGMA incremental_vacuum(1)")
