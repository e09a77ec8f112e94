"""The two lines at the bottom of every screen: the message line and the footer of keys, made for what the cursor stands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from textual import events

from app.core.board import AlertLine, EndedLine, NextLine, PoolLine, QueueLine, RunningLine
from app.tui.message_fit import in_room
from app.tui.panes.pools import PoolRow
from app.tui.rows.work import Gone
from app.tui.style import Look, Span
from app.tui.widgets.strips import Lines


class Hint(NamedTuple):
    """A key that works here: as shown, what it does, the key to send when it is clicked, its worth (0 is never dropped)."""

    shown: str
    label: str
    key: str
    worth: int


HELP = Hint("?", "help", "question_mark", 0)
KEY_NAMES = {
    "down": "↓", "up": "↑", "left": "←", "right": "→", "enter": "↵", "escape": "esc", "slash": "/", "colon": ":",
    "question_mark": "?", "plus": "+", "minus": "-", "equals_sign": "=", "pagedown": "pgdn", "pageup": "pgup",
    "fullwidth_question_mark": "？", "fullwidth_colon": "：", "fullwidth_solidus": "／", "full_stop": ".", "comma": ",", "semicolon": ";",
    "greater_than_sign": ">", "less_than_sign": "<", "asterisk": "*", "exclamation_mark": "!",
}  # fmt: skip


def key_name(key: str) -> str:
    """A key as people read it."""
    return KEY_NAMES.get(key, key)


EDIT = Hint("e", "edit", "e", 11)
_PLACE = (Hint("↵", "its tasks", "enter", 1), Hint("w", "why", "w", 6))
"""Of a queue or a pool."""
QUIT = Hint("q", "quit", "q", 0)
BACK = Hint("q", "back", "q", 0)


def fit(hints: Sequence[Hint], look: Look, width: int) -> list[Hint]:
    """The hints that fit into `width` cells, two between neighbours, in their order; those of least worth go first."""
    shown = list(hints)
    while sum(len(look.own(hint.shown)) + 1 + len(hint.label) + 2 for hint in shown) - 2 > width:
        least = max(shown, key=lambda hint: hint.worth)
        if not least.worth:
            break
        shown.remove(least)
    return shown


NEW = {"queues": "new queue", "pools": "new pool", "alerts": "new rule"}
"""What `n` makes in the panes that are not of tasks."""


def hints_for(
    item: Any, marked: Sequence[Hint] | None = None, *, undo: bool, stopped: bool, pane: str = "work"
) -> list[Hint]:
    """The keys for the row under the cursor of the deck, or those that mean the marks where there are any, or for a pane without rows."""
    start = [Hint("S", "start runtime", "S", 1)] if stopped else []
    undoing = [Hint("u", "undo", "u", 12)] if undo else []
    new = [Hint("n", "new", "n", 3), Hint("/", "filter", "slash", 4)]
    if marked is not None:
        return [*start, *marked, *_marks(item), *new, *undoing, HELP, QUIT]
    if item is None:
        new = [Hint("n", NEW.get(pane, "new task"), "n", 3), Hint(":", "commands", "colon", 4)]
    return [*start, *row_hints(item), *new, *_marks(item), *undoing, *_rare(item), HELP, QUIT]


READING = frozenset({
    "enter", "l", "w", "y", "slash", "space", "f", "n", "colon", "question_mark", "q", "escape", "tab", "left", "right", "up", "b", "i",
    "o", "V", "comma", "full_stop", "0",
})  # fmt: skip
"""Keys that change nothing; `n` is the next match of a log."""
PAST = [
    Hint(",", "a minute back", "comma", 1), Hint(".", "on", "full_stop", 2), Hint(";", "an hour back", "semicolon", 4),
    Hint("0", "now", "0", 0), Hint("↵", "open", "enter", 5), Hint("l", "log", "l", 6), HELP, QUIT,
]  # fmt: skip
"""The keys of the deck in the past."""


def harmless(hints: Sequence[Hint]) -> list[Hint]:
    """The hints of keys that change nothing."""
    return [hint for hint in hints if hint.key in READING and not hint.label.startswith("new")]


def row_hints(item: Any) -> list[Hint]:
    """The keys that are verbs on a row."""
    item = getattr(item, "line", item)
    if isinstance(item, AlertLine):
        return _alert_hints(item)
    if isinstance(item, QueueLine):
        resume = item.status != "active"
        return [*_PLACE, Hint("p", "resume queue" if resume else "pause queue", "p", 7), EDIT]
    if isinstance(item, (PoolRow, PoolLine)):
        pool = item.pool if isinstance(item, PoolRow) else item
        return [*_PLACE, Hint("p", "pause pool" if pool.status == "active" else "resume pool", "p", 7), EDIT]
    return _task_hints(item)


def _alert_hints(item: AlertLine) -> list[Hint]:
    ack = [Hint("a", "ack", "a", 2)] if item.status == "firing" else []
    of_task = [Hint("↵", "open", "enter", 1), Hint("l", "log", "l", 5), Hint("w", "why", "w", 6)] if item.uuid else []
    return [*ack, Hint("s", "silence", "s", 3), *of_task]


def _task_hints(item: Any) -> list[Hint]:
    opening, why = Hint("↵", "open", "enter", 1), Hint("w", "why", "w", 6)
    if isinstance(item, RunningLine):
        pause = "continue" if item.status == "paused" else "pause"
        return [opening, Hint("l", "log", "l", 5), why, Hint("x", "cancel", "x", 2), Hint("p", pause, "p", 7)]
    if isinstance(item, NextLine):
        hold = "release" if item.status == "held" else "hold"
        return [opening, why, Hint("x", "cancel", "x", 2), Hint("p", hold, "p", 7), Hint("t", "to front", "t", 9)]
    if isinstance(item, (EndedLine, Gone)):
        return [opening, Hint("l", "log", "l", 5), why, Hint("r", "run again", "r", 8)]
    return []


def _marks(item: Any) -> list[Hint]:
    return [Hint("space", "mark", "space", 10)] if isinstance(item, (RunningLine, NextLine, EndedLine, Gone)) else []


def _rare(item: Any) -> list[Hint]:
    if isinstance(item, NextLine):
        return [Hint("e", "edit", "e", 12), Hint("+ -", "priority", "plus", 13), Hint("y", "copy", "y", 14)]
    if isinstance(item, QueueLine):
        return [Hint("+ -", "priority", "plus", 13), Hint("y", "copy", "y", 14), Hint("D", "delete", "D", 15)]
    if isinstance(item, (PoolRow, PoolLine)):
        return [Hint("y", "copy", "y", 14), Hint("D", "delete", "D", 15)]
    if isinstance(item, EndedLine):
        return [Hint("D", "delete", "D", 13), Hint("y", "copy", "y", 14)]
    return [Hint("y", "copy", "y", 14)] if isinstance(item, RunningLine) else []


class KeyLine(Lines):
    """The footer: keys that work here, also under the mouse."""

    def __init__(self, id: str = "keys") -> None:
        super().__init__(id=id)
        self._hints: Sequence[Hint] = ()
        self._spots: list[tuple[int, str]] = []

    def show(self, hints: Sequence[Hint]) -> None:
        """Show these keys."""
        self._hints = hints
        self.redraw()

    def redraw(self) -> None:
        """Fit the keys into the width."""
        width = self.size.width
        spans: list[Span] = []
        self._spots, end = [], 1
        for hint in fit([self._chosen(hint) for hint in self._hints], self.look, width - 1):
            key = self.look.own(hint.shown)
            spans += [("  " if spans else " ", ""), (key, "bold"), (f" {hint.label}", "dim")]
            end += len(key) + len(hint.label) + 3
            self._spots.append((end, hint.key))
        self.draw([self.look.strip(spans, width)])

    def _chosen(self, hint: Hint) -> Hint:
        """The hint with the key that the user chose for what it does."""
        keys: Mapping[str, str] = getattr(getattr(self.app, "settings", None), "keys", {})
        if not keys:
            return hint
        from app.tui.keymap import shown_key

        key = shown_key([node for node, _ in self.app.screen._binding_chain], hint.key, keys)
        return hint if key == hint.key else hint._replace(shown=key_name(key), key=key)

    def fit(self) -> None:
        self.redraw()

    def on_click(self, event: events.Click) -> None:
        """A click on a key is that key."""
        if key := self.key_at(event.x):
            self.app.simulate_key(key)

    def key_at(self, x: int) -> str | None:
        """The key to send for a click on a cell of the line; None where none stands."""
        return next((key for end, key in self._spots if x < end), None) if x > 0 else None


TROUBLE = ("warn", "broken")
"""Styles of what went wrong, which ends with what to do about it."""


class MessageLine(Lines):
    """What was done last, an error, or more about the row under the cursor. A click shows in full what was said lately."""

    def __init__(self, id: str = "message") -> None:
        super().__init__(id=id)
        self._spans: Sequence[Span] = ()

    def show(self, spans: Sequence[Span]) -> None:
        """Show one line of safe spans."""
        self._spans = spans
        self.redraw()

    def redraw(self) -> None:
        """Draw again in the width there is."""
        room = self.size.width - 1
        alone = len(self._spans) == 1
        spans = [(in_room(text, room, self.look) if alone or style in TROUBLE else text, style) for text, style in self._spans]
        self.draw([self.look.strip([(" ", ""), *spans], self.size.width)])

    def fit(self) -> None:
        self.redraw()

    async def on_click(self) -> None:
        await self.app.run_action("said_lately")
