"""`taskdeck alert`: list, show, acknowledge and silence alerts."""

from __future__ import annotations

import shlex

from app.cli import definition_group, output, styles, time_format
from app.cli.commands.definitions.notify import describe_delivery
from app.cli.commands.tasks.task_actions import report_results
from app.cli.parser import Args, Command, Parser, add_json_options, add_row_options, make_type
from app.cli.submission.options import parse_at
from app.cli.table_layout import Column, Span
from app.core.text import units
from app.core.text.sanitize import sanitize, truncate
from app.errors import Problem, Usage
from app.translation import tr, tr_n, tr_noop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from app.cli.context import CommandContext

COLUMNS = [
    Column("ID", ">"),
    Column("ALERT", least=12, easy=30),
    Column("ON", least=10, first=True),
    Column("SINCE", ">"),
    Column("STATE"),
    Column("WHY", least=10, first=True),
]

FIELDS = (
    "id",
    "sla",
    "severity",
    "status",
    "object",
    "task_number",
    "short",
    "text",
    "since",
    "acknowledged_by",
)

SILENCE_COLUMNS = [
    Column("ID"),
    Column("SILENCED", least=12, first=True),
    Column("ALERTS", ">"),
    Column("UNTIL"),
    Column("BY"),
    Column("NOTE", least=6, first=True),
]
SILENCE_FIELDS = ("id", "words", "until", "by", "reason", "alerts")
MAX_SNAPSHOT_ROWS = 10
"""Queues, pools and processes that `alert show` prints of a snapshot."""
MATCHER_OPTIONS = {
    "rule": tr_noop("alerts of these rules: a name or a glob such as gpu-*; repeatable"),
    "severity": tr_noop("of this severity: critical, warning or info"),
    "task": tr_noop("about tasks of this name"),
    "template": tr_noop("about tasks of this template"),
    "schedule": tr_noop("about this schedule and its tasks"),
    "queue": tr_noop("about this queue and its tasks"),
    "pool": tr_noop("about this pool, its queues and their tasks"),
    "tag": tr_noop("about tasks with this tag, such as env=dev or env=*"),
}


def format_alert_row(alert: dict[str, Any]) -> list[Span]:
    """Return one line of `alert ls`. `status` shows it without the id."""
    style = styles.SEVERITIES.get(alert["severity"], ("", ""))[1]
    return [
        (str(alert["id"]), ""),
        (_format_name(alert), style),
        (sanitize(_format_object(alert)), ""),
        (units.format_age(time_format.seconds_since(alert["since"])), ""),
        (_format_state(alert), ""),
        (sanitize(alert.get("short") or alert.get("text") or ""), ""),
    ]


def _format_name(alert: dict[str, Any]) -> str:
    sign = styles.GLYPHS.get(alert["status"], styles.UNKNOWN)
    severity = styles.SEVERITIES.get(alert["severity"], (alert["severity"], ""))[0]
    return f"{sign[1] if output.is_ascii_only() else sign[0]} {severity}  {sanitize(alert['sla'])}"


def _format_object(alert: dict[str, Any]) -> str:
    return (
        alert.get("object")
        or f"#{alert.get('task_number')} {alert.get('task_name') or ''}".rstrip()
    )


def _format_state(alert: dict[str, Any]) -> str:
    word = styles.format_status(alert["status"])
    by = alert.get("acknowledged_by") or alert.get("by")
    return f"{word} {sanitize(by)}" if by and alert["status"] == "acknowledged" else word


def list_alerts(context: CommandContext, args: Args) -> int:
    """List firing alerts, or all with --all."""
    found = context.call("alert.ls", all=args.all)
    return definition_group.print_list(
        args,
        found,
        COLUMNS,
        format_alert_row,
        FIELDS,
        tr("no alerts") if args.all else tr("no firing alerts"),
    )


def show_alert(context: CommandContext, args: Args) -> int:
    """Show one alert with its note and deliveries."""
    if len(args.ids) != 1:
        raise Usage("show which alert? Give one id.", "List: taskdeck alert ls")
    found = context.call("alert.show", id=args.ids[0])
    if args.json or args.jsonl:
        output.print_json(found, args.jsonl)
    else:
        title = tr(
            "alert {id} {rule}: {object}", id=found["id"], rule=found["sla"], object=found["object"]
        )
        output.print_lines(definition_group.format_page(title, format_alert_facts(found)))
    return 0


