"""Tasks chosen by filters instead of numbers: which of them a verb means, what is asked before, and what is told afterwards."""

from __future__ import annotations

from app.cli import look, output
from app.core.clean import clean, cut
from app.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from app.cli.options import Args
    from app.cli.session import Session

WAITING = ("queued", "scheduled", "blocked", "held", "retrying")
STATES = {
    "cancel": ("running", *WAITING),
    "hold": tuple(state for state in WAITING if state != "held"),
    "release": ("held",),
    "retry": ("failed", "timed_out", "lost"),
    "rm": look.ENDED,
    "set": ("running", *WAITING),
    "front": WAITING,
}
"""What a verb means when no state is named: those that it is for. Nobody who wants failed tasks again means those that were cancelled."""

NAMED = 3
"""Tasks that a question names, and refusals that are told one by one."""


def meant(verb: str, chosen: dict[str, Any], args: Args) -> dict[str, Any]:
    """The filters, with the verb's own states where they name none."""
    again = ("succeeded",) if getattr(args, "again", False) else ()
    states = ["running"] if getattr(args, "signal", None) else [*STATES[verb], *again]
    if "filter" in chosen:
        named = any(word.startswith("status:") for word in chosen["filter"].split())
        return chosen if named else {"filter": f"{chosen['filter']} status:{','.join(states)}"}
    return chosen if "status" in chosen else {**chosen, "status": states}


def usual(verb: str) -> str:
    """The states that a verb means, in words."""
    return _words(STATES[verb])


def _words(states: Iterable[str]) -> str:
    """`failed, timed out or lost`."""
    *others, last = map(look.word, states)
    return f"{', '.join(others)} or {last}" if others else last


def agreed(session: Session, args: Args, verb: str, what: str, chosen: dict[str, Any]) -> bool:
    """Whether to go on: filters may find more than was thought, so ask, or want --yes where nobody can answer.

    False when they find nothing. Raises Usage without a yes. `what` is the verb as a sentence begins: "set priority 5 on".
    """
    if args.yes:
        return True
    counts, first = _looked_up(session, chosen)
    if not (output.keyboard() and output.people()):
        raise Usage(f"this would {what} {_counted(counts)}. Nothing was changed.", "To do it: --yes")
    if not counts:
        nothing(verb, chosen)
        return False
    which = f"{what} {_counted(counts)}: {_named(first, sum(counts.values()))}"
    if not output.ask(f"{which[:1].upper()}{which[1:]}?"):
        raise Usage("nothing was changed.")
    return True


def nothing(verb: str, chosen: dict[str, Any]) -> None:
    """Say that the filters found no task, and which states were looked for."""
    if "filter" in chosen:
        return output.note(f"nothing to {verb}: no task matches {cut(clean(chosen['filter']), 200)}")
    output.note(f"nothing to {verb}: no task that matches is {_words(chosen['status'])}. Others: --status STATE")


def _looked_up(session: Session, chosen: dict[str, Any]) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """How many tasks the filters find in each state, and the newest of them."""
    if "filter" in chosen:
        found = session.call("review", **chosen)
        return {state: count for state, count in found["statuses"].items() if count}, found["first"]
    first = session.call("ls", **chosen, limit=NAMED)
    states = chosen["status"] if first["total"] else []
    if len(states) == 1:
        return {states[0]: first["total"]}, first["tasks"]
    counts = {state: session.call("ls", **{**chosen, "status": [state]}, limit=1)["total"] for state in states}
    return {state: count for state, count in counts.items() if count}, first["tasks"]


def _counted(counts: dict[str, int]) -> str:
    """`14 tasks (12 queued, 2 running)`, or in one state only `14 queued tasks`."""
    total = sum(counts.values())
    tasks = f"task{'' if total == 1 else 's'}"
    if len(counts) == 1:
        return f"{total:,} {look.word(next(iter(counts)))} {tasks}"
    told = ", ".join(f"{count:,} {look.word(state)}" for state, count in counts.items())
    return f"{total:,} {tasks} ({told})" if told else "no task now"


def _named(tasks: list[dict[str, Any]], total: int) -> str:
    """`#42 nightly, #41 thumbs`, and that there are more."""
    names = ", ".join(f"#{task['number']} {cut(clean(task['name']), 24)}" for task in tasks[:NAMED])
    return names if total <= len(tasks[:NAMED]) else f"{names}, …"


def told(done: dict[str, Any], said: Callable[[dict[str, Any]], str]) -> None:
    """What became of them, counted, on stdout; the first of what was refused or is to be known, on stderr."""
    counts: dict[str, int] = {}
    for row in done["done"]:
        counts[said(row)] = counts.get(said(row), 0) + 1
    for outcome, count in counts.items():
        output.line(f"{count:,} task{'' if count == 1 else 's'}: {outcome}")
    _some(done.get("notes", ()))
    _some(refusal["message"] for refusal in done.get("refused", ()))


def _some(texts: Iterable[str]) -> None:
    lines = list(texts)
    for text in lines[:NAMED]:
        output.note(text)
    if len(lines) > NAMED:
        output.note(f"and {len(lines) - NAMED:,} more like these.")
