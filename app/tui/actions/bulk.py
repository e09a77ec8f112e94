"""Verbs on all that a filter means: the question that names what will happen, and the deeds. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app.core.text.sanitize import pad
from app.tui.actions.confirmations import some, unnamed
from app.tui.actions.tasks import Deed
from app.tui.screens.dialogs.choice import Answer, Question
from app.tui.style import STATES, STRANGE, Look, Span
from db.states import ENDED, WAITING, ordered

FIRST = 200
"""Tasks that a review is asked to name."""
_WAITING, _ENDED = ordered(WAITING), ordered(ENDED)
_MEANS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "cancel": ("Cancel", "Cancelled", ("running", *_WAITING)),
    "retry": ("Run again", "Runs again:", _ENDED),
    "rm": ("Delete", "Deleted", _ENDED),
    "hold": ("Hold", "Held", tuple(status for status in _WAITING if status != "held")),
    "release": ("Release", "Released", ("held",)),
    "front": ("To the front", "To the front of its queue:", _WAITING),
}
"""By verb: what it is called, how what was done is said, the states it is for."""


def verbs_for(statuses: Collection[str]) -> list[str]:
    """The verbs that are for tasks in one of these states; to release is for when there are none to hold."""
    able = [verb for verb, (_, _, states) in _MEANS.items() if not {*states}.isdisjoint(statuses)]
    return [verb for verb in able if verb != "release" or "hold" not in able]


def ask_all(verb: str, words: str, found: Mapping[str, Any], look: Look) -> Question | None:
    """Do this to all of them? `found` is the answer of `review`; None when the verb is for none of them."""
    title, _, states = _MEANS[verb]
    able = {status: n for status, n in found["statuses"].items() if status in states and n}
    total = sum(able.values())
    if not total:
        return None
    body: list[list[Span]] = [[(f"{title}: {total:,} of {found['total']:,} that match.", "")]]
    body.append([(look.cut(look.theirs(f"filter  {words or 'all tasks'}"), 66), "dim")])
    body += [[], *(_counted(status, n, verb, look) for status, n in able.items())]
    names = [_named(task, look) for task in found["first"] if task["status"] in able]
    beyond = total - len(names)
    body += [*([[]] if names else []), *some(names, look, beyond)]
    if verb == "cancel" and found.get("dependants"):
        depend = "that depends on them is" if found["dependants"] == 1 else "that depend on them are"
        body += [[], [(f"{found['dependants']:,} {depend} cancelled too.", "warn")]]
    answers = [Answer("y", f"{title.lower()} {total:,}"), Answer("n", "leave them")]
    return Question(title, body, answers, safe="n", names=_list(names, beyond, look))


def _list(names: Sequence[list[Span]], beyond: int, look: Look) -> Sequence[list[Span]]:
    """What `enter` lists, and how many there are beside."""
    listed = unnamed(names)
    return [*listed, [(look.own(f"… and {beyond:,} more"), "dim")]] if listed and beyond else listed


def _counted(status: str, n: int, verb: str, look: Look) -> list[Span]:
    sign = STATES.get(status, STRANGE)
    lost = ": work lost" if verb == "cancel" and status == "running" else ""
    word = "" if look.plain else f" {sign.word}"
    return [(f"{n:>9,} ", ""), (look.glyph(sign), sign.style), (f"{word}{lost}", "warn" if lost else "")]


def _named(task: Mapping[str, Any], look: Look) -> list[Span]:
    sign = STATES.get(task["status"], STRANGE)
    name = pad(look.cut(look.theirs(task["name"]), 30, "middle"), 30)
    return [(look.glyph(sign), sign.style), (f" {task['number']:>7} {name}  {look.cut(look.theirs(task['queue']), 16)}", "")]


def deeds_of(verb: str, words: str, found: Mapping[str, Any]) -> list[Deed]:
    """The one deed that does it to what `review` found: what came or changed since is not meant."""
    _, said, states = _MEANS[verb]
    more = {"again": True} if verb == "retry" else {"value": None} if verb == "front" else {}
    able = ",".join(status.replace("_", "-") for status in states)
    # The words come last: a quote that is not closed reaches to the end.
    select = {"filter": f"status:{able} {words}", "as_of": found["as_of"]}
    asked = sum(n for status, n in found["statuses"].items() if status in states)
    return [Deed(verb, {"select": select} | more, said, asked=asked)]
