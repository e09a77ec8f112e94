"""A page of a list of tasks, in any order, with any conditions, out of as many tasks as there are.

A page begins where another ended, at a value and a number, so that rows which come and go move nothing. Where the conditions leave few
rows, these are looked up and sorted; then everything about them is known. Else the index of the order is walked along, in windows that
grow, and the rows that match are picked. A walk that has looked long enough stops, and says where: the rows before that are all there
are, and the next page may begin there. So no page costs more than `PATIENCE`, and none says that it is all when it is not.
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
from db.search import candidates, fts
from db.search.candidates import FIRST, LAST
from db.search.conditions import (
    Condition,
    MissingCondition,
    RangeCondition,
    StatusCondition,
    ValueCondition,
    WordCondition,
    build_where,
)
from db.states import ENDED, WAITING, TaskStatus

TIME_LIMIT = 0.5
"""Seconds that a walk takes at most."""
MAX_SORTED, MAX_SORTED_LATER = 3_000, 64_000
"""Rows that are looked up and sorted rather than found by a walk; the same, when a walk has found too little."""
MAX_CANDIDATES = 100_000
"""Places that are looked up, to be picked from an order's index."""
MAX_UNCOUNTED = 20_000
"""The same, where it is not known beforehand how many there are."""
MAX_SLOW = 300_000
"""The same, when a walk has found too little."""
WALK_LIMIT = 4_000
"""Rows that a walk looks at before it is thought to find too little."""
SKIP_COST = 16
"""Places of an index that cost as much as a row that is looked at."""
SMALL, LARGE = 500, 64_000
"""Rows of the first window and of the largest."""


class SortOrder(NamedTuple):
    """By a column, then by number; `tie` is what tells that in the column's index. Rows without a value come last, either way."""

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
    """Which tasks: all conditions must hold. `hints` are folded parts of the texts of all that match; `text_of` makes the text of a row."""

    conditions: tuple[Condition, ...]
    text_of: fts.TextOf
    hints: tuple[str, ...] = ()

    def with_conditions(self, *more: Condition) -> TaskSelection:
        """These, and more conditions."""
        return TaskSelection((*self.conditions, *more), self.text_of, self.hints)


class PagePosition(NamedTuple):
    """A place in an order: beyond it, the way one walks, lies what is asked for."""

    value: Any
    number: int


class TaskPage(NamedTuple):
    """Rows in the order as it is shown. `stopped`: where a walk gave up; None when the page is all that it was to be."""

    rowids: list[int]
    before: bool
    after: bool
    total: int | None
    stopped: PagePosition | None


class _WalkStep(NamedTuple):
    """What a window of a walk gave, how many rows it looked at, and where it ended."""

    rowids: list[int]
    looked: int
    end: PagePosition | None


class _WalkResult(NamedTuple):
    rowids: list[int]
    stopped: PagePosition | None


# --- which of these rows match ------------------------------------------------------------------------------------------------------


