"""Days of past work inserted directly: ended tasks with runs, events, samples and operations."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection

from db import timestamps

_NUMBER_SERIES = (
    "WITH RECURSIVE n(i) AS (VALUES(:first) UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :last)"
)
_UUID = "printf('%08x-0000-7000-8000-%012x', :day, i)"
_RUNID = "printf('%08x-0001-7000-8000-%012x', :day, i)"
_TIME = (
    "strftime('%Y-%m-%dT%H:%M:%f000Z', :begin, '+' || ((i - :first) * 86400.0 / (:last - :first))"
    " || ' seconds')"
)
_STATUS = "CASE i % 10 WHEN 0 THEN 'failed' ELSE 'succeeded' END"
_LAUNCH = """'{"argv": ["ffmpeg", "-i", "in.mov", "-preset", "slow", "out.mp4"], "env": null}'"""
_INSERTS = (
    f"""{_NUMBER_SERIES} INSERT INTO tasks (uuid, name, type, status, parameters, created_at,
      updated_at, number, queue, tags, cwd, launch, submitted_by, attempts, started_at, ended_at)
    SELECT {_UUID}, 'work-' || (i % 7), 'exec', {_STATUS}, '{{}}', {_TIME}, {_TIME}, i, 'default',
      '{{}}', '/home/ann/work', {_LAUNCH}, 'ann', 1, {_TIME}, {_TIME} FROM n""",
    f"""{_NUMBER_SERIES} INSERT INTO instances (runid, task_id, status, start_time, end_time, logs,
      tags, created_at, updated_at, attempt, queue, pool, cpu, memory, exit_code, run_seconds,
      log_bytes)
    SELECT {_RUNID}, {_UUID}, {_STATUS}, {_TIME}, {_TIME}, printf('%.*c', 200, 'x'), '{{}}',
      {_TIME}, {_TIME}, 1, 'default', 'default', 1, 0, 0, 1.5, 200 FROM n""",
    f"""{_NUMBER_SERIES}, s(word) AS (VALUES ('queued'), ('running'), ('starting'), ('succeeded'))
    INSERT INTO events (task_id, runid, status, by, created_at, updated_at)
    SELECT {_UUID}, {_RUNID}, word, 'taskdeck', {_TIME}, {_TIME} FROM n, s ORDER BY i""",
    f"""{_NUMBER_SERIES} INSERT OR IGNORE INTO samples (kind, name, minute, created_at, updated_at)
    SELECT 'queue', 'default', substr({_TIME}, 1, 16) || ':00.000000Z', {_TIME}, {_TIME} FROM n""",
    f"""{_NUMBER_SERIES} INSERT INTO operations
      ("by", verb, object, after, created_at, updated_at, source)
    SELECT 'ann', 'hold', 'task #' || i, '{{"status": "held"}}', {_TIME}, {_TIME}, 'cli' FROM n
    WHERE i % 100 = 0""",
)


def insert_day(c: Connection, begin: datetime, number: int, tasks: int) -> None:
    """Insert one day of `tasks` tasks, one in ten failed; days count from 0."""
    given = {
        "first": number * tasks + 1,
        "last": (number + 1) * tasks + 1,
        "day": number,
        "begin": timestamps.format_time(begin)[:19],
    }
    for statement in _INSERTS:
        c.exec_driver_sql(statement, given)


def insert_days(c: Connection, until: datetime, many: int, tasks: int) -> None:
    """Insert `many` days of work, the last one ending at `until`."""
    for number in range(many):
        insert_day(c, until - timedelta(days=many - number), number, tasks)
