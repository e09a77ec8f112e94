"""Form for a schedule, new or existing, with its next fire times as they are typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from app.tui.actions.tasks import Request
from app.tui.forms import schedule_model
from app.tui.forms.edit_model import EditSheet
from app.tui.forms.edit_source import EditSource
from app.tui.forms.submit_calls import capture_context
from app.tui.screens.definitions.edit_form import EditScreen

if TYPE_CHECKING:
    from app.client import Client


class ScheduleForm(EditScreen):
    """Form for a schedule by its name, or for a new one."""

    def __init__(self, client_factory: Callable[[], Client], name: str | None = None) -> None:
        source = (
            EditSource(schedule_model.NEW_SCHEDULE)
            if name is None
            else EditSource(schedule_model.SCHEDULE, (name,))
        )
        super().__init__(client_factory, source)

    def describe_effect(self, sheet: EditSheet) -> list[str]:
        return schedule_model.preview_schedule(sheet, self.now)

    def make_requests(self, sheet: EditSheet) -> Sequence[Request]:
        return schedule_model.build_schedule_requests(sheet, capture_context())

    def make_commands(self, sheet: EditSheet) -> list[list[str]]:
        return schedule_model.build_schedule_commands(sheet)
