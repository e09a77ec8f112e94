"""Form widgets: labelled fields and text inputs.

Letters never act as keys in a form; arrows and enter do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.geometry import Region
from textual.message import Message
from textual.screen import ModalScreen
from textual.widget import Widget

from app.core.text.sanitize import measure_width, pad, sanitize_paste
from app.tui.deck_app import DeckNode
from app.tui.error_boundary import SafeScreen
from app.tui.key_queue import KeyInput, QueuedInput
from app.tui.style import Look, Span, measure_spans
from app.tui.terminal.text_input import DrawnInput
from app.tui.widgets.document import DocRow, DocumentView, Section, wrap_text
from app.tui.widgets.modal import DismissOnClickOutside
from app.tui.widgets.paste import SingleLineInput, join_lines
from app.tui.widgets.strips import FocusLines, StripWidget

LABEL_CELLS = 11
WORD_TIMEOUT = 1.0
"""Seconds within which letters form one word when typing selects an option."""
EARLY_INPUT = 5.0
"""Seconds for which a typed word is kept while the options are loading."""
Options = Sequence[tuple[str, str]]
"""Values with their sanitized labels."""


class WrappedText(StripWidget):
    """Sanitized text on one line or wrapped to `most` lines."""

    def __init__(
        self,
        text: str = "",
        style: str = "",
        *,
        most: int = 1,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: Sequence[Span] = [(text, style)]
        self._most = most

    def fit(self) -> None:
        self._redraw()

    def show(self, *texts: Span) -> None:
        """Show texts, each on a new line."""
        self._lines = texts
        self._redraw()

    def _redraw(self) -> None:
        room, most = self.size.width, max(1, min(self._most, self.size.height))
        lines = [
            (line, style)
            for text, style in self._lines
            for line in wrap_text(self.look.adapt_text(text), max(1, room))
        ]
        shown = lines[:most]
        if len(lines) > most:
            text, style = shown[-1]
            shown[-1] = (self.look.cut(f"{text} {lines[most][0]}{' ' * room}", room), style)
        self.draw([self.look.strip([line], room) for line in shown])


class TitleRule(StripWidget):
    """A title rule as wide as the widget."""

    def __init__(self, title: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.title = title
        """Sanitized text."""

    def fit(self) -> None:
        room = self.size.width
        self.draw([self.look.strip([(self.look.draw_rule(room, [(2, self.title)]), "dim")], room)])


class FieldHint:
    """The hint behind a field."""

    def __init__(self, text: str, changed: Callable[[], None]) -> None:
        self.span: Span = (text, "dim")
        self._changed = changed

    def show(self, span: Span) -> None:
        """Show sanitized text."""
        if span != self.span:
            self.span = span
            self._changed()


class Field(StripWidget):
    """A label, a bracketed input and a hint, drawn by one widget because forms have many fields."""

    DEFAULT_CSS = "Field { height: 1; width: 1fr; }"

    def __init__(
        self,
        label: str,
        inner: Widget,
        hint: str = "",
        *,
        size: int = 0,
        column: int = LABEL_CELLS,
        fixed: bool = False,
    ) -> None:
        """Create a field.

        `size` is the input's width in cells (0: all available), `column` the label's. A `fixed`
        field is no wider than its contents.
        """
        super().__init__()
        self._label, self._inner, self._cells = label, inner, size
        self._column = max(column, measure_width(label) + 1)
        self.hint = FieldHint(hint, self._redraw)
        inner.styles.width = size or "1fr"
        inner.styles.margin = (0, 1, 0, self._column + 1)
        if fixed:
            self.styles.width = self._column + size + (measure_width(hint) + 3 if hint else 0) + 4

    def compose(self) -> ComposeResult:
        yield self._inner

    def fit(self) -> None:
        self._redraw()

    def _redraw(self) -> None:
        room = self.size.width
        cells = self._cells or max(0, room - self._column - 2)
        spans = [
            (pad(self.look.adapt_text(self._label), self._column), ""),
            (f"[{' ' * cells}]", "dim"),
        ]
        text, style = self.hint.span
        hint = (
            [
                (" ", ""),
                (self.look.cut(self.look.adapt_text(text), room - measure_spans(spans) - 1), style),
            ]
            if self._cells
            else []
        )
        self.draw([self.look.strip([*spans, *hint], room)])


class Entry(SingleLineInput, DrawnInput, DeckNode):
    """A one-line input that shows no control characters.

    The rule `border: none` avoids Textual's `compact`, which restyles each input again before it is
    mounted.
    """

    DEFAULT_CSS = "Entry { border: none !important; height: 1; padding: 0; }"

    def draw_value(self) -> Text:
        """Return the text to draw, with one character for each character of the value.

        Unsafe characters and secrets are replaced.
        """
        look = self.look
        shown = (
            ("*" if look.ascii else "•") * len(self.value)
            if self.password
            else sanitize_in_place(self.value, look)
        )
        return Text(shown, no_wrap=True, overflow="ignore", end="")


class FormEntry(QueuedInput, Entry):
    """An input of a form with `action_step`: enter moves to the next field."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "screen.step(1)", "Next field", id="slot.next", show=False)
    ]
    line_separator = " "
    """Separator between the lines of pasted text."""
    on_multiline_paste: Callable[[str], None] | None = None
    """Callback for pasted text with several lines, which this input cannot hold."""

    async def handle_input(self, event: KeyInput) -> None:
        if isinstance(event, events.Paste):
            self._insert_paste(event.text)
        elif event.is_printable:
            self.replace_selection(event.character or "")
        else:
            await super().handle_input(event)

    def _insert_paste(self, text: str) -> None:
        if self.on_multiline_paste and len(text.strip().splitlines()) > 1:
            self.on_multiline_paste(text)
        else:
            lines = sanitize_paste(join_lines(text, self.line_separator)).splitlines()
            if lines:
                self.replace_selection(lines[0])

    def replace_selection(self, text: str) -> None:
        """Insert text at the cursor in place of the selection."""
        if self.selection.is_empty:
            self.insert_text_at_cursor(text)
        else:
            self.replace(text, *self.selection)


