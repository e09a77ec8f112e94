"""The deck's Textual application: board, feed, request queues and navigation.

The deck is a client. It never stops a job or the runtime. Failures in the deck are shown in place
and written to `run/deck.log` of the home; no traceback reaches the terminal.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from threading import Thread, current_thread, main_thread
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.binding import Binding, BindingType

from app.config import Config
from app.core.board import AlertEntry, Board
from app.core.shell_context import identify_terminal
from app.core.text.joining import end_sentence
from app.translation import tr
from app.tui.data import connection, heartbeat
from app.tui.data.alert_bell import AlertBell
from app.tui.data.background_calls import BackgroundCalls
from app.tui.data.call_queue import CallQueue
from app.tui.data.connection import BoardConnection
from app.tui.data.requests import RequestSender
from app.tui.data.time_travel import TimeTravel
from app.tui.key_dispatch import KeyDispatcher
from app.tui.navigation import Navigation, import_form, run_command
from app.tui.screens.base_page import PageScreen
from app.tui.screens.deck.screen import DeckScreen
from app.tui.screens.tasks.task_actions import TaskActions
from app.tui.state.drafts import Drafts
from app.tui.state.pending_changes import PendingChanges
from app.tui.state.read_marks import AWAY_SECONDS, ReadMarks
from app.tui.state.undo_stack import UndoStack
from app.tui.style import Look, Span
from app.tui.terminal.app_internals import add_bindings

if TYPE_CHECKING:
    from textual.driver import Driver

    from app.client import Client
    from app.core.user_commands import UserCommand
    from app.tui.user_commands import UserCommandRunner

IMPORT_DELAY = 0.5
"""Seconds before the submit form's modules are imported; by then the rows are drawn."""
FEED_DELAY = 0.1
"""Seconds before the feed starts when the first board is already known."""
ALERT_SECONDS = 60.0
"""Seconds for which a new critical alert stays in the message line."""
INTERRUPT_WINDOW = 2.0
"""Seconds within which a second ctrl+c leaves the deck."""


