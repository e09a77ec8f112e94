"""What to ask for by what was used: the deeds behind `m` for a task, `M` for its template. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.core.text import units
from app.tui.actions.tasks import Deed, Unfit
from app.tui.screens.dialogs.choice import Answer, Question
from app.tui.style import Look, Span

FITTED = ("memory", "cpu")


@dataclass(frozen=True, slots=True)
class Change:
    """One amount as it is asked for and as it would be; None is "not said"."""

    name: str
    old: float | None
    new: float

    def __str__(self) -> str:
        return f"{self.name} {written(self.name, self.old)} → {written(self.name, self.new)}"


def written(name: str, amount: float | None) -> str:
    """An amount as people read it; nothing asked is "none"."""
    if not amount:
        return "none"
    return units.memory(amount) if name == "memory" else units.plain(amount)


def changes(asked: Mapping[str, Any], fit: Mapping[str, Any]) -> list[Change]:
    """What asking for what was used would change."""
    found = [Change(name, asked.get(name), fit[name]) for name in FITTED if fit.get(name)]
    return [change for change in found if change.old is None or abs(change.old - change.new) > 1e-6]


def task(row: Mapping[str, Any], fit: Mapping[str, Any], ended: bool) -> list[Deed]:
    """Set a task's request from what was used. Raises Unfit with the reason why not."""
    found = changes(row, fit)
    if not any(fit.get(name) for name in FITTED):
        raise Unfit("What it needs is not known yet: three runs like it must succeed first.")
    if not found:
        raise Unfit(f"#{row['number']} asks for what was used already.")
    if ended:
        more = f" M sets the defaults of {row['template']}." if row["template"] else ""
        raise Unfit(f"#{row['number']} has ended; by what was used it would be {_joined(found)}.{more}")
    was = ", ".join(f"{change.name} {written(change.name, change.old)} again" for change in found)
    back = Deed("set", _fields(row, {change.name: change.old for change in found}), f"{was[:1].upper()}{was[1:]}:")
    said = _joined(found)
    return [Deed("set", _fields(row, {change.name: change.new for change in found}), f"{said[:1].upper()}{said[1:]}:", (back,))]


def _fields(row: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    return {"ids": [row["uuid"]], "fields": dict(fields)}


def _joined(found: Sequence[Change]) -> str:
    return ", ".join(map(str, found))


def ask_template(template: Mapping[str, Any], fit: Mapping[str, Any], runs: int, look: Look) -> Question:
    """Set the template's defaults for its next tasks? Raises Unfit when there is nothing to change."""
    found = changes(template, fit)
    if not found:
        raise Unfit(f"Template {template['name']} asks for what was used already.")
    body: list[list[Span]] = [[(f"What tasks of {look.theirs(template['name'])} ask for, from what {runs:,} runs used:", "")], []]
    body += [[(look.own(f"  {change}"), "")] for change in found]
    body += [[], [("p95 of what was used, and a fifth more.", "dim")], [("Tasks that are there keep theirs.", "dim")]]
    return Question("From what was used", body, [Answer("y", "set them"), Answer("n", "leave them")], safe="n")


def template(row: Mapping[str, Any], fit: Mapping[str, Any]) -> list[Deed]:
    """Set a template's defaults from what was used; undone where it said something before."""
    found = changes(row, fit)
    name, object_ = {"name": row["name"]}, f"template {row['name']}"
    old = {change.name: change.old for change in found if change.old is not None}
    back = (Deed("template.set", {**name, **old}, "As it was:", object=object_),) if len(old) == len(found) else ()
    new = {change.name: change.new for change in found}
    said = _joined(found)
    return [Deed("template.set", {**name, **new}, f"{said[:1].upper()}{said[1:]}:", back, object_)]
