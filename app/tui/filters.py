"""The filter line's language: words, `!word`, `status:failed`, `queue:gpu`, `queue:"two words"`. All must hold; case is ignored."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from app.core.board import EndedLine, NextLine, RunningLine
from app.tui.panes.pools import PoolRow
from app.tui.panes.workrows import Gone
from app.tui.verbs import status_of

_WORDS = re.compile(r'(?:[^\s"]|"[^"]*"?)+')
Keep = Callable[[Any], bool]

STATES: tuple[tuple[str, Keep], ...] = (
    ("active", lambda row: isinstance(row, (RunningLine, Gone))),
    ("waiting", lambda row: isinstance(row, NextLine)),
    ("failed", lambda row: isinstance(row, EndedLine) and row.status in ("failed", "timed_out", "lost")),
)
"""What `f` goes through, after "all"."""


def parse(text: str) -> Keep | None:
    """The filter that a line means; None when it is empty."""
    tests = [_test(word.replace('"', "")) for word in _WORDS.findall(text.lower())]
    if not tests:
        return None
    return lambda row: all(test(row) for test in tests)


def over(text: str, facts: Callable[[Any], Mapping[str, Any]]) -> Keep | None:
    """The filter that a line means over the facts of rows: words in any of them, `name:value` in one; None when it is empty."""
    tests = [_fact_test(word.replace('"', "")) for word in _WORDS.findall(text.lower())]
    if not tests:
        return None

    def keep(row: Any) -> bool:
        found = {name: str(value or "").lower() for name, value in facts(row).items()}
        return all(test(found) for test in tests)

    return keep


def _fact_test(word: str) -> Callable[[Mapping[str, str]], bool]:
    if len(word) > 1 and word[0] == "!":
        inner = _fact_test(word[1:])
        return lambda found: not inner(found)
    name, colon, value = word.partition(":")
    return lambda found: value in found[name] if colon and name in found else any(word in text for text in found.values())


def quoted(qualifier: str, value: str) -> str:
    """A qualifier for exactly this value, as one word of the line."""
    plain = value.lower().replace('"', "")
    return f'{qualifier}"{plain}"' if " " in plain else qualifier + plain


def both(first: Keep | None, second: Keep | None) -> Keep | None:
    """What passes both filters."""
    if first is None or second is None:
        return first or second
    return lambda row: first(row) and second(row)


def _test(word: str) -> Keep:
    if len(word) > 1 and word[0] == "!":
        inner = _test(word[1:])
        return lambda row: not inner(row)
    if word.startswith("status:"):
        return lambda row: word[7:] in status_of(row).replace("_", "-").lower() or word[7:] in status_of(row)
    if word.startswith("queue:"):
        return lambda row: word[6:] in _queue(row).lower()
    return lambda row: word in searched(row)


def _queue(row: Any) -> str:
    return str(getattr(_plain(row), "queue", "") or getattr(row, "name", ""))


def _plain(row: Any) -> Any:
    return row.was if isinstance(row, Gone) else row.pool if isinstance(row, PoolRow) else row


_SEARCHED = ("name", "queue", "pool", "sla", "object", "output", "note", "why", "how", "word")


def searched(row: Any) -> str:
    """The lower-case text that words are looked for in."""
    plain = _plain(row)
    number = getattr(plain, "number", None)
    texts = [str(getattr(plain, name, "") or "") for name in _SEARCHED]
    return " ".join([f"#{number}" if number else "", status_of(row), *texts]).lower()
