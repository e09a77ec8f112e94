"""Joined texts, whose punctuation depends on the language. Nothing gives an empty text."""

from __future__ import annotations

from app.translation import tr, tr_noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_CLAUSES = tr_noop("{first}; {more}")
_AND = tr_noop("{first} and {more}")
_OR = tr_noop("{first} or {more}")
_COMMAS = tr_noop("{first}, {more}")
_SENTENCES = tr_noop("{first} {more}")


def join_clauses(parts: Iterable[str]) -> str:
    """Join clauses of a sentence: `first of 4; needs 2G`."""
    return _join(parts, _CLAUSES)


def join_and(parts: Iterable[str]) -> str:
    """Join words: `a and b`, `a and b and c`."""
    return _join(parts, _AND)


def join_or(parts: Iterable[str]) -> str:
    """Join words: `a or b`, `a or b or c`."""
    return _join(parts, _OR)


def join_commas(parts: Iterable[str]) -> str:
    """Join items of a list: `a, b, c`."""
    return _join(parts, _COMMAS)


def join_sentences(*parts: str) -> str:
    """Join whole sentences: `A stops. B starts.`."""
    return _join(parts, _SENTENCES)


def _join(parts: Iterable[str], form: str) -> str:
    first, *more = [*parts] or [""]
    for part in more:
        first = tr(form, first=first, more=part)
    return first
