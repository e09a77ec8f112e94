"""`taskdeck alert`: what is too late now."""

from __future__ import annotations

from app.cli import groups, look, output, times
from app.cli.changes import finish
from app.cli.options import Args, Command, Parser, as_json, as_rows
from app.cli.table import Column, Span
from app.core import amounts
from app.core.clean import clean
from app.errors import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.session import Session

COLUMNS = [
    Column("ID", ">"),
    Column("ALERT", least=12),
    Column("ON", least=10, first=True),
    Column("SINCE", ">"),
    Column("STATE"),
    Column("WHY", least=10),
]

FIELDS = ("id", "sla", "severity", "status", "object", "task_number", "short", "text", "since", "acknowledged_by")


def row(alert: dict[str, Any]) -> list[Span]:
    """One line of `alert ls`; the same without its id in `status`."""
    style = look.SEVERITIES.get(alert["severity"], ("", ""))[1]
    return [
        (str(alert["id"]), ""),
        (_name(alert), style),
        (clean(_on(alert)), ""),
        (amounts.age(times.since(alert["since"])), ""),
        (_state(alert), ""),
        (clean(alert.get("short") or alert.get("text") or ""), ""),
    ]


def _name(alert: dict[str, Any]) -> str:
    sign = look.SIGNS.get(alert["status"], look.STRANGE)
    severity = look.SEVERITIES.get(alert["severity"], (alert["severity"], ""))[0]
    return f"{sign[1] if output.ascii_only() else sign[0]} {severity}  {clean(alert['sla'])}"


def _on(alert: dict[str, Any]) -> str:
    return alert.get("object") or f"#{alert.get('task_number')} {alert.get('task_name') or ''}".rstrip()


def _state(alert: dict[str, Any]) -> str:
    word = look.word(alert["status"])
    by = alert.get("acknowledged_by") or alert.get("by")
    return f"{word} {clean(by)}" if by and alert["status"] == "acknowledged" else word


def ls(session: Session, args: Args) -> int:
    """List what fires, or all."""
    found = session.call("alert.ls", all=args.all)
    return groups.shown(args, found, COLUMNS, row, FIELDS, "no alert" if args.all else "no alert fires")


def ack(session: Session, args: Args) -> int:
    """Say that somebody looks after it."""
    if not args.ids:
        raise Usage("ack which alert? Give its id, or the name of its SLA.", "List: taskdeck alert ls")
    return finish(args, session.call("alert.ack", ids=args.ids), _said)


def _said(alert: dict[str, Any]) -> str:
    name = clean(str(alert.get("sla") or alert.get("name") or ""))
    return f"alert {alert.get('id', '')} {name}: {look.word(alert['status'])}"


def _ls_arguments(parser: Parser) -> None:
    parser.option("--all", action="store_true", help="resolved ones too")
    parser.option("--wide", action="store_true", help="cut nothing")
    as_rows(parser, "ids only, one a line")


def _ack_arguments(parser: Parser) -> None:
    parser.option("ids", nargs="*", metavar="ID", help="its id, or the name of an SLA for all of its alerts")
    as_json(parser)


COMMANDS = {
    "ls": Command("list what fires", ls, _ls_arguments),
    "ack": Command("say that somebody looks after it", ack, _ack_arguments, "  taskdeck alert ack encode-on-time"),
}
