"""What widgets and screens alike ask of their app."""

from __future__ import annotations

from typing import Any, cast

from textual.message_pump import MessagePump

from app.tui.style import Look


class AppValues(MessagePump):
    """A widget or screen that draws as its app says."""

    @property
    def look(self) -> Look:
        """What the terminal can show; apps without an opinion get Unicode and colours."""
        return cast(Look, getattr(self.app, "look", None) or Look())

    @property
    def now(self) -> float:
        """UNIX seconds by the app's clock."""
        return cast(Any, self.app).now()
