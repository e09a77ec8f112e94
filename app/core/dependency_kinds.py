"""Kinds of dependencies, with their options and words."""

from __future__ import annotations

AFTER_FIELDS = {
    "after": "success",
    "after_any": "any",
    "after_failure": "failure",
    "after_start": "start",
}
"""Kinds by the field that names the parents; the option has `-` instead of `_`."""

FAILURES = "failures"
"""Kind of the dependencies on several tasks of which at least one fails."""
ON_FAILURE = ("failure", FAILURES)

KIND_WORDS = {
    "success": "only after a success",
    "any": "however it ends",
    "failure": "only after a failure",
    FAILURES: "only if one of these fails",
    "start": "once it has started",
}


def describe_wait(kind: str, parent: str) -> str:
    """Return the condition of a start in words: `after #4 name`."""
    if kind == "failure":
        return f"only if {parent} fails"
    if kind == FAILURES:
        return f"only if {parent} or another fails"
    return f"waits for {parent} to start" if kind == "start" else f"after {parent}"
