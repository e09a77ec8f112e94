"""Matchers of silences: name globs that select alerts.

The stored form has a list of globs for each key, in the order of `KEYS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.core.json_types import is_array, is_object
from app.core.text.sanitize import find_nearest, sanitize
from app.core.text.units import quote
from app.translation import tr

KEYS = ("rule", "severity", "task", "template", "schedule", "queue", "pool", "tag")
"""Names, and tags, that matchers compare, in the order of commands and forms."""
SEVERITIES = ("critical", "warning", "info")
_SHORT = {"crit": "critical", "warn": "warning"}
"""Severities as lists show them."""
MAX_GLOBS = 20
"""Globs of one key."""
MAX_LENGTH = 200
"""Longest glob in characters, as of names and tags."""


def normalize_matchers(given: object) -> dict[str, list[str]]:
    """Return matchers in stored form. Raise ValueError with a sentence."""
    if not is_object(given):
        raise ValueError(tr('match must be a table, such as { rule = "gpu-*" }.'))
    for key in given:
        if key not in KEYS:
            near = find_nearest(str(key), KEYS)
            hint = f"Nearest: {near}." if near else f"Known: {', '.join(KEYS)}."
            raise ValueError(tr("match has no {key}. {advice}", key=quote(str(key)), advice=hint))
    found = {key: _normalize_globs(key, given[key]) for key in KEYS if key in given}
    if not any(found.values()):
        raise ValueError(tr("a silence needs at least one of {keys}.", keys=", ".join(KEYS)))
    return {key: globs for key, globs in found.items() if globs}


def _normalize_globs(key: str, given: object) -> list[str]:
    globs = list(given) if is_array(given) else [given]
    if len(globs) > MAX_GLOBS:
        raise ValueError(tr("{key} takes at most {max_globs} names.", key=key, max_globs=MAX_GLOBS))
    found: dict[str, None] = {}
    for glob in globs:
        if not isinstance(glob, str) or len(glob) > MAX_LENGTH or not glob.strip():
            form = (
                tr("NAME=VALUE, such as env=dev")
                if key == "tag"
                else tr("a name, or a glob such as gpu-*")
            )
            raise ValueError(tr("{key} must be {form}.", key=key, form=form))
        word = glob.strip()
        if key == "tag" and "=" not in word[1:]:
            raise ValueError(
                tr("tag must be NAME=VALUE, such as env=dev, not {word}.", word=quote(word))
            )
        if key == "severity":
            word = _SHORT.get(word.lower(), word.lower())
        if key == "severity" and word not in SEVERITIES:
            near = find_nearest(word, SEVERITIES)
            hint = f" Nearest: {near}." if near else ""
            raise ValueError(
                tr(
                    "severity must be {severities}, not {word}.{advice}",
                    severities=", ".join(SEVERITIES),
                    word=quote(word),
                    advice=hint,
                )
            )
        found[word] = None
    return list(found)


def describe_matchers(matchers: Mapping[str, Sequence[str]]) -> str:
    """Return matchers in words: `rule gpu-*, queue media or etl`."""
    parts: list[str] = []
    for key, globs in matchers.items():
        alike = group_tags(globs) if key == "tag" else [globs]
        parts += [f"{key} {' or '.join(found)}" for found in alike]
    return sanitize(", ".join(parts))


def group_tags(globs: Sequence[str]) -> list[list[str]]:
    """Return globs of tags by the name of the tag; an alert must match one of each list."""
    found: dict[str, list[str]] = {}
    for glob in globs:
        found.setdefault(glob.partition("=")[0], []).append(glob)
    return list(found.values())


def list_options(matchers: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the options of `taskdeck alert silence` for matchers."""
    return [
        word for key, globs in matchers.items() for glob in globs for word in (f"--{key}", glob)
    ]
