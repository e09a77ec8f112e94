"""Kinds of dependencies: the options that make them, and their words."""

from __future__ import annotations

AFTER_FIELDS = {
    "after": "success",
    "after_any": "any",
    "after_failure": "failure",
    "after_start": "start",
}
"""Kinds by the field that names the parents; the option has `-` instead of `_`."""

KIND_WORDS = {
    "success": "only after a success",
    "any": "however it ends",
    "failure": "only after a failure",
    "start": "once it has started",
}


def describe_wait(kind: str, parent: str) -> str:
    """Return when a task may start: `after #4 name`."""
    if kind == "failure":
        return f"only if {parent} fails"
    return f"waits for {parent} to start" if kind == "start" else f"after {parent}"
