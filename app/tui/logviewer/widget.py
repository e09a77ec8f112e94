"""Log widget: draws the latest page; a thread reads, follows and searches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import ClassVar, Literal

from rich.segment import Segment
from rich.style import Style
from textual import events, on, work
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from app.core.text.sanitize import measure_width, sanitize, sanitize_lines
from app.translation import tr, tr_noop
from app.tui.logviewer.pager import LogPage, LogPager
from app.tui.logviewer.reader import LogReader, PagerCommand, ResizeCommand
from app.tui.logviewer.source import LogSource
from app.tui.widgets.strips import StripWidget

ERROR, ERROR_WITHOUT_COLOUR = Style(color="red"), Style(underline=True)
"""Styles of marked error output, below the colours of the program."""
EMPTY_LIVE, EMPTY = tr_noop("No output yet."), tr_noop("No output.")


class LogView(StripWidget, can_focus=True):
    """A log viewer. Open a source with `open_log`; `live` is True if the log may grow.

    `before_draw` is called with each page before the page is drawn, so that surrounding widgets are
    drawn in the same frame. `Changed` follows one frame later.
    """

    DEFAULT_CSS = "LogView { height: 1fr; width: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)", "Down", id="log.down", show=False),
        Binding("k,up", "move(-1)", "Up", id="log.up", show=False),
        Binding("space,pagedown", "turn(1)", "Page", id="log.page", show=False),
        Binding("b,pageup", "turn(-1)", "Page back", id="log.back", show=False),
        Binding("g,home", "start", "First line", id="log.first", show=False),
        Binding("G,end", "end", "Last line", id="log.last", show=False),
        Binding("right", "sideways(1)", "Right", id="log.right", show=False),
        Binding("left", "sideways(-1)", "Left", id="log.left", show=False),
    ]

    @dataclass
    class Changed(Message):
        """Another page is shown."""

        page: LogPage

    @dataclass
    class Failed(Message):
        """The log could not be read."""

        why: str

    @dataclass
    class Copied(Message):
        """Sanitized text for the clipboard."""

        text: str
        what: str

    @dataclass
    class _Read(Message):
        """A page from the thread that reads for `commands`."""

        commands: SimpleQueue[PagerCommand | None]
        page: LogPage

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.page = LogPage()
        self._commands: SimpleQueue[PagerCommand | None] | None = None
        self._live = False
        self._is_visible = True
        self._empty = False
        """Set if a log was read and is empty."""
        self.before_draw: Callable[[LogPage], object] = lambda page: None

    # -- contents --

    def open_log(self, source: LogSource, *, live: bool = False) -> None:
        """Show a log from its end, following a live one.

        The source is closed when another one is opened.
        """
        self.close_log()
        self._live, self._empty = live, False
        self._commands = SimpleQueue()
        self._run_reader(source, self._commands, self.size.width, self.size.height)
        if live:
            self.follow(True)

    def show_text(self, text: str) -> None:
        """Show text of several lines instead of a log."""
        self.close_log()
        self._empty = False
        self._show_page(
            LogPage(rows=tuple(Strip([Segment(line)]) for line in sanitize_lines(text).split("\n")))
        )

    def close_log(self) -> None:
        """Release the log; the last page stays visible."""
        if self._commands is not None:
            self._commands.put(None)
            self._commands = None

    @property
    def is_open(self) -> bool:
        """True if a log is open."""
        return self._commands is not None

    @property
    def live(self) -> bool:
        """True if the log may grow."""
        return self._live

    @live.setter
    def live(self, value: bool) -> None:
        if self._live != value:
            self._live = value
            self._draw_page()
            self.send_command(LogPager.check_growth)

    def send_command(self, command: PagerCommand) -> None:
        """Queue a command for the reading thread; ignored without a log."""
        if self._commands is not None:
            self._commands.put(command)

    # -- movement --

    def action_move(self, rows: int) -> None:
        """Move down by rows, or up."""
        self.send_command(lambda pager: pager.move(rows))

    def action_turn(self, pages: int) -> None:
        """Move down by pages, or up."""
        self.send_command(lambda pager: pager.move_pages(pages))

    def action_start(self) -> None:
        """Go to the first line."""
        self.send_command(LogPager.go_to_start)

    def action_end(self) -> None:
        """Go to the last line."""
        self.send_command(LogPager.go_to_end)

    def action_sideways(self, steps: int) -> None:
        """Scroll right by half screens, or left."""
        self.send_command(lambda pager: pager.scroll_sideways(steps))

    def follow(self, on: bool) -> None:
        """Follow the end, or stop following."""
        self.send_command(lambda pager: pager.follow(on))

    def toggle_wrap(self) -> None:
        """Toggle wrapping of long lines."""
        self.send_command(LogPager.toggle_wrap)

    def start_search(self, text: str) -> None:
        """Search a text; empty text ends the search."""
        self.send_command(lambda pager: pager.start_search(text))

    def go_to_match(self, way: Literal["next", "previous"]) -> None:
        """Go to another match."""
        self.send_command(lambda pager: pager.go_to_match(way))

    def go_to_error(self) -> None:
        """Go to the next line that looks like an error."""
        self.send_command(LogPager.go_to_error)

    def copy(self, everything: bool = False) -> None:
        """Post `Copied` with the current match or visible lines, or as much of the log as fits."""
        self.send_command(
            lambda pager: self.post_message(self.Copied(*pager.copy_text(everything)))
        )

    @on(events.MouseScrollDown)
    def _scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_move(3)

    @on(events.MouseScrollUp)
    def _scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_move(-3)

    @on(events.MouseScrollRight)
    def _scroll_right(self, event: events.MouseScrollRight) -> None:
        event.stop()
        self.action_sideways(1)

    @on(events.MouseScrollLeft)
    def _scroll_left(self, event: events.MouseScrollLeft) -> None:
        event.stop()
        self.action_sideways(-1)

    # -- drawing --

    @on(_Read)
    def _receive_page(self, message: _Read) -> None:
        message.stop()
        if message.commands is self._commands:
            self._empty = not message.page.size
            self._show_page(message.page)

    def _show_page(self, page: LogPage) -> None:
        """Show a page, redrawing only changed rows."""
        self.page = page
        self.before_draw(page)
        self._draw_page()
        self.post_message(self.Changed(page))

    def _draw_page(self) -> None:
        room, look = self.size.width, self.look
        if self._empty:
            self.draw(
                [
                    look.strip(
                        [(look.adapt_text(tr(EMPTY_LIVE if self._live else EMPTY)), "dim")], room
                    )
                ]
            )
            return
        mark = ERROR if look.colour else ERROR_WITHOUT_COLOUR
        rows = [
            row.apply_style(mark) if n in self.page.errors else row
            for n, row in enumerate(self.page.rows)
        ]
        self.draw([_to_supported(row, look.utf8).adjust_cell_length(room) for row in rows])

    def on_resize(self) -> None:
        size = self.size  # the event's size includes the padding
        self._draw_page()
        self.send_command(ResizeCommand(size.width, size.height))

    def on_show(self) -> None:
        self.set_growth_checks(True)

    def on_hide(self) -> None:
        self.set_growth_checks(False)

    def set_growth_checks(self, on: bool) -> None:
        """Check for new output, or stop while another screen covers this one."""
        self._is_visible = on
        self.send_command(LogPager.check_growth)

    def on_unmount(self) -> None:
        self.close_log()

    @work(thread=True, group="log", exit_on_error=False)
    def _run_reader(
        self, source: LogSource, commands: SimpleQueue[PagerCommand | None], width: int, height: int
    ) -> None:
        """Read for these commands in a separate thread."""
        try:
            pager = LogPager(source, width, height, self.look.ellipsis)
            LogReader(
                pager,
                commands,
                self._is_watching,
                lambda page: self.post_message(self._Read(commands, page)),
            ).run()
        # The error of a log that cannot be shown appears in its place; the screen stays open.
        except Exception as error:
            self.post_message(self.Failed(sanitize(str(error))))
        finally:
            source.close()

    def _is_watching(self) -> bool:
        """Return True if new output is to be checked."""
        return self._live and self._is_visible and not self.deck.resting


def _to_supported(row: Strip, utf8: bool) -> Strip:
    """Return the row in characters the terminal supports."""
    if utf8 or row.text.isascii():
        return row
    return Strip(
        [
            Segment("".join(c if c.isascii() else "?" * measure_width(c) for c in text), style)
            for text, style, _ in row
        ]
    )
