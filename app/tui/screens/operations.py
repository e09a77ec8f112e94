"""Operations screen (key `O`): who did what, newest first, with undo.

The runtime filters the log. The next page is read as the cursor nears the end of the rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from app.core.text import diff, units
from app.translation import tr, tr_n, tr_noop
from app.tui.actions.confirmations import limit_lines, list_hidden_lines
from app.tui.actions.question import Answer, Question
from app.tui.actions.tasks import Request
from app.tui.rows.operations import (
    OPERATIONS,
    OperationEntry,
    format_source,
    make_details,
    make_operation,
)
from app.tui.screens.base_list import BACK_HINT, ListScreen
from app.tui.screens.base_page import PageScreen
from app.tui.screens.dialogs.choice import ChoiceScreen
from app.tui.style import Look
from app.tui.widgets.detail import DetailBox, DetailContent
from app.tui.widgets.document import DocRow, DocumentView, Section, wrap_text
from app.tui.widgets.filter_input import FILTER_HINTS, FilterInput
from app.tui.widgets.footer import HELP_HINT, KeyHint
from app.tui.widgets.mark_hints import MARK_HINT, UNMARK_HINT
from app.tui.widgets.table import Table
from app.tui.widgets.table_parts import TableSection

if TYPE_CHECKING:
    from app.client import Client

PAGE_SIZE = 200
"""Operations read at a time."""
REREAD_LIMIT = 1000
"""Maximum number of operations reread after a change."""
READ_AHEAD = 20
"""Rows before the end at which the next page is read."""

_WORDS = re.compile(r'(?:[^\s"]|"[^"]*"?)+')


def parse_filter(text: str) -> tuple[dict[str, Any], str]:
    """Return the arguments of the verb `operations` for a filter line, and its fault or ""."""
    args: dict[str, Any] = {"words": []}
    fault = ""
    for word in (word.replace('"', "") for word in _WORDS.findall(text)):
        name, colon, value = word.partition(":")
        if colon and value and name in ("by", "verb"):
            args[name] = value
        elif colon and value and name == "on":
            args |= _parse_object(value)
        elif name == "batch" and value.isascii() and value.isdigit():
            args["batch"] = int(value)
        elif colon and name == "since":
            fault = _parse_since(value, args)
        elif word not in ("!", "by:", "verb:", "on:"):
            args["words"].append(word)
    return args, fault


def _parse_object(value: str) -> dict[str, Any]:
    digits = value.removeprefix("#")
    return {
        "object": tr("task #{digits}", digits=digits)
        if digits.isascii() and digits.isdigit()
        else value
    }


def _parse_since(value: str, args: dict[str, Any]) -> str:
    if not value:
        return ""
    try:
        args["since"] = units.parse_duration(value)
    except ValueError as error:
        return tr("since {error}", error=error)
    return ""


class OperationsScreen(ListScreen):
    """Operation log."""

    PLACE = "O"
    TITLE_TEXT = tr_noop("O Operations")
    QUALIFIERS = ("by:", "verb:", "on:", "since:")
    DEFAULT_CSS = """
    OperationsScreen {
        #detail { height: 9; width: 1fr; }
        &.-low #detail { height: 5; }
        &.-flat #detail { display: none; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "submits", "Submissions too, or not", id="operation.submits"),
        Binding("u", "undo", "Undo the operation", id="operation.undo"),
        Binding("y", "copy", "Copy the row as a line", id="operation.copy"),
    ]

    def __init__(self, client_factory: Callable[[], Client], words: str = "") -> None:
        super().__init__(client_factory)
        self.words = self._closing_words = words
        self.rows: tuple[OperationEntry, ...] = ()
        self.more = False
        """True if there are older operations."""
        self.shows_submits = False
        """True if submissions are listed although the filter does not ask for them."""
        self._loaded = False

    # Widgets

    def list_sections(self) -> Sequence[TableSection]:
        return (OPERATIONS,)

    def compose_below(self) -> Iterable[Widget]:
        yield DetailBox("↵")

    def on_resize(self) -> None:
        height = self.app.size.height
        self.set_class(16 < height < 30, "-low")
        self.set_class(height <= 16, "-flat")

    def list_values(self) -> Mapping[str, Sequence[str]]:
        found = {"by": [row.by for row in self.rows], "verb": [row.verb for row in self.rows]}
        return {name: list(dict.fromkeys(values)) for name, values in found.items()} | {
            "since": ["1h", "1d", "7d"]
        }

    def list_hints(self) -> list[KeyHint]:
        label = tr("without submits") if self.shows_submits else tr("submits too")
        submits = [] if self._asks_for_submits else [KeyHint("f", label, "f", 3)]
        return [*super().list_hints(), *submits]

    def list_row_hints(self) -> list[KeyHint]:
        row = self.table.item
        if not isinstance(row, OperationEntry):
            return []
        if marked := self.table.list_marked():
            able = sum(isinstance(row, OperationEntry) and row.undoable for row in marked)
            return [
                *([KeyHint("u", tr("undo {count:,} marked", count=able), "u", 1)] if able else []),
                UNMARK_HINT,
                MARK_HINT,
            ]
        undo = [KeyHint("u", "undo", "u", 1)] if row.undoable else []
        return [
            KeyHint("↵", "each task" if row.count > 1 else "details", "enter", 2),
            *undo,
            KeyHint("space", "mark", "space", 8),
            KeyHint("y", "copy", "y", 9),
        ]

    def list_keys(self) -> list[KeyHint]:
        return (
            FILTER_HINTS
            if self.query_one(FilterInput).is_open
            else [*self.list_hints(), HELP_HINT, BACK_HINT]
        )

    # Reading

    @property
    def _asks_for_submits(self) -> bool:
        """True if the filter names a verb, object or act, so that nothing is left out."""
        return not {"verb", "object", "batch"}.isdisjoint(parse_filter(self.words)[0])

    def _make_args(self) -> dict[str, Any]:
        """Return the arguments of the verb `operations`."""
        args, _ = parse_filter(self.words)
        hides = not self.shows_submits and not self._asks_for_submits
        return args | ({"without": "submit"} if hides else {})

    def action_submits(self) -> None:
        """List submissions too, or leave them out."""
        self.shows_submits = not self.shows_submits
        self.apply_filter()

    def reread(self) -> None:
        args = self._make_args()
        limit = max(PAGE_SIZE, min(len(self.rows), REREAD_LIMIT))
        self.read(
            lambda client: (args, client.call("operations", {**args, "limit": limit})),
            partial(self._apply_answer, limit),
        )

    def _apply_answer(
        self, limit: int, found: tuple[dict[str, Any], Sequence[Mapping[str, Any]]]
    ) -> None:
        args, answer = found
        if args != self._make_args():
            self.reread()
            return
        newest = tuple(map(make_operation, answer))
        older = (
            tuple(row for row in self.rows if row.id < newest[-1].id)
            if len(newest) == limit
            else ()
        )
        self.more = self.more if older else len(newest) == limit
        self._show_rows((*newest, *older))

    def _show_rows(self, rows: tuple[OperationEntry, ...]) -> None:
        self.rows, self._loaded = rows, True
        view = self.table.find_view("operations")
        hides = "without" in self._make_args()
        view.title = tr("Operations {count:,}", count=len(rows)) + ("+" if self.more else "")
        view.tail = tr("without submits") if hides else ""
        nothing = tr("No operation matches the filter.") if self.words else tr("No operations yet.")
        view.empty = [[(f"  {nothing}{(tr(' f shows submits too.') if hides else '')}", "dim")]]
        self.table.show({"operations": rows})
        self.refresh_chrome()
        self.show_detail()

    @on(Table.Moved)
    def _handle_row_change(self) -> None:
        self.show_detail()
        at = next((n for n, row in enumerate(self.rows) if row.key == self.table.cursor), 0)
        if self.more and at >= len(self.rows) - READ_AHEAD:
            self._read_next_page()

    def _read_next_page(self) -> None:
        args, last = self._make_args(), self.rows[-1].id
        asks = {**args, "limit": PAGE_SIZE, "before": last}
        self.read(
            lambda client: client.call("operations", asks),
            partial(self._apply_next_page, args, last),
        )

    def _apply_next_page(
        self, args: dict[str, Any], last: int, answer: Sequence[Mapping[str, Any]]
    ) -> None:
        if args != self._make_args() or not self.rows or self.rows[-1].id != last:
            self.reread()
            return
        self.more = len(answer) == PAGE_SIZE
        self._show_rows((*self.rows, *map(make_operation, answer)))

    def apply_filter(self) -> None:
        """Filter in the runtime; the shown rows stay until the answer arrives."""
        _, fault = parse_filter(self.words)
        if fault:
            self.show_message(self.look.sanitize(fault), "warn")
        self.table.filter(
            (lambda row: True) if self.words else None, self.look.sanitize(self.words)
        )
        self.rows, self.more = (), False
        self.reread()

    def action_clear(self) -> None:
        """Close the screen if it shows what it was opened for, or clear the filter."""
        if self.words and self.words == self._closing_words and not self.table.list_marked():
            self.dismiss(None)
        else:
            super().action_clear()

    # Row under the cursor

    def detail(self, room: int, height: int) -> DetailContent:
        row = self.table.item
        if not isinstance(row, OperationEntry):
            return "", "", []
        return (
            format_title(row, room, self.look),
            str(row.id),
            make_details(row, room, self.now, self.look),
        )

    @on(Table.Opened)
    def _handle_open(self, event: Table.Opened) -> None:
        event.stop()
        if event.item.count > 1:
            self.deck.open_operations(f"batch:{event.item.id}")
            return
        self.app.push_screen(
            OperationScreen(self.client_factory, event.item), self._handle_detail_close
        )

    def _handle_detail_close(self, row: OperationEntry | None) -> None:
        """Ask about undoing the operation that the detail screen was closed with."""
        if row is not None:
            self._check_undo([row])

    def action_copy(self) -> None:
        row = self.table.item
        if isinstance(row, OperationEntry):
            text = diff.format_operation(
                row.verb, row.object, row.name, row.facts.get("before"), row.facts.get("after")
            )
            self.app.copy_to_clipboard(f"{row.facts['at']} {self.look.sanitize(row.by)}: {text}")
            self.show_message(tr("Copied, if the terminal allows it (tmux: set-clipboard on)."))

    # Undo

    def action_undo(self) -> None:
        """Undo the marked operations or the current one, after a question that names them."""
        rows = [row for row in self.table.list_selected() if isinstance(row, OperationEntry)]
        able = [row for row in rows if row.undoable]
        if able:
            self._check_undo(able)
        elif rows:
            self.show_message(
                self.look.sanitize(tr("It cannot be undone: {reason}.", reason=rows[0].reason)),
                "warn",
            )

    def _check_undo(self, rows: Sequence[OperationEntry]) -> None:
        if self.deck.read_only:
            self.show_message(tr("Read only: this deck changes nothing."), "warn")
            return
        self.call(
            "undo",
            {"ids": [row.id for row in rows], "dry_run": True},
            partial(self._confirm_undo, rows),
        )

    def _confirm_undo(self, rows: Sequence[OperationEntry], found: Mapping[str, Any]) -> None:
        """Ask about the operations that the runtime's dry run found undoable."""
        if not found["done"]:
            self.show_message(
                self.look.sanitize(
                    tr("Not undone: {message}", message=found["refused"][0]["message"])
                ),
                "warn",
            )
        elif self.app.screen is self:
            able = {row["id"] for row in found["done"]}
            rows = [row for row in rows if row.count > 1 or row.id in able]
            question = make_undo_question(rows, found, self.look)
            ids = [row.id for row in rows]
            self.app.push_screen(ChoiceScreen(question), partial(self._send_undo, ids))

    def _send_undo(self, ids: Sequence[int], answer: str | None) -> None:
        if answer:
            self.table.clear_marks()
            self.deck.requests.send([Request("undo", {"ids": list(ids)}, tr("Undone:"))])


