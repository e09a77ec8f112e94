"""Punctuation between and after texts, since it depends on the language.

All translatable texts that hold nothing but placeholders are here.
"""

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
_SENTENCE = tr_noop("{text}.")
_QUESTION = tr_noop("{text}?")
_HEADING = tr_noop("{text}:")
_CLAUSE = tr_noop("{text}, {more}")
_COLON = tr_noop("{first}: {more}")


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


def append_clause(text: str, more: str) -> str:
    """Append a clause to a text: `failed, exit 1 after 3s`."""
    return tr(_CLAUSE, text=text, more=more)


def join_colon(first: str, more: str) -> str:
    """Join a subject and the text about it: `queue media: needs 2G`."""
    return tr(_COLON, first=first, more=more)


def end_sentence(text: str) -> str:
    """Return a clause as a sentence: `no keeper answers` as `no keeper answers.`."""
    return tr(_SENTENCE, text=text)


def end_question(text: str) -> str:
    """Return a clause as a question: `Cancel 2 tasks` as `Cancel 2 tasks?`."""
    return tr(_QUESTION, text=text)


def end_heading(text: str) -> str:
    """Return a heading of the lines below it: `first steps` as `first steps:`."""
    return tr(_HEADING, text=text)


def _join(parts: Iterable[str], form: str) -> str:
    """Join texts; no parts give an empty text."""
    first, *more = [*parts] or [""]
    for part in more:
        first = tr(form, first=first, more=part)
    return first
