"""Candidate row ids for a list.

Each source reads `tasks` in number order, over the rows that one condition leaves. Rows are stored
in number order, so a rowid is a position. A source returns the rowids between two positions, a
window at a time, and how far it has read. A returned row may match; a row left out inside the
window does not.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection

from db import raw_sql
from db.queries import reads
from db.queries.tasks import groups
from db.search import fts
from db.search.conditions import (
    Condition,
    GroupCondition,
    PatternCondition,
    RangeCondition,
    StatusCondition,
    ValueCondition,
    WordCondition,
)
from db.search.fts import IndexState

FIRST, LAST = 0, 2**63 - 1
"""Positions before the first and after the last task."""

MAX_LISTED = 100_000
"""Rows up to which a source is counted, or kept as a list."""

SCAN_SIZE = 100_000
"""Texts scanned at a time for a word too short and too common for the index."""


class Window(NamedTuple):
    """Sorted rowids, and the position up to which they are complete.

    None: up to the end.
    """

    rowids: list[int]
    edge: int | None


class Source(Protocol):
    """A way to read candidate tasks."""

    def window(self, c: Connection, low: int, high: int, down: bool, size: int) -> Window:
        """Return about `size` rowids between `low` and `high`, both excluded.

        Start from `high` if `down`.
        """
        ...


def _make_window(rowids: list[int], size: int) -> Window:
    return Window(rowids, rowids[-1] if len(rowids) >= size else None)


def fetch_rowids(c: Connection, query: str, given: Sequence[Any]) -> list[int]:
    """Return the rowids of a query.

    As one JSON text they cost a tenth of the driver's rows.
    """
    return json.loads(
        raw_sql.fetch_value(c, f"SELECT json_group_array(place) FROM ({query})", given)
    )


def _get_direction(down: bool) -> str:
    return "DESC" if down else "ASC"


@dataclass(frozen=True, slots=True)
class AllTasks:
    """All tasks."""

    def window(self, c: Connection, low: int, high: int, down: bool, size: int) -> Window:
        found = (
            "SELECT rowid AS place FROM tasks WHERE rowid > ? AND rowid < ? ORDER BY rowid"
            f" {_get_direction(down)} LIMIT ?"
        )
        return _make_window(fetch_rowids(c, found, (low, high, size)), size)


@dataclass(frozen=True, slots=True)
class ValueSource:
    """Tasks whose column has one of a few values, each read by its index."""

    column: str
    values: tuple[str, ...]

    def window(self, c: Connection, low: int, high: int, down: bool, size: int) -> Window:
        by = f"tasks INDEXED BY {_INDEXES[self.column]}"
        found = (
            f"SELECT rowid AS place FROM {by} WHERE {self.column} = ? AND"
            f" {_build_between(self.column, down)} LIMIT ?"
        )
        rowids = [
            rowid
            for value in self.values
            for rowid in fetch_rowids(c, found, (value, low, high, size))
        ]
        return _make_window(sorted(rowids, reverse=down)[:size], size)


_INDEXES = {
    "name": "idx_tasks_name", "status": "idx_tasks_status", "queue": "idx_tasks_queue",
    "template": "idx_tasks_of_template",
    "submitted_by": "idx_tasks_submitted_by",
}  # fmt: skip

NUMBER_LOW = "coalesce((SELECT number FROM tasks WHERE rowid <= ? ORDER BY rowid DESC LIMIT 1), 0)"
NUMBER_HIGH = (
    f"coalesce((SELECT number FROM tasks WHERE rowid >= ? ORDER BY rowid LIMIT 1), {LAST})"
)
"""SQL for the task number at or before a position, and at or after one."""


def _build_between(column: str, down: bool) -> str:
    """Return the condition for positions between two rowids, in index order."""
    if column != "queue":
        return f"rowid > ? AND rowid < ? ORDER BY rowid {_get_direction(down)}"
    return (
        f"number > {NUMBER_LOW} AND number < {NUMBER_HIGH} ORDER BY number {_get_direction(down)}"
    )


@dataclass(frozen=True, slots=True)
class ListSource:
    """Tasks found by one query."""

    rowids: list[int] = field(hash=False)
    """Sorted rowids."""

    def window(self, c: Connection, low: int, high: int, down: bool, size: int) -> Window:
        inside = self.rowids[bisect_right(self.rowids, low) : bisect_left(self.rowids, high)]
        return _make_window(inside[: -size - 1 : -1] if down else inside[:size], size)


@dataclass(frozen=True, slots=True)
class IndexSource:
    """Tasks whose text contains a word, plus tasks unknown to the index."""

    match: str | None
    """FTS5 query; None to scan texts for a short, common word."""
    word: str
    unknown: int
    """First position the index does not know."""
    stale: frozenset[int]
    number_offset: int | None
    """Distance between numbers and rowids, if constant."""

    def window(self, c: Connection, low: int, high: int, down: bool, size: int) -> Window:
        old, new = (
            self._read_known(c, low, min(high, self.unknown), down, size),
            self._read_new(c, low, high, down, size),
        )
        edges = [found.edge for found in (old, new) if found.edge is not None]
        edge = (max(edges) if down else min(edges)) if edges else None
        first, last = (low, high) if edge is None else (edge - 1, high) if down else (low, edge + 1)
        found = {*old.rowids, *new.rowids, *self.stale}
        return Window(
            sorted((rowid for rowid in found if first < rowid < last), reverse=down), edge
        )

    def _read_new(self, c: Connection, low: int, high: int, down: bool, size: int) -> Window:
        low = max(low, self.unknown - 1)
        return AllTasks().window(c, low, high, down, size) if low < high else Window([], None)

    def _read_known(self, c: Connection, low: int, high: int, down: bool, size: int) -> Window:
        if low >= high:
            return Window([], None)
        if self.match:
            return _make_window(self._read_by_index(c, low, high, down, size), size)
        first, last = (
            (max(low, high - SCAN_SIZE), high) if down else (low, min(high, low + SCAN_SIZE))
        )
        found = _make_window(
            fetch_rowids(
                c, _BY_TEXT.format(way=_get_direction(down)), (self.word, first, last, size)
            ),
            size,
        )
        if found.edge is not None or (first, last) == (low, high):
            return found
        return Window(found.rowids, first + 1 if down else last - 1)

    def _read_by_index(
        self, c: Connection, low: int, high: int, down: bool, size: int
    ) -> list[int]:
        if self.number_offset is None:
            return fetch_rowids(
                c, _BY_INDEX.format(way=_get_direction(down)), (self.match, low, high, size)
            )
        inside = f"search MATCH ? AND rowid > ? AND rowid < ? ORDER BY rowid {_get_direction(down)}"
        given = (
            self.number_offset,
            self.match,
            low + self.number_offset,
            high + self.number_offset,
            size,
        )
        return fetch_rowids(
            c, f"SELECT rowid - ? AS place FROM search WHERE {inside} LIMIT ?", given
        )


_BY_INDEX = (
    "SELECT t.rowid AS place FROM search s CROSS JOIN tasks t ON t.number = s.rowid WHERE search"
    f" MATCH ? AND s.rowid > {NUMBER_LOW} AND s.rowid < {NUMBER_HIGH} ORDER BY s.rowid {{way}}"
    " LIMIT ?"
)
_BY_TEXT = (
    "SELECT t.rowid AS place FROM search_content k CROSS JOIN tasks t ON t.number = k.id WHERE"
    f" instr(k.c0, ?) > 0 AND k.id > {NUMBER_LOW} AND k.id < {NUMBER_HIGH} ORDER BY k.id {{way}}"
    " LIMIT ?"
)


# --- choice of sources ----------------------------------------------------------------------


class CandidateSources(NamedTuple):
    """Sources that each hold all candidates, shortest first.

    `sources` has each source with its length, None if unknown. `low` and `high` limit the
    positions.
    """

    sources: list[tuple[Source, int | None]]
    low: int
    high: int

    @property
    def best(self) -> Source:
        """The source to walk."""
        return self.sources[0][0]


SHORT_SOURCE = 2_000
"""Length of a source that needs no search index."""
SAMPLE_SIZE = 50
"""Sampled hits for an estimate."""
FIRST_SAMPLE = 1_000
"""Positions in the first sample."""


def find_candidates(
    c: Connection, conditions: Sequence[Condition], hints: Sequence[str], unknown: UnknownPositions
) -> CandidateSources:
    """Return the sources for these conditions.

    `hints` are parts of the texts of matching tasks, beside the searched words.
    """
    low, high = _find_limits(c, conditions)
    everything = (
        AllTasks(),
        min(sum(reads.count_by_status(c).values()), max(0, min(high, _find_end(c)) - low - 1)),
    )
    known = sorted(
        [
            *_find_known_sources(
                c, [condition for condition in conditions if not condition.is_negated]
            ),
            everything,
        ],
        key=lambda found: found[1],
    )
    found: list[tuple[Source, int | None]] = [*known]
    words = [
        condition.text
        for condition in conditions
        if isinstance(condition, WordCondition) and not condition.is_negated
    ]
    indexed = _make_index_source(c, words, hints, unknown) if words or hints else None
    if indexed is not None:
        few = known[0][1]
        shorter = (
            few <= SHORT_SOURCE
            or few < everything[1]
            and few < _estimate_hits(c, indexed, low, high, few)
        )
        found.insert(1 if shorter else 0, (indexed, None))
    return CandidateSources(found, low, high)


def _estimate_hits(c: Connection, indexed: IndexSource, low: int, high: int, max_count: int) -> int:
    """Estimate how many indexed tasks contain a word, up to a little over `max_count`.

    The samples grow from the newest task back, because tasks submitted together are alike and tell
    nothing about older ones. A word too short for the index is expensive, so it counts as rare.
    """
    high, part, about = min(high, indexed.unknown, _find_end(c)), FIRST_SAMPLE, 0
    while indexed.match is not None and low < high and about <= max_count:
        part = min(part, high - low)
        last = indexed.window(c, high - part, high, True, SAMPLE_SIZE)
        about += len(last.rowids) * part // (part if last.edge is None else high - last.edge)
        high, part = high - part, part * 4
    return about


def find_candidate_ids(
    c: Connection,
    sources: CandidateSources,
    max_count: int,
    max_unknown: int,
    scan_texts: bool = False,
) -> set[int] | None:
    """Return the candidate row ids of the narrowest sources, or None.

    None means that every source has more than `max_count`. Sources of unknown length may have up to
    `max_unknown`. Only `scan_texts` scans all texts for a word too short and too common for the
    index.
    """
    found: set[int] | None = None
    for source, length in sources.sources:
        limit = max_unknown if length is None else max_count
        if (
            length is not None
            and length > limit
            or found is not None
            and len(found) <= SHORT_SOURCE
        ):
            continue
        places = _read_all(c, source, sources, limit, scan_texts)
        if places is not None:
            found = places if found is None else found & places
    return found


def _read_all(
    c: Connection, source: Source, sources: CandidateSources, limit: int, scan_texts: bool
) -> set[int] | None:
    """Return all positions of a source, or None if there are more than `limit`."""
    window = source.window(c, sources.low, sources.high, True, limit + 1)
    places = set(window.rowids)
    while scan_texts and window.edge is not None and len(places) <= limit:
        window = source.window(c, sources.low, window.edge, True, limit + 1)
        places |= set(window.rowids)
    return places if window.edge is None and len(places) <= limit else None


def find_by_pattern(
    c: Connection, conditions: Iterable[Condition], max_count: int
) -> set[int] | None:
    """Return the positions matching a pattern, from the column's whole index.

    Return None without a pattern, or if there are more than `max_count`.
    """
    for condition in conditions:
        if (
            isinstance(condition, PatternCondition)
            and condition.column in ("name", "submitted_by")
            and not condition.is_negated
        ):
            holds = " OR ".join([f"{condition.column} GLOB ?"] * len(condition.globs))
            found = (
                f"SELECT rowid AS place FROM tasks INDEXED BY {_INDEXES[condition.column]} WHERE"
                f" {holds} LIMIT {max_count + 1}"
            )
            rowids = fetch_rowids(c, found, condition.globs)
            return set(rowids) if len(rowids) <= max_count else None
    return None


def _make_index_source(
    c: Connection, words: Sequence[str], hints: Sequence[str], unknown: UnknownPositions
) -> IndexSource | None:
    match = fts.build_match(c, [*words, *hints])
    if match is None and not words:
        return None
    return IndexSource(match, max(words, key=len, default=""), *unknown, _find_distance(c))


def _find_distance(c: Connection) -> int | None:
    """Return the constant distance between number and rowid, or None.

    Numbers are never reused but rowids may be, so the distance only grows. The distance is constant
    if the first and last task agree.
    """
    first, last = (
        f"(SELECT number - rowid FROM tasks ORDER BY number {direction} LIMIT 1)"
        for direction in ("ASC", "DESC")
    )
    return raw_sql.fetch_value(c, f"SELECT {first} WHERE {first} = {last}")


class UnknownPositions(NamedTuple):
    """First position that the index does not know, and earlier ones with an outdated text."""

    first: int = LAST
    stale: frozenset[int] = frozenset()


def find_unknown(c: Connection, known: IndexState) -> UnknownPositions:
    """Return the positions that the index does not know."""
    stale = "SELECT t.rowid FROM stale_texts s CROSS JOIN tasks t ON t.number = s.number"
    later = "SELECT t.rowid FROM json_each(?) j CROSS JOIN tasks t ON t.number = j.value"
    found = raw_sql.fetch_column(c, f"{stale} UNION ALL {later}", (json.dumps(known.stale_tasks),))
    return UnknownPositions(find_at_or_after(c, known.upto + 1), frozenset(found))


def _find_end(c: Connection) -> int:
    """Return the position after the last task."""
    return (raw_sql.fetch_value(c, "SELECT max(rowid) FROM tasks") or 0) + 1


def _find_known_sources(
    c: Connection, conditions: Iterable[Condition]
) -> Iterable[tuple[Source, int]]:
    """Yield the sources of known length."""
    for condition in conditions:
        if isinstance(condition, StatusCondition):
            states = (
                *condition.tasks,
                *(["running"] if condition.runs and "running" not in condition.tasks else []),
            )
            yield (
                ValueSource("status", states),
                sum(n for status, n in reads.count_by_status(c).items() if status in states),
            )
        elif (
            isinstance(condition, ValueCondition | PatternCondition) and condition.column in _TABLES
        ):
            yield _make_name_source(c, condition.column, _find_names(c, condition))
        elif isinstance(condition, ValueCondition):
            yield _make_name_source(c, condition.column, condition.values)
        elif isinstance(condition, RangeCondition) and condition.column == "priority":
            yield from _list_few(_find_in_range(c, condition))


def _list_few(rowids: list[int]) -> Iterable[tuple[Source, int]]:
    if len(rowids) <= MAX_LISTED:
        yield ListSource(rowids), len(rowids)


_TABLES = {"queue": "queues", "template": "templates"}


def _find_names(c: Connection, condition: ValueCondition | PatternCondition) -> tuple[str, ...]:
    """Return the few names a condition means."""
    if isinstance(condition, ValueCondition):
        return condition.values
    holds = " OR ".join(["name GLOB ?"] * len(condition.globs))
    return tuple(
        raw_sql.fetch_column(
            c, f"SELECT name FROM {_TABLES[condition.column]} WHERE {holds}", condition.globs
        )
    )


def _make_name_source(c: Connection, column: str, names: tuple[str, ...]) -> tuple[Source, int]:
    if column == "queue":
        return ValueSource(column, names), sum(
            n for (queue, _), n in reads.read_counters(c).items() if queue in names
        )
    found = (
        f"SELECT count(*) FROM (SELECT 1 FROM tasks WHERE {column} IN ({_make_placeholders(names)})"
        f" LIMIT {MAX_LISTED + 1})"
    )
    return ValueSource(column, names), raw_sql.fetch_value(c, found, names)


def _make_placeholders(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))


def _find_in_range(c: Connection, wanted: RangeCondition) -> list[int]:
    """Return the sorted positions of a priority range, at most one more than `MAX_LISTED`."""
    low, high = (
        (-LAST if wanted.low is None else wanted.low),
        (LAST if wanted.high is None else wanted.high),
    )
    return sorted(
        fetch_rowids(
            c,
            "SELECT rowid AS place FROM tasks WHERE priority >= ? AND priority < ? LIMIT"
            f" {MAX_LISTED + 1}",
            (low, high),
        )
    )


def _find_limits(c: Connection, conditions: Iterable[Condition]) -> tuple[int, int]:
    """Return the positions that limit groups, numbers and submission times."""
    low, high = FIRST, LAST
    for condition in conditions:
        if isinstance(condition, RangeCondition | GroupCondition) and not condition.is_negated:
            first, last = (
                _find_group_limits(c, condition)
                if isinstance(condition, GroupCondition)
                else _find_number_limits(c, condition)
                if condition.column == "number"
                else _find_time_limits(c, condition)
            )
            low, high = max(low, first), min(high, last)
    return low, high


def _find_group_limits(c: Connection, wanted: GroupCondition) -> tuple[int, int]:
    """Return the positions that limit the tasks of groups, which were submitted together."""
    limits = groups.list_rowid_ranges(c, wanted.numbers)
    first = min((low for low, _ in limits), default=LAST)
    last = max((high for _, high in limits), default=FIRST)
    return max(FIRST, first - 1), min(LAST, last + 1)


def _find_number_limits(c: Connection, wanted: RangeCondition) -> tuple[int, int]:
    return (
        FIRST if wanted.low is None else find_before(c, wanted.low),
        LAST if wanted.high is None else find_at_or_after(c, wanted.high),
    )


def find_before(c: Connection, number: int) -> int:
    """Return the position of the last task with a lower number."""
    return (
        raw_sql.fetch_value(
            c, "SELECT rowid FROM tasks WHERE number < ? ORDER BY number DESC LIMIT 1", (number,)
        )
        or FIRST
    )


def find_at_or_after(c: Connection, number: int) -> int:
    """Return the position of the first task with this number or a higher one.

    Return the end position without such a task.
    """
    return raw_sql.fetch_value(
        c, "SELECT rowid FROM tasks WHERE number >= ? ORDER BY number LIMIT 1", (number,)
    ) or _find_end(c)


def _find_time_limits(c: Connection, wanted: RangeCondition) -> tuple[int, int]:
    """Return the positions that limit the submission time.

    A clock may have been set back, so positions are looked up: about 40 ms for a million tasks.
    """
    if wanted.column != "created_at":
        return FIRST, LAST
    low, high = FIRST, LAST
    if wanted.low is not None:
        first = _find_outermost(c, "min", ">=", wanted.low)
        low = first - 1 if first else LAST
    if wanted.high is not None:
        last = _find_outermost(c, "max", "<", wanted.high)
        high = last + 1 if last else FIRST
    return low, high


def _find_outermost(c: Connection, column: str, sign: str, moment: str) -> int | None:
    return raw_sql.fetch_value(
        c,
        f"SELECT {column}(rowid) FROM tasks INDEXED BY idx_tasks_created WHERE created_at {sign} ?",
        (moment,),
    )
