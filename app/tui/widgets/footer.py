"""Footer: the message line and the key hints for the row under the cursor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from textual import events

from app.core.board import (
    AlertEntry,
    ComingEntry,
    EndedEntry,
    GroupEntry,
    NextEntry,
    PoolEntry,
    QueueEntry,
    RunningEntry,
)
from app.core.text.sanitize import measure_width
from app.translation import tr, tr_noop
from app.tui.data.list_rows import (
    EndedMembers,
    LingeringRow,
    PoolTableRow,
    WaitingGroup,
    has_subject,
)
from app.tui.message_fit import fit_message
from app.tui.style import Look, Span
from app.tui.widgets.strips import StripWidget


class KeyHint(NamedTuple):
    """A key hint: shown key, label, key sent on a click, drop order (0: never dropped)."""

    key_name: str
    label: str
    key: str
    drop_order: int


HELP_HINT = KeyHint("?", "help", "question_mark", 0)
GO_HINT = KeyHint(":", "go", "colon", 8)
"""Key that lists the places and finds every command."""
KEY_NAMES = {
    "down": "↓", "up": "↑", "left": "←", "right": "→", "enter": "↵", "escape": "esc", "slash": "/",
    "colon": ":",
    "question_mark": "?", "plus": "+", "minus": "-", "equals_sign": "=", "pagedown": "pgdn",
    "pageup": "pgup",
    "fullwidth_question_mark": "？", "fullwidth_colon": "：", "fullwidth_solidus": "／",
    "full_stop": ".", "comma": ",", "semicolon": ";",
    "greater_than_sign": ">", "less_than_sign": "<", "asterisk": "*", "exclamation_mark": "!",
}  # fmt: skip


def get_key_name(key: str) -> str:
    """Return a key's display name."""
    return KEY_NAMES.get(key, key)


EDIT_HINT = KeyHint("e", "edit", "e", 11)
_PLACE_HINTS = (KeyHint("↵", "its tasks", "enter", 1), KeyHint("w", "why", "w", 6))
"""Keys of a queue or pool."""
QUIT_HINT = KeyHint("q", "quit", "q", 0)
BACK_HINT = KeyHint("q", "back", "q", 0)


def select_hints(hints: Sequence[KeyHint], look: Look, width: int) -> list[KeyHint]:
    """Return the hints that fit in `width` cells, in order.

    The hint with the highest `worth` is dropped first.
    """
    shown = list(hints)
    while (
        sum(len(look.adapt_text(hint.key_name)) + 3 + measure_width(hint.label) for hint in shown)
        > width + 2
    ):
        least = max(shown, key=lambda hint: hint.drop_order)
        if not least.drop_order:
            break
        shown.remove(least)
    return shown


NEW_LABELS = {
    "queues": tr_noop("new queue"),
    "pools": tr_noop("new pool"),
    "alerts": tr_noop("new rule"),
}
"""Label of `n` in panes other than the work pane."""


def list_deck_hints(
    item: Any,
    marked: Sequence[KeyHint] | None = None,
    *,
    undo: bool,
    stopped: bool,
    pane: str = "work",
) -> list[KeyHint]:
    """Return the hints for the row under the cursor, the marked rows, or an empty pane."""
    start = [KeyHint("S", "start runtime", "S", 1)] if stopped else []
    undoing = [KeyHint("u", "undo", "u", 12)] if undo else []
    new = [KeyHint("n", "new", "n", 3), KeyHint("/", "filter", "slash", 4)]
    if marked is not None:
        return [
            *start, *marked, *_list_mark_hints(item), *new, *undoing, GO_HINT, HELP_HINT, QUIT_HINT
        ]  # fmt: skip
    if item is None:
        new = [KeyHint("n", NEW_LABELS.get(pane, "new task"), "n", 3)]
    return [
        *start,
        *list_row_hints(item),
        *new,
        *_list_mark_hints(item),
        *undoing,
        *_list_rare_hints(item),
        GO_HINT,
        HELP_HINT,
        QUIT_HINT,
    ]


