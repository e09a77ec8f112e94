"""Status transitions of tasks and runs. The only module that writes statuses.

Functions change many rows at once, with their events, in the caller's transaction. Each update is
guarded by the source statuses that `states` allows. A row missing from the result was changed by
another transaction first; callers accept that. The loads of queues and pools are recounted from the
active runs in the same transaction.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from time import monotonic
from typing import Any

from sqlalchemy import Connection

from db import raw_sql, schema, timestamps
from db.queries import counters
from db.queries.history import operations
from db.queries.rules import alerts
from db.queries.rules.sla_cursor import BROUGHT_BACK
from db.queries.scheduling import loads
from db.queries.tasks import packed_task, pending_parents, skips, task_numbers
from db.queries.tasks.pending_parents import CancelledTask
from db.queries.tasks.run_end import (
    Judge,
    RunFacts,
    RunVerdict,
    describe_leftovers,
    get_end_time,
    get_start_time,
    make_end_row,
)
from db.states import (
    ACTIVE,
    ACTIVE_SQL,
    ENDED,
    WAITING,
    RunStatus,
    TaskStatus,
    as_sql,
    find_source_states,
)

SYSTEM = "taskdeck"
"""Author of changes made by Taskdeck itself."""


# --- primitives -----------------------------------------------------------------------------


def move_tasks(
    c: Connection, to: TaskStatus, rows: Sequence[dict[str, Any]], by: str, note: str | None = None
) -> list[dict[str, Any]]:
    """Move the tasks that may go to `to`, and return the rows that moved.

    Each row has `uuid` and the same other columns to set.
    """
    changed_rows = _move(c, "tasks", "uuid", to, rows)
    _record(c, [{"task_id": row["uuid"], "runid": None} for row in changed_rows], to, by, note)
    return changed_rows


def _move_all(
    c: Connection,
    to: TaskStatus,
    uuids: Sequence[str],
    sources: frozenset[TaskStatus],
    by: str,
    **values: Any,
) -> list[str]:
    """Move the tasks in one of `sources` to `to`, with equal values; return those that moved."""
    # `+status` as in `_move`
    allowed = _quote_words(sorted(sources.intersection(find_source_states(to))))
    update = _build_update("tasks", f"uuid IN {_LISTED}", tuple(values)) + (
        f" AND +status IN ({allowed}) RETURNING uuid"
    )
    now, listed = timestamps.now(), json.dumps(list(uuids))
    changes = Counter[str]()
    if len(uuids) >= _GROUP:
        counted = f"{_COUNT_LISTED} AND +status IN ({allowed}) GROUP BY queue, group_number, status"
        for queue, group, status, count in raw_sql.fetch_rows(c, counted, (listed,)):
            for name in (f"tasks/{queue}", *([f"groups/{group}"] if group else ())):
                changes[f"{name}/{status}"] -= count
                changes[f"{name}/{to.value}"] += count
    with counters.count_together(c, changes):
        moved = raw_sql.fetch_column(c, update, (to.value, now, *values.values(), listed))
    if moved:
        events = (to.value, by, now, now, json.dumps(moved))
        raw_sql.execute_statement(c, _RECORD_TASKS, events)
    return moved


def move_runs(
    c: Connection, to: RunStatus, rows: Sequence[dict[str, Any]], by: str, note: str | None = None
) -> list[dict[str, Any]]:
    """Move the runs that may go to `to`; each row has `runid` and `task_id`."""
    changed_rows = _move(c, "instances", "runid", to, rows)
    _record(
        c,
        [{"task_id": row["task_id"], "runid": row["runid"]} for row in changed_rows],
        to,
        by,
        note,
    )
    return changed_rows


def _move(
    c: Connection, table: str, key: str, to: TaskStatus | RunStatus, rows: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    if not rows:
        return []
    ids = json.dumps([row[key] for row in rows])
    # `+status` keeps SQLite off the status index, which holds far more rows than these few keys.
    may = (
        f"SELECT {key} FROM {table} WHERE {key} IN (SELECT value FROM json_each(?)) AND +status IN"
        f" ({_quote_words(find_source_states(to))})"
    )
    allowed = set(raw_sql.fetch_column(c, may, (ids,)))
    changed_rows = [row for row in rows if row[key] in allowed]
    # One statement for the rows that get the same values: see `_GROUP`.
    names = [name for name in rows[0] if name not in (key, "task_id")]
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for row in changed_rows:
        groups.setdefault(tuple([row[name] for name in names]), []).append(row[key])
    now = timestamps.now()
    singles: list[tuple[Any, ...]] = []
    lists: list[tuple[Any, ...]] = []
    for values, keys in groups.items():
        if len(keys) == 1:
            singles.append((to.value, now, *values, *keys))
        else:
            lists.append((to.value, now, *values, json.dumps(keys)))
    raw_sql.execute_statements(c, _build_update(table, f"{key} = ?", tuple(names)), singles)
    raw_sql.execute_statements(c, _build_update(table, f"{key} IN {_LISTED}", tuple(names)), lists)
    return changed_rows


_LISTED = "(SELECT value FROM json_each(?))"
_COUNT_LISTED = (
    f"SELECT queue, group_number, status, count(*) FROM tasks WHERE uuid IN {_LISTED} AND"
    " deleted_at IS NULL"
)


@lru_cache(256)
def _build_update(table: str, where: str, columns: tuple[str, ...]) -> str:
    sets = "".join(f", {name} = ?" for name in columns)
    return f"UPDATE {table} SET status = ?, updated_at = ?{sets} WHERE {where}"


def _quote_words(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


def _record(
    c: Connection,
    rows: Sequence[dict[str, Any]],
    to: TaskStatus | RunStatus,
    by: str,
    note: str | None,
) -> None:
    if rows:
        listed = json.dumps([(row["task_id"], row["runid"]) for row in rows])
        raw_sql.execute_statement(c, _RECORD, (to.value, by, note, *2 * [timestamps.now()], listed))


_RECORD = (
    "INSERT INTO events (task_id, runid, status, by, note, created_at, updated_at) SELECT value ->>"
    " 0, value ->> 1, ?, ?, ?, ?, ? FROM json_each(?)"
)
_RECORD_TASKS = (
    "INSERT INTO events (task_id, status, by, created_at, updated_at) SELECT value, ?, ?, ?, ? FROM"
    " json_each(?)"
)


# --- submission -----------------------------------------------------------------------------


def submit(
    c: Connection, tasks: Sequence[dict[str, Any]], parents: Sequence[dict[str, Any]], by: str
) -> dict[str, int]:
    """Insert tasks and their dependencies; return {uuid: number}.

    Rows have all columns but number, status and times. A known uuid is a resent submission: it
    keeps its number and nothing else happens.
    """
    return submit_rows(c, [packed_task.pack_task(task) for task in tasks], parents, by)


def submit_rows(
    c: Connection, rows: Sequence[list[Any]], parents: Sequence[dict[str, Any]], by: str
) -> dict[str, int]:
    """Do the work of `submit` for rows of `packed_task.pack_task`; add columns to the rows."""
    numbers = task_numbers.find_known(c, [row[0] for row in rows])
    new = [row for row in rows if row[0] not in numbers] if numbers else rows
    if new:
        now, queued = timestamps.now(), TaskStatus.QUEUED.value
        first = task_numbers.take_numbers(c, len(new), now)
        folders = {cwd: schema.to_os_text(cwd) for cwd in {row[packed_task.CWD] for row in new}}
        for number, row in enumerate(new, first):
            row[packed_task.CWD] = folders[row[packed_task.CWD]]
            hold, start = row[packed_task.HOLD], row[packed_task.NOT_BEFORE]
            status = _get_initial_status(hold, start, now) if hold or start else queued
            row += (number, status, now, now)
            numbers[row[0]] = number
        grouped = len(new) - len(new) % _GROUP
        groups = [sum(new[at : at + _GROUP], []) for at in range(0, grouped, _GROUP)]
        changes = Counter(f"tasks/{row[packed_task.QUEUE]}/{row[-3]}" for row in new)
        changes += Counter(
            f"groups/{row[packed_task.GROUP]}/{row[-3]}" for row in new if row[packed_task.GROUP]
        )
        with counters.count_together(c, changes if groups else {}):
            raw_sql.execute_statements(c, _INSERT_GROUP, groups)
            raw_sql.execute_statements(c, _INSERT_TASK, new[grouped:])
        raw_sql.execute_statement(
            c, _RECORD_NEW, {"by": by, "now": now, "first": first, "last": first + len(new) - 1}
        )
        new_uuids = {row[0] for row in new} if parents else ()
        _insert_dependencies(c, [row for row in parents if row["task_id"] in new_uuids], now)
    return numbers


def _get_initial_status(hold: bool, not_before: str | None, now: str) -> str:
    if hold:
        return TaskStatus.HELD.value
    later = not_before is not None and not_before > now
    return (TaskStatus.SCHEDULED if later else TaskStatus.QUEUED).value


_INSERTED = (*packed_task.COLUMNS, "number", "status", "created_at", "updated_at")
_INSERT_TASK = (
    f"INSERT INTO tasks ({', '.join(_INSERTED)}) VALUES ({', '.join('?' * len(_INSERTED))})"
)
_GROUP = 25
"""Tasks inserted by one statement. A statement that fires triggers first copies each page that it
changes, for a rollback of the statement. A task costs 17 µs in a group, 30 µs alone."""
_INSERT_GROUP = _INSERT_TASK + f", ({', '.join('?' * len(_INSERTED))})" * (_GROUP - 1)
_RECORD_NEW = (
    "INSERT INTO events (task_id, status, by, note, created_at, updated_at) SELECT uuid, status,"
    " :by, 'submitted', :now, :now FROM tasks WHERE number BETWEEN :first AND :last ORDER BY number"
)


def _insert_dependencies(c: Connection, parents: Sequence[dict[str, Any]], now: str) -> None:
    """Store dependencies, then recompute the status of each child."""
    if not parents:
        return
    # The rows of an old parent may have been removed since it was looked up.
    raw_sql.execute_statements(
        c,
        "INSERT INTO dependencies (task_id, parent_id, kind, created_at, updated_at) SELECT"
        " :task_id, :parent_id, :kind, :now, :now WHERE EXISTS (SELECT 1 FROM tasks WHERE uuid ="
        " :parent_id)",
        [{**row, "now": now} for row in parents],
    )
    recompute_waiting_state(c, list({row["task_id"] for row in parents}), SYSTEM)


# --- waiting tasks --------------------------------------------------------------------------

_FACTS = f"""
SELECT t.uuid, t.status, t.hold, t.not_before, t.retry_at,
  EXISTS (SELECT 1 FROM dependencies d JOIN tasks p ON p.uuid = d.parent_id
    WHERE d.task_id = t.uuid AND {skips.UNMET}
  ) AS blocked,
  coalesce(
    (SELECT min(p.number) FROM dependencies d JOIN tasks p ON p.uuid = d.parent_id
      WHERE d.task_id = t.uuid AND {skips.BROKEN}),
    (SELECT iif(min({skips.NO_FAILURE}), max(p.number), NULL) FROM dependencies d
      JOIN tasks p ON p.uuid = d.parent_id WHERE d.task_id = t.uuid AND d.kind = 'failures')
  ) AS broken
