"""Rollups: runs started and ended by minute, queue, pool and template.

Rows of `history` cover 1, 15 or 120 minutes. Minutes are counted once they are over, by the times
of the runs. The counter `history/minute` is the first minute not counted yet. All minutes in this
module are UNIX minutes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from db import raw_sql, timestamps
from db.queries import counters

_COUNTER = "history/minute"
RECOUNTED_MINUTES = 3
"""Minutes counted again each time: an end may be recorded shortly after its minute."""


class RollupRow(NamedTuple):
    """A rollup row: first minute, group, counts, and durations as JSON {step: count}."""

    at: int
    queue: str
    pool: str
    template: str
    started: int
    ended: int
    failed: int
    waits: str
    runs: str


class RunCount(NamedTuple):
    """A number of runs that began or ended in one minute with a similar duration.

    `took` is in seconds with two digits, or None if not counted.
    """

    at: int
    queue: str
    pool: str
    template: str
    status: str
    took: float | None
    many: int


_STARTED = """
SELECT substr(i.start_time, 1, 16) AS at, i.queue, i.pool, coalesce(t.template, '') AS template,
  '' AS status,
  CASE WHEN i.attempt = 1 THEN
    printf('%.1e', max(0.0, 86400.0 * (
      julianday(i.start_time) - julianday(max(t.created_at, coalesce(t.not_before, ''))))))
  END AS took, count(*) AS many
FROM instances i JOIN tasks t ON t.uuid = i.task_id
WHERE i.start_time >= :begin AND i.start_time < :end GROUP BY 1, 2, 3, 4, 5, 6
"""
_ENDED = """
SELECT substr(i.end_time, 1, 16) AS at, i.queue, i.pool, coalesce(t.template, '') AS template,
  i.status,
  CASE WHEN i.status = 'succeeded' THEN printf('%.1e', i.run_seconds) END AS took, count(*) AS many
FROM instances i JOIN tasks t ON t.uuid = i.task_id WHERE i.end_time >= :begin AND i.end_time < :end
GROUP BY 1, 2, 3, 4, 5, 6
"""


def count_started(c: Connection, begin: int, end: int) -> list[RunCount]:
    """Return the runs started in these minutes.

    `took` is the wait of first attempts since they could have started.
    """
    return _query_counts(c, _STARTED, begin, end)


def count_ended(c: Connection, begin: int, end: int) -> list[RunCount]:
    """Return the runs ended in these minutes; `took` is the duration of successes."""
    return _query_counts(c, _ENDED, begin, end)


def _query_counts(c: Connection, statement: str, begin: int, end: int) -> list[RunCount]:
    rows = raw_sql.fetch_rows(
        c, statement, {"begin": format_minute(begin), "end": format_minute(end)}
    )
    minutes = {text: parse_minute(text + ":00Z") for text in {row[0] for row in rows}}
    return [
        RunCount._make(
            (minutes[row[0]], *row[1:5], None if row[5] is None else float(row[5]), row[6])
        )
        for row in rows
    ]


def find_counted_until(c: Connection) -> int | None:
    """Return the first minute not counted yet, at first that of the oldest run.

    Return None without any run.
    """
    mark = counters.read_value(c, _COUNTER)
    first = "SELECT min(start_time) FROM instances WHERE start_time IS NOT NULL"
    if mark is None and (text := raw_sql.fetch_value(c, first)) is not None:
        return parse_minute(text)
    return mark


def find_next_run(c: Connection, after: int) -> int | None:
    """Return the first minute from `after` on in which a run began or ended, or None."""
    found = [
        raw_sql.fetch_value(
            c, f"SELECT min({column}) FROM instances WHERE {column} >= ?", (format_minute(after),)
        )
        for column in ("start_time", "end_time")
    ]
    return min((parse_minute(text) for text in found if text is not None), default=None)


def set_counted_until(c: Connection, until: int) -> None:
    """Store that all minutes before this one are counted."""
    counters.set_value(c, _COUNTER, until)


DURATIONS = ("waits", "runs")


def read_rollups(
    c: Connection,
    width: int,
    begin: int,
    end: int,
    where: Mapping[str, str] | None = None,
    durations: Sequence[str] = DURATIONS,
) -> list[RollupRow]:
    """Return the rollup rows of a width that begin in these minutes.

    `where` selects a queue, pool or template. Durations not listed in `durations` are empty.
    """
    more = "".join(f" AND {column} = :{column}" for column in where or ())
    read = ", ".join(name if name in durations else f"'{{}}' AS {name}" for name in DURATIONS)
    statement = (
        f"SELECT at, queue, pool, template, started, ended, failed, {read} FROM history "
        f"WHERE width = :width AND at >= :begin AND at < :end{more}"
    )
    rows = raw_sql.fetch_rows(
        c,
        statement,
        {"width": width, "begin": format_minute(begin), "end": format_minute(end), **(where or {})},
    )
    minutes = {text: parse_minute(text) for text in {row[0] for row in rows}}
    return [RollupRow._make((minutes[row[0]], *row[1:])) for row in rows]


def replace_rollups(
    c: Connection, width: int, begin: int, end: int, rows: Sequence[RollupRow]
) -> None:
    """Replace the rollup rows of a width in these minutes."""
    delete_rollups(c, width, begin, end)
    now = timestamps.now()
    raw_sql.execute_statements(
        c,
        "INSERT INTO history (width, at, queue, pool, template, started, ended, failed, waits,"
        " runs, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(width, format_minute(row.at), *row[1:], now, now) for row in rows],
    )


def delete_rollups(c: Connection, width: int, begin: int, end: int) -> None:
    """Delete the rollup rows of a width in these minutes."""
    raw_sql.execute_statement(
        c,
        "DELETE FROM history WHERE width = ? AND at >= ? AND at < ?",
        (width, format_minute(begin), format_minute(end)),
    )


def list_sampled_minutes(c: Connection, since: int) -> set[int]:
    """Return the minutes with a sample, in which a runtime was running."""
    found = (
        "SELECT CAST(strftime('%s', minute) AS INTEGER) / 60 FROM (SELECT DISTINCT minute FROM"
        " samples WHERE minute >= ?)"
    )
    return set(raw_sql.fetch_column(c, found, (format_minute(since),)))


_LEVELS = """
SELECT n.value AS name, b.key AS bucket, {figures} FROM json_each(:names) n
  CROSS JOIN json_each(:buckets) b CROSS JOIN samples s