def make_undo_question(
    rows: Sequence[OperationEntry], found: Mapping[str, Any], look: Look
) -> Question:
    """Return the question before an undo; `found` is the answer of the dry run."""
    room = 66
    count = len(found["done"])
    body = [[(tr_n(count, "Undo this operation?", "Undo these {n:,} operations?"), "bold")], []]
    names = [
        [(look.cut(look.adapt_text(look.sanitize(done["text"])), room), "")]
        for done in found["done"]
    ]
    body += limit_lines(names, look)
    if others := [row for row in rows if not row.here]:
        who = ", ".join(dict.fromkeys(look.sanitize(row.by) for row in others))
        body += [[], [(look.cut(tr("Done elsewhere, by {who}.", who=who), room), "warn")]]
    if refused := found["refused"]:
        body += [
            [],
            [
                (
                    look.cut(
                        look.sanitize(
                            tr(
                                "{count:,} cannot be undone: {message}",
                                count=len(refused),
                                message=refused[0]["message"],
                            )
                        ),
                        room,
                    ),
                    "warn",
                )
            ],
        ]
    for note in found["notes"]:
        body += [[], *([(line, "warn")] for line in wrap_text(look.sanitize(note), room))]
    answers = [Answer("y", tr("undo")), Answer("n", tr("no"))]
    return Question(tr("Undo"), body, answers, safe="n", names=list_hidden_lines(names))


