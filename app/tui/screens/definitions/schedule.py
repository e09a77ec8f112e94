"""Schedule screen: one schedule with its rules, its next and its latest fire times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from app.translation import tr
from app.tui.data.schedule_rows import ScheduleEntry, make_schedule
from app.tui.pages.schedule import TASK_PREFIX, build_schedule_sections
from app.tui.screens.definitions.schedule_actions import ScheduleActions
from app.tui.widgets.document import DocumentView
from app.tui.widgets.footer import KeyHint
from app.tui.widgets.modal import is_visible_under_modal

if TYPE_CHECKING:
    from app.client import Client


class ScheduleScreen(ScheduleActions):
    """Page about one schedule. Enter on a fire time opens its task."""

    SINGLE_SUBJECT = True
    BINDINGS: ClassVar[list[BindingType]] = [
        *ScheduleActions.BINDINGS,
        Binding("l", "log", "Log of the task under the cursor", id="task.log"),
        Binding("q,escape", "leave", "Back", id="page.back"),
        Binding("u", "app.undo", "Undo the last thing", id="deck.undo"),
    ]
    DEFAULT_CSS = "ScheduleScreen { DocumentView { height: 1fr; } }"

    def __init__(self, client_factory: Callable[[], Client], name: str) -> None:
        super().__init__(client_factory)
        self.schedule = name
        self.row: ScheduleEntry | None = None

    def compose_body(self) -> Iterable[Widget]:
        yield DocumentView(id="schedule")

    def on_mount(self) -> None:
        self.query_one(DocumentView).focus()

    def make_heading(self) -> str:
        return self.look.adapt_text(f"{self.opened_from} › ") + self.look.sanitize(self.schedule)

    @property
    def breadcrumb(self) -> str:
        return tr("Schedule")

    def list_hints(self) -> list[KeyHint]:
        task = (
            [KeyHint("↵", "its task", "enter", 1), KeyHint("l", "log", "l", 7)]
            if self._task_uuid
            else []
        )
        undo = [KeyHint("u", "undo", "u", 12)] if self.deck.undo_stack.can_undo else []
        own = self.list_schedule_hints(self.row) if self.row else []
        return [*task, *own, *undo]

    @property
    def _task_uuid(self) -> str:
        target = self.query_one(DocumentView).cursor
        return target.removeprefix(TASK_PREFIX) if target.startswith(TASK_PREFIX) else ""

    def list_schedules(self) -> list[ScheduleEntry]:
        return [self.row] if self.row else []

    # Reading

    def reread(self) -> None:
        self.read(
            lambda client: client.call("schedule.show", {"name": self.schedule}), self._apply_answer
        )

    def _apply_answer(self, answer: Mapping[str, Any]) -> None:
        self.row = make_schedule(answer)
        self._draw()
        self.refresh_chrome()

    def handle_missing(self, text: str) -> None:
        """Close the page: the schedule was removed or never existed."""
        if self.app.screen is self:
            self.dismiss(None)
            if self.row is None:
                self.show_message(self.look.sanitize(text), "warn")

    def _draw(self) -> None:
        if self.row:
            self.query_one(DocumentView).show(
                build_schedule_sections(self.row, self.now, self.app.size.width, self.look)
            )

    def on_resize(self) -> None:
        super().on_resize()
        self._draw()

    def refresh_each_second(self) -> None:
        super().refresh_each_second()
        if is_visible_under_modal(self) and not self.deck.resting:
            self._draw()
            if self.row and self.row.due_at is not None and self.row.due_at < self.now:
                self.handle_board_change()

    # Navigation

    @on(DocumentView.Moved)
    def _handle_move(self) -> None:
        self.refresh_keys()

    @on(DocumentView.Opened)
    def _handle_open(self) -> None:
        self.deck.open_task(self._task_uuid)

    def action_log(self) -> None:
        if self._task_uuid:
            self.deck.open_log(self._task_uuid)
        else:
            self.show_message(
                tr("l shows the log of a task, but no task is under the cursor."), "warn"
            )