WHERE s.kind = :kind AND s.name = n.value AND s.minute >= b.value ->> 0 AND s.minute < b.value ->> 1
GROUP BY n.key, b.key
"""
_POOL = (
    "avg(s.used_cpu) AS used_cpu, avg(s.measured_cpu) AS measured_cpu, max(s.measured_cpu) AS"
    " most_cpu, avg(s.used_memory) AS used_memory, avg(s.measured_memory) AS measured_memory,"
    " max(s.measured_memory) AS most_memory"
)
_QUEUE = "avg(s.running) AS running, avg(s.waiting) AS waiting, max(s.waiting) AS most_waiting"


def read_pool_levels(c: Connection, names: Sequence[str], begins: range) -> list[Any]:
    """Return reserved and measured cores and MiB of pools in buckets.

    Rows of name, bucket (its number), means and peaks.
    """
    return _read_levels(c, "pool", _POOL, names, begins)


_NAMED_LEVELS = """
SELECT n.value AS name, b.key AS bucket, s.resources AS held, count(*) AS minutes
FROM json_each(:names) n CROSS JOIN json_each(:buckets) b CROSS JOIN samples s
WHERE s.kind = 'pool' AND s.name = n.value AND s.minute >= b.value ->> 0
  AND s.minute < b.value ->> 1
GROUP BY n.key, b.key, s.resources
"""


def read_named_levels(c: Connection, names: Sequence[str], begins: range) -> list[Any]:
    """Return what runs held of named resources of pools in buckets.

    Rows of name, bucket (its number), stored amounts or None, and the number of such minutes.
    """
    return raw_sql.fetch_rows(c, _NAMED_LEVELS, _make_level_args(names, begins))


def read_queue_levels(c: Connection, names: Sequence[str], begins: range) -> list[Any]:
    """Return running and waiting tasks of queues in buckets.

    Rows of name, bucket (its number), means and peaks.
    """
    return _read_levels(c, "queue", _QUEUE, names, begins)


def _read_levels(
    c: Connection, kind: str, figures: str, names: Sequence[str], begins: range
) -> list[Any]:
    given = {"kind": kind, **_make_level_args(names, begins)}
    return raw_sql.fetch_rows(c, _LEVELS.format(figures=figures), given)


def _make_level_args(names: Sequence[str], begins: range) -> dict[str, str]:
    buckets = [(format_minute(begin), format_minute(begin + begins.step)) for begin in begins]
    return {"names": json.dumps(list(names)), "buckets": json.dumps(buckets)}


def format_minute(at: int) -> str:
    """Return the start of a UNIX minute as stored time."""
    return timestamps.from_unix(at * 60)


def parse_minute(text: str) -> int:
    """Return the UNIX minute of a stored time."""
    return int(timestamps.to_unix(text)) // 60
