"""Copying of the command line that is equivalent to a form."""

from __future__ import annotations

from textual import events, on
from textual.message_pump import MessagePump


class CommandCopy(MessagePump):
    """A form that copies its command line after a click on that line."""

    def action_copy(self) -> None:
        """Copy the command line."""
        raise NotImplementedError

    @on(events.Click)
    def _clicked(self, event: events.Click) -> None:
        if event.widget is not None and (event.widget.id or "").startswith("equal"):
            self.action_copy()
