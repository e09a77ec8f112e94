"""Adoption of running processes.

Attaches a run without a row to its task, or to a new task if its own is gone. An adopted task is
visible, counts against capacity and can be stopped; its end is recorded. Only facts about its
process are known, so an adopted new task never starts again. The uuid of such a task is the id of
its run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from db import defaults, host, raw_sql, schema, timestamps
from db.queries.scheduling import resources
from db.queries.tasks import task_numbers
from db.states import ACTIVE_SQL, ENDED

UNREADABLE = "unreadable"
"""Key in a launch for the values of its task that are lost."""
UNKNOWN_NAME = "unknown"
"""Name and submitter of a task whose process reveals neither."""
_STATUS_OF_STOP = {"timeout": "timed_out", "log limit": "failed"}
ADOPTION_NOTE = "its run is still active; all other data of the task is lost"


@dataclass(frozen=True, slots=True)
class ObservedRun:
    """A run as reported by its keeper or its log.

    `number`: the task's number, if known. `is_reported`: the keeper will report the run by itself.
    `ended`: the run ended at UNIX time `end` with `code`, or `has_unknown_end`, or after the
    requested `stop`. `is_surely_over`: False if the run may still be alive. `is_alive`: the process
    was seen, and `begin`, `argv`, `cwd` and `name` describe it. `devices` are its GPUs. `is_outer`
    marks a run that another engine has, whose end is read from the spool.
    """

    runid: str
    number: int | None = None
    is_reported: bool = False
    ended: bool = False
    end: float | None = None
    code: int | None = None
    has_unknown_end: bool = False
    stop: str | None = None
    is_surely_over: bool = True
    attempt: int = 1
    is_alive: bool = False
    begin: float | None = None
    name: str = UNKNOWN_NAME
    argv: tuple[str, ...] = ()
    cwd: str = "/"
    devices: tuple[str, ...] = ()
    is_outer: bool = False

    @property
    def status(self) -> str:
        """Status of the ended run, as far as known."""
        if self.has_unknown_end or not self.ended:
            return "lost"
        if self.stop is not None:
            return _STATUS_OF_STOP.get(self.stop, "cancelled")
        return "succeeded" if self.code == 0 else "failed"

    @property
    def can_be_retried(self) -> bool:
        """True if the task may be retried. A requested cancel holds even for a lost run."""
        return (
            self.ended
            and self.is_surely_over
            and self.stop in {None, *_STATUS_OF_STOP}
            and self.status in {"failed", "timed_out", "lost"}
        )

    @property
    def is_active(self) -> bool:
        """True if the run is active below a keeper that will report its end."""
        return self.is_reported and not self.ended and (self.is_alive or self.number is not None)


def find_unknown(c: Connection, runids: Sequence[str]) -> set[str]:
    """Return the runs without a row."""
    found = "SELECT runid FROM main.instances WHERE runid IN (SELECT value FROM json_each(?))"
    return {*runids}.difference(raw_sql.fetch_column(c, found, (json.dumps(list(runids)),)))


def adopt_run(
    c: Connection, run: ObservedRun, by: str, take_number: Callable[[], int]
) -> int | None:
    """Attach an active run to its task, or to a new one; return the new task's number.

    Its own task is used if it is open, or ended before this attempt. A new task keeps the number
    unless another task has it; then `take_number` provides one. Loads still have to be recounted.
    """
    # a job may write any number into its environment
    own = (
        run.number if run.number is not None and 0 < run.number < task_numbers.MAX_NUMBER else None
    )
    rows = (
        []
        if own is None
        else raw_sql.fetch_rows(c, "SELECT * FROM main.tasks WHERE number = ?", (own,))
    )
    if (
        rows
        and (rows[0].status not in ENDED or rows[0].attempts < run.attempt)
        and not _has_run(c, rows[0].uuid, run.attempt)
    ):
        _insert_run(c, rows[0], run)
        return None
    number = take_number() if rows or own is None else own
    _insert_task(c, run, by, number)
    (task,) = raw_sql.fetch_rows(c, "SELECT * FROM main.tasks WHERE uuid = ?", (run.runid,))
    _insert_run(c, task, run)
    now = timestamps.now()
    raw_sql.execute_statement(
        c,
        "INSERT INTO main.events (task_id, runid, status, by, note, created_at, updated_at)"
        " VALUES (?, ?, 'running', ?, ?, ?, ?)",
        (task.uuid, run.runid, by, ADOPTION_NOTE, now, now),
    )
    return number


def _has_run(c: Connection, uuid: str, attempt: int) -> bool:
    """Return True if the task has an active run of this attempt or a later one.

    First delete a run of this attempt that was only claimed, because it never began.
    """
    claimed = (
        "DELETE FROM main.instances WHERE task_id = ? AND attempt = ? AND +status = 'starting' AND"
        " start_time IS NULL"
    )
    raw_sql.execute_statement(c, claimed, (uuid, attempt))
    active = f"+status IN {ACTIVE_SQL}"
    return bool(
        raw_sql.fetch_rows(
            c,
            f"SELECT 1 FROM main.instances WHERE task_id = ? AND attempt >= ? AND {active} LIMIT 1",
            (uuid, attempt),
        )
    )


def _insert_task(c: Connection, run: ObservedRun, by: str, number: int) -> None:
    now = timestamps.now()
    begin = now if run.begin is None else timestamps.from_unix(run.begin)
    row = {
        "uuid": run.runid, "name": run.name, "number": number, "begin": begin, "now": now,
        "by": by,
        "queue": _find_outer_queue(c) if run.is_outer else _find_queue(c),
        "cwd": schema.to_os_text(run.cwd),
        "launch": json.dumps({"argv": run.argv, UNREADABLE: {"parameters": "", "env": ""}}),
    }  # fmt: skip
    raw_sql.execute_statement(
        c,
        "INSERT INTO main.tasks (uuid, name, type, status, parameters, created_at, updated_at,"
        " number, queue, tags, cwd, launch, submitted_by) VALUES (:uuid, :name, 'exec', 'running',"
        " '{}', :begin, :now, :number, :queue, '{}', :cwd, :launch, :by)",
        row,
    )


def _find_outer_queue(c: Connection) -> str:
    """Return a queue of a pool of another engine for an adopted task, or any queue."""
    found = (
        "SELECT min(q.name) FROM main.queues q JOIN main.pools p ON p.name = q.pool WHERE p.kind IS"
        " NOT NULL"
    )
    return raw_sql.fetch_value(c, found) or _find_queue(c)


def _find_queue(c: Connection) -> str:
    """Return the queue for an adopted task, creating the defaults (paused) if needed."""
    first, now = (
        (
            "SELECT coalesce((SELECT name FROM main.{0} WHERE name = 'default'), (SELECT min(name)"
            " FROM main.{0}))"
        ),
        timestamps.now(),
    )
    if (name := raw_sql.fetch_value(c, first.format("queues"))) is not None:
        return name
    cores, memory = host.read_capacity()
    statement = (
        "INSERT INTO main.{} (name, status, created_at, updated_at, {}, {}) VALUES (?, ?, ?, ?,"
        " ?, ?)"
    )
    if raw_sql.fetch_value(c, first.format("pools")) is None:
        raw_sql.execute_statement(
            c,
            statement.format("pools", "total_cpu", "total_memory"),
            (defaults.DEFAULT_NAME, "active", now, now, cores, memory),
        )
    pool = raw_sql.fetch_value(c, first.format("pools"))
    raw_sql.execute_statement(
        c,
        statement.format("queues", "pool", "capacity"),
        (defaults.DEFAULT_NAME, "paused", now, now, pool, int(cores)),
    )
    return defaults.DEFAULT_NAME


def _name_resources(task: Any, run: ObservedRun) -> str | None:
    """Return the named resources of a run: those of its task, and the GPUs that it has."""
    known = dict(resources.parse_named(task.resources))
    return resources.to_text(known | {"gpu": len(run.devices)} if run.devices else known)


def _insert_run(c: Connection, task: Any, run: ObservedRun) -> None:
    """Insert the run as newly claimed. The keeper's hello adds the rest."""
    now = timestamps.now()
    pool = raw_sql.fetch_value(c, "SELECT pool FROM main.queues WHERE name = ?", (task.queue,))
    raw_sql.execute_statement(
        c,
        "INSERT INTO main.instances (runid, task_id, status, tags, attempt, queue, pool, cpu,"
        " memory, resources, devices, outer_job, created_at, updated_at)"
        " VALUES (?, ?, 'starting', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            run.runid,
            task.uuid,
            task.tags,
            run.attempt,
            task.queue,
            pool,
            task.cpu,
            task.memory,
            _name_resources(task, run),
            json.dumps(run.devices) if run.devices else None,
            "" if run.is_outer else None,
            now,
            now,
        ),
    )
    raw_sql.execute_statement(
        c,
        "UPDATE main.tasks SET status = 'running', attempts = ?, retry_at = NULL, started_at = ?,"
        " ended_at = NULL, reason = NULL, deleted_at = NULL, updated_at = ? WHERE uuid = ?",
        (run.attempt, now, now, task.uuid),
    )
    if task.status in ENDED:  # the task runs again, so its earlier end proves nothing
        raw_sql.execute_statement(c, "DELETE FROM main.forgotten WHERE task_id = ?", (task.uuid,))
