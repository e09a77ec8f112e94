"""Popover of the key `w`: the reasons why a task waits, its run, or its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from app.core.board import EndedEntry
from app.translation import tr
from app.tui.logviewer.task_snapshot import TaskSnapshot, fetch_snapshot
from app.tui.pages import task, why
from app.tui.pages.task_facts import (
    TaskContext,
    build_headline,
    format_expected_start,
    format_title,
)
from app.tui.screens.base_polling import PollingScreen
from app.tui.screens.base_task import make_task_row
from app.tui.widgets.document import DocRow, DocumentView, Section, wrap_text
from app.tui.widgets.footer import KeyHint
from app.tui.widgets.modal import DismissOnClickOutside
from db.states import ACTIVE, WAITING

if TYPE_CHECKING:
    from app.client import Client

HINTS = (KeyHint("↵", "open the task", "enter", 0), KeyHint("esc", "close", "escape", 0))
MAX_WIDTH, FRAME_LINES = 90, 2
MAX_SUGGESTIONS = 3
"""Maximum number of suggestions shown; the task screen applies them."""


class WhyScreen(DismissOnClickOutside, PollingScreen, ModalScreen[Any]):
    """Popover over the deck; `enter` opens the task, `esc` closes the box.

    Dismisses with the task to open, or None.
    """

    BOX = "#box"
    CSS_PATH = "../../styles/why.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,escape,w", "dismiss(None)", "Close", id="why.close", show=False),
        Binding("enter", "open", "Open the task", id="why.open", show=False, priority=True),
    ]

    def __init__(self, client_factory: Callable[[], Client], ident: str) -> None:
        super().__init__(client_factory)
        self._ident = ident
        self._snapshot: TaskSnapshot | None = None
        self._snapshot_at: float | None = None

    def list_box_keys(self) -> Sequence[KeyHint]:
        return HINTS

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield DocumentView(id="why")

    def on_mount(self) -> None:
        self.frame_box("")
        self.query_one(DocumentView).focus()

    def reread(self) -> None:
        self.read(lambda client: fetch_snapshot(client, self._ident), self._apply_snapshot)

    def _apply_snapshot(self, known: TaskSnapshot) -> None:
        self._snapshot, self._snapshot_at = known, self.now
        row = make_task_row(known.task, self.board)
        if isinstance(row, EndedEntry):
            self.deck.mark_viewed(row)
        self.draw()

    def on_resize(self) -> None:
        self.draw()

    def show_refusal(self, text: str) -> None:
        """Show the error in the box."""
        self._show_text(text, "warn")

    def refresh_freshness(self) -> None:
        """Show `loading` in a box that is still empty."""
        if self._snapshot is None and self.freshness:
            self._show_text(self.freshness, "dim")

    def _show_text(self, text: str, style: str) -> None:
        self.query_one(DocumentView).show(
            [Section("", (DocRow(((self.look.sanitize(text), style),)),))]
        )

    def draw(self) -> None:
        if (known := self._snapshot) is None:
            return
        room = min(MAX_WIDTH, self.app.size.width) - 2
        facts = TaskContext(
            known.about, self.look, self.now, room, self.board, known.tail, self._snapshot_at
        )
        self.frame_box(format_title(facts))
        self.query_one(DocumentView).styles.max_height = max(
            3, self.app.size.height * 9 // 10 - FRAME_LINES
        )
        sections = [
            replace(section, rows=tuple(DocRow(row.spans) for row in section.rows))
            for section in make_sections(facts)
        ]
        self.query_one(DocumentView).show(sections)

    def action_open(self) -> None:
        self.dismiss(self._ident)


def make_sections(facts: TaskContext) -> Iterable[Section]:
    """Return the sections of the popover."""
    state, words = build_headline(facts)
    lines = wrap_text(words[0].strip(), facts.room - 4)
    yield Section(
        "", (DocRow(((state[0].strip(), state[1]),)), *(DocRow(((line, ""),)) for line in lines))
    )
    if facts.status in WAITING:
        yield why.build_reasons(facts)
        yield from why.build_suggestions(facts, MAX_SUGGESTIONS)
        if not format_expected_start(facts):
            yield Section("", (DocRow(((tr("The start time cannot be predicted."), "dim"),)),))
    elif facts.status in ACTIVE:
        yield task.build_use_section(facts)
    else:
        yield task.build_end_section(facts)
