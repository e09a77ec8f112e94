"""Forms for a retry with other requests, of tasks and of the failed tasks of a group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from app.core.board import EndedEntry, GroupEntry
from app.core.task_groups import format_group
from app.core.text import units
from app.translation import tr
from app.tui.actions.tasks import Request
from app.tui.forms import retry_model
from app.tui.forms.edit_model import EditField, EditSheet
from app.tui.forms.edit_source import EditSource
from app.tui.screens.definitions.edit_form import EditScreen
from app.tui.style import Span

if TYPE_CHECKING:
    from app.client import Client


class RetryScreen(EditScreen):
    """Form for the requests of ended tasks that run again."""

    def __init__(self, client_factory: Callable[[], Client], rows: Sequence[EndedEntry]) -> None:
        called = (
            f"#{rows[0].number} {rows[0].name}"
            if len(rows) == 1
            else tr("{count} tasks", count=len(rows))
        )
        source = EditSource(retry_model.RETRY, tuple(row.uuid for row in rows), called)
        super().__init__(client_factory, source)
        self.rows = rows

    def _make_hint(self, slot: EditField) -> Span:
        text, style = super()._make_hint(slot)
        used = self._describe_last_run(slot.name)
        return "; ".join(filter(None, (text, used))), style

    def _describe_last_run(self, name: str) -> str:
        """Return what the last run of a single task used of a request."""
        stored = self._sheet.stored
        runs = stored[0].get("instances") or () if len(stored) == 1 else ()
        if not runs:
            return ""
        if name == "memory" and (peak := runs[-1].get("max_rss")):
            return tr("its last run used {memory}", memory=units.format_memory(peak))
        if name == "timeout" and (took := runs[-1].get("run_seconds")):
            return tr("its last run took {age}", age=units.format_age(took))
        return ""

    def describe_effect(self, sheet: EditSheet) -> list[str]:
        return retry_model.describe_retry(sheet)

    def make_requests(self, sheet: EditSheet) -> Sequence[Request]:
        return [retry_model.retry_ended(self.rows, sheet)]

    def make_commands(self, sheet: EditSheet) -> list[list[str]]:
        has_succeeded = any(row.status == "succeeded" for row in self.rows)
        again = ["--again"] if has_succeeded and retry_model.has_again(sheet) else []
        numbers = [str(row.number) for row in self.rows]
        return [retry_model.list_command([*again, *numbers], sheet)]


class RetryGroupScreen(EditScreen):
    """Form for the requests of the failed tasks of a group that run again."""

    def __init__(self, client_factory: Callable[[], Client], group: GroupEntry) -> None:
        name = format_group(group.number)
        called = tr("{count:,} failed of {group}", count=group.failed, group=f"{name} {group.name}")
        super().__init__(client_factory, EditSource(retry_model.RETRY_GROUP, (name,), called))
        self.group = group

    def describe_effect(self, sheet: EditSheet) -> list[str]:
        return retry_model.describe_retry(sheet)

    def make_requests(self, sheet: EditSheet) -> Sequence[Request]:
        return [retry_model.retry_group(self.group, sheet)]

    def make_commands(self, sheet: EditSheet) -> list[list[str]]:
        idents = ["--failed", format_group(self.group.number)]
        return [retry_model.list_command(idents, sheet)]