def format_alert_facts(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the lines of `alert show`."""
    rule = found.get("rule") or {}
    note = f": {found['note']}" if found.get("note") else ""
    silence = f": {found['silence_reason']}" if found.get("silence_reason") else ""
    return [
        (tr("why"), found["text"]),
        (tr("rule"), str(rule.get("words") or "")),
        (tr("names"), ", ".join(f"{key} {name}" for key, name in (found.get("labels") or {}).items()
                            if key not in (tr("rule"), "severity"))),
        (tr("severity"), found["severity"]),
        (tr("state"), styles.format_status(found["status"])),
        (tr("since"), time_format.format_clock(found["since"])),
        (tr("acknowledged"),
         _format_moment(found["acknowledged_at"], found["acknowledged_by"], note)),
        (tr("silenced"), _format_moment(found["silenced_until"], found["silenced_by"], silence,
                                        tr("until "))),
        (tr("resolved"), _format_moment(found["resolved_at"])),
        (tr("sent"), "\n".join(map(describe_delivery, found.get("deliveries", ())))),
        (tr("snapshot"), "\n".join(_list_snapshot_lines(found.get("deliveries", ())))),
    ]  # fmt: skip


def _list_snapshot_lines(deliveries: Iterable[dict[str, Any]]) -> list[str]:
    """Return the lines of the latest snapshot: queues, pools, and the busiest processes."""
    taken = [one["snapshot"] for one in deliveries if one.get("snapshot")]
    if not taken:
        return []
    latest = max(taken, key=lambda one: one["at"])
    lines = [time_format.format_clock(latest["at"], seconds=True)]
    for kind, rows in (("queue", "queues"), ("pool", "pools"), ("process", "processes")):
        for row in latest.get(rows, ())[:MAX_SNAPSHOT_ROWS]:
            facts = {key: value for key, value in row.items() if value is not None}
            name = f" {facts.pop('name')}" if "name" in facts else ""
            shown = ", ".join(f"{key} {_format_fact(value)}" for key, value in facts.items())
            lines.append(f"{kind}{name}: {shown}")
    return lines


def _format_fact(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _format_moment(at: str | None, by: str | None = None, more: str = "", first: str = "") -> str:
    """Return a time with a person and a text; "" without a time."""
    if not at:
        return ""
    person = tr(", by {person}", person=by) if by else ""
    return f"{first}{time_format.format_clock(at)}{person}{more}"


def acknowledge(context: CommandContext, args: Args) -> int:
    """Acknowledge alerts."""
    if not args.ids:
        raise Usage(
            "ack which alert? Give its id, or the name of its rule.", "List: taskdeck alert ls"
        )
    note = {} if args.note is None else {"note": args.note}
    return report_results(
        args, context.call("alert.ack", ids=args.ids, **note), _format_alert_result
    )


def unacknowledge(context: CommandContext, args: Args) -> int:
    """Withdraw acknowledgements."""
    if not args.ids:
        raise Usage(
            "unack which alert? Give its id, or the name of its rule.", "List: taskdeck alert ls"
        )
    return report_results(args, context.call("alert.unack", ids=args.ids), _format_alert_result)


def silence(context: CommandContext, args: Args) -> int:
    """Silence rules, or the alerts that match, until a given time."""
    until = _get_end(args)
    match = {key: value for key in MATCHER_OPTIONS if (value := getattr(args, key))}
    reason = {} if args.reason is None else {"reason": args.reason}
    if match and args.ids:
        raise Usage(
            "silence takes rules or options such as --queue, not both. Nothing was changed.",
            "A rule among the options: --rule {ids}",
            ids=shlex.quote(args.ids[0]),
        )
    if match and until is not None:
        answer = _silence_matching(context, match=match, until=until, **reason)
        return report_results(args, answer, _format_silence_result)
    if not args.ids and not match:
        question = (
            tr("silence which rule, and until when?")
            if until is None
            else tr("silence which rule?")
        )
        raise Usage(
            "{question} Example: taskdeck alert silence RULE --until 8h",
            "List: taskdeck sla ls",
            question=question,
        )
    if until is None:
        names = [truncate(sanitize(name), 60) for name in args.ids] or [tr("what matches")]
        raise Usage("silence {names} until when? Add: --until 8h", names=", ".join(names))
    return report_results(
        args,
        context.call("alert.silence", ids=args.ids, until=until, **reason),
        _format_silence_result,
    )


def _silence_matching(context: CommandContext, **values: Any) -> dict[str, Any]:
    """Silence what matches; a problem names an option with its dashes."""
    try:
        return context.call("alert.silence", **values)
    except Problem as problem:
        if problem.message.partition(" ")[0] in MATCHER_OPTIONS:
            problem.message = f"--{problem.message}"
        raise


def _get_end(args: Args) -> str | None:
    """Return the end of a silence, of --until or --for."""
    if args.until is not None and args.duration is not None:
        raise Usage("--for and --until say the same. Give one of them.")
    return args.until or args.duration


def list_silences(context: CommandContext, args: Args) -> int:
    """List active silences, the next to end first."""
    return definition_group.print_list(
        args,
        context.call("alert.silences"),
        SILENCE_COLUMNS,
        _format_silence_row,
        SILENCE_FIELDS,
        tr("no silences"),
    )


def _format_silence_row(silence: dict[str, Any]) -> list[Span]:
    return [
        (silence["id"], ""),
        (sanitize(silence["words"]), ""),
        (f"{silence['alerts']:,}", ""),
        (time_format.format_future(silence["until"]), ""),
        (sanitize(silence["by"]), ""),
        (sanitize(silence["reason"] or ""), ""),
    ]


def unsilence(context: CommandContext, args: Args) -> int:
    """End silences."""
    if not args.ids:
        raise Usage(
            "unsilence what? Give the id of a silence, or the name of a rule.",
            "List: taskdeck alert silences",
        )
    return report_results(
        args, context.call("alert.unsilence", ids=args.ids), _format_silence_result
    )


def _format_silence_result(row: dict[str, Any]) -> str:
    until = row.get("until")
    when = time_format.format_future(until) or time_format.format_clock(until) if until else ""
    state = tr("silenced until {when}", when=when) if when else tr("not silenced")
    if row.get("sla"):
        return tr("rule {sla}: {state}", sla=sanitize(str(row["sla"])), state=state)
    many = row.get("alerts", 0)
    found = tr_n(many, ", {n:,} alert now", ", {n:,} alerts now") if until else ""
    return tr(
        "silence {id}, {words}: {state}{found}",
        id=row["id"],
        words=sanitize(str(row["words"])),
        state=state,
        found=found,
    )


def _format_alert_result(alert: dict[str, Any]) -> str:
    name = sanitize(str(alert.get("sla") or alert.get("name") or ""))
    return tr(
        "alert {id} {name}: {status}",
        id=alert.get("id", ""),
        name=name,
        status=styles.format_status(alert["status"]),
    )


def _add_ls_arguments(parser: Parser) -> None:
    parser.add_option("--all", action="store_true", help="include resolved alerts")
    parser.add_option("--wide", action="store_true", help="do not truncate columns")
    add_row_options(parser, "ids only, one per line")


def _add_show_arguments(parser: Parser) -> None:
    parser.add_option("ids", nargs="*", metavar="ID", help="id of an alert")
    add_json_options(parser)


def _add_silence_arguments(parser: Parser) -> None:
    parser.add_option(
        "--until",
        type=make_type(parse_at),
        metavar="TIME",
        help="8h (from now), 08:00, tomorrow 08:00, 2026-01-31T08:00",
    )
    parser.add_option(
        "--for", dest="duration", type=make_type(_parse_span), metavar="DURATION",
        help="time from now until the end: 2h, 3d",
    )  # fmt: skip
    parser.add_option(
        "--note", "--reason", dest="reason", metavar="TEXT", help="reason shown to other users"
    )
    for key, what in MATCHER_OPTIONS.items():
        metavar = "K=GLOB" if key == "tag" else "GLOB"
        parser.add_option(f"--{key}", action="append", metavar=metavar, help=what)
    _add_ack_arguments(parser)


def _parse_span(text: str) -> str:
    """Return the end of a duration from now on."""
    units.parse_positive_duration(text)
    return parse_at(text)


def _add_silences_arguments(parser: Parser) -> None:
    parser.add_option("--wide", action="store_true", help="do not truncate columns")
    add_row_options(parser, "ids only, one per line")


def _add_unsilence_arguments(parser: Parser) -> None:
    parser.add_option(
        "ids",
        nargs="*",
        metavar="SILENCE",
        help="id of a silence, such as s3, or the name of a rule, or the id of an alert",
    )
    add_json_options(parser)


def _add_note_arguments(parser: Parser) -> None:
    parser.add_option("--note", metavar="TEXT", help="note shown to other users")
    _add_ack_arguments(parser)


def _add_ack_arguments(parser: Parser) -> None:
    parser.add_option(
        "ids",
        nargs="*",
        metavar="ID",
        help="id of an alert, or the name of a rule for all its alerts",
    )
    add_json_options(parser)


COMMANDS = {
    "ls": Command("list firing alerts", list_alerts, _add_ls_arguments),
    "show": Command("show one alert in detail", show_alert, _add_show_arguments),
    "ack": Command(
        "acknowledge alerts",
        acknowledge,
        _add_note_arguments,
        "  taskdeck alert ack encode-on-time",
    ),
    "unack": Command("withdraw an acknowledgement", unacknowledge, _add_ack_arguments),
    "silence": Command(
        "silence a rule, or what matches, until a given time",
        silence,
        _add_silence_arguments,
        "  taskdeck alert silence gpu-wait --until 8h --note backups\n"
        "  taskdeck alert silence --queue 'gpu*' --severity warning --for 2h",
        usage="(ID … | --rule GLOB, --queue GLOB, …) --until TIME [OPTION …]",
    ),
    "silences": Command("list silences", list_silences, _add_silences_arguments),
    "unsilence": Command(
        "end silences", unsilence, _add_unsilence_arguments, "  taskdeck alert unsilence s3"
    ),
}
