"""The operation log: who did what to what, with what it was before and is after."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, insert

from db import clock, schema


def record(c: Connection, by: str, verb: str, obj: str, before: Any = None, after: Any = None) -> None:
    """Write one operation in the caller's transaction. `obj` reads like `task #12` or `queue media`; before and after are JSON."""
    now = clock.now()
    c.execute(
        insert(schema.operations),
        {"by": by, "verb": verb, "object": obj, "before": before, "after": after, "created_at": now, "updated_at": now},
    )
