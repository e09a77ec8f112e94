"""The operation log: who did what to what, with what it was before and is after."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from db import clock, sql


def record(c: Connection, by: str, verb: str, obj: str, before: Any = None, after: Any = None) -> None:
    """Write one operation in the caller's transaction. `obj` reads like `task #12` or `queue media`; before and after are JSON."""
    record_all(c, by, verb, [(obj, before, after)])


def record_all(c: Connection, by: str, verb: str, done: Sequence[tuple[str, Any, Any]]) -> None:
    """`record` for each of many objects: (object, before, after)."""
    now = clock.now()
    sql.run_many(
        c,
        'INSERT INTO operations ("by", verb, object, before, after, created_at, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?)',
        [(by, verb, obj, _json(before), _json(after), now, now) for obj, before, after in done],
    )


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value)
