"""Keyset pagination of task lists, in any order and with any conditions.

A page begins at a value and a number, so inserted and deleted rows move nothing. Offsets would
rescan the table. If the conditions leave few rows, the rows are looked up and sorted, and the page
and its total are exact. Otherwise the order's index is walked in growing windows, and matching rows
are picked. A walk that takes too long stops and reports its position: rows before the position are
complete, and the next page may begin there. No page takes longer than `TIME_LIMIT`, and no
incomplete page claims to be complete.
"""

from __future__ import annotations

import json
import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import Connection

from db import raw_sql
from db.queries import reads
from db.queries.tasks import groups
from db.search import candidates, fts
from db.search.candidates import FIRST, LAST
from db.search.conditions import (
    Condition,
    GroupCondition,
    MissingCondition,
    RangeCondition,
    StatusCondition,
    ValueCondition,
    WordCondition,
    build_where,
)
from db.states import ENDED, WAITING, TaskStatus

TIME_LIMIT = 0.5
"""Maximum seconds of a walk."""
MAX_SORTED, MAX_SORTED_LATER = 3_000, 64_000
"""Maximum candidates to look up and sort instead of walking, before and after a fruitless walk."""
MAX_CANDIDATES = 100_000
"""Maximum candidates to look up and pick from an order's index."""
MAX_UNCOUNTED = 20_000
"""Limit for sources of unknown length."""
MAX_SLOW = 300_000
"""Limit after a fruitless walk."""
WALK_LIMIT = 4_000
"""Rows read before a walk counts as fruitless."""
SKIP_COST = 16
"""Index positions that cost as much as one row read."""
SMALL, LARGE = 500, 64_000
"""Rows of the first and of the largest window."""


class SortOrder(NamedTuple):
    """Sort order by a column, then number. `tie` is the second column of its index.

    Rows without a value come last in both directions.
    """

    column: str
    by: str
    tie: str = "rowid"
    partial: bool = False


ORDERS = {
    "number": SortOrder("number", "idx_tasks_number"),
    "name": SortOrder("name", "idx_tasks_name"),
    "queue": SortOrder("queue", "idx_tasks_queue", "number"),
    "status": SortOrder("status", "idx_tasks_status"),
    "priority": SortOrder("priority", "idx_tasks_priority"),
    "created": SortOrder("created_at", "idx_tasks_created"),
    "template": SortOrder("template", "idx_tasks_of_template", partial=True),
    "started": SortOrder("started_at", "idx_tasks_started", partial=True),
    "ended": SortOrder("ended_at", "idx_tasks_over", partial=True),
}


@dataclass(frozen=True, slots=True)
class TaskSelection:
    """Conditions of a list, all of which must hold.

    `hints` are lower-cased parts of the texts of all matching rows; `text_of` makes the text of a
    row.
    """

    conditions: tuple[Condition, ...]
    text_of: fts.TextOf
    hints: tuple[str, ...] = ()

    def with_conditions(self, *more: Condition) -> TaskSelection:
        """Return the selection with more conditions."""
        return TaskSelection((*self.conditions, *more), self.text_of, self.hints)


class PagePosition(NamedTuple):
    """A position in an order. A page begins after it."""

    value: Any
    number: int


class TaskPage(NamedTuple):
    """Rows in the displayed order.

    `stopped` is the position of an interrupted walk, or None.
    """

    rowids: list[int]
    before: bool
    after: bool
    total: int | None
    stopped: PagePosition | None


class _WalkStep(NamedTuple):
    """Matching rows of a window, the number of rows read, and the end position."""

    rowids: list[int]
    looked: int
    end: PagePosition | None


class _WalkResult(NamedTuple):
    rowids: list[int]
    stopped: PagePosition | None


# --- matching -------------------------------------------------------------------------------


