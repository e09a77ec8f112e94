"""The filter's language: what a line such as `encode !S02 status:failed queue:gpu since:2h` means, and what it keeps.

All words must hold, and `!` before one turns it round. A plain word is looked for as a part of what a row shows, in any case; quotes
keep spaces, colons and `*` as they are. Qualifiers: `status:` (a state, several with commas, or the groups active, waiting and ended),
`queue:` `template:` `by:` (exactly; `*` and `?` stand for anything and for one character; several with commas), `name:` (the whole
name, with `*` and `?`, in any case), `tag:KEY` and `tag:KEY=VALUE`, `since:` and `until:` (when it was submitted: a duration ago, a
day, a time), `number:` (`100`, `100-200`, `>100`), `priority:` likewise, and `#42` for a number. A line is read once from left to
right, and its length is bounded, so that no text takes long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from fnmatch import fnmatchcase
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

from app.core.text import units
from app.core.text.sanitize import clean, cut, nearest
from db import states
from db.states import ordered

LONGEST = 1000
"""Characters of a line."""
MOST = 32
"""Words of a line."""

WAITING, ENDED = ordered(states.WAITING), ordered(states.ENDED)
RUNS = ordered(states.ACTIVE - {states.Run.RUNNING})
"""States of a run that a list shows in the place of its task's."""
STATES = (*WAITING, "running", *RUNS, *ENDED)
GROUPS: Mapping[str, tuple[str, ...]] = {"active": ("running",), "waiting": WAITING, "ended": ENDED}


class BadQuery(ValueError):
    """A line that means nothing; its text is a sentence that names the word."""


class Pattern(NamedTuple):
    """Text to compare with. `glob` is a pattern as SQLite's GLOB and fnmatch read it; `text` the same where nothing in it is a wildcard
    or of any case, else None; `parts` what stands between its wildcards."""

    glob: str
    text: str | None = None
    parts: tuple[str, ...] = ()

    def fits(self, value: str) -> bool:
        """Whether all of `value` is as the pattern says."""
        return value == self.text if self.text is not None else fnmatchcase(value, self.glob)


class Term(NamedTuple):
    """One condition; `no` turns it round.

    By `kind`: "word" has `text`, folded; "status" its `states`; "queue", "template", "by" and "name" their `patterns`; "tag" has the key
    as `text`, and `patterns` of its value unless any will do; "created" (UNIX seconds), "number" and "priority" lie from `low` to less
    than `high`, None being without an end.
    """

    kind: str
    no: bool = False
    text: str = ""
    states: tuple[str, ...] = ()
    patterns: tuple[Pattern, ...] = ()
    low: float | None = None
    high: float | None = None


class Query(NamedTuple):
    """What a line means; without terms it keeps everything."""

    terms: tuple[Term, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.terms)


class Facts(NamedTuple):
    """What a row in memory is judged by. What it does not know keeps its default, which no condition but a negated one accepts."""

    number: int | None = None
    name: str = ""
    status: str = ""
    run: str | None = None
    """The state of the run under way."""
    queue: str | None = None
    template: str | None = None
    by: str | None = None
    priority: int | None = None
    created: float | None = None
    """UNIX seconds."""
    tags: Mapping[str, str] = MappingProxyType({})
    text: str = ""
    """What words are looked for in."""


def fold(text: str) -> str:
    """Text as it is compared where case does not count; nothing in it that a database cannot store or search."""
    if text.isascii():
        return text.lower().replace("\0", " ")
    return text.encode("utf-8", "replace").decode().casefold().replace("\0", " ")


# --- judging ------------------------------------------------------------------------------------------------------------------------


def matches(query: Query, facts: Facts) -> bool:
    """Whether a row is one of those that were asked for."""
    folded = fold(facts.text) if any(term.kind == "word" for term in query.terms) else ""
    return all(_holds(term, facts, folded) != term.no for term in query.terms)


