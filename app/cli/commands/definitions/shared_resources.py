"""`taskdeck resource`: manage named resources that all pools share, such as licences."""

from __future__ import annotations

from app.cli import definition_group
from app.cli.parser import LIMIT, Args, Command, Parser, require_one_name
from app.cli.table_layout import Column, Span
from app.core.text import units
from app.core.text.sanitize import sanitize
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext

COLUMNS = [Column("RESOURCE", least=8, first=True), Column("RESERVED", ">"), Column("DESCRIPTION")]
FIELDS = ("name", "total", "used", "description", "created_at", "updated_at")


def format_resource_row(row: dict[str, Any]) -> list[Span]:
    """Return one line of `resource ls`."""
    return [
        (sanitize(row["name"]), ""),
        (f"{row['used']:,}/{row['total']:,}", ""),
        (sanitize(row["description"] or units.MISSING), ""),
    ]


def set_resource(context: CommandContext, args: Args) -> int:
    """Create or change a shared resource."""
    name = require_one_name(args, "resource")
    given = definition_group.collect_options(args, "total", "description")
    answer = context.call("resource.set", name=name, **given)
    done = tr("created") if answer["created"] else tr("changed")
    text = tr(
        "resource {name} {done}: {total:,} in all, for all pools",
        name=sanitize(name),
        done=done,
        total=answer["total"],
    )
    return definition_group.print_result(args, answer, text)


def _add_arguments(parser: Parser) -> None:
    definition_group.add_name(parser)
    parser.add_option("--total", type=LIMIT, metavar="N", help="units that all pools share")
    parser.add_option("--description", metavar="TEXT", help="description")


COMMANDS = {
    "ls": definition_group.make_list_command("resource", COLUMNS, format_resource_row, FIELDS),
    "set": Command(
        "set the total of a resource that all pools share",
        set_resource,
        _add_arguments,
        "  taskdeck resource set license.matlab --total 2",
    ),
    "rm": definition_group.make_name_command("resource", "rm", "remove a resource", "removed"),
}
