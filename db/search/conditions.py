"""Filter conditions on tasks, as values and as SQL over a row `t` of `tasks`.

`is_negated` negates a condition. No condition lets SQLite choose an index: `search.candidates` and
`search.pagination` decide which rows are read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from db.search.fts import IndexState


@dataclass(frozen=True, slots=True)
class StatusCondition:
    """The task has one of these statuses, or its active run one of these."""

    tasks: tuple[str, ...]
    runs: tuple[str, ...] = ()
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class ValueCondition:
    """A column has one of these values."""

    column: str
    values: tuple[str, ...]
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class PatternCondition:
    """A column matches one of these GLOB patterns."""

    column: str
    globs: tuple[str, ...]
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class RangeCondition:
    """A column is at least `low` and below `high`; None means no limit."""

    column: str
    low: Any = None
    high: Any = None
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class MissingCondition:
    """A column is NULL."""

    column: str
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class TagCondition:
    """The task has a tag with this key and a matching value.

    No patterns match any value.
    """

    key: str
    globs: tuple[str, ...] = ()
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class GroupCondition:
    """The task belongs to one of these groups."""

    numbers: tuple[int, ...]
    is_negated: bool = False


@dataclass(frozen=True, slots=True)
class WordCondition:
    """The indexed text contains this word, which is already lower-cased."""

    text: str
    is_negated: bool = False


ColumnCondition = (
    StatusCondition
    | ValueCondition
    | PatternCondition
    | RangeCondition
    | MissingCondition
    | TagCondition
    | GroupCondition
)
Condition = ColumnCondition | WordCondition
Sql = tuple[str, list[Any]]


def build_where(conditions: Sequence[Condition], known: IndexState) -> Sql:
    """Return the SQL of all conditions, for tasks that are not deleted.

    Words of a task that the index does not know are not checked.
    """
    parts = [("t.deleted_at IS NULL", list[Any]())]
    parts += [
        _build_condition(condition)
        for condition in conditions
        if not isinstance(condition, WordCondition)
    ]
    words = [condition for condition in conditions if isinstance(condition, WordCondition)]
    if words:
        parts.append(_build_words(words, known))
    return " AND ".join(text for text, _ in parts), [
        value for _, values in parts for value in values
    ]


def _build_condition(condition: ColumnCondition) -> Sql:
    if not condition.is_negated:
        return _build_positive(condition)
    text, values = _build_positive(replace(condition, is_negated=False))
    return f"NOT coalesce({text}, 0)", values


def _build_positive(condition: ColumnCondition) -> Sql:
    match condition:
        case StatusCondition(tasks, runs):
            return _build_status(tasks, runs)
        case ValueCondition(column, values):
            return f"+t.{column} IN ({_make_placeholders(values)})", [*values]
        case PatternCondition(column, globs):
            return _build_globs(f"t.{column}", globs)
        case RangeCondition(column, low, high):
            return _build_range(f"+t.{column}", low, high)
        case MissingCondition(column):
            return f"t.{column} IS NULL", []
        case TagCondition(key, globs):
            return _build_tag(key, globs)
        case GroupCondition(numbers):
            return f"+t.group_number IN ({_make_placeholders(numbers)})", [*numbers]


def _make_placeholders(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


def _build_status(tasks: Sequence[str], runs: Sequence[str]) -> Sql:
    text = f"+t.status IN ({_make_placeholders(tasks)})"
    if not runs:
        return text, [*tasks]
    run = (
        "EXISTS (SELECT 1 FROM instances i WHERE i.task_id = t.uuid AND +i.status IN"
        f" ({_make_placeholders(runs)}))"
    )
    return f"({text} OR t.status = 'running' AND {run})", [*tasks, *runs]


def _build_globs(what: str, globs: Sequence[str]) -> Sql:
    return f"({' OR '.join([f'{what} GLOB ?'] * len(globs))})", [*globs]


def _build_range(what: str, low: Any, high: Any) -> Sql:
    parts = [(f"{what} >= ?", low), (f"{what} < ?", high)]
    limits = [(text, value) for text, value in parts if value is not None]
    return " AND ".join(text for text, _ in limits) or "1", [value for _, value in limits]


def _build_tag(key: str, globs: Sequence[str]) -> Sql:
    text, values = _build_globs("g.value", globs) if globs else ("1", [])
    return (
        (
            "t.tags <> '{}' AND EXISTS (SELECT 1 FROM json_each(t.tags) g WHERE g.key = ? AND"
            f" {text})"
        ),
        [key, *values],
    )


def _build_words(words: Sequence[WordCondition], known: IndexState) -> Sql:
    holds = " AND ".join(f"instr(k.c0, ?) {'=' if word.is_negated else '>'} 0" for word in words)
    right = (
        "k.id <= ? AND k.id NOT IN (SELECT number FROM stale_texts) AND k.id NOT IN (SELECT value"
        " FROM json_each(?))"
    )
    found = f"SELECT {holds} FROM search_content k WHERE k.id = t.number AND {right}"
    return f"coalesce(({found}), 1)", [
        *(word.text for word in words),
        known.upto,
        json.dumps(known.stale_tasks),
    ]
