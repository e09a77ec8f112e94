"""`taskdeck sla`: how late is too late."""

from __future__ import annotations

from app.cli import styles, time_format
from app.cli.commands import definition_group
from app.cli.parser import DURATION, Args, Command, OneOf, Parser, checked_name, filled, one, pair
from app.cli.table import Column, Span
from app.core import metrics
from app.core.text import units
from app.core.text.sanitize import clean
from app.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from app.cli.context import Session

COLUMNS = [
    Column("SLA", least=8, first=True),
    Column("WANTS", least=12),
    Column("OF", least=8),
    Column("SEVERITY"),
    Column("STATE"),
]
FIELDS = ("name", "severity", "enabled", "conditions", "actions", "created_at", "updated_at")


def row(sla: dict[str, Any]) -> list[Span]:
    """One line of `sla ls`."""
    severity, style = styles.SEVERITIES.get(_severity(sla), (_severity(sla), ""))
    return [
        (clean(sla["name"]), ""),
        (clean(_wants(sla["conditions"])), ""),
        (clean(_of(sla)), ""),
        (clean(severity), style),
        _state(sla),
    ]


def facts(sla: dict[str, Any]) -> list[tuple[str, str]]:
    """The lines of `sla show`."""
    return [
        ("wants", _wants(sla["conditions"])),
        ("now" if sla.get("metric") else "of", _of(sla)),
        ("severity", _severity(sla)),
        ("state", _state(sla)[0]),
        ("made", f"{time_format.clock(sla['created_at'])}, changed {time_format.clock(sla['updated_at'])}"),
    ]


def _state(sla: dict[str, Any]) -> Span:
    """How it stands now: `2 firing, 1 pending`."""
    if not sla["enabled"]:
        return "off", "warn"
    alerts = [f"{count:,} {clean(status)}" for status, count in sla["open"].items() if count]
    if sla["silence"]:
        alerts.append(f"silenced until {time_format.clock(sla['silence']['until'])}")
    return ", ".join(alerts) or "ok", "broken" if sla["open"].get("firing") else "warn" if alerts else ""


def _wants(conditions: dict[str, Any]) -> str:
    value, metric = conditions.get("value", ""), conditions.get("metric")
    limit = units.setting(value) if isinstance(value, (float, int)) and not metric else str(value)
    return f"{metric or ''} {str(conditions.get('preset', '')).replace('-', ' ')} {limit}".strip()


def _of(sla: dict[str, Any]) -> str:
    """Which tasks a rule is about; of one on a figure how that stands."""
    if sla.get("metric"):
        return str(sla["stands"])
    return ", ".join(f"{key} {_value(value)}" for key, value in (sla["conditions"].get("match") or {}).items()) or "every task"


def _value(value: Any) -> str:
    return " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else str(value)


def _severity(sla: dict[str, Any]) -> str:
    stated = sla.get("severity") or (sla.get("actions") or {}).get("severity")
    return stated or {3: "critical", 1: "info"}.get(sla["priority"], "warning")


def create(session: Session, args: Args) -> int:
    """Make an SLA."""
    name = checked_name(args, "sla")
    given = _limits(args)
    if len(given) != 1:
        raise Usage("an SLA needs one of --finishes-within and --starts-within, or --metric and --stays-below. Nothing was created.")
    if (args.below is None) != (args.metric is None):
        raise Usage("--metric and --stays-below go together. Nothing was created.", f"Metrics: {', '.join(metrics.METRICS)}")
    answer = session.call("sla.create", name=name, **given[0], **_more(args))
    return definition_group.done(args, answer, f"sla {clean(name)} created")


def _limits(args: Args) -> list[dict[str, Any]]:
    """The limits that were given."""
    limits = {"finishes-within": args.finishes, "starts-within": args.starts, "stays-below": args.below}
    return [{"preset": preset, "value": value} for preset, value in limits.items() if value is not None]


def _more(args: Args) -> dict[str, Any]:
    """What it is for and how bad it is."""
    more = definition_group.given(args, "metric", "template", "queue", "task", "severity")
    return more | ({"tag": dict(args.tag)} if args.tag else {})


def set_(session: Session, args: Args) -> int:
    """Change an SLA."""
    name = one(args, "sla")
    given = _limits(args)
    if len(given) > 1 or args.on and args.off:
        raise Usage("one of --finishes-within, --starts-within and --stays-below, and one of --on and --off. Nothing was changed.")
    changes = _more(args) | (given[0] if given else {}) | ({"enabled": args.on} if args.on or args.off else {})
    if not changes:
        raise Usage("set what? Name it: --finishes-within 1h, --severity critical, --off, …", "See: taskdeck sla set --help")
    return definition_group.done(args, session.call("sla.set", name=name, **changes), f"sla {clean(name)} changed")


def _arguments(parser: Parser, kind: Callable[[str], str] = filled) -> None:
    definition_group.named(parser)
    parser.option(
        "--finishes-within", dest="finishes", type=DURATION, metavar="TIME", help="ends within that of its submission"
    )
    parser.option(
        "--starts-within", dest="starts", type=DURATION, metavar="TIME", help="starts within that of its submission"
    )
    parser.option("--metric", type=OneOf(*metrics.METRICS), metavar="METRIC", help=f"of Taskdeck itself: {', '.join(metrics.METRICS)}")
    parser.option("--stays-below", dest="below", metavar="LIMIT", help="it is less: 5m or 250ms, 20 for slow-queries, 64M for wal-size")
    parser.option("--template", type=kind, metavar="TEMPLATE", help="only tasks of this template")
    parser.option("--queue", type=kind, metavar="QUEUE", help="only tasks of this queue")
    parser.option("--task", type=kind, metavar="NAME", help="only tasks of this name")
    parser.option("--tag", action="append", type=pair, metavar="K=V", help="only tasks with this tag; may repeat")
    parser.option("--severity", type=OneOf(*styles.SEVERITIES), metavar="WORD", help="critical, warning (default) or info")


def _set_arguments(parser: Parser) -> None:
    _arguments(parser, str)  # where an empty name takes away what was said before
    parser.option("--on", action="store_true", help="heed it again")
    parser.option("--off", action="store_true", help="heed it no more, and close its alerts")


EXAMPLES = """\
  taskdeck sla create encode-on-time --finishes-within 45m --template encode
  taskdeck sla create replica-fresh --metric replica-lag --stays-below 5m --severity critical"""

COMMANDS = {
    "ls": definition_group.listing("sla", COLUMNS, row, FIELDS),
    "show": definition_group.showing("sla", facts),
    "create": Command("make one", create, _arguments, EXAMPLES),
    "set": Command("change one", set_, _set_arguments, "  taskdeck sla set encode-on-time --finishes-within 1h"),
    "rm": definition_group.acting("sla", "rm", "remove one", "removed"),
}
