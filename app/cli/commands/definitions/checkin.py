"""`taskdeck checkin`: report the success of a program that Taskdeck does not run."""

from __future__ import annotations

from app.cli import definition_group
from app.cli.parser import Args, Command, Parser, add_json_options
from app.core.text.sanitize import find_name_error, sanitize
from app.errors import Usage
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.cli.context import CommandContext


def check_in(context: CommandContext, args: Args) -> int:
    """Report a success."""
    if len(args.names) != 1:
        raise Usage(
            "who checks in? Give one name: taskdeck checkin NAME", "List: taskdeck sla checkins"
        )
    name = args.names[0]
    if wrong := find_name_error(name):
        raise Usage("the name {wrong}. Nothing was stored.", wrong=wrong)
    note = {} if args.note is None else {"note": args.note}
    answer = context.call("checkin", name=name, **note)
    rules = ", ".join(map(sanitize, answer.get("rules", ())))
    text = tr("{name} checked in", name=sanitize(name)) + (
        tr(", for {rules}", rules=rules) if rules else ""
    )
    return definition_group.print_result(args, answer, text)


def _add_arguments(parser: Parser) -> None:
    parser.add_option("names", nargs="*", metavar="NAME", help="name of the program or job")
    parser.add_option("--note", metavar="TEXT", help="note stored with the check-in")
    add_json_options(parser)


COMMANDS = {
    "checkin": Command(
        "report the success of a program outside of Taskdeck",
        check_in,
        _add_arguments,
        "  pg_dump app > app.sql && taskdeck checkin app-dump\n"
        "  taskdeck sla checkins   # the latest ones",
    )
}
