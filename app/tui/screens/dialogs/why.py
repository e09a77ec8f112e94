"""The popover that says why a task waits, runs, or ended so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from app.core.board import EndedLine
from app.tui.data.task_snapshot import Known, gather
from app.tui.pages import task, why
from app.tui.pages.task_facts import Facts, expected, headline, title
from app.tui.screens.base_page import Line
from app.tui.screens.base_polling import Reading
from app.tui.screens.base_task import row_of
from app.tui.widgets.document import Doc, Row, Section, wrap
from app.tui.widgets.footer import Hint, KeyLine
from app.tui.widgets.modal import LeftBeside
from db.states import ACTIVE, WAITING

if TYPE_CHECKING:
    from app.client import Client

HINTS = (Hint("↵", "opens the task", "enter", 0), Hint("esc", "closes", "escape", 0))
WIDEST, FRAME = 90, 4
TOLD = 3
"""Cures that the popover tells; they are done on the screen of the task."""


class WhyScreen(LeftBeside, Reading, ModalScreen[Any]):
    """Why, in a box over the deck: `enter` opens the task, `esc` closes. Dismisses with what to open, or None."""

    BOX = "#box"
    CSS_PATH = "../../styles/why.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,escape,w", "dismiss(None)", "Close", id="why.close", show=False),
        Binding("enter", "open", "Open the task", id="why.open", show=False, priority=True),
    ]

    def __init__(self, client_factory: Callable[[], Client], ident: str) -> None:
        super().__init__(client_factory)
        self._ident = ident
        self._known: Known | None = None
        self._asked: float | None = None

    def box_keys(self) -> Sequence[Hint]:
        return HINTS

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Line(id="head")
            yield Doc(id="why")
            yield KeyLine("foot")

    def on_mount(self) -> None:
        self.set_class(self.look.ascii, "-ascii")
        self.query_one(Doc).focus()
        self.query_one(KeyLine).show(HINTS)

    def reread(self) -> None:
        self.read(lambda client: gather(client, self._ident), self._take)

    def _take(self, known: Known) -> None:
        self._known, self._asked = known, self.now
        row = row_of(known.task, self.board)
        if isinstance(row, EndedLine):
            cast(Any, self.app).saw(row)
        self.draw()

    def on_resize(self) -> None:
        self.draw()

    def refused(self, text: str) -> None:
        """It could not be asked: say that in the box."""
        self._say(text, "warn")

    def freshened(self) -> None:
        """The box is not left empty for long."""
        if self._known is None and self.freshness:
            self._say(self.freshness, "dim")

    def _say(self, text: str, style: str) -> None:
        self.query_one(Doc).show([Section("", (Row(((self.look.theirs(text), style),)),))])

    def draw(self) -> None:
        """Draw what is known."""
        if (known := self._known) is None:
            return
        room = min(WIDEST, self.app.size.width) - 2
        facts = Facts(known.about, self.look, self.now, room, self.board, known.tail, self._asked)
        self.query_one("#head", Line).show([(f" {title(facts)} ", "bold")])
        self.query_one(Doc).styles.max_height = max(3, self.app.size.height * 9 // 10 - FRAME)
        sections = [replace(section, rows=tuple(Row(row.spans) for row in section.rows)) for section in answer(facts)]
        self.query_one(Doc).show(sections)

    def action_open(self) -> None:
        """Close, and have the task opened."""
        self.dismiss(self._ident)


def answer(facts: Facts) -> Iterable[Section]:
    """The sections of the popover."""
    state, words = headline(facts)
    lines = wrap(words[0].strip(), facts.room - 4)
    yield Section("", (Row(((state[0].strip(), state[1]),)), *(Row(((line, ""),)) for line in lines)))
    if facts.status in WAITING:
        yield why.waiting(facts)
        yield from why.cures(facts, TOLD)
        if not expected(facts):
            yield Section("", (Row((("When it starts cannot be known.", "dim"),)),))
    elif facts.status in ACTIVE:
        yield Section("", (Row((("It does not wait: it runs.", ""),)),))
        yield task.now(facts)
    else:
        yield task.ended(facts)
