"""Usage screen: hours and waits of the tasks of a period, by queue, group, user, … or tag."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from app.translation import tr
from app.tui.pages.usage import KINDS, SPANS, TAG, build_usage, make_filter
from app.tui.screens.base_page import PageScreen
from app.tui.screens.dialogs.text_prompt import TextPromptScreen
from app.tui.widgets.document import DocumentView
from app.tui.widgets.footer import KeyHint

if TYPE_CHECKING:
    from app.client import Client

REFRESH_SECONDS = 30.0
"""Seconds between two readings while the board changes: a million runs take some seconds."""


class UsageScreen(PageScreen):
    """Table of `taskdeck usage`, read in the background."""

    PLACE = "U"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "group", "By queue, template, user, group, name", id="usage.group"),
        Binding("t", "tag", "By a tag", id="usage.tag"),
        Binding("o", "span", "Last day, week, month, quarter, year", id="usage.span"),
        Binding("R", "read_again", "Read again", id="usage.reread"),
        Binding("q,escape", "leave", "Back", id="page.back"),
    ]
    DEFAULT_CSS = "UsageScreen { DocumentView { height: 1fr; } }"

    def __init__(self, client_factory: Callable[[], Client]) -> None:
        super().__init__(client_factory)
        self._by, self._span = KINDS[0], SPANS[2]
        self._found: Mapping[str, Any] | None = None
        self._asked: tuple[str, str] | None = None
        """Group and period of the reading in progress, or of the last one."""

    def compose_body(self) -> Iterable[Widget]:
        yield DocumentView(id="usage")

    def on_mount(self) -> None:
        self._draw()
        self.query_one(DocumentView).focus()

    def make_heading(self) -> str:
        fresh = f"  {self.freshness}" if self.freshness else ""
        return self.look.adapt_text(f"{self.opened_from} › {tr('Usage')}{fresh}")

    @property
    def breadcrumb(self) -> str:
        return tr("Usage")

    def list_hints(self) -> list[KeyHint]:
        tasks = (
            [KeyHint("↵", "its tasks", "enter", 1)] if self.query_one(DocumentView).cursor else []
        )
        return [
            *tasks,
            KeyHint("f", "by what", "f", 2),
            KeyHint("t", "by tag", "t", 4),
            KeyHint("o", "since when", "o", 3),
        ]

    @property
    def reread_interval(self) -> float:
        return REFRESH_SECONDS

    def reread(self) -> None:
        if self._reading_since is None:
            self._asked = self._by, self._span
            args = {"by": self._by, "since": self._span}
            self.read(lambda client: client.call("usage", args), self._show)

    def _show(self, found: Mapping[str, Any]) -> None:
        if self._asked == (self._by, self._span):
            self._found = found

    def _finish_read(
        self, then: Callable[[Any], None], found: Any, error: Exception | None
    ) -> None:
        super()._finish_read(then, found, error)
        if self._asked != (self._by, self._span):
            self.reread()
        self._draw()

    def refresh_freshness(self) -> None:
        self.refresh_chrome()

    def refresh_chrome(self) -> None:
        super().refresh_chrome()
        self._draw()

    def _draw(self) -> None:
        for view in self.query(DocumentView):
            view.show(
                build_usage(
                    self._found, self._by, self._span, self.now, self.app.size.width, self.look
                )
            )

    def _choose(self, by: str, span: str) -> None:
        """Read another group or period; the old figures go at once."""
        if (by, span) != (self._by, self._span):
            self._by, self._span, self._found = by, span, None
            self.refresh_chrome()
            self.reread()

    def action_group(self) -> None:
        at = KINDS.index(self._by) + 1 if self._by in KINDS else 0
        self._choose(KINDS[at % len(KINDS)], self._span)

    def action_span(self) -> None:
        self._choose(self._by, SPANS[(SPANS.index(self._span) + 1) % len(SPANS)])

    def action_tag(self) -> None:
        self.app.push_screen(
            TextPromptScreen(
                tr("By a tag"), tr("Its key, such as exp."), self._by.partition(TAG)[2]
            ),
            lambda key: self._choose(f"{TAG}{key}", self._span) if key else None,
        )

    def action_read_again(self) -> None:
        self._found = None
        self.refresh_chrome()
        self.reread()

    @on(DocumentView.Opened)
    def _open_tasks(self, event: DocumentView.Opened) -> None:
        """List the tasks of a group."""
        rows = self._found["rows"] if self._found else ()
        at = int(event.target.partition(":")[2]) - 1
        words = make_filter(self._by, rows[at]["name"]) if at < len(rows) else None
        if words is None:
            self.show_message(
                tr("No filter selects tasks without a {by}.", by=self._by), stays=False
            )
        else:
            self.deck.open_tasks(words, returns=True)
