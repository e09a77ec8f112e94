"""`taskdeck set --right-size`: requests of waiting tasks by what similar runs used."""

from __future__ import annotations

from app.cli import output
from app.cli.parser import Args, collect_selection
from app.cli.table_layout import Column, Span
from app.core.text import units
from app.core.text.sanitize import sanitize
from app.core.verb_states import WAITING_STATES
from app.errors import Conflict, Usage
from app.translation import tr, tr_n

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from app.cli.context import CommandContext

_COLUMNS = [
    Column("TASK", ">", first=True),
    Column("NAME", least=8),
    Column("MEMORY", ">"),
    Column("NEW", ">"),
    Column("CPU", ">"),
    Column("NEW", ">"),
    Column("RUNS", ">"),
]


def set_right_sizes(
    context: CommandContext, args: Args, report: Callable[[Args, dict[str, Any]], int]
) -> int:
    """Show the sizes, ask, and set them; `report` prints the results and returns the exit code."""
    names = [name for name in ("cpu", "memory") if args.right_size in (name, "both")]
    found = context.call("right_size", **_choose(args))
    changed = [
        task for task in found["tasks"] if any(task[name][0] != task[name][1] for name in names)
    ]
    if not (args.json or args.jsonl):
        _print_table(changed, names)
    for refusal in found["refused"]:
        output.print_note(refusal["message"])
    if not changed:
        _end_without_change(found)
        return 0
    if not args.yes:
        _confirm(len(changed))
    sizes = {task["uuid"]: {name: task[name][1] for name in names} for task in changed}
    return report(args, context.call("set.sizes", sizes=sizes))


def _choose(args: Args) -> dict[str, Any]:
    """Return the tasks as `ids` or `select`. Raise Usage."""
    ids, chosen = collect_selection(args, "set", args.ids)
    if ids:
        return {"ids": ids}
    if not chosen:
        raise Usage("size which tasks? Give numbers, or a filter such as --tag exp=lr.")
    if "filter" in chosen:
        named = any(word.startswith("status:") for word in chosen["filter"].split())
        states = "" if named else f" status:{','.join(WAITING_STATES)}"
        return {"select": {"filter": f"{chosen['filter']}{states}"}}
    return {"select": {"status": [*WAITING_STATES]} | chosen}


def _print_table(tasks: list[dict[str, Any]], names: list[str]) -> None:
    if tasks:
        output.print_table(_COLUMNS, [_format_row(task, names) for task in tasks])


def _format_row(task: dict[str, Any], names: list[str]) -> list[Span]:
    cells = [f"#{task['number']}", sanitize(task["name"])]
    for name, show in (("memory", units.format_memory), ("cpu", units.format_number)):
        now, new = task[name]
        is_same = name not in names or now == new
        cells += [show(now), units.MISSING if is_same else show(new)]
    return [(text, "") for text in (*cells, str(task["runs"]))]


def _end_without_change(found: dict[str, Any]) -> None:
    """Say that there is nothing to do; raise Conflict if every task was refused."""
    if found["refused"] and not found["tasks"]:
        problem = Conflict("no task has enough similar runs. Nothing was changed.")
        codes = {refusal["exit_code"] for refusal in found["refused"]}
        problem.exit_code = codes.pop() if len(codes) == 1 else problem.exit_code
        raise problem
    output.print_note(
        tr("the tasks have these sizes already.")
        if found["tasks"]
        else tr("no waiting task matches.")
    )


def _confirm(count: int) -> None:
    """Raise Usage unless a person agrees."""
    if not (output.is_stdin_terminal() and output.is_stderr_terminal()):
        raise Usage("nothing was changed.", "Confirm: --yes")
    if not output.ask_yes_no(
        tr_n(count, "Set the new sizes of {n:,} task?", "Set the new sizes of {n:,} tasks?")
    ):
        raise Usage("nothing was changed.")
