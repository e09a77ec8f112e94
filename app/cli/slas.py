"""`taskdeck sla`: how late is too late."""

from __future__ import annotations

from app.cli import groups, look, times
from app.cli.options import DURATION, Args, Command, OneOf, Parser, checked_name, one, pair
from app.cli.table import Column, Span
from app.core import amounts
from app.core.clean import clean
from app.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.session import Session

COLUMNS = [
    Column("SLA", least=8, first=True),
    Column("WANTS", least=12),
    Column("OF", least=8),
    Column("SEVERITY"),
    Column("STATE"),
]
FIELDS = ("name", "severity", "enabled", "conditions", "actions", "created_at", "updated_at")
PRESETS = ("finishes-within", "starts-within")


def row(sla: dict[str, Any]) -> list[Span]:
    """One line of `sla ls`."""
    severity, style = look.SEVERITIES.get(_severity(sla), (_severity(sla), ""))
    return [
        (clean(sla["name"]), ""),
        (clean(_wants(sla["conditions"])), ""),
        (clean(_of(sla["conditions"])), ""),
        (clean(severity), style),
        ("on" if sla["enabled"] else "off", "" if sla["enabled"] else "warn"),
    ]


def facts(sla: dict[str, Any]) -> list[tuple[str, str]]:
    """The lines of `sla show`."""
    return [
        ("wants", _wants(sla["conditions"])),
        ("of", _of(sla["conditions"])),
        ("severity", _severity(sla)),
        ("state", "on" if sla["enabled"] else "off"),
        ("made", f"{times.clock(sla['created_at'])}, changed {times.clock(sla['updated_at'])}"),
    ]


def _wants(conditions: dict[str, Any]) -> str:
    value = conditions.get("value", "")
    limit = amounts.setting(value) if isinstance(value, (float, int)) else str(value)
    return f"{str(conditions.get('preset', '')).replace('-', ' ')} {limit}"


def _of(conditions: dict[str, Any]) -> str:
    return ", ".join(f"{key} {_value(value)}" for key, value in (conditions.get("match") or {}).items()) or "every task"


def _value(value: Any) -> str:
    return " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else str(value)


def _severity(sla: dict[str, Any]) -> str:
    stated = sla.get("severity") or (sla.get("actions") or {}).get("severity")
    return stated or {3: "critical", 1: "info"}.get(sla["priority"], "warning")


def create(session: Session, args: Args) -> int:
    """Make an SLA."""
    name = checked_name(args, "sla")
    limits = {"finishes-within": args.finishes, "starts-within": args.starts}
    given = {preset: value for preset, value in limits.items() if value is not None}
    if len(given) != 1:
        raise Usage("an SLA needs one of --finishes-within and --starts-within. Nothing was created.")
    ((preset, value),) = given.items()
    answer = session.call("sla.create", name=name, preset=preset, value=value, **_more(args))
    return groups.done(args, answer, f"sla {clean(name)} created")


def _more(args: Args) -> dict[str, Any]:
    """What it is for and how bad it is."""
    more = groups.given(args, "template", "queue", "task", "severity")
    return more | ({"tag": dict(args.tag)} if args.tag else {})


def set_(session: Session, args: Args) -> int:
    """Change an SLA."""
    name = one(args, "sla")
    limits = {"finishes-within": args.finishes, "starts-within": args.starts}
    given = [{"preset": preset, "value": value} for preset, value in limits.items() if value is not None]
    if len(given) > 1 or args.on and args.off:
        raise Usage("one of --finishes-within and --starts-within, and one of --on and --off. Nothing was changed.")
    changes = _more(args) | (given[0] if given else {}) | ({"enabled": args.on} if args.on or args.off else {})
    if not changes:
        raise Usage("set what? Name it: --finishes-within 1h, --severity critical, --off, …", "See: taskdeck sla set --help")
    return groups.done(args, session.call("sla.set", name=name, **changes), f"sla {clean(name)} changed")


def _arguments(parser: Parser) -> None:
    groups.named(parser)
    parser.option(
        "--finishes-within", dest="finishes", type=DURATION, metavar="TIME", help="ends within that of its submission"
    )
    parser.option(
        "--starts-within", dest="starts", type=DURATION, metavar="TIME", help="starts within that of its submission"
    )
    parser.option("--template", metavar="TEMPLATE", help="only tasks of this template")
    parser.option("--queue", metavar="QUEUE", help="only tasks of this queue")
    parser.option("--task", metavar="NAME", help="only tasks of this name")
    parser.option("--tag", action="append", type=pair, metavar="K=V", help="only tasks with this tag; may repeat")
    parser.option("--severity", type=OneOf(*look.SEVERITIES), metavar="WORD", help="critical, warning (default) or info")


def _set_arguments(parser: Parser) -> None:
    _arguments(parser)
    parser.option("--on", action="store_true", help="heed it again")
    parser.option("--off", action="store_true", help="heed it no more, and close its alerts")


COMMANDS = {
    "ls": groups.listing("sla", COLUMNS, row, FIELDS),
    "show": groups.showing("sla", facts),
    "create": Command(
        "make one", create, _arguments, "  taskdeck sla create encode-on-time --finishes-within 45m --template encode"
    ),
    "set": Command("change one", set_, _set_arguments, "  taskdeck sla set encode-on-time --finishes-within 1h"),
    "rm": groups.acting("sla", "rm", "remove one", "removed"),
}
