"""Boxes over another screen, which goes on below and has their keys in its last line: a click beside one leaves it, as esc
does, but for one on a key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, cast

from textual import events, on
from textual.geometry import Offset
from textual.message_pump import MessagePump
from textual.screen import Screen

from app.tui.widgets.footer import Hint, KeyLine

TAKE, LEAVE = Hint("↵", "take it", "enter", 0), Hint("esc", "leave all as it was", "escape", 0)


class LeftBeside(MessagePump):
    """A screen with a box. To be named before the kind of screen it is."""

    BOX: ClassVar[str]
    """What finds the box."""

    def box_keys(self) -> Sequence[Hint]:
        """The keys that work while it stands there."""
        return TAKE, LEAVE

    @on(events.ScreenResume)
    def _on_top(self) -> None:
        """The screen below shows other keys from now on."""
        if (below := _below(cast(Screen[Any], self))) is not None and hasattr(below, "refresh_keys"):
            below.refresh_keys()

    @on(events.Click)
    def _clicked_beside(self, event: events.Click) -> None:
        box = cast(Screen[Any], self)
        if event.screen_offset in box.query_one(self.BOX).region:
            return
        if key := _key_at(_below(box), event.screen_offset):
            box.app.simulate_key(key)
        else:
            self.leave_as_it_was()

    def leave_as_it_was(self) -> None:
        """Nothing was chosen."""
        cast(Screen[Any], self).dismiss(None)


def in_sight(screen: Screen[Any]) -> bool:
    """Whether a screen is the uppermost, or has only boxes over it."""
    top = screen.app.screen
    return top is screen or (isinstance(top, LeftBeside) and _below(top) is screen)


def keys_over(screen: Screen[Any]) -> Sequence[Hint] | None:
    """The keys of the box that stands over a screen; None without one."""
    top = screen.app.screen
    return top.box_keys() if isinstance(top, LeftBeside) and top is not screen else None


def _key_at(screen: Any, place: Offset) -> str | None:
    """The key that is shown at a place of the screen that is seen around a box."""
    lines = screen.query(KeyLine) if screen is not None else ()
    return next((line.key_at(place.x - line.region.x) for line in lines if place in line.region), None)


def _below(box: Screen[Any]) -> Any:
    """The screen that is seen around a box."""
    stack = box.app.screen_stack
    under = stack[: stack.index(box)] if box in stack else []
    return next((screen for screen in reversed(under) if not isinstance(screen, LeftBeside)), None)
