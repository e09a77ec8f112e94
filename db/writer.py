"""The connection that writes: one, kept, with transactions that begin IMMEDIATE."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from db import index
from db.explain import BUSY_SECONDS
from db.timed import Seat
from db.writelock import WriteLock


def write_engine(path: Path, seat: Seat | None = None, lock: WriteLock | None = None) -> Engine:
    """One connection, kept; transactions begin IMMEDIATE. On Python 3.11 DDL is rolled back only with the driver's own begin off.
    With a `seat` its statements are timed."""

    factory: Any = seat.connection if seat else sqlite3.Connection

    def connect() -> sqlite3.Connection:
        c = sqlite3.connect(os.fspath(path), timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False,
                            cached_statements=512, factory=factory)  # fmt: skip
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            "cache_size=-8192",
        ):
            c.execute(f"PRAGMA {pragma}")
        index.attach_empty(c.execute)
        return c

    engine = create_engine("sqlite://", creator=connect, poolclass=StaticPool)
    event.listen(engine, "begin", (lock or WriteLock(path)).take)
    return engine