def format_title(row: OperationEntry, room: int, look: Look) -> str:
    """Return the title of an operation, cut to fit."""
    return look.cut(
        look.adapt_text(look.sanitize(tr("{verb} of {object}", verb=row.verb, object=row.objects))),
        max(10, room - 20),
        "middle",
    )


class OperationScreen(PageScreen):
    """Details of one operation.

    Dismisses with the operation if the user wants to undo it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("u", "undo", "Undo the operation", id="operation.undo"),
        Binding("q,escape", "leave", "Back", id="page.back"),
    ]
    DEFAULT_CSS = "OperationScreen { DocumentView { height: 1fr; } }"

    def __init__(self, client_factory: Callable[[], Client], row: OperationEntry) -> None:
        super().__init__(client_factory)
        self.row = row

    def compose_body(self) -> Iterable[Widget]:
        yield DocumentView(id="operation")

    def on_mount(self) -> None:
        self._draw()
        self.query_one(DocumentView).focus()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        room = self.app.size.width
        opens = (
            [
                DocRow(
                    (
                        (
                            self.look.adapt_text(tr("#{number}, its task", number=self.row.number)),
                            "",
                        ),
                    ),
                    str(self.row.number),
                )
            ]
            if self.row.number is not None
            else []
        )
        lines = [
            DocRow(tuple(line))
            for line in _remove_indent(make_details(self.row, room, self.now, self.look))
        ]
        section = Section(
            format_title(self.row, room, self.look),
            (*lines, DocRow(), *opens),
            tail=str(self.row.id),
        )
        self.query_one(DocumentView).show([section])

    def make_heading(self) -> str:
        return self.look.adapt_text(
            tr(
                "Operations › {id} by {who}, {place}",
                id=self.row.id,
                who=self.look.sanitize(self.row.by),
                place=format_source(self.row),
            )
        )

    def list_hints(self) -> list[KeyHint]:
        opens = [KeyHint("↵", "its task", "enter", 2)] if self.row.number is not None else []
        undo = [KeyHint("u", "undo", "u", 1)] if self.row.undoable else []
        return [*opens, *undo, KeyHint("j k", "move", "j", 3)]

    @on(DocumentView.Opened)
    def _handle_open(self, event: DocumentView.Opened) -> None:
        self.deck.open_task(event.target)

    def action_undo(self) -> None:
        """Close the screen; the list then asks about undoing the operation."""
        if self.row.undoable:
            self.dismiss(self.row)
        else:
            self.show_message(
                self.look.sanitize(tr("It cannot be undone: {reason}.", reason=self.row.reason)),
                "warn",
            )


def _remove_indent(lines: Sequence[Sequence[tuple[str, str]]]) -> Iterable[list[tuple[str, str]]]:
    """Remove the indent of lines for a document, which has its own gutter."""
    for line in lines:
        first, *rest = line
        yield [(first[0].removeprefix("  "), first[1]), *rest]
