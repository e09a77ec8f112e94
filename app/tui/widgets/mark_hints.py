"""The keys of the footer while rows are marked: what can be done with them, and with how many."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from app.core.board import AlertLine, EndedLine, NextLine, PoolLine, QueueLine, RunningLine
from app.core.text import units
from app.tui.actions.tasks import plain, turns
from app.tui.panes.pools import PoolRow
from app.tui.rows.rules import RuleRow
from app.tui.widgets.footer import Hint

_ACTIVE = (RunningLine, NextLine)
UNMARK = Hint("esc", "unmark", "escape", 9)
MARK = Hint("space", "mark", "space", 10)


def marked_hints(rows: Sequence[Any]) -> list[Hint]:
    """The keys that mean marked rows, with how many they mean; what can be done with one row only is not among them."""
    rows = [plain(row) for row in rows]
    return [*_of_tasks(rows), *_of_places(rows), UNMARK]


def _of_tasks(rows: Sequence[Any]) -> list[Hint]:
    active, waiting, ended = (_count(rows, of) for of in (_ACTIVE, NextLine, EndedLine))
    turned = [turn for turn, _ in turns([row for row in rows if isinstance(row, _ACTIVE)])]
    return [
        *_hint("x", "cancel", "x", 2, active),
        *_hint("p", _turned(turned), "p", 7, len(turned)),
        *_hint("t", "to front", "t", 9, waiting),
        *_hint("r", "run again", "r", 3, ended),
        *_hint("e", "edit", "e", 11, active),
        *_hint("+ -", "priority of", "plus", 13, active),
        *_hint("D", "delete", "D", 12, ended),
    ]


def _of_places(rows: Sequence[Any]) -> list[Hint]:
    """Of queues and pools, each of which is one even where it has two rows."""
    found = turns([row for row in rows if isinstance(row, (QueueLine, PoolLine, PoolRow))])
    return [
        *_hint("p", "/".join({turn: None for turn, _ in found}), "p", 7, len(found)),
        *_hint("+ -", "priority of", "plus", 13, _count(rows, QueueLine)),
        *_hint("D", "delete", "D", 12, len(found)),
    ]


def marked_alert_hints(rows: Sequence[Any], silenced: Callable[[Any], bool] | None = None) -> list[Hint]:
    """The keys that mean marked alerts and rules. `silenced`: whether a row has a rule, where rules can be asked something."""
    firing = sum(isinstance(row, AlertLine) and row.status == "firing" for row in rows)
    firing += sum(isinstance(row, RuleRow) and bool(row.firing) and row.until is None for row in rows)
    hints = _hint("a", "ack", "a", 2, firing)
    if silenced and all(map(silenced, rows)):
        hints += _hint("s", "silence", "s", 3, len(rows))
        if all(isinstance(row, RuleRow) for row in rows):
            on = sum(row.enabled for row in rows)
            hints += _hint("p", "turn off" if on else "turn on", "p", 6, on or len(rows))
            hints += _hint("D", "delete", "D", 11, len(rows))
    return [*hints, UNMARK]


_OF_ALL = {
    "cancel": ("x", "cancel", 2), "hold": ("p", "hold", 7), "release": ("p", "release", 7), "front": ("t", "to front", 9),
    "retry": ("r", "run again", 3), "rm": ("D", "delete", 12),
}  # fmt: skip


def all_hints(verbs: Collection[str]) -> list[Hint]:
    """The keys that mean all that a filter means, for these verbs."""
    keys = [_OF_ALL[verb] for verb in _OF_ALL if verb in verbs]
    return [*(Hint(key, f"{words} all marked", key, worth) for key, words, worth in keys), UNMARK]


def _count(rows: Sequence[Any], of: type | tuple[type, ...]) -> int:
    return sum(isinstance(row, of) for row in rows)


_TURNS = {"resume": "continue"}


def _turned(turns: Sequence[str]) -> str:
    return "/".join(_TURNS.get(name, name) for name in sorted(set(turns)))


def _hint(shown: str, words: str, key: str, worth: int, count: int) -> list[Hint]:
    """The key, when there is something to do it with."""
    return [Hint(shown, f"{words} {units.count(count)} marked", key, worth)] if count else []
