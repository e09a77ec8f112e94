"""Tasks that depend on cancelled ones: listed by --dry-run, confirmed on a terminal."""

from __future__ import annotations

from app.cli import output, selection, styles
from app.cli.parser import Args, collect_selection
from app.core.text.sanitize import sanitize
from app.errors import Usage
from app.translation import tr, tr_n
from db.states import ENDED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from app.cli.context import CommandContext

MAX_LISTED = 20
MAX_NAMED = 5
"""Maximum number of dependents named in the question."""


def print_preview(context: CommandContext, args: Args) -> int:
    """Print the tasks that a cancel would end; return the code of a cancel that finds no task."""
    if args.signal:
        raise Usage("--dry-run shows what a cancel ends; a signal may end nothing.")
    ids, chosen = collect_selection(args, "cancel", args.ids)
    if not ids and not chosen:
        raise Usage("cancel --dry-run takes either tasks or filters.", "List: taskdeck ls")
    which = (
        {"ids": ids} if ids else {"select": selection.add_default_states("cancel", chosen, args)}
    )
    found = context.call("cancel.preview", **which)
    ending = [task for task in found["tasks"] if task["status"] not in ENDED]
    if args.json or args.jsonl:
        tasks = [{key: task[key] for key in ("number", "name", "status")} for task in ending]
        output.print_json({"tasks": tasks, "dependents": found["dependents"]}, args.jsonl)
    else:
        _print_tasks(ending, found["dependents"])
    for refusal in found["refused"]:
        output.print_note(refusal["message"])
    codes = {refusal["exit_code"] for refusal in found["refused"]}
    return 0 if not codes else codes.pop() if len(codes) == 1 and not ending else 1


def _print_tasks(ending: Sequence[dict[str, Any]], dependents: Sequence[dict[str, Any]]) -> None:
    lines = [f"{_format_task(task)}: {styles.format_status(task['status'])}" for task in ending]
    lines += [tr("{task}: depends on them", task=_format_task(task)) for task in dependents]
    for line in lines[:MAX_LISTED]:
        output.print_line(line)
    if len(lines) > MAX_LISTED:
        output.print_line(tr("and {n:,} more", n=len(lines) - MAX_LISTED))
    also = tr(" and {n:,} that depend on them", n=len(dependents)) if dependents else ""
    tasks = tr_n(len(ending), "{n:,} task", "{n:,} tasks")
    output.print_message(
        tr(
            "taskdeck: dry run: {tasks}{also} would be cancelled. Nothing was changed.",
            tasks=tasks,
            also=also,
        )
    )


def confirm_dependents(context: CommandContext, ids: Sequence[str]) -> None:
    """Ask a person before a cancel that ends more tasks than named. Raise Usage after a no."""
    if not (output.is_stdin_terminal() and output.is_stderr_terminal()):
        return
    found = context.call("cancel.preview", ids=list(ids))
    if not (dependents := found["dependents"]):
        return
    names = ", ".join(map(_format_task, dependents[:MAX_NAMED]))
    more = tr(" and {n:,} more", n=len(dependents) - MAX_NAMED) if dependents[MAX_NAMED:] else ""
    depend = tr_n(len(dependents), "1 task depends", "{n:,} tasks depend")
    them = tr_n(len(ids), "it", "them")
    whom = (
        _format_task(found["tasks"][0])
        if len(found["tasks"]) == 1
        else tr("{n:,} tasks", n=len(ids))
    )
    if not output.ask_yes_no(
        tr(
            "Cancel {whom}? {depend} on {them}, to be cancelled too: {names}{more}.",
            whom=whom,
            depend=depend,
            them=them,
            names=names,
            more=more,
        )
    ):
        raise Usage("nothing was changed.")


def _format_task(task: dict[str, Any]) -> str:
    return f"#{task['number']} {sanitize(task['name'])}"
