"""Places in shell text where a quoted value would not stay one word."""

from __future__ import annotations

import re

_SKIPPED = re.compile(r"\\.|(?<![^\s;&|()])#[^\n]*", re.DOTALL)
"""An escaped character, or a comment."""
_IN_DOUBLE = re.compile(r"\\.", re.DOTALL)
_NOT_FOLLOWED = re.compile(r"(?<!<)<<(?!<)|\$'|\(\(")
_IN_DOUBLE_NOT_FOLLOWED = re.compile(r"`|\$[({]")
"""Syntax with quotes of its own: all that follows counts as quoted."""


def is_unquoted(text: str, at: int) -> bool:
    """Return True if a quoted value at a position of shell text is one word there.

    Within quotes, comments and here-documents, the shell would read the value itself. All behind a
    here-document, arithmetic or a substitution in quotes counts as in it.
    """
    before = text[:at]
    if _NOT_FOLLOWED.search(before):
        return False
    place, quote = 0, ""
    while place < at:
        skipped = quote != "'" and (_IN_DOUBLE if quote else _SKIPPED).match(before, place)
        if skipped:
            place = skipped.end()
            if place == at and skipped[0][0] == "#":
                return False
            continue
        sign = before[place]
        if sign == "\\" and place == at - 1 and quote != "'":
            return False
        if quote == '"' and _IN_DOUBLE_NOT_FOLLOWED.match(before, place):
            return False
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"`":
            quote = sign
        place += 1
    return not quote
