"""`taskdeck db`: the database, looked after while no runtime has it."""

from __future__ import annotations

from app.cli import output
from app.cli.options import Args, Command, as_json
from app.core.clean import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.cli.session import Session


def migrate(session: Session, args: Args) -> int:
    """Make the database, or bring it up to this version."""
    from app import offline

    done = offline.migrate_home(session.home)
    if args.json or args.jsonl:
        output.document({"done": done}, args.jsonl)
    for line in () if args.json or args.jsonl else done or ["the database is up to date"]:
        output.line(clean(line))
    return 0


def check(session: Session, args: Args) -> int:
    """Read the whole database and look for damage; 1 when there is some."""
    from app import offline

    problems = offline.check_home(session.home)
    if args.json or args.jsonl:
        output.document({"ok": not problems, "problems": problems}, args.jsonl)
    else:
        for line in problems or ["the database is well"]:
            output.line(clean(line))
    return 1 if problems else 0


COMMANDS = {
    "migrate": Command("make it, or bring it up to this version", migrate, as_json),
    "check": Command("look for damage", check, as_json),
}
