"""Navigation: panes of the deck and the screens above it, imported on first use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from textual import on
from textual.screen import ModalScreen

from app.core import filter_query
from app.core.board import EndedEntry, QueueEntry
from app.core.text.status_glyphs import FAILED_STATES
from app.translation import tr
from app.tui.actions.tasks import Request
from app.tui.base_app import BaseApp
from app.tui.data.call_queue import CallQueue
from app.tui.data.connection import BoardConnection
from app.tui.data.time_travel import READ_ONLY_MESSAGE, TimeTravel
from app.tui.deck_app import StatusScreen
from app.tui.key_queue import KeyQueueScreen
from app.tui.screens.deck.layout import WORK_PANE
from app.tui.screens.deck.screen import DeckScreen
from app.tui.state.read_marks import ReadMarks
from app.tui.state.undo_stack import UndoStack
from app.tui.widgets.banner import DATABASE_KEY, Banner, needs_room
from app.tui.widgets.header import COUNTER_FILTERS, Header

if TYPE_CHECKING:
    from app.client import Client
    from app.tui.screens.dialogs.palette import PaletteCommand


KEY_ACTIONS = {
    "5": "go('tasks')",
    "6": "go('templates')",
    "7": "go('rules')",
    "8": "go('schedules')",
    "9": "go('history')",
    "O": "go('operations')",
    "B": "go('database')",
    "U": "go('usage')",
}
"""Actions of keys that go to places, other than those of the deck and its panes."""


def import_form() -> None:
    """Import the submit form: the import takes a fifth of the time until its first frame."""
    import app.tui.screens.submission.submit_form  # noqa: F401


class Navigation(BaseApp):
    """An app with navigation between screens."""

    read_marks: ReadMarks
    undo_stack: UndoStack
    connection: BoardConnection
    time_travel: TimeTravel
    read_queue: CallQueue

    def client_factory(self) -> Client:
        """Return a new client."""
        raise NotImplementedError

    def mark_viewed(self, line: EndedEntry) -> None:
        """Mark a viewed failure as seen."""
        if line.status in FAILED_STATES:
            self.read_marks.mark_viewed(line.uuid, line.ended_at)

    @property
    def refusal(self) -> str:
        """Reason why changes are refused now; empty if they are allowed."""
        if self.read_only:
            return tr("Read only: this deck changes nothing.")
        shows_past = isinstance(self.screen, StatusScreen) and self.screen.SHOWS_PAST
        return tr(READ_ONLY_MESSAGE) if self.time_travel.is_active and shows_past else ""

    def refuse_changes(self) -> bool:
        """Show why changes are refused and return True if they are."""
        if why := self.refusal:
            self.show_message(why, "warn")
        return bool(why)

    @property
    def deck(self) -> DeckScreen | None:
        """The deck screen, below any other screens."""
        return next(
            (screen for screen in self.screen_stack if isinstance(screen, DeckScreen)), None
        )

    def action_place(self, pane: int) -> None:
        """Go to the deck, and to one of its panes."""
        self._close_screens()
        if self.deck and pane == WORK_PANE:
            self.deck.go_to_section("running")
        elif self.deck:
            self.deck.go_to(pane)

    def action_section(self, part: str) -> None:
        """Go to the deck, and to one section of its work pane."""
        self._close_screens()
        if self.deck:
            self.deck.go_to_section(part)

    def action_go(self, place: str) -> None:
        """Open a screen directly above the live deck."""
        self._return_to_deck()
        getattr(self, f"open_{place}")()

    def _return_to_deck(self) -> None:
        """Close all screens above the deck and make it live."""
        self.time_travel.return_to_live()
        self._close_screens()

    def _close_screens(self) -> None:
        """Close all screens above the deck."""
        while len(self.screen_stack) > 1:
            self.pop_screen()

    def reset_panes(self) -> None:
        """Show all panes of the deck in their default sizes."""
        self.action_place(0)
        if self.deck:
            self.deck.reset_sizes()

    def show_welcome(self) -> None:
        """Show the first-run help, on a deck without tasks."""
        self.action_place(0)
        if self.board and self.board.ever:
            self.show_message(
                tr("The first-run help appears only on a deck without tasks; ? shows the keys."),
                "warn",
            )
        elif self.deck:
            self.deck.action_welcome()

    # History

    def action_back_in_time(self, minutes: int) -> None:
        """Move the deck's time by `minutes`; beyond the latest board it becomes live."""
        if self.deck:
            self._close_screens()
            self.connection.clear_board_message()
            self.time_travel.step(minutes)

    def _refresh_past(self) -> None:
        if not self.time_travel.is_active:
            self.connection.clear_board_message()  # the message was about the past board
        if self.deck:
            self.deck.show_board()

    # Screens

    @on(Header.Clicked)
    async def _open_clicked(self, event: Header.Clicked) -> None:
        """Open the clicked destination; forms and dialogs stay open."""
        if isinstance(self.screen, (ModalScreen, KeyQueueScreen)):
            return
        if action := KEY_ACTIONS.get(event.to) or (event.to.isdigit() and f"place({event.to})"):
            await self.run_action(action)
        else:
            self.show_counted(event.to)

    def show_counted(self, words: str) -> None:
        """Show the tasks of a counter: on the deck if open, else in the task list."""
        from app.tui.screens.tasks.tasks import TasksScreen

        if isinstance(self.screen, (DeckScreen, TasksScreen)):
            self.screen.show_counted(words)
        else:
            self._return_to_deck()
            self.open_tasks(words, "ended" if words == COUNTER_FILTERS["failed"] else "number")

    def open_tasks(self, words: str = "", order: str = "number", returns: bool = False) -> None:
        """Open the task list with a filter and an order.

        With `returns`, escape closes the list as long as the filter is the same.
        """
        from app.tui.screens.tasks.tasks import TasksScreen

        self.push_screen(TasksScreen(self.client_factory, words, order, returns))

    def open_rules(self) -> None:
        """Open alerts and rules."""
        from app.tui.screens.alerts import AlertsScreen

        self.push_screen(AlertsScreen(self.client_factory))

    def open_schedules(self) -> None:
        """Open the schedules."""
        from app.tui.screens.definitions.schedules import SchedulesScreen

        self.push_screen(SchedulesScreen(self.client_factory))

    def open_schedule(self, name: str) -> None:
        """Open a schedule by its name."""
        from app.tui.screens.definitions.schedule import ScheduleScreen

        self.push_screen(ScheduleScreen(self.client_factory, name))

    def open_templates(self) -> None:
        """Open the templates."""
        from app.tui.screens.definitions.templates import TemplatesScreen

        self.push_screen(TemplatesScreen(self.client_factory))

    def open_editor(
        self, kind: str, name: str | None = None, then: Callable[[str | None], None] | None = None
    ) -> None:
        """Open the editor of a definition; without a name, a new one.

        `kind` is templates, queues, pools or slas. `then` receives the name of the saved
        definition.
        """
        from app.tui.screens.definitions.definition_editor import EditorScreen

        self.push_screen(EditorScreen(self.client_factory, kind, name), then)

    def open_operations(self, words: str = "") -> None:
        """Open the operation log with a filter."""
        from app.tui.screens.operations import OperationsScreen

        self.push_screen(OperationsScreen(self.client_factory, words))

    @on(Banner.Clicked)
    def _open_database_on_click(self) -> None:
        """Open the database page from the disk-full banner, unless it is open."""
        is_open = isinstance(self.screen, StatusScreen) and self.screen.KEY == DATABASE_KEY
        if self.board and needs_room(self.board) and not is_open:
            self.open_database()

    def open_database(self) -> None:
        """Open the database page."""
        from app.tui.screens.database import DatabaseScreen

        self.push_screen(DatabaseScreen(self.client_factory))

    def open_usage(self) -> None:
        """Open the usage of a period."""
        from app.tui.screens.usage import UsageScreen

        self.push_screen(UsageScreen(self.client_factory))

    def action_what_if(self) -> None:
        """Open the what-if screen over this one; marked tasks and groups count as cancelled."""
        from app.tui.actions.tasks import list_task_rows
        from app.tui.screens.tasks.filter_actions import list_groups
        from app.tui.screens.tasks.task_actions import TaskActions
        from app.tui.screens.what_if import WhatIfScreen

        if isinstance(self.screen, WhatIfScreen):
            return
        marked = self.screen.table.list_marked() if isinstance(self.screen, TaskActions) else ()
        rows = [row for row in list_task_rows(marked) if not isinstance(row, EndedEntry)]
        self.push_screen(WhatIfScreen(self.client_factory, [*list_groups(marked), *rows]))

    def open_task(self, ident: str) -> None:
        """Open a task by uuid or number."""
        from app.tui.screens.tasks.task import TaskScreen

        self.push_screen(TaskScreen(self.client_factory, ident))

    def open_group(self, number: int) -> None:
        """Open a group by its number."""
        from app.tui.screens.tasks.group import GroupScreen

        self.push_screen(GroupScreen(self.client_factory, number))

    def open_flow(self, ident: str) -> None:
        """Open the tree of a group, or of the tasks around a task."""
        from app.tui.screens.tasks.flow import FlowScreen

        self.push_screen(FlowScreen(self.client_factory, ident))

    def open_log(self, ident: str) -> None:
        """Open the log of a task."""
        from app.tui.screens.tasks.log import LogScreen

        self.push_screen(LogScreen(self.client_factory, ident))

    def open_why(self, ident: str) -> None:
        """Open the reasons why a task waits, which may lead to the task."""
        from app.tui.screens.dialogs.why import WhyScreen

        self.push_screen(
            WhyScreen(self.client_factory, ident),
            lambda uuid: self.open_task(uuid) if uuid else None,
        )

    def show_away(self, found: Mapping[str, Any]) -> None:
        """Show events since the last visit, if any, and if no other screen was opened."""
        from app.tui.screens.dialogs.while_away import WhileAwayScreen, has_news

        if has_news(found) and len(self.screen_stack) == 1:
            self.push_screen(WhileAwayScreen(found), self._continue_from_away)

    def _continue_from_away(self, key: str | None) -> None:
        if key == "f":
            self.open_tasks("status:failed,timed-out,lost", "ended")
        elif key:
            self.simulate_key(key)

    def open_history(self) -> None:
        """Open the history charts."""
        from app.tui.screens.history import HistoryScreen

        self.push_screen(HistoryScreen(self.client_factory))

    def open_form(self, template: str | None = None, task: Mapping[str, Any] | None = None) -> None:
        """Open the submit form: empty, for a template, or filled from a task's `show` reply."""
        from app.tui.screens.submission.submit_form import SubmitScreen

        self.push_screen(SubmitScreen(self.client_factory, template, task), self._report_submitted)

    def _report_submitted(self, task: Mapping[str, Any] | None) -> None:
        if task is not None:
            text = tr("Submitted #{number}.", number=task["number"])
            self.show_message(text)
            self.undo_stack.mark_irreversible()
            self.call_later(self._select_submitted, task)
            wanted = {"object": f"task #{task['number']}", "verb": "submit", "limit": 1}
            self.read_queue.send(
                "operations",
                wanted,
                lambda found, error: self.call_later(self._offer_undo, text, found or ()),
            )

    def _offer_undo(self, text: str, operations: Sequence[Mapping[str, Any]]) -> None:
        """Let `u` undo a submission, after it says so."""
        for operation in operations:
            request = Request("undo", {"ids": [operation["id"]]}, tr("Undone:"))
            self.undo_stack.push(text, [request])
            self.undo_stack.mark_irreversible()

    def _select_submitted(self, task: Mapping[str, Any]) -> None:
        """Put the cursor on a submitted task, where tasks are listed."""
        from app.tui.screens.tasks.task_actions import TaskActions

        if isinstance(self.screen, TaskActions):
            self.screen.select_submitted(task["uuid"], task["number"])

    def show_queue(self, queue: QueueEntry) -> None:
        """Show the tasks of a queue."""
        self.open_tasks(f"queue:{filter_query.quote_word(queue.name)}")

    def action_themes(self) -> None:
        """Open the theme dialog."""
        from app.tui.screens.dialogs.theme import ThemeScreen

        self.push_screen(ThemeScreen(self.theme))

    def action_show_keys(self) -> None:
        """Show the keys that work here."""
        from app.tui.screens.dialogs.keys import HelpScreen, list_bindings

        self.push_screen(HelpScreen(list_bindings(self.screen.active_bindings)), self._press_key)

    def open_topics(self) -> None:
        """Open the list of help topics."""
        from app.tui.screens.dialogs.topics import TopicListScreen

        self.push_screen(TopicListScreen(self.open_topic), run_command)

    def open_topic(self, name: str) -> None:
        """Open a help topic."""
        from app.tui.screens.dialogs.topics import TopicScreen

        self.push_screen(TopicScreen(name))

    def _press_key(self, key: str | None) -> None:
        if key:
            self.simulate_key(key)


def run_command(command: PaletteCommand | None) -> None:
    """Run the chosen command, if any."""
    if command:
        command.run()
