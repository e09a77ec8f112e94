"""General read queries.

Each runs on a reader or in a transaction and returns frozen rows.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple, TypedDict, Unpack

from sqlalchemy import Connection, Select, desc, func, literal_column, or_, select, text
from sqlalchemy import Table as SqlTable

from db import raw_sql, schema
from db.queries.tasks import skips
from db.queries.value_lists import is_any_of
from db.rows import (
    ActiveRunRow,
    EventRow,
    InstanceRow,
    ParentRow,
    PoolRow,
    QueuePositionRow,
    QueueRow,
    TaskLineRow,
    TaskRow,
    TaskStateRow,
    get_run_limit,
)
from db.states import ACTIVE, ACTIVE_SQL, ENDED, TaskStatus

tasks, runs = schema.tasks, schema.instances

_TASK = [tasks.c[name] for name in TaskRow._fields]
LIST_COLUMNS = (
    "uuid",
    "number",
    "name",
    "status",
    "queue",
    "timeout",
    "reason",
    "started_at",
    "ended_at",
    "created_at",
    "group_index",
    "sweep",
)
_LINE = f"SELECT {', '.join(TaskLineRow._fields)} FROM tasks"
_RUN = [
    tasks.c[name] if name in ("number", "name") else runs.c[name] for name in InstanceRow._fields
]


def _get_columns(table: SqlTable, row: Any) -> list[Any]:
    return [table.c[name] for name in row._fields]


# --- tasks ----------------------------------------------------------------------------------


def map_by_number(c: Connection, numbers: Sequence[int]) -> dict[int, TaskRow]:
    """Return {number: task}."""
    conditions = is_any_of(tasks.c.number, numbers)
    return {
        row.number: row
        for row in _query_tasks(c, select(*_TASK).where(conditions, tasks.c.deleted_at.is_(None)))
    }


def map_names(c: Connection, numbers: Sequence[int]) -> dict[int, str]:
    """Return {number: name} of tasks."""
    found = (
        "SELECT number, name FROM tasks WHERE number IN (SELECT value FROM json_each(?)) AND"
        " deleted_at IS NULL"
    )
    return dict(raw_sql.fetch_rows(c, found, (_to_json(numbers),)))


def has_more_tasks(c: Connection, limit: int) -> bool:
    """Return True if there are more tasks than `limit`, without reading more of them."""
    found = "SELECT count(*) FROM (SELECT 1 FROM tasks LIMIT ?)"
    return raw_sql.fetch_value(c, found, (limit + 1,)) > limit


def list_by_uuid(c: Connection, uuids: Sequence[str]) -> list[TaskRow]:
    """Return tasks by uuid, in no order."""
    return [_make_task(row) for row in raw_sql.fetch_rows(c, _TASKS_BY_UUID, (_to_json(uuids),))]


_TASKS_BY_UUID = (
    f"SELECT {', '.join(TaskRow._fields)} FROM tasks WHERE uuid IN (SELECT value FROM json_each(?))"
    " AND deleted_at IS NULL"
)
_PARAMETERS, _TAGS, _LAUNCH, _HOLD, _PINNED, _STDIN, _SPLIT, _CWD = map(
    TaskRow._fields.index,
    ("parameters", "tags", "launch", "hold", "pinned", "stdin", "split", "cwd"),
)
_BOOLEANS = {0: False, 1: True}


def _make_task(row: Sequence[Any]) -> TaskRow:
    """Return the task of a raw row. Raise ValueError, TypeError or KeyError for a damaged one."""
    found = list(row)
    for at in (_PARAMETERS, _TAGS, _LAUNCH):
        found[at] = {} if found[at] == "{}" else json.loads(found[at])
    for at in (_HOLD, _PINNED):
        found[at] = _BOOLEANS[found[at]]
    for at in (_STDIN, _SPLIT):
        found[at] = bool(found[at])
    if isinstance(found[_CWD], bytes):
        found[_CWD] = os.fsdecode(found[_CWD])
    return TaskRow._make(found)


def map_states(c: Connection, uuids: Sequence[str]) -> dict[str, TaskStateRow]:
    """Return {uuid: the columns that verbs check and change}."""
    return {
        row[0]: TaskStateRow._make([*row[:-2], _BOOLEANS[row[-2]], _BOOLEANS[row[-1]]])
        for row in raw_sql.fetch_tuples(c, _STATES, (_to_json(uuids),))
    }


def map_fields(
    c: Connection, uuids: Sequence[str], fields: Sequence[str]
) -> dict[str, tuple[Any, ...]]:
    """Return {uuid: the stored values of columns of `TaskStateRow`, in this order}."""
    sql = (
        f"SELECT uuid, {', '.join(fields)} FROM tasks WHERE uuid IN (SELECT value FROM"
        " json_each(?)) AND deleted_at IS NULL"
    )
    return {row[0]: row[1:] for row in raw_sql.fetch_tuples(c, sql, (_to_json(uuids),))}


_STATES = (
    f"SELECT {', '.join(TaskStateRow._fields)} FROM tasks WHERE uuid IN (SELECT value FROM"
    " json_each(?)) AND deleted_at IS NULL"
).replace("launch_text", "launch")


def list_lines(c: Connection, uuids: Sequence[str]) -> list[TaskLineRow]:
    """Return list lines of tasks by uuid, in no order."""
    return _query_lines(
        c, "uuid IN (SELECT value FROM json_each(?)) AND deleted_at IS NULL", (_to_json(uuids),)
    )


def _query_lines(c: Connection, holds: str, parameters: raw_sql.Parameters) -> list[TaskLineRow]:
    return [
        TaskLineRow._make(row)
        for row in raw_sql.fetch_rows(c, f"{_LINE} WHERE {holds}", parameters)
    ]


def find_changed(c: Connection, uuids: Sequence[str], since: int) -> set[str]:
    """Return the tasks that have an event after `since`."""
    found = (
        "SELECT value FROM json_each(?) j WHERE EXISTS (SELECT 1 FROM events e WHERE e.task_id ="
        " j.value AND e.id > ?)"
    )
    return {row[0] for row in raw_sql.fetch_rows(c, found, (_to_json(uuids), since))}


def list_queue_positions(c: Connection, uuids: Sequence[str]) -> list[QueuePositionRow]:
    """Return queue positions of tasks by uuid, in no order."""
    found = (
        f"SELECT {', '.join(QueuePositionRow._fields)} FROM tasks WHERE uuid IN (SELECT value FROM"
        " json_each(?)) AND deleted_at IS NULL"
    )
    return [QueuePositionRow._make(row) for row in raw_sql.fetch_rows(c, found, (_to_json(uuids),))]


def find_by_prefix(c: Connection, prefix: str) -> list[TaskRow]:
    """Return tasks whose uuid starts with `prefix`, at most two."""
    last = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    chosen = select(*_TASK).where(
        tasks.c.uuid >= prefix, tasks.c.uuid < last, tasks.c.deleted_at.is_(None)
    )
    return _query_tasks(c, chosen.limit(2))


def find_by_name(c: Connection, name: str, limit: int = 20) -> list[TaskRow]:
    """Return tasks of this name, newest first."""
    chosen = select(*_TASK).where(tasks.c.name == name, tasks.c.deleted_at.is_(None))
    return _query_tasks(c, chosen.order_by(tasks.c.number.desc()).limit(limit))


_FIRST = "(SELECT uuid FROM tasks WHERE {match} AND deleted_at IS NULL LIMIT 1 OFFSET {skipped})"
_NAMED, _PREFIXED = (
    "SELECT value, " + ", ".join(_FIRST.format(match=match, skipped=n) for n in (0, 1))
    + " FROM json_each(?)"
    for match in ("name = value", "uuid >= lower(value) AND uuid < lower(value) || '~'")
)  # fmt: skip


def map_by_name(c: Connection, names: Sequence[str]) -> dict[str, tuple[str, bool]]:
    """Return {name: uuid of a task, True if it is the only one} of the names that tasks have."""
    return _map_matches(c, _NAMED, names)


def map_by_prefix(c: Connection, prefixes: Sequence[str]) -> dict[str, tuple[str, bool]]:
    """Return {prefix: uuid that starts with it, True if it is the only one}."""
    return _map_matches(c, _PREFIXED, prefixes)


def _map_matches(c: Connection, query: str, values: Sequence[str]) -> dict[str, tuple[str, bool]]:
    rows = raw_sql.fetch_tuples(c, query, (_to_json(values),)) if values else ()
    return {value: (one, other is None) for value, one, other in rows if one is not None}


def _to_json(values: Sequence[Any]) -> str:
    return json.dumps(list(values))


def _query_tasks(c: Connection, chosen: Select[Any]) -> list[TaskRow]:
    return [TaskRow._make(row) for row in c.execute(chosen)]


class TaskFilter(TypedDict, total=False):
    """Filter of task queries.

    Tasks with these statuses, groups, queue, name or tags, submitted after `since`. `recent` keeps
    tasks that are active or ended after that time.
    """

    statuses: Sequence[str]
    groups: Sequence[int]
    queue: str | None
    name: str | None
    tags: dict[str, str] | None
    since: str | None
    recent: str | None


def list_tasks(c: Connection, *, limit: int = 0, **conditions: Unpack[TaskFilter]) -> list[TaskRow]:
    """Return matching tasks, newest first. A limit of 0 means all."""
    return _query_tasks(c, _order_newest(select(*_TASK), conditions, limit))


def list_uuids(c: Connection, **conditions: Unpack[TaskFilter]) -> list[str]:
    """Return the uuids of matching tasks, newest first.

    Memory holds the uuids of a million tasks, but not their rows.
    """
    # One row: the event loop took 0.5 µs for each of them, 100 ms for 200,000 tasks.
    found = _order_newest(select(tasks.c.uuid), conditions, 0).subquery()
    return json.loads(c.execute(select(func.json_group_array(found.c.uuid))).scalar_one())


def _order_newest(chosen: Select[Any], conditions: TaskFilter, limit: int) -> Select[Any]:
    # Rows are stored in number order; an index on status keeps that order, so no sort is needed.
    by_status = len(conditions.get("statuses", ())) == 1 and conditions.get("queue") is None
    ordered = chosen.where(*_build_conditions(conditions)).order_by(
        text("tasks.rowid DESC") if by_status else tasks.c.number.desc()
    )
    return ordered.limit(limit) if limit else ordered


def count_tasks(c: Connection, **conditions: Unpack[TaskFilter]) -> int:
    """Count matching tasks, from the kept counters if they suffice."""
    asked = {name for name, value in conditions.items() if value not in (None, (), [], {})}
    if asked <= {"statuses", "queue"}:
        statuses, queue = conditions.get("statuses"), conditions.get("queue")
        return sum(
            n
            for (q, s), n in read_counters(c).items()
            if (not statuses or s in statuses) and queue in (None, q)
        )
    if asked == {"recent"} and (recent := conditions.get("recent")):
        return sum(n for status, n in count_by_status(c).items() if status not in ENDED) + sum(
            count_ended_since(c, recent, skip_deleted=True).values()
        )
    return c.execute(
        select(func.count()).select_from(tasks).where(*_build_conditions(conditions))
    ).scalar_one()


def _build_conditions(conditions: TaskFilter) -> list[Any]:
    found: list[Any] = [tasks.c.deleted_at.is_(None)]
    if statuses := conditions.get("statuses"):
        found.append(tasks.c.status.in_(list(statuses)))
    if groups := conditions.get("groups"):
        found.append(tasks.c.group_number.in_(list(groups)))
    if (queue := conditions.get("queue")) is not None:
        found.append(tasks.c.queue == queue)
    if (name := conditions.get("name")) is not None:
        found.append(tasks.c.name == name)
    if (since := conditions.get("since")) is not None:
        found.append(tasks.c.created_at >= since)
    if (recent := conditions.get("recent")) is not None:
        found.append(or_(tasks.c.ended_at.is_(None), tasks.c.ended_at >= recent))
    for at, (key, value) in enumerate((conditions.get("tags") or {}).items()):
        path = f"key{at}"
        has_tag = text(
            f"EXISTS (SELECT 1 FROM json_each(tasks.tags) AS t{at}"
            f" WHERE t{at}.key = :{path} AND t{at}.value = :{path}v)"
        )
        found.append(has_tag.bindparams(**{path: key, f"{path}v": value}))
    return found


def read_counters(c: Connection) -> dict[tuple[str, str], int]:
    """Return {(queue, status): tasks} from the kept counters."""
    rows = raw_sql.fetch_rows(
        c,
        "SELECT name, value FROM counters WHERE name >= 'tasks/' AND name < 'tasks0' AND value"
        " <> 0",
    )
    return {(name.split("/")[1], name.split("/")[2]): value for name, value in rows}


def read_counters_and_submissions(c: Connection) -> tuple[dict[tuple[str, str], int], list[str]]:
    """Return the counters as `read_counters`, and the names of the submissions being stored."""
    found = "SELECT name, value FROM counters WHERE name >= 'submission/' AND name < 'tasks0'"
    rows = raw_sql.fetch_tuples(c, found)
    named = [(*name.split("/"), value) for name, value in rows if "/" in name]
    counted = {(row[1], row[2]): row[-1] for row in named if row[0] == "tasks" and row[-1]}
    return counted, [row[1] for row in named if row[0] == "submission"]


def count_by_status(c: Connection) -> dict[str, int]:
    """Return {status: tasks}."""
    found: dict[str, int] = {}
    for (_, status), n in read_counters(c).items():
        found[status] = found.get(status, 0) + n
    return found


def list_queued(c: Connection, queue: str, limit: int, offset: int = 0) -> list[TaskRow]:
    """Return the first queued tasks of a queue, in start order."""
    chosen = select(*_TASK).where(tasks.c.queue == queue, text("tasks.status = 'queued'"))
    return _query_tasks(c, chosen.order_by(*_ORDER).limit(limit).offset(offset))


_ORDER = (tasks.c.front.desc(), tasks.c.priority.desc(), tasks.c.number)


def count_before(c: Connection, task: TaskRow | TaskLineRow) -> int:
    """Count the queued tasks that start before this one, one by one."""
    before = _AMONG.format(more=">", earlier="<")
    return raw_sql.fetch_value(c, before, {name: getattr(task, name) for name in _PLACE})


def count_after(c: Connection, task: QueuePositionRow) -> int:
    """Count the queued tasks that start after this one.

    Fast for a newly submitted task: few come after it.
    """
    return raw_sql.fetch_value(
        c, _AMONG.format(more="<", earlier=">"), {name: getattr(task, name) for name in _PLACE}
    )


_PLACE = ("queue", "front", "priority", "number")
_QUEUED = "(SELECT count(*) FROM tasks WHERE queue = :queue AND status = 'queued' AND "
_AMONG = (
    # Three ranges of one index, each read from its start. An OR would read the whole index.
    f"SELECT {_QUEUED}front {{more}} :front) + {_QUEUED}front = :front AND priority {{more}}"
    f" :priority) + {_QUEUED}front = :front AND priority = :priority AND number {{earlier}}"
    " :number)"
)


def count_before_each(
    c: Connection, queue: str, tasks: Sequence[Any], total: int
) -> dict[int, int]:
    """Return {number: tasks before it} for many queued tasks of one queue.

    `total` is the length of the queue. Most tasks are counted from its end, where the newest are;
    the others step by step within their priority.
    """
    ranks = {task.number: (task.front, task.priority) for task in tasks}
    found = {
        n: total - 1 - at
        for at, n in enumerate(raw_sql.fetch_column(c, _LAST, (queue, 2 * len(tasks))))
        if n in ranks
    }
    left: dict[tuple[int, int], list[int]] = {}
    for number in sorted(ranks.keys() - found.keys()):
        left.setdefault(ranks[number], []).append(number)
    before = 0
    for *rank, count in raw_sql.fetch_rows(c, _RANKS, (queue,)) if left else ():
        if numbers := left.get((rank[0], rank[1])):
            steps = [
                n
                for _, n in sorted(
                    raw_sql.fetch_rows(
                        c, _STEPS, (queue, *rank, _to_json(list(pairwise([0, *numbers]))))
                    )
                )
            ]
            found |= zip(numbers, accumulate(steps[1:], initial=before + steps[0]), strict=True)
        before += count
    return found


_LAST = (
    "SELECT number FROM tasks WHERE queue = ? AND status = 'queued' ORDER BY front, priority,"
    " number DESC LIMIT ?"
)
_RANKS = (
    "SELECT front, priority, count(*) FROM tasks WHERE queue = ? AND status = 'queued' GROUP BY"
    " front, priority ORDER BY front DESC, priority DESC"
)
_STEPS = (
    "SELECT key, (SELECT count(*) FROM tasks WHERE queue = ? AND status = 'queued' AND front = ?"
    " AND priority = ? AND number >= json_extract(json_each.value, '$[0]') AND number <"
    " json_extract(json_each.value, '$[1]')) FROM json_each(?)"
)


MAX_OLDEST = 500
"""Queued tasks that are searched for the longest wait."""


def find_longest_queued(c: Connection, queue: str) -> str | None:
    """Return since when a task of a queue waits, at the longest: it may be planned or retried.

    Among many tasks, only those submitted first are read.
    """
    rows = raw_sql.fetch_column(
        c,
        "SELECT min(since) FROM (SELECT max(created_at, coalesce(not_before, created_at),"
        " coalesce(retry_at, created_at)) AS since FROM tasks WHERE queue = ? AND status = 'queued'"
        " ORDER BY created_at LIMIT ?)",
        (queue, MAX_OLDEST),
    )
    return rows[0]


_DUE = {TaskStatus.RETRYING: "retry_at", TaskStatus.SCHEDULED: "not_before"}
"""Column of the time that ends a status."""


def list_not_queued(c: Connection, limit: int) -> dict[TaskStatus, list[TaskLineRow]]:
    """Return waiting tasks that are not queued, at most `limit` for each status.

    Retrying and scheduled tasks are sorted by their time, others oldest first.
    """
    found = {}
    for status in (TaskStatus.RETRYING, TaskStatus.BLOCKED, TaskStatus.SCHEDULED, TaskStatus.HELD):
        holds = (
            _build_due_condition(status)
            if status in _DUE
            else f"status = '{status.value}' AND deleted_at IS NULL LIMIT ?"
        )
        found[status] = _query_lines(c, holds, (limit,))
    return found


def _build_due_condition(status: TaskStatus) -> str:
    """Return the condition for the first due tasks of a status.

    Left alone, SQLite would read and sort all tasks of the status.
    """
    due = _DUE[status]
    own = (
        f"tasks INDEXED BY idx_tasks_{status.value} WHERE status = '{status.value}' AND {due} > ''"
    )
    return f"uuid IN (SELECT uuid FROM {own} ORDER BY {due} LIMIT ?) ORDER BY {due}"


def find_next_retry(c: Connection, queues: Sequence[str]) -> str | None:
    """Return the task of these queues with the earliest retry."""
    found = (
        "SELECT uuid FROM tasks WHERE status = 'retrying' AND deleted_at IS NULL AND queue IN"
        " (SELECT value FROM json_each(?)) ORDER BY retry_at LIMIT 1"
    )
    return next(iter(raw_sql.fetch_column(c, found, (_to_json(queues),))), None)


def list_just_ended(
    c: Connection, statuses: Sequence[str], since: str, limit: int
) -> list[TaskLineRow]:
    """Return tasks of these statuses that ended after `since`, newest first."""
    newest = " UNION ALL ".join(
        f"SELECT uuid FROM (SELECT uuid FROM tasks WHERE status = '{word}' AND ended_at >= :since"
        " AND +deleted_at IS NULL ORDER BY ended_at DESC LIMIT :most)"
        for word in statuses
    )
    return _query_lines(
        c, f"uuid IN ({newest}) ORDER BY ended_at DESC LIMIT :most", {"since": since, "most": limit}
    )


def count_ended_since(
    c: Connection, since: str, statuses: Iterable[str] = ENDED, *, skip_deleted: bool = False
) -> dict[str, int]:
    """Count tasks that ended after `since`, by status.

    `skip_deleted` leaves out deleted tasks, which requires reading each row.
    """
    listed = ", ".join(f"'{word}'" for word in sorted(statuses))
    there = " AND +deleted_at IS NULL" if skip_deleted else ""
    ended = (
        f"SELECT status, count(*) FROM tasks WHERE status IN ({listed}) AND ended_at >= ?{there}"
        " GROUP BY status"
    )
    return dict(raw_sql.fetch_rows(c, ended, (since,)))


def has_any_task(c: Connection) -> bool:
    """Return True if any task was ever submitted."""
    return (
        raw_sql.fetch_value(c, "SELECT 1 FROM counters WHERE name = 'task-number' AND value > 0")
        is not None
    )


_PARENTS = (
    f"SELECT d.task_id, p.number, p.name, {skips.STATE}, d.kind FROM json_each(?) CROSS JOIN"
    " dependencies d ON d.task_id = json_each.value JOIN tasks p ON p.uuid = d.parent_id"
)


def map_parents(c: Connection, uuids: Sequence[str]) -> dict[str, list[ParentRow]]:
    """Return {uuid: parents, by number}."""
    found: dict[str, list[ParentRow]] = {uuid: [] for uuid in uuids}
    for task, *parent in raw_sql.fetch_rows(c, _PARENTS, (_to_json(uuids),)) if uuids else ():
        found[task].append(ParentRow(*parent))
    return {uuid: sorted(rows) for uuid, rows in found.items()}


def list_children(c: Connection, uuid: str, limit: int = 50) -> list[Any]:
    """Return the children of a task: rows of number, name, status, kind."""
    d = schema.dependencies
    chosen = select(tasks.c.number, tasks.c.name, tasks.c.status, d.c.kind).join(
        d, d.c.task_id == tasks.c.uuid
    )
    return list(
        c.execute(chosen.where(d.c.parent_id == uuid).order_by(tasks.c.number).limit(limit)).all()
    )


def list_waiting_dependents(c: Connection, uuids: Sequence[str]) -> list[Any]:
    """Return the tasks outside `uuids` that wait for them to succeed, directly or not.

    A cancel of these tasks cancels them too. Rows are number and name.
    """
    d = schema.dependencies
    waits = (d.c.kind == "success", tasks.c.status.in_(("blocked", "held", "scheduled")))
    children = select(tasks.c.uuid).join(d, d.c.task_id == tasks.c.uuid).where(*waits)
    found = children.where(is_any_of(d.c.parent_id, uuids)).cte(recursive=True)
    found = found.union(children.join(found, d.c.parent_id == found.c.uuid))
    chosen = select(tasks.c.number, tasks.c.name).where(
        tasks.c.uuid.in_(select(found.c.uuid)), ~is_any_of(tasks.c.uuid, uuids)
    )
    return list(c.execute(chosen.order_by(tasks.c.number)).all())


def get_environment(c: Connection, uuid: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the captured environment of a task, and its own extra variables."""
    e = schema.environments
    found = c.execute(
        select(e.c.variables, tasks.c.env)
        .select_from(tasks.outerjoin(e))
        .where(tasks.c.uuid == uuid)
    ).first()
    return (found[0] or {}, found[1] or {}) if found else ({}, {})


