"""`taskdeck db`: the database, looked after while no runtime has it."""

from __future__ import annotations

from app.cli import output
from app.cli.commands.db import backup, check, cleanup, replica, restore, slow, stats
from app.cli.parser import Args, Command, as_json
from app.core.text.sanitize import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.cli.context import Session


def migrate(session: Session, args: Args) -> int:
    """Make the database, or bring it up to this version."""
    from app.offline import maintenance

    done = maintenance.migrate_home(session.home)
    if args.json or args.jsonl:
        output.document({"done": done}, args.jsonl)
    for line in () if args.json or args.jsonl else done or ["the database is up to date"]:
        output.line(clean(line))
    return 0


COMMANDS = {
    "migrate": Command("make it, or bring it up to this version", migrate, as_json),
    **check.COMMANDS,
    **backup.COMMANDS,
    **restore.COMMANDS,
    **cleanup.COMMANDS,
    **slow.COMMANDS,
    **stats.COMMANDS,
    **replica.COMMANDS,
}
