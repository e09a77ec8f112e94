"""`taskdeck doctor`: health checks with suggested fixes.

The checks work without a runtime and with a broken home.
"""

from __future__ import annotations

from app.cli import output
from app.cli.parser import Args, Command, add_json_options
from app.core.text.sanitize import pad, sanitize
from app.errors import Problem
from app.translation import tr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from app.cli.context import CommandContext
    from app.cli.table_layout import Line
    from app.health.finding import Finding


def run_doctor(context: CommandContext, args: Args) -> int:
    """Run all checks; exit 1 if anything is broken, 0 if there are only hints."""
    from app.health.runner import run_checks

    status = _query_status(context)
    found = list(
        run_checks(
            context.home,
            status,
            None if isinstance(status, Problem) else _find_newest_submission(context),
            _check_start,
            context.keys,
        )
    )
    if args.json or args.jsonl:
        output.print_json([finding.to_dict() for finding in found], args.jsonl)
    else:
        output.print_lines(line for finding in found for line in _format_finding(finding))
    return 1 if any(finding.state == "broken" for finding in found) else 0


def _check_start(home: str) -> None:
    from app.offline.maintenance import refuse_start  # slow to import

    refuse_start(home)


def _query_status(context: CommandContext) -> dict[str, Any] | Problem:
    """Return the answer of `status`, or the problem that prevented it."""
    try:
        return context.call("status")
    except Problem as problem:
        return problem


def _find_newest_submission(context: CommandContext) -> str | None:
    try:
        page = context.call("browse", limit=1)
    except Problem:
        return None
    return next((row[page["columns"].index("created_at")] for row in page["rows"]), None)


def _format_finding(finding: Finding) -> list[Line]:
    sign, style = {"well": ("✓", "well"), "hint": ("!", "warn"), "broken": ("✗", "broken")}[
        finding.state
    ]
    lines: list[Line] = [
        [(f"{sign} ", style), (pad(tr(finding.check), 10), "dim"), (sanitize(finding.text), "")]
    ]
    return (
        [*lines, [(tr("{indent}Fix: {cure}", indent=" " * 12, cure=sanitize(finding.cure)), "")]]
        if finding.cure
        else lines
    )


COMMANDS = {"doctor": Command("check this machine for problems", run_doctor, add_json_options)}
