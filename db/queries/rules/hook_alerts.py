"""Alerts that fired and wait for hooks: one counter for each, so that a crash loses none.

The runtime tells by counters which hooks want alerts; the rules that fire know no settings.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from db import raw_sql
from db.queries import counters

WANTED = "hooks/alerts/"
"""Folder of counters: the hooks that want alerts."""
FIRED = "hooks/fired/"
"""Folder of counters: the waiting alerts of each hook."""
DROPPED = "hooks/dropped/"
"""Folder of counters: the events of each hook that were left out."""
MAX_WAITING = 1000
"""Alerts that wait for one hook; more are counted and left out."""


def note_fired(c: Connection, alert_ids: Sequence[int]) -> None:
    """Let alerts that fire wait for each hook that wants them."""
    if not alert_ids:
        return
    for name in counters.map_values(c, WANTED):
        room = max(0, MAX_WAITING - _count_waiting(c, name))
        for number in alert_ids[:room]:
            counters.set_value(c, f"{FIRED}{name}/{number:012d}", number)
        if left_out := len(alert_ids[room:]):
            counters.add_values(c, {f"{DROPPED}{name}": left_out})


def _count_waiting(c: Connection, name: str) -> int:
    found = "SELECT count(*) FROM counters WHERE name >= ? AND name < ?"
    return raw_sql.fetch_value(c, found, counters.get_range(f"{FIRED}{name}/"))


def list_waiting(c: Connection, name: str, limit: int) -> list[int]:
    """Return the first alerts that wait for a hook."""
    found = "SELECT value FROM counters WHERE name >= ? AND name < ? ORDER BY name LIMIT ?"
    return raw_sql.fetch_column(c, found, (*counters.get_range(f"{FIRED}{name}/"), limit))


def remove(c: Connection, name: str, alert_ids: Sequence[int]) -> None:
    """Remove alerts that a hook was run for."""
    for number in alert_ids:
        counters.delete(c, f"{FIRED}{name}/{number:012d}")
