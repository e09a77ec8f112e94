"""`taskdeck db`: database maintenance."""

from __future__ import annotations

from app.cli import output
from app.cli.commands.db import backup, check, cleanup, replica, restore, slow, stats
from app.cli.parser import Args, Command, add_json_options
from app.core.text.sanitize import sanitize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.cli.context import CommandContext


def migrate_database(session: CommandContext, args: Args) -> int:
    """Create the database or upgrade it to this version."""
    from app.offline import maintenance

    done = maintenance.migrate_home(session.home)
    if args.json or args.jsonl:
        output.print_json({"done": done}, args.jsonl)
    for line in () if args.json or args.jsonl else done or ["the database is up to date"]:
        output.print_line(sanitize(line))
    return 0


COMMANDS = {
    "migrate": Command("create or upgrade the database", migrate_database, add_json_options),
    **check.COMMANDS,
    **backup.COMMANDS,
    **restore.COMMANDS,
    **cleanup.COMMANDS,
    **slow.COMMANDS,
    **stats.COMMANDS,
    **replica.COMMANDS,
}
