"""The dependencies of a task as trees: what it waits for, and what waits for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.core import amounts
from app.core.clean import pad, width
from app.tui.doc import Row, Section
from app.tui.facts import Facts
from app.tui.look import STATES, STRANGE

DEEPEST = 6
"""Levels that are indented; deeper ones stand below each other."""


def relatives(facts: Facts) -> Iterator[Section]:
    """The tasks it waits for, and those that wait for it, with theirs."""
    for key, name in (("parents", "After"), ("children", "Waiting for it")):
        lines = facts.about["tree"][key]
        if lines:
            direct = sum(line.get("more") or 1 for line in lines if not line["depth"])
            yield Section(f"{name} {amounts.count(direct)}", tuple(_line(facts, line) for line in lines))


def _line(facts: Facts, line: Mapping[str, Any]) -> Row:
    depth = min(line["depth"], DEEPEST)
    begin = facts.look.own(f"{'   ' * depth}└─ " if depth else "")
    if line["more"]:
        return Row(((facts.look.own(f"{begin or '      '}… and {amounts.count(line['more'])} more"), "dim"),))
    sign = STATES.get(line["status"], STRANGE)
    word = line["status"] if line["status"] == "removed" else sign.word
    kind = "however it ends" if line["kind"] == "any" else "only after a success"
    name_at = f"{begin}{line['number']:>{0 if depth else 5}} {facts.look.glyph(sign)} "
    room = max(8, min(42, facts.room // 2) - width(name_at))
    name = pad(facts.look.cut(facts.look.theirs(line["name"]), room, "middle"), room)
    tail = facts.look.own("its own are told above") if line["again"] else kind
    target = "" if word == "removed" else f"task:{line['uuid']}"
    return Row(((f"{name_at}{name} {word:<10} ", ""), (tail, "dim")), target)
