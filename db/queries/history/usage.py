"""Sums of what runs used in a period, by groups of tasks.

Runs are read in pages by their end, from an index, so that no read takes long. The part of a run
before the period does not count.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from db import raw_sql, timestamps
from db.queries import counters
from db.states import ACTIVE_SQL

PAGE = 20_000
"""Runs summed by one read, about 60 ms."""


class UsageSum(NamedTuple):
    """Sums of the runs of one group; None is the name of tasks without that key.

    Seconds of cores, MiB and GPUs are reserved amounts times run time. `waits` counts first
    attempts, and `wait` and `longest` are their seconds since they could have started.
    """

    name: str | None
    tasks: int
    runs: int
    failed: int
    seconds: float
    core_seconds: float
    cpu_seconds: float
    memory_seconds: float
    gpu_seconds: float
    waits: int
    wait: float
    longest: float


class NamedSum(NamedTuple):
    """Seconds of units of a named resource of the runs of one group, other than GPUs."""

    name: str | None
    resource: str
    seconds: float


GROUPS = {
    "queue": "i.queue",
    "template": "t.template",
    "user": "t.submitted_by",
    "group": "t.group_number",
    "name": "t.name",
    "tag": "i.tags ->> :tag",
}
"""Expressions of the names of groups."""
_SECONDS = """86400.0 * max(0.0, julianday(coalesce(i.end_time, :now))
    - julianday(max(i.start_time, :since)))"""
_WAIT = """86400.0 * max(0.0, julianday(i.start_time)
    - julianday(max(t.created_at, coalesce(t.not_before, ''))))"""
_TOOK = f"""CASE WHEN i.start_time IS NULL THEN 0.0 WHEN i.start_time >= :since AND
      i.run_seconds IS NOT NULL THEN i.run_seconds ELSE {_SECONDS} END"""
_SUMS = f"""
SELECT name, sum(is_last), count(*), sum(is_failed), sum(took), sum(took * cpu),
  sum(used * CASE WHEN whole > 0 THEN took / whole ELSE 1 END), sum(took * memory),
  sum(took * gpus), count(waited), coalesce(sum(waited), 0.0), coalesce(max(waited), 0.0)
FROM (SELECT {{group}} AS name, i.attempt = t.attempts AS is_last, i.cpu, i.memory,
    i.status IN ('failed', 'timed_out', 'lost') AS is_failed,
    {_TOOK} AS took,
    coalesce(i.run_seconds, 0.0) AS whole, coalesce(i.cpu_seconds, 0.0) AS used,
    CASE WHEN i.resources IS NULL THEN 0 ELSE coalesce(i.resources ->> 'gpu', 0) END AS gpus,
    CASE WHEN i.attempt = 1 AND i.start_time >= :since THEN {_WAIT} END AS waited
  FROM instances i JOIN tasks t ON t.uuid = i.task_id WHERE {{chosen}})
GROUP BY name
"""
_NAMED = f"""
SELECT {{group}} AS name, n.key, sum({_TOOK} * n.value)
FROM instances i JOIN tasks t ON t.uuid = i.task_id CROSS JOIN json_each(i.resources) n
WHERE {{chosen}} AND i.resources IS NOT NULL AND n.key <> 'gpu'
GROUP BY 1, 2
"""
_ENDED = "i.end_time >= :begin AND i.end_time < :end"
_ACTIVE = f"i.status IN {ACTIVE_SQL} AND i.start_time IS NOT NULL"
PAGE_END = "SELECT end_time FROM instances WHERE end_time >= ? ORDER BY end_time LIMIT 1 OFFSET ?"


def sum_ended(
    c: Connection, group: str, tag: str, since: str, now: str, begin: str
) -> tuple[list[UsageSum], list[NamedSum], str | None]:
    """Return the sums of a page of runs that ended from `begin` on, and the begin of the next."""
    end = raw_sql.fetch_value(c, PAGE_END, (begin, PAGE))
    if end == begin:  # more runs than a page ended at one moment
        end = raw_sql.fetch_value(
            c, "SELECT min(end_time) FROM instances WHERE end_time > ?", (begin,)
        )
    period = {"since": since, "now": now, "tag": tag, "begin": begin, "end": end or "9"}
    return *_query(c, group, _ENDED, period), end


def sum_active(
    c: Connection, group: str, tag: str, since: str, now: str
) -> tuple[list[UsageSum], list[NamedSum]]:
    """Return the sums of the active runs until now."""
    return _query(c, group, _ACTIVE, {"since": since, "now": now, "tag": tag})


REMOVED_UNTIL = "usage/removed-until"
"""Counter: the latest end of a run that cleanup removed, in microseconds of UNIX time."""
_LAST_END = "SELECT max(end_time) FROM instances WHERE runid IN (SELECT value FROM json_each(?))"


def note_removal(c: Connection, runids: Sequence[str]) -> None:
    """Record that these runs are about to be removed, so that sums may lack them."""
    last = raw_sql.fetch_value(c, _LAST_END, (json.dumps(list(runids)),)) if runids else None
    if last is None:
        return
    until = round(timestamps.to_unix(last) * 1e6)
    if until > (counters.read_value(c, REMOVED_UNTIL) or 0):
        counters.set_value(c, REMOVED_UNTIL, until)


def find_removed_until(c: Connection) -> str | None:
    """Return the time after which no run that ended has been removed, None if none ever was."""
    until = counters.read_value(c, REMOVED_UNTIL)
    return timestamps.from_unix(until / 1e6) if until else None


def _query(
    c: Connection, group: str, chosen: str, parameters: dict[str, Any]
) -> tuple[list[UsageSum], list[NamedSum]]:
    sums, named = (
        raw_sql.fetch_tuples(c, text.format(group=GROUPS[group], chosen=chosen), parameters)
        for text in (_SUMS, _NAMED)
    )
    return [UsageSum._make(row) for row in sums], [NamedSum._make(row) for row in named]
