"""Queries on schedules, their fire times and calendars.

`schedules.due_at` and a row of `fires` change in the transaction that submits the task, so a fire
time is neither lost nor handled twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from db import raw_sql, schema, timestamps
from db.rows import CalendarRow, FireRow, ScheduleRow
from db.states import ENDED

_S = schema.schedules
_F = schema.fires
MAX_EARLIER = 1000
"""Fire times searched for the last success of a schedule."""
AFTER_ALL_TIMES = "~"
"""A text after every stored time."""
MAX_REFUSALS = 50
"""Schedules whose refusal becomes an alert."""
MAX_OPEN = 20
"""Latest tasks of a schedule searched for one that has not ended."""
_LIST_DUE = (
    f"SELECT {', '.join(ScheduleRow._fields)} FROM schedules WHERE due_at <= ?"
    " ORDER BY due_at LIMIT ?"
)
_ENDED_SQL = f"({', '.join(sorted(repr(str(status)) for status in ENDED))})"


def list_all(c: Connection) -> list[ScheduleRow]:
    """Return the schedules by name."""
    return [ScheduleRow._make(row) for row in c.execute(_select().order_by(_S.c.name))]


def find(c: Connection, name: str) -> ScheduleRow | None:
    """Return a schedule by name."""
    row = c.execute(_select().where(_S.c.name == name)).first()
    return ScheduleRow._make(row) if row else None


def list_names(c: Connection) -> list[str]:
    """Return the names of all schedules, sorted."""
    return list(c.execute(select(_S.c.name).order_by(_S.c.name)).scalars())


def find_by_task_name(c: Connection, name: str) -> str | None:
    """Return the first schedule whose tasks have a name: by default its own name."""
    called = ((row.name, row.task.get("name") or row.name) for row in list_all(c))
    return next((schedule for schedule, task in called if task == name), None)


def map_descriptions(c: Connection) -> dict[str, str | None]:
    """Return {schedule: description}."""
    found = raw_sql.fetch_rows(c, "SELECT name, description FROM schedules")
    return {row.name: row.description for row in found}


def _select() -> Any:
    return select(*(_S.c[name] for name in ScheduleRow._fields))


def list_due(c: Connection, now: str, limit: int) -> list[ScheduleRow]:
    """Return schedules that are due, the earliest first."""
    return [
        ScheduleRow._make(row)._replace(
            task=_load(row.task), context=_load(row.context), exclude=_load(row.exclude)
        )
        for row in raw_sql.fetch_rows(c, _LIST_DUE, (now, limit))
    ]


def _load(value: Any) -> Any:
    """Return stored JSON; a damaged value as it is, which makes no sense to the caller."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return value


def list_boot(c: Connection, boot_id: str) -> list[ScheduleRow]:
    """Return active schedules at boot that have not fired since this boot."""
    chosen = _select().where(_S.c.kind == "boot", _S.c.boot_id.is_distinct_from(boot_id))
    return [ScheduleRow._make(row) for row in c.execute(chosen)]


def find_next_due(c: Connection) -> str | None:
    """Return when the next schedule is due, or None."""
    return raw_sql.fetch_value(c, "SELECT min(due_at) FROM schedules WHERE due_at IS NOT NULL")


def list_upcoming(c: Connection, limit: int) -> list[Any]:
    """Return the schedules that fire next, with the columns of their recurrence.

    The board reads them at each change, so the statement bypasses SQLAlchemy.
    """
    return raw_sql.fetch_rows(
        c,
        "SELECT name, kind, expression, zone, start, due_at, task ->> 'queue' AS queue"
        " FROM schedules WHERE due_at IS NOT NULL AND next_fire IS NOT NULL"
        " ORDER BY due_at LIMIT ?",
        (limit,),
    )


def move_next(
    c: Connection, row: ScheduleRow, next_fire: str | None, due_at: str | None, **values: Any
) -> bool:
    """Set the next fire time, unless the schedule has changed since `row` was read."""
    new = {"next_fire": next_fire, "due_at": due_at, "updated_at": timestamps.now(), **values}
    changed = raw_sql.update_rows(
        c,
        f"UPDATE schedules SET {', '.join(f'{name} = ?' for name in new)}"
        " WHERE name = ? AND updated_at = ?",
        (*new.values(), row.name, row.updated_at),
    )
    return changed == 1


def list_changed_after(c: Connection, moment: str) -> list[str]:
    """Return the schedules whose row was changed, and whose next fire time is, after a moment.

    Ended ones stay as they are: the records of what they did may be gone. An earlier fire time
    that its jitter delays stays, too.
    """
    changed = _S.c.updated_at > moment, _S.c.next_fire > moment
    return list(c.execute(select(_S.c.name).where(*changed)).scalars())


