"""Reads of rules of the general form: tasks, runs and schedules, each read once for all rules."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from db import raw_sql, timestamps
from db.states import ACTIVE_SQL, FAILED, RUN_ENDED, as_sql

MAX_CANDIDATES = 500
"""Waiting tasks of a queue, or of a status, that rules look at; the oldest come first."""
NEXT_CANDIDATES = 10
"""Waiting tasks of a queue that rules look at although they are too young to break one."""
MAX_RUNS = 50_000
"""Runs of the past that rules look at."""
MAX_PAST_TASKS = 20_000
"""Tasks that a replay of a rule looks at; the newest come first."""
MAX_EARLIER = 200
"""Latest tasks of a name that are searched for a success."""
FEW_NAMES = 200
"""Names up to which all of these tasks are searched; of more names, a tenth of them."""
MAX_FIRES = 200
"""Latest fire times of a schedule that are searched for a success."""
AFTER_ALL_TIMES = "~"
"""A text after every stored time."""
_ENDED_SQL = as_sql(RUN_ENDED)
_FAILED_SQL = as_sql(FAILED)


class CandidateRow(NamedTuple):
    """A waiting task, or a task with an active run; then the columns of the run are set."""

    uuid: str
    number: int
    name: str
    template: str | None
    queue: str
    tags: str
    status: str
    created_at: str
    not_before: str | None
    retry_at: str | None
    attempts: int
    runid: str | None = None
    pool: str | None = None
    start_time: str | None = None


Candidate = tuple[Any, ...]
"""A `CandidateRow` as the driver returns it: a pass makes objects only of changed ones."""


class RunRow(NamedTuple):
    """A run that started, and perhaps ended, in the past."""

    runid: str
    task_id: str
    number: int
    name: str
    template: str | None
    queue: str
    pool: str
    tags: str
    status: str
    attempt: int
    created_at: str
    start_time: str | None
    end_time: str | None
    run_seconds: float | None
    max_rss: float | None
    cpu_seconds: float | None
    log_bytes: int | None
    exit_code: int | None
    cpu: float
    memory: float
    not_before: str | None


class PastTaskRow(NamedTuple):
    """A task as a replay of a rule needs it."""

    uuid: str
    number: int
    name: str
    template: str | None
    queue: str
    tags: str
    status: str
    created_at: str
    not_before: str | None
    ended_at: str | None
    retries: int


_TASK = (
    "t.uuid, t.number, t.name, t.template, t.queue, t.tags, t.status, t.created_at, t.not_before,"
    " t.retry_at, t.attempts"
)
_NO_RUN = "NULL, NULL, NULL"
_RUN = (
    "i.runid, i.task_id, t.number, t.name, t.template, i.queue, i.pool, t.tags, i.status,"
    " i.attempt, t.created_at, i.start_time, i.end_time, i.run_seconds, i.max_rss, i.cpu_seconds,"
    " i.log_bytes, i.exit_code, i.cpu, i.memory, t.not_before"
)


def list_waiting(c: Connection, queues: Iterable[str], before: str) -> list[Candidate]:
    """Return the oldest queued tasks of each queue, submitted before a time, and the next ones."""
    rows: list[Candidate] = []
    for queue in queues:
        old = _list_queued(c, queue, "<=", before, MAX_CANDIDATES)
        rows += old
        if len(old) < MAX_CANDIDATES:
            rows += _list_queued(c, queue, ">", before, NEXT_CANDIDATES)
    return rows


def _list_queued(
    c: Connection, queue: str, op: str, created_at: str, most: int
) -> list[Candidate]:  # fmt: skip
    rows = raw_sql.fetch_tuples(
        c,
        f"SELECT {_TASK}, {_NO_RUN} FROM tasks t WHERE t.queue = ? AND t.status = 'queued' AND"
        f" t.created_at {op} ? AND t.deleted_at IS NULL ORDER BY t.created_at LIMIT ?",
        (queue, created_at, most),
    )
    return [*rows]


def list_not_queued(c: Connection) -> list[Candidate]:
    """Return the first tasks that are held, blocked or waiting for a retry."""
    rows: list[Candidate] = []
    for status in ("blocked", "held", "retrying"):
        rows += raw_sql.fetch_tuples(
            c,
            f"SELECT {_TASK}, {_NO_RUN} FROM tasks t WHERE t.status = ? AND t.deleted_at IS NULL"
            " ORDER BY t.rowid LIMIT ?",
            (status, MAX_CANDIDATES),
        )
    return rows


def list_active(c: Connection) -> list[Candidate]:
    """Return the tasks with an active run."""
    rows = raw_sql.fetch_tuples(
        c,
        f"SELECT {_TASK}, i.runid, i.pool, i.start_time FROM instances i CROSS JOIN tasks t ON"
        f" t.uuid = i.task_id WHERE i.status IN {ACTIVE_SQL}",
    )
    return [*rows]


def list_by_uuid(c: Connection, uuids: Sequence[str]) -> list[Candidate]:
    """Return waiting tasks by uuid."""
    rows = raw_sql.fetch_tuples(
        c,
        f"SELECT {_TASK}, {_NO_RUN} FROM tasks t WHERE t.uuid IN (SELECT value FROM json_each(?))"
        " AND +t.status IN ('queued', 'blocked', 'held', 'retrying') AND t.deleted_at IS NULL",
        (json.dumps(list(uuids)),),
    )
    return [*rows]


def map_statuses(c: Connection, uuids: Sequence[str]) -> dict[str, str]:
    """Return {uuid: status} of tasks that are not deleted."""
    rows = raw_sql.fetch_tuples(
        c,
        "SELECT uuid, status FROM tasks WHERE uuid IN (SELECT value FROM json_each(?)) AND"
        " deleted_at IS NULL",
        (json.dumps(list(uuids)),),
    )
    return {uuid: status for uuid, status in rows}


def find_end_of_failure(c: Connection, uuid: str) -> str | None:
    """Return when the last run of a failed task ended, None if the task is not failed."""
    return raw_sql.fetch_value(
        c,
        "SELECT i.end_time FROM tasks t CROSS JOIN instances i ON i.task_id = t.uuid WHERE t.uuid ="
        f" ? AND t.deleted_at IS NULL AND +t.status IN {_FAILED_SQL} ORDER BY i.attempt DESC LIMIT"
        " 1",
        (uuid,),
    )


def map_fire_times(c: Connection, uuids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return {task uuid: (schedule, fire time)} of tasks that a schedule has submitted."""
    rows = raw_sql.fetch_tuples(
        c,
        "SELECT task_id, schedule, fire_time FROM fires WHERE task_id IN (SELECT value FROM"
        " json_each(?)) AND task_id IS NOT NULL",
        (json.dumps(list(uuids)),),
    )
    return {uuid: (schedule, at) for uuid, schedule, at in rows}


