"""Forms for SLA rules, for silencing a rule, and for acknowledging alerts with a note."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.core.text import units
from app.tui.actions import rules
from app.tui.actions.tasks import Request
from app.tui.data.list_rows import RuleRow
from app.tui.forms.edit_model import ACKNOWLEDGE, NEW_RULE, RULE, SILENCE, EditSheet
from app.tui.forms.edit_source import EditSource
from app.tui.screens.edit_form import EditScreen

if TYPE_CHECKING:
    from app.client import Client


def make_rule_screen(client_factory: Callable[[], Client], name: str | None = None) -> EditScreen:
    """Return the form for a rule by its name, or for a new one."""
    return EditScreen(
        client_factory, EditSource(NEW_RULE) if name is None else EditSource(RULE, (name,))
    )


class SilenceScreen(EditScreen):
    """Form for the end and the reason of a silence."""

    def __init__(self, client_factory: Callable[[], Client], rule: RuleRow) -> None:
        super().__init__(client_factory, EditSource(SILENCE, (rule.name,)))
        self.rule = rule

    def describe_effect(self, sheet: EditSheet) -> list[str]:
        now = datetime.fromtimestamp(self.now, UTC)
        until = units.parse_time(sheet.get_text(sheet.find_field("until")), now)
        effect = (
            f"Quiet until {units.format_clock_time(until, now)}, for"
            f" {units.format_age((until - now).total_seconds())}."
        )
        return [
            effect,
            "Its alerts return after that. To stop them for good, p turns the rule off.",
        ]

    def make_requests(self, sheet: EditSheet) -> Sequence[Request]:
        return rules.silence_rules(
            [self.rule],
            sheet.get_text(sheet.find_field("until")),
            sheet.get_text(sheet.find_field("reason")),
        )

    def make_commands(self, sheet: EditSheet) -> list[list[str]]:
        reason = sheet.get_text(sheet.find_field("reason"))
        more = ["--reason", reason] if reason else []
        return [
            [
                "taskdeck",
                "alert",
                "silence",
                self.rule.name,
                "--until",
                sheet.get_text(sheet.find_field("until")),
                *more,
            ]
        ]


class AcknowledgeScreen(EditScreen):
    """Form for the note of an acknowledgement."""

    def __init__(self, client_factory: Callable[[], Client], requests: Sequence[Request]) -> None:
        """Create the form for requests that acknowledge."""
        called = ", ".join(request.object for request in requests)
        idents = tuple(str(word) for request in requests for word in request.args["ids"])
        super().__init__(client_factory, EditSource(ACKNOWLEDGE, idents, called))
        self.acknowledgements = requests

    def describe_effect(self, sheet: EditSheet) -> list[str]:
        return ["Others see the note. It ends when the alert is resolved or gets worse."]

    def make_requests(self, sheet: EditSheet) -> Sequence[Request]:
        note = sheet.get_text(sheet.find_field("note"))
        return [
            request._replace(args={**request.args, "note": note})
            for request in self.acknowledgements
        ]

    def make_commands(self, sheet: EditSheet) -> list[list[str]]:
        note = sheet.get_text(sheet.find_field("note"))
        words = list(self.source.idents)
        return [["taskdeck", "alert", "ack", *words, "--note", note]] if note else []
