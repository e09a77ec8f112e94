"""Right-sizing of requested resources from measured use: `m` for a task, `M` for its template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.core.text import units
from app.translation import tr, tr_noop
from app.tui.actions.question import Answer, Question
from app.tui.actions.tasks import NotApplicableError, Request
from app.tui.style import Look, Span

RESOURCES = (tr_noop("memory"), tr_noop("cpu"))


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """A requested amount and its new value; `old` is None if not set."""

    name: str
    old: float | None
    new: float

    def __str__(self) -> str:
        return (
            f"{tr(self.name)} {format_amount(self.name, self.old)} →"
            f" {format_amount(self.name, self.new)}"
        )


def format_amount(name: str, amount: float | None) -> str:
    """Format an amount; nothing requested is "none"."""
    if not amount:
        return tr("none")
    return units.format_memory(amount) if name == "memory" else units.format_number(amount)


def find_changes(request: Mapping[str, Any], fit: Mapping[str, Any]) -> list[ResourceChange]:
    """Return the changes that set the request to the suggested amounts."""
    found = [
        ResourceChange(name, request.get(name), fit[name]) for name in RESOURCES if fit.get(name)
    ]
    return [change for change in found if change.old is None or abs(change.old - change.new) > 1e-6]


def right_size_task(row: Mapping[str, Any], fit: Mapping[str, Any], ended: bool) -> list[Request]:
    """Set a task's request from its use. Raise NotApplicableError with the reason."""
    found = find_changes(row, fit)
    if not any(fit.get(name) for name in RESOURCES):
        raise NotApplicableError(tr("Not enough data: needs three successful runs like this one."))
    if not found:
        raise NotApplicableError(
            tr("#{number} already requests what it used.", number=row["number"])
        )
    if ended:
        more = (
            tr(" M sets the defaults of {template}.", template=row["template"])
            if row["template"]
            else ""
        )
        raise NotApplicableError(
            tr(
                "#{number} has ended. Suggested for the next run: {changes}.{more}",
                number=row["number"],
                changes=_changes(found),
                more=more,
            )
        )
    old_values = ", ".join(
        tr(
            "{name} {amount} again",
            name=tr(change.name),
            amount=format_amount(change.name, change.old),
        )
        for change in found
    )
    undo_requests = Request(
        "set",
        _build_args(row, {change.name: change.old for change in found}),
        f"{old_values[:1].upper()}{old_values[1:]}:",
    )
    change_text = _changes(found)
    return [
        Request(
            "set",
            _build_args(row, {change.name: change.new for change in found}),
            f"{change_text[:1].upper()}{change_text[1:]}:",
            (undo_requests,),
        )
    ]


def _build_args(row: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"ids": [row["uuid"]], "fields": dict(fields)}


def _changes(found: Sequence[ResourceChange]) -> str:
    return ", ".join(map(str, found))


def confirm_template(
    template: Mapping[str, Any], fit: Mapping[str, Any], runs: int, look: Look
) -> Question:
    """Build the confirmation for a template's defaults.

    Raise NotApplicableError if nothing changes.
    """
    found = find_changes(template, fit)
    if not found:
        raise NotApplicableError(
            tr("Template {name} already requests what its runs used.", name=template["name"])
        )
    body: list[list[Span]] = [
        [
            (
                (
                    tr(
                        "New requests for {name}, from the use of {runs:,} runs:",
                        name=look.sanitize(template["name"]),
                        runs=runs,
                    )
                ),
                "",
            )
        ],
        [],
    ]
    body += [[(look.adapt_text(f"  {change}"), "")] for change in found]
    body += [
        [],
        [(tr("p95 of the use, plus 20 %."), "dim")],
        [(tr("Existing tasks keep theirs."), "dim")],
    ]
    return Question(
        tr("Requests from measured use"),
        body,
        [Answer("y", tr("set them")), Answer("n", tr("no"))],
        safe="n",
    )


def right_size_template(row: Mapping[str, Any], fit: Mapping[str, Any]) -> list[Request]:
    """Set a template's defaults from its use.

    Undo is possible only if all changed values were set before.
    """
    found = find_changes(row, fit)
    name, object_ = {"name": row["name"]}, tr("template {name}", name=row["name"])
    old = {change.name: change.old for change in found if change.old is not None}
    undo_requests = (
        (Request("template.set", {**name, **old}, tr("Restored:"), object=object_),)
        if len(old) == len(found)
        else ()
    )
    new = {change.name: change.new for change in found}
    change_text = _changes(found)
    return [
        Request(
            "template.set",
            {**name, **new},
            f"{change_text[:1].upper()}{change_text[1:]}:",
            undo_requests,
            object_,
        )
    ]
