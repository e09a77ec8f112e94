"""Where one can go in the deck: its panes, and the screens on top of it, each imported when it is first wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from textual import on
from textual.screen import ModalScreen

from app.core import filter_query
from app.core.board import EndedEntry, QueueEntry
from app.core.text.status_glyphs import FAILED_STATES
from app.tui.screens.deck.screen import DeckScreen
from app.tui.status_messages import StatusMessages
from app.tui.widgets.header import COUNTER_FILTERS, Header

if TYPE_CHECKING:
    from app.client import Client
    from app.tui.app import TaskdeckApp
    from app.tui.screens.dialogs.palette import PaletteCommand
    from app.tui.state.read_marks import ReadMarks


DIGIT_ACTIONS = {"5": "go('tasks')", "6": "go('templates')", "7": "go('rules')", "9": "go('history')"}
"""The actions of the places that are screens; the other digits are the deck and its panes."""


def import_form() -> None:
    """What `n` opens takes the longest to import, a fifth of the time to its first frame."""
    import app.tui.screens.submit_form  # noqa: F401


class Navigation(StatusMessages):
    """An app that finds its way."""

    client_factory: Callable[[], Client]

    seen: ReadMarks

    def mark_viewed(self, line: EndedEntry) -> None:
        """This end of a task is looked at: if it failed, that was seen."""
        if line.status in FAILED_STATES:
            self.seen.mark_viewed(line.uuid, line.ended_at)

    def return_to_live(self) -> None:
        """Leave the past, if the deck shows it."""
        raise NotImplementedError

    @property
    def deck(self) -> DeckScreen | None:
        """The deck screen, below whatever stands on it."""
        return next((screen for screen in self.screen_stack if isinstance(screen, DeckScreen)), None)

    def action_place(self, pane: int) -> None:
        """Go to the deck, and to one of its panes."""
        while len(self.screen_stack) > 1:
            self.pop_screen()
        if self.deck:
            self.deck.go_to(pane)

    def action_go(self, place: str) -> None:
        """Go to one of the screens that are a place; from another place, not on top of it. The deck comes back to now."""
        self._return_to_deck()
        getattr(self, f"open_{place}")()

    def _return_to_deck(self) -> None:
        """To the deck as it is now, below all that stands on it."""
        self.return_to_live()
        while len(self.screen_stack) > 1:
            self.pop_screen()

    @on(Header.Clicked)
    async def _open_clicked(self, event: Header.Clicked) -> None:
        """What was clicked in the header leads there; a form, or a question, is not left by it."""
        if isinstance(self.screen, ModalScreen) or hasattr(self.screen, "takes_keys"):
            return
        if event.to.isdigit():
            await self.run_action(DIGIT_ACTIONS.get(event.to) or f"place({event.to})")
        else:
            self.show_counted(event.to)

    def show_counted(self, words: str) -> None:
        """The tasks that a counter counts: on the deck there, else in the list of all."""
        from app.tui.screens.tasks import TasksScreen

        if isinstance(self.screen, (DeckScreen, TasksScreen)):
            self.screen.show_counted(words)
        else:
            self._return_to_deck()
            self.open_tasks(words, "ended" if words == COUNTER_FILTERS["failed"] else "number")

    def open_tasks(self, words: str = "", order: str = "number") -> None:
        """All tasks, those that the words of a filter mean, in an order."""
        from app.tui.screens.tasks import TasksScreen

        self.push_screen(TasksScreen(self.client_factory, words, order))

    def open_rules(self) -> None:
        """Alerts, and the rules behind them."""
        from app.tui.screens.alerts import AlertsScreen

        self.push_screen(AlertsScreen(self.client_factory))

    def open_templates(self) -> None:
        """The templates."""
        from app.tui.screens.templates import TemplatesScreen

        self.push_screen(TemplatesScreen(self.client_factory))

    def open_editor(self, kind: str, name: str | None = None, then: Callable[[str | None], None] | None = None) -> None:
        """The text of a definition (kind: templates, queues, pools or slas); without a name of a new one. `then` is told the name of what
        was saved."""
        from app.tui.screens.definition_editor import EditorScreen

        self.push_screen(EditorScreen(self.client_factory, kind, name), then)

    def open_operations(self, words: str = "") -> None:
        """Who did what, of what the words of a filter mean."""
        from app.tui.screens.operations import OperationsScreen

        self.push_screen(OperationsScreen(self.client_factory, words))

    def open_database(self) -> None:
        """How large the database is, and what was slow."""
        from app.tui.screens.database import DatabaseScreen

        self.push_screen(DatabaseScreen(self.client_factory))

    def open_task(self, ident: str) -> None:
        """The screen of a task, by uuid or number."""
        from app.tui.screens.task import TaskScreen

        self.push_screen(TaskScreen(self.client_factory, ident))

    def open_log(self, ident: str) -> None:
        """The log of a task."""
        from app.tui.screens.log import LogScreen

        self.push_screen(LogScreen(self.client_factory, ident))

    def open_why(self, ident: str) -> None:
        """Why it waits; it may lead to the task."""
        from app.tui.screens.dialogs.why import WhyScreen

        self.push_screen(WhyScreen(self.client_factory, ident), lambda uuid: self.open_task(uuid) if uuid else None)

    def show_away(self, found: Mapping[str, Any]) -> None:
        """What happened while nobody looked, if anything did and nothing else was opened meanwhile."""
        from app.tui.screens.dialogs.while_away import AwayScreen, has_news

        if has_news(found) and len(self.screen_stack) == 1:
            self.push_screen(AwayScreen(found), self._continue_from_away)

    def _continue_from_away(self, key: str | None) -> None:
        if key == "f":
            self.open_tasks("status:failed,timed-out,lost", "ended")
        elif key:
            self.simulate_key(key)

    def open_history(self) -> None:
        """What began, ended, waited and ran over time."""
        from app.tui.screens.history import HistoryScreen

        self.push_screen(HistoryScreen(self.client_factory))

    def open_form(self, template: str | None = None, task: Mapping[str, Any] | None = None) -> None:
        """The form for a new task; that of a template; or filled with a task (its row as `show` answers it) to run again."""
        from app.tui.screens.submit_form import SubmitScreen

        self.push_screen(SubmitScreen(self.client_factory, template, task), self._report_submitted)

    def _report_submitted(self, number: int | None) -> None:
        if number is not None:
            self.show_message(f"Submitted #{number}.")
            cast("TaskdeckApp", self).mark_irreversible()

    def show_queue(self, queue: QueueEntry) -> None:
        """The tasks of one queue."""
        self.open_tasks(f"queue:{filter_query.quote_word(queue.name)}")

    def action_show_keys(self) -> None:
        """Every key that works here."""
        from app.tui.screens.dialogs.keys import HelpScreen, list_bindings

        self.push_screen(HelpScreen(list_bindings(self.screen.active_bindings)), self._press_key)

    def _press_key(self, key: str | None) -> None:
        if key:
            self.simulate_key(key)

    def action_palette(self) -> None:
        """Every command by its name."""
        from app.tui.screens.dialogs.palette import PaletteScreen
        from app.tui.screens.dialogs.palette_commands import list_commands

        self.push_screen(PaletteScreen(list_commands(cast("TaskdeckApp", self)), self.open_task), _run_command)


def _run_command(command: PaletteCommand | None) -> None:
    if command:
        command.run()
