"""The deck's Textual application: board, feed, request queues and navigation.

The deck is a client. It never stops a job or the runtime. Failures in the deck are shown in place
and written to `run/deck.log` of the home; no traceback reaches the terminal.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from pathlib import Path
from threading import Thread, current_thread, main_thread
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on
from textual._compositor import ChopsUpdate
from textual._time import get_time
from textual.binding import Binding, BindingType
from textual.dom import DOMNode
from textual.filter import LineFilter, NoColor
from textual.message_pump import MessagePump
from textual.reactive import var
from textual.screen import ModalScreen, Screen
from textual.widget import AwaitMount

from app.config import Config
from app.core.board import Board, RuntimeFacts
from app.core.shell_context import identify_terminal
from app.core.text.sanitize import measure_width
from app.errors import Problem
from app.tui.actions.confirmations import MAX_NAMED
from app.tui.actions.tasks import NotApplicableError, Request
from app.tui.data import heartbeat
from app.tui.data.board_feed import DOWN_STATES, BoardFeed, keep_last_measurements
from app.tui.data.call_queue import BackupThread, CallQueue, format_backup_result
from app.tui.data.time_travel import READ_ONLY_MESSAGE, TimeTravel
from app.tui.error_boundary import ErrorBoundary
from app.tui.error_log import log_error
from app.tui.key_queue import run_binding, wait_for_event
from app.tui.navigation import Navigation, import_form
from app.tui.run import run_deck
from app.tui.screens.base_page import PageScreen
from app.tui.screens.deck.screen import DeckScreen
from app.tui.screens.task_actions import TaskActions
from app.tui.state.preferences import Preferences
from app.tui.state.read_marks import AWAY_SECONDS, ReadMarks
from app.tui.state.undo_stack import PendingRequest, RequestBatch
from app.tui.style import Look, Span
from app.tui.terminal.cell_updates import CellUpdate
from app.tui.terminal.driver import ClickDriver
from app.tui.themes import THEMES
from app.tui.widgets import banner
from app.tui.widgets.banner import DATABASE_KEY, Banner, needs_room
from app.tui.widgets.footer import get_key_name
from app.tui.widgets.too_small import TooSmallNotice

if TYPE_CHECKING:
    from rich.console import RenderableType
    from textual.driver import Driver

    from app.client import Client

__all__ = ["TaskdeckApp", "run_deck"]

IMPORT_DELAY = 0.5
"""Seconds before the submit form's modules are imported; by then the rows are drawn."""
FEED_DELAY = 0.1
"""Seconds before the feed starts when the first board is already known."""
BACKING_UP = "Backing up: copy, pack, restore and check. Jobs keep running."
RETRY_GRACE = 5.0
"""Seconds after which the rows of retried tasks show the retry."""
DATABASE_STATES = {"damaged-database": "DAMAGED", "gone-database": "GONE"}
"""Database state on the board, by the code of the error that prevented reading."""
UNDO_PENDING = "Waiting for the previous request; it will be undone when it completes."
"""Shown when `u` is pressed while a request is pending."""
MAX_UNDO = 50
"""Maximum length of the undo stack."""
INTERRUPT_WINDOW = 2.0
"""Seconds within which a second ctrl+c leaves the deck."""
NOTICE_DELAY = 1.0
"""Seconds the user needs to notice that a key was not applicable."""


