"""Lines of queued tasks without those that limits stop, kept between rounds.

A limit or a lack of GPUs may stop an array of 100,000 queued tasks. To find the few others takes a
pass over all rows: 30 ms. So the writer keeps the others, and a round passes only some rows; the
next rounds go on behind these. Triggers of the writer's connection note which rows enter,
leave or change, and a line reads only these again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from db.queries.scheduling import limits
from db.queries.scheduling.limits import Exclusion
from db.queries.scheduling.line_steps import Place, find_end, get_key, get_place
from db.queries.scheduling.task_watch import TaskWatch, is_watchable

MAX_ROWS = 512
"""Rows that a kept line has at most; the tasks behind the last one are unknown."""
STEP_ROWS = 250
"""Rows that a step passes: 0.1 ms, or 0.4 ms if they lie far apart."""
MAX_SECONDS = 0.0005
"""CPU time of the steps of a round after which no other one begins."""
MAX_CHANGES = 2_000
"""Changed rows after which all lines are read again."""
MAX_AGE = 50
"""Transactions after which a line that nobody asked for is forgotten."""

_Key = tuple[str, bool, tuple[Exclusion, ...]]


@dataclass(slots=True)
class _Line:
    """The first rows of a line, up to the place `end`; `is_whole` if there are no more."""

    rows: list[Any]
    epoch: int
    """Rows that changed in this epoch or later may differ."""
    end: Place | None = None
    is_whole: bool = False


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
        self._took = 0.0
        """CPU time of the steps of this round in seconds."""
        self.is_cut = False
        """True if the round had no time to pass all rows, so that another one must follow."""
        self._lines: dict[_Key, _Line] = {}

    def list_queued(
        self,
        c: Connection,
        queue: str,
        by_priority: bool,
        limit: int,
        excluded: Sequence[Exclusion],
        at_once: bool = False,
        begin: Place | None = None,
        wider: Sequence[Exclusion] = (),
    ) -> list[Any]:
        """Return the rows of `limits.list_queued`.

        Without `at_once`, return only those that the round has time for. A new line begins behind
        the place `begin`, or with the rows that a line of fewer exclusions knows, `wider`.
        """
        key, lasts = (queue, by_priority, tuple(excluded)), is_lasting(excluded)
        if not is_watchable(c):
            return limits.list_queued(c, queue, by_priority, limit, excluded)
        self._rested = 0
        self._begin(c)
        line = self._lines.get(key) or self._narrow(c, key, (queue, by_priority, tuple(wider)))
        if line is None:
            line = _Line([], self._watch.epoch - 1, begin)
        self._update(c, key, line)
        self._extend(c, key, line, limit, at_once)
        if lasts and not self._misses_changes:
            self._lines[key] = line
        self.is_cut |= lasts and not line.is_whole and len(line.rows) < limit
        return line.rows[:limit]

    def begin_round(self, c: Connection) -> None:
        """Begin a round; remove the triggers after many rounds that read no line."""
        self._took, self.is_cut = 0.0, False
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

    def _narrow(self, c: Connection, key: _Key, wider: _Key) -> _Line | None:
        """Return a new line with what a line of fewer exclusions knows, if there is one."""
        known = self._lines.get(wider)
        if known is None:
            return None
        self._update(c, wider, known)
        rows = limits.list_among(c, *key, [row.uuid for row in known.rows])
        rows.sort(key=lambda row: get_key(get_place(row, key[1])))
        return _Line(rows, known.epoch, known.end, known.is_whole)

    def _update(self, c: Connection, key: _Key, line: _Line) -> None:
        """Read the changed rows of a line again."""
        of_queue = self._changed.get(key[0], {})
        changed = {uuid for uuid, epoch in of_queue.items() if epoch >= line.epoch}
        line.epoch = self._watch.epoch - 1
        if not changed or not (line.is_whole or line.end):
            return
        kept = [row for row in line.rows if row.uuid not in changed]
        found = limits.list_among(c, *key, list(changed))
        if not line.is_whole and line.end:
            end = get_key(line.end)
            found = [row for row in found if get_key(get_place(row, key[1])) <= end]
        line.rows = sorted([*kept, *found], key=lambda row: get_key(get_place(row, key[1])))
        if len(line.rows) > MAX_ROWS:
            del line.rows[MAX_ROWS:]
            line.end, line.is_whole = get_place(line.rows[-1], key[1]), False

    def _extend(self, c: Connection, key: _Key, line: _Line, limit: int, at_once: bool) -> None:
        """Pass further rows until enough are known, or until the time of the round is over."""
        queue, by_priority, excluded = key
        while len(line.rows) < limit and not line.is_whole:
            if self._took > MAX_SECONDS and not at_once:
                break
            began = time.thread_time()
            end = find_end(c, queue, by_priority, line.end, STEP_ROWS)
            if end is None:
                line.is_whole = True
            else:
                line.rows += limits.list_part(c, queue, by_priority, excluded, line.end, end)
                line.end = end
            self._took += time.thread_time() - began


def is_lasting(excluded: Sequence[Exclusion]) -> bool:
    """Return True if exclusions stay the same while little changes."""
    return all(one.longer_than is None or one.is_lasting for one in excluded)
