"""`taskdeck pool`: CPU and memory that tasks share. What a task asks for is reserved, not enforced."""

from __future__ import annotations

from app.cli import output, styles, time_format
from app.cli.commands import definition_group
from app.cli.parser import CPU, SIZE, Args, Command, Parser, checked_name, filled, one
from app.cli.table import Column, Span
from app.core.text import units
from app.core.text.sanitize import clean
from app.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import Session

COLUMNS = [
    Column("POOL", least=8, first=True),
    Column("CPU RESERVED", ">"),
    Column("MEMORY RESERVED", ">"),
    Column("STATE"),
    Column("SLA", least=4),
]
FIELDS = (
    "name", "status", "used_cpu", "total_cpu", "used_memory", "total_memory", "sla", "description", "created_at", "updated_at",
)  # fmt: skip
_OPTIONS = ("cpu", "memory", "sla", "description")


def row(pool: dict[str, Any]) -> list[Span]:
    """One line of `pool ls`."""
    return [
        (clean(pool["name"]), ""),
        (units.cpu_pair(pool["used_cpu"], pool["total_cpu"]), ""),
        (units.memory_pair(pool["used_memory"], pool["total_memory"]), ""),
        styles.place(clean(pool["status"])),
        (clean(pool.get("sla") or units.MISSING), ""),
    ]


def facts(pool: dict[str, Any]) -> list[tuple[str, str]]:
    """The lines of `pool show`."""
    return [
        ("what for", pool.get("description") or ""),
        ("state", styles.place(pool["status"])[0]),
        ("cpu", f"{units.cpu_pair(pool['used_cpu'], pool['total_cpu'])} reserved"),
        ("memory", f"{units.memory_pair(pool['used_memory'], pool['total_memory'])} reserved"),
        ("sla", pool.get("sla") or ""),
        ("made", f"{time_format.clock(pool['created_at'])}, changed {time_format.clock(pool['updated_at'])}"),
    ]


def create(session: Session, args: Args) -> int:
    """Make a pool."""
    name = checked_name(args, "pool")
    if args.cpu is None or args.memory is None:
        raise Usage("a pool needs both --cpu and --memory. Nothing was created.", "Such as: --cpu 8 --memory 32G")
    answer = session.call("pool.create", name=name, **definition_group.given(args, *_OPTIONS))
    has = f"cpu {units.plain(answer['total_cpu'])}, memory {units.memory(answer['total_memory'])}"
    code = definition_group.done(args, answer, f"pool {clean(name)} created: {has}")
    _tell_shut(args, answer)
    return code


def set_(session: Session, args: Args) -> int:
    """Change a pool."""
    name = one(args, "pool")
    answer = session.call("pool.set", name=name, **definition_group.given(args, *_OPTIONS))
    code = definition_group.done(args, answer, f"pool {clean(name)} changed: {', '.join(_set(args, answer))}")
    _tell_shut(args, answer)
    return code


def _set(args: Args, pool: dict[str, Any]) -> list[str]:
    """What was set, as it is now."""
    found = {
        "cpu": f"cpu {units.plain(pool['total_cpu'])}",
        "memory": f"memory {units.memory(pool['total_memory'])}",
        "sla": f"sla {clean(pool.get('sla') or 'none')}",
        "description": f'what for "{clean(pool.get("description") or "")}"',
    }
    return [found[name] for name in definition_group.given(args, *_OPTIONS)]


def _tell_shut(args: Args, pool: dict[str, Any]) -> None:
    """Say that a pool without cores or memory starts nothing that asks for some, when it was set so just now."""
    name = clean(pool["name"])
    if args.cpu == 0:
        output.note(f"nothing can start in pool {name} that asks for CPU, as every task does unless it says --cpu 0.")
    if args.memory == 0:
        output.note(f"nothing can start in pool {name} that asks for memory.")


def _arguments(parser: Parser) -> None:
    definition_group.named(parser)
    parser.option("--cpu", type=CPU, metavar="CORES", help="cores to give out")
    parser.option("--memory", type=SIZE, metavar="SIZE", help="memory to give out: 512M, 32G")
    parser.option("--sla", type=filled, metavar="SLA", help="the SLA of all its tasks")
    parser.option("--description", metavar="TEXT", help="what it is for")


COMMANDS = {
    "ls": definition_group.listing("pool", COLUMNS, row, FIELDS),
    "show": definition_group.showing("pool", facts),
    "create": Command("make one", create, _arguments, "  taskdeck pool create gpu --cpu 8 --memory 32G"),
    "set": Command("change one", set_, _arguments, "  taskdeck pool set gpu --memory 48G"),
    "pause": definition_group.acting("pool", "pause", "start nothing in it", "paused"),
    "resume": definition_group.acting("pool", "resume", "start in it again", "resumed"),
    "drain": definition_group.acting("pool", "drain", "let what runs end, and start nothing more", "draining"),
    "rm": definition_group.acting("pool", "rm", "remove an unused one", "removed"),
}
