"""Keys of a form in the order they were typed, however fast: sent by a script, pasted, or typed ahead of a slow terminal.

Textual gives a key to the widget that has the focus when the key comes in, and what a binding does comes later, behind the
text that was typed after it. In a form that is a `KeysInOrder` every key waits its turn with the screen, and is done, its
binding too, before the next one goes to the field that has the focus by then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from textual import events
from textual.message import Message
from textual.message_pump import MessagePump
from textual.widget import Widget
from textual.widgets import Input, TextArea

Typed = events.Key | events.Paste


class KeysInOrder(MessagePump):
    """A screen that gives its keys to its fields (`InOrder`) one after the other; to be named before the screen's own class."""

    @dataclass
    class Waiting(Message, bubble=False):
        """There may be keys to give."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._keys: list[Typed] = []

    @property
    def takes_keys(self) -> bool:
        """Whether the field that they are for stands there; until then they are kept."""
        return True

    def take(self, event: Typed) -> None:
        """Put a key or a pasted text behind those that wait."""
        self._keys.append(event)
        self.post_message(self.Waiting())

    def _forward_event(self, event: events.Event) -> None:
        if isinstance(event, Typed):
            self.take(event)
        else:
            cast(Any, super())._forward_event(event)

    async def _on_keys_in_order_waiting(self, _message: Waiting) -> None:
        # One at a time: what a key brings about is done before the next message.
        if self._keys and self.takes_keys:
            await self._give(self._keys.pop(0))
            if self._keys:
                self.post_message(self.Waiting())

    async def _give(self, event: Typed) -> None:
        """To the field that has the focus, also on a screen that one of the keys before has opened."""
        top = self.app.screen
        if isinstance(top.focused, InOrder):
            await top.focused.typed(event)
        elif isinstance(event, events.Paste) or isinstance(top.focused, (Input, TextArea)):
            (top.focused or top)._forward_event(_fresh(event))
        else:
            await self.app._check_bindings(event.key)


class InOrder(MessagePump):
    """A field of such a form; elsewhere it is a widget as any. To be named before the widget's own class."""

    async def typed(self, event: Typed) -> None:
        """Do what a key means here, now."""
        if isinstance(event, events.Key):
            await self.app._check_bindings(event.key)

    def _forward_event(self, event: events.Event) -> None:
        screen = cast(Widget, self).screen
        if isinstance(event, Typed) and isinstance(screen, KeysInOrder):
            screen.take(event)
        else:
            cast(Any, super())._forward_event(event)


def _fresh(event: Typed) -> Typed:
    return events.Key(event.key, event.character) if isinstance(event, events.Key) else events.Paste(event.text)
