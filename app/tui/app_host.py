"""Interface of the application for its own parts, which cannot import the application."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from textual.geometry import Size

from app.config import Config
from app.core.board import Board
from app.tui.style import Look, Span


class AppHost(Protocol):
    """The application as its parts in `data` see it."""

    look: Look
    settings: Config
    read_only: bool
    home: Path | None
    demo_ends: float | None
    """Monotonic time at which a demo closes the deck; None without a demo."""

    @property
    def board(self) -> Board | None:
        """The latest board; None until the first one arrives."""
        ...

    @board.setter
    def board(self, board: Board | None) -> None: ...

    @property
    def size(self) -> Size: ...

    @property
    def may_start(self) -> bool:
        """True if the deck may start a runtime by itself."""
        ...

    @property
    def resting(self) -> bool:
        """True if drawing is suspended because another window has the focus."""
        ...

    def now(self) -> float:
        """Return the time in UNIX seconds."""
        ...

    def ticks(self) -> float:
        """Return monotonic seconds."""
        ...

    def call_later(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> bool:
        """Call in the app's thread."""
        ...

    def copy_to_clipboard(self, text: str) -> None: ...

    def show_message(
        self, text: str, style: str = "", *, stays: bool | None = None, seconds: float = ...
    ) -> None:
        """Show a sanitized message for a while."""
        ...

    def get_message(self) -> Span | None:
        """Return the current message, else the progress message, or None."""
        ...

    def retract_message(self, message: Span | None) -> None:
        """Remove this message if it is the current one."""
        ...

    def clear_message(self) -> None:
        """Remove the message."""
        ...

    def refuse_changes(self) -> bool:
        """Show why changes are refused and return True if they are."""
        ...
