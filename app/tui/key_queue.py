"""Key queue: keys act in the order typed, also from scripts, pastes and slow terminals.

Textual sends a key to the widget focused when the key arrives and runs bindings later, behind text
typed after it. On a `KeyQueueScreen` each key waits for the previous one and its binding, then goes
to the field focused by then.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any, cast

from textual import events
from textual.app import App
from textual.css.query import NoMatches
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from app.translation import tr, tr_noop
from app.tui.error_boundary import is_closing
from app.tui.terminal.app_internals import get_mount_event, run_key_binding
from app.tui.terminal.event_forwarding import ForwardingHook, forward_event

SCREEN_TIMEOUT = 1.0
"""Maximum seconds a key waits for its screen."""
FLOOD_AGE, FLOOD_KEYS = 3.0, 200
"""Age of the first waiting key in seconds and number of waiting keys, above which the deck discards
all. Nobody types so much in that time; a stray paste as keys would keep the deck busy for
minutes."""
FLOOD_MESSAGE = tr_noop("Keys came faster than the deck can act; the waiting keys were discarded.")

KeyInput = events.Key | events.Paste


class KeyQueueScreen(ForwardingHook):
    """Screen mixin that passes keys to its fields one by one. List it before the screen class."""

    class Waiting(Message, bubble=False):
        """Keys may be waiting."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._keys: list[KeyInput] = []

    @property
    def takes_keys(self) -> bool:
        """True if the field for the keys is mounted; until then keys are queued."""
        return True

    def queue_input(self, event: KeyInput) -> None:
        """Queue a key or pasted text."""
        self._keys.append(event)
        self.post_message(self.Waiting())

    def take_event(self, event: events.Event) -> bool:
        if isinstance(event, KeyInput):
            self.queue_input(event)
            return True
        return False

    async def _on_key_queue_screen_waiting(self, _message: Waiting) -> None:
        # One at a time: the effects of a key come before the next message.
        if self._keys and self.takes_keys:
            if is_flood(self._keys[0], len(self._keys)):
                self._keys.clear()
                return cast(Any, self.app).show_message(tr(FLOOD_MESSAGE), "warn")
            await self._send_to_focused(self._keys.pop(0))
            if self._keys:
                self.post_message(self.Waiting())

    async def _send_to_focused(self, event: KeyInput) -> None:
        """Send input to the focused field, also on a screen opened by an earlier key."""
        from textual.widgets import TextArea  # the import takes 6 ms; a form has it loaded

        top = self.app.screen
        await wait_for_event(get_mount_event(top))
        if isinstance(top.focused, QueuedInput):
            await top.focused.handle_input(event)
        elif isinstance(event, events.Paste) or isinstance(top.focused, (Input, TextArea)):
            forward_event(top.focused or top, _copy_event(event))
        else:
            await run_binding(self.app, event.key)


def is_flood(first: KeyInput, waiting: int) -> bool:
    """Return True if the deck must discard the waiting keys; `first` is the oldest of them."""
    return waiting > FLOOD_KEYS and monotonic() - first.time > FLOOD_AGE


class QueuedInput(ForwardingHook):
    """Mixin for fields of a `KeyQueueScreen`; no effect on other screens.

    List it before the widget class.
    """

    async def handle_input(self, event: KeyInput) -> None:
        """Handle a key or paste now."""
        if isinstance(event, events.Key):
            await run_binding(self.app, event.key)

    def take_event(self, event: events.Event) -> bool:
        screen = cast(Widget, self).screen
        if isinstance(event, KeyInput) and isinstance(screen, KeyQueueScreen):
            screen.queue_input(event)
            return True
        return False


async def run_binding(app: App[Any], key: str, *, priority: bool = False) -> bool:
    """Run the key's binding; return True if it has one.

    Errors from a screen that is being mounted or removed are ignored.
    """
    screen = app.screen
    try:
        return await run_key_binding(app, key, priority=priority)
    except NoMatches:
        if screen.is_mounted and not is_closing(screen):
            raise
        return True


async def wait_for_event(
    event: asyncio.Event | None, unless: asyncio.Task[None] | None = None
) -> None:
    """Wait briefly for an event, or until the task `unless` ends."""
    if event is None or event.is_set():
        return
    event_task = asyncio.create_task(event.wait())
    await asyncio.wait(
        [event_task, *([unless] if unless else [])],
        timeout=SCREEN_TIMEOUT,
        return_when=asyncio.FIRST_COMPLETED,
    )
    event_task.cancel()


def _copy_event(event: KeyInput) -> KeyInput:
    return (
        events.Key(event.key, event.character)
        if isinstance(event, events.Key)
        else events.Paste(event.text)
    )
