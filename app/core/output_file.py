"""The file to which the output of a run is copied: its pattern and its path."""

from __future__ import annotations

import os
import re

from app.core.text.sanitize import find_nearest
from app.core.text.units import quote
from app.translation import tr

PLACEHOLDERS = ("number", "name", "attempt", "first")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def check_pattern(pattern: str) -> str:
    """Return a pattern such as `train-{number}.log`. Raise ValueError with a part of a sentence."""
    if not pattern or pattern.endswith("/"):
        raise ValueError(tr("must name a file, not {pattern}", pattern=quote(pattern)))
    try:
        pattern.encode()
    except UnicodeEncodeError:
        raise ValueError(tr("must be UTF-8")) from None
    for word in _PLACEHOLDER.findall(pattern):
        if word not in PLACEHOLDERS:
            near = find_nearest(word, PLACEHOLDERS) or "number"
            raise ValueError(
                tr("has no placeholder {word}. Nearest: {{{near}}}", word=quote(word), near=near)
            )
    return pattern


def has_first(*patterns: str | None) -> bool:
    """Return True if a pattern has the number of the first task of a group."""
    return any("{first}" in pattern for pattern in patterns if pattern)


def expand_pattern(
    pattern: str, cwd: str, number: int, name: str, attempt: int, first: int | None = None
) -> str:
    """Return the path of the file of one run.

    `first` is the number of the first task of its group; None is its own number.
    """
    values = {
        "number": str(number), "name": name, "attempt": str(attempt),
        "first": str(number if first is None else first),
    }  # fmt: skip
    return os.path.join(cwd, _PLACEHOLDER.sub(lambda found: values[found[1]], pattern))