# --- runs -----------------------------------------------------------------------------------


def list_active(c: Connection) -> list[InstanceRow]:
    """Return the active runs, oldest start first."""
    listed = ", ".join(f"'{word}'" for word in sorted(ACTIVE))
    chosen = (
        select(*_RUN).select_from(runs.join(tasks)).where(text(f"instances.status IN ({listed})"))
    )
    return sorted(
        (InstanceRow._make(row) for row in c.execute(chosen)),
        key=lambda row: (row.start_time or "9", row.runid),
    )


def map_boot_ids(c: Connection, runids: Sequence[str]) -> dict[str, str | None]:
    """Return {runid: boot id of the machine at its start}, None if unknown."""
    return dict(
        raw_sql.fetch_rows(
            c,
            "SELECT runid, boot_id FROM instances WHERE runid IN (SELECT value FROM json_each(?))",
            (_to_json(runids),),
        )
    )


_OF_TASK = {
    "number", "name", "priority", "template", "timeout", "group_number", "group_index", "sweep"
}  # fmt: skip
_RUNNING = (
    "SELECT"
    f" {', '.join(('t.' if name in _OF_TASK else 'i.') + name for name in ActiveRunRow._fields)},"
    " i.deadline"
    f" FROM instances i JOIN tasks t ON t.uuid = i.task_id WHERE i.status IN {ACTIVE_SQL}"
)