def find_latest_fire(
    c: Connection, schedule: str, before: str = AFTER_ALL_TIMES
) -> str | None:  # fmt: skip
    """Return the latest fire time before a time that was handled when it was over, or None.

    Left out are those that a person skipped in advance, and the moments of `schedule run`.
    """
    return raw_sql.fetch_value(
        c,
        "SELECT fire_time FROM fires WHERE schedule = ? AND fire_time < ? AND fire_time <="
        " created_at AND fire_time LIKE '%.000000Z' ORDER BY fire_time DESC LIMIT 1",
        (schedule, before),
    )


def request_next(c: Connection, names: Iterable[str] | None = None) -> None:
    """Let the runtime compute the next fire time from now on, of all schedules if None."""
    now = timestamps.now()
    wanted = _S.update().values(next_fire=None, due_at=now, updated_at=now)
    c.execute(wanted if names is None else wanted.where(_S.c.name.in_(list(names))))


def continue_from_now(c: Connection, boot_id: str) -> None:
    """Let all schedules of an older database fire at later times only, and at the next boot."""
    if not raw_sql.fetch_value(c, "SELECT 1 FROM sqlite_master WHERE name = 'schedules'"):
        return  # the replica of an earlier version
    request_next(c)
    at_boot = _S.update().where(_S.c.kind == "boot").values(boot_id=boot_id, due_at=None)
    c.execute(at_boot)


def record_fires(
    c: Connection, schedule: str, rows: Sequence[tuple[str, str, str | None, str | None]]
) -> None:
    """Record fire times as (fire_time, outcome, reason, task_id).

    A fire time that was missed or skipped may be submitted later, by a person. A submitted one is
    never changed.
    """
    now = timestamps.now()
    raw_sql.execute_statements(
        c,
        "INSERT INTO fires (schedule, fire_time, outcome, reason, task_id, created_at, updated_at)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) ON CONFLICT (schedule, fire_time) DO UPDATE SET"
        " outcome = excluded.outcome, reason = excluded.reason, task_id = excluded.task_id,"
        " updated_at = excluded.updated_at WHERE fires.outcome <> 'submitted'",
        [(schedule, *row, now) for row in rows],
    )


def is_skipped(c: Connection, schedule: str, fire_time: str) -> bool:
    """Return True if a person skipped a fire time in advance."""
    found = (
        "SELECT count(*) FROM fires WHERE schedule = ? AND fire_time = ? AND outcome = 'skipped'"
        " AND created_at < fire_time"
    )
    return raw_sql.fetch_value(c, found, (schedule, fire_time)) > 0


def list_skipped(c: Connection, schedule: str) -> list[tuple[str, str | None]]:
    """Return (fire time, reason) of the fire times to come that a person skipped in advance."""
    found = raw_sql.fetch_tuples(
        c,
        "SELECT fire_time, reason FROM fires WHERE schedule = ? AND fire_time > ? AND outcome ="
        " 'skipped'",
        (schedule, timestamps.now()),
    )
    return [(fire_time, reason) for fire_time, reason in found]


def forget_skipped(c: Connection, schedule: str, fire_time: str) -> None:
    """Delete the record of a skipped fire time."""
    raw_sql.execute_statement(
        c,
        "DELETE FROM fires WHERE schedule = ? AND fire_time = ? AND outcome = 'skipped'",
        (schedule, fire_time),
    )


def pause_unreadable(c: Connection, name: str, reason: str) -> None:
    """Pause a schedule that cannot be read, for good; the reason becomes an alert."""
    now = timestamps.now()
    c.execute(
        _S.update()
        .where(_S.c.name == name)
        .values(
            status="paused",
            status_by="taskdeck",
            status_at=now,
            paused_until=None,
            next_fire=None,
            due_at=None,
            refusal=reason,
            updated_at=now,
        )  # fmt: skip
    )


def set_refusal(c: Connection, name: str, reason: str | None) -> None:
    """Store why the latest task of a schedule was refused, or None if it was not."""
    differs = _S.c.name == name, _S.c.refusal.is_distinct_from(reason)
    c.execute(_S.update().where(*differs).values(refusal=reason, updated_at=timestamps.now()))


def map_refusals(c: Connection) -> dict[str, str]:
    """Return {schedule: reason} for those whose latest task was refused."""
    found = raw_sql.fetch_rows(
        c, "SELECT name, refusal FROM schedules WHERE refusal IS NOT NULL LIMIT ?", (MAX_REFUSALS,)
    )
    return {row.name: row.refusal for row in found}


