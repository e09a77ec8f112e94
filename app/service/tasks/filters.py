"""Translation of filter lines to database conditions."""

from __future__ import annotations

from app.core.filter_query import (
    RUN_STATES,
    Query,
    QueryError,
    QueryTerm,
    TextPattern,
    fold_case,
    parse_query,
)
from app.errors import Usage
from app.service.tasks import search_text
from db import timestamps
from db.search.conditions import (
    Condition,
    GroupCondition,
    PatternCondition,
    RangeCondition,
    StatusCondition,
    TagCondition,
    ValueCondition,
    WordCondition,
)
from db.search.pagination import TaskSelection

_COLUMNS = {"queue": "queue", "template": "template", "by": "submitted_by", "name": "name"}


def parse_line(text: str) -> Query:
    """Parse a filter line as of now. Raise Usage."""
    try:
        text.encode()
        return parse_query(text, timestamps.utcnow())
    except QueryError as error:
        raise Usage(str(error)) from None


def to_conditions(query: Query) -> TaskSelection:
    """Return the conditions that a query sets for tasks."""
    asked = [term for term in query.terms if not term.is_negated]
    with_word = any(term.kind == "word" for term in asked)
    hints = tuple(
        hint for term in asked if with_word or term.kind != "template" for hint in _make_hints(term)
    )
    return TaskSelection(
        tuple(_to_condition(term) for term in query.terms), search_text.make_stored_text, hints
    )


def get_queue_names(query: Query) -> list[str]:
    """Return the queues that a query names."""
    return [
        p.text
        for term in query.terms
        if term.kind == "queue"
        for p in term.patterns
        if p.text is not None
    ]


def _to_condition(term: QueryTerm) -> Condition:
    globs = tuple(pattern.glob for pattern in term.patterns)
    if term.kind == "word":
        return WordCondition(term.text, term.is_negated)
    if term.kind == "status":
        runs = tuple(state for state in term.states if state in RUN_STATES)
        return StatusCondition(
            tuple(state for state in term.states if state not in RUN_STATES), runs, term.is_negated
        )
    if term.kind == "tag":
        return TagCondition(term.text, globs, term.is_negated)
    if term.kind == "group":
        return GroupCondition(term.numbers, term.is_negated)
    if term.kind == "created":
        return RangeCondition("created_at", _stamp(term.low), _stamp(term.high), term.is_negated)
    if term.kind in ("number", "priority"):
        return RangeCondition(term.kind, term.low, term.high, term.is_negated)
    values = tuple(pattern.text for pattern in term.patterns if pattern.text is not None)
    column = _COLUMNS[term.kind]
    return (
        ValueCondition(column, values, term.is_negated)
        if len(values) == len(globs)
        else PatternCondition(column, globs, term.is_negated)
    )


def _stamp(seconds: float | None) -> str | None:
    return None if seconds is None else timestamps.from_unix(seconds)


def _make_hints(term: QueryTerm) -> list[str]:
    """Return folded substrings that the text of every matching task contains.

    Only ASCII parts count, as folding keeps their length. A template has its own index and helps
    only together with words.
    """
    if term.kind in ("name", "template") and len(term.patterns) == 1:
        found = term.patterns[0].parts
    elif term.kind == "tag" and len(term.patterns) == 1:
        found = _split_tag(term.text, term.patterns[0])
    else:
        found = (term.text,) if term.kind == "tag" else ()
    return [fold_case(part) for part in found if len(part) >= 3 and part.isascii()]


def _split_tag(key: str, value: TextPattern) -> tuple[str, ...]:
    first, *rest = value.parts
    return (f"{key}={first}", *rest)
