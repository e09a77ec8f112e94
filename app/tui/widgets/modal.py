"""Modal boxes over a screen that keeps updating.

The last line of the screen shows the box's keys. A click outside dismisses the box like esc, except
a click on a key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, cast

from textual import events, on
from textual.content import Content
from textual.geometry import Offset
from textual.screen import Screen

from app.tui.deck_app import DeckNode
from app.tui.widgets.footer import KeyHint, KeyLine

ACCEPT_HINT, CANCEL_HINT = (
    KeyHint("↵", "choose", "enter", 0),
    KeyHint("esc", "close", "escape", 0),
)


NARROW_CELLS = 100
"""Terminal width below which a box is as wide as the screen: no narrow strip shows beside it."""


class DismissOnClickOutside(DeckNode):
    """Mixin for screens with a box. List it before the screen class."""

    BOX: ClassVar[str]
    """Selector of the box."""

    def frame_box(self, title: str) -> None:
        """Draw the frame of the box, with its title in the upper line. `title` is sanitized."""
        box = cast(Screen[Any], self).query_one(self.BOX)
        box.add_class("-box")
        box.border_title = Content(title)

    @on(events.Resize)
    def _fit_box_width(self) -> None:
        screen = cast(Screen[Any], self)
        screen.set_class(screen.app.size.width < NARROW_CELLS, "-narrow")

    def list_box_keys(self) -> Sequence[KeyHint]:
        """Return the keys that work while the box is open."""
        return ACCEPT_HINT, CANCEL_HINT

    @on(events.ScreenResume)
    def refresh_keys_below(self) -> None:
        """Show the box's keys on the screen below."""
        if (below := _find_screen_below(cast(Screen[Any], self))) is not None and hasattr(
            below, "refresh_keys"
        ):
            below.refresh_keys()

    @on(events.Click)
    def _click_outside(self, event: events.Click) -> None:
        box = cast(Screen[Any], self)
        if event.screen_offset in box.query_one(self.BOX).region:
            return
        if key := _find_key_at(_find_screen_below(box), event.screen_offset):
            box.app.simulate_key(key)
        else:
            self.dismiss_unchanged()

    def dismiss_unchanged(self) -> None:
        """Dismiss the box without a result."""
        cast(Screen[Any], self).dismiss(None)


def is_visible_under_modal(screen: Screen[Any]) -> bool:
    """Return True if the screen is on top or only boxes cover it."""
    top = screen.app.screen
    return top is screen or (
        isinstance(top, DismissOnClickOutside) and _find_screen_below(top) is screen
    )


def find_modal_keys(screen: Screen[Any]) -> Sequence[KeyHint] | None:
    """Return the keys of the box over a screen; None if there is none."""
    top = screen.app.screen
    return (
        top.list_box_keys()
        if isinstance(top, DismissOnClickOutside) and top is not screen
        else None
    )


def _find_key_at(screen: Any, place: Offset) -> str | None:
    """Return the key shown at a position of the screen around the box."""
    lines = screen.query(KeyLine) if screen is not None else ()
    return next(
        (line.find_key_at(place.x - line.region.x) for line in lines if place in line.region), None
    )


def _find_screen_below(box: Screen[Any]) -> Any:
    """Return the screen around a box."""
    stack = box.app.screen_stack
    under = stack[: stack.index(box)] if box in stack else []
    return next(
        (screen for screen in reversed(under) if not isinstance(screen, DismissOnClickOutside)),
        None,
    )
