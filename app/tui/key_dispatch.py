"""Key dispatch: keys act in the order typed, on a mounted screen with current rows.

Textual sends a key to the focused widget and looks for its binding when the key comes back, behind
keys typed later. Here the binding runs at once.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any

from textual import events
from textual.geometry import Offset
from textual.message_pump import MessagePump
from textual.screen import ModalScreen, Screen

from app.core.text.sanitize import measure_width
from app.translation import tr
from app.tui.base_app import BaseApp
from app.tui.deck_app import StatusScreen
from app.tui.key_queue import FLOOD_MESSAGE, KeyQueueScreen, is_flood, run_binding, wait_for_event
from app.tui.style import Span
from app.tui.terminal.app_internals import get_mount_event, run_next_callbacks
from app.tui.widgets.footer import get_key_name


class KeyDispatcher:
    """Runs the bindings of keys."""

    def __init__(self, app: BaseApp) -> None:
        self._app = app
        self._pending_screen: asyncio.Event | None = None
        """Set when the data of a screen being opened has been read; keys typed meanwhile belong to
        that screen."""
        self._discard_until = float("-inf")
        """Keys typed before this time were for a screen that failed to open."""
        self._last_click: tuple[float, Offset, Screen[Any]] | None = None
        """Time, place and screen of the last release of a mouse button."""
        self._has_forwarded_input = False
        """Set if a mouse event or an unbound key may still be on its way to a screen or a list."""
        self._idle_key: Span | None = None
        """Message shown for the last key without a binding."""

    def expect_screen(self) -> asyncio.Event:
        """Keep keys typed from now on for a screen being opened, until the event is set."""
        self._pending_screen = asyncio.Event()
        return self._pending_screen

    def discard_typeahead(self) -> None:
        """Discard keys typed ahead for a screen that failed to open.

        On the current screen they would run other commands.
        """
        self._discard_until = monotonic()

    async def handle_event(self, event: events.Event) -> bool:
        """Handle an event before Textual does; return True if Textual must not handle it."""
        if isinstance(event, events.MouseDown) and self._is_second_click(event):
            return True
        if isinstance(event, events.MouseEvent):
            self._has_forwarded_input = True
        if isinstance(event, events.MouseUp) and not event.is_forwarded:
            self._last_click = event.time, event.screen_offset, self._app.screen
        if not isinstance(event, (events.Key, events.Paste)) or event.is_forwarded:
            return False
        if event.time > self._discard_until and is_flood(event, self._app.message_queue_size):
            self.discard_typeahead()
            self._app.show_message(tr(FLOOD_MESSAGE), "warn")
        if not await self._accept_input(event):
            return True
        return (
            isinstance(event, events.Key)
            and not self._app.too_small
            and await self._handle_key(event)
        )

    def _is_second_click(self, event: events.MouseDown) -> bool:
        """Return True if the first click of this double click opened another screen."""
        if self._last_click is None:
            return False
        last, place, screen = self._last_click
        is_soon = event.time - last <= self._app.CLICK_CHAIN_TIME_THRESHOLD
        return is_soon and place == event.screen_offset and self._app.screen is not screen

    async def _accept_input(self, event: events.Key | events.Paste) -> bool:
        """Return True if the key belongs to the current screen.

        Waits for a screen that is being opened. If the screen does not open in time, keys typed for
        it are discarded.
        """
        coming, self._pending_screen = self._pending_screen, None
        if coming is not None:
            await wait_for_event(coming)
            if not coming.is_set():
                coming.set()
                self.discard_typeahead()
                self._app.show_message(tr("Timed out while loading. Press the key again."), "warn")
        return event.time > self._discard_until

    async def _handle_key(self, event: events.Key) -> bool:
        self._app.clear_foreign_message()
        if not await self._run_key(event):
            return False
        self._app.retract_message(self._idle_key)
        return True

    async def _run_key(self, event: events.Key) -> bool:
        """Run the key's binding and return True if it had one.

        Pending clicks and answers are processed first, and a screen they open is given time to
        mount: a command is meant for the clicked row, a letter for the opened field.
        """
        app = self._app
        handed_on, self._has_forwarded_input = self._has_forwarded_input, False
        for pump in (app.focused or app.screen).ancestors_with_self if handed_on else ():
            await self._drain_pending_messages(pump)
        await run_next_callbacks(app)
        await wait_for_event(get_mount_event(app.screen))
        # A form orders keys itself, also those for dialogs above it.
        if any(isinstance(screen, KeyQueueScreen) for screen in app.screen_stack):
            return False
        focused = app.focused
        if focused is None or not focused.check_consume_key("x", "x"):
            await self._wait_for_rows()
        elif focused.check_consume_key(event.key, event.character):
            return False
        else:
            await self._drain_pending_messages(focused)
        acted = await self._run_bindings(event)
        # Messages sent by the binding, such as a row selection, are handled before the next key.
        for pump in (focused or app.screen).ancestors_with_self if acted else ():
            await self._drain_pending_messages(pump)
        self._has_forwarded_input = not acted
        return acted

    async def _run_bindings(self, event: events.Key) -> bool:
        self._app.app_focus = True
        return await run_binding(self._app, event.key, priority=True) or await run_binding(
            self._app, event.key
        )

    async def _wait_for_rows(self) -> None:
        """Wait for requested rows.

        A slow runtime delays one key, not each key.
        """
        screen = self._app.screen
        if isinstance(screen, StatusScreen) and (settled := screen.rows_settled) is not None:
            await wait_for_event(settled)
            settled.set()

    async def _drain_pending_messages(self, pump: MessagePump) -> None:
        """Wait until the pump has handled the messages already sent to it, or is gone."""
        done = asyncio.Event()
        if pump is not self._app and pump.call_later(done.set):
            await wait_for_event(done, pump.task if pump.is_running else None)

    def report_unbound(self, event: events.Key) -> None:
        """Report a key without a binding, but keep more important messages."""
        app, screen = self._app, self._app.screen
        if (
            not event.is_printable
            or not event.character
            or isinstance(screen, ModalScreen)
            or screen is not app.page
        ):
            return
        if measure_width(event.character) > 1:
            app.show_message_once(
                tr("An input method is active, so keys do not work. Switch it off.")
            )
            return
        from app.tui.keymap import find_shown_key, list_binding_nodes

        keys = get_key_name(
            find_shown_key(list_binding_nodes(screen), "question_mark", app.settings.keys)
        )
        text = tr(
            "{character} does nothing here; {keys} shows the keys.",
            character=app.look.sanitize(event.character).strip() or tr("space"),
            keys=keys,
        )
        message = app.get_message()
        if message is None or (app.has_passing_message and message[0] != app.look.adapt_text(text)):
            app.show_message(text, "dim")
            self._idle_key = app.get_message()