def list_running(c: Connection) -> list[ActiveRunRow]:
    """Return the active runs with the deck's columns, oldest start first."""
    rows = [
        run._replace(timeout=get_run_limit(run.start_time, deadline, run.timeout))
        for *values, deadline in raw_sql.fetch_rows(c, _RUNNING)
        for run in [ActiveRunRow._make(values)]
    ]
    return sorted(rows, key=lambda row: (row.start_time or "9", row.runid))


class MeasurableRun(NamedTuple):
    """An active run with a process to measure, and the log limit of its task."""

    runid: str
    pid: int
    log_limit: float | None


_MEASURABLE = (
    "SELECT i.runid, i.pid, t.log_limit FROM instances i JOIN tasks t ON t.uuid = i.task_id WHERE"
    f" i.status IN {ACTIVE_SQL} AND i.pid IS NOT NULL"
)


def list_measurable(c: Connection) -> list[MeasurableRun]:
    """Return the active runs that have a process."""
    return [MeasurableRun._make(row) for row in raw_sql.fetch_rows(c, _MEASURABLE)]


def list_runs(
    c: Connection, task: str | None = None, limit: int = 0, group: int | None = None
) -> list[InstanceRow]:
    """Return the runs of a task, first attempt first; or those of a group or all, newest first.

    A limit of 0 means all.
    """
    chosen = select(*_RUN).select_from(runs.join(tasks)).where(tasks.c.deleted_at.is_(None))
    if task is not None:
        return [
            InstanceRow._make(row)
            for row in c.execute(chosen.where(runs.c.task_id == task).order_by(runs.c.runid))
        ]
    if group is None:
        chosen = chosen.order_by(runs.c.runid.desc())
    else:  # the plus keeps SQLite from reading all runs in this order
        newest = desc(literal_column("+instances.runid"))
        chosen = chosen.where(tasks.c.group_number == group).order_by(newest)
    return [InstanceRow._make(row) for row in c.execute(chosen.limit(limit) if limit else chosen)]


