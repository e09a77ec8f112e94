"""`taskdeck sla`: manage SLA rules."""

from __future__ import annotations

from app.cli import definition_group, styles, time_format
from app.cli.parser import (
    TIMEOUT,
    Args,
    Command,
    OneOf,
    Parser,
    parse_pair,
    require_new_name,
    require_one_name,
    require_text,
)
from app.cli.table_layout import Column, Span
from app.core import metrics
from app.core.text import units
from app.core.text.sanitize import sanitize
from app.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from app.cli.context import CommandContext

COLUMNS = [
    Column("SLA", least=8, first=True),
    Column("WANTS", least=12),
    Column("OF", least=8),
    Column("SEVERITY"),
    Column("STATE"),
]
FIELDS = ("name", "severity", "enabled", "conditions", "actions", "created_at", "updated_at")


def format_sla_row(sla: dict[str, Any]) -> list[Span]:
    """Return one line of `sla ls`."""
    severity, style = styles.SEVERITIES.get(_get_severity(sla), (_get_severity(sla), ""))
    return [
        (sanitize(sla["name"]), ""),
        (sanitize(_format_condition(sla["conditions"])), ""),
        (sanitize(_format_scope(sla)), ""),
        (sanitize(severity), style),
        _format_state(sla),
    ]


def format_sla_facts(sla: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the lines of `sla show`."""
    return [
        ("condition", _format_condition(sla["conditions"])),
        ("now" if sla.get("metric") else "of", _format_scope(sla)),
        ("severity", _get_severity(sla)),
        ("state", _format_state(sla)[0]),
        (
            "created",
            (
                f"{time_format.format_clock(sla['created_at'])}, changed"
                f" {time_format.format_clock(sla['updated_at'])}"
            ),
        ),
    ]


def _format_state(sla: dict[str, Any]) -> Span:
    """Return the open alerts: `2 firing, 1 pending`."""
    if not sla["enabled"]:
        return "off", "warn"
    alerts = [f"{count:,} {sanitize(status)}" for status, count in sla["open"].items() if count]
    if sla["silence"]:
        alerts.append(f"silenced until {time_format.format_clock(sla['silence']['until'])}")
    return ", ".join(alerts) or sla["state"], (
        "broken" if sla["open"].get("firing") else "warn" if alerts else ""
    )


def _format_condition(conditions: dict[str, Any]) -> str:
    value, metric = conditions.get("value", ""), conditions.get("metric")
    limit = (
        units.format_duration_setting(value)
        if isinstance(value, (float, int)) and not metric
        else str(value)
    )
    return f"{metric or ''} {str(conditions.get('preset', '')).replace('-', ' ')} {limit}".strip()


def _format_scope(sla: dict[str, Any]) -> str:
    """Return the tasks a rule covers, or the present value of its metric."""
    if sla.get("metric"):
        return str(sla["stands"])
    return (
        ", ".join(
            f"{key} {_format_value(value)}"
            for key, value in (sla["conditions"].get("match") or {}).items()
        )
        or "every task"
    )


def _format_value(value: Any) -> str:
    return " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else str(value)


def _get_severity(sla: dict[str, Any]) -> str:
    stated = sla.get("severity") or (sla.get("actions") or {}).get("severity")
    return stated or {3: "critical", 1: "info"}.get(sla["priority"], "warning")


def create_sla(session: CommandContext, args: Args) -> int:
    """Create an SLA."""
    name = require_new_name(args, "sla")
    limits = _collect_limits(args)
    if len(limits) != 1:
        raise Usage(
            "an SLA needs --finishes-within, --starts-within, or --metric with "
            "--stays-below. Nothing was created."
        )
    if (args.below is None) != (args.metric is None):
        raise Usage(
            "--metric and --stays-below require each other. Nothing was created.",
            f"Metrics: {', '.join(metrics.METRICS)}",
        )
    answer = session.call("sla.create", name=name, **limits[0], **_collect_scope(args))
    return definition_group.print_result(args, answer, f"sla {sanitize(name)} created")


def _collect_limits(args: Args) -> list[dict[str, Any]]:
    limits = {
        "finishes-within": args.finishes,
        "starts-within": args.starts,
        "stays-below": args.below,
    }
    return [
        {"preset": preset, "value": value} for preset, value in limits.items() if value is not None
    ]


def _collect_scope(args: Args) -> dict[str, Any]:
    more = definition_group.collect_options(args, "metric", "template", "queue", "task", "severity")
    return more | ({"tag": dict(args.tag)} if args.tag else {})


def set_sla(session: CommandContext, args: Args) -> int:
    """Change an SLA."""
    name = require_one_name(args, "sla")
    limits = _collect_limits(args)
    if len(limits) > 1 or args.on and args.off:
        raise Usage("give only one limit, and only one of --on and --off. Nothing was changed.")
    changes = (
        _collect_scope(args)
        | (limits[0] if limits else {})
        | ({"enabled": args.on} if args.on or args.off else {})
    )
    if not changes:
        raise Usage(
            "set what? Give an option: --finishes-within 1h, --severity critical, --off, …",
            "See: taskdeck sla set --help",
        )
    return definition_group.print_result(
        args, session.call("sla.set", name=name, **changes), f"sla {sanitize(name)} changed"
    )


def _add_arguments(parser: Parser, kind: Callable[[str], str] = require_text) -> None:
    definition_group.add_name(parser)
    parser.add_option(
        "--finishes-within",
        dest="finishes",
        type=TIMEOUT,
        metavar="TIME",
        help="deadline for finishing, counted from submission",
    )
    parser.add_option(
        "--starts-within",
        dest="starts",
        type=TIMEOUT,
        metavar="TIME",
        help="deadline for starting, counted from submission",
    )
    parser.add_option(
        "--metric",
        type=OneOf(*metrics.METRICS),
        metavar="METRIC",
        help=f"metric of Taskdeck: {', '.join(metrics.METRICS)}",
    )
    parser.add_option(
        "--stays-below",
        dest="below",
        metavar="LIMIT",
        help="upper limit of the metric: 5m or 250ms, 20 for slow-queries, 64M for wal-size",
    )
    parser.add_option(
        "--template", type=kind, metavar="TEMPLATE", help="only tasks of this template"
    )
    parser.add_option("--queue", type=kind, metavar="QUEUE", help="only tasks of this queue")
    parser.add_option("--task", type=kind, metavar="NAME", help="only tasks with this name")
    parser.add_option(
        "--tag",
        action="append",
        type=parse_pair,
        metavar="K=V",
        help="only tasks with this tag; repeatable",
    )
    parser.add_option(
        "--severity",
        type=OneOf(*styles.SEVERITIES),
        metavar="WORD",
        help="critical, warning (default) or info",
    )


def _add_set_arguments(parser: Parser) -> None:
    _add_arguments(parser, str)  # an empty name removes the condition
    parser.add_option("--on", action="store_true", help="enable the rule")
    parser.add_option("--off", action="store_true", help="disable the rule and close its alerts")


EXAMPLES = """\
  taskdeck sla create encode-on-time --finishes-within 45m --template encode
  taskdeck sla create replica-fresh --metric replica-lag --stays-below 5m --severity critical"""

COMMANDS = {
    "ls": definition_group.make_list_command("sla", COLUMNS, format_sla_row, FIELDS),
    "show": definition_group.make_show_command("sla", format_sla_facts),
    "create": Command("create an SLA", create_sla, _add_arguments, EXAMPLES),
    "set": Command(
        "change an SLA",
        set_sla,
        _add_set_arguments,
        "  taskdeck sla set encode-on-time --finishes-within 1h",
    ),
    "rm": definition_group.make_name_command("sla", "rm", "remove an SLA", "removed"),
}
