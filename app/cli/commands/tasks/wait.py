"""`taskdeck wait`: wait for tasks to end and exit with their code."""

from __future__ import annotations

import time

from app.cli import output, styles
from app.cli.parser import DURATION, Args, Command, Parser, add_json_options, add_task_ids
from app.core.text import units
from app.core.text.sanitize import sanitize
from app.errors import Stopped, TimedOut, Usage
from app.translation import tr, tr_n
from db.states import SKIPPED, is_skipped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext


MAX_PRINTED = 20
"""Ends that are printed one by one; more are counted."""
POLL_INTERVAL = 0.5
"""Seconds between checks for a runtime."""


def wait(context: CommandContext, args: Args) -> int:
    """Wait for all tasks; exit with the first nonzero code in the given order."""
    if not args.ids:
        raise Usage("wait for which task? Give a number.", "List: taskdeck ls")
    ends = _wait_and_print(context, args.ids, args.timeout)
    if args.json or args.jsonl:
        output.print_json(ends, args.jsonl)
    return _get_exit_code(ends)


def wait_for_tasks(context: CommandContext, numbers: list[int]) -> int:
    """Wait for these tasks and return the exit code."""
    return _get_exit_code(_wait_and_print(context, numbers, None))


def print_continues(numbers: list[int]) -> None:
    """Print that only the wait was interrupted."""
    output.print_note(
        tr_n(
            len(numbers),
            "#{first} continues. See: taskdeck show {first}",
            "the {n:,} tasks continue. See: taskdeck show {first}",
            first=numbers[0],
        )
    )


def _wait_and_print(
    context: CommandContext, idents: list[Any], timeout: float | None
) -> list[dict[str, Any]]:
    ends = _wait_until_ended(context, idents, timeout)
    if output.is_stderr_terminal():
        for end in ends[:MAX_PRINTED] if len(ends) <= MAX_PRINTED else ():
            output.print_message(_format_end(end))
        if len(ends) > MAX_PRINTED:
            output.print_message(_count_ends(ends))
    return ends


def _wait_until_ended(
    context: CommandContext, idents: list[Any], timeout: float | None
) -> list[dict[str, Any]]:
    """Return the answer of `wait`.

    Without a runtime no end is recorded: print a note once and keep waiting for a runtime.
    """
    began, left, was_noted = time.monotonic(), timeout, False
    while True:
        try:
            return context.call("wait", ids=idents, timeout=left)
        except Stopped as stopped:
            if not was_noted:
                output.print_note(
                    tr(
                        "{problem} Running tasks continue; still waiting. {hint}",
                        problem=stopped.message,
                        hint=stopped.hint,
                    )
                )
            was_noted = True
        if timeout is not None:
            left = max(0.0, began + timeout - time.monotonic())
            if not left:
                raise TimedOut(
                    "waited {timeout}, but no runtime was started.",
                    timeout=units.format_duration(timeout),
                )
        time.sleep(POLL_INTERVAL)


def _format_end(end: dict[str, Any]) -> str:
    why = f", {sanitize(end['reason'])}" if end.get("reason") else ""
    return f"#{end['number']} {sanitize(end['name'])}: {styles.format_status(end['status'])}{why}"


def _count_ends(ends: list[dict[str, Any]]) -> str:
    """Return `98 tasks succeeded, 2 failed`."""
    counts = dict[str, int]()
    for end in ends:
        state = SKIPPED if is_skipped(end["status"], end.get("reason")) else end["status"]
        counts[state] = counts.get(state, 0) + 1
    (first, many), *others = counts.items()
    status = styles.format_status(first)
    said = [tr_n(many, "{n:,} task {status}", "{n:,} tasks {status}", status=status)]
    said += [f"{count:,} {styles.format_status(status)}" for status, count in others]
    return ", ".join(said)


def _get_exit_code(ends: list[dict[str, Any]]) -> int:
    return next((end["code"] for end in ends if end["code"]), 0)


def _add_arguments(parser: Parser) -> None:
    add_task_ids(parser)
    parser.add_option(
        "--timeout", type=DURATION, metavar="TIME", help="give up after this time, with exit code 6"
    )
    add_json_options(parser)


EXAMPLES = """\
  taskdeck wait 42 && echo done
  taskdeck wait g12                      (all tasks of a group)
  taskdeck wait 42 43 44 --timeout 2h    (exits with the first nonzero code)"""

COMMANDS = {
    "wait": Command(
        "wait for tasks to end and exit with their code", wait, _add_arguments, EXAMPLES
    )
}
