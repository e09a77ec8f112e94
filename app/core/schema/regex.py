"""JSON Schema patterns with a time limit, matched by the `regex` package.

Python's `re` has no time limit. `_translate` converts ECMA-262 syntax to that of `regex` and
rejects everything else, including back-references. The package limits neither the compilation of a
pattern (repeat counts are expanded, long texts are indexed) nor a single scan. The limits below do.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from app.translation import tr

if TYPE_CHECKING:
    import regex

TIMEOUT = 0.1
MAX_TEXT = 128 * 1024
MAX_LENGTH, MAX_SIZE, MAX_DEPTH = 1_000, 2_000, 50
"""Limits of a pattern: characters, parts with expanded repeat counts, nested groups."""

_POSITIVE_SETS = {
    "d": "[0-9]",
    "w": "[0-9A-Za-z_]",
    "s": r"[\t-\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]",
}
_SETS = _POSITIVE_SETS | {
    name.upper(): f"[^{members[1:]}" for name, members in _POSITIVE_SETS.items()
}
_CONTROLS = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "0": "\0", "b": "\b"}
_WORD = _SETS["w"]
_ASSERTIONS = {
    "|": "|",
    "^": r"\A",
    "$": r"\Z",
    r"\b": f"(?:(?<={_WORD})(?!{_WORD})|(?<!{_WORD})(?={_WORD}))",
    r"\B": f"(?:(?<={_WORD})(?={_WORD})|(?<!{_WORD})(?!{_WORD}))",
}
_FIXED_SETS = {".": r"[^\n\r\u2028\u2029]", "[]": r"[^\0-\U0010ffff]", "[^]": r"[\0-\U0010ffff]"}

_ESCAPE = r"\\(?:c[A-Za-z]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[pP]\{[^{}]+\}|[^cxupP])"
_TOKEN = re.compile(
    rf"""(?P<place>[|^$]|\\[bB])
    |(?P<open>\((?:\?(?:[:=!]|<[=!]|<\w+>)|(?!\?)))
    |(?P<close>\))
    |(?P<count>(?:[*+?]|\{{(?P<least>\d+)(?:,\d*)?\}})\??)
    |(?P<set>\[\^?(?:{_ESCAPE}|[^\\\]])*\])
    |(?P<atom>{_ESCAPE}|[^\\(\[])""",
    re.DOTALL | re.VERBOSE | re.ASCII,
)
_MEMBER = re.compile(rf"({_ESCAPE}|[^\\])(?:-({_ESCAPE}|[^\\]))?", re.DOTALL)


class PatternError(ValueError):
    """The pattern cannot be used. The message follows "its pattern …"."""


class PatternTimeoutError(Exception):
    """The text is too long for a search in bounded time."""


def search(pattern: str, text: str) -> bool:
    """Return True if `pattern` occurs in `text`.

    Raise PatternError, or PatternTimeoutError after 0.1 seconds or for more than 128 K characters.
    """
    if len(text) > MAX_TEXT:
        raise PatternTimeoutError
    try:
        return compile_pattern(pattern).search(text, timeout=TIMEOUT) is not None
    except (TimeoutError, MemoryError):
        raise PatternTimeoutError from None


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> regex.Pattern[str]:
    """Return the compiled pattern. Raise PatternError."""
    import regex  # imported on first use, not when the runtime starts

    try:
        return regex.compile(_translate(pattern), regex.VERSION1, cache_pattern=False)
    except regex.error as error:
        raise PatternError(
            tr("cannot be read: {why}", why=str(error).partition(" at position")[0])
        ) from None


def _translate(pattern: str) -> str:
    if len(pattern) > MAX_LENGTH:
        raise PatternError(tr("is longer than {max_length} characters", max_length=MAX_LENGTH))
    size, at, parts = _PatternSize(), 0, list[str]()
    while at < len(pattern):
        token = _TOKEN.match(pattern, at)
        if token is None:
            raise PatternError(tr("has a {pattern} that cannot be read", pattern=pattern[at]))
        size.add(token)
        parts.append(_translate_token(token.lastgroup or "", token[0]))
        at = token.end()
    return "".join(parts)


class _PatternSize:
    """Size of a pattern with its repeat counts expanded.

    Checks that each count can repeat something.
    """

    def __init__(self) -> None:
        self.groups = [0]
        self.last = 0
        """Size of the part that a count would repeat; 0 if a count is invalid here."""

    def add(self, token: re.Match[str]) -> None:
        """Add a token. Raise PatternError."""
        kind = token.lastgroup
        if kind == "count" and not self.last:
            raise PatternError(tr("has a {token} with nothing to repeat", token=token[0]))
        if kind == "close" and len(self.groups) == 1:
            raise PatternError(tr("has a ) without its ("))
        if kind == "open":
            self.groups.append(0)
        grown = self._measure_growth(kind, token["least"])
        self.last = grown if kind in ("close", "set", "atom") else 0
        self.groups[-1] += grown
        if self.groups[-1] > MAX_SIZE or len(self.groups) > MAX_DEPTH:
            raise PatternError(tr("is too large or nested too deeply"))

    def _measure_growth(self, kind: str | None, least: str | None) -> int:
        if kind == "count":
            return self.last * max(0, int(least or 1) - 1)
        return 1 + (self.groups.pop() if kind == "close" else 0)


def _translate_token(kind: str, text: str) -> str:
    if kind == "open":
        return text if text[2:3] in tuple("=!") or text[3:4] in tuple("=!") else "(?:"
    if kind in ("close", "count"):
        return text
    if kind == "place":
        return _ASSERTIONS[text]
    if text in _FIXED_SETS:
        return _FIXED_SETS[text]
    return _translate_set(text) if kind == "set" else _translate_character(text)


def _translate_set(text: str) -> str:
    start = "[^" if text.startswith("[^") else "["
    return start + _MEMBER.sub(_translate_member, text[len(start) : -1]) + "]"


def _translate_member(found: re.Match[str]) -> str:
    r"""Translate one member of a set: a character, a range, or a class such as `\\w`.

    A hyphen after a class is literal.
    """
    if found[2] is None:
        return _translate_character(found[1])
    low, high = _translate_character(found[1]), _translate_character(found[2])
    several = any(end.startswith(("[", r"\p", r"\P")) for end in (low, high))
    return low + (r"\-" if several else "-") + high


def _translate_character(text: str) -> str:
    """Translate a literal or escaped character, or an escape that denotes a set."""
    kind, rest = text[1:2], text[2:]
    if not kind or kind in _CONTROLS:
        return re.escape(_CONTROLS.get(kind, text))
    if kind in _SETS or kind in "pP":
        return _SETS.get(kind, text)
    if kind in "xuc":
        return re.escape(chr(ord(rest) % 32 if kind == "c" else int(rest, 16)))
    if kind.isalnum():
        raise PatternError(
            tr("has {said}, which is a back-reference or no escape of ECMA-262", said=text)
        )
    return re.escape(kind)
