"""Kinds of dependencies, with their options and words."""

from __future__ import annotations

from app.translation import tr, tr_n, tr_noop

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
        return tr("only if {parent} fails", parent=parent)
    if kind == FAILURES:
        return tr("only if {parent} or another fails", parent=parent)
    if kind == "start":
        return tr("waits for {parent} to start", parent=parent)
    return tr("after {parent}", parent=parent)


def describe_waits(parents: Iterable[Mapping[str, Any]]) -> str:
    """Return the conditions of a start for a narrow column: `#1, #2; if #3 or #4 fails`."""
    of_kind: dict[str, list[str]] = {}
    for one in parents:
        kind = "" if one["kind"] in ("success", "any") else one["kind"]
        of_kind.setdefault(kind, []).append(f"#{one['number']}")
    from app.core.text.joining import join_clauses  # few commands need it

    return join_clauses(_describe_kind(kind, numbers) for kind, numbers in of_kind.items())


def _describe_kind(kind: str, numbers: list[str]) -> str:
    from app.core.text.joining import join_or

    together, many = ", ".join(numbers), len(numbers)
    if kind == "failure":
        which = together if many <= 2 else str(many)
        return tr_n(many, "if {which} fails", "if {which} fail", which=which)
    if kind == FAILURES:
        which = join_or(numbers) if many <= 2 else tr("1 of {many}", many=many)
        return tr_n(1, "if {which} fails", "if {which} fail", which=which)
    return tr("start of {tasks}", tasks=together) if kind == "start" else together
