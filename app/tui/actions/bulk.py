"""Commands on all tasks that match a filter: the confirmation and the requests."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app.core.text.sanitize import pad
from app.translation import tr, tr_n, tr_noop
from app.tui.actions.confirmations import limit_lines, list_hidden_lines
from app.tui.actions.question import Answer, Question
from app.tui.actions.tasks import Request
from app.tui.style import STATES, UNKNOWN, Look, Span
from db.states import ENDED, WAITING, list_states

MAX_REVIEWED = 200
"""Maximum tasks that a review names."""
_WAITING, _ENDED = list_states(WAITING), list_states(ENDED)
_COMMANDS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "cancel": (tr_noop("Cancel"), tr_noop("Cancelled"), ("running", *_WAITING)),
    "retry": (tr_noop("Retry"), tr_noop("Retrying"), _ENDED),
    "rm": (tr_noop("Delete"), tr_noop("Deleted"), _ENDED),
    "hold": (
        tr_noop("Hold"),
        tr_noop("Held"),
        tuple(status for status in _WAITING if status != "held"),
    ),
    "release": (tr_noop("Release"), tr_noop("Released"), ("held",)),
    "front": (tr_noop("To the front"), tr_noop("To the front of its queue:"), _WAITING),
}
"""By command: title, start of the result message, applicable states."""


def list_commands(statuses: Collection[str]) -> list[str]:
    """Return the commands for tasks in these states; release only if none can be held."""
    able = [
        verb for verb, (_, _, states) in _COMMANDS.items() if not {*states}.isdisjoint(statuses)
    ]
    return [verb for verb in able if verb != "release" or "hold" not in able]


def choose_toggle(statuses: Collection[str]) -> str:
    """Return "hold" if one of the tasks in these states can be held, else "release"."""
    return "release" if {*_COMMANDS["hold"][2]}.isdisjoint(statuses) else "hold"


def confirm_all(
    verb: str, words: str, found: Mapping[str, Any], look: Look, about: str = ""
) -> Question | None:
    """Build the confirmation for a command; None if it applies to no task.

    `found` is the reply of `review`. `about` names the tasks, instead of the filter.
    """
    title, _, states = _COMMANDS[verb]
    able = {status: n for status, n in found["statuses"].items() if status in states and n}
    total = sum(able.values())
    if not total:
        return None
    title = tr(title)
    values = {"title": title, "count": total, "total": found["total"]}
    first = (
        tr("{title}: {count:,} of {total:,} tasks of {about}", about=about, **values)
        if about
        else tr("{title}: {count:,} of {total:,} that match.", **values)
    )
    body: list[list[Span]] = [[(look.cut(first, 66), "")]]
    if not about:
        shown = tr("filter  {words}", words=words or tr("all tasks"))
        body.append([(look.cut(look.sanitize(shown), 66), "dim")])
    body += [[], *(_format_count(status, n, verb, look) for status, n in able.items())]
    names = [_format_task(task, look) for task in found["first"] if task["status"] in able]
    beyond = total - len(names)
    body += [*([[]] if names else []), *limit_lines(names, look, beyond)]
    if verb == "cancel" and found.get("dependents"):
        also = tr_n(
            found["dependents"],
            "{n:,} that depends on them is cancelled too.",
            "{n:,} that depend on them are cancelled too.",
        )
        body += [[], [(also, "warn")]]
    answers = [Answer("y", f"{title.lower()} {total:,}"), Answer("n", tr("no"))]
    return Question(title, body, answers, safe="n", names=_list_names(names, beyond, look))


def _list_names(names: Sequence[list[Span]], beyond: int, look: Look) -> Sequence[list[Span]]:
    """Return the list that `l` opens, with the number of tasks not named."""
    listed = list_hidden_lines(names)
    return (
        [*listed, [(look.adapt_text(tr("… and {more:,} more", more=beyond)), "dim")]]
        if listed and beyond
        else listed
    )


def _format_count(status: str, n: int, verb: str, look: Look) -> list[Span]:
    sign = STATES.get(status, UNKNOWN)
    work_note = tr(": work lost") if verb == "cancel" and status == "running" else ""
    word = "" if look.plain else f" {sign.word}"
    return [
        (f"{n:>9,} ", ""),
        (look.glyph(sign), sign.style),
        (f"{word}{work_note}", "warn" if work_note else ""),
    ]


def _format_task(task: Mapping[str, Any], look: Look) -> list[Span]:
    sign = STATES.get(task["status"], UNKNOWN)
    name = pad(look.cut(look.sanitize(task["name"]), 30, "middle"), 30)
    return [
        (look.glyph(sign), sign.style),
        (f" {task['number']:>7} {name}  {look.cut(look.sanitize(task['queue']), 16)}", ""),
    ]


def build_requests(verb: str, words: str, review: Mapping[str, Any]) -> list[Request]:
    """Build the request for the reviewed tasks; tasks that changed since are excluded."""
    _, result_text, states = _COMMANDS[verb]
    more = {"again": True} if verb == "retry" else {"value": None} if verb == "front" else {}
    able = ",".join(status.replace("_", "-") for status in states)
    # The filter words come last: an unclosed quote reaches to the end.
    select = {"filter": f"status:{able} {words}", "as_of": review["as_of"]}
    task_count = sum(n for status, n in review["statuses"].items() if status in states)
    return [Request(verb, {"select": select} | more, tr(result_text), task_count=task_count)]
