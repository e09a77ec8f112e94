"""Footer hints for marked rows: available commands and the number of rows they affect."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from app.core.board import (
    AlertEntry,
    EndedEntry,
    GroupEntry,
    NextEntry,
    PoolEntry,
    QueueEntry,
    RunningEntry,
)
from app.core.text import units
from app.translation import tr, tr_noop
from app.tui.actions.tasks import get_underlying_row, plan_toggles
from app.tui.data.list_rows import EndedMembers, PoolTableRow, RuleRow
from app.tui.widgets.footer import KeyHint

_ACTIVE = (RunningEntry, NextEntry)
UNMARK_HINT = KeyHint("esc", "unmark", "escape", 9)
MARK_HINT = KeyHint("space", "mark", "space", 10)


def list_marked_hints(rows: Sequence[Any]) -> list[KeyHint]:
    """Return the hints for marked rows with counts; commands for a single row are omitted."""
    lines = [get_underlying_row(row) for row in rows]
    rows = [
        one for row in lines for one in (row.tasks if isinstance(row, EndedMembers) else (row,))
    ]
    return [
        *_list_task_hints(rows), *_list_place_hints(rows), *_list_group_hints(rows), UNMARK_HINT
    ]  # fmt: skip


def _list_group_hints(rows: Sequence[Any]) -> list[KeyHint]:
    """Return the hints for groups, with the numbers of their tasks."""
    groups = [row for row in rows if isinstance(row, GroupEntry)]
    waiting = sum(group.waiting for group in groups)
    active = waiting + sum(group.running for group in groups)
    held = all(group.status == "held" for group in groups)
    return [
        *_make_hint("x", tr("cancel"), "x", 2, active),
        *_make_hint("p", tr("release") if held else tr("hold"), "p", 7, waiting),
        *_make_hint("r", tr("retry failed"), "r", 3, sum(group.failed for group in groups)),
    ]


def _list_task_hints(rows: Sequence[Any]) -> list[KeyHint]:
    active, waiting, ended = (_count_rows(rows, of) for of in (_ACTIVE, NextEntry, EndedEntry))
    toggles = [turn for turn, _ in plan_toggles([row for row in rows if isinstance(row, _ACTIVE)])]
    return [
        *_make_hint("x", tr("cancel"), "x", 2, active),
        *_make_hint("p", _format_toggles(toggles), "p", 7, len(toggles)),
        *_make_hint("t", tr("to front"), "t", 9, waiting),
        *_make_hint("r", tr("retry"), "r", 3, ended),
        *_make_hint("e", tr("edit"), "e", 11, active),
        *_make_hint("+ -", tr("priority of"), "plus", 13, active),
        *_make_hint("D", tr("delete"), "D", 12, ended),
    ]


def _list_place_hints(rows: Sequence[Any]) -> list[KeyHint]:
    """Return the hints for queues and pools; one with two rows counts once."""
    found = plan_toggles(
        [row for row in rows if isinstance(row, (QueueEntry, PoolEntry, PoolTableRow))]
    )
    return [
        *_make_hint("p", "/".join({tr(turn): None for turn, _ in found}), "p", 7, len(found)),
        *_make_hint("+ -", tr("priority of"), "plus", 13, _count_rows(rows, QueueEntry)),
        *_make_hint("D", tr("delete"), "D", 12, len(found)),
    ]


def list_marked_alert_hints(rows: Sequence[Any], can_silence: bool = False) -> list[KeyHint]:
    """Return the hints for marked alerts and rules, which some screens can silence."""
    firing = sum(isinstance(row, AlertEntry) and row.status == "firing" for row in rows)
    firing += sum(
        isinstance(row, RuleRow) and bool(row.firing) and row.until is None for row in rows
    )
    hints = _make_hint("a", tr("ack"), "a", 2, firing)
    if can_silence and all(isinstance(row, (AlertEntry, RuleRow)) for row in rows):
        hints += _make_hint("s", tr("silence"), "s", 3, len(rows))
        if all(isinstance(row, RuleRow) for row in rows):
            on = sum(row.enabled for row in rows)
            hints += _make_hint(
                "p", tr("turn off") if on else tr("turn on"), "p", 6, on or len(rows)
            )
            hints += _make_hint("D", tr("delete"), "D", 11, len(rows))
    return [*hints, UNMARK_HINT]


_FILTER_KEYS = {
    "cancel": ("x", tr_noop("cancel all marked"), 2),
    "hold": ("p", tr_noop("hold all marked"), 7),
    "release": ("p", tr_noop("release all marked"), 7),
    "front": ("t", tr_noop("to front all marked"), 9),
    "retry": ("r", tr_noop("retry all marked"), 3),
    "rm": ("D", tr_noop("delete all marked"), 12),
}  # fmt: skip


def list_filter_hints(verbs: Collection[str]) -> list[KeyHint]:
    """Return the hints for all tasks of a filter, for these commands."""
    keys = [_FILTER_KEYS[verb] for verb in _FILTER_KEYS if verb in verbs]
    return [*(KeyHint(key, words, key, worth) for key, words, worth in keys), UNMARK_HINT]


def _count_rows(rows: Sequence[Any], of: type | tuple[type, ...]) -> int:
    return sum(isinstance(row, of) for row in rows)


def _format_toggles(turns: Sequence[str]) -> str:
    return "/".join(tr(turn) for turn in sorted(set(turns)))


def _make_hint(shown: str, words: str, key: str, worth: int, count: int) -> list[KeyHint]:
    """Return the hint if it applies to at least one row."""
    return (
        [
            KeyHint(
                shown,
                tr("{action} {count} marked", action=words, count=units.format_count(count)),
                key,
                worth,
            )
        ]
        if count
        else []
    )
