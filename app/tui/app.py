"""The deck's app: one board, one feed, one thread for verbs, and the places one can go.

The deck is a client. It never stops a job nor the runtime; what fails in it is reported in its own place and in
`run/deck.log` of the home, and no traceback reaches the terminal.
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
from app.tui.actions.tasks import NotApplicable, Request
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
"""Seconds after which what the form needs is imported: the rows are there by then."""
FEED_DELAY = 0.1
"""Seconds after which the rows that are at hand are drawn."""
BACKING_UP = "Backing up: copied, packed, restored and checked; the work goes on meanwhile."
RETRY_GRACE = 5.0
"""Seconds after which the rows of tasks that were made to run again show it."""
DATABASE_STATES = {"damaged-database": "DAMAGED", "gone-database": "GONE"}
"""What a board would say of a database that it cannot be read from, by the code of the problem."""
UNDO_PENDING = "What was asked before has no answer yet; then it is taken back."
"""What `u` says meanwhile."""
MAX_UNDO = 50
"""Things that `u` takes back, one after the other."""
INTERRUPT_WINDOW = 2.0
"""Seconds within which a second ctrl+c leaves."""
NOTICE_DELAY = 1.0
"""Seconds in which nobody has read yet why a verb was of no use."""


class TaskdeckApp(ErrorBoundary, Navigation, TooSmallNotice):
    """The deck on a home, through clients made by `client_factory`."""

    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False
    TITLE = "Taskdeck"
    CSS_PATH = "styles/deck.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,f1,fullwidth_question_mark", "show_keys", "The keys of this place", id="app.help"),
        Binding("ctrl+p,colon,fullwidth_colon", "palette", "Palette: every command", id="app.palette"),
        Binding("ctrl+q", "leave", "Leave; nothing stops", id="app.leave", priority=True),
        Binding("ctrl+c", "help_quit", "Says how to leave; twice leaves", id="app.break"),
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
        Binding("B", "go('database')", "Database: size, backups, what cleanup frees", id="place.database"),
    ]

    board: var[Board | None] = var(None, init=False)
    """The latest board; None until the first one came. A `reactive` would draw the whole screen for each."""

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
        """`settings.keys` are checked already. `told`, not cleaned yet, is what is said first."""
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
        """What `u` takes back, the latest last, each with what was said of it, safe."""
        self._has_irreversible = False
        """Whether something that cannot be undone was done after the latest of these."""
        self._pending_requests: list[PendingRequest] = []
        """What was asked, or is looked over first, and has no answer yet, in the order of the keys."""
        self._not_applicable_at = float("-inf")
        """When a verb was last of no use to the row it was for, on the clock `ticks`."""
        self.pending_priorities: dict[str, int] = {}
        """Priorities that were asked for and that the list that is acted on does not show yet, by uuid."""
        self.retried_ends: dict[str, tuple[float, float]] = {}
        """By uuid, of tasks that were asked to run again: their end, UNIX seconds, and until when, on the clock `ticks`, a row that shows
        this end is taken for one of before."""
        self.write_queue = CallQueue(self.client_factory)
        """What changes something: it may wait for the database, and its turn."""
        self.read_queue = CallQueue(self.client_factory, name="questions")
        """What is read for a key, which waits for no change."""
        self.past = TimeTravel(self._request_past, self._refresh_past, lambda text: self.show_message(self.look.sanitize(text), "warn"), self.now)
        self.seen = ReadMarks(self.memory, self.now)
        self.feed = BoardFeed(
            self.client_factory, self._receive_board, self._receive_runtime_gone, self._receive_feed_error, start=self.may_start, args=self.seen.make_board_args
        )  # fmt: skip
        self._heartbeat = heartbeat.Heartbeat()
        self.origin = identify_terminal()
        """Where what is done here comes from: what is told as news was done elsewhere."""
        self.failure: Exception | None = None
        """The first thing that failed in the deck itself, if anything did."""
        self.fatal = False
        """Whether that ended it."""
        self._first = first
        self._first_message = told
        self._latest: Board | None = None
        """The board that came while nothing was drawn."""
        self._backing_up: BackupThread | None = None
        self.unread = ""
        """Why there was never a board, until one comes; safe."""
        self._trouble: Span | None = None
        """What was said when no board could be had, until one can."""
        self._resting_message: Span | None = None
        """What was said when nothing was drawn any more."""
        self._idle_key: Span | None = None
        """What was said of the last key that does nothing."""
        self._interrupted_at = float("-inf")
        self.pending_screen: asyncio.Event | None = None
        """Whether what a screen is opened with was read; keys typed meanwhile are for that screen."""
        self._discard_keys_until = float("-inf")
        """What was typed before this time was for a screen that did not come."""
        self._clicked_on: Screen[Any] | None = None
        """The screen of the last click."""
        self._has_forwarded_input = False
        """Whether the mouse, or a key that is bound to nothing, say the letter of an answer, may be on its way to a screen or a list."""
        for theme in THEMES:
            self.register_theme(theme)
        names = [theme.name for theme in THEMES]
        wanted = settings.theme or self.memory.get("theme", "quiet")
        self.theme = wanted if wanted in names else "quiet"
        self.set_keymap(dict(settings.keys))

    def client_factory(self) -> Client:
        """A client of its own, which says where a verb waits for the database."""
        client = self._new_client()
        client.on_wait = lambda text: self.call_later(self._show_database_wait, text)
        return client

    def _show_database_wait(self, text: str) -> None:
        self.show_message(f"{self.look.sanitize(text[:1].upper() + text[1:])}.", "warn", stays=True)

    def get_default_screen(self) -> DeckScreen:
        return DeckScreen()

    def _get_screen(self, screen: Screen[Any] | str) -> tuple[Screen[Any], AwaitMount]:
        """A screen with its widgets, whose styles are read before: from Python 3.12 on Textual's tasks begin at once, so that the widgets
        would be styled without them."""
        if isinstance(screen, Screen):
            self._load_screen_css(screen)
        return super()._get_screen(screen)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Without colour the one that drops colours: Textual, asked before our theme is known, would take one for greys."""
        return super().get_line_filters() if self.look.colour else [NoColor()]

    def on_load(self) -> None:
        """From here on the terminal is not as it was: leave in order when told to, also with the terminal still there."""
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
        else:  # with rows to show already: the feed's thread would hold up the one that draws them
            self.set_timer(FEED_DELAY, self.feed.start)
        if (since := self.seen.last_view) is not None and self.now() - since > AWAY_SECONDS:
            self.read_queue.send("away", {"since": since}, lambda found, error: self.call_later(self.show_away, found) if found else None)
        self.set_interval(AWAY_SECONDS / 2, self._record_view)
        self.set_interval(heartbeat.CHECK_INTERVAL, self._check_heartbeat)
        self.set_timer(banner.WAIT_NOTICE_DELAY, self._check_first_board)
        self.set_timer(IMPORT_DELAY, Thread(target=import_form, name="import", daemon=True).start)

    def _record_view(self) -> None:
        """Somebody looks at the deck, as far as one can tell."""
        if self.app_focus:
            self.seen.record_view(self.now())

    def on_unmount(self) -> None:
        self.seen.record_view(self.now())
        self.feed.stop()
        self.write_queue.stop()
        self.read_queue.stop()

    async def on_event(self, event: events.Event) -> None:
        """Keys act in the order they were typed, however fast.

        Textual sends a key to the widget with the focus and looks for what is bound to it when it comes back, behind the keys that
        were typed after it. Here what it is bound to is done at once, on a screen that stands and shows what was asked for.
        """
        if isinstance(event, events.MouseDown) and self._is_second_click(event):
            return
        self._has_forwarded_input = self._has_forwarded_input or isinstance(event, events.MouseEvent)
        if isinstance(event, events.MouseUp):
            self._clicked_on = self.screen
        if isinstance(event, (events.Key, events.Paste)) and not event.is_forwarded and not await self._accept_key(event):
            return
        if isinstance(event, events.Key) and not event.is_forwarded and not self.too_small:
            self.clear_foreign_message()
            if await self._handle_key(event):
                self.retract_message(self._idle_key)
                return
        await super().on_event(event)

    async def _accept_key(self, event: events.Key | events.Paste) -> bool:
        """Whether the screen that it was typed for is there: one that is on its way is waited for, and goes with what was typed for it
        where it does not come soon."""
        coming, self.pending_screen = self.pending_screen, None
        if coming is not None:
            await wait_for_event(coming)
            if not coming.is_set():
                coming.set()
                self.discard_typeahead()
                self.show_message("What it begins with did not come, so it was not opened. Press again.", "warn")
        return event.time > self._discard_keys_until

    def discard_typeahead(self) -> None:
        """The screen that keys were typed ahead for does not come: on what lies there now they would be verbs."""
        self._discard_keys_until = get_time()

    def _is_second_click(self, event: events.MouseDown) -> bool:
        """Whether it is the second of a double click of which the first has brought another screen: nobody meant that one."""
        last, place = self._click_chain_last_time, self._click_chain_last_offset
        soon = last is not None and event.time - last <= self.CLICK_CHAIN_TIME_THRESHOLD
        return soon and place == event.screen_offset and self.screen is not self._clicked_on

    async def _handle_key(self, event: events.Key) -> bool:
        """Whether the key was bound to something, which is done. What was clicked, or answered, before it is done first, and a screen that
        comes of that, or of a key before, is given time to come up: a verb is for that row, and a letter for that field."""
        handed_on, self._has_forwarded_input = self._has_forwarded_input, False
        for pump in (self.focused or self.screen).ancestors_with_self if handed_on else ():
            await self._drain_pending_messages(pump)
        await self._flush_next_callbacks()
        await wait_for_event(self.screen._mounted_event)
        # A form with `takes_keys` (`inorder.KeysInOrder`) sees to the order itself, on what stands on it too.
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
        # What is done by a message, say by the screen for a row of its table, is done before the next key too.
        for pump in (focused or self.screen).ancestors_with_self if acted else ():
            await self._drain_pending_messages(pump)
        self._has_forwarded_input = not acted
        return acted

    async def _run_bindings(self, event: events.Key) -> bool:
        self.app_focus = True
        return await run_binding(self, event.key, priority=True) or await run_binding(self, event.key)

    def on_key(self, event: events.Key) -> None:
        """A key that came up to here means nothing: said once, and over nothing that matters more."""
        screen = self.screen
        if not event.is_printable or not event.character or isinstance(screen, ModalScreen) or screen is not self.page:
            return
        if measure_width(event.character) > 1:
            self.show_message_once("An input method is on: its characters are no keys. Press shift, or end it.")
            return
        from app.tui.keymap import find_shown_key

        keys = get_key_name(find_shown_key([node for node, _ in screen._binding_chain], "question_mark", self.settings.keys))
        text = f"{self.look.sanitize(event.character).strip() or 'space'} does nothing here; {keys} shows the keys."
        said = self.get_message()
        if said is None or (self._is_passing and said[0] != self.look.adapt_text(text)):
            self.show_message(text, "dim")
            self._idle_key = self.get_message()

    async def _wait_for_rows(self, settled: asyncio.Event | None) -> None:
        """Wait for the rows that were asked for. What takes long, say of a runtime that hangs, holds up one key and not each."""
        if settled is not None:
            await wait_for_event(settled)
            settled.set()

    async def _drain_pending_messages(self, pump: MessagePump) -> None:
        """What was sent to it up to now is dealt with, say the text typed before; or it is gone."""
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
        # Without a runtime the next look will say the same again, as long as one is to be brought up.
        if self._trouble is not None and (board.runtime.state != "none" or not self.may_start):
            self._clear_trouble()
        if not any(isinstance(screen, TaskActions) for screen in self.screen_stack[1:]):
            shown = {row.key: row.priority for row in (*board.running, *board.next, *board.queues)}
            self.pending_priorities = {key: asked for key, asked in self.pending_priorities.items() if key in shown}
            self.drop_applied_priorities(shown)

    def drop_applied_priorities(self, shown: Mapping[str, int]) -> None:
        """The list that is acted on shows these by now: what is as it was asked for is counted from there again."""
        self.pending_priorities = {key: asked for key, asked in self.pending_priorities.items() if shown.get(key) != asked}

    @property
    def pending_retries(self) -> dict[str, float]:
        """The ends, by uuid, of tasks that were asked to run again and whose rows may be of before."""
        now = self.ticks()
        self.retried_ends = {key: asked for key, asked in self.retried_ends.items() if now < asked[1]}
        return {key: ended_at for key, (ended_at, _) in self.retried_ends.items()}

    def start_retry_grace(self, uuids: Iterable[str]) -> None:
        """These were made to run again: their rows show it soon, and an end that is shown after that is one to run again from."""
        until = self.ticks() + RETRY_GRACE
        self.retried_ends |= {uuid: (self.retried_ends[uuid][0], until) for uuid in uuids if uuid in self.retried_ends}

    @property
    def may_start(self) -> bool:
        """Whether a runtime is brought up here without being asked for."""
        return not self.read_only and self.settings.autostart

    @property
    def resting(self) -> bool:
        """Whether nothing is drawn because another window has the focus."""
        return not self.app_focus and self.settings.unfocused == "still"

    def watch_app_focus(self, focus: bool) -> None:
        """Stop with the focus, and say so; go on with it, from what is now."""
        screen = self.screen
        if not focus and self.resting:
            self.show_message("Not refreshed while another window has the focus; a key or a click goes on.", "dim", seconds=inf)
            self._resting_message = self.get_message()
        elif focus:
            if self._latest is not None:
                self._apply_board(self._latest)
            self.retract_message(self._resting_message)
            self.draw_message()
            if isinstance(screen, PageScreen):
                screen.wake()

    def _add_down_since(self, board: Board) -> Board:
        """The board, with the time since when no runtime is up where only this deck has seen it go."""
        runtime = board.runtime
        if runtime.state != "none" or runtime.since is not None:
            return board
        before = self.board.runtime if self.board else runtime
        since = before.since if before.state == "none" and before.since else self.now()
        return board._replace(runtime=runtime._replace(since=since))

    def _receive_runtime_gone(self) -> None:
        self.call_later(self._show_runtime_gone)

    def _show_runtime_gone(self) -> None:
        """Keep what is shown, and say that nothing lives."""
        board = self.board or Board()
        if board.runtime.state not in DOWN_STATES:
            gone = RuntimeFacts("none", since=self.now(), demo=board.runtime.demo)
            self.board = board._replace(runtime=gone, lock=None, measured_at=board.at or None)

    def _receive_feed_error(self, error: Exception, lives: bool) -> None:
        text = str(error) if isinstance(error, Problem) else f"{type(error).__name__}: {error}"
        ails = DATABASE_STATES.get(error.code) if isinstance(error, Problem) else None
        self.call_later(self._show_board_error, self.look.sanitize(text), lives, ails, error.hint if isinstance(error, Problem) else "")

    def _show_board_error(self, text: str, lives: bool, ails: str | None, cure: str = "") -> None:
        """No board can be had: say why, and what ails the database when that is why; for good where there never was one."""
        never = self.board is None or bool(self.unread)
        if not lives and not never:
            self._show_runtime_gone()
        if ails:
            board = self.board or Board()
            self.board, self.unread = board._replace(database=ails, runtime=board.runtime._replace(cure=cure)), ""
        elif never:
            self.board, self.unread = banner.PLACEHOLDER_BOARD._replace(home=str(self.home or "")), text
        self.show_message(text, "broken")
        self._trouble = self.get_message()

    def _check_heartbeat(self) -> None:
        """Say of a runtime that is up, and of which nothing is heard any more, since when; and when it is heard again."""
        seconds, board = self._heartbeat.update(self.feed.notification_count, self.ticks()), self.board
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
        """What was said of it goes, if nothing else was said since."""
        self.retract_message(self._trouble)
        self._trouble = None

    # The past

    def _request_past(self, args: dict[str, Any], then: Callable[[Any, Exception | None], None]) -> None:
        self.read_queue.send("board.at", args, lambda answer, error: self.call_later(then, answer, error))

    def _refresh_past(self) -> None:
        if not self.past.is_active and self._trouble is None:
            self.clear_message()  # what was said over the past was about it
        if self.deck:
            self.deck.show_board()

    def return_to_live(self) -> None:
        """Leave the past, if the deck shows it."""
        self.past.return_to_live()

    def action_back_in_time(self, minutes: int) -> None:
        """The deck so many minutes earlier, or later; beyond the latest it is live again."""
        if self.deck:
            while len(self.screen_stack) > 1:
                self.pop_screen()
            if self._trouble is None:
                self.clear_message()
            self.past.step(minutes)

    @property
    def progress_message(self) -> Span | None:
        """That a backup is being taken."""
        return (self.look.adapt_text(BACKING_UP), "dim") if self._backing_up is not None else None

    @on(Banner.Clicked)
    def _open_database_on_click(self) -> None:
        """What is said of a full disk leads to what would make room, unless one is there."""
        if self.board and needs_room(self.board) and getattr(self.screen, "KEY", "") != DATABASE_KEY:
            self.open_database()

    # Verbs

    def refuse_changes(self) -> bool:
        """Whether nothing may be changed from here, and now; it is said why."""
        if why := self.refusal:
            self.show_message(why, "warn")
        return bool(why)

    @property
    def refusal(self) -> str:
        """Why nothing may be changed from here, and now; "" when it may."""
        if self.read_only:
            return "Read only: nothing is changed from here."
        return READ_ONLY_MESSAGE if self.past.is_active and isinstance(self.screen, DeckScreen) else ""

    def send_requests(self, deeds: Sequence[Request]) -> None:
        """Ask these of the runtime, in order, without waiting; the answers go to the message line."""
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
        self._not_applicable_at = float("-inf")  # `u` means this from now on

    @property
    def can_undo(self) -> bool:
        """Whether there is something of this deck to undo."""
        return bool(self._undo_entries)

    @property
    def next_undo(self) -> str:
        """What was said of what `u` takes back now; "" when there is nothing."""
        return self._undo_entries[-1][0] if self._undo_entries else ""

    def push_undo(self, said: str, deeds: Sequence[Request]) -> None:
        """`u` takes it back by these, and then what was done before it. `said` is safe."""
        self._undo_entries = [*self._undo_entries, (said, tuple(deeds))][-MAX_UNDO:]
        self._has_irreversible = False

    def mark_irreversible(self) -> None:
        """Something was done that `u` does not take back: what it would take back instead is said first."""
        self._has_irreversible = bool(self._undo_entries)

    def action_undo(self) -> None:
        """Undo the last thing that can be undone, then the one before it. Where something else was done since, say first what that is."""
        if self.refuse_changes():
            return
        unfit, self._not_applicable_at = self.ticks() - self._not_applicable_at < NOTICE_DELAY, float("-inf")
        if not self._pending_requests:
            self._has_irreversible = self._has_irreversible or unfit
            self._undo_latest()
        elif unfit:
            self.show_message("u again takes back what was asked before.", stays=False)
        else:
            self._pending_requests[-1].undo_presses += 1
            self.show_message(UNDO_PENDING, stays=False)

    def _undo_latest(self, more: int = 0) -> None:
        """Take back the last thing that can be, and `more` before it, each when the one behind it is."""
        if self._has_irreversible and self._undo_entries:
            self._has_irreversible = False
            self.show_message(f"u again takes back: {self.next_undo.rstrip('.')}, which was before.", stays=True)
        elif self._undo_entries:
            said, deeds = self._undo_entries.pop()
            batch = RequestBatch(self, len(deeds), said)
            batch.undo_presses = more
            self._queue_requests(deeds, batch)
        else:
            self.show_message("Nothing to undo here; O shows what was done, and takes it back.", stays=False)

    def finish_request(self, asked: PendingRequest, did: bool) -> None:
        """It is answered: what `u` was pressed for behind it is taken back, unless nothing was done."""
        self._pending_requests.remove(asked)
        if asked.undo_presses and did:
            self._undo_latest(asked.undo_presses - 1)
        elif asked.undo_presses:  # say before a question that is open now, which is not to be answered in that belief
            self.retract_message((self.look.adapt_text(UNDO_PENDING), ""))

    def show_not_applicable(self, why: NotApplicable) -> None:
        """Say why a verb is of no use to its row; `u` right behind it was not meant for what was done before."""
        self.show_message(self.look.sanitize(str(why)), "warn")
        self._not_applicable_at = self.ticks()

    def action_start_runtime(self) -> None:
        """Start the runtime again after somebody stopped it."""
        if self.refuse_changes():
            return
        if self.board and self.board.runtime.state not in ("none", "stopped"):
            self.show_message("A runtime is up.", stays=False)
        else:
            self.show_message("Starting a runtime…")
            self.write_queue.submit_work(_start_runtime, self._finish_start)

    def back_up(self) -> None:
        """Take a backup now; until it is there the message line says so where nothing else is said."""
        if self.refuse_changes():
            return
        if self._backing_up is not None:
            self.show_message("A backup is being taken already.")
            return
        self._backing_up = BackupThread(self.client_factory, lambda answer, error: self.call_later(self._finish_backup, answer, error))
        self._backing_up.start()
        self.show_message(BACKING_UP)

    def _finish_backup(self, answer: Mapping[str, Any] | None, error: Exception | None) -> None:
        self._backing_up = None
        self.show_message(*format_backup_result(answer, error, self.look), stays=True)

    def _finish_start(self, _: Any, error: Exception | None) -> None:
        self.feed.retry_now()
        self.call_later(
            self.show_message,
            self.look.sanitize(f"Not started: {error}") if error else "The runtime is up.",
            "broken" if error else "",
        )

    def fetch_details(self, uuids: Sequence[str], then: Callable[[Sequence[Any]], None]) -> None:
        """`show` of the first few tasks, for a question, or for what is done without one; an empty list when that fails."""

        def have(found: Sequence[Any]) -> None:
            before = len(self._pending_requests)
            try:
                then(found)
                if self._pending_requests[before:]:
                    self._pending_requests[-1].undo_presses, asked.undo_presses = asked.undo_presses, 0
            finally:
                self.finish_request(asked, did=False)

        asked = PendingRequest()
        self._track_request(asked)
        self.read_queue.submit_work(
            lambda client: [client.call("show", {"id": uuid}) for uuid in uuids[:MAX_NAMED]],
            lambda found, error: self.call_later(have, found or []),
        )

    def copy(self, uuid: str, what: str) -> None:
        """Copy something of a task to the clipboard."""
        from app.tui.actions.clipboard import read_text

        self.read_queue.submit_work(
            lambda client: read_text(what, uuid, client), lambda text, error: self.call_later(self._put_on_clipboard, text, error)
        )

    def copy_text(self, text: str) -> None:
        """Copy this to the clipboard."""
        self._put_on_clipboard(text, None)

    def _put_on_clipboard(self, text: str | None, error: Exception | None) -> None:
        if error is None and text:
            self.copy_to_clipboard(text)
            self.show_message(
                f"Copied {len(text):,} characters, if the terminal allows it (tmux: set-clipboard on)."
            )
        else:
            self.show_message(self.look.sanitize(f"Not copied: {error or 'there is nothing'}"), "warn", stays=True)

    def action_themes(self) -> None:
        """Choose a theme."""
        from app.tui.screens.dialogs.theme import ThemeScreen

        self.push_screen(ThemeScreen(self.theme))

    def action_redraw(self) -> None:
        """Draw everything again, whatever the terminal shows."""
        if self._driver and not self.is_headless:
            self._driver.write("\x1b[2J")
        self.screen.refresh(layout=True)

    def action_leave(self) -> None:
        """Leave the deck; nothing stops."""
        self.exit(0)

    def action_help_quit(self) -> None:
        """The first ctrl+c says how to leave, the second leaves."""
        if self.ticks() - self._interrupted_at < INTERRUPT_WINDOW:
            self.exit(0)
            return
        self._interrupted_at = self.ticks()
        self.show_message("ctrl+c stops nothing here. q leaves the deck, ctrl+c again too; jobs go on.")

    # Faults

    def report(self, error: Exception, where: DOMNode | Any) -> None:
        """A handler failed: write it down, say so, go on. What breaks while the app ends, say as its screens go, is no failure."""
        if self._exit:
            return
        log_error(self.home, error)
        self.failure = self.failure or error
        self.show_message(
            self.look.sanitize(f"The deck failed here ({type(error).__name__}: {error}) and goes on. See run/deck.log."),
            "broken",
        )

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        super()._display(screen, CellUpdate.from_chops(renderable) if isinstance(renderable, ChopsUpdate) else renderable)

    def _set_pointer_shape(self, shape: str) -> None:
        """The pointer keeps its shape: an OSC sequence that few terminals know is not sent."""

    def _fatal_error(self) -> None:
        """Something failed where nothing can go on: end without a traceback; `run_deck` says why."""
        self.panic()

    def panic(self, *renderables: Any) -> None:
        """End; what there is to show goes to the log, not to the terminal."""
        if not self._exit:
            self.fatal = True
            self.failure = self._exception or self.failure or RuntimeError(" ".join(map(str, renderables)))
            log_error(self.home, self.failure)
        self._close_messages_no_wait()


def _start_runtime(client: Any) -> None:
    client.start(resume=True)
