"""Events for hooks: starts and ends of tasks since the last one handled, and alerts that fired.

The table of events is the queue, so a start or end of a task writes nothing for hooks. A counter of
each hook holds the last event handled; a hook that falls far behind leaves events out.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from db import raw_sql, timestamps
from db.queries import counters
from db.queries.rules import deliveries, hook_alerts, silences
from db.queries.rules.hook_alerts import DROPPED, FIRED, WANTED
from db.states import ENDED, RunStatus

CURSOR = "hooks/events/"
FAILING = "hooks/failing/"
"""Folder of counters: how often each hook failed since its last success."""
FAILURE = "hooks/failure/"
"""Folder of counters: the delivery that records the last failure of each hook."""
SPAN = 5_000
"""Events looked at in one step."""
MAX_LAG = 100_000
"""Events, of all kinds, by which a hook may be behind."""
MAX_LISTED = 20
"""Failed events that a record names; the others are counted."""
_ENDED_WORDS = ", ".join(f"'{word}'" for word in sorted(ENDED))
_MATCHES = {
    "start": f"(e.status = '{RunStatus.STARTING}' AND e.runid IS NOT NULL)",
    "end": f"(e.status IN ({_ENDED_WORDS}) AND e.runid IS NULL)",
}
_COLUMNS = (
    "t.uuid, t.number, t.name, t.status, t.reason, t.queue, t.template, t.tags, t.group_number,"
    " t.submitted_by, t.parameters, t.launch, t.cwd, t.created_at, t.started_at, t.ended_at,"
    " i.runid, i.attempt, i.exit_code, i.signal"
)
_LAST_RUN = (
    "(SELECT r.runid FROM events r WHERE r.task_id = t.uuid AND r.runid IS NOT NULL AND r.id < {}"
    " ORDER BY r.id DESC LIMIT 1)"
)
_EVENTS = (
    f"SELECT e.id, e.status AS event_status, e.created_at AS at, {_COLUMNS} FROM events e CROSS"
    " JOIN tasks t ON t.uuid = e.task_id LEFT JOIN instances i ON i.runid = coalesce(e.runid,"
    f" {_LAST_RUN.format('e.id')}) WHERE e.id > ? AND e.id <= ? AND ({{}}) ORDER BY e.id LIMIT ?"
)
_TASKS = (
    f"SELECT {_COLUMNS} FROM tasks t LEFT JOIN instances i ON i.runid ="
    f" {_LAST_RUN.format(2**62)} WHERE t.uuid IN (SELECT value FROM json_each(?))"
)
_ALERTS = (
    'SELECT id, name, severity, status, task_id, object, text, value, "limit", fired_at FROM'
    " alerts WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
)


class HookEvent(NamedTuple):
    """An event for a hook: `id` is that of the event or alert; rows as the database has them."""

    id: int
    kind: str
    at: str
    status: str
    task: Any = None
    alert: Any = None
    is_silenced: bool = False


class Batch(NamedTuple):
    """The next events of a hook. `until` is the last event looked at, `last` the last one."""

    events: Sequence[HookEvent]
    until: int
    last: int


class Progress(NamedTuple):
    """Handled events of a hook.

    `failures` are (event, reason); `failing` counts those since the last success.
    """

    until: int
    alerts: Sequence[int]
    failures: Sequence[tuple[HookEvent, str]]
    failing: int
    argv: Sequence[str]


class HookState(NamedTuple):
    """State of a hook, as `status` tells it."""

    name: str
    failing: int
    dropped: int
    last_error: str | None
    failed_at: str | None


def find_last_event(c: Connection) -> int:
    """Return the last event."""
    return raw_sql.fetch_value(c, "SELECT max(id) FROM events") or 0


def follow(c: Connection, wanted: Mapping[str, bool], start: int, keeps_others: bool) -> None:
    """Create the cursors of hooks, given as {name: wants alerts}; new ones begin after `start`.

    Hooks that are gone are forgotten, unless `keeps_others`.
    """
    known = counters.map_values(c, CURSOR)
    for name, wants_alerts in wanted.items():
        counters.create(c, f"{CURSOR}{name}", start)
        if wants_alerts:
            counters.create(c, f"{WANTED}{name}", 1)
        else:
            counters.delete(c, f"{WANTED}{name}")
    for name in () if keeps_others else known.keys() - wanted.keys():
        for folder in (CURSOR, WANTED, DROPPED, FAILING, FAILURE):
            counters.delete(c, f"{folder}{name}")
        counters.delete_below(c, f"{FIRED}{name}/")


def map_cursors(c: Connection) -> dict[str, int]:
    """Return {name: last event handled} of the hooks followed."""
    return counters.map_values(c, CURSOR)


def map_failing(c: Connection) -> dict[str, int]:
    """Return {name: failures since the last success}."""
    return counters.map_values(c, FAILING)


def read_batch(c: Connection, name: str, after: int, kinds: Collection[str], limit: int) -> Batch:
    """Return the next events of a hook: alerts that wait, then those after an event."""
    last = find_last_event(c)
    if "alert" in kinds and (waiting := hook_alerts.list_waiting(c, name, limit)):
        return Batch(_list_alerts(c, waiting), after, last)
    until = min(last, after + SPAN)
    matches = [match for kind, match in _MATCHES.items() if kind in kinds]
    if not matches or until <= after:
        return Batch((), max(after, until), last)
    rows = raw_sql.fetch_rows(c, _EVENTS.format(" OR ".join(matches)), (after, until, limit))
    events = [
        HookEvent(
            row.id,
            "start" if row.event_status == RunStatus.STARTING else "end",
            row.at,
            row.event_status,
            row,
        )
        for row in rows
    ]
    return Batch(events, rows[-1].id if len(rows) == limit else until, last)


def _list_alerts(c: Connection, ids: Sequence[int]) -> list[HookEvent]:
    """Return the events of alerts; one whose alert is gone has neither alert nor task."""
    rows = {row.id: row for row in raw_sql.fetch_rows(c, _ALERTS, (json.dumps(ids),))}
    uuids = [row.task_id for row in rows.values() if row.task_id]
    tasks = {row.uuid: row for row in raw_sql.fetch_rows(c, _TASKS, (json.dumps(uuids),))}
    silenced = silences.find_silenced(c, ids)
    return [
        HookEvent(
            number,
            "alert",
            row.fired_at,
            row.status,
            tasks.get(row.task_id),
            row,
            number in silenced,
        )
        if (row := rows.get(number))
        else HookEvent(number, "alert", "", "gone")
        for number in ids
    ]


def leave_out(c: Connection, name: str, after: int, kinds: Collection[str]) -> int:
    """Leave out what is too far behind; return the last event handled or left out."""
    until = find_last_event(c) - MAX_LAG
    if until <= after:
        return after
    matches = " OR ".join(match for kind, match in _MATCHES.items() if kind in kinds) or "0"
    found = f"SELECT count(*) FROM events e WHERE e.id > ? AND e.id <= ? AND ({matches})"
    count = raw_sql.fetch_value(c, found, (after, until))
    counters.set_value(c, f"{CURSOR}{name}", until)
    if count:
        counters.add_values(c, {f"{DROPPED}{name}": count})
    return until


def record(c: Connection, name: str, progress: Progress) -> None:
    """Store what a hook has handled, and its failures, if the hook is still followed."""
    if counters.read_value(c, f"{CURSOR}{name}") is None:
        return
    counters.set_value(c, f"{CURSOR}{name}", progress.until)
    hook_alerts.remove(c, name, progress.alerts)
    counters.set_value(c, f"{FAILING}{name}", progress.failing)
    if progress.failures:
        number = _record_failures(c, name, progress)
        counters.set_value(c, f"{FAILURE}{name}", number)


def _record_failures(c: Connection, name: str, progress: Progress) -> int:
    """Record failures as one delivery that was given up; return its id."""
    failures, now = progress.failures, timestamps.now()
    event, error = failures[-1]
    listed = [one for one, _ in failures[-MAX_LISTED:]]
    tasks = [
        {"uuid": one.task.uuid, "number": one.task.number, "name": one.task.name}
        for one in listed
        if one.task
    ]
    alerts = [
        {"id": one.id, "name": one.alert.name, "object": one.alert.object}
        for one in listed
        if one.alert
    ]
    payload: dict[str, Any] = {"count": len(failures), "ids": [one["id"] for one in alerts]}
    payload |= {"tasks": tasks} if tasks else {"alerts": alerts}
    return deliveries.insert(c, {
        "event": event.kind, "action": {"command": [progress.argv[0]]}, "target": f"hook {name}",
        "payload": payload, "status": "given_up", "attempts": 1,
        "log": [{"at": now, "error": error}], "reached": [], "due_at": now, "next_at": None,
        "last_error": error,
    })  # fmt: skip


def list_states(c: Connection) -> list[HookState]:
    """Return the state of each hook followed, by name."""
    failing, dropped, failures = (
        counters.map_values(c, folder) for folder in (FAILING, DROPPED, FAILURE)
    )
    rows = {row.id: row for row in deliveries.list_by_id(c, list(failures.values()))}
    states: list[HookState] = []
    for name in counters.map_values(c, CURSOR):
        row = rows.get(failures.get(name, 0))
        states.append(
            HookState(
                name,
                failing.get(name, 0),
                dropped.get(name, 0),
                row and row.last_error,
                row and row.created_at,
            )
        )
    return states
