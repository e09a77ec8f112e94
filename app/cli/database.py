"""`taskdeck db`: the database, looked after while no runtime has it."""

from __future__ import annotations

from app.cli import db_backup, db_check, db_cleanup, db_replica, db_restore, db_slow, db_stats, output
from app.cli.options import Args, Command, as_json
from app.core.clean import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.cli.session import Session


def migrate(session: Session, args: Args) -> int:
    """Make the database, or bring it up to this version."""
    from app.offline import mending

    done = mending.migrate_home(session.home)
    if args.json or args.jsonl:
        output.document({"done": done}, args.jsonl)
    for line in () if args.json or args.jsonl else done or ["the database is up to date"]:
        output.line(clean(line))
    return 0


COMMANDS = {
    "migrate": Command("make it, or bring it up to this version", migrate, as_json),
    **db_check.COMMANDS,
    **db_backup.COMMANDS,
    **db_restore.COMMANDS,
    **db_cleanup.COMMANDS,
    **db_slow.COMMANDS,
    **db_stats.COMMANDS,
    **db_replica.COMMANDS,
}