def find_run(c: Connection, runid: str) -> tuple[InstanceRow, str | None] | None:
    """Return a run and its stored log."""
    row = c.execute(
        select(*_RUN, runs.c.logs).select_from(runs.join(tasks)).where(runs.c.runid == runid)
    ).first()
    return (InstanceRow._make(row[:-1]), row[-1]) if row else None


def map_logs(c: Connection, task: str) -> dict[str, str | None]:
    """Return {runid: stored log} of a task's runs."""
    return dict(c.execute(select(runs.c.runid, runs.c.logs).where(runs.c.task_id == task)).all())


def map_last_runs(c: Connection, uuids: Sequence[str]) -> dict[str, Any]:
    """Return each task's latest ended run: run_seconds, exit_code, signal, stored log."""
    found = (
        "SELECT task_id, max(runid) AS runid, run_seconds, exit_code, signal, logs FROM instances"
        " WHERE task_id IN (SELECT value FROM json_each(?)) AND end_time IS NOT NULL GROUP BY"
        " task_id"
    )
    return {row.task_id: row for row in raw_sql.fetch_rows(c, found, (_to_json(uuids),))}


def list_unended(c: Connection, uuids: Sequence[str]) -> list[Any]:
    """Return the tasks that have not ended, with what may hold them.

    Rows of uuid, number, status, paused, and columns of the queue and pool.
    """
    listed = ", ".join(f"'{word}'" for word in sorted(ENDED))
    found = (
        "SELECT t.uuid, t.number, t.status, t.queue, q.status AS queue_status, q.capacity, p.name"
        " AS pool, p.status AS pool_status, EXISTS (SELECT 1 FROM instances i WHERE i.task_id ="
        " t.uuid AND +i.status = 'paused') AS paused FROM tasks t JOIN queues q ON q.name ="
        " t.queue JOIN pools p ON p.name = q.pool WHERE t.uuid IN (SELECT value FROM json_each(?))"
        f" AND t.deleted_at IS NULL AND +t.status NOT IN ({listed})"
    )
    return raw_sql.fetch_rows(c, found, (_to_json(uuids),))


