"""The operation log: who did what to what, with what it was before and is after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert

from db import clock, schema


def record(c: Connection, by: str, verb: str, obj: str, before: Any = None, after: Any = None) -> None:
    """Write one operation in the caller's transaction. `obj` reads like `task #12` or `queue media`; before and after are JSON."""
    record_all(c, by, verb, [(obj, before, after)])


def record_all(c: Connection, by: str, verb: str, done: Sequence[tuple[str, Any, Any]]) -> None:
    """`record` for each of many objects: (object, before, after)."""
    now = clock.now()
    same = {"by": by, "verb": verb, "created_at": now, "updated_at": now}
    if done:
        c.execute(
            insert(schema.operations), [{**same, "object": obj, "before": before, "after": after} for obj, before, after in done]
        )