def make_entry(id: str, value: str = "") -> Entry:
    """Make a one-line input that does not select its text on focus.

    The cursor does not blink, so an idle form does not redraw.
    """
    line = Entry(value, id=id, select_on_focus=False)
    line.cursor_blink = False
    return line


def make_form_entry(id: str, value: str = "") -> FormEntry:
    """Make a one-line input for a form that has `action_step`."""
    line = FormEntry(value, id=id, select_on_focus=False)
    line.cursor_blink = False
    return line


class CheckBox(QueuedInput, FocusLines, can_focus=True):
    """A check box: `[x] hold`, or only the `x` inside a field."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "turn", "On, off", id="tick.turn", show=False),
        Binding("enter", "app.focus_next", "Next field", id="tick.next", show=False),
    ]

    @dataclass
    class Changed(Message):
        """The check box changed."""

        tick: CheckBox

    def __init__(self, label: str = "", value: bool = False, *, id: str) -> None:
        super().__init__(id=id)
        self._label = label
        self.value = value

    def set_value(self, value: bool) -> None:
        """Set the check box."""
        if value != self.value:
            self.value = value
            self._redraw()
            self.post_message(self.Changed(self))

    def action_turn(self) -> None:
        """Toggle the check box."""
        self.set_value(not self.value)

    def on_click(self) -> None:
        self.action_turn()

    def _redraw(self) -> None:
        mark = ("x" if self.value else " ", "cursor" if self.has_focus else "")
        spans = [("[", "dim"), mark, ("] ", "dim"), (self._label, "")] if self._label else [mark]
        self.draw([self.look.strip(spans, self.size.width)])


class Choice(QueuedInput, FocusLines, can_focus=True):
    """Radio buttons: `(•) a command   ( ) shell text`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,space", "step(1)", "Next", id="choice.next", show=False),
        Binding("left", "step(-1)", "Previous", id="choice.previous", show=False),
    ]

    @dataclass
    class Changed(Message):
        """The choice changed."""

        choice: Choice

    def __init__(self, options: Options, value: str, *, id: str) -> None:
        super().__init__(id=id)
        self._options = options
        self.value = value

    def action_step(self, by: int) -> None:
        """Select the next or the previous option."""
        values = [value for value, _ in self._options]
        self.choose(values[(values.index(self.value) + by) % len(values)])

    def choose(self, value: str) -> None:
        """Select an option by value."""
        if value != self.value:
            self.value = value
            self._redraw()
            self.post_message(self.Changed(self))

    def on_click(self, event: events.Click) -> None:
        end = 0
        for value, text in self._list_texts():
            end += measure_width(text)
            if event.x < end:
                self.choose(value)
                return

    def _list_texts(self) -> list[tuple[str, str]]:
        dot = "*" if self.look.ascii else "•"
        return [
            (value, f"({dot if value == self.value else ' '}) {label}   ")
            for value, label in self._options
        ]

    def _redraw(self) -> None:
        spans = [(text, self._style(value)) for value, text in self._list_texts()]
        self.draw([self.look.strip(spans, self.size.width)])

    def _style(self, value: str) -> str:
        if value != self.value:
            return ""
        return "cursor" if self.has_focus else "bold"


