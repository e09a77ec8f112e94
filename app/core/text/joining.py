"""Joined texts, whose punctuation depends on the language."""

from __future__ import annotations

from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def join_clauses(parts: Iterable[str]) -> str:
    """Join clauses of a sentence: `first of 4; needs 2G`."""
    first, *more = [*parts] or [""]
    for part in more:
        first = tr("{first}; {more}", first=first, more=part)
    return first


def join_and(parts: Iterable[str]) -> str:
    """Join words: `a and b`, `a and b and c`."""
    first, *more = [*parts] or [""]
    for part in more:
        first = tr("{first} and {more}", first=first, more=part)
    return first


def join_or(parts: Iterable[str]) -> str:
    """Join words: `a or b`, `a or b or c`."""
    first, *more = [*parts] or [""]
    for part in more:
        first = tr("{first} or {more}", first=first, more=part)
    return first


def join_commas(parts: Iterable[str]) -> str:
    """Join items of a list: `a, b, c`."""
    first, *more = [*parts] or [""]
    for part in more:
        first = tr("{first}, {more}", first=first, more=part)
    return first
