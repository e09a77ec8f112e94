"""`taskdeck db check`: find and repair damage in the database."""

from __future__ import annotations

from app.cli import output
from app.cli.parser import Args, Command, Parser, add_json_options
from app.core.text.sanitize import sanitize
from app.translation import tr, tr_noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext

EXIT_PROBLEMS = 5
"""Exit code when a problem was found."""


def check_database(context: CommandContext, args: Args) -> int:
    """Check the whole database; with --repair, rebuild whatever can be derived."""
    found = _run_repair(context) if args.repair else _run_check(context)
    if args.json or args.jsonl:
        output.print_json(found, args.jsonl)
    else:
        for line in _describe_findings(found, args.repair):
            output.print_line(sanitize(line))
        _print_advice(context, found)
    return 0 if found["ok"] else EXIT_PROBLEMS


def _print_advice(context: CommandContext, found: dict[str, Any]) -> None:
    if found["ok"]:
        return
    from app.offline import maintenance

    if advice := maintenance.make_advice(context.home):
        output.print_note(advice)
    elif "done" not in found:
        output.print_note(
            tr("repair what can be derived from the rest: taskdeck db check --repair")
        )


def _run_check(context: CommandContext) -> dict[str, Any]:
    from app.offline import maintenance as offline_maintenance

    problems = offline_maintenance.check_home(context.home)
    return {"ok": not problems, "problems": problems}


def _run_repair(context: CommandContext) -> dict[str, Any]:
    if context.client.is_runtime_up():
        return context.call("db.repair")
    from app.offline import maintenance as maintenance_module

    return maintenance_module.repair_home(context.home)


def _describe_findings(found: dict[str, Any], repaired: bool) -> list[str]:
    left = (
        [tr("not repaired: {problem}", problem=line) for line in found["problems"]]
        if repaired
        else found["problems"]
    )
    return [*found.get("done", []), *left] or [tr("no problems found")]


def _add_arguments(parser: Parser) -> None:
    help_text = tr_noop("repair counters, loads, indexes and triggers, and remove orphaned rows")
    parser.add_option("--repair", action="store_true", help=help_text)
    add_json_options(parser)


COMMANDS = {
    "check": Command(
        "check for damage; exit 5 if there is any", check_database, _add_arguments,
        "  taskdeck db check\n  taskdeck db check --repair",
        asks=lambda args: "db.repair" if args.repair else "db.check",
    ),
}  # fmt: skip
