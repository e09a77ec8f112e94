"""`taskdeck why`: reasons why tasks wait, and expected start times.

Without ids, waiting tasks are grouped by reason.
"""

from __future__ import annotations

import shlex

from app.cli import output, styles
from app.cli.parser import Args, Command, Parser, add_json_options, add_task_ids
from app.cli.table_layout import Line, wrap_text
from app.core.text import units
from app.core.text.joining import end_sentence, join_colon
from app.core.text.sanitize import sanitize, truncate
from app.translation import ENGLISH, get_language, tr, tr_n
from db.states import ENDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext


def explain_tasks(context: CommandContext, args: Args) -> int:
    """Explain the given tasks, or all that wait."""
    reply = context.call("why", ids=args.ids)
    is_counted = isinstance(reply, dict)
    if args.json or args.jsonl:
        single = len(args.ids) == 1 and not args.jsonl and not is_counted
        output.print_json(reply[0] if single else reply, args.jsonl)
        return 0
    output.print_lines(
        _format_groups(reply)
        if is_counted
        else [line for one in reply for line in _format_task(one)][1:]
    )
    return 0


def _format_groups(reply: dict[str, Any]) -> list[Line]:
    if not reply["groups"]:
        return [[(tr("no waiting tasks"), "")]]
    most = max(len(units.format_count(group["count"])) for group in reply["groups"])
    return [
        [
            (f"{units.format_count(group['count']):>{most}}", "bold"),
            (f" {_conjugate(group['count'], output.add_home_option(sanitize(group['text'])))}", ""),
        ]
        for group in reply["groups"]
    ]


_SINGULAR = {"wait": "waits", "are": "is"}


def _conjugate(count: int, text: str) -> str:
    """Return the text after a count.

    Examples: `1 waits for queue media`, `2 are held`, `3 wait: no runtime is running`.
    """
    if get_language() != ENGLISH:
        return text
    verb, _, rest = text.partition(" ")
    if verb not in _SINGULAR:
        return f"{'waits' if count == 1 else 'wait'}: {text}"
    return f"{_SINGULAR[verb] if count == 1 else verb} {rest}"


def _format_task(task: dict[str, Any]) -> list[Line]:
    """Return a blank line, the heading and one numbered paragraph per reason."""
    page: list[Line] = [[], _format_heading(task)]
    reasons = [] if _is_not_waiting(task) else task["reasons"]
    if reasons:
        page.append([])
    for at, reason in enumerate(reasons, 1):
        page += _format_reason(at, output.add_home_option(sanitize(reason["text"])))
    return page + _format_outlook(task) + _format_last_line(task) + _format_suggestions(task)


def _format_outlook(task: dict[str, Any]) -> list[Line]:
    """Return the tasks before one that no forecast reaches, and how long they would take."""
    outlook = task.get("outlook")
    if not outlook:
        return []
    before, starts = outlook["before"], outlook.get("starts", 0)
    text = tr_n(
        before,
        "Too far back to estimate: 1 task is before it in queue {queue}",
        "Too far back to estimate: {tasks} tasks are before it in queue {queue}",
        tasks=units.format_count(before),
        queue=sanitize(task["queue"]),
    )
    if starts >= MIN_STARTS:
        seconds = outlook["seconds"]
        text = tr(
            "{position}, which started {starts} in the last {age}."
            " At that rate its turn comes in {wait}",
            position=text,
            starts=units.format_count(starts),
            age=units.format_age(seconds),
            wait=units.format_estimate(before / starts * seconds),
        )
    return [[], *_wrap_dim(end_sentence(text), 2)]


MIN_STARTS = 20
"""Starts of a queue from which their rate tells roughly when a task starts."""


def _format_last_line(task: dict[str, Any]) -> list[Line]:
    if not task.get("last_lines"):
        return []
    from app.cli.commands.tasks.show import get_last_lines

    room = output.get_room()
    return [
        [(f"  {line if room is None else truncate(line, room - 2)}", "")]
        for line in get_last_lines(task)[-1:]
    ]


def _format_suggestions(task: dict[str, Any]) -> list[Line]:
    """Return suggestions: each command and its expected gain, or a line that nothing helps."""
    offered = task.get("cures") or ()
    reply = [suggestion for suggestion in offered if suggestion["command"]]
    if offered and not reply:
        return [
            [],
            *_wrap_dim(
                tr(
                    "No change here would start the task sooner: {reasons}.",
                    reasons="; ".join(suggestion["gain"] for suggestion in offered),
                ),
                2,
            ),
        ]
    page: list[Line] = [[], [(tr("  Suggestions:"), "")]] if reply else []
    for suggestion in reply:
        page.append(
            [
                ("    ", ""),
                (
                    f"{output.get_program()} {sanitize(shlex.join(suggestion['command'][1:]))}",
                    "bold",
                ),
            ]
        )
        page += _wrap_dim(suggestion["gain"], 6)
    return page


def _wrap_dim(text: str, margin: int) -> list[Line]:
    room, said = output.get_room(), sanitize(text)
    return [
        [(" " * margin + piece, "dim")]
        for piece in ([said] if room is None else wrap_text(said, max(20, room - margin)))
    ]


def _is_not_waiting(task: dict[str, Any]) -> bool:
    return task["status"] in (*ENDED, "running")


def _format_heading(task: dict[str, Any]) -> Line:
    shown = f"#{task['number']} {sanitize(task['name'])}"
    if _is_not_waiting(task):
        heading = (
            output.add_home_option(sanitize(task["reasons"][0]["text"]))
            if task["reasons"]
            else styles.format_status(task["status"])
        )
        return [(shown, "bold"), (join_colon("", end_sentence(heading)), "")]
    start = (
        tr(" Expected start {start}.", start=format_start(task))
        if task.get("expected_start")
        else ""
    )
    waits = units.format_age(task.get("waits"))
    # "Scheduled for 2m" would read as a start time.
    since = (
        tr(", submitted {age} ago", age=waits)
        if task["status"] == "scheduled"
        else tr(" for {age}", age=waits)
    )
    return [
        (shown, "bold"),
        (
            tr(
                " is {status} in {queue}{since}.{start}",
                status=styles.format_status(task["status"]),
                queue=sanitize(task["queue"]),
                since=since,
                start=start,
            ),
            "",
        ),
    ]


def format_start(task: dict[str, Any]) -> str:
    """Return the expected start: `10:43–10:55 (in 4–16m)`."""
    expected_in = task.get("expected_in")
    wait = f" ({units.format_wait_range(*expected_in)})" if expected_in else ""
    return f"{sanitize(task['expected_start'])}{wait}"


def _format_reason(number: int, text: str) -> list[Line]:
    room = output.get_room()
    text = text[:1].upper() + text[1:]
    text = text if text.endswith((".", "。")) else end_sentence(text)
    pieces = [text] if room is None else wrap_text(text, max(20, room - 5))
    return [
        [(f"  {number}  " if not at else "     ", "dim"), (piece, "")]
        for at, piece in enumerate(pieces)
    ]


def _add_arguments(parser: Parser) -> None:
    add_task_ids(
        parser, "number, uuid or name of a task, or a group; none: all waiting tasks, by reason"
    )
    add_json_options(parser)


COMMANDS = {
    "why": Command(
        "explain why tasks wait and when they may start",
        explain_tasks,
        _add_arguments,
        "  taskdeck why 42\n  taskdeck why g12\n  taskdeck why",
        usage="[OPTION …] [ID …]",
    )
}