class PageQuery:
    """A query for matching tasks, within one read."""

    def __init__(self, c: Connection, selection: TaskSelection) -> None:
        self.c, self.wanted = c, selection
        self._words = [
            condition for condition in selection.conditions if isinstance(condition, WordCondition)
        ]
        known = fts.read_state(c) if self._words or selection.hints else fts.NO_STATE
        self._unknown = (
            candidates.find_unknown(c, known)
            if self._words or selection.hints
            else candidates.UnknownPositions()
        )
        self._where, self._values = build_where(selection.conditions, known)

    def filter_matching(self, rowids: Sequence[int]) -> list[int]:
        """Return the matching rows among these, in their order."""
        if not rowids:
            return []
        found = (
            "SELECT t.rowid AS place FROM json_each(?) j CROSS JOIN tasks t ON t.rowid = j.value"
            f" WHERE {self._where}"
        )
        passed = set(candidates.fetch_rowids(self.c, found, (json.dumps(rowids), *self._values)))
        doubtful = (
            [
                rowid
                for rowid in passed
                if rowid >= self._unknown.first or rowid in self._unknown.stale
            ]
            if self._words
            else []
        )
        if doubtful:
            passed -= set(doubtful) - set(self._match_texts(doubtful))
        return [rowid for rowid in rowids if rowid in passed]

    def _match_texts(self, rowids: Sequence[int]) -> Iterable[int]:
        """Yield matching rows among those unknown to the index, by their texts."""
        for row in fetch_columns(self.c, ("rowid AS place", *fts.TEXT_COLUMNS.split(", ")), rowids):
            text = self.wanted.text_of(row)
            if all((word.text in text) != word.is_negated for word in self._words):
                yield row.place

    def ways(self) -> candidates.CandidateSources:
        return candidates.find_candidates(
            self.c, self.wanted.conditions, self.wanted.hints, self._unknown
        )

    def walk_index(
        self, order: SortOrder, down: bool, at: PagePosition | None, inside: set[int] | None
    ) -> Iterator[_WalkStep]:
        """Walk the index of an order over rows with a value.

        `inside` limits the walk to these rows.
        """
        size = SMALL if inside is None else 4 * SMALL
        while True:
            places = _read_index(self.c, order, self.wanted.conditions, down, at, size)
            if inside is not None:
                for part in _split([place for place in places if place in inside]):
                    yield _WalkStep(
                        self.filter_matching(part),
                        len(part),
                        _find_position(self.c, order, part[-1]),
                    )
            at = _find_position(self.c, order, places[-1]) if len(places) == size else None
            yield _WalkStep(
                self.filter_matching(places) if inside is None else [],
                len(places) if inside is None else 1 + len(places) // SKIP_COST,
                at,
            )
            if at is None:
                return
            size = min(LARGE if inside is not None else LARGE // 8, size * 2)

    def walk_source(
        self,
        ways: candidates.CandidateSources,
        source: candidates.Source,
        down: bool,
        at: PagePosition | None = None,
    ) -> Iterator[_WalkStep]:
        """Walk a source in number order."""
        low, high, size = ways.low, ways.high, SMALL
        if at is not None:
            low, high = (
                (low, min(high, _find_bound(self.c, at.number, down)))
                if down
                else (max(low, _find_bound(self.c, at.number, down)), high)
            )
        while low < high:
            window = source.window(self.c, low, high, down, size)
            end = (
                None
                if window.edge is None
                else PagePosition(None, _find_number(self.c, window.edge, down))
            )
            yield _WalkStep(self.filter_matching(window.rowids), max(len(window.rowids), 1), end)
            if window.edge is None:
                return
            low, high = (low, window.edge) if down else (window.edge, high)
            size = min(LARGE // 8, size * 2)


def _split(places: Sequence[int]) -> Iterator[Sequence[int]]:
    """Split positions into small parts, so that few surplus rows are read."""
    return (places[at : at + SMALL] for at in range(0, len(places), SMALL))


def fetch_columns(c: Connection, columns: Sequence[str], rowids: Sequence[int]) -> list[Any]:
    """Return columns of rows, in no order."""
    listed = ", ".join(f"t.{column}" for column in columns)
    found = f"SELECT {listed} FROM json_each(?) j CROSS JOIN tasks t ON t.rowid = j.value"
    return raw_sql.fetch_rows(c, found, (json.dumps(list(rowids)),))


def _find_bound(c: Connection, number: int, down: bool) -> int:
    """Return the excluded position that matches an excluded number."""
    return candidates.find_at_or_after(c, number) if down else candidates.find_before(c, number + 1)


def _find_number(c: Connection, rowid: int, down: bool) -> int:
    """Return the number at a position.

    If the row is gone, return a number that excludes nothing.
    """
    near = "rowid >= ? ORDER BY rowid" if down else "rowid <= ? ORDER BY rowid DESC"
    return raw_sql.fetch_value(c, f"SELECT number FROM tasks WHERE {near} LIMIT 1", (rowid,)) or (
        LAST if down else FIRST
    )


def _read_index(
    c: Connection,
    order: SortOrder,
    conditions: Iterable[Condition],
    down: bool,
    at: PagePosition | None,
    size: int,
) -> list[int]:
    """Return the next positions of an index: the current value first."""
    column, (direction, sign) = order.column, ("DESC", "<") if down else ("ASC", ">")
    limits, given = _build_limits(column, conditions)
    base = (
        f"SELECT rowid AS place FROM tasks INDEXED BY {order.by} WHERE {column} IS NOT NULL{limits}"
        " AND {} "
    )
    base += f"ORDER BY {column} {direction}, {order.tie} {direction} LIMIT ?"
    places: list[int] = []
    for text, values in _build_ranges(c, order, _find_values(column, conditions), down, sign, at):
        if len(places) < size:
            places += candidates.fetch_rowids(
                c, base.format(text), (*given, *values, size - len(places))
            )
    return places


def _build_ranges(
    c: Connection,
    order: SortOrder,
    only: Sequence[str] | None,
    down: bool,
    sign: str,
    at: PagePosition | None,
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield the conditions for the parts of an index after a position.

    `only` limits the values, if they are known.
    """
    column = order.column
    if at is not None:
        tie = at.number if order.tie == "number" else _find_bound(c, at.number, down)
        yield f"{column} = ? AND {order.tie} {sign} ?", (at.value, tie)
    if only is None:
        yield ("1", ()) if at is None else (f"{column} {sign} ?", (at.value,))
    for value in sorted(only or (), reverse=down):
        if at is None or (value < at.value if down else value > at.value):
            yield f"{column} = ?", (value,)


def _build_limits(column: str, conditions: Iterable[Condition]) -> tuple[str, list[Any]]:
    """Return the condition that limits the values of a column."""
    ranges = [
        c
        for c in conditions
        if isinstance(c, RangeCondition) and c.column == column and not c.is_negated
    ]
    limits = [
        (f" AND {column} {op} ?", value)
        for r in ranges
        for op, value in ((">=", r.low), ("<", r.high))
        if value is not None
    ]
    return "".join(text for text, _ in limits), [value for _, value in limits]


def _find_values(column: str, conditions: Iterable[Condition]) -> Sequence[str] | None:
    """Return the only possible values of a column, or None."""
    for condition in conditions:
        if (
            isinstance(condition, ValueCondition)
            and condition.column == column
            and not condition.is_negated
        ):
            return condition.values
        if (
            isinstance(condition, StatusCondition)
            and column == "status"
            and not condition.is_negated
        ):
            return tuple({*condition.tasks, *(("running",) if condition.runs else ())})
    return None


def _find_position(c: Connection, order: SortOrder, place: int) -> PagePosition:
    row = fetch_columns(c, (f"{order.column} AS value", "number"), [place])[0]
    return PagePosition(row.value, row.number)


# --- pages ----------------------------------------------------------------------------------


class _SortedRows(NamedTuple):
    """All matching rows in the displayed order: rowids, values and numbers."""

    rowids: list[int]
    values: list[Any]
    numbers: list[int]

    def page(self, at: PagePosition | None, down: bool, back: bool, limit: int) -> TaskPage:
        many = len(self.rowids)
        if back:
            end = (
                many
                if at is None
                else bisect_left(
                    range(many), True, key=lambda row: not _is_after(at, self._at(row), down)
                )
            )
            start = max(0, end - limit)
        else:
            start = (
                0
                if at is None
                else bisect_left(
                    range(many), True, key=lambda row: _is_after(self._at(row), at, down)
                )
            )
            end = min(many, start + limit)
        return TaskPage(self.rowids[start:end], start > 0, end < many, many, None)

    def _at(self, row: int) -> PagePosition:
        return PagePosition(self.values[row], self.numbers[row])


def _is_after(one: PagePosition, other: PagePosition, down: bool) -> bool:
    """Return True if `one` is shown after `other`. Rows without a value come last."""
    if one.value == other.value:
        return one.number < other.number if down else one.number > other.number
    if one.value is None or other.value is None:
        return one.value is None
    return one.value < other.value if down else one.value > other.value


def read_page(
    c: Connection,
    selection: TaskSelection,
    order: str,
    down: bool,
    at: PagePosition | None,
    back: bool,
    limit: int,
) -> TaskPage:
    """Return up to `limit` rows after a position, or before it if `back`.

    Without a position, return the first or last rows. `down` sorts from the highest value and
    number.
    """
    return _PageReader(PageQuery(c, selection), ORDERS[order], down).page(at, back, limit)


class _PageReader:
    def __init__(self, query: PageQuery, order: SortOrder, down: bool) -> None:
        self.look, self.order, self.down = query, order, down
        self.ways = query.ways()
        self.inside: set[int] | None = None
        """Candidates, if there are few enough to know."""
        self.deadline = time.monotonic() + TIME_LIMIT

    def page(self, at: PagePosition | None, back: bool, limit: int) -> TaskPage:
        few, blindly = (
            (MAX_SORTED, MAX_SORTED)
            if self.order.column == "number"
            else (MAX_CANDIDATES, MAX_UNCOUNTED)
        )
        self.inside = candidates.find_candidate_ids(self.look.c, self.ways, few, blindly)
        if self.inside is not None and len(self.inside) <= MAX_SORTED:
            return self._sort_candidates(self.inside).page(at, self.down, back, limit)
        steps = self._walk(at, back)
        result = _collect(steps, limit + 1, WALK_LIMIT, self.deadline)
        if result.stopped is None:
            return self._make_page(result, at, back, limit)
        if self.inside is None and (wide := self._find_slowly()) is not None:
            self.inside, steps = wide, None
        if self.inside is not None and len(self.inside) <= MAX_SORTED_LATER:
            return self._sort_candidates(self.inside).page(at, self.down, back, limit)
        return self._continue(result, at, back, limit, steps)

    def _find_slowly(self) -> set[int] | None:
        """Return the candidates by a slower search."""
        found = (
            candidates.find_candidate_ids(
                self.look.c, self.ways, MAX_SLOW, MAX_SLOW, scan_texts=True
            )
            if self.order.column != "number"
            else None
        )
        return (
            candidates.find_by_pattern(self.look.c, self.look.wanted.conditions, MAX_SLOW)
            if found is None
            else found
        )

    def _continue(
        self,
        result: _WalkResult,
        at: PagePosition | None,
        back: bool,
        limit: int,
        steps: Iterator[_WalkStep] | None = None,
    ) -> TaskPage:
        """Continue an interrupted walk; without its steps, over the known candidates."""
        steps = self._walk(result.stopped, back) if steps is None else steps
        more = _collect(steps, limit + 1 - len(result.rowids), LAST, self.deadline)
        return self._make_page(
            _WalkResult(result.rowids + more.rowids, more.stopped), at, back, limit
        )

    def _sort_candidates(self, places: set[int]) -> _SortedRows:
        """Return all matching rows by checking each candidate."""
        direction, column = "DESC" if self.down else "ASC", self.order.column
        found = (
            "SELECT json_group_array(rowid), json_group_array(value), json_group_array(number)"
            f" FROM (SELECT t.rowid, t.{column} AS value, t.number FROM json_each(?) j CROSS JOIN"
            f" tasks t ON t.rowid = j.value ORDER BY t.{column} IS NULL, t.{column} {direction},"
            f" t.number {direction})"
        )
        (columns,) = raw_sql.fetch_rows(
            self.look.c, found, (json.dumps(self.look.filter_matching(sorted(places))),)
        )
        return _SortedRows(*map(json.loads, columns))

    def _make_page(
        self, result: _WalkResult, at: PagePosition | None, back: bool, limit: int
    ) -> TaskPage:
        rowids, beyond = (
            result.rowids[:limit],
            len(result.rowids) > limit or result.stopped is not None,
        )
        rest = at is not None and self._has_rows(at, not back)
        total = (
            len(rowids)
            if at is None and not beyond
            else count_matching(self.look.c, self.look.wanted.conditions)
        )
        stopped = self._to_shown_position(result.stopped) if len(result.rowids) <= limit else None
        if back:
            return TaskPage(rowids[::-1], beyond, rest, total, stopped)
        return TaskPage(rowids, rest, beyond, total, stopped)

    def _to_shown_position(self, at: PagePosition | None) -> PagePosition | None:
        return (
            PagePosition(at.number, at.number)
            if at is not None and self.order.column == "number"
            else at
        )

    def _has_rows(self, at: PagePosition, back: bool) -> bool:
        """Return True if rows may follow on that side of a position, including the position itself.

        Rows not found soon count as present.
        """
        here = PagePosition(at.value, at.number + (1 if self.down != back else -1))
        result = _collect(
            self._walk(here, back), 1, WALK_LIMIT // 2, time.monotonic() + TIME_LIMIT / 10
        )
        return bool(result.rowids) or result.stopped is not None

    def _walk(self, at: PagePosition | None, back: bool) -> Iterator[_WalkStep]:
        """Return the walk from a position, or from the displayed start or end."""
        is_down = self.down != back
        if self.order.column == "number":
            source = (
                self.ways.best
                if self.inside is None
                else candidates.ListSource(sorted(self.inside))
            )
            return self.look.walk_source(self.ways, source, is_down, at)
        if not self.order.partial:
            return self._walk_valued(is_down, at)
        if at is None:
            parts = [self._walk_valued(is_down), self._walk_missing(is_down)]
            return chain.from_iterable(parts[::-1] if back else parts)
        if at.value is None:
            return (
                chain(self._walk_missing(is_down, at), self._walk_valued(is_down))
                if back
                else self._walk_missing(is_down, at)
            )
        return (
            self._walk_valued(is_down, at)
            if back
            else chain(self._walk_valued(is_down, at), self._walk_missing(is_down))
        )

    def _walk_valued(self, is_down: bool, at: PagePosition | None = None) -> Iterator[_WalkStep]:
        """Return the walk over rows with a value."""
        inside = self.inside
        if inside is not None and self.order.partial and len(inside) <= MAX_CANDIDATES // 2:
            rows = (
                "SELECT t.rowid AS place FROM json_each(?) j CROSS JOIN tasks t ON t.rowid ="
                " j.value"
            )
            places = json.dumps(sorted(inside))
            inside = set(
                candidates.fetch_rowids(
                    self.look.c, f"{rows} WHERE t.{self.order.column} IS NOT NULL", (places,)
                )
            )
        return (
            iter(())
            if inside is not None and not inside
            else self.look.walk_index(self.order, is_down, at, inside)
        )

    def _walk_missing(self, is_down: bool, at: PagePosition | None = None) -> Iterator[_WalkStep]:
        """Return the walk over rows without a value, in number order."""
        missing = self.look.wanted.with_conditions(MissingCondition(self.order.column))
        query = PageQuery(
            self.look.c, exclude_ended(missing) if self.order.column == "ended_at" else missing
        )
        ways = query.ways()
        yield from query.walk_source(ways, ways.best, is_down, at)


def _collect(steps: Iterable[_WalkStep], limit: int, most: int, deadline: float) -> _WalkResult:
    """Collect rows of a walk until there are enough or a limit is reached."""
    rowids: list[int] = []
    for step in steps:
        rowids += step.rowids
        most -= step.looked
        if len(rowids) >= limit:
            break
        if step.end is not None and (most <= 0 or time.monotonic() > deadline):
            return _WalkResult(rowids, step.end)
    return _WalkResult(rowids[:limit], None)


def count_matching(c: Connection, conditions: Sequence[Condition]) -> int | None:
    """Return the number of matching tasks if the kept counters tell, else None."""
    found = _count_by_status(c, conditions)
    return None if found is None else sum(found.values())


def _count_by_status(c: Connection, conditions: Sequence[Condition]) -> dict[str, int] | None:
    """Return matching tasks by status if the kept counters tell, else None."""
    found: dict[str, int] = {}
    for (queue, status), many in _read_counters(c, conditions).items():
        holds = [_matches_counter(condition, queue, status) for condition in conditions]
        if None in holds:
            return None
        if all(holds):
            found[status] = found.get(status, 0) + many
    return found


def _read_counters(c: Connection, conditions: Sequence[Condition]) -> dict[tuple[str, str], int]:
    """Return {(queue, status): tasks}; of the only group that the conditions name, if any.

    A group has "" as its queue.
    """
    numbers = {
        number
        for condition in conditions
        if isinstance(condition, GroupCondition) and not condition.is_negated
        for number in condition.numbers
    }
    if len(numbers) != 1:
        return reads.read_counters(c)
    return {("", status): many for status, many in groups.map_counts(c, min(numbers)).items()}


def _matches_counter(condition: Condition, queue: str, status: str) -> bool | None:
    if isinstance(condition, GroupCondition) and not queue and not condition.is_negated:
        return True
    if isinstance(condition, StatusCondition) and not condition.runs:
        return (status in condition.tasks) != condition.is_negated
    if isinstance(condition, ValueCondition) and condition.column == "queue" and queue:
        return (queue in condition.values) != condition.is_negated
    return None


# --- whole selections -----------------------------------------------------------------------


def list_matching(c: Connection, selection: TaskSelection) -> list[int]:
    """Return the rowids of all matching tasks, newest first, without a time limit."""
    query = PageQuery(c, selection)
    ways = query.ways()
    return [
        rowid for step in query.walk_source(ways, ways.best, down=True) for rowid in step.rowids
    ]


def filter_matching_uuids(
    c: Connection, selection: TaskSelection, uuids: Sequence[str]
) -> list[str]:
    """Return the tasks among these that match, in their order."""
    found = "SELECT t.rowid, t.uuid FROM json_each(?) j CROSS JOIN tasks t ON t.uuid = j.value"
    named = {row[0]: row[1] for row in raw_sql.fetch_rows(c, found, (json.dumps(list(uuids)),))}
    return [named[rowid] for rowid in PageQuery(c, selection).filter_matching(list(named))]


def list_uuids(c: Connection, rowids: Sequence[int]) -> list[str]:
    """Return the uuids of rows, in their order."""
    named = {row.place: row.uuid for row in fetch_columns(c, ("rowid AS place", "uuid"), rowids)}
    return [named[rowid] for rowid in rowids]


def count_states(c: Connection, selection: TaskSelection) -> dict[str, int]:
    """Count the matching tasks by status, without a time limit."""
    found = _count_by_status(c, selection.conditions)
    return found if found is not None else count_states_of_rows(c, list_matching(c, selection))


def count_states_of_rows(c: Connection, rowids: Sequence[int]) -> dict[str, int]:
    """Count rows by status."""
    found = (
        "SELECT t.status, count(*) FROM json_each(?) j CROSS JOIN tasks t ON t.rowid = j.value"
        " GROUP BY t.status"
    )
    return {row[0]: row[1] for row in raw_sql.fetch_rows(c, found, (json.dumps(list(rowids)),))}


def find_rowids(c: Connection, uuids: Sequence[str]) -> list[int]:
    """Return the rowids of tasks."""
    found = "SELECT t.rowid AS place FROM json_each(?) j CROSS JOIN tasks t ON t.uuid = j.value"
    return candidates.fetch_rowids(c, found, (json.dumps(list(uuids)),))


def exclude_ended(selection: TaskSelection) -> TaskSelection:
    """Return the selection limited to tasks that have not ended."""
    return selection.with_conditions(
        StatusCondition(tuple(status.value for status in TaskStatus if status not in ENDED))
    )


def count_dependents(c: Connection, rowids: Sequence[int]) -> int:
    """Count the waiting tasks, outside these, that a failure of these would cancel."""
    listed = ", ".join(f"'{word}'" for word in sorted(WAITING))
    found = (
        "WITH chosen AS MATERIALIZED (SELECT t.uuid FROM json_each(?) j CROSS JOIN tasks t ON"
        " t.rowid = j.value), gone(uuid) AS (SELECT uuid FROM chosen UNION SELECT d.task_id FROM"
        " gone g CROSS JOIN dependencies d ON d.parent_id = g.uuid CROSS JOIN tasks t ON t.uuid ="
        f" d.task_id WHERE d.kind = 'success' AND +t.status IN ({listed})) SELECT count(*) FROM"
        " gone WHERE uuid NOT IN (SELECT uuid FROM chosen)"
    )
    return (
        raw_sql.fetch_value(c, found, (json.dumps(list(rowids)),))
        if raw_sql.fetch_value(c, "SELECT 1 FROM dependencies LIMIT 1")
        else 0
    )