FROM tasks t WHERE t.uuid IN (SELECT value FROM json_each(?))
  AND +t.status IN ({_quote_words(WAITING)})
"""


def recompute_waiting_state(c: Connection, uuids: Sequence[str], by: str) -> None:
    """Recompute the status of waiting tasks from their facts.

    The result is held, scheduled, blocked, retrying or queued; or cancelled if a parent ended such
    that the task never runs.
    """
    propagate_to_children(c, _recompute(c, uuids, by))


MAX_CHILDREN = 500
"""Children and levels of children that are updated in the transaction that ends their parents."""
PIECE = 100
"""Children updated between two looks at the clock."""
STEP_SECONDS = 0.03
"""Seconds after which a transaction updates no more children, at the next look at the clock."""


def propagate_to_children(c: Connection, ended: Sequence[str]) -> None:
    """Update the status of the children of tasks that have ended or started.

    A child that is cancelled thereby affects its own children in turn. Children that would take too
    long are left to `continue_propagation`.
    """
    left, end = MAX_CHILDREN, monotonic() + STEP_SECONDS
    while ended:
        children = pending_parents.list_children(c, ended, left + 1)
        left -= len(children) + 1
        if left < 0:
            return pending_parents.add(c, ended)
        cancelled: list[str] = []
        for at in range(0, len(children), PIECE):
            if at and monotonic() > end:
                return pending_parents.add(c, [*ended, *cancelled])
            cancelled += _recompute(c, children[at : at + PIECE], SYSTEM)
        ended = cancelled


def continue_propagation(c: Connection) -> None:
    """Update children that the transactions of their parents left, until the time is up."""
    end = monotonic() + STEP_SECONDS
    while taken := pending_parents.take_children(c, PIECE):
        if taken.parent is None:
            propagate_to_children(c, _recompute(c, taken.uuids, SYSTEM))
        else:
            back = _bring_piece_back(c, [taken.parent], taken.uuids, SYSTEM)
            _bring_children_back(c, back, SYSTEM)
        if monotonic() > end:
            return


def _recompute(c: Connection, uuids: Sequence[str], by: str) -> list[str]:
    """Move waiting tasks to their computed status; return the cancelled ones."""
    if not uuids:
        return []
    now = timestamps.now()
    facts = raw_sql.fetch_rows(c, _FACTS, (json.dumps(list(uuids)),))
    goals: dict[TaskStatus, list[dict[str, Any]]] = {}
    for row in facts:
        goal = _compute_status(row, now)
        if row.broken is None and goal != row.status:
            goals.setdefault(goal, []).append({"uuid": row.uuid})
    for goal, rows in goals.items():
        move_tasks(c, goal, rows, by)
    return _cancel_orphans(c, [(row.uuid, row.broken) for row in facts if row.broken is not None])


def _compute_status(row: Any, now: str) -> TaskStatus:
    if row.hold:
        return TaskStatus.HELD
    if row.not_before and row.not_before > now:
        return TaskStatus.SCHEDULED
    if row.blocked:
        return TaskStatus.BLOCKED
    return TaskStatus.RETRYING if row.retry_at and row.retry_at > now else TaskStatus.QUEUED


def _cancel_orphans(c: Connection, broken: Sequence[tuple[str, int]]) -> list[str]:
    """Cancel tasks whose parent (a number) ended in the wrong way; return their uuids."""
    if not broken:
        return []
    now = timestamps.now()
    rows = [
        {"uuid": uuid, "reason": reason, "ended_at": now, "retry_at": None}
        for uuid, reason in skips.map_reasons(c, broken).items()
    ]
    return [row["uuid"] for row in move_tasks(c, TaskStatus.CANCELLED, rows, SYSTEM)]


MAX_DUE = 500
"""Due tasks of a kind that are queued in one transaction; more take several, of about 50 ms."""


def queue_due_tasks(c: Connection) -> None:
    """Recompute the status of scheduled and retrying tasks that are due, the earliest first."""
    now = timestamps.now()
    due = (
        "SELECT uuid FROM (SELECT uuid FROM tasks INDEXED BY idx_tasks_scheduled "
        "WHERE status = 'scheduled' AND not_before <= :now AND not_before GLOB :time "
        f"ORDER BY not_before LIMIT {MAX_DUE}) "
        "UNION ALL SELECT uuid FROM (SELECT uuid FROM tasks INDEXED BY idx_tasks_retrying "
        "WHERE status = 'retrying' AND retry_at <= :now AND retry_at GLOB :time "
        f"ORDER BY retry_at LIMIT {MAX_DUE})"
    )
    uuids = raw_sql.fetch_column(c, due, {"now": now, "time": timestamps.TIME_GLOB})
    if uuids:
        recompute_waiting_state(c, uuids, SYSTEM)


# --- runs -----------------------------------------------------------------------------------


def claim(
    c: Connection, starts: Sequence[dict[str, Any]], *, recount: bool = True
) -> list[dict[str, Any]]:
    """Create a run for each task that still waits; return the claimed rows.

    Rows are {uuid, runid, queue, pool, cpu, memory, tags (JSON), attempt}, and those of runs with
    resources or devices have these. Without `recount` the caller recounts the loads.
    """
    now = timestamps.now()
    rows = [
        {
            "uuid": s["uuid"],
            "attempts": s["attempt"],
            "started_at": now,
            "retry_at": None,
            "reason": None,
        }
        for s in _cancel_already_run(c, starts)
    ]
    changed_rows = {row["uuid"] for row in move_tasks(c, TaskStatus.RUNNING, rows, SYSTEM)}
    claimed = [start for start in starts if start["uuid"] in changed_rows]
    if claimed:
        insert_runs = (
            "INSERT INTO instances (runid, task_id, status, tags, attempt, queue, pool, cpu,"
            " memory, resources, devices, copy_to, copy_error_to, outer_job, created_at,"
            " updated_at) VALUES (:runid, :uuid, 'starting', :tags, :attempt, :queue, :pool, :cpu,"
            " :memory, :resources, :devices, :copy_to, :copy_error_to, :outer_job, :now, :now)"
        )
        optional = ("resources", "devices", "copy_to", "copy_error_to", "outer_job")
        none = {**dict.fromkeys(optional), "now": now}
        raw_sql.execute_statements(c, insert_runs, [{**none, **start} for start in claimed])
        _record(
            c,
            [{"task_id": start["uuid"], "runid": start["runid"]} for start in claimed],
            RunStatus.STARTING,
            SYSTEM,
            None,
        )
        if recount:
            loads.recount_loads(c)
    return claimed


def _cancel_already_run(
    c: Connection, starts: Sequence[dict[str, Any]]
) -> Sequence[dict[str, Any]]:
    """Cancel tasks that ran before the database was restored; return the others."""
    named = (
        "SELECT DISTINCT task_id FROM forgotten WHERE task_id IN (SELECT value FROM json_each(?))"
    )
    ran = set(raw_sql.fetch_column(c, named, (json.dumps([start["uuid"] for start in starts]),)))
    if not ran:
        return starts
    rows = [
        {
            "uuid": uuid,
            "reason": "it ran before the database was restored",
            "ended_at": timestamps.now(),
        }
        for uuid in ran
    ]
    propagate_to_children(
        c, [row["uuid"] for row in move_tasks(c, TaskStatus.CANCELLED, rows, SYSTEM)]
    )
    return [start for start in starts if start["uuid"] not in ran]


def record_starts(c: Connection, events: Sequence[dict[str, Any]]) -> None:
    """Record starts reported by a keeper: {run, pid, ticks, at, boot}.

    A start reported again after a new hello changes nothing.
    """
    if not events:
        return
    found = (
        f"SELECT i.runid, i.task_id, t.timeout, {pending_parents.LEADS} AS leads FROM instances i"
        " JOIN tasks t ON t.uuid = i.task_id WHERE i.runid IN (SELECT value FROM json_each(?)) AND"
        " i.pid IS NULL AND +i.status IN ('starting', 'stopping')"
    )
    known = {
        row.runid: row
        for row in raw_sql.fetch_rows(c, found, (json.dumps([event["run"] for event in events]),))
    }
    rows = [
        _make_start_row(event, known[event["run"]]) for event in events if event["run"] in known
    ]
    changed_rows = {row["runid"] for row in move_runs(c, RunStatus.RUNNING, rows, SYSTEM)}
    stamped = [{**row, "now": timestamps.now()} for row in rows]
    late = [row for row in stamped if row["runid"] not in changed_rows]
    # A run may be stopping before its start is reported: store the pid, keep the status.
    raw_sql.execute_statements(
        c,
        "UPDATE instances SET pid = :pid, pid_ticks = :pid_ticks, boot_id = :boot_id, start_time ="
        " :start_time, deadline = :deadline, updated_at = :now WHERE runid = :runid AND +status ="
        " 'stopping'",
        late,
    )
    raw_sql.execute_statements(
        c,
        "UPDATE tasks SET started_at = :start_time, updated_at = :now WHERE uuid = :task_id",
        stamped,
    )
    propagate_to_children(c, [run.task_id for run in known.values() if run.leads])


def _make_start_row(event: dict[str, Any], run: Any) -> dict[str, Any]:
    return {
        "runid": run.runid,
        "task_id": run.task_id,
        "pid": event["pid"],
        "pid_ticks": event["ticks"],
        "boot_id": event.get("boot"),
        "start_time": timestamps.from_unix(event["at"]),
        "deadline": None
        if run.timeout is None
        else timestamps.from_unix(event["at"] + run.timeout),
    }


def _find_tasks_of_runs(c: Connection, runids: Sequence[str]) -> dict[str, str]:
    found = "SELECT runid, task_id FROM instances WHERE runid IN (SELECT value FROM json_each(?))"
    return dict(raw_sql.fetch_rows(c, found, (json.dumps(list(runids)),)))


_OVERTAKEN = f"""(i.attempt < t.attempts AND EXISTS (SELECT 1 FROM instances o
  WHERE o.task_id = i.task_id AND o.attempt > i.attempt AND +o.status IN {ACTIVE_SQL}))"""
_ENDING = f"""
SELECT i.runid, i.task_id, i.status, i.stop_reason, i.stopped_by, t.retries, t.failures,
  t.retry_delay, t.timeout, t.log_limit,
  i.start_time, i.queue, i.deadline, {_OVERTAKEN}, i.memory, t.retry_on_oom, t.oom_memory,
  CASE WHEN t.retry_on_oom IS NOT NULL THEN (SELECT CASE WHEN p.kind IS NULL THEN
    p.total_memory END FROM queues q JOIN pools p ON p.name = q.pool WHERE q.name = t.queue) END
