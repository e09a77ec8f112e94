"""Key help, generated from the active bindings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import Vertical
from textual.widget import Widget

from app.core.text.sanitize import measure_width, pad, truncate
from app.translation import tr, tr_noop
from app.tui.screens.dialogs.text_box import BoxLine, BoxScreen, BoxText
from app.tui.style import Span
from app.tui.widgets.filter_input import FILTER_HINTS, FilterInput
from app.tui.widgets.footer import KeyHint, get_key_name

RULES = tr_noop(
    "Digits, O, B and E go to places. A lower-case letter acts on\n"
    "the row under the cursor, or on the marked rows: you can undo\n"
    "it, or it asks first. Upper case does the same, stronger.\n"
    "q and esc close the topmost screen. : finds all actions; a\n"
    "click on a line here runs one. i shows the ids by which\n"
    "[keys] in config.toml changes keys."
)
FORM_RULES = tr_noop(
    "Letters, digits and signs are text; the keys here act.\n"
    "i shows the ids by which [keys] in config.toml changes keys."
)
"""Rules for screens whose fields take typed text."""
KEY_CELLS = 14
"""Cells of the key names in a line."""
COLUMN_CELLS = 56
"""Minimum cells of a column of keys."""
COLUMN_GAP = 2
_WIDE_ALIASES = frozenset("？：／")
"""Full-width forms that a Chinese input method types for `?`, `:` and `/`; not listed."""


class KeyRow(NamedTuple):
    """Line of the help: names and description of an action, and the key that a click presses."""

    names: str
    description: str
    key: str


class KeyGroup(NamedTuple):
    """Rows under one heading."""

    title: str
    rows: Sequence[KeyRow]


def list_key_groups(bindings: Iterable[Binding], ids: bool = False) -> list[KeyGroup]:
    """Return the bindings that have a description, grouped by the first word of their id.

    Keys of one action share a row. `ids` shows the ids instead of the descriptions.
    """
    groups: dict[str, dict[tuple[str, str, str], list[str]]] = {}
    for binding in bindings:
        if binding.id and binding.description:
            group = (binding.id or "other").split(".")[0]
            keys = groups.setdefault(group, {}).setdefault(
                (binding.action, binding.description, binding.id), []
            )
            keys += [binding.key] if binding.key not in keys else []
    rules = FORM_RULES if "form" in groups else RULES
    return [
        *(
            KeyGroup(
                _TITLES.get(group, group.capitalize()),
                [
                    KeyRow(_join_names(keys), name if ids else description, keys[0])
                    for (_, description, name), keys in groups[group].items()
                ],
            )
            for group in sorted(groups, key=_rank_group)
        ),
        KeyGroup("How keys work", [KeyRow("", rule, "") for rule in tr(rules).splitlines()]),
    ]


def _join_names(keys: Sequence[str]) -> str:
    """Return the names of the keys that fit, the first ones first."""
    names = [name for name in dict.fromkeys(map(get_key_name, keys)) if name not in _WIDE_ALIASES]
    while len(names) > 1 and measure_width("  ".join(names)) > KEY_CELLS - 1:
        names.pop()
    return "  ".join(names)


def find_groups(groups: Iterable[KeyGroup], words: str) -> list[KeyGroup]:
    """Return the rows that contain all words in key, description or heading."""
    wanted = words.lower().split()
    if not wanted:
        return list(groups)
    found = [
        KeyGroup(
            group.title,
            [
                row
                for row in group.rows
                if row.names
                and all(word in _list_words(row, group.title).lower() for word in wanted)
            ],
        )
        for group in groups
    ]
    return [group for group in found if group.rows]


def _list_words(row: KeyRow, title: str) -> str:
    """Return the words by which a row is found, in English and in the user's language."""
    return f"{row.names} {row.description} {tr(row.description)} {title} {tr(title)}"


