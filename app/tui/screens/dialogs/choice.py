"""Choice dialog: a question in a box, answered by a letter or by the marked answer.

The safe answer is marked first. For `CONFIRM_DELAY` seconds after opening only the safe answer is
accepted, so that a key typed ahead cannot confirm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeVar, cast

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Offset
from textual.screen import ModalScreen

from app.core.text.sanitize import measure_width, truncate
from app.translation import tr, tr_noop
from app.tui.actions.question import Answer, Question
from app.tui.error_boundary import SafeScreen
from app.tui.style import Look, Span, measure_spans
from app.tui.widgets.footer import KeyHint
from app.tui.widgets.modal import ACCEPT_HINT, CANCEL_HINT, NARROW_CELLS, DismissOnClickOutside
from app.tui.widgets.strips import StripWidget

BOX = 72
LIST_ANSWER = Answer("l", tr_noop("list all"))
"""Answer of a question that names only some of its items."""
_T = TypeVar("_T")


def find_box_width(width: int, most: int = BOX) -> int:
    """Return the width of a box on a terminal of `width` cells."""
    return width if width < NARROW_CELLS else most


def make_box_lines(question: Question, marked: int, cells: int, look: Look) -> list[list[Span]]:
    """Return the box, `cells` wide, as lines of spans."""
    inner = cells - 2
    top = f"┌─ {question.title} " + "─" * max(0, inner - measure_width(question.title) - 3) + "┐"
    rows = [*question.body, [], *_make_answer_lines(question, marked, inner, look)]
    if look.plain:
        return [[(question.title, "bold")], *(list(row) for row in rows)]
    frame = look.adapt_text("│")
    return [
        [(look.adapt_text(top), "bold")],
        *(_frame_row(row, inner, frame, look) for row in rows),
        [(look.adapt_text("└" + "─" * inner + "┘"), "bold")],
    ]


def find_answer(
    question: Question, marked: int, line: int, x: int, cells: int, look: Look
) -> Answer | None:
    """Return the answer at a cell of the lines of `make_box_lines`, or None."""
    row = line - 2 - len(question.body)
    if question.column:
        return question.answers[row] if 0 <= row < len(question.answers) else None
    spans = [] if row else _make_answer_lines(question, marked, cells - 2, look)[0]
    begin = 0 if look.plain else 2
    for answer, gap, text in zip(question.answers, spans[::2], spans[1::2], strict=False):
        begin, end = begin + measure_spans([gap]), begin + measure_spans([gap, text])
        if begin <= x < end:
            return answer
        begin = end
    return None


def clip_lines(lines: list[_T], height: int, at: int) -> list[_T]:
    """Return as many lines as fit: the first, the last, and those around line `at`."""
    if len(lines) <= height:
        return lines
    room = max(1, height - 2)
    first = max(1, min(at - room // 2, len(lines) - 1 - room))
    return [lines[0], *lines[first : first + room], lines[-1]]


def note_hidden_lines(
    lines: Sequence[list[Span]], seen: Sequence[int], cells: int, look: Look
) -> Sequence[list[Span]]:
    """Note the number of hidden lines in the first and the last line of the box."""
    if len(seen) < 3:
        return lines
    above, below = seen[1] - 1, seen[-1] - seen[-2] - 1
    first = (
        _add_note(lines[0], tr("{above} more above", above=above), cells, look)
        if above
        else lines[0]
    )
    # In a plain look the last line is an answer, so the hidden lines are above it.
    last = (
        _add_note(
            lines[-1],
            tr("{below} more above", below=below)
            if look.plain
            else tr("{below} more below", below=below),
            cells,
            look,
        )
        if below
        else lines[-1]
    )
    return [first, *lines[1:-1], last]


def _add_note(line: Sequence[Span], note: str, cells: int, look: Look) -> list[Span]:
    """Return a line with a note at its right end, over part of the frame."""
    if look.plain:
        return [*line, (f"  ({note})", "dim")]
    text, style = line[0]
    return [(f"{truncate(text, cells - measure_width(note) - 4, '')} {note} {text[-2:]}", style)]


def _frame_row(row: Sequence[Span], inner: int, frame: str, look: Look) -> list[Span]:
    room = inner - 2
    shown: list[Span] = []
    for text, style in row:
        text = look.cut(text, room)
        shown.append((text, style))
        room -= measure_width(text)
    return [(f"{frame} ", ""), *shown, (" " * max(0, room), ""), (f" {frame}", "")]


def _make_answer_lines(question: Question, marked: int, inner: int, look: Look) -> list[list[Span]]:
    spans = [
        _format_answer(answer, n == marked, question.column, look)
        for n, answer in enumerate(question.answers)
    ]
    if question.column:
        return spans
    gap = max(2, (inner - 2 - sum(measure_spans(span) for span in spans)) // (len(spans) + 1))
    line: list[Span] = []
    for span in spans:
        line += [(" " * gap, ""), *span]
    return [line]


def _format_answer(answer: Answer, marked: bool, column: bool, look: Look) -> list[Span]:
    text = f"{answer.key}  {answer.label}"
    if column:
        return [(look.adapt_text("› " if marked else "  ") + text, "cursor" if marked else "")]
    return [
        (look.adapt_text(f"›[ {text} ]") if marked else f"  {text}  ", "bold" if marked else "")
    ]


class Box(StripWidget):
    """Drawn box of a dialog."""

    DEFAULT_CSS = "Box { background: $background; color: $foreground; }"

    def show(self, lines: Sequence[Sequence[Span]], cells: int) -> None:
        self.styles.width, self.styles.height = cells, len(lines)
        self.draw([self.look.strip(spans, cells) for spans in lines])

    def find_cell(self, event: events.Click) -> Offset | None:
        """Return the clicked cell of the box, or None for a click outside."""
        return (
            event.screen_offset - self.region.offset if event.screen_offset in self.region else None
        )


class ChoiceScreen(DismissOnClickOutside, ModalScreen[str | None], SafeScreen[str | None]):
    """Question with answers.

    Dismisses with the key of the answer, or None for the safe one.
    """

    BOX = "#box"
    DEFAULT_CSS = "ChoiceScreen { align: center middle; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "take", "The marked answer", id="dialog.take"),
        Binding("escape,q", "leave", "Leave everything as it was", id="dialog.leave"),
        Binding("right,down,tab", "mark(1)", "Next answer", id="dialog.next"),
        Binding("left,up,shift+tab", "mark(-1)", "Previous answer", id="dialog.previous"),
    ]

    def __init__(self, question: Question) -> None:
        super().__init__()
        if question.names:
            question = question._replace(
                answers=(*question.answers, LIST_ANSWER._replace(label=tr(LIST_ANSWER.label)))
            )
        self.question = question
        self._marked = next(
            n for n, answer in enumerate(question.answers) if answer.key == question.safe
        )
        self._opened_at = float("inf")
        self._visible_lines: Sequence[int] = ()
        """Indices of the box lines that fit on the screen."""

    def compose(self) -> ComposeResult:
        yield Box(id="box")

    def list_box_keys(self) -> Sequence[KeyHint]:
        return (
            ACCEPT_HINT,
            KeyHint(
                "↑ ↓" if self.question.column else "← →",
                "move",
                "down" if self.question.column else "right",
                1,
            ),
            CANCEL_HINT,
        )

    def on_mount(self) -> None:
        self._opened_at = self.deck.ticks()
        self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        box = self.query_one(Box)
        cells = find_box_width(self.app.size.width)
        lines = make_box_lines(self.question, self._marked, cells, box.look)
        at = 2 + len(self.question.body) + (self._marked if self.question.column else 0)
        self._visible_lines = clip_lines(list(range(len(lines))), self.app.size.height, at)
        box.show(
            note_hidden_lines(
                [lines[line] for line in self._visible_lines], self._visible_lines, cells, box.look
            ),
            cells,
        )

    def action_mark(self, by: int) -> None:
        self._marked = (self._marked + by) % len(self.question.answers)
        self._draw()

    def action_take(self) -> None:
        """Choose the marked answer."""
        self._choose(self.question.answers[self._marked].key)

    def _list_items(self) -> None:
        """Show the full list over the question."""
        # rarely used; a top-level import would delay the first rows
        from app.tui.screens.dialogs.item_list import ItemListScreen

        self.app.push_screen(ItemListScreen(self.question.title, self.question.names))

    def action_leave(self) -> None:
        self.dismiss(None)

    def on_key(self, event: events.Key) -> None:
        """Choose the answer whose letter was typed."""
        if event.character in [answer.key for answer in self.question.answers]:
            event.stop()
            self._choose(cast(str, event.character))

    def dismiss_unchanged(self) -> None:
        self.action_leave()

    @on(events.Click)
    def _handle_click(self, event: events.Click) -> None:
        box = self.query_one(Box)
        if (place := box.find_cell(event)) and (answer := self._find_answer(place.y, place.x, box)):
            self._choose(answer.key)

    def _find_answer(self, y: int, x: int, box: Box) -> Answer | None:
        """Return the answer at a cell of the visible lines, or None."""
        line = self._visible_lines[y] if y < len(self._visible_lines) else -1
        return find_answer(self.question, self._marked, line, x, box.size.width, box.look)

    def _choose(self, key: str) -> None:
        if key == self.question.safe:
            self.dismiss(None)
        elif key == LIST_ANSWER.key and self.question.names:
            self._list_items()
        elif self.deck.ticks() - self._opened_at >= self.question.confirm_delay:
            self.dismiss(key)
