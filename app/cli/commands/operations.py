"""`taskdeck operations` and `undo`: operation log, newest first."""

from __future__ import annotations

from app.cli import definition_group, output, time_format
from app.cli.commands.tasks.task_actions import report_results
from app.cli.parser import (
    AGE,
    LIMIT,
    Args,
    Command,
    Parser,
    add_json_options,
    add_row_options,
    make_type,
    require_text,
)
from app.cli.table_layout import Column, Span
from app.core.text import diff, diff_summary, units
from app.core.text.sanitize import sanitize
from app.errors import Conflict, Usage
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext

COLUMNS = [
    Column("ID", ">"),
    Column("AT"),
    Column("BY"),
    Column("DID", least=6),
    Column("TO", least=10),
    Column("CHANGE", least=10, first=True),
]

FIELDS = (
    "id",
    "at",
    "by",
    "verb",
    "object",
    "name",
    "before",
    "after",
    "source",
    "undoable",
    "undone_by",
    "count",
    "tasks",
)
ASKED = ("submit", "schedule run")
"""Verbs whose undo always asks, since it cancels tasks."""
_ID_BOUNDS = (1, 2**62)
MAX_NAMED = 3
"""Maximum number of operations named in a question."""


def list_operations(context: CommandContext, args: Args) -> int:
    """List operations."""
    wanted = {
        key: getattr(args, key)
        for key in ("by", "verb", "object", "since")
        if getattr(args, key) is not None
    }
    words = _make_words(args.words)
    empty_message = tr("no matching operations") if wanted or words else tr("no operations yet")
    found = context.call("operations", limit=args.limit, **wanted, **words)
    return definition_group.print_list(args, found, COLUMNS, _format_row, FIELDS, empty_message)


def _make_words(words: list[str]) -> dict[str, Any]:
    """Return the searched words as arguments; a number alone is the id of an act."""
    if len(words) == 1 and words[0].isascii() and words[0].isdigit():
        try:
            return {"batch": units.parse_int(words[0], *_ID_BOUNDS)}
        except ValueError as wrong:
            raise Usage("ID {wrong}.", "See them: taskdeck operations", wrong=str(wrong)) from None
    return {"words": words} if words else {}


def _format_row(operation: dict[str, Any]) -> list[Span]:
    object_text = operation["object"] or ""
    change = diff_summary.summarize_change(
        object_text, operation.get("before"), operation.get("after")
    )
    if change == object_text:  # a submission: the name tells more
        change = sanitize(operation.get("name") or "")
    if (count := operation.get("count", 1)) > 1 and operation["tasks"] != 1:
        object_text = diff.format_act(object_text, None, count, operation["tasks"])
    return [
        (str(operation["id"]), ""),
        (time_format.format_clock(operation["at"], seconds=True), "dim"),
        (sanitize(operation["by"]), ""),
        (sanitize(operation["verb"]), ""),
        (sanitize(object_text), ""),
        (change, "dim"),
    ]


def undo_operations(context: CommandContext, args: Args) -> int:
    """Undo the given operations, or the last action of this terminal.

    Ask first, unless the ids name every operation and no submission is among them.
    """
    ids, refused = _find_undoable(context, args)
    found = context.call("undo", ids=ids)
    return report_results(
        args,
        found | {"refused": _merge_refusals(found["refused"], refused)},
        lambda row: tr("undone: {operation}", operation=_format_undo(row)),
    )


