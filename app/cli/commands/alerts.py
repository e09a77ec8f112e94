"""`taskdeck alert`: what is too late now."""

from __future__ import annotations

from app.cli import output, styles, time_format
from app.cli.commands import definition_group
from app.cli.commands.submit_options import at
from app.cli.commands.task_actions import finish
from app.cli.parser import Args, Command, Parser, as_json, as_rows, read
from app.cli.table import Column, Span
from app.core.text import units
from app.core.text.sanitize import clean, cut
from app.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import Session

COLUMNS = [
    Column("ID", ">"),
    Column("ALERT", least=12, easy=30),
    Column("ON", least=10, first=True),
    Column("SINCE", ">"),
    Column("STATE"),
    Column("WHY", least=10, first=True),
]

FIELDS = ("id", "sla", "severity", "status", "object", "task_number", "short", "text", "since", "acknowledged_by")


def row(alert: dict[str, Any]) -> list[Span]:
    """One line of `alert ls`; the same without its id in `status`."""
    style = styles.SEVERITIES.get(alert["severity"], ("", ""))[1]
    return [
        (str(alert["id"]), ""),
        (_name(alert), style),
        (clean(_on(alert)), ""),
        (units.age(time_format.since(alert["since"])), ""),
        (_state(alert), ""),
        (clean(alert.get("short") or alert.get("text") or ""), ""),
    ]


def _name(alert: dict[str, Any]) -> str:
    sign = styles.SIGNS.get(alert["status"], styles.STRANGE)
    severity = styles.SEVERITIES.get(alert["severity"], (alert["severity"], ""))[0]
    return f"{sign[1] if output.ascii_only() else sign[0]} {severity}  {clean(alert['sla'])}"


def _on(alert: dict[str, Any]) -> str:
    return alert.get("object") or f"#{alert.get('task_number')} {alert.get('task_name') or ''}".rstrip()


def _state(alert: dict[str, Any]) -> str:
    word = styles.word(alert["status"])
    by = alert.get("acknowledged_by") or alert.get("by")
    return f"{word} {clean(by)}" if by and alert["status"] == "acknowledged" else word


def ls(session: Session, args: Args) -> int:
    """List what fires, or all."""
    found = session.call("alert.ls", all=args.all)
    return definition_group.shown(args, found, COLUMNS, row, FIELDS, "no alert" if args.all else "no alert fires")


def ack(session: Session, args: Args) -> int:
    """Say that somebody looks after it."""
    if not args.ids:
        raise Usage("ack which alert? Give its id, or the name of its SLA.", "List: taskdeck alert ls")
    return finish(args, session.call("alert.ack", ids=args.ids), _said)


def unack(session: Session, args: Args) -> int:
    """Take that back."""
    if not args.ids:
        raise Usage("unack which alert? Give its id, or the name of its SLA.", "List: taskdeck alert ls")
    return finish(args, session.call("alert.unack", ids=args.ids), _said)


def silence(session: Session, args: Args) -> int:
    """Hear no more of rules for a time."""
    if not args.ids:
        asked = "silence what, and until when?" if args.until is None else "silence what?"
        raise Usage(f"{asked} Such as: taskdeck alert silence SLA --until 8h", "List: taskdeck sla ls")
    if args.until is None:
        raise Usage(f"silence {', '.join(cut(clean(name), 60) for name in args.ids)} until when? Add: --until 8h")
    reason = {} if args.reason is None else {"reason": args.reason}
    return finish(args, session.call("alert.silence", ids=args.ids, until=args.until, **reason), _heard)


def unsilence(session: Session, args: Args) -> int:
    """Hear of rules again."""
    if not args.ids:
        raise Usage("unsilence which rule? Give the name of an SLA, or the id of an alert.", "List: taskdeck alert ls")
    return finish(args, session.call("alert.unsilence", ids=args.ids), _heard)


def _heard(row: dict[str, Any]) -> str:
    until = f" until {time_format.clock(row['until'])}" if row.get("until") else ""
    return f"sla {clean(str(row['sla']))}: {styles.word(row['status'])}{until}"


def _said(alert: dict[str, Any]) -> str:
    name = clean(str(alert.get("sla") or alert.get("name") or ""))
    return f"alert {alert.get('id', '')} {name}: {styles.word(alert['status'])}"


def _ls_arguments(parser: Parser) -> None:
    parser.option("--all", action="store_true", help="resolved ones too")
    parser.option("--wide", action="store_true", help="cut nothing")
    as_rows(parser, "ids only, one a line")


def _silence_arguments(parser: Parser) -> None:
    parser.option("--until", type=read(at), metavar="TIME", help="8h from now, 08:00, tomorrow 08:00, 2026-01-31T08:00")
    parser.option("--reason", metavar="TEXT", help="why, for the others")
    _ack_arguments(parser)


def _ack_arguments(parser: Parser) -> None:
    parser.option("ids", nargs="*", metavar="ID", help="its id, or the name of an SLA for all of its alerts")
    as_json(parser)


COMMANDS = {
    "ls": Command("list what fires", ls, _ls_arguments),
    "ack": Command("say that somebody looks after it", ack, _ack_arguments, "  taskdeck alert ack encode-on-time"),
    "unack": Command("take that back", unack, _ack_arguments),
    "silence": Command(
        "hear no more of a rule for a time", silence, _silence_arguments, "  taskdeck alert silence gpu-wait --until 8h --reason backups"
    ),
    "unsilence": Command("hear of a rule again", unsilence, _ack_arguments),
}