READ_ONLY_KEYS = frozenset({
    "enter", "l", "w", "y", "slash", "space", "f", "n", "colon", "question_mark", "q", "escape",
    "tab", "left", "right", "up", "b", "i", "C",
    "o", "V", "m", "comma", "full_stop", "0",
})  # fmt: skip
"""Keys that change nothing; `n` is the next match in a log."""
HISTORY_HINTS = [
    KeyHint(",", "a minute back", "comma", 1), KeyHint(".", "on", "full_stop", 2),
    KeyHint(";", "an hour back", "semicolon", 4),
    KeyHint("0", "now", "0", 0), KeyHint("↵", "open", "enter", 5), KeyHint("l", "log", "l", 6),
    HELP_HINT, QUIT_HINT,
]  # fmt: skip
"""Keys of the deck in history mode."""


def keep_read_only_hints(hints: Sequence[KeyHint]) -> list[KeyHint]:
    """Return the hints of keys that change nothing."""
    return [
        hint for hint in hints if hint.key in READ_ONLY_KEYS and not hint.label.startswith("new")
    ]


def list_row_hints(item: Any) -> list[KeyHint]:
    """Return the hints of commands on a row."""
    why = [KeyHint("w", "why", "w", 6)] if isinstance(item, WaitingGroup) else []
    item = getattr(item, "line", item)
    if isinstance(item, ComingEntry):
        return [KeyHint("↵", "schedule", "enter", 1), KeyHint("p", "pause schedule", "p", 7)]
    if isinstance(item, AlertEntry):
        return _list_alert_hints(item)
    if isinstance(item, GroupEntry):
        return [*_list_group_hints(item), *why]
    if isinstance(item, QueueEntry):
        resume = item.status != "active"
        return [
            *_PLACE_HINTS,
            KeyHint("p", "resume queue" if resume else "pause queue", "p", 7),
            EDIT_HINT,
        ]
    if isinstance(item, (PoolTableRow, PoolEntry)):
        pool = item.pool if isinstance(item, PoolTableRow) else item
        return [
            *_PLACE_HINTS,
            KeyHint(
                "p", tr("pause pool") if pool.status == "active" else tr("resume pool"), "p", 7
            ),
            EDIT_HINT,
        ]
    return _list_task_hints(item)


def _list_alert_hints(item: AlertEntry) -> list[KeyHint]:
    ack = [KeyHint("a", "ack", "a", 2)] if item.status == "firing" else []
    return [*ack, KeyHint("s", "silence", "s", 3), *list_subject_hints(item)]


def list_subject_hints(alert: AlertEntry) -> list[KeyHint]:
    """Return the hints for what an alert is about."""
    if not has_subject(alert):
        return []
    return [
        KeyHint("↵", "open", "enter", 1), KeyHint("l", "log", "l", 5), KeyHint("w", "why", "w", 6)
    ]  # fmt: skip


def _list_group_hints(group: GroupEntry) -> list[KeyHint]:
    active, waiting = group.running + group.waiting, group.waiting
    hold = (
        tr("release {count:,}", count=waiting)
        if group.status == "held"
        else tr("hold {count:,}", count=waiting)
    )
    return [
        KeyHint("↵", "open", "enter", 1),
        *([KeyHint("l", "log", "l", 6)] if group.running or group.ended else []),
        *([KeyHint("x", tr("cancel {count:,}", count=active), "x", 2)] if active else []),
        *([KeyHint("p", hold, "p", 7)] if waiting else []),
        *(
            [KeyHint("r", tr("retry {count:,} failed", count=group.failed), "r", 5)]
            if group.failed
            else []
        ),
    ]


def _list_task_hints(item: Any) -> list[KeyHint]:
    opening, why = KeyHint("↵", "open", "enter", 1), KeyHint("w", "why", "w", 6)
    if isinstance(item, RunningEntry):
        pause = tr("resume") if item.status == "paused" else tr("pause")
        return [
            opening,
            KeyHint("l", "log", "l", 5),
            why,
            KeyHint("x", "cancel", "x", 2),
            KeyHint("p", pause, "p", 7),
        ]
    if isinstance(item, NextEntry):
        hold = tr("release") if item.status == "held" else tr("hold")
        return [
            opening,
            why,
            KeyHint("x", "cancel", "x", 2),
            KeyHint("p", hold, "p", 7),
            KeyHint("t", "to front", "t", 9),
        ]
    if isinstance(item, (EndedEntry, EndedMembers, LingeringRow)):
        return [opening, KeyHint("l", "log", "l", 5), why, KeyHint("r", "retry", "r", 8)]
    return []


