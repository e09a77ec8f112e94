"""Parts of Textual's app that have no public name: drawing, style sheets, bindings, queues."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode
from textual.geometry import Size
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import AwaitMount

from app.tui.terminal.cell_updates import CellUpdate

if TYPE_CHECKING:
    from rich.console import RenderableType

    from app.tui.terminal.driver import ClickDriver


class TerminalApp(App[int]):
    """An app that sends changed cells only and loads style sheets with their screens."""

    click_driver: ClickDriver | None = None
    """The driver of a real terminal; it registers itself."""

    def filter_update(
        self, screen: Screen[Any], update: RenderableType | None
    ) -> RenderableType | None:
        """Return the update to send for a screen; None sends nothing."""
        return update

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        update = self.filter_update(screen, renderable)
        if isinstance(update, ChopsUpdate):
            update = CellUpdate.from_chops(update)
        super()._display(screen, update)

    def _get_screen(self, screen: Screen[Any] | str) -> tuple[Screen[Any], AwaitMount]:
        """Return a screen with its style sheet loaded.

        From Python 3.12 on Textual's tasks start eagerly, so widgets would be mounted unstyled.
        """
        if isinstance(screen, Screen):
            self._load_screen_css(screen)
        return super()._get_screen(screen)

    def _set_pointer_shape(self, shape: str) -> None:
        """Ignore pointer shapes: few terminals know the OSC sequence."""


def render_whole_screen(screen: Screen[Any]) -> RenderableType:
    """Return an update of every cell of a screen."""
    return screen._compositor.render_full_update()


def make_update(lines: Iterable[Strip], size: Size) -> RenderableType:
    """Return an update that shows these lines on a terminal of this size."""
    return LayoutUpdate([[line] for line in lines], size.region)


@cache
def merge_class_bindings(node: type[DOMNode]) -> Mapping[str, Sequence[Binding]]:
    """Return the bindings of a class by key, inherited ones included.

    Only Textual knows which classes were declared with `inherit_bindings=False`.
    """
    return node._merge_bindings().key_to_bindings


def add_bindings(node: DOMNode, bindings: Iterable[Binding]) -> None:
    """Add bindings to one node; Textual's own `bind` takes no id."""
    for binding in bindings:
        node._bindings.key_to_bindings.setdefault(binding.key, []).append(binding)


async def run_key_binding(app: App[Any], key: str, *, priority: bool) -> bool:
    """Run the key's binding; return True if it has one.

    `active_bindings` names one binding of each key, but an action may pass the key on to the next.
    """
    return await app._check_bindings(key, priority)


async def run_next_callbacks(pump: MessagePump) -> None:
    """Run the callbacks that `call_next` has queued."""
    await pump._flush_next_callbacks()


def get_mount_event(pump: MessagePump) -> asyncio.Event:
    """Return the event that is set once the node is mounted; `is_mounted` cannot be awaited."""
    return pump._mounted_event
