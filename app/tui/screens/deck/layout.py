"""Layout of the deck: panes at every terminal size, zoom and focus."""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult
from textual.containers import Container
from textual.screen import Screen

from app.core.board import Board
from app.translation import tr, tr_noop
from app.tui.deck_app import DeckNode
from app.tui.panes.alerts import AlertsPane
from app.tui.panes.pools import PoolsPane
from app.tui.panes.queues import QueuesPane
from app.tui.panes.work import WorkPane
from app.tui.screens.deck.pane_heights import FULL_SIZE, PaneHeights, compute_layout, resize_pane
from app.tui.screens.tasks.task_actions import can_open
from app.tui.widgets.banner import Banner, build_current_banner
from app.tui.widgets.filter_input import FilterInput
from app.tui.widgets.footer import KeyLine, MessageLine
from app.tui.widgets.header import WIDE_CELLS, Header
from app.tui.widgets.table import NO_MATCH, Table

PANES = ("queues", "pools", "work", "alerts")
WORK_PANE = PANES.index("work") + 1
"""Digit of the work pane."""
EMPTY_SECTIONS = {
    "running": tr_noop("Nothing runs."),
    "next": tr_noop("Nothing waits."),
    "ended": tr_noop("Nothing ended lately; 5 lists all tasks."),
}
"""Messages for a key that goes to an empty section of the work pane."""
ZOOM_NOTES = (tr_noop("zoomed: z shows all panes"), tr_noop("zoomed (z)"))
Pane = QueuesPane | PoolsPane | WorkPane | AlertsPane


class DeckLayout(DeckNode, Screen[None]):
    """Widgets of the deck and their sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.zoomed: str | None = None
        """Id of the zoomed pane, or None."""
        self.small = False
        """True if the terminal has room for one pane only."""

    def compose(self) -> ComposeResult:
        # `place_panes` usually sets the same class. If it changed the class, all styles would be
        # computed twice before the first rows.
        self.set_class(self.app.size.width >= WIDE_CELLS, "-wide", update=False)
        yield Header()
        yield Banner(id="banner")
        with Container(id="top"):
            yield QueuesPane()
            yield PoolsPane()
        yield WorkPane()
        yield AlertsPane()
        yield FilterInput()
        yield MessageLine()
        yield KeyLine()

    @property
    def panes(self) -> tuple[Pane, ...]:
        return (
            self.query_one(QueuesPane),
            self.query_one(PoolsPane),
            self.query_one(WorkPane),
            self.query_one(AlertsPane),
        )

    @property
    def table(self) -> Table:
        """Focused pane, else the work pane."""
        return self.focused if isinstance(self.focused, Table) else self.query_one(WorkPane)

    def show_board(self) -> None:
        """Show the latest board in the present size."""
        raise NotImplementedError

    def place_panes(self, board: Board) -> None:
        """Set the heights of the panes from the number of rows on the board."""
        width, height = self.app.size
        if not width:
            return
        self.small = width < FULL_SIZE[0] or height < FULL_SIZE[1] or self.look.plain
        banner = self.show_banner(board)
        counts = (len(board.queues), len(board.pools), len(board.alerts))
        places = compute_layout(
            width, height, banner, *counts, self.deck.memory.get(self._sizes_key, {}),
            sum(len(pool.resources) for pool in board.pools),
            bool(board.resources) + len(board.devices),
        )  # fmt: skip
        one = self.table.id if self.small else self.zoomed
        self.set_class(places.wide and one is None, "-wide")
        self._set_height(self.query_one(Header), places.header)
        self._place_panes(places, one)
        self._place_top(places, one)
        self.query_one(WorkPane).tall = places.tall or (one == "work" and height >= FULL_SIZE[1])

    def show_banner(self, board: Board) -> int:
        """Show the warnings; return their number of lines."""
        row, banner = self.table.item, self.query_one(Banner)
        lines = build_current_banner(banner, board, enter=row is not None and not can_open(row))
        banner.show(lines)
        return len(lines)

    def _place_panes(self, places: PaneHeights, one: str | None) -> None:
        heights = {
            "queues": places.queues,
            "pools": places.pools,
            "work": places.work,
            "alerts": places.alerts,
        }
        for pane in self.panes:
            pane.narrow = not places.wide
            pane.sign = tuple(map(tr, ZOOM_NOTES)) if one and not self.small else ()
            pane.display = one in (None, pane.id)
            self._set_height(pane, "1fr" if one else heights[pane.id or ""])

    def _place_top(self, places: PaneHeights, one: str | None) -> None:
        top = self.query_one("#top")
        top.display = one in (None, "queues", "pools")
        self._set_height(top, "1fr" if one else places.top)
        self.query_one(QueuesPane).styles.width = (
            places.queues_width if places.wide and one is None else "1fr"
        )

    def _set_height(self, widget: Any, height: int | str) -> None:
        if widget.styles.height is None or str(widget.styles.height) != str(height):
            widget.styles.height = height

    def on_descendant_focus(self) -> None:
        if self.small or self.zoomed:
            self.zoomed = self.table.id if self.zoomed else None
            self.show_board()

    def go_to(self, pane: int) -> None:
        """Focus a pane, 1 to 4; 0 shows the whole deck."""
        if not pane:
            self.deck.time_travel.return_to_live()
        self.zoomed = None if pane == 0 else PANES[pane - 1] if self.zoomed else None
        self._remember_zoom()
        wanted = self.panes[pane - 1] if pane else self.query_one(WorkPane)
        wanted.display = True
        self.query_one("#top").display = True
        self.set_focus(wanted)
        self.show_board()
        if isinstance(wanted, AlertsPane):
            wanted.go_to_announced()

    def note_announced(self, key: str) -> None:
        """Remember the alert that rang the bell; the alerts pane opens with it."""
        for pane in self.query(AlertsPane):
            pane.announced = key

    def go_to_section(self, part: str) -> None:
        """Focus the work pane, with the cursor in one of its sections."""
        self.go_to(WORK_PANE)
        work = self.query_one(WorkPane)
        if not work.go_to_section(part):
            empty = tr(EMPTY_SECTIONS[part] if work.keep is None else NO_MATCH)
            self.deck.show_message(empty, "warn")

    def action_pane(self, by: int) -> None:
        self.go_to((PANES.index(self.table.id or "work") + by) % len(PANES) + 1)

    def action_zoom(self) -> None:
        self.zoomed = None if self.zoomed else self.table.id
        self._remember_zoom()
        self.show_board()

    def _remember_zoom(self) -> None:
        self.deck.memory.put("zoomed", self.zoomed or "")

    @property
    def _sizes_key(self) -> str:
        """Preference key of the pane heights; wide and narrow terminals have their own."""
        return "sizes.wide" if self.app.size.width >= WIDE_CELLS else "sizes.narrow"

    def action_resize(self, by: int) -> None:
        if self.small or self.zoomed:
            self.deck.show_message(
                tr("This pane has the whole screen: z shows all panes again."), "warn"
            )
            return
        memory = self.deck.memory
        memory.put(
            self._sizes_key,
            resize_pane(memory.get(self._sizes_key, {}), self.table.id or "work", by),
        )
        self.show_board()

    def reset_sizes(self) -> None:
        """Show all panes in their default sizes."""
        self.zoomed = None
        self._remember_zoom()
        self.deck.memory.put(self._sizes_key, {})
        self.show_board()
