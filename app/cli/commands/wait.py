"""`taskdeck wait`: until tasks have ended, and then their code."""

from __future__ import annotations

import time

from app.cli import output, styles
from app.cli.parser import DURATION, Args, Command, Parser, as_json, ids
from app.core.text import units
from app.core.text.sanitize import clean
from app.errors import Stopped, TimedOut, Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import Session


LOOK = 0.5
"""Seconds between two looks for a runtime that somebody starts."""


def wait(session: Session, args: Args) -> int:
    """Wait for all the tasks; exit with the first code that is not 0, in the order given."""
    if not args.ids:
        raise Usage("wait for which task? Give a number.", "List: taskdeck ls")
    ends = _ends(session, args.ids, args.timeout)
    if args.json or args.jsonl:
        output.document(ends, args.jsonl)
    return _code(ends)


def wait_for(session: Session, numbers: list[int]) -> int:
    """The code to exit with, once these have ended."""
    return _code(_ends(session, numbers, None))


def goes_on(numbers: list[int]) -> None:
    """Say that only the waiting was interrupted."""
    which = f"#{numbers[0]} goes" if len(numbers) == 1 else f"the {len(numbers):,} tasks go"
    output.note(f"{which} on. See: taskdeck show {numbers[0]}")


def _ends(session: Session, given: list[Any], timeout: float | None) -> list[dict[str, Any]]:
    ends = _until_ended(session, given, timeout)
    if output.people():
        for end in ends[:20]:
            output.say(_how(end))
    return ends


def _until_ended(session: Session, given: list[Any], timeout: float | None) -> list[dict[str, Any]]:
    """What `wait` answers. While no runtime is up, and none may be started, no end is recorded: that is said, and waited out."""
    began, left, told = time.monotonic(), timeout, False
    while True:
        try:
            return session.call("wait", ids=given, timeout=left)
        except Stopped as stopped:
            if not told:
                output.note(f"{stopped.message} What runs goes on, and this waits. {stopped.hint}")
            told = True
        if timeout is not None:
            left = max(0.0, began + timeout - time.monotonic())
            if not left:
                raise TimedOut(f"waited {units.duration(timeout)}, and no runtime came up.")
        time.sleep(LOOK)


def _how(end: dict[str, Any]) -> str:
    why = f", {clean(end['reason'])}" if end.get("reason") else ""
    return f"#{end['number']} {clean(end['name'])}: {styles.word(end['status'])}{why}"


def _code(ends: list[dict[str, Any]]) -> int:
    return next((end["code"] for end in ends if end["code"]), 0)


def _arguments(parser: Parser) -> None:
    ids(parser)
    parser.option("--timeout", type=DURATION, metavar="TIME", help="give up after that time, with exit code 6")
    as_json(parser)


EXAMPLES = """\
  taskdeck wait 42 && echo well
  taskdeck wait 42 43 44 --timeout 2h    (exits with the first code that is not 0)"""

COMMANDS = {"wait": Command("wait for tasks to end, and exit with their code", wait, _arguments, EXAMPLES)}
