"""`taskdeck db check`: what is wrong with the database, and mending what can be derived."""

from __future__ import annotations

from app.cli import output
from app.cli.parser import Args, Command, Parser, as_json
from app.core.text.sanitize import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import Session

WRONG = 5
"""The exit code when something is wrong."""


def check(session: Session, args: Args) -> int:
    """Read the whole database and look for what is wrong; with --repair, mend what follows from the rest."""
    found = _repaired(session) if args.repair else _looked(session)
    if args.json or args.jsonl:
        output.document(found, args.jsonl)
    else:
        for line in _said(found, args.repair):
            output.line(clean(line))
        _advise(session, found)
    return 0 if found["ok"] else WRONG


def _advise(session: Session, found: dict[str, Any]) -> None:
    """What can be done about what was found."""
    if found["ok"]:
        return
    from app.offline import maintenance

    if said := maintenance.advice(session.home):
        output.note(said)
    elif "done" not in found:
        output.note("mend what can be mended, and set aside what cannot be read: taskdeck db check --repair")


def _looked(session: Session) -> dict[str, Any]:
    from app.offline import maintenance as offline_maintenance

    problems = offline_maintenance.check_home(session.home)
    return {"ok": not problems, "problems": problems}


def _repaired(session: Session) -> dict[str, Any]:
    """By the runtime when one is up, else here while none can come up."""
    if session.client.runtime_up():
        return session.call("db.repair")
    from app.offline import maintenance as maintenance_module

    return maintenance_module.repair_home(session.home)


def _said(found: dict[str, Any], repaired: bool) -> list[str]:
    left = [f"not mended: {line}" for line in found["problems"]] if repaired else found["problems"]
    return [*found.get("done", []), *left] or ["the database is well"]


def _arguments(parser: Parser) -> None:
    mends = "mend counters, loads, missing indexes and triggers, and what belongs to nothing; set aside what cannot be read"
    parser.option("--repair", action="store_true", help=mends)
    as_json(parser)


COMMANDS = {
    "check": Command(
        "look for damage; 5 when there is some", check, _arguments,
        "  taskdeck db check\n  taskdeck db check --repair", asks=lambda args: "db.repair" if args.repair else "db.check",
    ),
}  # fmt: skip