class TaskdeckApp(Navigation):
    """The deck of one home. `client_factory` makes its clients."""

    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False
    TITLE = "Taskdeck"
    CSS_PATH = "styles/deck.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "question_mark,f1,fullwidth_question_mark",
            "show_keys",
            "Keys of this screen",
            id="app.help",
        ),
        Binding(
            "ctrl+p,colon,fullwidth_colon", "palette", "Palette: every command", id="app.palette"
        ),
        Binding("ctrl+q", "leave", "Leave; nothing stops", id="app.leave", priority=True),
        Binding("ctrl+c", "help_quit", "How to leave; twice leaves", id="app.break"),
        Binding("ctrl+l", "redraw", "Redraw", id="app.redraw"),
        Binding("T", "themes", "Choose a theme", id="app.theme"),
        Binding("0", "place(0)", "The deck as a whole", id="place.deck"),
        Binding("1", "place(1)", "Queues", id="place.queues"),
        Binding("2", "place(2)", "Pools", id="place.pools"),
        Binding("3", "place(3)", "Running tasks", id="place.work"),
        Binding("4", "place(4)", "SLA alerts", id="place.alerts"),
        Binding("5", "go('tasks')", "All tasks", id="place.tasks"),
        Binding("6", "go('templates')", "Templates", id="place.templates"),
        Binding("7", "go('rules')", "Alerts and rules", id="place.rules"),
        Binding("8", "go('schedules')", "Schedules", id="place.schedules"),
        Binding("W", "section('next')", "Tasks next to start", id="place.next"),
        Binding("E", "section('ended')", "Tasks that just ended", id="place.ended"),
        Binding("9", "go('history')", "History", id="place.history"),
        Binding("O", "go('operations')", "Operations: who did what", id="place.operations"),
        Binding("S", "start_runtime", "Start the runtime", id="deck.start"),
        Binding(
            "B",
            "go('database')",
            "Database: size, backups, what cleanup frees",
            id="place.database",
        ),
        Binding("U", "go('usage')", "Usage: hours of CPU and GPUs by whom", id="place.usage"),
        Binding(
            "I", "what_if", "What if: other amounts, waits before and after", id="place.what-if"
        ),
    ]

    def __init__(
        self,
        client_factory: Callable[[], Client],
        *,
        look: Look | None = None,
        read_only: bool = False,
        home: Path | None = None,
        now: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
        first: Board | None = None,
        driver_class: type[Driver] | None = None,
        settings: Config = Config(),  # noqa: B008 - frozen
        told: str = "",
        commands: Sequence[UserCommand] = (),
    ) -> None:
        """Create the app.

        `settings.keys` and `commands` are validated already. `told` is an unsanitized message,
        shown at the start.
        """
        super().__init__(
            look=look,
            read_only=read_only,
            home=home,
            now=now,
            ticks=ticks,
            driver_class=driver_class,
            settings=settings,
        )
        self._new_client = client_factory
        self._first = first
        self._first_message = told
        self.origin = identify_terminal()
        """Origin recorded for changes made here. Only changes of others are shown as news."""
        self.read_marks = ReadMarks(self.memory, self.now)
        self.drafts = Drafts()
        self.undo_stack = UndoStack()
        self.pending = PendingChanges(self.ticks)
        self.write_queue = CallQueue(self.client_factory)
        """Queue for changes. They may wait for the database and for each other."""
        self.read_queue = CallQueue(self.client_factory, name="questions")
        """Queue for reads triggered by keys. They never wait for a change."""
        self.requests = RequestSender(
            self, self.write_queue, self.read_queue, self.undo_stack, self.pending
        )
        self._bell = AlertBell(self._announce_alert, self._restore_title)
        self.connection = BoardConnection(
            self, self.client_factory, self.read_marks, self._update_pending, self._bell.update
        )
        self.feed = self.connection.feed
        self.background = BackgroundCalls(
            self, self.client_factory, self.write_queue, self.read_queue, self.feed.retry_now
        )
        self.time_travel = TimeTravel(
            lambda args, then: self.read_queue.send(
                "board.at", args, lambda answer, error: self.call_later(then, answer, error)
            ),
            self._refresh_past,
            lambda text: self.show_message(self.look.sanitize(text), "warn"),
            self.now,
        )
        self._keys = KeyDispatcher(self)
        self.command_runner: UserCommandRunner | None = None
        if commands:
            from app.tui.user_commands import UserCommandRunner, make_bindings

            self.command_runner = UserCommandRunner(self, self.read_queue, commands)
            add_bindings(self, make_bindings(commands))
        self._resting_message: Span | None = None
        """Message shown when drawing was suspended."""
        self._interrupted_at = float("-inf")

    def client_factory(self) -> Client:
        """Return a new client that reports when a request waits for the database."""
        client = self._new_client()
        client.on_wait = lambda text: self.call_later(self._show_database_wait, text)
        return client

    def _show_database_wait(self, text: str) -> None:
        sentence = end_sentence(self.look.sanitize(text[:1].upper() + text[1:]))
        self.show_message(sentence, "warn", stays=True)

    def get_default_screen(self) -> DeckScreen:
        return DeckScreen()

    # Start and end

    def on_load(self) -> None:
        """Install the signal handlers.

        From now on the terminal is in application mode, so SIGTERM and SIGHUP must restore it.
        """
        if current_thread() is main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(number, self.exit, 128 + number)

    def on_mount(self) -> None:
        self._prepare_terminal()
        self.board = self._first
        if self._first is not None:
            self._bell.update(self._first)
        if self._first_message:
            self.show_message(self.look.sanitize(self._first_message), "warn", stays=True)
        self.write_queue.start()
        self.read_queue.start()
        if self._first is None:
            self.feed.start()
        else:  # rows are known already: the feed's thread would delay drawing them
            self.set_timer(FEED_DELAY, self.feed.start)
        if (since := self.read_marks.last_view) is not None and self.now() - since > AWAY_SECONDS:
            self.read_queue.send(
                "away",
                {"since": since},
                lambda found, error: self.call_later(self.show_away, found) if found else None,
            )
        self.set_interval(AWAY_SECONDS / 2, self._record_view)
        self.set_interval(heartbeat.CHECK_INTERVAL, self.connection.check_heartbeat)
        self.set_timer(connection.WAIT_NOTICE_DELAY, self.connection.check_first_board)
        self.set_timer(IMPORT_DELAY, Thread(target=import_form, name="import", daemon=True).start)

    def _announce_alert(self, alert: AlertEntry, others: int) -> None:
        """Name a critical alert in the message line and in the title; ring the bell."""
        more = tr(", and {others:,} more", others=others) if others else ""
        what = self.look.sanitize(f"{alert.sla}: {alert.object} {alert.short or alert.why}{more}")
        text = (
            tr("CRIT {what}. 4 shows them.", what=what)
            if more
            else tr("CRIT {what}. 4 shows it.", what=what)
        )
        self.show_message(text, "broken", seconds=ALERT_SECONDS)
        if self.deck:
            self.deck.note_announced(alert.key)
        if self.settings.bell == "off":
            return
        self.bell()
        if self.click_driver:
            self.click_driver.show_title(
                self.look.sanitize(
                    tr("CRITICAL {sla}: {object} - Taskdeck", sla=alert.sla, object=alert.object)
                )
            )

    def _restore_title(self) -> None:
        if self.click_driver:
            self.click_driver.restore_title()

    def _record_view(self) -> None:
        """Record that the deck is being viewed, as far as the focus tells."""
        if self.app_focus:
            self.read_marks.record_view(self.now())

    async def on_unmount(self) -> None:
        if self.command_runner:
            await self.command_runner.close()
        self.read_marks.record_view(self.now())
        self.feed.stop()
        self.write_queue.stop()
        self.read_queue.stop()

    def watch_app_focus(self, focus: bool) -> None:
        """Suspend drawing when the focus is lost; resume with current values."""
        screen = self.screen
        if not focus and self.resting:
            self.show_message(
                tr("Paused while another window has the focus; press a key or click to resume."),
                "dim",
                seconds=inf,
            )
            self._resting_message = self.get_message()
        elif focus:
            self.connection.apply_latest()
            self.retract_message(self._resting_message)
            self.draw_message()
            if isinstance(screen, PageScreen):
                screen.wake()

    # Keys

    async def on_event(self, event: events.Event) -> None:
        if not await self._keys.handle_event(event):
            await super().on_event(event)

    def on_key(self, event: events.Key) -> None:
        self._keys.report_unbound(event)

    def expect_screen(self) -> asyncio.Event:
        """Keep keys typed from now on for a screen being opened, until the event is set."""
        return self._keys.expect_screen()

    def discard_typeahead(self) -> None:
        """Discard keys typed ahead for a screen that failed to open."""
        self._keys.discard_typeahead()

    # Board and messages

    @property
    def unread(self) -> str:
        """Sanitized reason why no board was ever received; empty after the first board."""
        return self.connection.unread

    @property
    def progress_message(self) -> Span | None:
        """Message shown while a backup is running."""
        return self.background.progress_message

    def _update_pending(self, board: Board) -> None:
        """Drop pending priorities, unless a list with other rows is open."""
        if not any(isinstance(screen, TaskActions) for screen in self.screen_stack[1:]):
            self.pending.update_from_board(board)

    # Actions

    def action_undo(self) -> None:
        """Undo the latest change, then the one before it."""
        self.requests.undo()

    def action_start_runtime(self) -> None:
        """Start the runtime after somebody stopped it."""
        self.background.start_runtime()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer user commands on screens with tasks only."""
        if action == "user_command":
            return isinstance(self.screen, TaskActions)
        return super().check_action(action, parameters)

    def action_user_command(self, number: int) -> None:
        """Run a command of the user on the task under the cursor."""
        if self.command_runner:
            self.command_runner.run(number)

    def action_palette(self) -> None:
        """Open the command palette."""
        from app.tui.screens.dialogs.palette import PaletteScreen
        from app.tui.screens.dialogs.palette_commands import list_commands

        self.push_screen(PaletteScreen(list_commands(self), self.open_task), run_command)

    def action_leave(self) -> None:
        """Leave the deck; jobs and runtime keep running."""
        self.exit(0)

    def action_help_quit(self) -> None:
        """Explain how to leave; the second ctrl+c leaves."""
        if self.ticks() - self._interrupted_at < INTERRUPT_WINDOW:
            self.exit(0)
            return
        self._interrupted_at = self.ticks()
        self.show_message(
            tr("ctrl+c stops nothing here. q or ctrl+c again leaves; jobs keep running.")
        )