def list_ended_since(c: Connection, since: str) -> list[RunRow]:
    """Return the runs that ended from a time on, newest first."""
    return _list_runs(c, "i.end_time >= ? AND i.end_time IS NOT NULL ORDER BY i.end_time", since)


def list_started_since(c: Connection, since: str) -> list[RunRow]:
    """Return the runs that started from a time on, newest first."""
    return _list_runs(c, "i.start_time >= ? ORDER BY i.start_time", since)


def _list_runs(c: Connection, where: str, since: str) -> list[RunRow]:
    rows = raw_sql.fetch_tuples(
        c,
        f"SELECT {_RUN} FROM instances i CROSS JOIN tasks t ON t.uuid = i.task_id WHERE {where}"
        " DESC LIMIT ?",
        (since, MAX_RUNS),
    )
    return [RunRow._make(row) for row in rows]


class NameFacts(NamedTuple):
    """Outcomes of the tasks of a name: the last success, and failed runs since it.

    `submitted` is the latest submission that succeeded, and `number` its task. `ended` is the end
    of the latest success. `failed` is the end of the latest task that failed with no attempt left,
    `failed_submitted` its submission. A task of a schedule is submitted at its fire time.
    `template`, `queue` and `tags` belong to the latest task.
    """

    submitted: str | None
    ended: str | None
    failures: int
    template: str | None
    queue: str | None
    tags: str | None = None
    failed: str | None = None
    failed_submitted: str | None = None
    number: int | None = None


_FAILED_WORDS = {str(status) for status in FAILED}


def read_names(
    c: Connection, names: Sequence[str], scheduled: Collection[str] = ()
) -> dict[str, NameFacts]:
    """Return the outcomes of the latest tasks of some names, with fire times of scheduled ones."""
    most = MAX_EARLIER if len(names) <= FEW_NAMES else MAX_EARLIER // 10
    tasks: dict[str, list[Any]] = {name: [] for name in names}
    rows = raw_sql.fetch_tuples(
        c,
        "SELECT t.uuid, t.status, t.created_at, t.ended_at, t.template, t.queue, t.name, t.number,"
        " t.tags, t.retries, t.deleted_at"
        " FROM json_each(?) n CROSS JOIN tasks t ON t.rowid IN (SELECT o.rowid FROM tasks o WHERE"
        " o.name = n.value ORDER BY o.rowid DESC LIMIT ?)",
        (json.dumps(list(names)), most),
    )
    for row in rows:
        tasks[row[6]].append(row)
    uuids = [row[0] for found in tasks.values() for row in found if row[1] != "succeeded"]
    runs = _map_ends(c, uuids)
    fired = [row[0] for name in {*scheduled} & tasks.keys() for row in tasks[name]]
    fires = map_fire_times(c, fired) if fired else {}
    return {name: _judge_tasks(found, runs, fires) for name, found in tasks.items()}


