"""Matchers of silences: name globs that select alerts.

The stored form has a list of globs for each key, in the order of `KEYS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.core.json_types import is_array, is_object
from app.core.text.sanitize import find_nearest, sanitize
from app.core.text.units import quote

KEYS = ("rule", "severity", "task", "template", "schedule", "queue", "pool")
"""Names that matchers compare, in the order of commands and forms."""
SEVERITIES = ("critical", "warning", "info")
MAX_GLOBS = 20
"""Globs of one key."""
MAX_LENGTH = 200
"""Longest glob in characters, as of names."""


def normalize_matchers(given: object) -> dict[str, list[str]]:
    """Return matchers in stored form. Raise ValueError with a sentence."""
    if not is_object(given):
        raise ValueError('match must be a table, such as { rule = "gpu-*" }.')
    for key in given:
        if key not in KEYS:
            near = find_nearest(str(key), KEYS)
            hint = f"Nearest: {near}." if near else f"Known: {', '.join(KEYS)}."
            raise ValueError(f"match has no {quote(str(key))}. {hint}")
    found = {key: _normalize_globs(key, given[key]) for key in KEYS if key in given}
    if not any(found.values()):
        raise ValueError(f"a silence needs at least one of {', '.join(KEYS)}.")
    return {key: globs for key, globs in found.items() if globs}


def _normalize_globs(key: str, given: object) -> list[str]:
    globs = list(given) if is_array(given) else [given]
    if len(globs) > MAX_GLOBS:
        raise ValueError(f"{key} takes at most {MAX_GLOBS} names.")
    found: dict[str, None] = {}
    for glob in globs:
        if not isinstance(glob, str) or len(glob) > MAX_LENGTH or not glob.strip():
            raise ValueError(f"{key} must be a name, or a glob such as gpu-*.")
        word = glob.strip()
        if key == "severity" and word not in SEVERITIES:
            near = find_nearest(word, SEVERITIES)
            hint = f" Nearest: {near}." if near else ""
            raise ValueError(f"severity must be {', '.join(SEVERITIES)}, not {quote(word)}.{hint}")
        found[word] = None
    return list(found)


def describe_matchers(matchers: Mapping[str, Sequence[str]]) -> str:
    """Return matchers in words: `rule gpu-*, queue media or etl`."""
    parts = (f"{key} {' or '.join(globs)}" for key, globs in matchers.items())
    return sanitize(", ".join(parts))


def list_options(matchers: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the options of `taskdeck alert silence` for matchers."""
    return [
        word for key, globs in matchers.items() for glob in globs for word in (f"--{key}", glob)
    ]
