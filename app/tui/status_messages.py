"""What stands in the message line, until when, and what stood there lately."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from textual.app import App
from textual.screen import ModalScreen, Screen

from app.tui.screens.base_page import PageScreen
from app.tui.screens.deck.screen import DeckScreen
from app.tui.style import Look, Span
from app.tui.time_format import format_wall_time

MAX_MESSAGES = 50
"""Messages that are kept."""
HINT_STYLE = "dim"
"""The style of what is said to a key that does nothing, which is not kept."""


class MessageHistory:
    """The last messages, each once however often it was said in a row."""

    def __init__(self) -> None:
        self._messages: deque[tuple[float, str, str]] = deque(maxlen=MAX_MESSAGES)

    def add_message(self, at: float, text: str, style: str) -> None:
        """Something safe was said at this moment, UNIX seconds; "" is nothing."""
        if text and style != HINT_STYLE and (not self._messages or self._messages[-1][1] != text):
            self._messages.append((at, text, style))

    def build_lines(self, now: float, room: int) -> list[list[Span]]:
        """The newest first, each with its time, broken into lines of at most `room` cells."""
        if not self._messages:
            return [[("Nothing was said yet.", "dim")]]
        return [line for at, text, style in reversed(self._messages) for line in _wrap_message(f"{format_wall_time(at, now, seconds=True)}  ", text, style, room)]


def _wrap_message(when: str, text: str, style: str, room: int) -> list[list[Span]]:
    from app.tui.widgets.document import wrap_text  # which the deck's first frame does without

    first, *more = wrap_text(text, room - len(when))
    return [[(when, "dim"), (first, style)], *([(" " * len(when), ""), (line, style)] for line in more)]


MESSAGE_SECONDS = 8.0
"""Seconds for which something said stays."""
PASSING_STYLES = ("warn", "dim")
"""Styles of what is said to a key that did nothing."""


class StatusMessages(App[int]):
    """An app whose screens have a message line."""

    look: Look
    now: Callable[[], float]
    ticks: Callable[[], float]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._message: tuple[Span, float] | None = None
        self._is_passing = False
        """Whether that is a refusal or a hint, which is over with the next key and with its screen; what was done is neither."""
        self._message_screen: Screen[Any] | None = None
        """The screen on which it was said, whatever dialog stood over it."""
        self._shown_once: set[str] = set()
        self._history = MessageHistory()

    @property
    def page(self) -> Screen[Any] | None:
        """The uppermost screen with a message line."""
        return next((screen for screen in reversed(self.screen_stack) if isinstance(screen, (DeckScreen, PageScreen))), None)

    @property
    def progress_message(self) -> Span | None:
        """What is said while nothing else is."""
        return None

    def show_message(self, text: str, style: str = "", *, stays: bool | None = None, seconds: float = MESSAGE_SECONDS) -> None:
        """Put a safe text into the message line for a while. `stays`: whether it is news, and not over with the screen it is said on;
        None: by its style."""
        self._message = ((self.look.adapt_text(text), style), self.ticks() + seconds)
        self._history.add_message(self.now(), *self._message[0])
        self._is_passing = style in PASSING_STYLES if stays is None else not stays
        self._message_screen = self.page
        self.draw_message()

    def show_message_once(self, text: str) -> None:
        """Say something that need not be said twice."""
        if text not in self._shown_once:
            self._shown_once.add(text)
            self.show_message(self.look.sanitize(text))

    def get_message(self) -> Span | None:
        """What was said a moment ago, else what is under way, or None."""
        if self._message and self.ticks() < self._message[1] and not (self._is_passing and self._message_screen is not self.page):
            return self._message[0]
        return self.progress_message

    def clear_message(self) -> None:
        """What was said holds no longer."""
        self._message = None
        self.draw_message()

    def retract_message(self, said: Span | None) -> None:
        """This holds no longer, if it is what was said last."""
        if said is not None and self.get_message() == said:
            self.clear_message()

    def clear_foreign_message(self) -> None:
        """What was said on another screen has been seen here when the next key comes."""
        if self._message and self._message_screen is not self.page:
            self.clear_message()

    def draw_message(self) -> None:
        """Draw the line, where no box stands over it."""
        if self.screen_stack and isinstance(screen := self.screen, (DeckScreen, PageScreen)):
            screen.refresh_message()

    def action_said_lately(self) -> None:
        """What was said lately, in full: a line has room for little."""
        from app.tui.screens.dialogs.item_list import LINE_WIDTH, ItemListScreen

        if not isinstance(self.screen, ModalScreen):
            lines = self._history.build_lines(self.now(), min(LINE_WIDTH, self.size.width - 4))
            self.push_screen(ItemListScreen("Said lately, the newest first", lines, back="back"))
