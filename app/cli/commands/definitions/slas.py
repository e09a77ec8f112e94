"""`taskdeck sla`: manage SLA rules."""

from __future__ import annotations

from app.cli import definition_group, output, styles, time_format
from app.cli.commands.definitions.notify import describe_delivery
from app.cli.parser import (
    TIMEOUT,
    Args,
    Command,
    OneOf,
    Parser,
    add_json_options,
    add_row_options,
    parse_pair,
    require_new_name,
    require_one_name,
    require_text,
)
from app.cli.table_layout import Column, Span
from app.core import metrics
from app.core.text import units
from app.core.text.joining import join_colon
from app.core.text.sanitize import sanitize
from app.errors import Usage
from app.translation import tr, tr_n, tr_noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from app.cli.context import CommandContext

COLUMNS = [
    Column("RULE", least=8, first=True),
    Column("WANTS", least=12),
    Column("OF", least=8),
    Column("SEVERITY"),
    Column("STATE"),
]
PRESET_COLUMNS = [
    Column("PRESET", least=8, first=True),
    Column("LIMIT"),
    Column("FOR"),
    Column("FIRES IF", least=12),
]
CHECKIN_COLUMNS = [
    Column("NAME", least=8, first=True),
    Column("LAST", ">"),
    Column("BY"),
    Column("WATCHED BY", least=10, first=True),
    Column("NOTE", least=6, first=True),
]
CHECKIN_FIELDS = ("name", "at", "by", "rules", "note")
FIELDS = ("name", "severity", "enabled", "conditions", "actions", "created_at", "updated_at")


def format_sla_row(sla: dict[str, Any]) -> list[Span]:
    """Return one line of `sla ls`."""
    severity, style = styles.SEVERITIES.get(_get_severity(sla), (_get_severity(sla), ""))
    condition, scope = _format_words(sla)
    return [
        (sanitize(sla["name"]), ""),
        (sanitize(condition), ""),
        (sanitize(scope), ""),
        (sanitize(severity), style),
        _format_state(sla),
    ]


