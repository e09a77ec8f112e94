"""`taskdeck doctor`: what could go wrong on this machine, and the cure. Works without a runtime and with a broken
home."""

from __future__ import annotations

from app.cli import output
from app.cli.parser import Args, Command, as_json
from app.core.text.sanitize import clean
from app.errors import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import Session
    from app.cli.table import Line
    from app.health.finding import Finding


def doctor(session: Session, args: Args) -> int:
    """Look at everything; 1 when something is broken, 0 when there are only hints."""
    from app.health.runner import look

    asked = _asked(session)
    found = list(look(session.home, asked, None if isinstance(asked, Problem) else _newest(session), _refused, session.keys))
    if args.json or args.jsonl:
        output.document([finding.as_dict() for finding in found], args.jsonl)
    else:
        output.lines(line for finding in found for line in _lines(finding))
    return 1 if any(finding.state == "broken" for finding in found) else 0


def _refused(home: str) -> None:
    from app.offline.maintenance import refuse_start  # takes long to import

    refuse_start(home)


def _asked(session: Session) -> dict[str, Any] | Problem:
    """What `status` says, or why it says nothing."""
    try:
        return session.call("status")
    except Problem as problem:
        return problem


def _newest(session: Session) -> str | None:
    """When the newest task was submitted."""
    try:
        tasks = session.call("ls", limit=1)["tasks"]
    except Problem:
        return None
    return tasks[0]["created_at"] if tasks else None


def _lines(finding: Finding) -> list[Line]:
    sign, style = {"well": ("✓", "well"), "hint": ("!", "warn"), "broken": ("✗", "broken")}[finding.state]
    lines: list[Line] = [[(f"{sign} ", style), (f"{finding.check:<10}", "dim"), (clean(finding.text), "")]]
    return [*lines, [(f"  {'':<10}Cure: {clean(finding.cure)}", "")]] if finding.cure else lines


COMMANDS = {"doctor": Command("look for what could go wrong on this machine", doctor, as_json)}
