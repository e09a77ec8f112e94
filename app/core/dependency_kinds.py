"""Kinds of dependencies, with their options and words."""

from __future__ import annotations

from app.translation import tr_noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

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
    "success": tr_noop("only after a success"),
    "any": tr_noop("however it ends"),
    "failure": tr_noop("only after a failure"),
    FAILURES: tr_noop("only if one of these fails"),
    "start": tr_noop("once it has started"),
}


def describe_wait(kind: str, parent: str) -> str:
    """Return the condition of a start in words: `after #4 name`."""
    if kind == "failure":
        return f"only if {parent} fails"
    if kind == FAILURES:
        return f"only if {parent} or another fails"
    return f"waits for {parent} to start" if kind == "start" else f"after {parent}"


def describe_waits(parents: Iterable[Mapping[str, Any]]) -> str:
    """Return the conditions of a start for a narrow column: `#1, #2; if #3 or #4 fails`."""
    of_kind: dict[str, list[str]] = {}
    for one in parents:
        kind = "" if one["kind"] in ("success", "any") else one["kind"]
        of_kind.setdefault(kind, []).append(f"#{one['number']}")
    return "; ".join(_describe_kind(kind, numbers) for kind, numbers in of_kind.items())


def _describe_kind(kind: str, numbers: list[str]) -> str:
    together, many = ", ".join(numbers), len(numbers)
    if kind == "failure":
        return f"if {together} fails" if many == 1 else f"if {together if many == 2 else many} fail"
    if kind == FAILURES:
        return f"if {' or '.join(numbers) if many <= 2 else f'1 of {many}'} fails"
    return f"start of {together}" if kind == "start" else together
