"""`taskdeck http`: files for the monitoring of a runtime that serves HTTP."""

from __future__ import annotations

from app.cli import output
from app.cli.parser import Args, Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from app.cli.context import CommandContext


def print_dashboard(context: CommandContext, args: Args) -> int:
    """Print the dashboard for Grafana."""
    output.print_line(_read_file("grafana_dashboard.json"))
    return 0


def print_rules(context: CommandContext, args: Args) -> int:
    """Print the alert rules for Prometheus."""
    output.print_line(_read_file("alert_rules.yml"))
    return 0


def _read_file(name: str) -> str:
    from importlib.resources import files

    return files("app.http").joinpath(name).read_text("utf-8").rstrip("\n")


COMMANDS = {
    "dashboard": Command(
        "print the dashboard for Grafana",
        print_dashboard,
        examples="  taskdeck http dashboard > taskdeck.json",
    ),
    "rules": Command(
        "print the alert rules for Prometheus",
        print_rules,
        examples="  taskdeck http rules > taskdeck-rules.yml",
    ),
}
