"""What began and ended in each minute, counted from the runs by queue, pool and template, and kept in three widths.

Rows of `history` are of 1, 15 or 120 minutes. Minutes are counted once they are over, by the runs' own times: `counters` holds, as
`history/minute`, the first minute that is not counted yet. Minutes in and out are UNIX minutes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from db import raw_sql, timestamps

_MARK = "history/minute"
AGAIN = 3
"""Minutes that are counted once more each time: an end may be recorded a moment after the minute in which it was."""


class Kept(NamedTuple):
    """One row: the first minute of its bucket, whose runs, how many, and their durations as JSON {step: how many}."""

    at: int
    queue: str
    pool: str
    template: str
    started: int
    ended: int
    failed: int
    waits: str
    runs: str


class Part(NamedTuple):
    """So many runs that began or ended in one minute and took about as long (seconds to two digits, None: not counted)."""

    at: int
    queue: str
    pool: str
    template: str
    status: str
    took: float | None
    many: int


_STARTED = """
SELECT substr(i.start_time, 1, 16) AS at, i.queue, i.pool, coalesce(t.template, '') AS template, '' AS status,
  CASE WHEN i.attempt = 1 THEN
    printf('%.1e', max(0.0, (julianday(i.start_time) - julianday(max(t.created_at, coalesce(t.not_before, '')))) * 86400.0))
  END AS took, count(*) AS many
FROM instances i JOIN tasks t ON t.uuid = i.task_id WHERE i.start_time >= :begin AND i.start_time < :end GROUP BY 1, 2, 3, 4, 5, 6
"""
_ENDED = """
SELECT substr(i.end_time, 1, 16) AS at, i.queue, i.pool, coalesce(t.template, '') AS template, i.status,
  CASE WHEN i.status = 'succeeded' THEN printf('%.1e', i.run_seconds) END AS took, count(*) AS many
