"""Forms for SLA rules, for silences, and for acknowledging alerts with a note."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.core.rules import silence_matchers
from app.core.text import units
from app.translation import tr
from app.tui.actions import rules
from app.tui.actions.tasks import Request
from app.tui.forms.edit_model import (
    ACKNOWLEDGE,
    MATCHING_SILENCE,
    NEW_RULE,
    RULE,
    SILENCE,
    EditField,
    EditSheet,
)
from app.tui.forms.edit_source import EditSource
from app.tui.screens.definitions.edit_form import EditScreen
from app.tui.style import Span

if TYPE_CHECKING:
    from app.client import Client


def make_rule_screen(client_factory: Callable[[], Client], name: str | None = None) -> EditScreen:
    """Return the form for a rule by its name, or for a new one."""
    return EditScreen(
        client_factory, EditSource(NEW_RULE) if name is None else EditSource(RULE, (name,))
    )


class SilenceScreen(EditScreen):
    """Form for the end and the reason of a silence."""

    def __init__(self, client_factory: Callable[[], Client], rule: rules.Silenceable) -> None:
        super().__init__(client_factory, EditSource(SILENCE, (rule.name,)))
        self.rule = rule

    def describe_effect(self, sheet: EditSheet) -> list[str]:
        return [
            _describe_end(sheet, self.now),
            tr("Its alerts return after that. To stop them for good, p turns the rule off."),
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


class MatchingSilenceScreen(EditScreen):
    """Form for a new silence of the alerts that globs select."""

    def __init__(
        self,
        client_factory: Callable[[], Client],
        match: Mapping[str, str],
        labels: Mapping[str, str],
    ) -> None:
        """Create the form with globs; `labels` are all names of the alert."""
        kind = replace(MATCHING_SILENCE, initial={"until": "2h", **match})
        super().__init__(client_factory, EditSource(kind))
        self.labels = labels

    def _make_hint(self, slot: EditField) -> Span:
        name = self.labels.get(slot.name, "")
        if not name:
            return super()._make_hint(slot)
        return tr("of this alert: {name}", name=self.look.sanitize(name)), "dim"

    def describe_effect(self, sheet: EditSheet) -> list[str]:
        return [
            _describe_end(sheet, self.now),
            tr("Alerts that match all of these are silenced, later ones too. * is any text."),
        ]

    def _get_match(self, sheet: EditSheet) -> dict[str, str]:
        texts = {key: sheet.get_text(sheet.find_field(key)) for key in silence_matchers.KEYS}
        return {key: text for key, text in texts.items() if text}

    def make_requests(self, sheet: EditSheet) -> Sequence[Request]:
        until, reason = (sheet.get_text(sheet.find_field(name)) for name in ("until", "reason"))
        return rules.silence_matching(self._get_match(sheet), until, reason)

    def make_commands(self, sheet: EditSheet) -> list[list[str]]:
        until, reason = (sheet.get_text(sheet.find_field(name)) for name in ("until", "reason"))
        match = {key: [glob] for key, glob in self._get_match(sheet).items()}
        more = ["--note", reason] if reason else []
        options = silence_matchers.list_options(match)
        return [["taskdeck", "alert", "silence", *options, "--until", until, *more]]


def _describe_end(sheet: EditSheet, at: float) -> str:
    now = datetime.fromtimestamp(at, UTC)
    until = units.parse_time(sheet.get_text(sheet.find_field("until")), now)
    length = units.format_age((until - now).total_seconds())
    return tr(
        "Silenced until {time}, for {length}.",
        time=units.format_clock_time(until, now),
        length=length,
    )


class AcknowledgeScreen(EditScreen):
    """Form for the note of an acknowledgement."""

    def __init__(self, client_factory: Callable[[], Client], requests: Sequence[Request]) -> None:
        """Create the form for requests that acknowledge."""
        called = ", ".join(request.object for request in requests)
        idents = tuple(str(word) for request in requests for word in request.args["ids"])
        super().__init__(client_factory, EditSource(ACKNOWLEDGE, idents, called))
        self.acknowledgements = requests

    def describe_effect(self, sheet: EditSheet) -> list[str]:
        return [
            tr("Others see the note. The acknowledgement ends when the alert is resolved or worse.")
        ]

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
