"""Notice to a waiting caller that another process holds the database lock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from app.core.text.sanitize import sanitize
from app.translation import tr
from db.engine import Database

FIRST_DELAY = 0.5
"""Seconds before the first notice."""
REPEAT_DELAY = 4.0
"""Seconds between notices: the next one arrives before a message line removes the last."""


@contextmanager
def notify_while_blocked(db: Database, tell: Callable[[str, bool], object]) -> Iterator[None]:
    """Call `tell(text, first)` repeatedly while this task waits for the database."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    notice_count = 0

    def look() -> None:
        nonlocal timer, notice_count
        held = task is not None and db.is_delayed(task)
        if held:
            tell(format_notice(db), notice_count == 0)
            notice_count += 1
        timer = loop.call_later(REPEAT_DELAY if held else FIRST_DELAY, look)

    timer: Any = loop.call_later(FIRST_DELAY, look)
    try:
        yield
    finally:
        timer.cancel()


def format_notice(db: Database) -> str:
    """Return the notice, with the holder of the lock if known."""
    held = db.find_lock_holder()
    if held and held.by:
        return tr(
            "waiting for the database, which another program holds ({by})", by=sanitize(held.by)
        )
    return tr("waiting for the database, which another program holds")