def list_run_seconds(c: Connection, template: str, limit: int = 50) -> list[float]:
    """Return the durations of successful runs of a template's latest tasks."""
    t = tasks.c
    newest = (
        select(t.uuid)
        .where(t.template == template, t.ended_at.is_not(None))
        .order_by(t.ended_at.desc())
        .limit(limit)
    )
    chosen = select(runs.c.run_seconds).where(
        runs.c.task_id.in_(newest), text("+instances.status = 'succeeded'")
    )
    return [seconds for seconds in c.execute(chosen).scalars() if seconds is not None]


def count_template_uses(c: Connection, template: str, most: int) -> dict[str, Any]:
    """Count a template's tasks and the unended ones; find its last use.

    Counts stop at `most`.
    """
    used = "SELECT count(*) FROM (SELECT 1 FROM tasks WHERE template = ? LIMIT ?)"
    active = (
        "SELECT count(*) FROM (SELECT 1 FROM tasks WHERE template = ? AND ended_at IS NULL LIMIT ?)"
    )
    last = "SELECT max(ended_at) FROM tasks WHERE template = ?"
    return {"used": raw_sql.fetch_value(c, used, (template, most)),
    "active": raw_sql.fetch_value(c, active, (template, most)),
            "last_used": raw_sql.fetch_value(c, last, (template,))}  # fmt: skip