class PageQuery:
    """One look at the tasks, in one read."""

    def __init__(self, c: Connection, wanted: TaskSelection) -> None:
        self.c, self.wanted = c, wanted
        self._words = [condition for condition in wanted.conditions if isinstance(condition, WordCondition)]
        known = fts.read_state(c) if self._words or wanted.hints else fts.NO_STATE
        self._unknown = candidates.find_unknown(c, known) if self._words or wanted.hints else candidates.UnknownPositions()
        self._where, self._values = build_where(wanted.conditions, known)

    def filter_matching(self, rowids: Sequence[int]) -> list[int]:
        """Those of these rows that match, in their order."""
        if not rowids:
            return []
        found = f"SELECT t.rowid AS place FROM json_each(?) j CROSS JOIN tasks t ON t.rowid = j.value WHERE {self._where}"
        passed = set(candidates.fetch_rowids(self.c, found, (json.dumps(rowids), *self._values)))
        doubtful = [rowid for rowid in passed if rowid >= self._unknown.first or rowid in self._unknown.stale] if self._words else []
        if doubtful:
            passed -= set(doubtful) - set(self._match_texts(doubtful))
        return [rowid for rowid in rowids if rowid in passed]

    def _match_texts(self, rowids: Sequence[int]) -> Iterable[int]:
        """Those of these rows that the index does not know whose texts, as they are now, hold the words."""
        for row in fetch_columns(self.c, ("rowid AS place", *fts.TEXT_COLUMNS.split(", ")), rowids):
            text = self.wanted.text_of(row)
            if all((word.text in text) != word.no for word in self._words):
                yield row.place

    def ways(self) -> candidates.CandidateSources:
        """The ways to what may match."""
        return candidates.find_candidates(self.c, self.wanted.conditions, self.wanted.hints, self._unknown)

    def walk_index(self, order: SortOrder, down: bool, at: PagePosition | None, inside: set[int] | None) -> Iterator[_WalkStep]:
        """Along the index of an order, over the rows that have a value; only over those `inside`, where that is given."""
        size = SMALL if inside is None else 4 * SMALL
        while True:
            places = _read_index(self.c, order, self.wanted.conditions, down, at, size)
            if inside is not None:
                for part in _split([place for place in places if place in inside]):
                    yield _WalkStep(self.filter_matching(part), len(part), _find_position(self.c, order, part[-1]))
            at = _find_position(self.c, order, places[-1]) if len(places) == size else None
            yield _WalkStep(self.filter_matching(places) if inside is None else [], len(places) if inside is None else 1 + len(places) // SKIP_COST, at)
            if at is None:
                return
            size = min(LARGE if inside is not None else LARGE // 8, size * 2)

    def walk_source(self, ways: candidates.CandidateSources, source: candidates.Source, down: bool, at: PagePosition | None = None) -> Iterator[_WalkStep]:
        """Along the numbers."""
        low, high, size = ways.low, ways.high, SMALL
        if at is not None:
            low, high = (low, min(high, _find_bound(self.c, at.number, down))) if down else (max(low, _find_bound(self.c, at.number, down)), high)
        while low < high:
            window = source.window(self.c, low, high, down, size)
            end = None if window.edge is None else PagePosition(None, _find_number(self.c, window.edge, down))
            yield _WalkStep(self.filter_matching(window.rowids), max(len(window.rowids), 1), end)
            if window.edge is None:
                return
            low, high = (low, window.edge) if down else (window.edge, high)
            size = min(LARGE // 8, size * 2)


def _split(places: Sequence[int]) -> Iterator[Sequence[int]]:
    """So many at a time that few too many are looked at."""
    return (places[at : at + SMALL] for at in range(0, len(places), SMALL))


def fetch_columns(c: Connection, columns: Sequence[str], rowids: Sequence[int]) -> list[Any]:
    """Columns of rows, in no order."""
    listed = ", ".join(f"t.{column}" for column in columns)
    found = f"SELECT {listed} FROM json_each(?) j CROSS JOIN tasks t ON t.rowid = j.value"
    return raw_sql.fetch_rows(c, found, (json.dumps(list(rowids)),))


def _find_bound(c: Connection, number: int, down: bool) -> int:
    """The place that, not being included, stands for a number that is not included."""
    return candidates.find_at_or_after(c, number) if down else candidates.find_before(c, number + 1)


def _find_number(c: Connection, rowid: int, down: bool) -> int:
    """The number at a place; of one where no row is any more, a number that leaves nothing out."""
    near = "rowid >= ? ORDER BY rowid" if down else "rowid <= ? ORDER BY rowid DESC"
    return raw_sql.fetch_value(c, f"SELECT number FROM tasks WHERE {near} LIMIT 1", (rowid,)) or (LAST if down else FIRST)


def _read_index(c: Connection, order: SortOrder, conditions: Iterable[Condition], down: bool, at: PagePosition | None, size: int) -> list[int]:
    """The next places of an index. First those of the very value one stands at, then those beyond it."""
    column, (way, sign) = order.column, ("DESC", "<") if down else ("ASC", ">")
    limits, given = _build_limits(column, conditions)
    base = f"SELECT rowid AS place FROM tasks INDEXED BY {order.by} WHERE {column} IS NOT NULL{limits} AND {{}} "
    base += f"ORDER BY {column} {way}, {order.tie} {way} LIMIT ?"
    places: list[int] = []
    for text, values in _build_ranges(c, order, _find_values(column, conditions), down, sign, at):
        if len(places) < size:
            places += candidates.fetch_rowids(c, base.format(text), (*given, *values, size - len(places)))
    return places


def _build_ranges(
    c: Connection, order: SortOrder, only: Sequence[str] | None, down: bool, sign: str, at: PagePosition | None
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """The parts of an index that lie beyond a place, as conditions; of its values `only` some, where that is known."""
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
    """Between which values all lies that matches."""
    ranges = [c for c in conditions if isinstance(c, RangeCondition) and c.column == column and not c.no]
    limits = [(f" AND {column} {op} ?", value) for r in ranges for op, value in ((">=", r.low), ("<", r.high)) if value is not None]
    return "".join(text for text, _ in limits), [value for _, value in limits]


def _find_values(column: str, conditions: Iterable[Condition]) -> Sequence[str] | None:
    """The only values of a column that all that matches has, where a condition says so."""
    for condition in conditions:
        if isinstance(condition, ValueCondition) and condition.column == column and not condition.no:
            return condition.values
        if isinstance(condition, StatusCondition) and column == "status" and not condition.no:
            return tuple({*condition.tasks, *(("running",) if condition.runs else ())})
    return None


def _find_position(c: Connection, order: SortOrder, place: int) -> PagePosition:
    row = fetch_columns(c, (f"{order.column} AS value", "number"), [place])[0]
    return PagePosition(row.value, row.number)


# --- pages --------------------------------------------------------------------------------------------------------------------------


class _SortedRows(NamedTuple):
    """Everything that matches, in the order that is shown: rowids, values and numbers."""

    rowids: list[int]
    values: list[Any]
    numbers: list[int]

    def page(self, at: PagePosition | None, down: bool, back: bool, limit: int) -> TaskPage:
        """The part beyond a place."""
        many = len(self.rowids)
        if back:
            end = many if at is None else bisect_left(range(many), True, key=lambda row: not _is_after(at, self._at(row), down))
            start = max(0, end - limit)
        else:
            start = 0 if at is None else bisect_left(range(many), True, key=lambda row: _is_after(self._at(row), at, down))
            end = min(many, start + limit)
        return TaskPage(self.rowids[start:end], start > 0, end < many, many, None)

    def _at(self, row: int) -> PagePosition:
        return PagePosition(self.values[row], self.numbers[row])


def _is_after(one: PagePosition, other: PagePosition, down: bool) -> bool:
    """Whether `one` is shown after `other`. What has no value is shown last."""
    if one.value == other.value:
        return one.number < other.number if down else one.number > other.number
    if one.value is None or other.value is None:
        return one.value is None
    return one.value < other.value if down else one.value > other.value


def read_page(c: Connection, wanted: TaskSelection, order: str, down: bool, at: PagePosition | None, back: bool, limit: int) -> TaskPage:
    """So many rows that come after a place (or, when `back`, before it) in the order as it is shown; without a place, the first or the last
    ones. `down`: from the greatest value and number on."""
    return _PageReader(PageQuery(c, wanted), ORDERS[order], down).page(at, back, limit)


class _PageReader:
    def __init__(self, look: PageQuery, order: SortOrder, down: bool) -> None:
        self.look, self.order, self.down = look, order, down
        self.ways = look.ways()
        self.inside: set[int] | None = None
        """What may match, where that is few enough to be known."""
        self.deadline = time.monotonic() + TIME_LIMIT

    def page(self, at: PagePosition | None, back: bool, limit: int) -> TaskPage:
        """See `page`."""
        few, blindly = (MAX_SORTED, MAX_SORTED) if self.order.column == "number" else (MAX_CANDIDATES, MAX_UNCOUNTED)
        self.inside = candidates.find_candidate_ids(self.look.c, self.ways, few, blindly)
        if self.inside is not None and len(self.inside) <= MAX_SORTED:
            return self._sort_candidates(self.inside).page(at, self.down, back, limit)
        steps = self._walk(at, back)
        taken = _collect(steps, limit + 1, WALK_LIMIT, self.deadline)
        if taken.stopped is None:
            return self._make_page(taken, at, back, limit)
        if self.inside is None and (wide := self._find_slowly()) is not None:
            self.inside, steps = wide, None
        if self.inside is not None and len(self.inside) <= MAX_SORTED_LATER:
            return self._sort_candidates(self.inside).page(at, self.down, back, limit)
        return self._continue(taken, at, back, limit, steps)

    def _find_slowly(self) -> set[int] | None:
        """What may match, though it takes a while to know."""
        found = candidates.find_candidate_ids(self.look.c, self.ways, MAX_SLOW, MAX_SLOW, patient=True) if self.order.column != "number" else None
        return candidates.find_by_pattern(self.look.c, self.look.wanted.conditions, MAX_SLOW) if found is None else found

    def _continue(self, taken: _WalkResult, at: PagePosition | None, back: bool, limit: int, steps: Iterator[_WalkStep] | None = None) -> TaskPage:
        """Walk on from where a walk was interrupted; without its steps, over what is known by now."""
        steps = self._walk(taken.stopped, back) if steps is None else steps
        more = _collect(steps, limit + 1 - len(taken.rowids), LAST, self.deadline)
        return self._make_page(_WalkResult(taken.rowids + more.rowids, more.stopped), at, back, limit)

    def _sort_candidates(self, places: set[int]) -> _SortedRows:
        """All that match, by looking at each."""
        way, column = "DESC" if self.down else "ASC", self.order.column
        found = (
            "SELECT json_group_array(rowid), json_group_array(value), json_group_array(number) FROM ("
            f"SELECT t.rowid, t.{column} AS value, t.number FROM json_each(?) j CROSS JOIN tasks t ON t.rowid = j.value "
            f"ORDER BY t.{column} IS NULL, t.{column} {way}, t.number {way})"
        )
        (columns,) = raw_sql.fetch_rows(self.look.c, found, (json.dumps(self.look.filter_matching(sorted(places))),))
        return _SortedRows(*map(json.loads, columns))

    def _make_page(self, taken: _WalkResult, at: PagePosition | None, back: bool, limit: int) -> TaskPage:
        """What a walk found, and what it knows of the rest."""
        rowids, beyond = taken.rowids[:limit], len(taken.rowids) > limit or taken.stopped is not None
        rest = at is not None and self._has_rows(at, not back)
        total = len(rowids) if at is None and not beyond else count_matching(self.look.c, self.look.wanted.conditions)
        stopped = self._to_shown_position(taken.stopped) if len(taken.rowids) <= limit else None
        if back:
            return TaskPage(rowids[::-1], beyond, rest, total, stopped)
        return TaskPage(rowids, rest, beyond, total, stopped)

    def _to_shown_position(self, at: PagePosition | None) -> PagePosition | None:
        return PagePosition(at.number, at.number) if at is not None and self.order.column == "number" else at

    def _has_rows(self, at: PagePosition, back: bool) -> bool:
        """Whether anything lies on that side of a place, the place itself included; what is not soon found may be there."""
        here = PagePosition(at.value, at.number + (1 if self.down != back else -1))
        taken = _collect(self._walk(here, back), 1, WALK_LIMIT // 2, time.monotonic() + TIME_LIMIT / 10)
        return bool(taken.rowids) or taken.stopped is not None

    def _walk(self, at: PagePosition | None, back: bool) -> Iterator[_WalkStep]:
        """The walk from a place on; without one, from the end that is shown first, or last."""
        way = self.down != back
        if self.order.column == "number":
            source = self.ways.best if self.inside is None else candidates.ListSource(sorted(self.inside))
            return self.look.walk_source(self.ways, source, way, at)
        if not self.order.partial:
            return self._walk_valued(way, at)
        if at is None:
            parts = [self._walk_valued(way), self._walk_missing(way)]
            return chain.from_iterable(parts[::-1] if back else parts)
        if at.value is None:
            return chain(self._walk_missing(way, at), self._walk_valued(way)) if back else self._walk_missing(way, at)
        return self._walk_valued(way, at) if back else chain(self._walk_valued(way, at), self._walk_missing(way))

    def _walk_valued(self, way: bool, at: PagePosition | None = None) -> Iterator[_WalkStep]:
        """The walk along the rows with a value."""
        inside = self.inside
        if inside is not None and self.order.partial and len(inside) <= MAX_CANDIDATES // 2:
            rows = "SELECT t.rowid AS place FROM json_each(?) j CROSS JOIN tasks t ON t.rowid = j.value"
            places = json.dumps(sorted(inside))
            inside = set(candidates.fetch_rowids(self.look.c, f"{rows} WHERE t.{self.order.column} IS NOT NULL", (places,)))
        return iter(()) if inside is not None and not inside else self.look.walk_index(self.order, way, at, inside)

    def _walk_missing(self, way: bool, at: PagePosition | None = None) -> Iterator[_WalkStep]:
        """The walk along the rows without a value, by their numbers."""
        missing = self.look.wanted.with_conditions(MissingCondition(self.order.column))
        look = PageQuery(self.look.c, exclude_ended(missing) if self.order.column == "ended_at" else missing)
        ways = look.ways()
        yield from look.walk_source(ways, ways.best, way, at)


def _collect(steps: Iterable[_WalkStep], limit: int, most: int, deadline: float) -> _WalkResult:
    """Rows of a walk, until there are enough of them or it has looked long enough."""
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
    """How many tasks match, where the kept counters tell; else None."""
    found = _count_by_status(c, conditions)
    return None if found is None else sum(found.values())


def _count_by_status(c: Connection, conditions: Sequence[Condition]) -> dict[str, int] | None:
    """How many tasks of each state match, where the kept counters tell; else None."""
    found: dict[str, int] = {}
    for (queue, status), many in reads.read_counters(c).items():
        holds = [_matches_counter(condition, queue, status) for condition in conditions]
        if None in holds:
            return None
        if all(holds):
            found[status] = found.get(status, 0) + many
    return found


def _matches_counter(condition: Condition, queue: str, status: str) -> bool | None:
    if isinstance(condition, StatusCondition) and not condition.runs:
        return (status in condition.tasks) != condition.no
    if isinstance(condition, ValueCondition) and condition.column == "queue":
        return (queue in condition.values) != condition.no
    return None


# --- all of them --------------------------------------------------------------------------------------------------------------------


def list_matching(c: Connection, wanted: TaskSelection) -> list[int]:
    """The rowids of all tasks that match, newest first, however long that takes."""
    look = PageQuery(c, wanted)
    ways = look.ways()
    return [rowid for step in look.walk_source(ways, ways.best, down=True) for rowid in step.rowids]


def filter_matching_uuids(c: Connection, wanted: TaskSelection, uuids: Sequence[str]) -> list[str]:
    """Those of these tasks that match, in their order."""
    found = "SELECT t.rowid, t.uuid FROM json_each(?) j CROSS JOIN tasks t ON t.uuid = j.value"
    named = {row[0]: row[1] for row in raw_sql.fetch_rows(c, found, (json.dumps(list(uuids)),))}
    return [named[rowid] for rowid in PageQuery(c, wanted).filter_matching(list(named))]


def list_uuids(c: Connection, rowids: Sequence[int]) -> list[str]:
    """The uuids of these rows, in their order."""
    named = {row.place: row.uuid for row in fetch_columns(c, ("rowid AS place", "uuid"), rowids)}
    return [named[rowid] for rowid in rowids]


def count_states(c: Connection, wanted: TaskSelection) -> dict[str, int]:
    """How many tasks of each state match, however long that takes."""
    found = _count_by_status(c, wanted.conditions)
    return found if found is not None else count_states_of_rows(c, list_matching(c, wanted))


def count_states_of_rows(c: Connection, rowids: Sequence[int]) -> dict[str, int]:
    """How many of these rows are in each state."""
    found = "SELECT t.status, count(*) FROM json_each(?) j CROSS JOIN tasks t ON t.rowid = j.value GROUP BY t.status"
    return {row[0]: row[1] for row in raw_sql.fetch_rows(c, found, (json.dumps(list(rowids)),))}


def find_rowids(c: Connection, uuids: Sequence[str]) -> list[int]:
    """The rowids of these tasks."""
    found = "SELECT t.rowid AS place FROM json_each(?) j CROSS JOIN tasks t ON t.uuid = j.value"
    return candidates.fetch_rowids(c, found, (json.dumps(list(uuids)),))


def exclude_ended(wanted: TaskSelection) -> TaskSelection:
    """Those of them that have not ended."""
    return wanted.with_conditions(StatusCondition(tuple(status.value for status in TaskStatus if status not in ENDED)))


def count_dependants(c: Connection, rowids: Sequence[int]) -> int:
    """How many waiting tasks, not of these, would end with these if none of them succeeded, or with one that ends so."""
    listed = ", ".join(f"'{word}'" for word in sorted(WAITING))
    found = (
        "WITH chosen AS MATERIALIZED (SELECT t.uuid FROM json_each(?) j CROSS JOIN tasks t ON t.rowid = j.value), "
        "gone(uuid) AS (SELECT uuid FROM chosen UNION SELECT d.task_id FROM gone g CROSS JOIN dependencies d ON d.parent_id = g.uuid "
        f"CROSS JOIN tasks t ON t.uuid = d.task_id WHERE d.kind = 'success' AND +t.status IN ({listed})) "
        "SELECT count(*) FROM gone WHERE uuid NOT IN (SELECT uuid FROM chosen)"
    )
    return raw_sql.fetch_value(c, found, (json.dumps(list(rowids)),)) if raw_sql.fetch_value(c, "SELECT 1 FROM dependencies LIMIT 1") else 0
