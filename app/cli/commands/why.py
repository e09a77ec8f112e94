"""`taskdeck why`: why tasks wait, with numbers, and when they may start; without ids the whole queue by reason."""

from __future__ import annotations

import shlex

from app.cli import output, styles
from app.cli.parser import Args, Command, Parser, as_json, ids
from app.cli.table import Line, wrap
from app.core.text import units
from app.core.text.sanitize import clean, cut
from db.states import ENDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import Session


def why(session: Session, args: Args) -> int:
    """Explain tasks, or all that wait."""
    found = session.call("why", ids=args.ids)
    if args.json or args.jsonl:
        output.document(found[0] if len(args.ids) == 1 and not args.jsonl else found, args.jsonl)
        return 0
    output.lines(_all(found) if not args.ids else [line for one in found for line in _one(one)][1:])
    return 0


def _all(found: dict[str, Any]) -> list[Line]:
    if not found["groups"]:
        return [[("nothing waits", "")]]
    most = max(len(units.count(group["count"])) for group in found["groups"])
    return [
        [(f"{units.count(group['count']):>{most}}", "bold"), (f" {_after(group['count'], output.for_home(clean(group['text'])))}", "")]
        for group in found["groups"]
    ]


_OF_ONE = {"wait": "waits", "are": "is"}


def _after(count: int, text: str) -> str:
    """What stands behind a number: `1 waits for queue media`, `2 are held`, `3 wait: no runtime is up`."""
    verb, _, rest = text.partition(" ")
    if verb not in _OF_ONE:
        return f"{'waits' if count == 1 else 'wait'}: {text}"
    return f"{_OF_ONE[verb] if count == 1 else verb} {rest}"


def _one(task: dict[str, Any]) -> list[Line]:
    """A blank line, the heading, and a numbered reason a paragraph."""
    page: list[Line] = [[], _heading(task)]
    reasons = [] if _moves(task) else task["reasons"]
    if reasons:
        page.append([])
    for at, reason in enumerate(reasons, 1):
        page += _reason(at, output.for_home(clean(reason["text"])))
    return page + _last_line(task) + _cures(task)


def _last_line(task: dict[str, Any]) -> list[Line]:
    """What a task that did not succeed said last."""
    if not task.get("last_lines"):
        return []
    from app.cli.commands.show import last_lines

    room = output.room()
    return [[(f"  {line if room is None else cut(line, room - 2)}", "")] for line in last_lines(task)[-1:]]


def _cures(task: dict[str, Any]) -> list[Line]:
    """What could help: the command to type, and what it would bring below it; where nothing can, a line that says so."""
    offered = task.get("cures") or ()
    found = [cure for cure in offered if cure["command"]]
    if offered and not found:
        return [[], *_said(f"Nothing here would start it sooner: {'; '.join(cure['gain'] for cure in offered)}.", 2)]
    page: list[Line] = [[], [("  Could help:", "")]] if found else []
    for cure in found:
        page.append([("    ", ""), (f"{output.program()} {clean(shlex.join(cure['command'][1:]))}", "bold")])
        page += _said(cure["gain"], 6)
    return page


def _said(text: str, margin: int) -> list[Line]:
    """What is said beside, as far right as `margin`."""
    room, said = output.room(), clean(text)
    return [[(" " * margin + piece, "dim")] for piece in ([said] if room is None else wrap(said, max(20, room - margin)))]


def _moves(task: dict[str, Any]) -> bool:
    """Does it not wait at all?"""
    return task["status"] in (*ENDED, "running")


def _heading(task: dict[str, Any]) -> Line:
    shown = f"#{task['number']} {clean(task['name'])}"
    if _moves(task):
        told = output.for_home(clean(task["reasons"][0]["text"])) if task["reasons"] else styles.word(task["status"])
        return [(shown, "bold"), (f": {told}.", "")]
    start = f" Expected start {clean(task['expected_start'])}." if task.get("expected_start") else ""
    waits = units.age(task.get("waits"))
    # "Scheduled for 2m" would say when it starts.
    since = f", submitted {waits} ago" if task["status"] == "scheduled" else f" for {waits}"
    return [(shown, "bold"), (f" is {styles.word(task['status'])} in {clean(task['queue'])}{since}.{start}", "")]


def _reason(number: int, text: str) -> list[Line]:
    room = output.room()
    text = text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
    pieces = [text] if room is None else wrap(text, max(20, room - 5))
    return [[(f"  {number}  " if not at else "     ", "dim"), (piece, "")] for at, piece in enumerate(pieces)]


def _arguments(parser: Parser) -> None:
    ids(parser, "its number, uuid or name; none: everything that waits, by reason")
    as_json(parser)


COMMANDS = {
    "why": Command(
        "why tasks wait, and when they may start", why, _arguments, "  taskdeck why 42\n  taskdeck why", usage="[OPTION …] [ID …]"
    )
}
