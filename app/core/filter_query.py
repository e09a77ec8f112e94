"""Filter query language: parsing and matching of `encode !S02 status:failed queue:gpu since:2h`.

All terms must hold; `!` negates a term. A plain word matches part of a row's text, ignoring case.
Quotes keep spaces, colons and `*` literal. Qualifiers: `status:` (a state, several with commas, or
the groups active, waiting and ended), `queue:` `template:` `by:` (exact, with `*` and `?` as
wildcards, several with commas), `name:` (the whole name with wildcards, ignoring case), `tag:KEY`
and `tag:KEY=VALUE`, `group:` (`g12`, several with commas), `since:` and `until:` (time of
submission: a duration ago, a day, a time), `number:` (`100`, `100-200`, `>100`), `priority:`
likewise, and `#42` for a number. Parsing is one pass over a bounded line, so no input takes long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from app.core.task_groups import parse_group
from app.core.text import units
from app.core.text.sanitize import find_nearest, sanitize, truncate
from app.translation import tr
from db import states
from db.states import list_states

MAX_LENGTH = 1000
"""Maximum characters of a query."""
MAX_WORDS = 32
"""Maximum words of a query."""

WAITING_STATES, ENDED_STATES = list_states(states.WAITING), list_states(states.ENDED)
RUN_STATES = list_states(states.ACTIVE - {states.RunStatus.RUNNING})
"""Run states that a list shows instead of the task's state."""
STATES = (*WAITING_STATES, "running", *RUN_STATES, *ENDED_STATES)
STATE_GROUPS: Mapping[str, tuple[str, ...]] = {
    "active": ("running",),
    "waiting": WAITING_STATES,
    "ended": ENDED_STATES,
}


class QueryError(ValueError):
    """Invalid query. The message is a sentence that names the word."""


class TextPattern(NamedTuple):
    """Text to compare with.

    `glob` has the syntax of SQLite's GLOB and of fnmatch. `text` is the literal text, None if there
    are wildcards or case is ignored. `parts` are the literal parts between wildcards.
    """

    glob: str
    text: str | None = None
    parts: tuple[str, ...] = ()

    def is_match(self, value: str) -> bool:
        """Return True if the pattern matches all of `value`."""
        return value == self.text if self.text is not None else fnmatchcase(value, self.glob)


class QueryTerm(NamedTuple):
    """One condition; `is_negated` negates it.

    By `kind`: "word" has `text`, case-folded. "status" has `states`. "queue", "template", "by" and
    "name" have `patterns`. "group" has `numbers`. "tag" has the key as `text`, and `patterns` of
    its value unless any value matches. "created" (UNIX seconds), "number" and "priority" are in the
    range `low` <= value < `high`, where None is unbounded.
    """

    kind: str
    is_negated: bool = False
    text: str = ""
    states: tuple[str, ...] = ()
    patterns: tuple[TextPattern, ...] = ()
    numbers: tuple[int, ...] = ()
    low: float | None = None
    high: float | None = None


class Query(NamedTuple):
    """A parsed query. Without terms, it matches everything."""

    terms: tuple[QueryTerm, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.terms)


class RowFacts(NamedTuple):
    """Values of a row to match against.

    Unknown values keep their defaults, which only a negated term accepts.
    """

    number: int | None = None
    name: str = ""
    status: str = ""
    run: str | None = None
    """State of the active run."""
    queue: str | None = None
    template: str | None = None
    by: str | None = None
    priority: int | None = None
    created: float | None = None
    """UNIX seconds."""
    tags: Mapping[str, str] = MappingProxyType({})
    text: str = ""
    """Text searched for plain words."""
    group: int | None = None
    """Number of the group."""


def fold_case(text: str) -> str:
    """Return case-folded text without characters that a database rejects."""
    if text.isascii():
        return text.lower().replace("\0", " ")
    return text.encode("utf-8", "replace").decode().casefold().replace("\0", " ")


# --- matching


def is_match(query: Query, facts: RowFacts) -> bool:
    """Return True if a row matches the query."""
    folded = fold_case(facts.text) if any(term.kind == "word" for term in query.terms) else ""
    return all(_is_satisfied(term, facts, folded) != term.is_negated for term in query.terms)


