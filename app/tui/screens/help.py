"""The keys of a place, made from its bindings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from textual import events, on
from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen

from app.core.clean import pad
from app.tui.beside import LeftBeside
from app.tui.footer import Hint, KeyLine, key_name
from app.tui.lines import Lines
from app.tui.look import Span
from app.tui.sturdy import SturdyScreen

RULES = (
    "Digits go places. A lower-case letter is a verb on the row under",
    "the cursor, or on the marks: it can be undone, or it asks. Upper",
    "case is the same, stronger. q and esc close the topmost thing.",
    "All is also in the palette (:); a click on a line below does it.",
    "i shows the ids by which [keys] in config.toml gives other keys.",
)
KEYS = 24


class HelpLine(NamedTuple):
    """A line: its safe spans, and the key that a click on it is."""

    spans: Sequence[Span] = ()
    key: str | None = None


def help_lines(bindings: Iterable[Binding], ids: bool = False) -> list[HelpLine]:
    """All bindings with a description, by the first word of their id; keys of one action together. `ids`: their ids instead of what they
    do."""
    groups: dict[str, dict[tuple[str, str, str], list[str]]] = {}
    for binding in bindings:
        if binding.id and binding.description:
            group = (binding.id or "other").split(".")[0]
            keys = groups.setdefault(group, {}).setdefault((binding.action, binding.description, binding.id), [])
            keys += [binding.key] if binding.key not in keys else []
    lines = [HelpLine([(rule, "dim")]) for rule in RULES]
    for group in sorted(groups, key=_rank):
        lines += [HelpLine(), HelpLine([(_TITLES.get(group, group.capitalize()), "bold")])]
        lines += [_line(keys, name if ids else says) for (_, says, name), keys in groups[group].items()]
    return lines


def _line(keys: Sequence[str], says: str) -> HelpLine:
    names = dict.fromkeys(map(key_name, keys))
    return HelpLine([("  " + pad("  ".join(names), KEYS), ""), (says, "")], keys[0])


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

    @dataclass
    class Clicked(Message):
        """A line was clicked that tells of a key."""

        key: str

    def __init__(self, lines: Sequence[HelpLine], title: str) -> None:
        super().__init__(id="page")
        self._all = lines
        self._title = title
        self._top = 0

    def show(self, lines: Sequence[HelpLine]) -> None:
        """Show other lines, from where one is."""
        self._all = lines
        self.move(0)

    def redraw(self) -> None:
        """Draw the part in sight."""
        room, height = self.size
        body = self._all[self._top : self._top + height - 1]
        below = len(self._all) - self._top - len(body)
        rule = self.look.rule(room, [(2, self._title)], f"{below} more below" if below else "", focused=True)
        rows = [[("  ", ""), *((self.look.own(text), style) for text, style in line.spans)] for line in body]
        self.draw([self.look.strip([(rule, "title")], room), *(self.look.strip(row, room) for row in rows)])

    def move(self, by: int) -> None:
        """Move by lines."""
        self._top = max(0, min(self._top + by, len(self._all) - self.size.height + 1))
        self.redraw()

    def fit(self) -> None:
        self.move(0)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self.move(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self.move(-3)

    def on_click(self, event: events.Click) -> None:
        at = self._top + event.y - 1
        if event.y and at < len(self._all) and (key := self._all[at].key):
            self.post_message(self.Clicked(key))


class HelpScreen(LeftBeside, ModalScreen[str | None], SturdyScreen[str | None]):
    """What every key does here. Dismisses with the key of the line that was clicked, or None."""

    BOX = "#help"
    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen #help { width: 76; max-width: 100%; height: 90%; background: $background; color: $foreground; border: solid $foreground; }
    HelpScreen #help.-ascii { border: ascii $foreground; }
    HelpScreen #page { height: 1fr; width: 1fr; }
    HelpScreen KeyLine { height: 1; width: 1fr; }
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

    def box_keys(self) -> Sequence[Hint]:
        return CLOSE  # the others stand in the box, where they can be clicked

    def compose(self) -> ComposeResult:
        with Vertical(id="help"):
            yield Page(help_lines(self._live), "Keys")
            yield KeyLine()

    def on_mount(self) -> None:
        page = self.query_one(Page)
        self.query_one("#help").set_class(page.look.ascii, "-ascii")
        self.query_one(KeyLine).show(HINTS)

    @on(Page.Clicked)
    def _clicked(self, event: Page.Clicked) -> None:
        self.dismiss(event.key)

    def action_ids(self) -> None:
        """Show the ids of the actions instead of what they do, or what they do again."""
        self._ids = not self._ids
        self.query_one(Page).show(help_lines(self._live, self._ids))

    def action_move(self, by: int) -> None:
        """Move by lines."""
        self.query_one(Page).move(by)


HINTS = (Hint("space", "page down", "space", 2), Hint("b", "up", "b", 2), Hint("i", "ids", "i", 1), Hint("q", "close", "q", 0))
CLOSE = (Hint("esc", "close", "escape", 0),)
