"""The keys of a place, made from its bindings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.screen import ModalScreen

from app.core.clean import pad
from app.tui.footer import key_name
from app.tui.lines import Lines
from app.tui.look import Span
from app.tui.sturdy import SturdyScreen

RULES = (
    "Digits go places. A lower-case letter is a verb on the row under",
    "the cursor, or on the marks: it can be undone, or it asks. Upper",
    "case is the same, stronger. q and esc close the topmost thing.",
    "All of it is also in the palette (:) and under the mouse.",
    "i shows the ids by which [keys] in config.toml gives other keys.",
)
KEYS = 24


def help_lines(bindings: Iterable[Binding], ids: bool = False) -> list[list[Span]]:
    """All bindings with a description, by the first word of their id; keys of one action together. `ids`: their ids instead of what they
    do."""
    groups: dict[str, dict[tuple[str, str, str], list[str]]] = {}
    for binding in bindings:
        if binding.id and binding.description:
            group = (binding.id or "other").split(".")[0]
            keys = groups.setdefault(group, {}).setdefault((binding.action, binding.description, binding.id), [])
            keys += [name for name in [key_name(binding.key)] if name not in keys]
    lines: list[list[Span]] = [[(rule, "dim")] for rule in RULES]
    for group in sorted(groups, key=_rank):
        lines += [[], [(_TITLES.get(group, group.capitalize()), "bold")]]
        lines += [_line(keys, name if ids else says) for (_, says, name), keys in groups[group].items()]
    return lines


def _line(keys: Sequence[str], says: str) -> list[Span]:
    return [("  " + pad("  ".join(keys), KEYS), ""), (says, "")]


_TITLES = {
    "app": "Everywhere",
    "deck": "Deck",
    "task": "On a task",
    "place": "Places",
    "table": "In a list",
    "alert": "On an alert",
}
_FIRST, _LAST = ("task", "alert"), ("table", "place", "app")
"""What `?` is pressed for is what can be done here; what is so everywhere is known soon."""


def _rank(group: str) -> tuple[int, str]:
    if group in _FIRST:
        return _FIRST.index(group) - len(_FIRST), group
    return (_LAST.index(group) + 1 if group in _LAST else 0), group


def bindings_of(active: Mapping[str, ActiveBinding]) -> list[Binding]:
    """The bindings that are live at a place."""
    return [found.binding for found in active.values()]


class Page(Lines):
    """Lines in a frame, moved by whole lines."""

    def __init__(self, lines: Sequence[Sequence[Span]], title: str) -> None:
        super().__init__(id="page")
        self._all = lines
        self._title = title
        self._top = 0

    def show(self, lines: Sequence[Sequence[Span]]) -> None:
        """Show other lines, from where one is."""
        self._all = lines
        self.move(0)

    def redraw(self) -> None:
        """Draw the part in sight."""
        room, height = self.size
        body = self._all[self._top : self._top + height - 1]
        below = len(self._all) - self._top - len(body)
        rule = self.look.rule(room, [(2, self._title)], f"{below} more below, j" if below else "q closes", focused=True)
        rows = [[("  ", ""), *((self.look.own(text), style) for text, style in line)] for line in body]
        self.draw([self.look.strip([(rule, "title")], room), *(self.look.strip(row, room) for row in rows)])

    def move(self, by: int) -> None:
        """Move by lines."""
        self._top = max(0, min(self._top + by, len(self._all) - self.size.height + 1))
        self.redraw()

    def on_mount(self) -> None:
        self.set_class(self.look.ascii, "-ascii")

    def fit(self) -> None:
        self.move(0)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self.move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.move(-3)


class HelpScreen(ModalScreen[None], SturdyScreen[None]):
    """What every key does here."""

    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen #page { width: 76; max-width: 100%; height: 90%; background: $background; color: $foreground; border: solid $foreground; }
    HelpScreen #page.-ascii { border: ascii $foreground; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,escape,question_mark,f1", "dismiss", "Close", id="help.close"),
        Binding("j,down", "move(1)", "Down", id="help.down"),
        Binding("k,up", "move(-1)", "Up", id="help.up"),
        Binding("space,pagedown,ctrl+d", "move(10)", "Page down", id="help.page-down"),
        Binding("b,pageup,ctrl+u", "move(-10)", "Page up", id="help.page-up"),
        Binding("g,home", "move(-100000)", "Top", id="help.top"),
        Binding("G,end", "move(100000)", "End", id="help.end"),
        Binding("i", "ids", "The ids of the actions, or what they do", id="help.ids"),
    ]

    def __init__(self, bindings: Sequence[Binding]) -> None:
        super().__init__()
        self._live = bindings
        self._ids = False

    def compose(self) -> ComposeResult:
        yield Page(help_lines(self._live), "Keys")

    def action_ids(self) -> None:
        """Show the ids of the actions instead of what they do, or what they do again."""
        self._ids = not self._ids
        self.query_one(Page).show(help_lines(self._live, self._ids))

    def action_move(self, by: int) -> None:
        """Move by lines."""
        self.query_one(Page).move(by)
