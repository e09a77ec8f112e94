"""The forms about rules: what one asks, of which tasks, how bad late is; and until when nobody wants to hear of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.core.text import units
from app.tui.actions import rules
from app.tui.actions.tasks import Deed
from app.tui.forms.edit_model import NEW_RULE, RULE, SILENCE, Sheet
from app.tui.forms.edit_source import Source
from app.tui.rows.rules import RuleRow
from app.tui.screens.edit_form import EditScreen

if TYPE_CHECKING:
    from app.client import Client


def rule_screen(client_factory: Callable[[], Client], name: str | None = None) -> EditScreen:
    """The form for a rule by its name, or for a new one."""
    return EditScreen(client_factory, Source(NEW_RULE) if name is None else Source(RULE, (name,)))


class SilenceScreen(EditScreen):
    """Until when a rule is to be quiet, and why."""

    def __init__(self, client_factory: Callable[[], Client], rule: RuleRow) -> None:
        super().__init__(client_factory, Source(SILENCE, (rule.name,)))
        self.rule = rule

    def outlook(self, sheet: Sheet) -> list[str]:
        now = datetime.fromtimestamp(self.now, UTC)
        until = units.parse_time(sheet.text(sheet.slot("until")), now)
        said = f"Quiet until {units.clock(until, now)}, for {units.age((until - now).total_seconds())}."
        return [said, "It is heard again by itself then. For good: p turns the rule off."]

    def deeds(self, sheet: Sheet) -> Sequence[Deed]:
        return rules.silence([self.rule], sheet.text(sheet.slot("until")), sheet.text(sheet.slot("reason")))

    def equal(self, sheet: Sheet) -> list[list[str]]:
        reason = sheet.text(sheet.slot("reason"))
        more = ["--reason", reason] if reason else []
        return [["taskdeck", "alert", "silence", self.rule.name, "--until", sheet.text(sheet.slot("until")), *more]]
