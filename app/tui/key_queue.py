"""Keys of a form in the order they were typed, however fast: sent by a script, pasted, or typed ahead of a slow terminal.

Textual gives a key to the widget that has the focus when the key comes in, and what a binding does comes later, behind the
text that was typed after it. In a form that is a `KeysInOrder` every key waits its turn with the screen, and is done, its
binding too, before the next one goes to the field that has the focus by then.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from textual import events
from textual.app import App
from textual.css.query import NoMatches
from textual.message import Message
from textual.message_pump import MessagePump
from textual.widget import Widget
from textual.widgets import Input

from app.tui.error_boundary import is_closing

SCREEN_TIMEOUT = 1.0
"""Seconds that a key waits at most for the screen that it is for."""

KeyInput = events.Key | events.Paste


class KeyQueueScreen(MessagePump):
    """A screen that gives its keys to its fields (`InOrder`) one after the other; to be named before the screen's own class."""

    class Waiting(Message, bubble=False):
        """There may be keys to give."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._keys: list[KeyInput] = []

    @property
    def takes_keys(self) -> bool:
        """Whether the field that they are for stands there; until then they are kept."""
        return True

    def queue_input(self, event: KeyInput) -> None:
        """Put a key or a pasted text behind those that wait."""
        self._keys.append(event)
        self.post_message(self.Waiting())

    def _forward_event(self, event: events.Event) -> None:
        if isinstance(event, KeyInput):
            self.queue_input(event)
        else:
            cast(Any, super())._forward_event(event)

    async def _on_key_queue_screen_waiting(self, _message: Waiting) -> None:
        # One at a time: what a key brings about is done before the next message.
        if self._keys and self.takes_keys:
            await self._send_to_focused(self._keys.pop(0))
            if self._keys:
                self.post_message(self.Waiting())

    async def _send_to_focused(self, event: KeyInput) -> None:
        """To the field that has the focus, also on a screen that one of the keys before has opened."""
        from textual.widgets import TextArea  # reading it takes 6 ms; a form has it by now

        top = self.app.screen
        await wait_for_event(top._mounted_event)
        if isinstance(top.focused, QueuedInput):
            await top.focused.handle_input(event)
        elif isinstance(event, events.Paste) or isinstance(top.focused, (Input, TextArea)):
            (top.focused or top)._forward_event(_copy_event(event))
        else:
            await run_binding(self.app, event.key)


class QueuedInput(MessagePump):
    """A field of such a form; elsewhere it is a widget as any. To be named before the widget's own class."""

    async def handle_input(self, event: KeyInput) -> None:
        """Do what a key means here, now."""
        if isinstance(event, events.Key):
            await run_binding(self.app, event.key)

    def _forward_event(self, event: events.Event) -> None:
        screen = cast(Widget, self).screen
        if isinstance(event, KeyInput) and isinstance(screen, KeyQueueScreen):
            screen.queue_input(event)
        else:
            cast(Any, super())._forward_event(event)


async def run_binding(app: App[Any], key: str, *, priority: bool = False) -> bool:
    """Whether the key is bound to something, which is done. A screen that comes up or goes this moment lets it be."""
    screen = app.screen
    try:
        return await app._check_bindings(key, priority)
    except NoMatches:
        if screen._mounted_event.is_set() and not is_closing(screen):
            raise
        return True


async def wait_for_event(event: asyncio.Event | None, unless: asyncio.Task[None] | None = None) -> None:
    """Wait for it, a moment at most, and no longer than that task lives."""
    if event is None or event.is_set():
        return
    coming = asyncio.create_task(event.wait())
    await asyncio.wait([coming, *([unless] if unless else [])], timeout=SCREEN_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
    coming.cancel()


def _copy_event(event: KeyInput) -> KeyInput:
    return events.Key(event.key, event.character) if isinstance(event, events.Key) else events.Paste(event.text)
