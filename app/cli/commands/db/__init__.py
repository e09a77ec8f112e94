"""`taskdeck db`: database maintenance."""

from __future__ import annotations

from app.cli import output
from app.cli.commands.db import backup, check, cleanup, replica, restore, slow, stats
from app.cli.parser import Args, Command, Parser, add_json_options
from app.core.text.sanitize import sanitize
from app.errors import Conflict
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.cli.context import CommandContext


def migrate_database(context: CommandContext, args: Args) -> int:
    """Create the database, upgrade it to this version, or change it to a given revision."""
    from app.offline import maintenance

    try:
        done = (
            maintenance.migrate_home(context.home)
            if args.to is None
            else maintenance.migrate_home_to(context.home, args.to)
        )
    except Conflict as problem:
        raise restore.explain_conflict(context.home, problem) from None
    if args.json or args.jsonl:
        output.print_json({"done": done}, args.jsonl)
        return 0
    unchanged = (
        tr("the database is up to date")
        if args.to is None
        else tr("the database is at revision {revision} already", revision=args.to)
    )
    for line in done or [unchanged]:
        output.print_line(sanitize(line))
    if done and args.to is not None:
        output.print_note(
            tr("each version of Taskdeck upgrades to its own revision when it starts")
        )
    return 0


def _add_migrate_arguments(parser: Parser) -> None:
    parser.add_option(
        "--to",
        metavar="REVISION",
        help="up or down to this revision, for another version of Taskdeck",
    )
    add_json_options(parser)


COMMANDS = {
    "migrate": Command(
        "create or upgrade the database",
        migrate_database,
        _add_migrate_arguments,
        "  taskdeck stop && taskdeck db migrate --to 0001",
    ),
    **check.COMMANDS,
    **backup.COMMANDS,
    **restore.COMMANDS,
    **cleanup.COMMANDS,
    **slow.COMMANDS,
    **stats.COMMANDS,
    **replica.COMMANDS,
}
