"""Verbs that change tasks: on ids, or on all that filters find (asked for on a terminal, --yes elsewhere)."""

from __future__ import annotations

from functools import partial

from app.cli import output, styles
from app.cli.commands import selection
from app.cli.commands.submit_options import at
from app.cli.parser import (  # fmt: skip
    CPU,
    DURATION,
    PRIORITY,
    RETRIES,
    SIZE,
    Args,
    Command,
    Parser,
    as_json,
    filled,
    ids,
    name,
    read,
    select,
    selectors,
    wildcards,
)
from app.core.text import units
from app.core.text.sanitize import clean, cut
from app.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from app.cli.context import Session

MANY = 20


_DONE = {"set": "changed", "front": "moved to the front"}
"""What became of a task, where its state does not tell."""


def _act(
    session: Session, args: Args, verb: str, more: Callable[[Args], dict[str, Any]] | None = None, what: str = "", became: str = ""
) -> int:
    """Do `verb` on the tasks that were named, print what became of each (`became`, else its state), return the exit code."""
    which, asked = _which(session, args, verb, what or verb)
    if not which:
        return 0
    done = session.call(verb, **which, **(more(args) if more else {}))
    state = _ending if verb == "cancel" and not args.signal else _became
    if asked is not None:
        selection.left_alone(done, asked)
    if "ids" in which or args.json or args.jsonl:
        return finish(args, done, lambda row: f"#{row['number']} {clean(row['name'])}: {became or state(row)}")
    selection.told(done, lambda row: became or _DONE.get(verb) or state(row))
    if asked is None and not any(done.values()):
        selection.nothing(verb, which["select"])
    return _code(done)


def finish(args: Args, done: dict[str, Any], said: Callable[[dict[str, Any]], str]) -> int:
    """Print what a verb on several did and refused, a line each (`said` makes it), or as JSON; the exit code."""
    if args.json or args.jsonl:
        output.document(done, args.jsonl)
    else:
        _say(done, said)
    return _code(done)


def _became(row: dict[str, Any]) -> str:
    return styles.word(row.get("run") or row["status"])


def _ending(row: dict[str, Any]) -> str:
    """What a cancel made of a task: one that runs has its grace to end in."""
    grace = f" (TERM sent, KILL after {units.setting(row['grace'])})" if row.get("run") == "stopping" else ""
    return _became(row) + grace


def _which(session: Session, args: Args, verb: str, what: str) -> tuple[dict[str, Any], int | None]:
    """`ids` or `select` for the verb, and of how many tasks a person was asked; empty when there is nothing to do. Raises Usage for
    neither: it never means all."""
    chosen = select(args) if hasattr(args, "yes") else {}
    if args.ids and chosen:
        raise Usage(f"{verb} takes tasks or filters, not both. Nothing was changed.")
    if args.ids:
        return {"ids": args.ids}, None
    if not chosen:
        queue = "--in-queue" if verb == "set" else "--queue"  # which is the new one there
        filters = f", or filters such as {queue} or --status" if hasattr(args, "yes") else ""
        raise Usage(f"{verb} which task? Give a number{filters}.", "List: taskdeck ls")
    if said := wildcards(chosen):
        output.note(said)
    chosen = selection.meant(verb, chosen, args)
    if agreed := selection.agreed(session, args, verb, what, chosen):
        return {"select": agreed[0]}, agreed[1]
    return {}, None


def _say(done: dict[str, Any], said: Callable[[dict[str, Any]], str]) -> None:
    """A line for each while they are few; refusals and notes on stderr."""
    rows = done["done"]
    for row in rows[:MANY]:
        output.line(said(row))
    if len(rows) > MANY:
        output.line(f"and {len(rows) - MANY:,} more")
    if not (rows or done.get("notes") or done.get("refused")):
        output.note("there was nothing to do.")
    for note in done.get("notes", ()):
        output.note(note)
    for refusal in done.get("refused", ()):
        output.note(refusal["message"])


def _code(done: dict[str, Any]) -> int:
    """0 when all was done; the refusals' own code when nothing was and they agree; else 1."""
    codes = {refusal["exit_code"] for refusal in done.get("refused", ())}
    if not codes:
        return 0
    return codes.pop() if len(codes) == 1 and not done["done"] else 1


def cancel(session: Session, args: Args) -> int:
    """End tasks, or send a signal."""
    number = signal_number(args.signal)
    what = "" if number is None else f"send signal {args.signal} to"
    return _act(session, args, "cancel", lambda a: {"signal": number, "grace": a.grace}, what)


def signal_number(text: str | None) -> int | None:
    """The number of `KILL`, `SIGKILL` or `9`. Raises Usage."""
    if text is None:
        return None
    from signal import SIGRTMAX, Signals

    if text.isdigit() and len(text) < 4 and 0 < int(text) <= SIGRTMAX:
        return int(text)
    word = "SIG" + text.upper().removeprefix("SIG")
    if word in Signals.__members__:
        return int(Signals[word])
    from app.core.text.sanitize import nearest

    meant = nearest(word, Signals.__members__)
    near = f"Nearest: {meant.removeprefix('SIG')}" if meant else "Such as: TERM, INT, HUP, KILL, USR1"
    raise Usage(f'there is no signal "{cut(clean(text), 40)}". Nothing was sent.', near)


