"""Lines of queued tasks without those that limits stop, kept between rounds.

An array of 100,000 queued tasks may be stopped by a limit or for lack of GPUs, and finding the few
others passes all of their rows: 30 ms. So the writer keeps the others. Triggers of its connection
note which rows enter, leave or change, and a line reads only these again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from db.queries.scheduling import limits
from db.queries.scheduling.limits import Exclusion
from db.queries.scheduling.task_watch import TaskWatch, is_watchable

MAX_ROWS = 512
"""Rows that a kept line has at most; the tasks behind the last one are unknown."""
MAX_CHANGES = 2_000
"""Changed rows after which all lines are read again."""
MAX_AGE = 50
"""Transactions after which a line that nobody asked for is forgotten."""

_Key = tuple[str, bool, tuple[Exclusion, ...]]


@dataclass(slots=True)
class _Line:
    """The first rows of a line; `is_whole` if there are no more."""

    rows: list[Any]
    is_whole: bool
    epoch: int
    """Rows that changed in this epoch or later may differ."""


class KeptLines:
    """Kept lines of the writer's connection, by queue, order and exclusions."""

    def __init__(self) -> None:
        self._watch = TaskWatch(self._note)
        self._misses_changes = False
        self._changed: dict[str, dict[str, int]] = {}
        """Epoch of the last change by uuid, of each queue."""
        self._changes = 0
        """Number of these epochs."""
        self._rested = 0
        """Rounds since a line was read."""
        self.scans = 0
        """Number of reads that passed all rows of a queue."""
        self._lines: dict[_Key, _Line] = {}

    def list_queued(
        self,
        c: Connection,
        queue: str,
        by_priority: bool,
        limit: int,
        excluded: Sequence[Exclusion],
    ) -> list[Any]:
        """Return the rows of `limits.list_queued`."""
        self.scans += 1
        lasts = all(one.longer_than is None or one.is_lasting for one in excluded)
        if not (lasts and is_watchable(c)):
            return limits.list_queued(c, queue, by_priority, limit, excluded)
        self._rested = 0
        self._begin(c)
        key = queue, by_priority, tuple(sorted(excluded, key=repr))
        line = self._lines.get(key)
        if line is not None and self._update(c, key, line, limit):
            self.scans -= 1
            return line.rows[:limit]
        most = max(limit, MAX_ROWS)
        rows = limits.list_queued(c, queue, by_priority, most, key[2])
        if not self._misses_changes:
            self._lines[key] = _Line(rows, len(rows) < most, self._watch.epoch - 1)
        return rows[:limit]

    def rest(self, c: Connection) -> None:
        """Note a round; remove the triggers after many rounds that read no line."""
        self._rested += 1
        if self._rested > MAX_AGE:
            self.stop(c)

    def stop(self, c: Connection) -> None:
        """Forget all lines, and remove the triggers."""
        if self._watch.is_active:
            self._watch.stop(c)
            self._forget()

    def _begin(self, c: Connection) -> None:
        """Prepare for a transaction: forget lines that may no longer hold."""
        is_new, has_many = self._watch.begin(c), self._changes > MAX_CHANGES
        if not (is_new or has_many):
            return
        self._misses_changes = self._watch.misses_changes or has_many
        if self._misses_changes:
            self._forget()
        oldest = self._watch.epoch - MAX_AGE
        self._lines = {key: one for key, one in self._lines.items() if one.epoch >= oldest}
        if self._changes > MAX_CHANGES // 2:
            self._changed = {
                queue: {u: epoch for u, epoch in changed.items() if epoch >= oldest}
                for queue, changed in self._changed.items()
            }
            self._changes = sum(map(len, self._changed.values()))

    def _forget(self) -> None:
        self._lines.clear()
        self._changed.clear()
        self._changes = 0

    def _note(self, uuid: str, before: str, after: str) -> None:
        if self._changes > MAX_CHANGES:
            return
        for queue in {before, after}:
            changed = self._changed.setdefault(queue, {})
            self._changes += uuid not in changed
            changed[uuid] = self._watch.epoch

    def _update(self, c: Connection, key: _Key, line: _Line, limit: int) -> bool:
        """Read the changed rows of a line again; return False if too few rows are known."""
        of_queue = self._changed.get(key[0], {})
        changed = {uuid for uuid, epoch in of_queue.items() if epoch >= line.epoch}
        line.epoch = self._watch.epoch - 1
        if changed:
            kept = [row for row in line.rows if row.uuid not in changed]
            known = None if line.is_whole else kept[-1] if kept else False
            found = limits.list_among(c, *key, list(changed))
            line.rows = sorted([*kept, *found], key=_get_place if key[1] else _get_age)
            if known is not None:
                del line.rows[line.rows.index(known) + 1 if known else 0 :]
        return line.is_whole or len(line.rows) >= limit


def _get_place(row: Any) -> tuple[int, int, int]:
    return -row.front, -row.priority, row.number


def _get_age(row: Any) -> tuple[str, int]:
    return row.created_at, row.number