def _map_ends(c: Connection, uuids: Sequence[str]) -> dict[str, list[tuple[str, str, int]]]:
    """Return {task: end, status and attempt of its ended runs}."""
    runs: dict[str, list[tuple[str, str, int]]] = {}
    ends = raw_sql.fetch_tuples(
        c,
        "SELECT i.task_id, i.end_time, i.status, i.attempt FROM json_each(?) u CROSS JOIN"
        f" instances i ON i.task_id = u.value WHERE +i.status IN {_ENDED_SQL} AND i.end_time IS NOT"
        " NULL",
        (json.dumps(uuids),),
    )
    for uuid, ended, status, attempt in ends:
        runs.setdefault(uuid, []).append((ended, status, attempt))
    return runs


def _judge_tasks(
    tasks: Sequence[Any], runs: dict[str, list[tuple[str, str, int]]],
    fires: Mapping[str, tuple[str, str]],
) -> NameFacts:  # fmt: skip
    planned = {row[0]: fires[row[0]][1] if row[0] in fires else row[2] for row in tasks}
    succeeded = [row for row in tasks if row[1] == "succeeded" and row[3]]
    ended = max((row[3] for row in succeeded), default=None)
    submitted, number = max(((planned[row[0]], row[7]) for row in succeeded), default=(None, None))
    kept = [row for row in tasks if row[10] is None]
    ends = [one for row in kept for one in runs.get(row[0], ())]
    failures = sum(
        status in _FAILED_WORDS and (ended is None or end > ended) for end, status, _ in ends
    )
    last = max(tasks, key=lambda row: row[7], default=None)
    template, queue, tags = (last[4], last[5], last[8]) if last else (None, None, None)
    failed = [
        (planned[row[0]], end)
        for row in tasks
        for end in _list_failures(row[1], row[9], row[10], runs.get(row[0], ()))
    ]
    failed_submitted, failed_at = max(failed, default=(None, None))
    return NameFacts(
        submitted, ended, failures, template, queue, tags, failed_at, failed_submitted, number
    )


def _list_failures(
    status: str, retries: int, deleted_at: str | None, runs: Iterable[tuple[str, str, int]]
) -> list[str]:
    """Return the ends of the runs that failed with no attempt left; a retry may run since."""
    if status == "cancelled" or deleted_at is not None:
        return []
    is_over = status in _FAILED_WORDS
    failed = [(end, attempt) for end, word, attempt in runs if word in _FAILED_WORDS]
    return [end for end, attempt in failed if is_over or attempt > retries]


def find_last_deletion(c: Connection) -> str:
    """Return when a task was last deleted, or "" if none was."""
    found = "SELECT max(deleted_at) FROM tasks WHERE deleted_at IS NOT NULL"
    return raw_sql.fetch_value(c, found) or ""


def list_deleted_names(c: Connection, after: str) -> list[str]:
    """Return the names of tasks deleted after a time."""
    found = "SELECT DISTINCT name FROM tasks INDEXED BY idx_tasks_deleted WHERE deleted_at > ?"
    return raw_sql.fetch_column(c, found, (after,))


def list_names(c: Connection, most: int) -> list[str]:
    """Return the distinct names of tasks, by one step of the index for each."""
    return raw_sql.fetch_column(
        c,
        "WITH RECURSIVE names(name) AS (SELECT (SELECT min(name) FROM tasks) UNION ALL SELECT"
        " (SELECT min(t.name) FROM tasks t WHERE t.name > names.name) FROM names WHERE names.name"
        " IS NOT NULL) SELECT name FROM names WHERE name IS NOT NULL LIMIT ?",
        (most,),
    )


def find_success_before(c: Connection, name: str, before: str) -> tuple[str, str] | None:
    """Return submission, or fire time, and end of the latest success of a name before a time."""
    rows = raw_sql.fetch_tuples(
        c,
        "SELECT uuid, created_at, ended_at FROM (SELECT uuid, status, created_at, ended_at FROM"
        " tasks WHERE name = ? ORDER BY rowid DESC LIMIT ?) WHERE status = 'succeeded' AND ended_at"
        " < ? ORDER BY ended_at DESC LIMIT 1",
        (name, MAX_EARLIER, before),
    )
    for uuid, created, ended in rows:
        fire = map_fire_times(c, [uuid]).get(uuid)
        return fire[1] if fire else created, ended
    return None