def list_handled_times(c: Connection, schedule: str, first: str, last: str) -> set[str]:
    """Return the fire times of a range that were submitted, or left out for a reason."""
    found = raw_sql.fetch_rows(
        c,
        "SELECT fire_time FROM fires WHERE schedule = ? AND fire_time BETWEEN ? AND ?",
        (schedule, first, last),
    )
    return {row.fire_time for row in found}


def list_handled_from(c: Connection, schedule: str, first: str) -> set[str]:
    """Return the fire times from a moment on that were handled already."""
    found = "SELECT fire_time FROM fires WHERE schedule = ? AND fire_time >= ?"
    return {row.fire_time for row in raw_sql.fetch_rows(c, found, (schedule, first))}


def list_submitted_times(c: Connection, schedule: str, first: str, last: str) -> set[str]:
    """Return the fire times of a range that were submitted."""
    found = raw_sql.fetch_rows(
        c,
        "SELECT fire_time FROM fires WHERE schedule = ? AND fire_time BETWEEN ? AND ?"
        " AND outcome = 'submitted'",
        (schedule, first, last),
    )
    return {row.fire_time for row in found}


def find_unfinished_task(c: Connection, schedule: str) -> tuple[str, int] | None:
    """Return uuid and number of the latest task of a schedule that has not ended, or None."""
    found = raw_sql.fetch_rows(
        c,
        "SELECT t.uuid, t.number, t.status FROM (SELECT task_id FROM fires WHERE schedule = ?"
        " AND task_id IS NOT NULL ORDER BY fire_time DESC LIMIT ?) f"
        " CROSS JOIN tasks t ON t.uuid = f.task_id",
        (schedule, MAX_OPEN),
    )
    return next(((row.uuid, row.number) for row in found if row.status not in ENDED), None)


def find_last_success(c: Connection, schedule: str, before: str = "9") -> str | None:
    """Return the latest fire time before a moment whose task succeeded, or None."""
    found = raw_sql.fetch_rows(
        c,
        "SELECT f.fire_time FROM (SELECT fire_time, task_id FROM fires WHERE schedule = ?"
        " AND fire_time < ? AND task_id IS NOT NULL ORDER BY fire_time DESC LIMIT ?) f"
        " CROSS JOIN tasks t ON t.uuid = f.task_id WHERE +t.status = 'succeeded'"
        " ORDER BY f.fire_time DESC LIMIT 1",
        (schedule, before, MAX_EARLIER),
    )
    return found[0].fire_time if found else None


def list_fires(
    c: Connection, names: Sequence[str], limit: int, since: str = "", until: str = "9"
) -> dict[str, list[FireRow]]:
    """Return the latest fire times of schedules with their tasks, newest first, by schedule.

    The fire times are those from `since` to `until`.
    """
    found = raw_sql.fetch_tuples(
        c,
        "SELECT f.schedule, f.fire_time, f.outcome, f.reason, f.task_id, t.number, t.status,"
        " t.started_at, t.ended_at FROM json_each(?) n CROSS JOIN fires f ON f.rowid IN"
        " (SELECT rowid FROM fires WHERE schedule = n.value AND fire_time >= ? AND fire_time < ?"
        " ORDER BY fire_time DESC LIMIT ?)"
        " LEFT JOIN tasks t ON t.uuid = f.task_id",
        (json.dumps(list(names)), since, until, limit),
    )
    fires: dict[str, list[FireRow]] = {name: [] for name in names}
    for row in sorted(found, key=lambda row: row[1], reverse=True):
        fires[row[0]].append(FireRow._make(row))
    return fires


def list_calendars(c: Connection) -> list[CalendarRow]:
    """Return the calendars by name."""
    columns = [schema.calendars.c[name] for name in CalendarRow._fields]
    found = c.execute(select(*columns).order_by(schema.calendars.c.name))
    return [CalendarRow._make(row) for row in found]


def map_calendars(c: Connection) -> Mapping[str, list[str]]:
    """Return {calendar: ISO dates}."""
    return {row.name: row.dates for row in list_calendars(c)}


def list_users(c: Connection, key: str, name: str) -> list[str]:
    """Return the schedules whose task names a template or queue, or that exclude a calendar."""
    if key == "calendar":
        return [row.name for row in list_all(c) if name in row.exclude]
    return [row.name for row in list_all(c) if row.task.get(key) == name]


def request_check(c: Connection, calendar: str) -> None:
    """Let the runtime look again at the next fire times of the schedules of a calendar."""
    now = timestamps.now()
    changed = _S.update().where(_S.c.name.in_(list_users(c, "calendar", calendar)))
    c.execute(changed.values(due_at=now, updated_at=now))