def format_sla_facts(sla: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the lines of `sla show`."""
    condition, scope = _format_words(sla)
    return [
        (tr("condition"), condition),
        (tr("now") if sla.get("metric") else tr("of"), scope),
        (tr("now"), "\n".join(sanitize(level["text"]) for level in sla.get("levels") or ())),
        (tr("left out"), sanitize(sla.get("left_out") or "")),
        (tr("due"), _format_due(sla)),
        (tr("severity"), _get_severity(sla)),
        (tr("state"), _format_state(sla)[0]),
        (tr("silence"), _format_silence(sla["silence"])),
        (tr("does"), "\n".join(sla.get("does", ()))),
        (tr("sent"), "\n".join(map(describe_delivery, sla.get("deliveries", ())))),
        (
            tr("created"),
            (
                tr(
                    "{created}, changed {changed}",
                    created=time_format.format_clock(sla["created_at"]),
                    changed=time_format.format_clock(sla["updated_at"]),
                )
            ),
        ),
    ]


def _format_due(sla: dict[str, Any]) -> str:
    """Return when a rule fires next: `next Mon 06:00 (in 3h): #12 nightly-etl, then 4 more`.

    A deadline says so in its value.
    """
    due = sla.get("due")
    if not due or any("due" in level for level in sla.get("levels") or ()):
        return ""
    when = time_format.format_future(due["at"]) or time_format.format_clock(due["at"])
    about = f": {due['object']}" if due["object"] else ""
    more = tr(", then {n} more", n=due["more"]) if due["more"] else ""
    return tr("next {time}{about}{more}", time=when, about=about, more=more)


def _format_silence(silence: dict[str, Any] | None) -> str:
    if not silence:
        return ""
    why = f": {silence['reason']}" if silence["reason"] else ""
    until = time_format.format_clock(silence["until"])
    return tr("until {time}, by {person}{why}", time=until, person=silence["by"], why=why)


def _format_state(sla: dict[str, Any]) -> Span:
    """Return the open alerts: `2 firing, 1 pending`."""
    if not sla["enabled"]:
        return tr("off"), "warn"
    alerts = [
        f"{count:,} {sanitize(styles.format_status(status))}"
        for status, count in sla["open"].items()
        if count
    ]
    if sla["silence"]:
        alerts.append(
            tr("silenced until {time}", time=time_format.format_clock(sla["silence"]["until"]))
        )
    more = tr(", not all") if sla.get("left_out") else ""
    return (", ".join(alerts) or tr(sla["state"])) + more, (
        "broken" if sla["open"].get("firing") else "warn" if alerts or more else ""
    )


def _format_words(sla: dict[str, Any]) -> tuple[str, str]:
    """Return the condition of a rule, and its scope."""
    if "when" in sla["conditions"]:
        colon = join_colon("", "")
        scope, _, condition = sla["words"].partition(colon)
        return condition or scope, scope if condition else ""
    return _format_condition(sla["conditions"]), _format_scope(sla)


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
    return ", ".join(
        f"{key} {_format_value(value)}"
        for key, value in (sla["conditions"].get("match") or {}).items()
    ) or tr("every task")


def _format_value(value: Any) -> str:
    return " ".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else str(value)


def _get_severity(sla: dict[str, Any]) -> str:
    return sla.get("severity") or {3: "critical", 1: "info"}.get(sla["priority"], "warning")


def create_sla(context: CommandContext, args: Args) -> int:
    """Create an SLA."""
    name = require_new_name(args, "sla")
    limit = _collect_limit(args)
    if not limit:
        raise Usage(
            "a rule needs --finishes-within, --starts-within, --preset, --conditions, or --metric"
            " with --stays-below. Nothing was created.",
            "List: taskdeck sla presets",
        )
    if (args.below is None) != (args.metric is None):
        raise Usage(
            "--metric and --stays-below require each other. Nothing was created.",
            "Metrics: {known}",
            known=", ".join(metrics.METRICS),
        )
    answer = context.call("sla.create", name=name, **limit, **_collect_scope(args))
    text = tr("rule {name} created: {words}", name=sanitize(name), words=sanitize(answer["words"]))
    return definition_group.print_result(args, answer, text)


def _collect_limit(args: Args) -> dict[str, Any]:
    """Return what makes the rule: one limit, a preset, or whole conditions."""
    found = _collect_limits(args)
    if args.preset is not None:
        found.append({"preset": args.preset})
    if args.conditions is not None:
        found.append({"conditions": _parse_json(args.conditions)})
    if len(found) > 1:
        raise Usage(
            "--preset, --conditions, --finishes-within, --starts-within and --stays-below exclude"
            " each other. Nothing was changed."
        )
    value = definition_group.collect_options(args, "value", "wait", "tz", "schedule", "pool")
    if "value" in value and found and "value" in found[0]:
        raise Usage("--value goes with --preset only. Nothing was changed.")
    return {**value, **(found[0] if found else {})}


def _parse_json(text: str) -> dict[str, Any]:
    """Return the JSON object of an argument, of a file (@FILE), or of standard input (-)."""
    from app.core.strict_json import DuplicateKeyError, load_json

    try:
        if text == "-":
            text = output.read_stdin("the conditions as JSON").decode()
        elif text.startswith("@"):
            with open(text[1:], encoding="utf-8") as file:
                text = file.read()
        found = load_json(text)
    except OSError as error:
        raise Usage(
            "--conditions: {said}: {reason}.", said=sanitize(text[1:]), reason=error.strerror
        ) from None
    except RecursionError:
        raise Usage("--conditions is nested too deeply. Nothing was changed.") from None
    except DuplicateKeyError as error:
        raise Usage("--conditions: {error} Nothing was changed.", error=error) from None
    except ValueError as error:
        raise Usage(
            "--conditions is no JSON: {error}. Nothing was changed.", error=sanitize(str(error))
        ) from None
    if not isinstance(found, dict):
        raise Usage("--conditions must be a JSON object. Nothing was changed.")
    return found


def test_sla(context: CommandContext, args: Args) -> int:
    """Print when a rule would have fired in the last days."""
    name = require_one_name(args, "sla")
    days = 7.0 if args.since is None else args.since / 86400
    found = context.call("sla.test", name=name, days=days)
    if args.json or args.jsonl:
        output.print_json(found["alerts"] if args.jsonl else found, args.jsonl)
        return 0
    output.print_line(sanitize(found["words"]))
    for one in found["alerts"]:
        begin = time_format.format_moment(one["fired_at"])
        over = one["resolved_at"]
        end = tr("until {time}", time=time_format.format_moment(over)) if over else tr("still")
        output.print_line(f"{begin}  {end}  {sanitize(one['object'])}: {sanitize(one['text'])}")
    since = time_format.format_clock(found["since"])
    output.print_line(
        tr_n(
            found["count"],
            "It would have fired once since {time}.",
            "It would have fired {n:,} times since {time}.",
            time=since,
        )
    )
    if not found["is_complete"]:
        output.print_message(tr("Only a part was replayed: the history is too large."))
    return 0


def _add_test_arguments(parser: Parser) -> None:
    definition_group.add_name(parser)
    parser.add_option(
        "--since", type=TIMEOUT, metavar="TIME", help="replay this time (default 7d, at most 90d)"
    )


def list_presets(context: CommandContext, args: Args) -> int:
    """List the presets of `sla create`."""
    from app.core.rules import presets

    rows = [
        {"name": name, "words": one.words, "value": one.value, "for": one.wait}
        for name, one in presets.PRESETS.items()
    ]
    return definition_group.print_list(
        args, rows, PRESET_COLUMNS, _format_preset, tuple(rows[0]), tr("no presets")
    )


def _format_preset(row: dict[str, Any]) -> list[Span]:
    return [(row["name"], ""), (row["value"], ""), (row["for"] or units.MISSING, ""),
            (tr(row["words"]), "")]  # fmt: skip


def _add_presets_arguments(parser: Parser) -> None:
    parser.add_option("--wide", action="store_true", help="do not truncate columns")
    add_row_options(parser, "names only, one per line")


def _add_checkins_arguments(parser: Parser) -> None:
    _add_presets_arguments(parser)
    parser.add_option(
        "--forget", type=require_text, metavar="NAME", help="remove the name of a check-in"
    )


def list_checkins(context: CommandContext, args: Args) -> int:
    """List the latest check-in of each name, or forget one."""
    if args.forget is not None:
        answer = context.call("sla.forget_checkin", name=args.forget)
        text = tr("check-in of {forget} forgotten", forget=sanitize(args.forget))
        return definition_group.print_result(args, answer, text)
    return definition_group.print_list(
        args,
        context.call("sla.checkins"),
        CHECKIN_COLUMNS,
        _format_checkin,
        CHECKIN_FIELDS,
        tr("no check-ins"),
    )


def _format_checkin(row: dict[str, Any]) -> list[Span]:
    return [
        (sanitize(row["name"]), ""),
        (tr("{age} ago", age=units.format_age(time_format.seconds_since(row["at"]))), ""),
        (sanitize(row["by"]), ""),
        (sanitize(", ".join(row["rules"])) or tr("no rule"), "" if row["rules"] else "warn"),
        (sanitize(row["note"] or ""), ""),
    ]


def print_schema(context: CommandContext, args: Args) -> int:
    """Print the JSON Schema of conditions."""
    from app.core.rules.json_schema import make_json_schema

    output.print_json(make_json_schema(), args.jsonl, indented=True)
    return 0


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
    more |= {"notify": args.notify} if args.notify is not None else {}
    return more | ({"tag": dict(args.tag)} if args.tag else {})


def set_sla(context: CommandContext, args: Args) -> int:
    """Change an SLA."""
    name = require_one_name(args, "sla")
    if args.on and args.off:
        raise Usage("give only one of --on and --off. Nothing was changed.")
    changes = (
        _collect_limit(args)
        | _collect_scope(args)
        | ({"enabled": args.on} if args.on or args.off else {})
    )
    if not changes:
        raise Usage(
            "set what? Give an option, such as --value 30m, --queue NAME, --notify CHANNEL or"
            " --off. Nothing was changed.",
            "See: taskdeck sla set --help",
        )
    answer = context.call("sla.set", name=name, **changes)
    text = tr(
        "rule {name} changed: {changes}",
        name=sanitize(name),
        changes=sanitize(_describe_changes(changes, answer)),
    )
    return definition_group.print_result(args, answer, text)


def _describe_changes(changes: dict[str, Any], answer: dict[str, Any]) -> str:
    """Return what was changed: `turned off, severity critical`, or the condition."""
    said: list[str] = []
    if "enabled" in changes:
        said.append(tr("turned on") if changes["enabled"] else tr("turned off"))
    if "severity" in changes:
        said.append(tr("severity {severity}", severity=changes["severity"]))
    if "notify" in changes:
        told = [one for one in changes["notify"] if one]
        said.append(tr("notify {told}", told=", ".join(told)) if told else tr("nobody is notified"))
    if changes.keys() - {"enabled", "severity", "notify"}:
        said.append(str(answer["words"]))
    return ", ".join(said)


def _add_arguments(parser: Parser, kind: Callable[[str], str] = require_text) -> None:
    definition_group.add_name(parser)
    _add_limits(parser)
    _add_scope(parser, kind)
    for name, metavar, what in GENERAL_OPTIONS:
        parser.add_option(name, dest=DESTINATIONS.get(name), metavar=metavar, help=what)
    add = parser.add_option
    severities = OneOf(*styles.SEVERITIES)
    add("--severity", type=severities, metavar="WORD", help="critical, warning (default) or info")
    add(
        "--notify",
        action="append",
        type=kind,
        metavar="CHANNEL",
        help="tell a channel of firing and resolved alerts; repeatable (taskdeck notify ls)",
    )


def _add_limits(parser: Parser) -> None:
    """Add the limits of tasks, and that of a metric."""
    add = parser.add_option
    for dest, what in (
        ("finishes", tr_noop("deadline for finishing, counted from submission")),
        ("starts", tr_noop("deadline for starting, counted from submission")),
    ):
        add(f"--{dest}-within", dest=dest, type=TIMEOUT, metavar="TIME", help=what)
    known = tr("metric of Taskdeck: {metrics}", metrics=", ".join(metrics.METRICS))
    add("--metric", type=OneOf(*metrics.METRICS), metavar="METRIC", help=known)
    limit = tr_noop("upper limit of the metric: 5m or 250ms, 20 for slow-queries, 64M for wal-size")
    add("--stays-below", dest="below", metavar="LIMIT", help=limit)


def _add_scope(parser: Parser, kind: Callable[[str], str]) -> None:
    """Add what a rule covers."""
    for name, metavar, what in SCOPE_OPTIONS:
        parser.add_option(name, type=kind, metavar=metavar, help=tr("only {what}", what=tr(what)))
    what = tr_noop("only tasks with this tag; repeatable")
    parser.add_option("--tag", action="append", type=parse_pair, metavar="K=V", help=what)


SCOPE_OPTIONS = (
    ("--template", "TEMPLATE", tr_noop("tasks of this template")),
    ("--queue", "QUEUE", tr_noop("tasks of this queue")),
    ("--task", "NAME", tr_noop("tasks with this name")),
    ("--schedule", "NAME", tr_noop("this schedule; with --preset")),
    ("--pool", "POOL", tr_noop("this pool; with --preset")),
)
GENERAL_OPTIONS = (
    ("--preset", "PRESET", tr_noop("a common rule; list: taskdeck sla presets")),
    ("--value", "LIMIT",
     tr_noop("limit of the preset: 30m, 100, 90%, 06:00, 06:00 mon-fri Europe/Berlin")),
    ("--for", "TIME", tr_noop("how long the preset's limit must be broken")),
    ("--tz", "ZONE",
     tr_noop("time zone of the preset's time of day (default: that of this machine)")),
    ("--conditions", "JSON",
     tr_noop("conditions of the general form; @FILE or - reads them; see: taskdeck sla schema")),
)  # fmt: skip
DESTINATIONS = {"--for": "wait"}


def _add_set_arguments(parser: Parser) -> None:
    _add_arguments(parser, str)  # an empty name removes the condition
    parser.add_option("--on", action="store_true", help="enable the rule")
    parser.add_option("--off", action="store_true", help="disable the rule and close its alerts")


EXAMPLES = """\
  taskdeck sla create media-long --preset queue-length --value 200 --for 2m --queue media
  taskdeck sla create etl-by-six --preset succeeds-by --value '06:00 mon-fri' --task etl --tz UTC
  taskdeck sla create encode-on-time --finishes-within 45m --template encode
  taskdeck sla create replica-fresh --metric replica-lag --stays-below 5m --severity critical"""

COMMANDS = {
    "ls": definition_group.make_list_command("sla", COLUMNS, format_sla_row, FIELDS),
    "show": definition_group.make_show_command("sla", format_sla_facts),
    "create": Command("create a rule", create_sla, _add_arguments, EXAMPLES),
    "set": Command(
        "change a rule",
        set_sla,
        _add_set_arguments,
        "  taskdeck sla set encode-on-time --finishes-within 1h\n"
        "  taskdeck sla set media-long --value 300 --notify ops",
    ),
    "test": Command(
        "show when a rule would have fired",
        test_sla,
        _add_test_arguments,
        "  taskdeck sla test etl-by-six --since 30d",
    ),
    "presets": Command("list the presets of sla create", list_presets, _add_presets_arguments),
    "checkins": Command(
        "list the latest check-ins of programs", list_checkins, _add_checkins_arguments
    ),
    "schema": Command("print the JSON Schema of conditions", print_schema, add_json_options),
    "rm": definition_group.make_name_command("sla", "rm", "remove a rule", "removed"),
}