class TypeToSelect:
    """Mixin that selects an option by typing the beginning of its label."""

    _prefix, _prefix_at = "", 0.0
    """Typed prefix and the time of its last letter in seconds."""
    _value_before = ""
    """Value before the first letter of the prefix."""

    def list_options(self) -> Options:
        """Return the options."""
        raise NotImplementedError

    def get_value(self) -> str:
        """Return the selected value."""
        raise NotImplementedError

    def choose(self, value: str) -> None:
        """Select an option by value."""
        raise NotImplementedError

    @property
    def has_options(self) -> bool:
        """True if there is an option besides the empty one."""
        return any(value for value, _ in self.list_options())

    def handle_letter(self, event: events.Key) -> bool:
        """Handle a typed letter; return False for any other key.

        The letter extends the prefix, or starts a new one.
        """
        letter = event.character or ""
        if not event.is_printable or letter.isspace():
            return False
        word = self._prefix + letter if event.time - self._prefix_at < WORD_TIMEOUT else letter
        self._prefix_at, before = event.time, self.get_value()
        self._prefix = (
            word
            if not self.has_options
            or self.select_by_prefix(word)
            or not self.select_by_prefix(letter)
            else letter
        )
        if self._prefix == letter:
            self._value_before = before
        return True

    def select_by_prefix(self, word: str) -> bool:
        """Select an option whose label, else value, begins with `word`; return False if none does.

        A single letter selects the next match. A longer word selects the exact match, else the
        value selected before the first letter, if that value matches.
        """
        options = [(value, label.casefold()) for value, label in self.list_options()]
        begin = word.casefold()
        matches = [(value, label) for value, label in options if label.startswith(begin)] or [
            (value, value.casefold()) for value, _ in options if value.casefold().startswith(begin)
        ]
        values = [value for value, _ in matches]
        if values:
            present = self.get_value() if len(word) == 1 else self._value_before
            at = values.index(present) if present in values else -1
            called = [value for value, label in matches if label == word.casefold()] or values[
                max(0, at) :
            ]
            self.choose(values[(at + 1) % len(values)] if len(word) == 1 else called[0])
        return bool(values)


