"""`taskdeck queue`: where tasks wait."""

from __future__ import annotations

import shlex

from app.cli import output, styles, time_format
from app.cli.commands import definition_group
from app.cli.parser import CAPACITY, PRIORITY, Args, Command, Parser, checked_name, filled, one
from app.cli.table import Column, Span
from app.core.text import units
from app.core.text.sanitize import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import Session

COLUMNS = [
    Column("QUEUE", least=8, first=True),
    Column("RUNNING", ">"),
    Column("WAITING", ">"),
    Column("OLDEST", ">"),
    Column("PRIORITY", ">"),
    Column("STATE"),
    Column("POOL", least=4),
]
FIELDS = (
    "name", "status", "current_load", "capacity", "waiting", "oldest_at", "priority", "pool", "description", "created_at", "updated_at",
)  # fmt: skip
_OPTIONS = ("capacity", "pool", "priority", "description")


def row(queue: dict[str, Any]) -> list[Span]:
    """One line of `queue ls`."""
    word = queue.get("word") or queue["status"]
    return [
        (clean(queue["name"]), ""),
        (f"{queue['current_load']}/{queue['capacity']}", ""),
        (units.count(queue["waiting"]), ""),
        (units.age(time_format.since(queue.get("oldest_at"))), ""),
        (str(queue["priority"]), ""),
        (clean(word), styles.WORDS.get(word, "")),
        (clean(queue["pool"]), ""),
    ]


def facts(queue: dict[str, Any]) -> list[tuple[str, str]]:
    """The lines of `queue show`."""
    return [
        ("what for", queue.get("description") or ""),
        ("state", queue.get("word") or queue["status"]),
        ("running", f"{queue['current_load']} of {queue['capacity']}"),
        ("waiting", _waiting(queue)),
        ("priority", str(queue["priority"])),
        ("pool", queue["pool"]),
        ("made", f"{time_format.clock(queue['created_at'])}, changed {time_format.clock(queue['updated_at'])}"),
    ]


def _waiting(queue: dict[str, Any]) -> str:
    oldest = time_format.since(queue.get("oldest_at"))
    return units.count(queue["waiting"]) + ("" if oldest is None else f", the oldest for {units.age(oldest)}")


def create(session: Session, args: Args) -> int:
    """Make a queue."""
    name = checked_name(args, "queue")
    answer = session.call("queue.create", name=name, **definition_group.given(args, *_OPTIONS))
    code = definition_group.done(
        args, answer, f"queue {clean(name)} created: {answer['capacity']} at once, pool {clean(answer['pool'])}"
    )
    _tell_shut(args, answer)
    return code


def set_(session: Session, args: Args) -> int:
    """Change a queue."""
    name = one(args, "queue")
    answer = session.call("queue.set", name=name, **definition_group.given(args, *_OPTIONS))
    code = definition_group.done(args, answer, f"queue {clean(name)} changed: {', '.join(_set(args, answer))}")
    _tell_shut(args, answer)
    return code


def _set(args: Args, queue: dict[str, Any]) -> list[str]:
    """What was set, as it is now."""
    found = {
        "capacity": f"{queue['capacity']} at once",
        "pool": f"pool {clean(queue['pool'])}",
        "priority": f"priority {queue['priority']}",
        "description": f'what for "{clean(queue.get("description") or "")}"',
    }
    return [found[name] for name in definition_group.given(args, *_OPTIONS)]


def _tell_shut(args: Args, queue: dict[str, Any]) -> None:
    """Say that a queue with no slot starts nothing, when it was made so just now."""
    if args.capacity == 0:
        name = clean(shlex.quote(queue["name"]))
        output.note(f"nothing can start in queue {clean(queue['name'])} now. To let one at a time: taskdeck queue set {name} --capacity 1")


def _arguments(parser: Parser) -> None:
    definition_group.named(parser)
    parser.option("--capacity", type=CAPACITY, metavar="N", help="at most N at once (default: the pool's cores)")
    parser.option("--pool", type=filled, metavar="POOL", help="where its tasks get CPU and memory (default: default)")
    parser.option("--priority", type=PRIORITY, metavar="N", help="higher first (default: 0)")
    parser.option("--description", metavar="TEXT", help="what it is for")


COMMANDS = {
    "ls": definition_group.listing("queue", COLUMNS, row, FIELDS),
    "show": definition_group.showing("queue", facts),
    "create": Command("make one", create, _arguments, "  taskdeck queue create media --capacity 2 --priority 10"),
    "set": Command("change one", set_, _arguments, "  taskdeck queue set media --capacity 4"),
    "pause": definition_group.acting("queue", "pause", "start nothing from it", "paused"),
    "resume": definition_group.acting("queue", "resume", "start from it again", "resumed"),
    "drain": definition_group.acting("queue", "drain", "let what runs end, and start nothing more", "draining"),
    "rm": definition_group.acting("queue", "rm", "remove an unused one", "removed"),
}
