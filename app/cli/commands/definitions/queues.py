"""`taskdeck queue`: manage queues."""

from __future__ import annotations

import shlex

from app.cli import definition_group, output, styles, time_format
from app.cli.parser import (
    CAPACITY,
    PRIORITY,
    Args,
    Command,
    Parser,
    require_new_name,
    require_one_name,
    require_text,
)
from app.cli.table_layout import Column, Span
from app.core.text import units
from app.core.text.sanitize import sanitize
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext

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
    "name", "status", "current_load", "capacity", "waiting", "oldest_at", "priority", "pool",
    "description", "created_at", "updated_at", "open", "opens_at",
)  # fmt: skip
_OPTIONS = ("capacity", "pool", "priority", "open", "description")


def format_queue_row(queue: dict[str, Any]) -> list[Span]:
    """Return one line of `queue ls`."""
    word = queue.get("word") or queue["status"]
    return [
        (sanitize(queue["name"]), ""),
        (f"{queue['current_load']}/{queue['capacity']}", ""),
        (units.format_count(queue["waiting"]), ""),
        (units.format_age(time_format.seconds_since(queue.get("oldest_at"))), ""),
        (str(queue["priority"]), ""),
        (sanitize(name_state(word)), styles.QUEUE_STYLES.get(word, "")),
        (sanitize(queue["pool"]), ""),
    ]


def name_state(word: str) -> str:
    """Return the word of a state; that of a closed queue ends with a time: `opens 22:00`."""
    if word.startswith("opens "):
        return tr("opens {time}", time=word.removeprefix("opens "))
    return tr(word)


def format_queue_facts(queue: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the lines of `queue show`."""
    return [
        (tr("description"), queue.get("description") or ""),
        (tr("state"), name_state(queue.get("word") or queue["status"])),
        (
            tr("running"),
            tr("{load} of {capacity}", load=queue["current_load"], capacity=queue["capacity"]),
        ),
        (tr("waiting"), _format_waiting(queue)),
        (tr("priority"), str(queue["priority"])),
        (tr("opening hours"), queue.get("open") or ""),
        (tr("pool"), queue["pool"]),
        (
            tr("created"),
            (
                tr(
                    "{created}, changed {changed}",
                    created=time_format.format_clock(queue["created_at"]),
                    changed=time_format.format_clock(queue["updated_at"]),
                )
            ),
        ),
    ]


def _format_waiting(queue: dict[str, Any]) -> str:
    oldest = time_format.seconds_since(queue.get("oldest_at"))
    return units.format_count(queue["waiting"]) + (
        "" if oldest is None else tr(", the oldest for {age}", age=units.format_age(oldest))
    )


def create_queue(context: CommandContext, args: Args) -> int:
    """Create a queue."""
    name = require_new_name(args, "queue")
    answer = context.call(
        "queue.create", name=name, **definition_group.collect_options(args, *_OPTIONS)
    )
    code = definition_group.print_result(
        args,
        answer,
        tr(
            "queue {name} created: {capacity} at once, pool {pool}",
            name=sanitize(name),
            capacity=answer["capacity"],
            pool=sanitize(answer["pool"]),
        ),
    )
    _warn_closed(args, answer)
    return code


def set_queue(context: CommandContext, args: Args) -> int:
    """Change a queue."""
    name = require_one_name(args, "queue")
    answer = context.call(
        "queue.set", name=name, **definition_group.collect_options(args, *_OPTIONS)
    )
    code = definition_group.print_result(
        args,
        answer,
        tr(
            "queue {name} changed: {changes}",
            name=sanitize(name),
            changes=", ".join(_format_changes(args, answer)),
        ),
    )
    _warn_closed(args, answer)
    return code


def _format_changes(args: Args, queue: dict[str, Any]) -> list[str]:
    found = {
        "capacity": tr("{capacity} at once", capacity=queue["capacity"]),
        "pool": tr("pool {pool}", pool=sanitize(queue["pool"])),
        "priority": tr("priority {priority}", priority=queue["priority"]),
        "open": tr("open {times}", times=queue.get("open") or tr("always")),
        "description": tr(
            'description "{description}"', description=sanitize(queue.get("description") or "")
        ),
    }
    return [found[name] for name in definition_group.collect_options(args, *_OPTIONS)]


def _warn_closed(args: Args, queue: dict[str, Any]) -> None:
    """Warn that a queue just set to capacity 0 starts nothing."""
    if args.capacity == 0:
        name = sanitize(shlex.quote(queue["name"]))
        output.print_note(
            tr(
                "tasks in queue {name} cannot start. To allow one at a time: taskdeck queue set"
                " {word} --capacity 1",
                name=sanitize(queue["name"]),
                word=name,
            )
        )


def _add_arguments(parser: Parser) -> None:
    definition_group.add_name(parser)
    parser.add_option(
        "--capacity",
        type=CAPACITY,
        metavar="N",
        help="maximum number of running tasks (default: the pool's cores)",
    )
    parser.add_option(
        "--pool",
        type=require_text,
        metavar="POOL",
        help="pool that provides CPU and memory (default: default)",
    )
    parser.add_option("--priority", type=PRIORITY, metavar="N", help="higher first (default: 0)")
    parser.add_option(
        "--open",
        type=require_text,
        metavar="HOURS",
        help="when it starts tasks, in local time: 22:00-06:00, or always (default)",
    )
    parser.add_option("--description", metavar="TEXT", help="description")


COMMANDS = {
    "ls": definition_group.make_list_command("queue", COLUMNS, format_queue_row, FIELDS),
    "show": definition_group.make_show_command("queue", format_queue_facts),
    "create": Command(
        "create a queue",
        create_queue,
        _add_arguments,
        "  taskdeck queue create media --capacity 2 --priority 10\n"
        '  taskdeck queue create night --open "mon-fri 18:00-08:00, sat-sun"',
    ),
    "set": Command(
        "change a queue", set_queue, _add_arguments, "  taskdeck queue set media --capacity 4"
    ),
    "pause": definition_group.make_name_command(
        "queue", "pause", "start no more of its tasks; running tasks continue", "paused"
    ),
    "resume": definition_group.make_name_command(
        "queue", "resume", "resume starting tasks of a queue", "resumed"
    ),
    "drain": definition_group.make_name_command(
        "queue", "drain", "pause it, and show others that it is emptied on purpose", "draining"
    ),
    "rm": definition_group.make_name_command("queue", "rm", "remove an unused queue", "removed"),
}