def _find_undoable(context: CommandContext, args: Args) -> tuple[list[int], list[dict[str, Any]]]:
    """Return the operations to undo, and the refusals of those not undoable.

    Raise Problem if none can be undone or the user declines.
    """
    if args.ids and args.yes:
        return args.ids, []
    found = context.call("undo", dry_run=True, **({"ids": args.ids} if args.ids else {}))
    is_submission = any(row["verb"] in ASKED for row in found["done"])
    if args.ids and not is_submission and len(found["done"]) <= len(args.ids):
        return args.ids, []
    texts, refused = (
        [_format_undo(row) for row in found["done"]],
        [sanitize(refusal["message"]) for refusal in found["refused"]],
    )
    if not texts:
        raise Conflict("; ".join(refused) or tr("nothing to undo."))
    many = tr("{n:,} operations, ", n=len(texts)) if len(texts) > 1 else ""
    shown = many + _join_some(texts, "; ")
    but = (
        tr(" {n:,} cannot be undone: {reasons}", n=len(refused), reasons=_join_some(refused, " "))
        if refused
        else ""
    ) + "".join(f" {sanitize(note)}" for note in found["notes"])
    if not args.yes:
        if not (output.is_stdin_terminal() and output.is_stderr_terminal()):
            raise Usage(
                "this would undo {shown}.{but} Nothing was changed.",
                "Confirm: --yes",
                shown=shown,
                but=but,
            )
        question = tr("{but} Undo {operations}?", but=but.strip(), operations=shown).strip()
        if not output.ask_yes_no(question):
            raise Usage("nothing was changed.")
    return [row["id"] for row in found["done"]], found["refused"]


def _merge_refusals(
    refused: list[dict[str, Any]], before: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Return the refusals of an undo with those of its dry run, each once."""
    known = {refusal["id"] for refusal in refused if "id" in refusal}
    return [*refused, *(refusal for refusal in before if refusal.get("id") not in known)]


def _join_some(texts: list[str], between: str) -> str:
    return between.join(texts[:MAX_NAMED]) + (f"{between}…" if len(texts) > MAX_NAMED else "")


def _format_undo(row: dict[str, Any]) -> str:
    """Return the effect of an undo, such as `hold of #12 x: status held → queued`.

    A runtime of an older version sends only `text`.
    """
    return sanitize(row.get("back") or row["text"])


def _parse_operation_id(text: str) -> int:
    return make_type(units.parse_int, *_ID_BOUNDS)(text.removeprefix("#"))


def _add_undo_arguments(parser: Parser) -> None:
    parser.add_option(
        "ids",
        nargs="*",
        metavar="OPERATION",
        type=_parse_operation_id,
        help="ids to undo; none: the last action of this terminal",
    )
    parser.add_option("--yes", action="store_true", help="do not ask")
    add_json_options(parser)


def _add_arguments(parser: Parser) -> None:
    group = parser.add_argument_group("filters")
    group.add_argument(
        "words",
        nargs="*",
        metavar="WORD",
        help="text in user, verb, object or change; !WORD excludes; an ID alone: its tasks",
    )
    group.add_argument("--by", type=require_text, metavar="USER", help="by this user")
    group.add_argument("--verb", metavar="VERB", help="of this verb: hold, set, queue pause, …")
    group.add_argument(
        "--object", metavar="WHAT", type=_parse_object, help='on this object: 42, "queue media", …'
    )
    group.add_argument("--since", metavar="TIME", type=AGE, help="since 2h (ago), yesterday, …")
    parser.add_option(
        "--limit", type=LIMIT, default=50, metavar="N", help="show at most N (default: 50)"
    )
    parser.add_option("--wide", action="store_true", help="do not truncate columns")
    add_row_options(parser, "ids only, one per line")


def _parse_object(text: str) -> str:
    """Return the name in the operation log; a number is a task's."""
    digits = text.removeprefix("#")
    return f"task #{digits}" if digits.isascii() and digits.isdigit() else text


COMMANDS = {
    "operations": Command(
        "show the operation log",
        list_operations,
        _add_arguments,
        "  taskdeck operations --since 2h --by ann\n  taskdeck operations 31        (each task)\n"
        "  taskdeck operations --object 42",
        usage="[OPTION …] [WORD …]",
    ),
    "undo": Command(
        "undo operations whose objects have not changed since",
        undo_operations,
        _add_undo_arguments,
        "  taskdeck undo          (the last action of this terminal)\n  taskdeck undo 31",
        usage="[OPTION …] [OPERATION …]",
    ),
}
