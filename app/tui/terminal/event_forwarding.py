"""Forwarding of input events, before Textual queues them for a widget."""

from __future__ import annotations

from typing import Any, cast

from textual import events
from textual.message_pump import MessagePump
from textual.widget import Widget


class ForwardingHook(MessagePump):
    """Mixin that may take events forwarded to a widget. List it before the widget class."""

    def take_event(self, event: events.Event) -> bool:
        """Return True if the event is handled here and is not forwarded."""
        raise NotImplementedError

    def _forward_event(self, event: events.Event) -> None:
        if not self.take_event(event):
            cast(Any, super())._forward_event(event)


def forward_event(widget: Widget, event: events.Event) -> None:
    """Send an input event to a widget as if Textual had received it."""
    widget._forward_event(event)
