"""A large home with realistic names, commands, states and times.

A fixed seed makes all databases alike. Most tasks have ended; the newest tasks wait.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from app.core.ids import make_uuid7
from db import raw_sql, timestamps
from db.engine import create_write_engine
from db.queries.scheduling import loads

QUEUES = ("default", "media", "gpu", "etl", "backup")
TEMPLATES = ("encode", "thumbs", "train", "etl-load", "backup")
USERS = ("ann", "bob", "carol", "dave", "ci")
WAITING_SHARE = 0.04
"""Share of tasks that wait."""

_COLUMNS = (
    "uuid", "number", "name", "template", "type", "status", "parameters", "priority", "created_at",
    "updated_at", "queue", "cpu",
    "memory", "tags", "cwd", "launch", "submitted_by", "attempts", "started_at", "ended_at",
)  # fmt: skip
_INSERT = f"INSERT INTO tasks ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_ENDS = ("succeeded", "failed", "timed_out", "cancelled", "lost")
_SHARES = (0.9, 0.06, 0.015, 0.02, 0.005)


def fill_database(path: Path, count: int) -> None:
    """Fill a new database with tasks."""
    engine = create_write_engine(path)
    with engine.begin() as c:
        _add_definitions(c)
        for rows in _make_batches(count):
            raw_sql.execute_statements(c, _INSERT, rows)
        now = timestamps.now()
        c.exec_driver_sql("INSERT INTO counters VALUES ('task-number', ?, ?, ?)", (count, now, now))
        loads.recount_loads(c)
    engine.dispose()


def _add_definitions(c: Connection) -> None:
    now = timestamps.now()
    queues = [(name, 4, "paused", at, "default", now, now) for at, name in enumerate(QUEUES[1:])]
    raw_sql.execute_statements(
        c,
        "INSERT INTO queues (name, capacity, status, priority, pool, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        queues,
    )
    c.exec_driver_sql("UPDATE queues SET status = 'paused'")
    templates = [(name, "exec", "exec", "{}", "{}", now, now) for name in TEMPLATES]
    raw_sql.execute_statements(
        c,
        "INSERT INTO templates (name, type, engine, schema, parameters, created_at, updated_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        templates,
    )


def _make_batches(count: int, size: int = 20_000) -> Iterator[list[tuple[Any, ...]]]:
    dice, start = random.Random(4), datetime.now(UTC) - timedelta(days=29)
    step = timedelta(days=29) / count
    for first in range(1, count + 1, size):
        yield [
            _make_task(dice, n, count, start + n * step, step)
            for n in range(first, min(count, first + size - 1) + 1)
        ]


def _make_task(
    dice: random.Random, number: int, count: int, created: datetime, step: timedelta
) -> tuple[Any, ...]:
    kind = dice.choices(range(len(QUEUES)), (40, 25, 10, 20, 5))[0]
    name, argv = _make_command(dice, kind, number)
    template = TEMPLATES[kind - 1] if dice.random() < 0.4 and kind else None
    waits = number > count * (1 - WAITING_SHARE) or dice.random() < 0.0002
    status = (
        dice.choices(("queued", "scheduled", "held", "blocked"), (90, 4, 3, 3))[0]
        if waits
        else dice.choices(_ENDS, _SHARES)[0]
    )
    began = created + timedelta(seconds=dice.expovariate(1 / 600))
    ended = began + timedelta(seconds=dice.expovariate(1 / 900))
    stamp = timestamps.format_time(created)
    tags = {"env": dice.choice(("prod", "test", "dev"))} if dice.random() < 0.2 else {}
    return (
        make_uuid7(), number, name, template, "exec", status,
        json.dumps({"n": number}) if template else "{}",
        dice.choices((0, 5, 10, -5), (92, 4, 2, 2))[0], stamp, stamp, QUEUES[kind], 1.0, 512.0,
        json.dumps(tags),
        f"/srv/{QUEUES[kind]}", json.dumps({"argv": argv}),
        dice.choices(USERS, (50, 25, 12, 10, 3))[0], 0 if waits else 1,
        None if waits else timestamps.format_time(began),
        None if waits else timestamps.format_time(ended),
    )  # fmt: skip


def _make_command(dice: random.Random, kind: int, number: int) -> tuple[str, list[str]]:
    """Return a name and a command as a user would type them."""
    if kind == 1:
        film = f"S{dice.randrange(1, 30):02}E{dice.randrange(1, 24):02}.mkv"
        return f"encode {film}", [
            "ffmpeg",
            "-i",
            f"/srv/in/{film}",
            "-crf",
            "23",
            f"/srv/out/{number}.mp4",
        ]
    if kind == 2:
        return f"resnet50-sweep-{number % 997:03}", [
            "python",
            "train.py",
            "--lr",
            f"0.0{dice.randrange(1, 99)}",
            "--seed",
            str(number),
        ]
    if kind == 3:
        table = dice.choice(("orders", "customers", "events", "invoices", "shipments"))
        return f"load {table} {number:x}", [
            "/opt/etl/load",
            "--table",
            table,
            f"s3://lake/{table}/{dice.randrange(16**8):08x}.parquet",
        ]
    if kind == 4:
        return f"backup db{dice.randrange(40)}", [
            "pg_dump",
            "-Fc",
            f"db{dice.randrange(40)}",
            "-f",
            f"/backup/{number}.dump",
        ]
    host = dice.choice(("alpha", "bravo", "charlie", "delta", "echo")) + str(dice.randrange(200))
    return f"sha256 {host} {dice.randrange(16**6):06x}", [
        "ssh",
        host,
        "sha256sum",
        f"/data/{dice.randrange(16**10):010x}.bin",
    ]
