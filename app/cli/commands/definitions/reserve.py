"""`taskdeck reserve`: reserve amounts of a pool for the tasks of a tag."""

from __future__ import annotations

from app.cli import definition_group, time_format
from app.cli.parser import CPU, SIZE, Args, Command, Parser, add_json_options, require_text
from app.cli.submission.resources import add_resource_options, collect_resources
from app.cli.table_layout import Column, Span
from app.core.scheduling.resources import list_named
from app.core.text import units
from app.core.text.joining import join_and
from app.core.text.sanitize import sanitize
from app.errors import Usage
from app.translation import tr, tr_noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext

COLUMNS = [
    Column("NAME", least=4, first=True),
    Column("POOL", least=4),
    Column("FOR", least=6),
    Column("RESERVED", least=8),
    Column("BEGINS"),
    Column("ENDS"),
]
FIELDS = (
    "name", "pool", "tag", "cpu", "memory", "resources", "begins_at", "ends_at", "description",
    "created_at", "updated_at",
)  # fmt: skip
_OPTIONS = ("name", "pool", "tag", "cpu", "memory", "description")
_NEEDED = {"pool": "--pool", "tag": "--tag", "begin": "--from", "end": "--to"}


def format_row(row: dict[str, Any]) -> list[Span]:
    """Return one line of `reserve ls`."""
    return [
        (sanitize(row["name"]), ""),
        (sanitize(row["pool"]), ""),
        (sanitize(row["tag"]), ""),
        (_format_amounts(row), ""),
        (time_format.format_clock(row["begins_at"]), ""),
        (time_format.format_clock(row["ends_at"]), ""),
    ]


def _format_amounts(row: dict[str, Any]) -> str:
    """Format amounts: `cpu 8, memory 16.0G, gpu 4`."""
    found = [tr("cpu {cpu}", cpu=units.format_number(row["cpu"]))] if row["cpu"] else []
    found += (
        [tr("memory {memory}", memory=units.format_memory(row["memory"]))] if row["memory"] else []
    )
    return ", ".join(found + list_named(row["resources"]))


def add_reservation(context: CommandContext, args: Args) -> int:
    """Reserve amounts of a pool."""
    if missing := [option for name, option in _NEEDED.items() if getattr(args, name) is None]:
        raise Usage(
            "reserve needs {missing}. Nothing was reserved.",
            "Example: taskdeck reserve --pool default --cpu 2 --from now --to 18:00 --tag team=a",
            missing=join_and(missing),
        )
    if len(set(args.tag)) > 1:
        raise Usage("a reservation is for one tag. Nothing was reserved.", "Make one for each.")
    given = definition_group.collect_options(args, *_OPTIONS) | collect_resources(args)
    given["tag"] = args.tag[0]
    row = context.call("reserve.create", begin=args.begin, end=args.end, **given)
    text = tr(
        "reserved as {name}: {amounts} of pool {pool} for {tag}, from {begin} to {end}",
        name=sanitize(row["name"]),
        amounts=_format_amounts(row),
        pool=sanitize(row["pool"]),
        tag=sanitize(row["tag"]),
        begin=time_format.format_clock(row["begins_at"]),
        end=time_format.format_clock(row["ends_at"]),
    )
    return definition_group.print_result(args, row, text)


def _add_arguments(parser: Parser) -> None:
    for option, text in (
        ("--pool", tr_noop("pool whose amounts are reserved")),
        ("--name", tr_noop("name of the reservation (default: r1, r2, …)")),
    ):
        parser.add_option(option, type=require_text, metavar=option[2:].upper(), help=text)
    parser.add_option(
        "--tag", type=require_text, action="append", metavar="TAG",
        help="tag of the tasks that get them: team=a",
    )  # fmt: skip
    for option, dest, text in (
        ("--from", "begin", tr_noop('begin: now, "mon 09:00", 2026-12-01T09:00')),
        ("--to", "end", tr_noop('end, after the begin: "fri 18:00", 8h')),
    ):
        parser.add_option(option, dest=dest, type=require_text, metavar="TIME", help=text)
    parser.add_option("--cpu", type=CPU, metavar="CORES", help="cores to reserve")
    parser.add_option("--memory", type=SIZE, metavar="SIZE", help="memory to reserve: 512M, 32G")
    add_resource_options(parser.add_option)
    parser.add_option("--description", metavar="TEXT", help="description")
    add_json_options(parser)


COMMANDS = {
    "add": Command(
        "reserve amounts of a pool for the tasks of a tag; the word add may be left out",
        add_reservation,
        _add_arguments,
        "  taskdeck reserve --pool default --cpu 2 --from now --to 18:00 --tag team=a",
    ),
    "ls": definition_group.make_list_command("reserve", COLUMNS, format_row, FIELDS),
    "rm": definition_group.make_name_command("reserve", "rm", "remove a reservation", "removed"),
}