def _is_satisfied(term: QueryTerm, facts: RowFacts, folded: str) -> bool:
    if term.kind == "word":
        return term.text in folded
    if term.kind == "status":
        return facts.status in term.states or facts.run in term.states
    if term.kind == "tag":
        value = facts.tags.get(term.text)
        return value is not None and (not term.patterns or _matches_any(term.patterns, value))
    if term.kind == "group":
        return facts.group in term.numbers
    value = getattr(facts, term.kind)
    return value is not None and (
        _matches_any(term.patterns, value) if term.patterns else _is_in_range(term, value)
    )


def find_possible_states(query: Query) -> frozenset[str]:
    """Return the task states that the query's status terms allow."""
    left = {*WAITING_STATES, "running", *ENDED_STATES}
    for term in (term for term in query.terms if term.kind == "status"):
        # A paused run belongs to a running task, but not every running task has a paused run.
        left = (
            left - {*term.states}
            if term.is_negated
            else left & {"running" if state in RUN_STATES else state for state in term.states}
        )
    return frozenset(left)


def _matches_any(patterns: Iterable[TextPattern], value: str) -> bool:
    return any(pattern.is_match(value) for pattern in patterns)


def _is_in_range(term: QueryTerm, value: float) -> bool:
    return (term.low is None or value >= term.low) and (term.high is None or value < term.high)


# --- parsing


class _Char(NamedTuple):
    """A character of a word; a quoted one is always literal."""

    c: str
    plain: bool


def parse_query(text: str, now: datetime) -> Query:
    """Parse a query relative to an aware time. Raise QueryError."""
    if len(text) > MAX_LENGTH:
        raise QueryError(
            tr(
                "a filter has at most {max_length:,} characters, not {n:,}.",
                max_length=MAX_LENGTH,
                n=len(text),
            )
        )
    words = _split_words(text)
    if len(words) > MAX_WORDS:
        raise QueryError(
            tr(
                "a filter has at most {max_words} words, not {n}.",
                max_words=MAX_WORDS,
                n=len(words),
            )
        )
    return Query(tuple(_parse_term(word, now) for word in words))


def _split_words(text: str) -> list[list[_Char]]:
    """Split a line into words.

    An open quote extends to the end; empty quotes are no word.
    """
    words: list[list[_Char]] = [[]]
    quoted = False
    for c in text:
        if c == '"':
            quoted = not quoted
        elif c.isspace() and not quoted:
            words.append([])
        else:
            words[-1].append(_Char(c, not quoted))
    return [word for word in words if word]


def _join_chars(word: Sequence[_Char]) -> str:
    return "".join(char.c for char in word)


def _has_prefix(word: Sequence[_Char], c: str) -> bool:
    return len(word) > 1 and word[0] == _Char(c, True)


def _parse_term(word: Sequence[_Char], now: datetime) -> QueryTerm:
    no = _has_prefix(word, "!")
    rest = word[1:] if no else word
    if len(rest) == 1 and rest[0].plain and rest[0].c in "!#":
        raise QueryError(tr('{c} needs a word after it. As text: "{c}" in quotes.', c=rest[0].c))
    if _has_prefix(rest, "#"):
        low, high = _parse_range(rest[1:], "#")
        return QueryTerm("number", no, low=low, high=high)
    name, value = _split_qualifier(rest)
    if name is None:
        return QueryTerm("word", no, fold_case(_join_chars(rest)))
    if not value or name in _LIST_QUALIFIERS and not _split_list(value):
        raise QueryError(
            tr("{name}: needs a value. Example: {example}", name=name, example=_EXAMPLES[name])
        )
    return QUALIFIERS[name](no, value, now)


def _split_qualifier(word: Sequence[_Char]) -> tuple[str | None, Sequence[_Char]]:
    """Split a qualifier from its value; return None for a plain word.

    Raise QueryError for an unknown qualifier.
    """
    at = next((at for at, char in enumerate(word) if char == _Char(":", True)), 0)
    name = _join_chars(word[:at]).lower()
    if not name.isalpha() or not all(char.plain for char in word[:at]):
        return None, word
    if name not in QUALIFIERS:
        if word[at + 1 : at + 2] == [_Char("/", True)]:  # http://…
            return None, word
        near = find_nearest(name, QUALIFIERS)
        shown = truncate(sanitize(_join_chars(word)), 40)
        raise QueryError(
            tr('there is no "{name}:".', name=truncate(sanitize(name), 40))
            + (
                tr(" Nearest: {near}:", near=near)
                if near
                else tr(' As text: "{shown}" in quotes.', shown=shown)
            )
        )
    return name, word[at + 1 :]


