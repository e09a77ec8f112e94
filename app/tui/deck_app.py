"""Interface of the application for screens and widgets, which cannot import the application."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from textual.message_pump import MessagePump
from textual.screen import Screen

from app.core.board import EndedEntry, QueueEntry
from app.tui.app_host import AppHost
from app.tui.data.background_calls import BackgroundCalls
from app.tui.data.call_queue import CallQueue
from app.tui.data.requests import RequestSender
from app.tui.data.time_travel import TimeTravel
from app.tui.state.drafts import Drafts
from app.tui.state.pending_changes import PendingChanges
from app.tui.state.preferences import Preferences
from app.tui.state.read_marks import ReadMarks
from app.tui.state.undo_stack import UndoStack
from app.tui.style import Look

if TYPE_CHECKING:
    from app.client import Client


class DeckApp(AppHost, Protocol):
    """The application as screens and widgets see it."""

    memory: Preferences
    read_marks: ReadMarks
    drafts: Drafts
    time_travel: TimeTravel
    pending: PendingChanges
    undo_stack: UndoStack
    requests: RequestSender
    background: BackgroundCalls
    read_queue: CallQueue
    origin: str
    theme: str

    @property
    def screen(self) -> Screen[Any]: ...

    @property
    def unread(self) -> str:
        """Sanitized reason why no board was ever received; empty after the first board."""
        ...

    @property
    def refusal(self) -> str:
        """Reason why changes are refused now; empty if they are allowed."""
        ...

    def client_factory(self) -> Client:
        """Return a new client."""
        ...

    def show_message_once(self, text: str) -> None:
        """Show a message, but only the first time."""
        ...

    def action_recent_messages(self) -> None:
        """Open the message history."""
        ...

    def report(self, error: Exception, where: Any) -> None:
        """Log and show a failed handler, then continue."""
        ...

    async def run_action(self, action: str, default_namespace: Any = None) -> bool: ...

    def use_mouse(self, on: bool) -> None:
        """Handle the mouse, or leave it to the terminal."""
        ...

    def expect_screen(self) -> asyncio.Event:
        """Keep keys typed from now on for a screen being opened, until the event is set."""
        ...

    def discard_typeahead(self) -> None:
        """Discard keys typed ahead for a screen that failed to open."""
        ...

    def mark_viewed(self, line: EndedEntry) -> None:
        """Mark a viewed failure as seen."""
        ...

    def action_place(self, pane: int) -> None:
        """Go to the deck, and to one of its panes."""
        ...

    def reset_panes(self) -> None:
        """Show all panes of the deck in their default sizes."""
        ...

    def show_welcome(self) -> None:
        """Show the first-run help, on a deck without tasks."""
        ...

    def show_queue(self, queue: QueueEntry) -> None:
        """Show the tasks of a queue."""
        ...

    def open_tasks(self, words: str = "", order: str = "number", returns: bool = False) -> None:
        """Open the task list with a filter and an order; `returns` lets escape close it."""
        ...

    def open_task(self, ident: str) -> None:
        """Open a task by uuid or number."""
        ...

    def open_operations(self, words: str = "") -> None:
        """Open the operation log with a filter."""
        ...

    def open_group(self, number: int) -> None:
        """Open a group by its number."""
        ...

    def open_flow(self, ident: str) -> None:
        """Open the tree of a group, or of the tasks around a task."""
        ...

    def open_log(self, ident: str) -> None:
        """Open the log of a task."""
        ...

    def open_why(self, ident: str) -> None:
        """Open the reasons why a task waits, which may lead to the task."""
        ...

    def open_form(self, template: str | None = None, task: Mapping[str, Any] | None = None) -> None:
        """Open the submit form: empty, for a template, or filled from a task's `show` reply."""
        ...

    def open_editor(
        self, kind: str, name: str | None = None, then: Callable[[str | None], None] | None = None
    ) -> None:
        """Open the editor of a definition; without a name, a new one."""
        ...

    def open_schedule(self, name: str) -> None:
        """Open a schedule by its name."""
        ...

    def open_topics(self) -> None:
        """Open the list of help topics."""
        ...

    def open_topic(self, name: str) -> None:
        """Open a help topic."""
        ...

    def open_database(self) -> None:
        """Open the database page."""
        ...


class DeckNode(MessagePump):
    """A widget or screen of the deck."""

    @property
    def deck(self) -> DeckApp:
        return cast(DeckApp, self.app)

    @property
    def look(self) -> Look:
        """Characters and colours that the terminal can show."""
        return self.deck.look

    @property
    def now(self) -> float:
        """UNIX seconds by the app's clock."""
        return self.deck.now()


class StatusScreen(DeckNode):
    """A screen with a message line."""

    KEY: ClassVar[str] = ""
    """Key that opens the screen, if the banner of other screens names that key."""

    SHOWS_PAST: ClassVar[bool] = False
    """True if the screen shows the past while the user travels in time."""

    @property
    def rows_settled(self) -> asyncio.Event | None:
        """Set once the rows match the last request; keys wait for the event."""
        return None

    def refresh_message(self) -> None:
        """Draw the current message."""
        raise NotImplementedError