def _holds(term: Term, facts: Facts, folded: str) -> bool:
    if term.kind == "word":
        return term.text in folded
    if term.kind == "status":
        return facts.status in term.states or facts.run in term.states
    if term.kind == "tag":
        value = facts.tags.get(term.text)
        return value is not None and (not term.patterns or _fits(term.patterns, value))
    value = getattr(facts, term.kind)
    return value is not None and (_fits(term.patterns, value) if term.patterns else _within(term, value))


def may_be(query: Query) -> frozenset[str]:
    """The states that a task may be in which was asked for, by what is said of states."""
    left = {*WAITING, "running", *ENDED}
    for term in (term for term in query.terms if term.kind == "status"):
        # A run that is paused is that of a running task, and not every running task's.
        left = left - {*term.states} if term.no else left & {"running" if state in RUNS else state for state in term.states}
    return frozenset(left)


def _fits(patterns: Iterable[Pattern], value: str) -> bool:
    return any(pattern.fits(value) for pattern in patterns)


def _within(term: Term, value: float) -> bool:
    return (term.low is None or value >= term.low) and (term.high is None or value < term.high)


# --- reading a line -----------------------------------------------------------------------------------------------------------------


class _Char(NamedTuple):
    """A character of a word; one that stood in quotes means itself only."""

    c: str
    plain: bool


def parse(text: str, now: datetime) -> Query:
    """What a line means at a time (aware). Raises BadQuery."""
    if len(text) > LONGEST:
        raise BadQuery(f"a filter has at most {LONGEST:,} characters, not {len(text):,}.")
    words = _words(text)
    if len(words) > MOST:
        raise BadQuery(f"a filter has at most {MOST} words, not {len(words)}.")
    return Query(tuple(_term(word, now) for word in words))


def _words(text: str) -> list[list[_Char]]:
    """The words of a line. A quote that is not closed reaches to its end; empty quotes are no word."""
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


def _said(word: Sequence[_Char]) -> str:
    return "".join(char.c for char in word)


def _begins(word: Sequence[_Char], c: str) -> bool:
    return len(word) > 1 and word[0] == _Char(c, True)


def _term(word: Sequence[_Char], now: datetime) -> Term:
    no = _begins(word, "!")
    rest = word[1:] if no else word
    if len(rest) == 1 and rest[0].plain and rest[0].c in "!#":
        raise BadQuery(f"{rest[0].c} stands before a word. As text: \"{rest[0].c}\" in quotes.")
    if _begins(rest, "#"):
        low, high = _whole(rest[1:], "#")
        return Term("number", no, low=low, high=high)
    name, value = _qualified(rest)
    if name is None:
        return Term("word", no, fold(_said(rest)))
    if not value or name in _LISTS and not _parts(value):
        raise BadQuery(f"{name}: says nothing. {_EXAMPLES[name]}")
    return QUALIFIERS[name](no, value, now)


def _qualified(word: Sequence[_Char]) -> tuple[str | None, Sequence[_Char]]:
    """A qualifier and what follows it; None for a plain word. What looks like a qualifier and is none is refused."""
    at = next((at for at, char in enumerate(word) if char == _Char(":", True)), 0)
    name = _said(word[:at]).lower()
    if not name.isalpha() or not all(char.plain for char in word[:at]):
        return None, word
    if name not in QUALIFIERS:
        if word[at + 1 : at + 2] == [_Char("/", True)]:  # http://…
            return None, word
        near = nearest(name, QUALIFIERS)
        shown = cut(clean(_said(word)), 40)
        raise BadQuery(f'there is no "{cut(clean(name), 40)}:".' + (f" Nearest: {near}:" if near else f' As text: "{shown}" in quotes.'))
    return name, word[at + 1 :]