_MARKABLE = (RunningEntry, NextEntry, EndedEntry, LingeringRow, GroupEntry, EndedMembers)


def _list_mark_hints(item: Any) -> list[KeyHint]:
    return (
        [KeyHint("space", "mark", "space", 10)]
        if isinstance(getattr(item, "line", item), _MARKABLE)
        else []
    )


def _list_rare_hints(item: Any) -> list[KeyHint]:
    if isinstance(item, NextEntry):
        return [
            KeyHint("e", "edit", "e", 12),
            KeyHint("+ -", "priority", "plus", 13),
            KeyHint("y", "copy", "y", 14),
        ]
    if isinstance(item, QueueEntry):
        return [
            KeyHint("+ -", "priority", "plus", 13),
            KeyHint("y", "copy", "y", 14),
            KeyHint("D", "delete", "D", 15),
        ]
    if isinstance(item, (PoolTableRow, PoolEntry)):
        return [KeyHint("y", "copy", "y", 14), KeyHint("D", "delete", "D", 15)]
    if isinstance(item, EndedEntry):
        return [KeyHint("D", "delete", "D", 13), KeyHint("y", "copy", "y", 14)]
    return [KeyHint("y", "copy", "y", 14)] if isinstance(item, RunningEntry) else []


class KeyLine(StripWidget):
    """The line of key hints, which can be clicked."""

    def __init__(self, id: str = "keys") -> None:
        super().__init__(id=id)
        self._hints: Sequence[KeyHint] = ()
        self._spots: list[tuple[int, str]] = []

    def show(self, hints: Sequence[KeyHint]) -> None:
        self._hints = hints
        self.redraw()

    def redraw(self) -> None:
        width = self.size.width
        spans: list[Span] = []
        self._spots, end = [], 1
        for hint in select_hints(
            [self._prepare_hint(hint) for hint in self._hints], self.look, width - 1
        ):
            key = self.look.adapt_text(hint.key_name)
            spans += [("  " if spans else " ", ""), (key, "bold"), (f" {hint.label}", "dim")]
            end += len(key) + measure_width(hint.label) + 3
            self._spots.append((end, hint.key))
        self.draw([self.look.strip(spans, width)])

    def _prepare_hint(self, hint: KeyHint) -> KeyHint:
        """Return the hint in the user's language, with the user's key for its action."""
        hint = hint._replace(label=tr(hint.label))
        keys = self.deck.settings.keys
        if not keys:
            return hint
        from app.tui.keymap import find_shown_key, list_binding_nodes

        key = find_shown_key(list_binding_nodes(self.app.screen), hint.key, keys)
        return hint if key == hint.key else hint._replace(key_name=get_key_name(key), key=key)

    def fit(self) -> None:
        self.redraw()

    def on_click(self, event: events.Click) -> None:
        """Send the clicked key."""
        if key := self.find_key_at(event.x):
            self.app.simulate_key(key)

    def find_key_at(self, x: int) -> str | None:
        """Return the key at a cell of the line; None if there is none."""
        return next((key for end, key in self._spots if x < end), None) if x > 0 else None


WARNING_STYLES = ("warn", "broken")
"""Styles of messages that end with advice."""


class MessageLine(StripWidget):
    """The last result, an error, or details of the current row. A click shows recent messages."""

    def __init__(self, id: str = "message") -> None:
        super().__init__(id=id)
        self._spans: Sequence[Span] = ()

    def show(self, spans: Sequence[Span]) -> None:
        """Show one line of sanitized spans."""
        self._spans = spans
        self.redraw()

    def redraw(self) -> None:
        room = self.size.width - 1
        alone = len(self._spans) == 1
        spans = [
            (
                fit_message(text, room, self.look) if alone or style in WARNING_STYLES else text,
                style,
            )
            for text, style in self._spans
        ]
        self.draw([self.look.strip([(" ", ""), *spans], self.size.width)])

    def fit(self) -> None:
        self.redraw()

    async def on_click(self) -> None:
        await self.app.run_action("recent_messages")