FROM instances i JOIN tasks t ON t.uuid = i.task_id WHERE i.end_time >= :begin AND i.end_time < :end GROUP BY 1, 2, 3, 4, 5, 6
"""


def began(c: Connection, begin: int, end: int) -> list[Part]:
    """The runs that began in these minutes; `took` is what the first attempts waited since they could have started."""
    return _parts(c, _STARTED, begin, end)


def ended(c: Connection, begin: int, end: int) -> list[Part]:
    """The runs that ended in these minutes; `took` is what the successes ran."""
    return _parts(c, _ENDED, begin, end)


def _parts(c: Connection, statement: str, begin: int, end: int) -> list[Part]:
    rows = raw_sql.rows(c, statement, {"begin": stamp(begin), "end": stamp(end)})
    minutes = {text: minute(text + ":00Z") for text in {row[0] for row in rows}}
    return [Part._make((minutes[row[0]], *row[1:5], None if row[5] is None else float(row[5]), row[6])) for row in rows]


def counted_until(c: Connection) -> int | None:
    """The first minute that is not counted; at first that of the first run; None when there is none."""
    mark = raw_sql.value(c, "SELECT value FROM counters WHERE name = ?", (_MARK,))
    first = "SELECT min(start_time) FROM instances WHERE start_time IS NOT NULL"
    if mark is None and (text := raw_sql.value(c, first)) is not None:
        return minute(text)
    return mark


def next_run(c: Connection, after: int) -> int | None:
    """The first minute from this one on in which a run began or ended; None when there is none."""
    found = [
        raw_sql.value(c, f"SELECT min({column}) FROM instances WHERE {column} >= ?", (stamp(after),))
        for column in ("start_time", "end_time")
    ]
    return min((minute(text) for text in found if text is not None), default=None)


def count_until(c: Connection, until: int) -> None:
    """Remember that all minutes before this one are counted."""
    now = timestamps.now()
    raw_sql.run(
        c,
        "INSERT INTO counters (name, value, created_at, updated_at) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at",
        (_MARK, until, now, now),
    )


DURATIONS = ("waits", "runs")


def kept(
    c: Connection, width: int, begin: int, end: int, where: Mapping[str, str] | None = None, durations: Sequence[str] = DURATIONS
) -> list[Kept]:
    """The rows of a width whose buckets begin in these minutes; `where` gives a queue, pool or template. Durations that are not
    asked for are empty."""
    more = "".join(f" AND {column} = :{column}" for column in where or ())
    read = ", ".join(name if name in durations else f"'{{}}' AS {name}" for name in DURATIONS)
    statement = (
        f"SELECT at, queue, pool, template, started, ended, failed, {read} FROM history "
        f"WHERE width = :width AND at >= :begin AND at < :end{more}"
    )
    rows = raw_sql.rows(c, statement, {"width": width, "begin": stamp(begin), "end": stamp(end), **(where or {})})
    minutes = {text: minute(text) for text in {row[0] for row in rows}}
    return [Kept._make((minutes[row[0]], *row[1:])) for row in rows]


def keep(c: Connection, width: int, begin: int, end: int, rows: Sequence[Kept]) -> None:
    """Let the rows of a width in these minutes be exactly these."""
    drop(c, width, begin, end)
    now = timestamps.now()
    raw_sql.run_many(
        c,
        "INSERT INTO history (width, at, queue, pool, template, started, ended, failed, waits, runs, created_at, updated_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(width, stamp(row.at), *row[1:], now, now) for row in rows],
    )


def drop(c: Connection, width: int, begin: int, end: int) -> None:
    """Forget the rows of a width in these minutes."""
    raw_sql.run(c, "DELETE FROM history WHERE width = ? AND at >= ? AND at < ?", (width, stamp(begin), stamp(end)))


def sampled(c: Connection, since: int) -> set[int]:
    """The minutes since then in which a runtime was up: those that have a sample."""
    found = "SELECT CAST(strftime('%s', minute) AS INTEGER) / 60 FROM (SELECT DISTINCT minute FROM samples WHERE minute >= ?)"
    return set(raw_sql.column(c, found, (stamp(since),)))


_LEVELS = """
SELECT n.value AS name, b.key AS bucket, {figures} FROM json_each(:names) n CROSS JOIN json_each(:buckets) b CROSS JOIN samples s
WHERE s.kind = :kind AND s.name = n.value AND s.minute >= b.value ->> 0 AND s.minute < b.value ->> 1 GROUP BY n.key, b.key
"""
_POOL = (
    "avg(s.used_cpu) AS used_cpu, avg(s.measured_cpu) AS measured_cpu, max(s.measured_cpu) AS most_cpu, "
    "avg(s.used_memory) AS used_memory, avg(s.measured_memory) AS measured_memory, max(s.measured_memory) AS most_memory"
)
_QUEUE = "avg(s.running) AS running, avg(s.waiting) AS waiting, max(s.waiting) AS most_waiting"


def pool_levels(c: Connection, names: Sequence[str], begins: range) -> list[Any]:
    """Reserved and measured cores and MiB of pools in buckets: rows of name, bucket (its number), means and peaks."""
    return _levels(c, "pool", _POOL, names, begins)


def queue_levels(c: Connection, names: Sequence[str], begins: range) -> list[Any]:
    """Running and waiting tasks of queues in buckets: rows of name, bucket (its number), means and peaks."""
    return _levels(c, "queue", _QUEUE, names, begins)


def _levels(c: Connection, kind: str, figures: str, names: Sequence[str], begins: range) -> list[Any]:
    buckets = [(stamp(begin), stamp(begin + begins.step)) for begin in begins]
    given = {"kind": kind, "names": json.dumps(list(names)), "buckets": json.dumps(buckets)}
    return raw_sql.rows(c, _LEVELS.format(figures=figures), given)


def stamp(at: int) -> str:
    """The begin of a UNIX minute as it is stored."""
    return timestamps.from_unix(at * 60)


def minute(text: str) -> int:
    """The UNIX minute of a stored time."""
    return int(timestamps.unix(text)) // 60
