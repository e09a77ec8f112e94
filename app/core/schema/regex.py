"""JSON Schema patterns with a time limit, matched by the `regex` package.

Python's `re` has no time limit. The package limits neither the compilation of a pattern (counts of
nested groups multiply, long texts are indexed) nor a single scan. The limits below do.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from app.translation import tr

if TYPE_CHECKING:
    import regex

TIMEOUT = 0.1
MAX_TEXT = 128 * 1024
MAX_LENGTH, MAX_REPEATS = 1_000, 10_000
"""Limits of a pattern: characters, and the product of its largest count and those of groups."""

_COUNT = re.compile(r"(\)?)\{(\d+)")
_END = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(\$)", re.DOTALL)
"""Escapes, sets and the signs `$` outside of them."""


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
    r"""Return the compiled pattern. Raise PatternError.

    As in ECMA-262, `$` is the end of the text only, and `\d` and `\w` are ASCII, except beside a
    class of Unicode such as `\p{Lu}`, which that flag would restrict too.
    """
    import regex  # imported on first use, not when the runtime starts

    if len(pattern) > MAX_LENGTH:
        raise PatternError(tr("is longer than {max_length} characters", max_length=MAX_LENGTH))
    counts = [(group, int(count)) for group, count in _COUNT.findall(pattern)]
    largest = max((count for group, count in counts if not group), default=1)
    if largest * math.prod(count or 1 for group, count in counts if group) > MAX_REPEATS:
        raise PatternError(tr("is too large or nested too deeply"))
    flags = 0 if r"\p" in pattern.lower() else regex.ASCII
    ended = _END.sub(lambda found: r"\Z" if found[1] else found[0], pattern)
    try:
        return regex.compile(ended, flags, cache_pattern=False)
    except regex.error as error:
        raise PatternError(
            tr("cannot be read: {why}", why=str(error).partition(" at position")[0])
        ) from None
    except RecursionError:
        raise PatternError(tr("is too large or nested too deeply")) from None