def lay_out_groups(groups: Sequence[KeyGroup], width: int) -> list[BoxLine]:
    """Return the groups in as many columns as fit in `width` cells, of about the same height."""
    columns = max(1, (width + COLUMN_GAP) // (COLUMN_CELLS + COLUMN_GAP))
    cells = (width + COLUMN_GAP) // columns - COLUMN_GAP
    blocks = [_make_block(group) for group in groups]
    height = max((len(block) for block in blocks), default=0)
    while len(divided := _fill_columns(blocks, height)) > columns:
        height += 1
    return [
        _join_columns([column[line] if line < len(column) else None for column in divided], cells)
        for line in range(max(map(len, divided), default=0))
    ]


_Line = KeyRow | str
"""Row, or heading."""


def _make_block(group: KeyGroup) -> list[_Line]:
    return [tr(group.title), *group.rows]


def _fill_columns(blocks: Sequence[Sequence[_Line]], height: int) -> list[list[_Line]]:
    """Return columns of at most `height` lines, with a blank line between blocks."""
    columns: list[list[_Line]] = []
    for block in blocks:
        if columns and len(columns[-1]) + 1 + len(block) <= height:
            columns[-1] += ["", *block]
        else:
            columns.append([*block])
    return columns


def _format_line(line: _Line | None) -> tuple[str, str, str]:
    """Return text, style and key of a line."""
    if not isinstance(line, KeyRow):
        return line or "", "bold", ""
    if not line.names:
        return line.description, "dim", ""
    return f"  {pad(line.names, KEY_CELLS)}{tr(line.description)}", "", line.key


def _join_columns(lines: Sequence[_Line | None], cells: int) -> BoxLine:
    """Return one line of all columns, each `cells` wide."""
    spans: list[Span] = []
    keys: list[tuple[int, str]] = []
    for n, line in enumerate(lines):
        begin = n * (cells + COLUMN_GAP)
        text, style, key = _format_line(line)
        keys.append((begin, key))
        gap = cells + COLUMN_GAP if n + 1 < len(lines) else 0
        spans.append((pad(truncate(text, cells), gap), style))
    return BoxLine(spans, keys)


_TITLES = {
    "app": tr_noop("Everywhere, but not while typing"),
    "form": tr_noop("In this form"),
    "slot": tr_noop("In a field"),
    "deck": tr_noop("Deck"),
    "task": tr_noop("On a task"),
    "place": tr_noop("Places"),
    "table": tr_noop("In a list"),
    "alert": tr_noop("On an alert"),
    "schedule": tr_noop("On a schedule"),
    "commands": tr_noop("Your commands, on a task"),
}
_FIRST = ("task", "commands", "schedule", "template", "operation", "place", "alert")
_LAST = ("table", "app")
"""Groups listed first, for the current row, and last, for keys that work everywhere."""


def _rank_group(group: str) -> tuple[int, str]:
    if group in _FIRST:
        return _FIRST.index(group) - len(_FIRST), group
    return (_LAST.index(group) + 1 if group in _LAST else 0), group


def list_bindings(active: Mapping[str, ActiveBinding]) -> list[Binding]:
    """Return the active bindings of a screen."""
    return [found.binding for found in active.values()]


class KeyText(BoxText):
    """Keys in columns, as far as they contain the words of the filter."""

    def __init__(self, groups: Sequence[KeyGroup]) -> None:
        super().__init__(())
        self._groups, self._words = groups, ""

    def show_groups(self, groups: Sequence[KeyGroup]) -> None:
        """Show other groups."""
        self._groups = groups
        self.fit()

    def filter(self, words: str) -> None:
        """Show the rows that contain all words."""
        self._words = words
        self.fit()

    def fit(self) -> None:
        lines = lay_out_groups(find_groups(self._groups, self._words), self.size.width - 2)
        if not self._words and isinstance(self.parent, Widget):
            self.parent.styles.height = min(len(lines) + 2, self.app.size.height - 3)
        self.show(lines or [BoxLine([(tr("No key does that. : finds more commands."), "dim")])])


class HelpScreen(BoxScreen):
    """Help for every key that works here."""

    DEFAULT_CSS = """
    HelpScreen #box { width: 100%; max-width: 186; height: 100%; margin: 1 0 2 0; }
    HelpScreen #filter { display: none; height: 1; background: $background; }
    """
    AUTO_FOCUS = ""  # the search takes the focus only when it is opened
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,f1", "dismiss", "Close", id="help.close"),
        Binding("slash,fullwidth_solidus", "search", "Search the keys", id="help.search"),
        Binding("i", "ids", "The ids of the actions, or what they do", id="help.ids"),
        Binding("h", "topics", "Help topics", id="help.topics"),
    ]

    def __init__(self, bindings: Sequence[Binding]) -> None:
        more = (
            KeyHint("/", "search", "slash", 1),
            KeyHint("i", "ids", "i", 3),
            KeyHint("h", "topics", "h", 1),
        )
        super().__init__(tr("Keys"), (), "close", more)
        self._live = bindings
        self._ids = False

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield KeyText(list_key_groups(self._live))
            yield FilterInput()

    def list_box_keys(self) -> Sequence[KeyHint]:
        is_open = bool(self.query(FilterInput)) and self.query_one(FilterInput).is_open
        return FILTER_HINTS[:2] if is_open else super().list_box_keys()

    @property
    def page(self) -> KeyText:
        return self.query_one(KeyText)

    def action_search(self) -> None:
        line = self.query_one(FilterInput)
        line.open(line.value, tr_noop("words of a key or an action"))
        self.set_focus(line)
        self.refresh_keys_below()

    @on(FilterInput.Changed)
    def _handle_search_change(self, event: FilterInput.Changed) -> None:
        self.page.filter(event.value)

    @on(FilterInput.Left)
    def _handle_search_close(self, event: FilterInput.Left) -> None:
        line = self.query_one(FilterInput)
        if not event.keep:
            line.value = ""
            self.page.filter("")
        words = self.page.look.sanitize(line.value.strip())
        self.frame_box(tr("Keys /{words}", words=words) if words else tr("Keys"))
        self.set_focus(None)
        self.refresh_keys_below()

    def action_ids(self) -> None:
        self._ids = not self._ids
        self.page.show_groups(list_key_groups(self._live, self._ids))

    def action_topics(self) -> None:
        self.deck.open_topics()
