"""Pages of all tasks by number, in which each group is one row at the place of its first task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from db import raw_sql
from db.search.candidates import FIRST, LAST

_TASKS = (
    "SELECT number, rowid AS place FROM tasks INDEXED BY idx_tasks_single WHERE group_number IS"
    " NULL AND deleted_at IS NULL AND number > ? AND number < ? ORDER BY number {} LIMIT ?"
)
_GROUPS = (
    "SELECT first_number, number AS place FROM groups g WHERE first_number > ? AND first_number < ?"
    " AND EXISTS (SELECT 1 FROM counters n WHERE n.name >= 'groups/' || g.number || '/' AND n.name"
    " < 'groups/' || g.number || '0' AND n.value > 0) ORDER BY first_number {} LIMIT ?"
)


class FoldedPage(NamedTuple):
    """Rowids of tasks of no group, and numbers of groups, both in the displayed order."""

    rowids: list[int]
    groups: list[int]
    before: bool
    after: bool


def read_page(c: Connection, at: int | None, down: bool, back: bool, limit: int) -> FoldedPage:
    """Return up to `limit` rows after a number, or before it if `back`.

    Without a number, return the first or last rows. `down` sorts from the highest number.
    """
    is_down = down != back
    low, high = FIRST, LAST
    if at is not None:
        low, high = (low, at) if is_down else (at, high)
    found = _read(c, low, high, is_down, limit + 1)
    beyond = len(found) > limit
    # The row at the place itself lies on the other side, too.
    rest = at is not None and bool(
        _read(c, *((at - 1, LAST) if is_down else (FIRST, at + 1)), not is_down, 1)
    )
    shown = found[:limit][::-1] if back else found[:limit]
    before, after = (beyond, rest) if back else (rest, beyond)
    rowids = [place for _, place, is_group in shown if not is_group]
    return FoldedPage(rowids, [place for _, place, is_group in shown if is_group], before, after)


def _read(
    c: Connection, low: int, high: int, down: bool, limit: int
) -> Sequence[tuple[int, int, bool]]:
    """Return (number, place, is a group) of the first rows between two numbers."""
    way = "DESC" if down else "ASC"
    rows = [
        (number, place, is_group)
        for text, is_group in ((_TASKS, False), (_GROUPS, True))
        for number, place in raw_sql.fetch_rows(c, text.format(way), (low, high, limit))
    ]
    return sorted(rows, reverse=down)[:limit]