# --- other tables ---------------------------------------------------------------------------


_QUEUES = f"SELECT {', '.join(QueueRow._fields)} FROM queues ORDER BY priority DESC, name"
_POOLS = f"SELECT {', '.join(PoolRow._fields)} FROM pools ORDER BY name"


def list_queues(c: Connection) -> list[QueueRow]:
    """Return the queues by priority, then name."""
    return [QueueRow._make(row) for row in raw_sql.fetch_tuples(c, _QUEUES)]


_NOW = """
SELECT q.name, p.status AS pool_status, p.kind AS pool_kind, p.total_cpu - p.used_cpu AS free_cpu,
  p.total_memory - p.used_memory AS free_memory,
  (SELECT min(created_at) FROM tasks WHERE queue = q.name AND status = 'queued') AS oldest_at,
  (SELECT cpu FROM tasks WHERE queue = q.name AND status = 'queued'
    ORDER BY front DESC, priority DESC, number LIMIT 1) AS first_cpu,
  (SELECT memory FROM tasks WHERE queue = q.name AND status = 'queued'
    ORDER BY front DESC, priority DESC, number LIMIT 1) AS first_memory
FROM queues q JOIN pools p ON p.name = q.pool
"""


def map_queue_facts(c: Connection) -> dict[str, Any]:
    """Return {queue: free pool capacity, oldest queued task, first task's request}."""
    return {row.name: row for row in raw_sql.fetch_rows(c, _NOW)}


def list_pools(c: Connection) -> list[PoolRow]:
    """Return the pools by name."""
    return [PoolRow._make(row) for row in raw_sql.fetch_tuples(c, _POOLS)]


def list_events(c: Connection, task: str, limit: int = 200) -> list[EventRow]:
    """Return the latest events of a task, oldest first."""
    e = schema.events
    chosen = (
        select(*_get_columns(e, EventRow))
        .where(e.c.task_id == task)
        .order_by(e.c.id.desc())
        .limit(limit)
    )
    return [EventRow._make(row) for row in c.execute(chosen)][::-1]