def set_(session: Session, args: Args) -> int:
    """Change what tasks ask for."""
    fields = {key[3:]: value for key, value in vars(args).items() if key.startswith("to_") and value is not None}
    if not fields:
        raise Usage("set what? Name it: --priority 5, --queue gpu, --memory 11G, …", "See: taskdeck set --help")
    what = ", ".join(f"{key.replace('_', '-')} {_typed(key, value)}" for key, value in fields.items())
    became = ""
    if [*fields] == ["pinned"]:
        became = "pinned" if fields["pinned"] else "no longer pinned"
    elif [*fields] == ["at"] and (when := _ahead(fields["at"])):
        became = f"not before {when}"
    return _act(session, args, "set", lambda _: {"fields": fields}, f"set {what} on", became)


NOW = "now"
"""In place of a time: not to wait for one any more."""


def _at(text: str) -> str:
    return NOW if text.strip().lower() == NOW else at(text)


def _ahead(when: str) -> str:
    """A time as it was understood; empty for one that is not to be waited for."""
    from app.cli import time_format

    return "" if when == NOW else time_format.ahead(when)


def _typed(key: str, value: Any) -> str:
    """A new value as it may have been typed."""
    if key == "pinned":
        return "yes" if value else "no"
    if key == "at":
        return _ahead(value) or NOW
    if key in ("timeout", "retry_delay", "grace"):
        return units.setting(value)
    return units.memory(value) if key == "memory" else clean(str(value))


def _ids_only(parser: Parser) -> None:
    ids(parser)
    as_json(parser)


def _ids_or_filters(parser: Parser) -> None:
    ids(parser)
    _selectors(parser)
    as_json(parser)


def _selectors(parser: Parser, **names: tuple[str, ...]) -> None:
    selectors(parser, selection.usual(parser.prog.rpartition(" ")[2]), **names)


def _cancel_arguments(parser: Parser) -> None:
    parser.option(
        "-s", "--signal", metavar="SIGNAL", help="send this signal instead, and leave the rest to the program"
    )
    parser.option("--grace", type=DURATION, metavar="TIME", help="between TERM and KILL (default: the task's)")
    _ids_or_filters(parser)


def _retry_arguments(parser: Parser) -> None:
    parser.option("--again", action="store_true", help="also what has succeeded")
    _ids_or_filters(parser)


def _set_arguments(parser: Parser) -> None:
    ids(parser)
    values = parser.add_argument_group("new values")
    add = values.add_argument
    add("--priority", "-P", dest="to_priority", type=PRIORITY, metavar="N")
    add("--queue", "-q", dest="to_queue", type=filled, metavar="QUEUE")
    add("--cpu", dest="to_cpu", type=CPU, metavar="CORES")
    add("--memory", dest="to_memory", type=SIZE, metavar="SIZE")
    add("--timeout", "-t", dest="to_timeout", type=DURATION, metavar="TIME")
    add("--retries", dest="to_retries", type=RETRIES, metavar="N")
    add("--retry-delay", dest="to_retry_delay", type=DURATION, metavar="TIME")
    add("--grace", dest="to_grace", type=DURATION, metavar="TIME")
    add("--at", dest="to_at", type=read(_at), metavar="TIME", help="not before 23:30, 'tomorrow 08:00', 2h (from now); now: at once")
    add("--name", "-n", dest="to_name", type=name, metavar="NAME")
    pin = values.add_mutually_exclusive_group().add_argument
    pin("--pin", dest="to_pinned", action="store_true", default=None, help="no cleanup takes it or its runs; ended tasks too")
    pin("--unpin", dest="to_pinned", action="store_false", default=None, help="the cleanup may take it again")
    _selectors(parser, queue=("--in-queue",), named=("--named",))
    as_json(parser)


def _command(verb: str, summary: str, arguments: Callable[[Parser], None], examples: str = "") -> Command:
    return Command(summary, partial(_act, verb=verb), arguments, examples)


COMMANDS = {
    "cancel": Command(
        "end tasks, running or waiting",
        cancel,
        _cancel_arguments,
        "  taskdeck cancel 42\n  taskdeck cancel -s INT 42\n  taskdeck cancel --queue media --status queued",
    ),
    "pause": _command("pause", "make running tasks stand still", _ids_only),
    "resume": _command("resume", "let paused tasks go on", _ids_only),
    "hold": _command("hold", "keep waiting tasks from starting", _ids_or_filters),
    "release": _command("release", "let held tasks start", _ids_or_filters),
    "retry": Command(
        "run ended tasks again",
        partial(_act, verb="retry", more=lambda args: {"again": args.again}),
        _retry_arguments,
        "  taskdeck retry 42\n  taskdeck retry --status failed --since 2h",
    ),
    "rm": _command("rm", "forget ended tasks", _ids_or_filters),
    "set": Command(
        "change what waiting tasks ask for", set_, _set_arguments,
        "  taskdeck set 42 --priority 5 --memory 11G\n  taskdeck set 42 --pin          (kept, whatever the rules of [retention] say)",
    ),
    "front": _command("front", "move tasks to the head of their queue", _ids_or_filters),
}
