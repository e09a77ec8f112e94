"""Base of the widgets and screens that read the look and the clock of their app."""

from __future__ import annotations

from typing import Any, cast

from textual.message_pump import MessagePump

from app.tui.style import Look


class AppValues(MessagePump):
    """Widget or screen with the look and the clock of its app."""

    @property
    def look(self) -> Look:
        """Capabilities of the terminal; Unicode and colours if the app has none set."""
        return cast(Look, getattr(self.app, "look", None) or Look())

    @property
    def now(self) -> float:
        """UNIX seconds of the app's clock."""
        return cast(Any, self.app).now()
