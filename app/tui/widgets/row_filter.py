"""Row predicates from filters.

The work pane uses the language of `core.filter_query`; other lists use words and `name:value`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from app.core import filter_query
from app.core.board import EndedEntry, NextEntry, RunningEntry
from app.tui.data.list_rows import LingeringRow

_WORDS = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
RowPredicate = Callable[[Any], bool]

STATES: tuple[tuple[str, RowPredicate], ...] = (
    ("active", lambda row: isinstance(row, (RunningEntry, LingeringRow))),
    ("waiting", lambda row: isinstance(row, NextEntry)),
    (
        "failed",
        lambda row: isinstance(row, EndedEntry) and row.status in ("failed", "timed_out", "lost"),
    ),
)
"""State filters that `f` cycles through after "all"."""

TASK_LIST_CONDITIONS = ("template", "by", "tag", "created", "group")
"""Conditions that need data missing in the deck's rows; the task list has it."""


def parse_filter(text: str, now: datetime) -> RowPredicate | None:
    """Return the predicate for a filter of the deck; None if empty. Raise QueryError."""
    query = filter_query.parse_query(text, now)
    return (lambda row: filter_query.is_match(query, extract_facts(row))) if query else None


def needs_task_list(text: str, now: datetime) -> bool:
    """Return True if the filter needs the list of all tasks."""
    try:
        return any(
            term.kind in TASK_LIST_CONDITIONS for term in filter_query.parse_query(text, now).terms
        )
    except filter_query.QueryError:
        return False


def extract_facts(row: Any) -> filter_query.RowFacts:
    """Return the properties of a row of the work pane that filters test."""
    line = row.end if isinstance(row, LingeringRow) else row
    runs = isinstance(line, RunningEntry)
    return filter_query.RowFacts(
        number=line.number, name=line.name, status="running" if runs else line.status,
        run=line.status if runs else None,
        queue=line.queue, priority=line.priority, text=_join_searchable(line),
    )  # fmt: skip


_SEARCHED_FIELDS = ("name", "queue", "status", "output", "note", "why", "how")


def _join_searchable(line: Any) -> str:
    """Return the searchable text of a row."""
    return " ".join(
        [f"#{line.number}", *(str(getattr(line, name, "") or "") for name in _SEARCHED_FIELDS)]
    )


def combine_filters(first: RowPredicate | None, second: RowPredicate | None) -> RowPredicate | None:
    """Return a predicate for rows that pass both filters."""
    if first is None or second is None:
        return first or second
    return lambda row: first(row) and second(row)


# --- other lists ---


def make_row_predicate(text: str, facts: Callable[[Any], Mapping[str, Any]]) -> RowPredicate | None:
    """Return the predicate for a filter on row properties; None if empty.

    Words match in any property, `name:value` in one.
    """
    tests = [_make_test(word.replace('"', "")) for word in _WORDS.findall(text.lower())]
    if not tests:
        return None

    def keep(row: Any) -> bool:
        found = {name: str(value or "").lower() for name, value in facts(row).items()}
        return all(test(found) for test in tests)

    return keep


def _make_test(word: str) -> Callable[[Mapping[str, str]], bool]:
    if len(word) > 1 and word[0] == "!":
        inner = _make_test(word[1:])
        return lambda found: not inner(found)
    name, _, value = word.partition(":")
    return lambda found: (
        value in found[name]
        if ":" in word and name in found
        else any(word in text for text in found.values())
    )


def list_completions(
    text: str, qualifiers: Sequence[str], names: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return the completions of a filter's last word.

    Complete qualifiers such as `by:`, or their values from `names`.
    """
    head, space, word = text.rpartition(" ")
    bare = word.lstrip("!")
    name, colon, _ = bare.partition(":")
    whole = [f"{name}:{value}" for value in names.get(name, ())] if colon else list(qualifiers)
    found = [one for one in whole if bare and one.lower().startswith(bare.lower())]
    return [head + space + word[: len(word) - len(bare)] + one for one in found]