def _parts(value: Sequence[_Char]) -> list[list[_Char]]:
    """A list with commas."""
    parts: list[list[_Char]] = [[]]
    for char in value:
        if char == _Char(",", True):
            parts.append([])
        else:
            parts[-1].append(char)
    return [part for part in parts if part]


def _status(no: bool, value: Sequence[_Char], now: datetime) -> Term:
    states: list[str] = []
    for part in _parts(value):
        word = _said(part).lower().replace("-", "_").replace(" ", "_")
        if word not in GROUPS and word not in STATES:
            near = nearest(word, (*STATES, *GROUPS))
            raise BadQuery(f"there is no state {units.quoted(_said(part))}." + (f" Nearest: {near.replace('_', '-')}." if near else ""))
        states += GROUPS.get(word, (word,))
    return Term("status", no, states=tuple(dict.fromkeys(states)))


def _pattern(value: Sequence[_Char], any_case: bool = False) -> Pattern:
    wild = any(char.plain and char.c in "*?" for char in value)
    glob = "".join(char.c if char.plain and char.c in "*?" else _literal(char.c, any_case) for char in value)
    parts = "".join("*" if char.plain and char.c in "*?" else char.c.replace("*", "\0") for char in value).split("*")
    return Pattern(glob, None if wild or any_case else _said(value), tuple(part.replace("\0", "*") for part in parts))


def _literal(c: str, any_case: bool) -> str:
    """A character in a pattern that stands for itself, or for both its cases."""
    forms = {form for form in (c, c.lower(), c.upper()) if len(form) == 1} if any_case else {c}
    return f"[{''.join(sorted(forms))}]" if len(forms) > 1 or c in "*?[" else c


def _listed(kind: str, no: bool, value: Sequence[_Char], now: datetime) -> Term:
    return Term(kind, no, patterns=tuple(_pattern(part) for part in _parts(value)))


def _name(no: bool, value: Sequence[_Char], now: datetime) -> Term:
    return Term("name", no, patterns=(_pattern(value, any_case=True),))


def _tag(no: bool, value: Sequence[_Char], now: datetime) -> Term:
    at = next((at for at, char in enumerate(value) if char.c == "="), None)
    if at is None:
        return Term("tag", no, _said(value))
    return Term("tag", no, _said(value[:at]), patterns=(_pattern(value[at + 1 :]),))


_LARGEST = 2**62


_SIGNS: Mapping[str, tuple[int | None, int | None]] = {">=": (0, None), "<=": (None, 1), ">": (1, None), "<": (None, 0)}


def _whole(value: Sequence[_Char], title: str) -> tuple[int | None, int | None]:
    """From one whole number to less than another: `5`, `5-9`, `>5`, `>=5`, `<5`, `<=5`. Raises BadQuery."""
    word = _said(value).strip()
    sign = next((sign for sign in _SIGNS if word.startswith(sign)), None)
    if sign is not None:
        number = _number(word[len(sign) :], title, word)
        low, high = _SIGNS[sign]
        return None if low is None else number + low, None if high is None else number + high
    begin, dash, end = word[1:].partition("-")
    first = _number(word[:1] + begin, title, word)
    return first, (_number(end, title, word) if dash else first) + 1


def _number(text: str, title: str, word: str) -> int:
    try:
        return units.parse_int(text, -_LARGEST, _LARGEST)
    except ValueError:
        raise BadQuery(f"{title} takes a whole number, 5-9, or >5, not {units.quoted(word)}.") from None


def _range(kind: str, no: bool, value: Sequence[_Char], now: datetime) -> Term:
    low, high = _whole(value, f"{kind}:")
    return Term(kind, no, low=low, high=high)


def _since(no: bool, value: Sequence[_Char], now: datetime) -> Term:
    return Term("created", no, low=_moment(_said(value), now, "since:")[0])


def _until(no: bool, value: Sequence[_Char], now: datetime) -> Term:
    return Term("created", no, high=_moment(_said(value), now, "until:")[1])