class DropDown(TypeToSelect, QueuedInput, FocusLines, can_focus=True):
    """A drop-down: left and right step, enter opens the list, typing selects by prefix."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right", "step(1)", "Next", id="pick.next", show=False),
        Binding("left", "step(-1)", "Previous", id="pick.previous", show=False),
        Binding("enter,space,down", "open", "Show all", id="pick.open", show=False),
    ]

    @dataclass
    class Changed(Message):
        """The selection changed."""

        pick: DropDown

    def __init__(self, options: Options, value: str = "", *, id: str) -> None:
        super().__init__(id=id)
        self._options = options
        self.value = value

    def list_options(self) -> Options:
        return self._options

    def get_value(self) -> str:
        return self.value

    def set_options(self, options: Options) -> None:
        """Set the options and keep the value.

        A prefix typed just before the options arrived is applied now.
        """
        is_early_input = not self.has_options and monotonic() - self._prefix_at < EARLY_INPUT
        self._options = options
        if is_early_input and self._prefix and self.has_options:
            self.select_by_prefix(self._prefix)
        self._redraw()

    async def handle_input(self, event: KeyInput) -> None:
        """Handle a letter as typing to select; pass on other keys."""
        if not (isinstance(event, events.Key) and self.handle_letter(event)):
            await super().handle_input(event)

    def on_key(self, event: events.Key) -> None:
        """Handle letters on screens without a key queue."""
        if self.handle_letter(event):
            event.stop()

    def choose(self, value: str) -> None:
        if value != self.value:
            self.value = value
            self._redraw()
            self.post_message(self.Changed(self))

    def action_step(self, by: int) -> None:
        """Select the next or the previous option."""
        values = [value for value, _ in self._options]
        if values:
            at = values.index(self.value) if self.value in values else -1
            self.choose(values[(at + by) % len(values)])

    async def action_open(self) -> None:
        """Open the list of options."""
        if self._options:
            pick = PickScreen(self._options, self.value, lambda: self.region)

            def apply(value: str | None) -> None:
                if value is not None:
                    self.choose(value)
                if pick.goes_on:
                    self.screen.focus_next()

            await self.app.push_screen(pick, apply)

    async def on_click(self) -> None:
        await self.action_open()

    def _redraw(self) -> None:
        room = self.size.width
        label = next(
            (label for value, label in self._options if value == self.value),
            self.look.sanitize(self.value),
        )
        text = pad(self.look.cut(label, max(0, room - 2)), room - 2)
        mark = " v" if self.look.ascii else " ▾"
        self.draw(
            [self.look.strip([(text, "cursor" if self.has_focus else ""), (mark, "dim")], room)]
        )


class PickList(TypeToSelect, QueuedInput, DocumentView):
    """The options of a drop-down. A choice takes effect before later keys are handled.

    A letter that begins an option goes there, all others have their usual meaning.
    """

    ONE_CLICK = True

    def __init__(self, options: Options) -> None:
        super().__init__(id="pick-list")
        self._options = options

    def list_options(self) -> Options:
        return self._options

    def get_value(self) -> str:
        return self.cursor[1:]

    def choose(self, value: str) -> None:
        self._move_to(f"={value}")
        self.action_go(0)

    async def handle_input(self, event: KeyInput) -> None:
        """Handle a letter as typing to select; pass on other keys."""
        if not (isinstance(event, events.Key) and self._goes_to_option(event)):
            await super().handle_input(event)

    def on_key(self, event: events.Key) -> None:
        """Handle letters on screens without a key queue."""
        if self._goes_to_option(event):
            event.stop()
            event.prevent_default()

    def _goes_to_option(self, event: events.Key) -> bool:
        letter = event.character or ""
        is_word = event.time - self._prefix_at < WORD_TIMEOUT
        begins = [letter, *([f"{self._prefix}{letter}"] if is_word else [])]
        labels = [text for _, label in self._options for text in (label, label.casefold())]
        is_known = any(label.startswith(word) for label in labels for word in begins)
        return bool(letter.strip()) and is_known and self.handle_letter(event)

    def action_open(self) -> None:
        """Select the option under the cursor."""
        if self.cursor:
            self.screen.dismiss(self.cursor[1:])


class PickScreen(DismissOnClickOutside, ModalScreen[str | None], SafeScreen[str | None]):
    """The list of options at its field. Dismisses with the value, or None if unchanged."""

    BOX = "#pick-box"
    CSS_PATH = "../styles/form.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "Close", id="pick.leave", show=False),
        Binding("tab", "take", "Select, and go to the next field", id="pick.take", show=False),
    ]

    def __init__(self, options: Options, value: str, field: Callable[[], Region]) -> None:
        """Create the list. `field` returns the current region of the field."""
        super().__init__()
        self._options = options
        self._value = value
        self._field = field
        self.goes_on = False
        """True if the next field gets the focus."""

    def compose(self) -> ComposeResult:
        with Vertical(id="pick-box"):
            yield PickList(self._options)

    def action_take(self) -> None:
        """Select the option under the cursor, and let the field pass on the focus."""
        self.goes_on = True
        self.query_one(PickList).action_open()

    def on_mount(self) -> None:
        doc = self.query_one(PickList)
        self.set_class(doc.look.ascii, "-ascii")
        doc.cursor = f"={self._value}"
        # A target is never empty, so the empty value can be selected too.
        doc.show(
            [
                Section(
                    "", tuple(DocRow(((label, ""),), f"={value}") for value, label in self._options)
                )
            ]
        )
        self.set_focus(doc)
        self._place_box()
        # After a resize, Textual lays out the form below asynchronously.
        self.app.screen_stack[-2].screen_layout_refresh_signal.subscribe(
            self, lambda _: self._place_box()
        )

    def _place_box(self) -> None:
        """Place the list below or above the field, where there is more space."""
        room, field = self.app.size, self._field()
        widest = max((measure_width(label) for _, label in self._options), default=0)
        cells = min(room.width, max(field.width, widest + 5))
        under, lines = room.height - field.bottom, len(self._options) + 2
        height = min(lines, max(under, field.y))
        box = self.query_one("#pick-box").styles
        box.width, box.height = cells, height
        box.offset = (
            max(0, min(field.x, room.width - cells)),
            field.bottom if height <= under else field.y - height,
        )


def sanitize_in_place(text: str, look: Look) -> str:
    """Return sanitized text of the same length, so that the cursor position is right."""
    shown = look.sanitize(text)
    return (
        shown if len(shown) == len(text) else "".join([look.sanitize(c)[:1] or "?" for c in text])
    )