class TaskdeckApp(ErrorBoundary, Navigation, TooSmallNotice):
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
        Binding("3", "place(3)", "Work", id="place.work"),
        Binding("4", "place(4)", "SLA alerts", id="place.alerts"),
        Binding("5", "go('tasks')", "All tasks", id="place.tasks"),
        Binding("6", "go('templates')", "Templates", id="place.templates"),
        Binding("7", "go('rules')", "Alerts and SLAs", id="place.rules"),
        Binding("9", "go('history')", "History", id="place.history"),
        Binding("O", "go('operations')", "Operations: who did what", id="place.operations"),
        Binding("S", "start_runtime", "Start the runtime", id="deck.start"),
        Binding(
            "B",
            "go('database')",
            "Database: size, backups, what cleanup frees",
            id="place.database",
        ),
    ]

    board: var[Board | None] = var(None, init=False)
    """The latest board; None until the first one arrives. A `reactive` would redraw the whole
    screen on every board."""

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
    ) -> None:
        """Create the app.

        `settings.keys` are validated already. `told` is an unsanitized message to show first.
        """
        super().__init__(driver_class=driver_class)
        self.settings = settings
        self._new_client = client_factory
        self.look = look or Look()
        self.read_only = read_only
        self.home = home
        self.now = now
        self.ticks = ticks
        self.memory = Preferences(home, read_only=read_only)
        self._undo_entries: list[tuple[str, tuple[Request, ...]]] = []
        """Undo stack, latest last: the sanitized message and the requests that undo it."""
        self._has_irreversible = False
        """Set if something irreversible was done after the latest entry of the undo stack."""
        self._pending_requests: list[PendingRequest] = []
        """Pending requests in key order, including those still being reviewed."""
        self._not_applicable_at = float("-inf")
        """Time of the last key that was not applicable, on the clock `ticks`."""
        self.pending_priorities: dict[str, int] = {}
        """Requested priorities by uuid that the visible list does not show yet."""
        self.retried_ends: dict[str, tuple[float, float]] = {}
        """Retried tasks by uuid: the end time they had (UNIX seconds), and the time on the clock
        `ticks` until which a row with the same end time is considered stale."""
        self.write_queue = CallQueue(self.client_factory)
        """Queue for changes. They may wait for the database and for each other."""
        self.read_queue = CallQueue(self.client_factory, name="questions")
        """Queue for reads triggered by keys. They never wait for a change."""
        self.past = TimeTravel(
            self._request_past,
            self._refresh_past,
            lambda text: self.show_message(self.look.sanitize(text), "warn"),
            self.now,
        )
        self.seen = ReadMarks(self.memory, self.now)
        self.feed = BoardFeed(
            self.client_factory, self._receive_board, self._receive_runtime_gone,
            self._receive_feed_error, start=self.may_start, args=self.seen.make_board_args
        )  # fmt: skip
        self._heartbeat = heartbeat.Heartbeat()
        self.origin = identify_terminal()
        """Origin recorded for changes made here; the news lists only those with another origin."""
        self.failure: Exception | None = None
        """The first failure of the deck itself."""
        self.fatal = False
        """Set if the failure ended the app."""
        self._first = first
        self._first_message = told
        self._latest: Board | None = None
        """Latest board received while drawing was suspended."""
        self._backing_up: BackupThread | None = None
        self.unread = ""
        """Sanitized reason why no board was ever received; empty after the first board."""
        self._trouble: Span | None = None
        """Message shown when the board could not be read, until it can be read again."""
        self._resting_message: Span | None = None
        """Message shown when drawing was suspended."""
        self._idle_key: Span | None = None
        """Message shown for the last key without a binding."""
        self._interrupted_at = float("-inf")
        self.pending_screen: asyncio.Event | None = None
        """Set when the data of a screen being opened has been read; keys typed meanwhile belong to
        that screen."""
        self._discard_keys_until = float("-inf")
        """Keys typed before this time were for a screen that failed to open."""
        self._clicked_on: Screen[Any] | None = None
        """Screen of the last click."""
        self._has_forwarded_input = False
        """Set if a mouse event or an unbound key may still be on its way to a screen or a list."""
        for theme in THEMES:
            self.register_theme(theme)
        names = [theme.name for theme in THEMES]
        wanted = settings.theme or self.memory.get("theme", "quiet")
        self.theme = wanted if wanted in names else "quiet"
        self.set_keymap(dict(settings.keys))

    def client_factory(self) -> Client:
        """Return a new client that reports when a request waits for the database."""
        client = self._new_client()
        client.on_wait = lambda text: self.call_later(self._show_database_wait, text)
        return client

    def _show_database_wait(self, text: str) -> None:
        self.show_message(f"{self.look.sanitize(text[:1].upper() + text[1:])}.", "warn", stays=True)

    def get_default_screen(self) -> DeckScreen:
        return DeckScreen()

    def _get_screen(self, screen: Screen[Any] | str) -> tuple[Screen[Any], AwaitMount]:
        """Return a screen with its stylesheet loaded.

        From Python 3.12 on Textual's tasks start eagerly, so widgets would be mounted unstyled.
        """
        if isinstance(screen, Screen):
            self._load_screen_css(screen)
        return super()._get_screen(screen)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Return the colour filter; without colour, the one that drops colours.

        Textual asks before the theme is known and would choose the filter for greys.
        """
        return super().get_line_filters() if self.look.colour else [NoColor()]

    def on_load(self) -> None:
        """Install the signal handlers.

        From here on the terminal is in application mode, so SIGTERM and SIGHUP must leave in order.
        """
        if current_thread() is main_thread():
            for number in (signal.SIGTERM, signal.SIGHUP):
                asyncio.get_running_loop().add_signal_handler(number, self.exit, 128 + number)

    def on_mount(self) -> None:
        self.set_class(self.look.ascii, "-ascii")
        if self.look.plain and isinstance(self._driver, ClickDriver):
            self._driver.show_cursor()
        self.board = self._first
        if self._first_message:
            self.show_message(self.look.sanitize(self._first_message), "warn", stays=True)
        self.write_queue.start()
        self.read_queue.start()
        if self._first is None:
            self.feed.start()
        else:  # rows are known already: the feed's thread would delay drawing them
            self.set_timer(FEED_DELAY, self.feed.start)
        if (since := self.seen.last_view) is not None and self.now() - since > AWAY_SECONDS:
            self.read_queue.send(
                "away",
                {"since": since},
                lambda found, error: self.call_later(self.show_away, found) if found else None,
            )
        self.set_interval(AWAY_SECONDS / 2, self._record_view)
        self.set_interval(heartbeat.CHECK_INTERVAL, self._check_heartbeat)
        self.set_timer(banner.WAIT_NOTICE_DELAY, self._check_first_board)
        self.set_timer(IMPORT_DELAY, Thread(target=import_form, name="import", daemon=True).start)

    def _record_view(self) -> None:
        """Record that the deck is being viewed, as far as the focus tells."""
        if self.app_focus:
            self.seen.record_view(self.now())

    def on_unmount(self) -> None:
        self.seen.record_view(self.now())
        self.feed.stop()
        self.write_queue.stop()
        self.read_queue.stop()

    async def on_event(self, event: events.Event) -> None:
        """Handle keys in the order they were typed.

        Textual sends a key to the focused widget and looks for its binding when the key comes back,
        behind keys typed later. Here the binding runs at once, on a screen that is mounted and
        shows current rows.
        """
        if isinstance(event, events.MouseDown) and self._is_second_click(event):
            return
        self._has_forwarded_input = self._has_forwarded_input or isinstance(
            event, events.MouseEvent
        )
        if isinstance(event, events.MouseUp):
            self._clicked_on = self.screen
        if (
            isinstance(event, (events.Key, events.Paste))
            and not event.is_forwarded
            and not await self._accept_key(event)
        ):
            return
        if isinstance(event, events.Key) and not event.is_forwarded and not self.too_small:
            self.clear_foreign_message()
            if await self._handle_key(event):
                self.retract_message(self._idle_key)
                return
        await super().on_event(event)

    async def _accept_key(self, event: events.Key | events.Paste) -> bool:
        """Return True if the key belongs to the current screen.

        Waits for a screen that is being opened. If the screen does not open in time, keys typed for
        it are discarded.
        """
        coming, self.pending_screen = self.pending_screen, None
        if coming is not None:
            await wait_for_event(coming)
            if not coming.is_set():
                coming.set()
                self.discard_typeahead()
                self.show_message("Timed out while loading. Press the key again.", "warn")
        return event.time > self._discard_keys_until

    def discard_typeahead(self) -> None:
        """Discard keys typed ahead for a screen that failed to open.

        On the current screen they would run other commands.
        """
        self._discard_keys_until = get_time()

    def _is_second_click(self, event: events.MouseDown) -> bool:
        """Return True if the first click of this double click opened another screen."""
        last, place = self._click_chain_last_time, self._click_chain_last_offset
        soon = last is not None and event.time - last <= self.CLICK_CHAIN_TIME_THRESHOLD
        return soon and place == event.screen_offset and self.screen is not self._clicked_on

    async def _handle_key(self, event: events.Key) -> bool:
        """Run the key's binding and return True if it had one.

        Pending clicks and answers are processed first, and a screen they open is given time to
        mount: a command is meant for the clicked row, a letter for the opened field.
        """
        handed_on, self._has_forwarded_input = self._has_forwarded_input, False
        for pump in (self.focused or self.screen).ancestors_with_self if handed_on else ():
            await self._drain_pending_messages(pump)
        await self._flush_next_callbacks()
        await wait_for_event(self.screen._mounted_event)
        # A form with `takes_keys` (`KeyQueueScreen` in `key_queue`) orders keys itself, also those
        # for dialogs above it.
        if any(hasattr(screen, "takes_keys") for screen in self.screen_stack):
            return False
        focused = self.focused
        if focused is None or not focused.check_consume_key("x", "x"):
            await self._wait_for_rows(getattr(self.screen, "settled", None))
        elif focused.check_consume_key(event.key, event.character):
            return False
        else:
            await self._drain_pending_messages(focused)
        acted = await self._run_bindings(event)
        # Messages sent by the binding, such as a row selection, are handled before the next key.
        for pump in (focused or self.screen).ancestors_with_self if acted else ():
            await self._drain_pending_messages(pump)
        self._has_forwarded_input = not acted
        return acted

    async def _run_bindings(self, event: events.Key) -> bool:
        self.app_focus = True
        return await run_binding(self, event.key, priority=True) or await run_binding(
            self, event.key
        )

    def on_key(self, event: events.Key) -> None:
        """Report a key without a binding, but keep more important messages."""
        screen = self.screen
        if (
            not event.is_printable
            or not event.character
            or isinstance(screen, ModalScreen)
            or screen is not self.page
        ):
            return
        if measure_width(event.character) > 1:
            self.show_message_once("An input method is active, so keys do not work. Switch it off.")
            return
        from app.tui.keymap import find_shown_key, list_binding_nodes

        keys = get_key_name(
            find_shown_key(list_binding_nodes(screen), "question_mark", self.settings.keys)
        )
        text = (
            f"{self.look.sanitize(event.character).strip() or 'space'} does nothing here; {keys}"
            " shows the keys."
        )
        said = self.get_message()
        if said is None or (self._is_passing and said[0] != self.look.adapt_text(text)):
            self.show_message(text, "dim")
            self._idle_key = self.get_message()

    async def _wait_for_rows(self, settled: asyncio.Event | None) -> None:
        """Wait for requested rows.

        A slow runtime delays one key, not each key.
        """
        if settled is not None:
            await wait_for_event(settled)
            settled.set()

    async def _drain_pending_messages(self, pump: MessagePump) -> None:
        """Wait until the pump has handled the messages already sent to it, or is gone."""
        done = asyncio.Event()
        if pump is not self and pump.call_later(done.set):
            await wait_for_event(done, pump._task)

    # The board

    def _receive_board(self, board: Board) -> None:
        self.call_later(self._apply_board, board)

    def _apply_board(self, board: Board) -> None:
        if self.resting:
            self._latest = board
            return
        self._latest, self.unread = None, ""
        self.board = keep_last_measurements(self._add_down_since(board), self.board)
        # Without a runtime the next attempt reports the same problem while one is being started.
        if self._trouble is not None and (board.runtime.state != "none" or not self.may_start):
            self._clear_trouble()
        if not any(isinstance(screen, TaskActions) for screen in self.screen_stack[1:]):
            shown = {row.key: row.priority for row in (*board.running, *board.next, *board.queues)}
            self.pending_priorities = {
                key: asked for key, asked in self.pending_priorities.items() if key in shown
            }
            self.drop_applied_priorities(shown)

    def drop_applied_priorities(self, shown: Mapping[str, int]) -> None:
        """Drop pending priorities that the visible list shows by now."""
        self.pending_priorities = {
            key: asked for key, asked in self.pending_priorities.items() if shown.get(key) != asked
        }

    @property
    def pending_retries(self) -> dict[str, float]:
        """Return the end times, by uuid, of retried tasks whose rows may be stale."""
        now = self.ticks()
        self.retried_ends = {
            key: asked for key, asked in self.retried_ends.items() if now < asked[1]
        }
        return {key: ended_at for key, (ended_at, _) in self.retried_ends.items()}

    def start_retry_grace(self, uuids: Iterable[str]) -> None:
        """Start the grace period of retried tasks.

        After this period, a task whose row shows an end time can be retried again.
        """
        until = self.ticks() + RETRY_GRACE
        self.retried_ends |= {
            uuid: (self.retried_ends[uuid][0], until) for uuid in uuids if uuid in self.retried_ends
        }

    @property
    def may_start(self) -> bool:
        """True if the deck may start a runtime by itself."""
        return not self.read_only and self.settings.autostart

    @property
    def resting(self) -> bool:
        """True if drawing is suspended because another window has the focus."""
        return not self.app_focus and self.settings.unfocused == "still"

    def watch_app_focus(self, focus: bool) -> None:
        """Suspend drawing when the focus is lost; resume with current values."""
        screen = self.screen
        if not focus and self.resting:
            self.show_message(
                "Paused while another window has the focus; press a key or click to resume.",
                "dim",
                seconds=inf,
            )
            self._resting_message = self.get_message()
        elif focus:
            if self._latest is not None:
                self._apply_board(self._latest)
            self.retract_message(self._resting_message)
            self.draw_message()
            if isinstance(screen, PageScreen):
                screen.wake()

    def _add_down_since(self, board: Board) -> Board:
        """Return the board with the time the runtime stopped, if only this deck saw it."""
        runtime = board.runtime
        if runtime.state != "none" or runtime.since is not None:
            return board
        before = self.board.runtime if self.board else runtime
        since = before.since if before.state == "none" and before.since else self.now()
        return board._replace(runtime=runtime._replace(since=since))

    def _receive_runtime_gone(self) -> None:
        self.call_later(self._show_runtime_gone)

    def _show_runtime_gone(self) -> None:
        """Keep the board and mark the runtime as gone."""
        board = self.board or Board()
        if board.runtime.state not in DOWN_STATES:
            gone = RuntimeFacts("none", since=self.now(), demo=board.runtime.demo)
            self.board = board._replace(runtime=gone, lock=None, measured_at=board.at or None)

    def _receive_feed_error(self, error: Exception, lives: bool) -> None:
        text = str(error) if isinstance(error, Problem) else f"{type(error).__name__}: {error}"
        ails = DATABASE_STATES.get(error.code) if isinstance(error, Problem) else None
        self.call_later(
            self._show_board_error,
            self.look.sanitize(text),
            lives,
            ails,
            error.hint if isinstance(error, Problem) else "",
        )

    def _show_board_error(self, text: str, lives: bool, ails: str | None, cure: str = "") -> None:
        """Show why no board can be read.

        Also show the state of the database if that is the cause. The error stays if there never was
        a board.
        """
        never = self.board is None or bool(self.unread)
        if not lives and not never:
            self._show_runtime_gone()
        if ails:
            board = self.board or Board()
            self.board, self.unread = (
                board._replace(database=ails, runtime=board.runtime._replace(cure=cure)),
                "",
            )
        elif never:
            self.board, self.unread = (
                banner.PLACEHOLDER_BOARD._replace(home=str(self.home or "")),
                text,
            )
        self.show_message(text, "broken")
        self._trouble = self.get_message()

    def _check_heartbeat(self) -> None:
        """Mark a running runtime as silent, or clear the mark when it sends again."""
        seconds, board = (
            self._heartbeat.update(self.feed.notification_count, self.ticks()),
            self.board,
        )
        if board is None or board.runtime.state != "running" or self.resting:
            return
        silent = seconds >= heartbeat.SILENCE_LIMIT
        if silent is (board.runtime.unheard_since is None):
            since = self.now() - seconds if silent else None
            self.board = board._replace(runtime=board.runtime._replace(unheard_since=since))

    def _check_first_board(self) -> None:
        if self.board is None:
            self._show_board_error(banner.NO_ANSWER, True, None)

    def _clear_trouble(self) -> None:
        """Clear the trouble message if it is still the current one."""
        self.retract_message(self._trouble)
        self._trouble = None

    # History

    def _request_past(
        self, args: dict[str, Any], then: Callable[[Any, Exception | None], None]
    ) -> None:
        self.read_queue.send(
            "board.at", args, lambda answer, error: self.call_later(then, answer, error)
        )

    def _refresh_past(self) -> None:
        if not self.past.is_active and self._trouble is None:
            self.clear_message()  # the message was about the past board
        if self.deck:
            self.deck.show_board()

    def return_to_live(self) -> None:
        """Return from history to the live board."""
        self.past.return_to_live()

    def action_back_in_time(self, minutes: int) -> None:
        """Move the deck's time by `minutes`; beyond the latest board it becomes live."""
        if self.deck:
            while len(self.screen_stack) > 1:
                self.pop_screen()
            if self._trouble is None:
                self.clear_message()
            self.past.step(minutes)

    @property
    def progress_message(self) -> Span | None:
        """Message shown while a backup is running."""
        return (self.look.adapt_text(BACKING_UP), "dim") if self._backing_up is not None else None

    @on(Banner.Clicked)
    def _open_database_on_click(self) -> None:
        """Open the database page from the disk-full banner, unless it is open."""
        if (
            self.board
            and needs_room(self.board)
            and getattr(self.screen, "KEY", "") != DATABASE_KEY
        ):
            self.open_database()

    # Requests

    def refuse_changes(self) -> bool:
        """Show why changes are refused and return True if they are."""
        if why := self.refusal:
            self.show_message(why, "warn")
        return bool(why)

    @property
    def refusal(self) -> str:
        """Reason why changes are refused now; empty if they are allowed."""
        if self.read_only:
            return "Read only: this deck changes nothing."
        return (
            READ_ONLY_MESSAGE if self.past.is_active and isinstance(self.screen, DeckScreen) else ""
        )

    def send_requests(self, deeds: Sequence[Request]) -> None:
        """Send requests to the runtime in order; replies appear in the message line."""
        if self.refuse_changes():
            return
        self._queue_requests(deeds, RequestBatch(self, len(deeds)))

    def _queue_requests(self, deeds: Sequence[Request], batch: RequestBatch) -> None:
        if deeds:
            self._track_request(batch)
        for deed in deeds:
            self.write_queue.send(deed.verb, deed.args, batch.make_reply_callback(deed))

    def _track_request(self, asked: PendingRequest) -> None:
        self._pending_requests.append(asked)
        self._not_applicable_at = float("-inf")  # `u` refers to this request from now on

    @property
    def can_undo(self) -> bool:
        return bool(self._undo_entries)

    @property
    def next_undo(self) -> str:
        """Message of the entry that `u` undoes next; empty if there is none."""
        return self._undo_entries[-1][0] if self._undo_entries else ""

    def push_undo(self, said: str, deeds: Sequence[Request]) -> None:
        """Push an entry on the undo stack. `said` is sanitized."""
        self._undo_entries = [*self._undo_entries, (said, tuple(deeds))][-MAX_UNDO:]
        self._has_irreversible = False

    def mark_irreversible(self) -> None:
        """Record an irreversible change.

        The next `u` first announces which older change it would undo.
        """
        self._has_irreversible = bool(self._undo_entries)

    def action_undo(self) -> None:
        """Undo the latest change, then the one before it.

        If an irreversible change came after it, announce first what would be undone.
        """
        if self.refuse_changes():
            return
        unfit, self._not_applicable_at = (
            self.ticks() - self._not_applicable_at < NOTICE_DELAY,
            float("-inf"),
        )
        if not self._pending_requests:
            self._has_irreversible = self._has_irreversible or unfit
            self._undo_latest()
        elif unfit:
            self.show_message("Press u again to undo the previous request.", stays=False)
        else:
            self._pending_requests[-1].undo_presses += 1
            self.show_message(UNDO_PENDING, stays=False)

    def _undo_latest(self, more: int = 0) -> None:
        """Undo the latest entry, then `more` older ones, each after the previous reply."""
        if self._has_irreversible and self._undo_entries:
            self._has_irreversible = False
            self.show_message(
                f"Press u again to undo the one before: {self.next_undo.rstrip('.')}.", stays=True
            )
        elif self._undo_entries:
            said, deeds = self._undo_entries.pop()
            batch = RequestBatch(self, len(deeds), said)
            batch.undo_presses = more
            self._queue_requests(deeds, batch)
        else:
            self.show_message(
                "Nothing to undo here; press O to see and undo earlier operations.", stays=False
            )

    def finish_request(self, asked: PendingRequest, did: bool) -> None:
        """Remove a finished request and apply the undo presses queued behind it."""
        self._pending_requests.remove(asked)
        if asked.undo_presses and did:
            self._undo_latest(asked.undo_presses - 1)
        elif asked.undo_presses:  # the user must not answer an open question believing in an undo
            self.retract_message((self.look.adapt_text(UNDO_PENDING), ""))

    def show_not_applicable(self, why: NotApplicableError) -> None:
        """Show why a command does not apply to its row.

        A `u` pressed right after it was not meant for an earlier change.
        """
        self.show_message(self.look.sanitize(str(why)), "warn")
        self._not_applicable_at = self.ticks()

    def action_start_runtime(self) -> None:
        """Start the runtime after somebody stopped it."""
        if self.refuse_changes():
            return
        if self.board and self.board.runtime.state not in ("none", "stopped"):
            self.show_message("A runtime is already running.", stays=False)
        else:
            self.show_message("Starting a runtime…")
            self.write_queue.submit_work(_start_runtime, self._finish_start)

    def back_up(self) -> None:
        """Take a backup in the background; the message line shows progress."""
        if self.refuse_changes():
            return
        if self._backing_up is not None:
            self.show_message("A backup is already running.")
            return
        self._backing_up = BackupThread(
            self.client_factory,
            lambda answer, error: self.call_later(self._finish_backup, answer, error),
        )
        self._backing_up.start()
        self.show_message(BACKING_UP)

    def _finish_backup(self, answer: Mapping[str, Any] | None, error: Exception | None) -> None:
        self._backing_up = None
        self.show_message(*format_backup_result(answer, error, self.look), stays=True)

    def _finish_start(self, _: Any, error: Exception | None) -> None:
        self.feed.retry_now()
        self.call_later(
            self.show_message,
            self.look.sanitize(f"Not started: {error}") if error else "The runtime is running.",
            "broken" if error else "",
        )

    def fetch_details(self, uuids: Sequence[str], then: Callable[[Sequence[Any]], None]) -> None:
        """Fetch `show` of the first few tasks for a dialog; pass an empty list on failure."""

        def have(found: Sequence[Any]) -> None:
            before = len(self._pending_requests)
            try:
                then(found)
                if self._pending_requests[before:]:
                    self._pending_requests[-1].undo_presses, asked.undo_presses = (
                        asked.undo_presses,
                        0,
                    )
            finally:
                self.finish_request(asked, did=False)

        asked = PendingRequest()
        self._track_request(asked)
        self.read_queue.submit_work(
            lambda client: [client.call("show", {"id": uuid}) for uuid in uuids[:MAX_NAMED]],
            lambda found, error: self.call_later(have, found or []),
        )

    def copy(self, uuid: str, what: str) -> None:
        """Copy a property of a task to the clipboard."""
        from app.tui.actions.clipboard import read_text

        self.read_queue.submit_work(
            lambda client: read_text(what, uuid, client),
            lambda text, error: self.call_later(self._put_on_clipboard, text, error),
        )

    def copy_text(self, text: str) -> None:
        """Copy text to the clipboard."""
        self._put_on_clipboard(text, None)

    def _put_on_clipboard(self, text: str | None, error: Exception | None) -> None:
        if error is None and text:
            self.copy_to_clipboard(text)
            self.show_message(
                f"Copied {len(text):,} characters, if the terminal allows it (tmux: set-clipboard"
                " on)."
            )
        else:
            self.show_message(
                self.look.sanitize(f"Not copied: {error or 'nothing to copy'}"), "warn", stays=True
            )

    def action_themes(self) -> None:
        """Open the theme dialog."""
        from app.tui.screens.dialogs.theme import ThemeScreen

        self.push_screen(ThemeScreen(self.theme))

    def action_redraw(self) -> None:
        """Clear the terminal and draw everything again."""
        if self._driver and not self.is_headless:
            self._driver.write("\x1b[2J")
        self.screen.refresh(layout=True)

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
            "ctrl+c stops nothing here. Press q or ctrl+c again to leave; jobs keep running."
        )

    # Failures

    def report(self, error: Exception, where: DOMNode | Any) -> None:
        """Log and show a failed handler, then continue.

        Errors while the app exits are ignored, since its screens are being removed.
        """
        if self._exit:
            return
        log_error(self.home, error)
        self.failure = self.failure or error
        self.show_message(
            self.look.sanitize(
                f"Internal error ({type(error).__name__}: {error}); "
                "the deck continues. See run/deck.log."
            ),
            "broken",
        )

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        super()._display(
            screen,
            (
                CellUpdate.from_chops(renderable)
                if isinstance(renderable, ChopsUpdate)
                else renderable
            ),
        )

    def _set_pointer_shape(self, shape: str) -> None:
        """Ignore pointer shapes: few terminals know the OSC sequence."""

    def _fatal_error(self) -> None:
        """End without a traceback; `run_deck` prints the reason."""
        self.panic()

    def panic(self, *renderables: Any) -> None:
        """End the app and write the failure to the log, not to the terminal."""
        if not self._exit:
            self.fatal = True
            self.failure = (
                self._exception or self.failure or RuntimeError(" ".join(map(str, renderables)))
            )
            log_error(self.home, self.failure)
        self._close_messages_no_wait()


def _start_runtime(client: Any) -> None:
    client.start(resume=True)
