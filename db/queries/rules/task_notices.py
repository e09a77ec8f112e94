"""Messages about the end of tasks: which tasks ended since the last look, and who hears of it.

`notices/events` is the last event followed. The counter moves with the deliveries, so that a crash
neither loses nor repeats one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, select, update

from db import raw_sql, schema, timestamps
from db.queries import counters
from db.queries.rules import deliveries
from db.rows import DeliveryRow
from db.states import ENDED, FAILED

CURSOR = "notices/events"
MAX_LAG = 10_000
"""Events after which the stored cursor moves even if nobody hears of them."""
SPAN = 5_000
"""Events followed in one step."""
MAX_LISTED = 20
"""Tasks that a message lists; the others are counted."""
MAX_TOGETHER = 5_000
"""Tasks of one message."""
_D = schema.deliveries.c
_ENDED_WORDS = ", ".join(f"'{word}'" for word in sorted(ENDED))
_ENDED_SINCE = (
    "SELECT t.uuid, t.number, t.name, t.status, t.reason, t.queue, t.started_at, t.ended_at,"
    " t.notify FROM tasks t WHERE t.uuid IN (SELECT e.task_id FROM events e WHERE e.id > ? AND e.id"
    f" <= ? AND e.status IN ({_ENDED_WORDS})) AND t.ended_at IS NOT NULL AND +t.status IN"
    f" ({_ENDED_WORDS}) AND t.deleted_at IS NULL AND (t.notify IS NOT NULL OR ?) ORDER BY t.number"
)


class AnnouncedTask(NamedTuple):
    """A task that ended, as its message tells it."""

    uuid: str
    number: int
    name: str
    status: str
    reason: str | None
    queue: str
    started_at: str | None
    ended_at: str
    notify: str | None


class DefaultNotice(NamedTuple):
    """The channel of tasks without one of their own, "" for none, and which ends it hears of."""

    channel: str
    on: str


def start_cursor(c: Connection) -> None:
    """Begin with the next event, unless a runtime has followed events before."""
    counters.create(c, CURSOR, _find_last_event(c))


def read_span(c: Connection) -> tuple[int, int]:
    """Return the last event followed, and the last event."""
    (row,) = raw_sql.fetch_rows(
        c,
        "SELECT (SELECT value FROM counters WHERE name = ?) AS followed,"
        " (SELECT max(id) FROM events) AS last",
        (CURSOR,),
    )
    return row.followed or 0, row.last or 0


def _find_last_event(c: Connection) -> int:
    return raw_sql.fetch_value(c, "SELECT max(id) FROM events") or 0


def list_ended(
    c: Connection, after: int, until: int, default: DefaultNotice
) -> dict[str, list[AnnouncedTask]]:
    """Return the tasks that ended by these events, by the channel that hears of them."""
    found: dict[str, list[AnnouncedTask]] = {}
    given = (after, until, bool(default.channel))
    for row in raw_sql.fetch_rows(c, _ENDED_SINCE, given):
        task = AnnouncedTask(*row)
        on, _, channel = (task.notify or default.on).partition(" ")
        channel = channel or default.channel
        if channel and (on == "ended" or on == "failed" and task.status in FAILED):
            found.setdefault(channel, []).append(task)
    return found


def enqueue(c: Connection, until: int, ended: Mapping[str, Sequence[AnnouncedTask]]) -> None:
    """Enqueue a message to each channel, and move the cursor."""
    now = timestamps.utcnow()
    due = timestamps.format_time(now + timedelta(seconds=deliveries.GROUP_SECONDS))
    for channel, tasks in ended.items():
        listed = [task._asdict() for task in tasks[:MAX_LISTED]]
        payload: dict[str, Any] = {"count": len(tasks), "ids": [], "tasks": listed}
        if (row := _find_group(c, channel)) is not None:
            _extend(c, row, payload)
            continue
        deliveries.insert(c, {
            "task_id": tasks[0].uuid, "event": "ended", "action": {"notify": channel},
            "target": channel, "payload": payload, "status": "pending", "log": [], "reached": [],
            "due_at": due, "next_at": due,
        })  # fmt: skip
    counters.set_value(c, CURSOR, until)


def _find_group(c: Connection, channel: str) -> DeliveryRow | None:
    """Return the message, not yet due, that can take further tasks."""
    columns = [_D[name] for name in DeliveryRow._fields]
    found = select(*columns).where(_D.next_at > timestamps.now(), _D.event == "ended")
    rows = (DeliveryRow._make(row) for row in c.execute(found))
    return next(
        (
            row
            for row in rows
            if row.target == channel and not row.attempts and row.payload["count"] < MAX_TOGETHER
        ),
        None,
    )


def _extend(c: Connection, row: DeliveryRow, more: dict[str, Any]) -> None:
    payload = {
        "count": row.payload["count"] + more["count"],
        "ids": [],
        "tasks": [*row.payload["tasks"], *more["tasks"]][:MAX_LISTED],
    }
    changed = update(schema.deliveries).where(_D.id == row.id)
    c.execute(changed.values(payload=payload, updated_at=timestamps.now()))