def _moment(text: str, now: datetime, title: str) -> tuple[float, float]:
    """When something begins and when it is over, in UNIX seconds: a day lasts until the next, any other time is both."""
    word = text.strip().lower()
    try:
        day = _day(word, now)
        if day is not None:
            return _midnight(day), _midnight(day + timedelta(days=1))
        at = _time(word, now).timestamp()
        return at, at
    except (ValueError, OverflowError):
        raise BadQuery(f"{title} takes a time such as 2h (ago), 2026-11-25 or 08:30, not {units.quoted(text)}.") from None


def _midnight(day: date) -> float:
    return datetime.combine(day, time()).astimezone().timestamp()


def _day(word: str, now: datetime) -> date | None:
    today = now.astimezone().date()
    if word in ("today", "yesterday"):
        return today - timedelta(days=word == "yesterday")
    return date.fromisoformat(word) if len(word) == 10 and word[4] == "-" else None


def _time(word: str, now: datetime) -> datetime:
    """A duration before now; the last time that a clock showed this; a time with its day."""
    if word[4:5] == "-":
        return datetime.fromisoformat(word.upper()).astimezone()
    if ":" in word:
        found = datetime.combine(now.astimezone().date(), datetime.strptime(word, "%H:%M").time()).astimezone()
        return found if found <= now else found - timedelta(days=1)
    return now - timedelta(seconds=units.parse_duration(word))


_Reader = Callable[[bool, Sequence[_Char], datetime], Term]

QUALIFIERS: Mapping[str, _Reader] = {
    "status": _status,
    "queue": partial(_listed, "queue"),
    "name": _name,
    "template": partial(_listed, "template"),
    "by": partial(_listed, "by"),
    "tag": _tag,
    "since": _since,
    "until": _until,
    "number": partial(_range, "number"),
    "priority": partial(_range, "priority"),
}
"""What may stand before a colon."""

_LISTS = ("status", "queue", "template", "by")
"""Those that take several, with commas."""

_EXAMPLES = {
    "status": "Say a state: status:failed",
    "queue": "Say which: queue:gpu",
    "name": "Say a name: name:enc*",
    "template": "Say which: template:encode",
    "by": "Say whose: by:ann",
    "tag": "Say which: tag:env=prod",
    "since": "Say a time: since:2h",
    "until": "Say a time: until:2h",
    "number": "Say which: number:100-200",
    "priority": "Say which: priority:>5",
}


# --- completing ---------------------------------------------------------------------------------------------------------------------

SHOWN = 50
"""Completions at most."""


def completions(text: str, names: Mapping[str, Sequence[str]]) -> list[str]:
    """The lines that `text`, up to the cursor, may become by completing its last word.

    `names` has by qualifier what there is: "queue", "template", "by", "tag".
    """
    if text.count('"') % 2 or len(text) > LONGEST:
        return []
    last = "" if not text or text[-1].isspace() else text.split()[-1]
    before, mark = text[: len(text) - len(last)], "!" if last.startswith("!") else ""
    name, colon, value = last[len(mark) :].partition(":")
    if not colon:
        return [f"{before}{mark}{known}:" for known in QUALIFIERS if name and known.startswith(name.lower())]
    known = [state.replace("_", "-") for state in (*STATES, *GROUPS)] if name == "status" else names.get(name, ())
    listed, _, part = value.rpartition(",") if name in _LISTS else ("", "", value)
    begin = f"{before}{mark}{name}:{listed}{',' if listed else ''}"
    return [f"{begin}{as_word(found)} " for found in known if found.lower().startswith(part.lower())][:SHOWN]


def as_word(value: str) -> str:
    """A value as a line has it, so that it means exactly that: in quotes where it must be. A quote in it becomes a `?`."""
    if '"' in value:
        return "?".join(as_word(part) for part in value.split('"'))
    return f'"{value}"' if not value or any(c.isspace() or c in ',*?:!#' for c in value) else value