def _split_list(value: Sequence[_Char]) -> list[list[_Char]]:
    """Split a comma-separated list."""
    parts: list[list[_Char]] = [[]]
    for char in value:
        if char == _Char(",", True):
            parts.append([])
        else:
            parts[-1].append(char)
    return [part for part in parts if part]


def _parse_status(no: bool, value: Sequence[_Char], now: datetime) -> QueryTerm:
    states: list[str] = []
    for part in _split_list(value):
        word = _join_chars(part).lower().replace("-", "_").replace(" ", "_")
        if word not in STATE_GROUPS and word not in STATES:
            near = find_nearest(word, (*STATES, *STATE_GROUPS))
            raise QueryError(
                tr("there is no state {word}.", word=units.quote(_join_chars(part)))
                + (f" Nearest: {near.replace('_', '-')}." if near else "")
            )
        states += STATE_GROUPS.get(word, (word,))
    return QueryTerm("status", no, states=tuple(dict.fromkeys(states)))


def _make_pattern(value: Sequence[_Char], any_case: bool = False) -> TextPattern:
    wild = any(char.plain and char.c in "*?" for char in value)
    glob = "".join(
        char.c if char.plain and char.c in "*?" else _escape_literal(char.c, any_case)
        for char in value
    )
    parts = "".join(
        "*" if char.plain and char.c in "*?" else char.c.replace("*", "\0") for char in value
    ).split("*")
    return TextPattern(
        glob,
        None if wild or any_case else _join_chars(value),
        tuple(part.replace("\0", "*") for part in parts),
    )


def _escape_literal(c: str, any_case: bool) -> str:
    """Return a glob that matches one literal character, or both its cases."""
    forms = {form for form in (c, c.lower(), c.upper()) if len(form) == 1} if any_case else {c}
    return f"[{''.join(sorted(forms))}]" if len(forms) > 1 or c in "*?[" else c


def _parse_list(kind: str, no: bool, value: Sequence[_Char], now: datetime) -> QueryTerm:
    return QueryTerm(kind, no, patterns=tuple(_make_pattern(part) for part in _split_list(value)))


def _parse_name(no: bool, value: Sequence[_Char], now: datetime) -> QueryTerm:
    return QueryTerm("name", no, patterns=(_make_pattern(value, any_case=True),))


def _parse_tag(no: bool, value: Sequence[_Char], now: datetime) -> QueryTerm:
    at = next((at for at, char in enumerate(value) if char.c == "="), None)
    if at is None:
        return QueryTerm("tag", no, _join_chars(value))
    return QueryTerm("tag", no, _join_chars(value[:at]), patterns=(_make_pattern(value[at + 1 :]),))


def _parse_group_term(no: bool, value: Sequence[_Char], now: datetime) -> QueryTerm:
    words = [_join_chars(part).strip() for part in _split_list(value)]
    found = {word: parse_group(f"g{word.removeprefix('g')}") for word in words}
    for word, number in found.items():
        if number is None:
            raise QueryError(
                tr("group: takes a group such as g12, not {word}.", word=units.quote(word))
            )
    return QueryTerm("group", no, numbers=tuple(n for n in found.values() if n is not None))


_MAX_NUMBER = 2**62


_COMPARISONS: Mapping[str, tuple[int | None, int | None]] = {
    ">=": (0, None),
    "<=": (None, 1),
    ">": (1, None),
    "<": (None, 0),
}


def _parse_range(value: Sequence[_Char], title: str) -> tuple[int | None, int | None]:
    """Parse a range of whole numbers, with an exclusive end. Raise QueryError.

    Accepts `5`, `5-9`, `>5`, `>=5`, `<5` and `<=5`.
    """
    word = _join_chars(value).strip()
    sign = next((sign for sign in _COMPARISONS if word.startswith(sign)), None)
    if sign is not None:
        number = _parse_number(word[len(sign) :], title, word)
        low, high = _COMPARISONS[sign]
        return None if low is None else number + low, None if high is None else number + high
    begin, dash, end = word[1:].partition("-")
    first = _parse_number(word[:1] + begin, title, word)
    return first, (_parse_number(end, title, word) if dash else first) + 1


