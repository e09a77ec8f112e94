"""Tells whoever gave a verb that it waits for the database, which another program holds: else nothing tells it from a dead one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from app.core.text.sanitize import clean
from db.engine import Database

FIRST = 0.5
"""Seconds after which it is told."""
AGAIN = 4.0
"""Seconds between two times that it is told: a message line has it for longer."""


@contextmanager
def telling(db: Database, tell: Callable[[str, bool], object]) -> Iterator[None]:
    """While this task works, `tell(text, first)` that it is held up, as often as it still is."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    told = 0

    def look() -> None:
        nonlocal timer, told
        held = task is not None and db.holds_up(task)
        if held:
            tell(in_words(db), told == 0)
            told += 1
        timer = loop.call_later(AGAIN if held else FIRST, look)

    timer: Any = loop.call_later(FIRST, look)
    try:
        yield
    finally:
        timer.cancel()


def in_words(db: Database) -> str:
    """`it waits for the database, which another program holds (sqlite3, pid 4711)`."""
    held = db.held()
    by = f" ({clean(held.by)})" if held and held.by else ""
    return f"it waits for the database, which another program holds{by}"
