"""`taskdeck attach`: follow the output of a task and type its input."""

from __future__ import annotations

import time
from functools import partial
from threading import Thread

from app.cli import output
from app.cli.commands.tasks.logs import follow
from app.cli.commands.tasks.send import PIECE, POLL_INTERVAL, send_piece
from app.cli.parser import Args, Command, Parser, add_task_ids, make_type
from app.client import Client
from app.core.text import units
from app.errors import Problem, Usage
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from app.cli.context import CommandContext

SHOWN_LINES = 20
"""Lines of the past output."""
NOT_STARTED = "not-started"
"""Code of the problem of a task that waits."""


def attach(context: CommandContext, args: Args) -> int:
    """Follow a task until it ends or ^C, and send what is typed."""
    if len(args.ids) != 1:
        raise Usage("attach to which task? Give one number.", "List: taskdeck ls")
    task = args.ids[0]
    try:
        if _has_input(context, task):
            Thread(target=_send_typed, args=(context, task, args.eof), daemon=True).start()
        follow(context, task, args.tail)
    except KeyboardInterrupt:
        output.print_note(
            tr("detached; the task continues. Again: taskdeck attach {task}", task=task)
        )
    return 0


def _has_input(context: CommandContext, task: str) -> bool:
    """Return True if the input of a task is open, or opens later; else tell why not."""
    try:
        context.call("send", id=task)
    except Problem as problem:
        if problem.code != NOT_STARTED:
            if problem.exit_code != 4:
                raise
            output.print_problem(problem)
            return False
    if output.is_stdin_terminal():
        output.print_note(tr("each line is sent. ^D closes the input, ^C detaches."))
    return True


def _send_typed(context: CommandContext, task: str, is_closing: bool) -> None:
    """Send our own input until it ends; at its end, close that of the task if `is_closing`."""
    client = Client(context.home, autostart=False)  # of this thread

    def call(verb: str, **args: Any) -> Any:
        return client.call(verb, args)

    try:
        while data := output.read_some_input(PIECE):
            _repeat_until_started(partial(send_piece, call, task, data))
        if is_closing or output.is_stdin_terminal():
            _repeat_until_started(partial(call, "send", id=task, eof=True))
            output.print_note(tr("the input of {task} is closed. ^C detaches.", task=task))
    except (Problem, OSError) as error:
        output.print_note(str(error))
    finally:
        client.close()


def _repeat_until_started(send: Callable[[], Any]) -> None:
    while True:
        try:
            send()
            return
        except Problem as problem:
            if problem.code != NOT_STARTED:
                raise
        time.sleep(POLL_INTERVAL)


def _add_arguments(parser: Parser) -> None:
    add_task_ids(parser, "number, uuid or name of a task")
    parser.add_option(
        "-n",
        "--tail",
        type=make_type(units.parse_int, 0, 100_000_000),
        default=SHOWN_LINES,
        metavar="N",
        help="begin with the last N lines (default: 20)",
    )
    parser.add_option(
        "--eof",
        action="store_true",
        help="at the end of a pipe, close the input of the task (^D on a terminal does)",
    )


COMMANDS = {
    "attach": Command(
        "follow the output of a task and type its input",
        attach,
        _add_arguments,
        "  taskdeck attach 42\n  printf 'a\\nb\\n' | taskdeck attach --eof 42",
        usage="ID [--tail N] [--eof]",
    )
}