def _parse_number(text: str, title: str, word: str) -> int:
    try:
        return units.parse_int(text, -_MAX_NUMBER, _MAX_NUMBER)
    except ValueError:
        raise QueryError(
            tr(
                "{title} takes a whole number, 5-9, or >5, not {word}.",
                title=title,
                word=units.quote(word),
            )
        ) from None


def _parse_number_term(kind: str, no: bool, value: Sequence[_Char], now: datetime) -> QueryTerm:
    low, high = _parse_range(value, f"{kind}:")
    return QueryTerm(kind, no, low=low, high=high)


def _parse_since(no: bool, value: Sequence[_Char], now: datetime) -> QueryTerm:
    return QueryTerm("created", no, low=_parse_moment(_join_chars(value), now, "since:")[0])


def _parse_until(no: bool, value: Sequence[_Char], now: datetime) -> QueryTerm:
    return QueryTerm("created", no, high=_parse_moment(_join_chars(value), now, "until:")[1])


def _parse_moment(text: str, now: datetime, title: str) -> tuple[float, float]:
    """Return the start and end of a time in UNIX seconds.

    A day lasts until the next one; for any other time both values are equal.
    """
    try:
        begin, end = units.parse_past_period(text, now)
    except ValueError:
        raise QueryError(
            tr(
                "{title} takes a time such as 2h (ago), 2026-11-25 or 08:30, not {said}.",
                title=title,
                said=units.quote(text),
            )
        ) from None
    return begin.timestamp(), end.timestamp()


_TermParser = Callable[[bool, Sequence[_Char], datetime], QueryTerm]

QUALIFIERS: Mapping[str, _TermParser] = {
    "status": _parse_status,
    "queue": partial(_parse_list, "queue"),
    "name": _parse_name,
    "template": partial(_parse_list, "template"),
    "by": partial(_parse_list, "by"),
    "tag": _parse_tag,
    "group": _parse_group_term,
    "since": _parse_since,
    "until": _parse_until,
    "number": partial(_parse_number_term, "number"),
    "priority": partial(_parse_number_term, "priority"),
}
"""Parsers by qualifier."""

_LIST_QUALIFIERS = ("status", "queue", "template", "by", "group")
"""Qualifiers that accept comma-separated lists."""

_EXAMPLES = {
    "status": "status:failed",
    "queue": "queue:gpu",
    "name": "name:enc*",
    "template": "template:encode",
    "by": "by:ann",
    "tag": "tag:env=prod",
    "group": "group:g12",
    "since": "since:2h",
    "until": "until:2h",
    "number": "number:100-200",
    "priority": "priority:>5",
}


# --- completion

MAX_COMPLETIONS = 50
"""Maximum number of completions."""


def find_completions(text: str, names: Mapping[str, Sequence[str]]) -> list[str]:
    """Return completions of the last word of `text`, which ends at the cursor.

    `names` lists known values by qualifier: "queue", "template", "by", "tag".
    """
    if text.count('"') % 2 or len(text) > MAX_LENGTH:
        return []
    last = "" if not text or text[-1].isspace() else text.split()[-1]
    before, mark = text[: len(text) - len(last)], "!" if last.startswith("!") else ""
    name, colon, value = last[len(mark) :].partition(":")
    if not colon:
        return [
            f"{before}{mark}{known}:"
            for known in QUALIFIERS
            if name and known.startswith(name.lower())
        ]
    known = (
        [state.replace("_", "-") for state in (*STATES, *STATE_GROUPS)]
        if name == "status"
        else names.get(name, ())
    )
    listed, _, part = value.rpartition(",") if name in _LIST_QUALIFIERS else ("", "", value)
    begin = f"{before}{mark}{name}:{listed}{',' if listed else ''}"
    return [
        f"{begin}{quote_word(found)} " for found in known if found.lower().startswith(part.lower())
    ][:MAX_COMPLETIONS]


def quote_word(value: str) -> str:
    """Quote a value if necessary, so that it matches literally.

    A quote in the value becomes `?`.
    """
    if '"' in value:
        return "?".join(quote_word(part) for part in value.split('"'))
    return f'"{value}"' if not value or any(c.isspace() or c in ",*?:!#" for c in value) else value
