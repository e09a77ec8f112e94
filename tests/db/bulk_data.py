"""A database of a busy home: 100,000 queued tasks, and 20,000 ended ones with runs and events."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

from db import timestamps
from db.engine import create_write_engine
from db.queries.scheduling import loads

QUEUED, ENDED = 100_000, 20_000
QUEUES = ("default", "media", "gpu", "etl")
ENVIRONMENT = "e" * 64

_COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {last})"
_QUEUE = "CASE {i} % 4 WHEN 0 THEN 'default' WHEN 1 THEN 'media' WHEN 2 THEN 'gpu' ELSE 'etl' END"
_ID = "printf('019a{digit}000-%04x-7000-8000-%012x', {i} / 65536, {i})"
_AT = "strftime('%Y-%m-%dT%H:%M:%S.000000Z', '{now}', '-' || ({seconds}) || ' seconds')"


def fill_database(path: Path, queued: int = QUEUED, ended: int = ENDED) -> None:
    """Fill a fresh database with `queued` waiting and `ended` ended tasks."""
    engine = create_write_engine(path)
    with engine.begin() as c:
        _insert_definitions(c)
        _insert_tasks(c, queued, ended)
        _insert_runs(c)
        c.exec_driver_sql(
            "INSERT INTO counters VALUES ('task-number', ?, ?, ?)",
            (queued + ended, timestamps.now(), timestamps.now()),
        )
        loads.recount_loads(c)
    engine.dispose()


def _insert_definitions(c: Connection) -> None:
    now = timestamps.now()
    for at, name in enumerate(QUEUES[1:]):
        c.exec_driver_sql(
            "INSERT INTO queues (name, capacity, status, priority, pool, created_at, updated_at) "
            "VALUES (?, 4, 'active', ?, 'default', ?, ?)",
            (name, at, now, now),
        )
    c.exec_driver_sql(
        "INSERT INTO templates (name, type, engine, schema, parameters, created_at, updated_at) "
        "VALUES ('encode', 'exec', 'exec', '{}', '{}', ?, ?)",
        (now, now),
    )
    c.exec_driver_sql("INSERT INTO environments VALUES (?, '{}', ?, ?)", (ENVIRONMENT, now, now))


def _insert_tasks(c: Connection, queued: int, over: int) -> None:
    """Insert tasks, the ended ones first.

    Submissions are a second apart, ten tasks end each second, and every second task has a template.
    """
    done = f"i <= {over}"
    ended = _AT.format(now=timestamps.now()[:19], seconds=f"({over} - i) / 10")
    created = _AT.format(now=timestamps.now()[:19], seconds=f"{queued + over} - i")
    c.exec_driver_sql(
        f"{_COUNT.format(last=queued + over)} INSERT INTO tasks (uuid, name, template, type,"
        " status, parameters, priority, created_at, updated_at, number, queue, cpu, memory, tags,"
        " env_id, cwd, launch, submitted_by, attempts, started_at, ended_at) SELECT"
        f" {_ID.format(digit=1, i='i')}, 'work ' || i, iif(i % 2, 'encode', NULL), 'exec',"
        f" iif({done}, iif(i % 10, 'succeeded', 'failed'), 'queued'), '{{}}', i % 3, {created},"
        f" {created}, i, {_QUEUE.format(i='i')}, 1.0, 10.0, '{{\"run\": \"' || (i % 100) || '\"}}',"
        f" '{ENVIRONMENT}', '/', '{{\"argv\": [\"true\"]}}', 'ann', iif({done}, 1, 0), iif({done},"
        f" {ended}, NULL), iif({done}, {ended}, NULL) FROM n"
    )


def _insert_runs(c: Connection) -> None:
    c.exec_driver_sql(
        "INSERT INTO instances (runid, task_id, status, start_time, end_time, logs, tags,"
        " created_at, updated_at, attempt, queue, pool, cpu, memory, exit_code, run_seconds,"
        " log_bytes) SELECT '019a2' || substr(uuid, 6), uuid, status, started_at, ended_at, 'done',"
        " '{}', ended_at, ended_at, 1, queue, 'default', 1.0, 10.0, status = 'failed', number % 60,"
        " 4 FROM tasks WHERE ended_at IS NOT NULL"
    )
    c.exec_driver_sql(
        "INSERT INTO events (task_id, status, by, created_at, updated_at) "
        "SELECT uuid, word, 'taskdeck', created_at, created_at FROM tasks "
        "JOIN (SELECT 'queued' AS word UNION SELECT 'running' UNION SELECT 'succeeded')"
    )
