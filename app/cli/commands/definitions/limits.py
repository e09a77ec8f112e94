"""`taskdeck limit`: limit what the running tasks of a tag take together."""

from __future__ import annotations

from app.cli import definition_group, time_format
from app.cli.parser import CAPACITY, CPU, SIZE, Args, Command, Parser, require_one_name
from app.cli.submission.resources import add_resource_options, collect_resources
from app.cli.table_layout import Column, Span
from app.core.scheduling.resources import list_named
from app.core.text import units
from app.core.text.sanitize import sanitize
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext

COLUMNS = [
    Column("NAME", least=8, first=True),
    Column("RUNNING", ">"),
    Column("CPU", ">"),
    Column("MEMORY", ">"),
    Column("RESOURCES", least=4),
]
FIELDS = (
    "name", "running", "cpu", "memory", "resources", "used", "description",
    "created_at", "updated_at",
)  # fmt: skip
_OPTIONS = ("running", "cpu", "memory", "description")


def format_limit_row(limit: dict[str, Any]) -> list[Span]:
    """Return one line of `limit ls`: what is used of each amount, or `4 each`."""
    return [
        (sanitize(limit["name"]), ""),
        *((_format_use(limit, name) or units.MISSING, "") for name in ("running", "cpu", "memory")),
        (", ".join(f"{sanitize(n)} {_format_use(limit, n)}" for n in limit["resources"]) or
         units.MISSING, ""),
    ]  # fmt: skip


def _format_use(limit: dict[str, Any], name: str) -> str:
    total = _get_amount(limit, name)
    if total is None:
        return ""
    most = _format_amount(name, total)
    if "=" not in limit["name"]:
        return tr("{most} each", most=most)
    used = limit["used"].get(limit["name"])
    return f"{_format_amount(name, _get_amount(used, name) or 0 if used else 0)}/{most}"


def _get_amount(amounts: dict[str, Any], name: str) -> float | None:
    return amounts[name] if name in amounts else amounts["resources"].get(name)


def _format_amount(name: str, amount: float) -> str:
    return units.format_memory(amount) if name == "memory" else units.format_number(amount)


def format_limit_facts(limit: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the lines of `limit show`, with what the running tasks of each tag take."""
    return [
        (tr("description"), limit.get("description") or ""),
        (tr("at most"), _format_amounts(limit)),
        *((tag, _format_amounts(used)) for tag, used in sorted(limit["used"].items())),
        (
            tr("created"),
            tr(
                "{created}, changed {changed}",
                created=time_format.format_clock(limit["created_at"]),
                changed=time_format.format_clock(limit["updated_at"]),
            ),
        ),
    ]


def _format_amounts(limit: dict[str, Any]) -> str:
    """Format amounts: `4 running, cpu 16, gpu 2`."""
    running = limit["running"]
    found = [] if running is None else [tr("{n} running", n=units.format_count(running))]
    found += [
        f"{name} {_format_amount(name, limit[name])}"
        for name in ("cpu", "memory")
        if limit[name] is not None
    ]
    return ", ".join(found + list_named(limit["resources"]))


def set_limit(context: CommandContext, args: Args) -> int:
    """Create or change a limit."""
    name = require_one_name(args, "limit")
    given = definition_group.collect_options(args, *_OPTIONS) | collect_resources(args)
    answer = context.call("limit.set", name=name, **given)
    each = "" if "=" in name else tr(", for each value of {name}", name=sanitize(name))
    done = tr("created") if answer.get("created") else tr("changed")
    text = tr(
        "limit {name} {done}: at most {amounts}{each}",
        name=sanitize(name),
        done=done,
        amounts=_format_amounts(answer),
        each=each,
    )
    return definition_group.print_result(args, answer, text)


def _add_arguments(parser: Parser) -> None:
    definition_group.add_name(parser)
    parser.add_option("--running", type=CAPACITY, metavar="N", help="maximum of running tasks")
    parser.add_option("--cpu", type=CPU, metavar="CORES", help="maximum of cores")
    parser.add_option("--memory", type=SIZE, metavar="SIZE", help="maximum of memory: 512M, 32G")
    add_resource_options(parser.add_option, "allow")
    parser.add_option("--description", metavar="TEXT", help="description")


COMMANDS = {
    "ls": definition_group.make_list_command("limit", COLUMNS, format_limit_row, FIELDS),
    "show": definition_group.make_show_command("limit", format_limit_facts),
    "set": Command(
        "limit the running tasks of a tag, or of each value of a tag",
        set_limit,
        _add_arguments,
        "  taskdeck limit set team=a --running 4 --cpu 16\n  taskdeck limit set team --running 4",
    ),
    "rm": definition_group.make_name_command("limit", "rm", "remove a limit", "removed"),
}
