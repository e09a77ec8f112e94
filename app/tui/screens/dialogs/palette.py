"""Command palette (key `:`): actions, screens and queues by name, and tasks by number."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.screen import ModalScreen
from textual.widgets import Input

from app.translation import tr, tr_noop
from app.tui.error_boundary import SafeScreen
from app.tui.style import Look
from app.tui.widgets.footer import KeyHint, get_key_name
from app.tui.widgets.modal import DismissOnClickOutside
from app.tui.widgets.paste import SingleLineInput
from app.tui.widgets.table import Table
from app.tui.widgets.table_columns import Cell, Cells, TableColumn
from app.tui.widgets.table_parts import SectionView, TableGrid, TableSection
from app.tui.widgets.table_title import Wordings

COMMAND_GROUPS = (
    "task",
    "tasks",
    "commands",
    "deck",
    "alert",
    "place",
    "app",
    "list",
    "log",
    "template",
    "operation",
    "history",
    "rule",
    "edit",
)
"""Groups of bindings that are commands; the other groups move the cursor."""

KEY_HINTS = (
    KeyHint("↵", "do it", "enter", 0),
    KeyHint("↑ ↓", "choose", "down", 1),
    KeyHint("esc", "close", "escape", 0),
)
_NUMBER = re.compile(r"#?(\d{1,12})")
_WORD = re.compile(r"[^\s:,;]+")


@dataclass(frozen=True, slots=True)
class PaletteCommand:
    """Line of the palette: title, callback, equivalent key and additional search words.

    Commands with `is_last` come after the others that match.
    """

    title: str
    run: Callable[[], object]
    by_key: str = ""
    search_words: str = ""
    is_last: bool = False

    @property
    def key(self) -> str:
        return self.title


def make_commands(
    bindings: Iterable[Binding], run: Callable[[str], object], also: Mapping[str, str]
) -> list[PaletteCommand]:
    """Return a command for each action that has a key here.

    `also` holds further search words, by action.
    """
    found: dict[str, PaletteCommand] = {}
    for binding in bindings:
        group = (binding.id or "").split(".")[0]
        if binding.description and group in COMMAND_GROUPS and binding.action not in found:
            description = tr(binding.description)
            title = (
                description
                if description[1:2].isupper()
                else f"{description[0].lower()}{description[1:]}"
            )
            found[binding.action] = PaletteCommand(
                title,
                _bind_action(run, binding.action),
                get_key_name(binding.key),
                f"{also.get(binding.action, '')} {binding.description}".strip(),
            )
    return sorted(found.values(), key=lambda command: command.by_key in ("tab", "shift+tab"))


def make_command(
    title: str, run: Callable[[], object], search_words: str = "", **values: str
) -> PaletteCommand:
    """Return a command with a translated title, which is found by the English words, too."""
    return PaletteCommand(tr(title, **values), run, search_words=f"{search_words} {title}".strip())


def _bind_action(run: Callable[[str], object], action: str) -> Callable[[], object]:
    return lambda: run(action)


def find_commands(commands: Sequence[PaletteCommand], query: str) -> list[PaletteCommand]:
    """Return the commands that contain every word of the query.

    Commands that begin with the query come first, then those with the most of its words whole.
    """
    words = query.lower().split()
    found = [
        command
        for command in commands
        if all(word in f"{command.title} {command.search_words}".lower() for word in words)
    ]
    begin = query.lower().strip()

    def rank(command: PaletteCommand) -> tuple[bool, bool, bool, int]:
        title = command.title.lower()
        whole = set(_WORD.findall(title))
        return (
            command.title != begin,
            not title.startswith(begin),
            command.is_last,
            sum(word not in whole for word in words),
        )

    return sorted(found, key=rank)


def _make_cells(command: PaletteCommand, look: Look, now: float) -> Cells:
    return Cell(look.adapt_text(look.sanitize(command.title))), Cell(
        look.adapt_text(command.by_key), "dim"
    )


def _format_hidden(view: SectionView) -> list[Wordings]:
    shown, every = len(view.list_visible()), len(view.rows)
    return (
        []
        if shown >= every
        else [
            (
                tr("these {shown} of {every:,}", shown=shown, every=every)
                if view.offset
                else tr("+{more:,} more", more=every - shown),
            )
        ]
    )


_SECTION = TableSection(
    "commands",
    TableGrid(
        (TableColumn("", 40, grow=1, floor=10, gap=0), TableColumn("", 6, 12, fits=True)),
        _make_cells,
    ),
)


class CommandList(Table):
    """Table of commands whose cursor shows while the words are typed."""

    ONE_CLICK = True
    can_focus = False

    @property
    def is_cursor_shown(self) -> bool:
        return True


class PaletteScreen(
    DismissOnClickOutside, ModalScreen[PaletteCommand | None], SafeScreen[PaletteCommand | None]
):
    """Palette: type words, choose a line.

    Dismisses with the chosen command.
    """

    BOX = "#palette"
    TITLE_WORD = tr_noop("Commands")
    PLACEHOLDER = tr_noop("a command, a queue, #number")
    DEFAULT_CSS = """
    PaletteScreen { align: center top; }
    PaletteScreen #palette { width: 76; height: 80%; margin-top: 2; }
    PaletteScreen Input { height: 1; padding: 0 1; background: $background; }
    PaletteScreen CommandList { height: 1fr; background: $background; color: $foreground; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Close", id="palette.close")
    ]

    def __init__(
        self, commands: Sequence[PaletteCommand], go: Callable[[str], None] | None = None
    ) -> None:
        """Create the palette; `go` opens a task by its number."""
        super().__init__()
        self._commands = commands
        self._go = go

    def list_box_keys(self) -> Sequence[KeyHint]:
        return KEY_HINTS

    def compose(self) -> ComposeResult:
        with Container(id="palette"):
            yield SingleLineInput(
                placeholder=tr(self.PLACEHOLDER), compact=True, select_on_focus=False
            )
            yield CommandList((_SECTION,), id="commands")

    def on_mount(self) -> None:
        self.query_one(Input).cursor_blink = False
        self.frame_box(tr(self.TITLE_WORD))
        self._show_matches("")

    def _show_matches(self, query: str) -> None:
        commands = find_commands(self._commands, query)
        number = _NUMBER.fullmatch(query.strip())
        if number and (go := self._go):
            found = number[1]
            commands = [
                PaletteCommand(tr("go to #{found}", found=found), lambda: go(found)),
                *commands,
            ]
        table = self.query_one(CommandList)
        table.find_view("commands").title = tr("{count:,} found", count=len(commands))
        table.find_view("commands").tail, table.find_view("commands").tail_first = (
            _format_hidden,
            True,
        )
        table.find_view("commands").empty = [[(tr("  Nothing by that name."), "dim")]]
        table.show({"commands": commands})
        if commands:
            table.go_to_row(commands[0].key)

    @on(Input.Changed)
    def _handle_query_change(self, event: Input.Changed) -> None:
        self._show_matches(event.value)

    @on(Input.Submitted)
    def _handle_submit(self) -> None:
        self.dismiss(self.query_one(CommandList).item)

    @on(Table.Opened)
    def _handle_open(self, event: Table.Opened) -> None:
        self.dismiss(event.item)

    def on_key(self, event: events.Key) -> None:
        """Pass moves to the list."""
        field = self.query_one(Input)
        if event.is_printable and event.character and not field.has_focus:
            # The letter was typed before the field had the focus.
            field.insert_text_at_cursor(event.character)
        moves = {"down": 1, "up": -1, "ctrl+n": 1, "ctrl+p": -1, "pagedown": 8, "pageup": -8}
        if event.key in moves:
            event.stop()
            event.prevent_default()
            self.query_one(CommandList).action_move(moves[event.key])
