"""Status messages: the message line, its timeouts and the message history."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from textual.app import App
from textual.screen import ModalScreen

from app.translation import tr
from app.tui.deck_app import StatusScreen
from app.tui.style import Look, Span
from app.tui.time_format import format_wall_time

MAX_MESSAGES = 50
"""Maximum number of messages."""
HINT_STYLE = "dim"
"""Style of replies to keys without an action, which are not kept."""


class MessageHistory:
    """The latest messages; direct repetitions are stored once."""

    def __init__(self) -> None:
        self._messages: deque[tuple[float, str, str]] = deque(maxlen=MAX_MESSAGES)

    def add_message(self, at: float, text: str, style: str) -> None:
        """Add a sanitized message at UNIX time `at`; empty text is ignored."""
        if text and style != HINT_STYLE and (not self._messages or self._messages[-1][1] != text):
            self._messages.append((at, text, style))

    def build_lines(self, now: float, room: int) -> list[list[Span]]:
        """Return the messages, newest first, with times, wrapped to `room` cells."""
        if not self._messages:
            return [[(tr("No messages yet."), "dim")]]
        return [
            line
            for at, text, style in reversed(self._messages)
            for line in _wrap_message(
                f"{format_wall_time(at, now, seconds=True)}  ", text, style, room
            )
        ]


def _wrap_message(when: str, text: str, style: str, room: int) -> list[list[Span]]:
    from app.tui.widgets.document import wrap_text  # not needed for the deck's first frame

    first, *more = wrap_text(text, room - len(when))
    return [
        [(when, "dim"), (first, style)],
        *([(" " * len(when), ""), (line, style)] for line in more),
    ]


MESSAGE_SECONDS = 8.0
"""Default seconds a message stays."""
PASSING_STYLES = ("warn", "dim")
"""Styles of messages about keys that did nothing."""


class StatusMessages(App[int]):
    """An app whose screens have a message line."""

    look: Look
    now: Callable[[], float]
    ticks: Callable[[], float]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._message: tuple[Span, float] | None = None
        self._is_passing = False
        """Set for refusals and hints, which end with the next key or screen, unlike results."""
        self._message_screen: StatusScreen | None = None
        """Screen of the message, below any dialog."""
        self._shown_once: set[str] = set()
        self._history = MessageHistory()

    @property
    def page(self) -> StatusScreen | None:
        """Topmost screen with a message line."""
        return next(
            (screen for screen in reversed(self.screen_stack) if isinstance(screen, StatusScreen)),
            None,
        )

    @property
    def has_passing_message(self) -> bool:
        """True if the last message is a refusal or a hint, which ends with the next key."""
        return self._is_passing

    @property
    def progress_message(self) -> Span | None:
        """Message shown while there is no other."""
        return None

    def show_message(
        self,
        text: str,
        style: str = "",
        *,
        stays: bool | None = None,
        seconds: float = MESSAGE_SECONDS,
    ) -> None:
        """Show a sanitized message for a while.

        `stays` keeps a message when its screen is left; None decides by style.
        """
        self._message = ((self.look.adapt_text(text), style), self.ticks() + seconds)
        self._history.add_message(self.now(), *self._message[0])
        self._is_passing = style in PASSING_STYLES if stays is None else not stays
        self._message_screen = self.page
        self.draw_message()

    def show_message_once(self, text: str) -> None:
        """Show a message, but only the first time."""
        if text not in self._shown_once:
            self._shown_once.add(text)
            self.show_message(self.look.sanitize(text))

    def get_message(self) -> Span | None:
        """Return the current message, else the progress message, or None."""
        if (
            self._message
            and self.ticks() < self._message[1]
            and not (self._is_passing and self._message_screen is not self.page)
        ):
            return self._message[0]
        return self.progress_message

    def clear_message(self) -> None:
        """Remove the message."""
        self._message = None
        self.draw_message()

    def retract_message(self, message: Span | None) -> None:
        """Remove this message if it is the current one."""
        if message is not None and self.get_message() == message:
            self.clear_message()

    def clear_foreign_message(self) -> None:
        """Remove a message of another screen on the next key; the user has read it by then."""
        if self._message and self._message_screen is not self.page:
            self.clear_message()

    def draw_message(self) -> None:
        """Draw the message line, unless a dialog covers it."""
        if self.screen_stack and isinstance(screen := self.screen, StatusScreen):
            screen.refresh_message()

    def action_recent_messages(self) -> None:
        """Open the message history."""
        from app.tui.screens.dialogs.item_list import LINE_WIDTH, ItemListScreen

        if not isinstance(self.screen, ModalScreen):
            lines = self._history.build_lines(self.now(), min(LINE_WIDTH, self.size.width - 4))
            self.push_screen(ItemListScreen(tr("Recent messages"), lines, back="back"))