def find_schedule_success(
    c: Connection, schedule: str, before: str = AFTER_ALL_TIMES
) -> tuple[str, str] | None:
    """Return fire time and end of the latest success of a schedule before a time, or None."""
    rows = raw_sql.fetch_tuples(
        c,
        "SELECT f.fire_time, t.ended_at FROM (SELECT fire_time, task_id FROM fires WHERE"
        " schedule = ? AND task_id IS NOT NULL ORDER BY fire_time DESC LIMIT ?) f CROSS JOIN tasks"
        " t ON t.uuid = f.task_id WHERE +t.status = 'succeeded' AND +t.ended_at < ? ORDER BY"
        " f.fire_time DESC LIMIT 1",
        (schedule, MAX_FIRES, before),
    )
    return next(((fire_time, ended) for fire_time, ended in rows), None)


def find_schedule_failure(c: Connection, schedule: str) -> tuple[str, str] | None:
    """Return fire time and end of the latest failure of a schedule without an attempt left."""
    rows = raw_sql.fetch_tuples(
        c,
        "SELECT t.uuid, t.status, t.retries, t.deleted_at, f.fire_time FROM (SELECT fire_time,"
        " task_id FROM fires WHERE schedule = ? AND task_id IS NOT NULL ORDER BY fire_time DESC"
        " LIMIT ?) f CROSS JOIN tasks t ON t.uuid = f.task_id WHERE +t.status <> 'succeeded'",
        (schedule, MAX_FIRES // 10),
    )
    runs = _map_ends(c, [row[0] for row in rows])
    failed = [
        (fire_time, end)
        for uuid, status, retries, deleted_at, fire_time in rows
        for end in _list_failures(status, retries, deleted_at, runs.get(uuid, ()))
    ]
    return max(failed, default=None)


def list_missed_fires(c: Connection, since: str) -> list[tuple[str, str]]:
    """Return (schedule, fire time) of the fire times since a time that were missed."""
    rows = raw_sql.fetch_tuples(
        c,
        "SELECT schedule, fire_time FROM fires WHERE fire_time >= ? AND outcome = 'missed'",
        (since,),
    )
    return [(schedule, at) for schedule, at in rows]


def list_past_runs(c: Connection, template: str | None, name: str, most: int) -> list[RunRow]:
    """Return the last successful runs of a template, else of a name, newest first."""
    chosen, word = (
        ("o.template = ? AND o.ended_at IS NOT NULL ORDER BY o.ended_at", template)
        if template
        else ("o.name = ? ORDER BY o.rowid", name)
    )
    rows = raw_sql.fetch_tuples(
        c,
        f"SELECT {_RUN} FROM (SELECT o.rowid AS place FROM tasks o WHERE {chosen} DESC LIMIT ?)"
        " chosen CROSS JOIN tasks t ON t.rowid = chosen.place CROSS JOIN instances i ON i.task_id ="
        " t.uuid WHERE +i.status = 'succeeded' LIMIT ?",
        (word, 3 * most, most),
    )
    return [RunRow._make(row) for row in rows]


def find_first_record(c: Connection) -> str:
    """Return when the home was made, or its first task, rule or check-in if that was earlier."""
    tables = ("home", "tasks", "slas", "checkins")
    parts = [f"SELECT min(created_at) AS at FROM {table}" for table in tables]
    found = raw_sql.fetch_value(c, f"SELECT min(at) FROM ({' UNION ALL '.join(parts)})")
    return found or timestamps.now()


def list_past_tasks(c: Connection, since: str) -> list[PastTaskRow]:
    """Return the newest tasks that were submitted since a time."""
    rows = raw_sql.fetch_tuples(
        c,
        "SELECT uuid, number, name, template, queue, tags, status, created_at, not_before,"
        " ended_at, retries FROM tasks WHERE created_at >= ? AND deleted_at IS NULL ORDER BY"
        " created_at DESC LIMIT ?",
        (since, MAX_PAST_TASKS),
    )
    return [PastTaskRow(*row) for row in rows]


def list_runs_of(c: Connection, uuids: Sequence[str]) -> list[RunRow]:
    """Return all runs of tasks."""
    rows = raw_sql.fetch_tuples(
        c,
        f"SELECT {_RUN} FROM json_each(?) u CROSS JOIN tasks t ON t.uuid = u.value CROSS JOIN"
        " instances i ON i.task_id = t.uuid",
        (json.dumps(list(uuids)),),
    )
    return [RunRow._make(row) for row in rows]


def read_change_marks(c: Connection) -> tuple[int, str]:
    """Return the highest event, and the latest change of a queue or a check-in."""
    (row,) = raw_sql.fetch_tuples(
        c,
        "SELECT coalesce((SELECT max(id) FROM events), 0), coalesce((SELECT max(updated_at) FROM"
        " queues), '') || coalesce((SELECT max(updated_at) FROM checkins), '') ||"
        " coalesce((SELECT max(updated_at) FROM slas), '') || (SELECT count(*) FROM slas)",
    )
    return row[0], row[1]