FROM instances i JOIN tasks t ON t.uuid = i.task_id
WHERE i.runid IN (SELECT value FROM json_each(?)) AND +i.status IN {ACTIVE_SQL}
"""


def record_ends(
    c: Connection, events: Sequence[dict[str, Any]], judge: Judge, *, recount: bool = True
) -> list[str]:
    """Record ends reported by a keeper; return the tasks that ended for good.

    Each run gets its final status, and its task the next status. Without `recount` the caller
    recounts the loads.
    """
    if not events:
        return []
    facts = {
        row.runid: RunFacts(*row)
        for row in raw_sql.fetch_rows(c, _ENDING, (json.dumps([event["run"] for event in events]),))
    }
    verdicts = {
        event["run"]: (event, facts[event["run"]], judge(facts[event["run"]], event))
        for event in events
        if event["run"] in facts
    }
    ends: dict[tuple[RunStatus, str | None], list[dict[str, Any]]] = {}
    for event, run, verdict in verdicts.values():
        ends.setdefault((verdict.status, describe_leftovers(event)), []).append(
            make_end_row(event, run, verdict)
        )
    for (status, note), rows in ends.items():
        move_runs(c, status, rows, SYSTEM, note)
    ended_uuids = _end_tasks(
        c, [(run, verdict, event) for event, run, verdict in verdicts.values() if not run.overtaken]
    )
    _record_stops(
        c,
        [
            (run, verdict, run.stop_reason or event.get("stop"))
            for event, run, verdict in verdicts.values()
        ],
    )
    if verdicts and recount:
        loads.recount_loads(c)
    late = [run.task_id for _, run, verdict in verdicts.values()
            if verdict.retry_in is not None and run.start_time is None]  # fmt: skip
    propagate_to_children(c, ended_uuids + (pending_parents.list_leading(c, late) if late else []))
    return ended_uuids


_RUNTIME_STOP_REASONS = ("timeout", "log limit")
"""Reasons for which the runtime itself stops a run."""


def _record_stops(c: Connection, ends: Sequence[tuple[RunFacts, RunVerdict, str | None]]) -> None:
    """Log the stops by the runtime as operations, like the stops by users."""
    stopped = [
        (run, verdict, why)
        for run, verdict, why in ends
        if why in _RUNTIME_STOP_REASONS and verdict.status is not RunStatus.LOST
    ]
    if not stopped:
        return
    uuids = json.dumps([run.task_id for run, _, _ in stopped])
    numbers = dict(
        raw_sql.fetch_rows(
            c,
            "SELECT uuid, number FROM tasks WHERE uuid IN (SELECT value FROM json_each(?))",
            (uuids,),
        )
    )
    for run, verdict, why in stopped:
        after = {"status": verdict.status.value, "reason": verdict.reason}
        operations.record(
            c, SYSTEM, str(why), f"task #{numbers[run.task_id]}", {"status": run.status}, after
        )


def _end_tasks(
    c: Connection, ends: Sequence[tuple[RunFacts, RunVerdict, dict[str, Any]]]
) -> list[str]:
    """Move the tasks of ended runs to their end, or to retrying.

    A run that ended before its start was reported gets its start time here.
    """
    ended_uuids: list[str] = []
    retrying = [
        (verdict, {"uuid": run.task_id, "failures": run.failures + 1, "reason": verdict.reason,
        "started_at": timestamps.from_unix(get_start_time(run, event)),
         "retry_at": timestamps.from_unix(event["at"] + verdict.retry_in)})
        for run, verdict, event in ends if verdict.retry_in is not None
    ]  # fmt: skip
    usual = [row for verdict, row in retrying if verdict.memory is None]
    changed_rows = move_tasks(c, TaskStatus.RETRYING, usual, SYSTEM)
    larger = [
        {**row, "failures": row["failures"] - 1, "memory": verdict.memory,
         "oom_memory": verdict.ran_out_of}
        for verdict, row in retrying if verdict.memory is not None
    ]  # fmt: skip
    changed_rows += move_tasks(c, TaskStatus.RETRYING, larger, SYSTEM) if larger else []
    recompute_waiting_state(c, [row["uuid"] for row in changed_rows], SYSTEM)
    for status in {verdict.status for _, verdict, _ in ends}:
        rows = [
            {"uuid": run.task_id, "reason": verdict.reason,
            "started_at": timestamps.from_unix(get_start_time(run, event)),
             "ended_at": timestamps.from_unix(get_end_time(run, event)), "front": 0}
            for run, verdict, event in ends if verdict.status is status and verdict.retry_in is None
        ]  # fmt: skip
        ended_uuids += [
            row["uuid"] for row in move_tasks(c, TaskStatus(status.value), rows, SYSTEM)
        ]
    return ended_uuids


def unclaim(c: Connection, runids: Sequence[str]) -> None:
    """Undo the claim of runs that the keeper refused before they started.

    A run with a requested cancel is cancelled instead.
    """
    rows = raw_sql.fetch_rows(
        c,
        f"SELECT i.runid, i.task_id, i.status, i.stop_reason, i.stopped_by, {_OVERTAKEN} AS"
        " overtaken FROM instances i JOIN tasks t ON t.uuid = i.task_id WHERE i.runid IN (SELECT"
        " value FROM json_each(?)) AND +i.status IN ('starting', 'stopping')",
        (json.dumps(list(runids)),),
    )
    raw_sql.execute_statements(
        c, "DELETE FROM instances WHERE runid = ?", [(row.runid,) for row in rows]
    )
    rows = [row for row in rows if not row.overtaken]
    stopped = [row for row in rows if row.status == RunStatus.STOPPING]
    now = timestamps.now()
    ended_uuids = move_tasks(
        c,
        TaskStatus.CANCELLED,
        [
            {
                "uuid": row.task_id,
                "reason": f"cancelled by {row.stopped_by}",
                "started_at": None,
                "ended_at": now,
            }
            for row in stopped
        ],
        SYSTEM,
    )
    back = move_tasks(
        c,
        TaskStatus.QUEUED,
        [
            {"uuid": row.task_id, "started_at": None}
            for row in rows
            if row.status == RunStatus.STARTING
        ],
        SYSTEM,
    )
    free = [row["uuid"] for row in (*ended_uuids, *back)]
    raw_sql.execute_statements(
        c, "UPDATE tasks SET attempts = attempts - 1 WHERE uuid = ?", [(uuid,) for uuid in free]
    )
    recompute_waiting_state(c, [row["uuid"] for row in back], SYSTEM)
    loads.recount_loads(c)
    propagate_to_children(c, [row["uuid"] for row in ended_uuids])


# --- requests -------------------------------------------------------------------------------


def cancel(c: Connection, uuids: Sequence[str], by: str) -> None:
    """Cancel tasks: waiting ones at once, running ones by stopping their runs.

    A task that waits for a retry loses the start of its last run: no run ends with the task.
    """
    ended = {"ended_at": timestamps.now(), "started_at": None, "retry_at": None}
    reason = f"cancelled by {by}"
    moved = _move_all(c, TaskStatus.CANCELLED, uuids, WAITING, by, reason=reason, **ended)
    propagate_to_children(c, moved)
    if len(moved) < len(uuids):
        _stop_cancelled(c, uuids, by)


def _stop_cancelled(c: Connection, uuids: Sequence[str], by: str) -> None:
    """Begin to stop the runs of tasks."""
    stop(c, _find_active_runs(c, uuids), "cancel", by)
    # A run that stops for another reason might be retried: the user's cancel takes precedence.
    raw_sql.execute_statement(
        c,
        "UPDATE instances SET stop_reason = 'cancel', stopped_by = ?, updated_at = ? WHERE task_id"
        " IN (SELECT value FROM json_each(?)) AND +status = 'stopping' AND stop_reason <> 'cancel'",
        (by, timestamps.now(), json.dumps(list(uuids))),
    )


def undo_cancel(c: Connection, tasks: Mapping[str, str | None], by: str) -> list[int]:
    """Undo the cancel of waiting tasks {uuid: retry time} and their children.

    Return the numbers of the children brought back. More may be left to `continue_propagation`.
    """
    parents = pending_parents.list_cancelled(c, list(tasks))
    _bring_back(c, parents, tasks, by)
    recompute_waiting_state(c, [task.uuid for task in parents], by)
    return sorted(task.number for task in _bring_children_back(c, parents, by))


def _bring_back(
    c: Connection, tasks: Sequence[CancelledTask], due: Mapping[str, str | None], by: str
) -> None:
    """Queue cancelled tasks again, with their retry times."""
    alerts.reopen_cancelled(c, [task.uuid for task in tasks])
    rows = [
        {"uuid": task.uuid, "ended_at": None, "reason": None, "retry_at": due.get(task.uuid)}
        for task in tasks
    ]
    move_tasks(c, TaskStatus.QUEUED, rows, by, BROUGHT_BACK)


def _bring_children_back(
    c: Connection, parents: Sequence[CancelledTask], by: str
) -> list[CancelledTask]:
    """Bring back the children that were cancelled with tasks, and their children in turn.

    Children that would take too long are left to `continue_propagation`.
    """
    back: list[CancelledTask] = []
    left, end = MAX_CHILDREN, monotonic() + STEP_SECONDS
    while parents:
        children = pending_parents.list_children(c, [task.uuid for task in parents], left + 1)
        left -= len(children) + 1
        if left < 0:
            pending_parents.add_cancelled(c, parents)
            break
        found: list[CancelledTask] = []
        for at in range(0, len(children), PIECE):
            if at and monotonic() > end:
                pending_parents.add_cancelled(c, [*parents, *found])
                return back + found
            found += _bring_piece_back(c, parents, children[at : at + PIECE], by)
        back, parents = back + found, found
    return back


def _bring_piece_back(
    c: Connection, parents: Sequence[CancelledTask], children: Sequence[str], by: str
) -> list[CancelledTask]:
    """Bring back those of the children that were cancelled with the parents, and return them.

    Children that wait for any end wait again, unless they have started.
    """
    cancelled = pending_parents.list_cancelled_with(c, parents, children)
    _bring_back(c, cancelled, {}, by)
    recompute_waiting_state(c, children, by)
    return cancelled


def stop(c: Connection, runids: Sequence[str], reason: str, by: str) -> list[str]:
    """Begin to stop runs; return the ids of the affected runs.

    `reason` is cancel, timeout or log limit. The runtime informs the keeper.
    """
    owners = _find_tasks_of_runs(c, runids)
    rows = [
        {"runid": r, "task_id": owners[r], "stop_reason": reason, "stopped_by": by}
        for r in runids
        if r in owners
    ]
    return [row["runid"] for row in move_runs(c, RunStatus.STOPPING, rows, by, reason)]


def pause(c: Connection, uuids: Sequence[str], by: str) -> list[str]:
    """Mark running runs as paused; return their ids."""
    rows = [
        {"runid": r, "task_id": t, "reason": f"paused by {by}"}
        for r, t in _find_tasks_of_runs(c, _find_active_runs(c, uuids)).items()
    ]
    return [row["runid"] for row in move_runs(c, RunStatus.PAUSED, rows, by)]


def resume(c: Connection, uuids: Sequence[str], by: str) -> list[str]:
    """Mark paused runs as running; return their ids."""
    paused = (
        "SELECT runid, task_id FROM instances WHERE task_id IN (SELECT value FROM json_each(?)) AND"
        " +status = 'paused'"
    )
    rows = [
        {"runid": row.runid, "task_id": row.task_id, "reason": None}
        for row in raw_sql.fetch_rows(c, paused, (json.dumps(list(uuids)),))
    ]
    return [row["runid"] for row in move_runs(c, RunStatus.RUNNING, rows, by)]


def hold(c: Connection, uuids: Sequence[str], on: bool, by: str) -> None:
    """Hold or release tasks. A running task is held from its next attempt."""
    raw_sql.execute_statements(
        c,
        "UPDATE tasks SET hold = :on, held_by = :by, updated_at = :now WHERE uuid = :uuid",
        [
            {"uuid": uuid, "on": on, "by": by if on else None, "now": timestamps.now()}
            for uuid in uuids
        ],
    )
    recompute_waiting_state(c, uuids, by)


def retry(c: Connection, uuids: Sequence[str], by: str, *, keeps_parents: bool = False) -> None:
    """Run ended tasks again on request. The attempt does not count as a retry.

    The user accepts failed parents with the request, so they no longer block, unless the tasks keep
    their parents.
    """
    rows = [
        {
            "uuid": u,
            "ended_at": None,
            "reason": None,
            "retry_at": None,
            "failures": 0,
            "oom_memory": None,
        }  # fmt: skip
        for u in _find_in_states(c, uuids, ENDED)
    ]
    changed_rows = [
        row["uuid"] for row in move_tasks(c, TaskStatus.QUEUED, rows, by, "asked to run again")
    ]
    raw_sql.execute_statement(
        c,
        "DELETE FROM forgotten WHERE task_id IN (SELECT value FROM json_each(?))",
        (json.dumps(changed_rows),),
    )
    if not keeps_parents:
        raw_sql.execute_statement(
            c,
            "DELETE FROM dependencies AS d WHERE task_id IN (SELECT value FROM json_each(?)) AND"
            f" EXISTS (SELECT 1 FROM tasks p WHERE p.uuid = d.parent_id AND ({skips.BROKEN} OR"
            f" d.kind = 'failures' AND {skips.NO_FAILURE}))",
            (json.dumps(changed_rows),),
        )
    recompute_waiting_state(c, changed_rows, by)


def _find_in_states(c: Connection, uuids: Sequence[str], states: Iterable[TaskStatus]) -> list[str]:
    found = (
        "SELECT uuid FROM tasks WHERE uuid IN (SELECT value FROM json_each(?)) AND +status IN"
        f" ({_quote_words(states)})"
    )
    return raw_sql.fetch_column(c, found, (json.dumps(list(uuids)),))


_UNSTOPPED = as_sql(ACTIVE - {RunStatus.STOPPING})


def _find_active_runs(c: Connection, uuids: Sequence[str]) -> list[str]:
    found = (
        "SELECT runid FROM instances WHERE task_id IN (SELECT value FROM json_each(?)) AND +status"
        f" IN {_UNSTOPPED}"
    )
    return raw_sql.fetch_column(c, found, (json.dumps(list(uuids)),))
