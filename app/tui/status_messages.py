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
from app.tui.time_format import wall

KEPT = 50
"""Messages that are kept."""
HINT = "dim"
"""The style of what is said to a key that does nothing, which is not kept."""


class Lately:
    """The last messages, each once however often it was said in a row."""

    def __init__(self) -> None:
        self._said: deque[tuple[float, str, str]] = deque(maxlen=KEPT)

    def note(self, at: float, text: str, style: str) -> None:
        """Something safe was said at this moment, UNIX seconds; "" is nothing."""
        if text and style != HINT and (not self._said or self._said[-1][1] != text):
            self._said.append((at, text, style))

    def lines(self, now: float, room: int) -> list[list[Span]]:
        """The newest first, each with its time, broken into lines of at most `room` cells."""
        if not self._said:
            return [[("Nothing was said yet.", "dim")]]
        return [line for at, text, style in reversed(self._said) for line in _lines(f"{wall(at, now, seconds=True)}  ", text, style, room)]


def _lines(when: str, text: str, style: str, room: int) -> list[list[Span]]:
    from app.tui.widgets.document import wrap  # which the deck's first frame does without

    first, *more = wrap(text, room - len(when))
    return [[(when, "dim"), (first, style)], *([(" " * len(when), ""), (line, style)] for line in more)]


SAID = 8.0
"""Seconds for which something said stays."""
IN_PASSING = ("warn", "dim")
"""Styles of what is said to a key that did nothing."""


class Messages(App[int]):
    """An app whose screens have a message line."""

    look: Look
    now: Callable[[], float]
    ticks: Callable[[], float]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._said: tuple[Span, float] | None = None
        self._said_in_passing = False
        """Whether that is a refusal or a hint, which is over with the next key and with its screen; what was done is neither."""
        self._said_on: Screen[Any] | None = None
        """The screen on which it was said, whatever dialog stood over it."""
        self._said_once: set[str] = set()
        self._lately = Lately()

    @property
    def page(self) -> Screen[Any] | None:
        """The uppermost screen with a message line."""
        return next((screen for screen in reversed(self.screen_stack) if isinstance(screen, (DeckScreen, PageScreen))), None)

    @property
    def under_way(self) -> Span | None:
        """What is said while nothing else is."""
        return None

    def say(self, text: str, style: str = "", *, stays: bool | None = None, seconds: float = SAID) -> None:
        """Put a safe text into the message line for a while. `stays`: whether it is news, and not over with the screen it is said on;
        None: by its style."""
        self._said = ((self.look.own(text), style), self.ticks() + seconds)
        self._lately.note(self.now(), *self._said[0])
        self._said_in_passing = style in IN_PASSING if stays is None else not stays
        self._said_on = self.page
        self.show_said()

    def say_once(self, text: str) -> None:
        """Say something that need not be said twice."""
        if text not in self._said_once:
            self._said_once.add(text)
            self.say(self.look.theirs(text))

    def said(self) -> Span | None:
        """What was said a moment ago, else what is under way, or None."""
        if self._said and self.ticks() < self._said[1] and not (self._said_in_passing and self._said_on is not self.page):
            return self._said[0]
        return self.under_way

    def hush(self) -> None:
        """What was said holds no longer."""
        self._said = None
        self.show_said()

    def unsay(self, said: Span | None) -> None:
        """This holds no longer, if it is what was said last."""
        if said is not None and self.said() == said:
            self.hush()

    def leave_said(self) -> None:
        """What was said on another screen has been seen here when the next key comes."""
        if self._said and self._said_on is not self.page:
            self.hush()

    def show_said(self) -> None:
        """Draw the line, where no box stands over it."""
        if self.screen_stack and isinstance(screen := self.screen, (DeckScreen, PageScreen)):
            screen.refresh_message()

    def action_said_lately(self) -> None:
        """What was said lately, in full: a line has room for little."""
        from app.tui.screens.dialogs.item_list import ROOM, NamesScreen

        if not isinstance(self.screen, ModalScreen):
            lines = self._lately.lines(self.now(), min(ROOM, self.size.width - 4))
            self.push_screen(NamesScreen("Said lately, the newest first", lines, back="back"))
