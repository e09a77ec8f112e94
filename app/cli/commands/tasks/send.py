"""`taskdeck send`: write to the standard input of a running task."""

from __future__ import annotations

import time

from app.cli import definition_group, output
from app.cli.commands.tasks import task_actions
from app.cli.parser import Args, Command, Parser, add_json_options
from app.core.task_groups import parse_group
from app.errors import Usage
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from app.cli.context import CommandContext

PIECE = 32 * 1024
"""Bytes read from our own input at once."""
POLL_INTERVAL = 0.1
"""Seconds between two tries to write to a full input."""
NOTE_DELAY = 2.0
"""Seconds after which a note says that the program does not read."""


def send(context: CommandContext, args: Args) -> int:
    """Send a text, or our own input, to a task."""
    if not args.words:
        raise Usage("send to which task? Give a number, then the text.", "List: taskdeck ls")
    task, *words = args.words
    has_text = bool(words) and words != ["-"]
    if parse_group(task) is not None and not has_text and not (args.eof and not words):
        raise Usage(
            "to a group goes a text, or --eof, not standard input. Nothing was sent.",
            "For example: taskdeck send {task} 'save now'",
            task=task,
        )
    if has_text:
        answer = _send_text(context, args, task, " ".join(words))
    elif words or not args.eof:
        answer = _send_input(context, args, task)
    else:
        answer = context.call("send", id=task, eof=True)
    if "group" in answer:
        return task_actions.report_results(args, answer, _format_answer)
    return definition_group.print_result(args, answer, _format_answer(answer))


def _format_answer(answer: dict[str, Any]) -> str:
    closed = tr(", input closed") if answer["closed"] else ""
    return tr(
        "#{number}: sent {n:,} bytes{closed}",
        number=answer["number"],
        n=answer["taken"],
        closed=closed,
    )


def _send_text(context: CommandContext, args: Args, task: str, text: str) -> dict[str, Any]:
    """Send a text at once. Raise Conflict if the program does not read."""
    text += "" if args.no_newline else "\n"
    return context.call("send", id=task, text=text, eof=args.eof, whole=True)


def _format_unread(answer: dict[str, Any]) -> str:
    return f"{answer['unread'] / 1024:.0f} KiB"


def _send_input(context: CommandContext, args: Args, task: str) -> dict[str, Any]:
    """Send our own input, as fast as the program reads."""
    answer = context.call("send", id=task)  # before anything is read
    output.open_stdin("the input of the task")
    total = 0
    while data := output.read_some_input(PIECE):
        answer = send_piece(context.call, task, data)
        total += len(data)
    if args.eof:
        answer = context.call("send", id=task, eof=True)
    return answer | {"taken": total}


def send_piece(call: Callable[..., dict[str, Any]], task: str, data: bytes) -> dict[str, Any]:
    """Send some bytes, waiting for the program to read; return the last answer."""
    began, was_noted = time.monotonic(), False
    while True:
        answer = call("send", id=task, text=data.decode("utf-8", "surrogateescape"))
        data = data[answer["taken"] :]
        if not data:
            return answer
        if not was_noted and time.monotonic() - began > NOTE_DELAY:
            output.print_note(
                tr(
                    "#{number} does not read: {size} wait. Still trying.",
                    number=answer["number"],
                    size=_format_unread(answer),
                )
            )
            was_noted = True
        time.sleep(POLL_INTERVAL)


def _add_arguments(parser: Parser) -> None:
    add = parser.add_option
    add(
        "words",
        nargs="*",
        metavar="ID [TEXT]",
        help="a task or group, and a text; without a text, or with -, standard input is sent",
    )
    add("--no-newline", action="store_true", help="do not add a newline to the text")
    add("--eof", action="store_true", help="then close the input: the program sees its end")
    add_json_options(parser)


COMMANDS = {
    "send": Command(
        "write to the input of a running task",
        send,
        _add_arguments,
        "  taskdeck submit --stdin -- python3 -i      (prints a number, such as 42)\n"
        "  taskdeck send 42 'print(6 * 7)'\n"
        "  taskdeck send 42 --eof                     (the program sees the end of its input)\n"
        "  gunzip -c rows.gz | taskdeck send 42 --eof -",
        usage="ID [TEXT … | -] [--no-newline] [--eof]",
    )
}
