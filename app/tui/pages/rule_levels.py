"""Levels of a rule on its page: a line for each comparison, and a bar to its deadline."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.core.text.sanitize import measure_width
from app.translation import tr
from app.tui.style import Look, Span
from app.tui.time_format import format_wall_time

Levels = Sequence[Mapping[str, Any]]
LOW_LINES, MOST_LINES = 3, 6
"""Comparisons that a low and a tall box list."""
BAR_CELLS = 100
"""Maximum cells of a bar."""
IS_BROKEN_BY: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le, "==": operator.eq,
    "!=": operator.ne,
}  # fmt: skip


def list_level_lines(levels: Levels, room: int, is_low: bool, look: Look) -> list[list[Span]]:
    """Return a line for each level, such as `now: queued tasks 143, limit 100, queue media`."""
    most = LOW_LINES if is_low else MOST_LINES
    lines: list[list[Span]] = []
    head = tr("now:")
    for place, level in enumerate(levels[:most]):
        more = (
            tr("   {more} more", more=len(levels) - most)
            if place == most - 1 < len(levels) - 1
            else ""
        )
        text = look.sanitize(f"{head if not place else ' ' * measure_width(head)} {level['text']}")
        shown = look.cut(text, room - 3 - measure_width(more))
        lines.append([(f"  {shown}", "broken" if is_broken(level) else ""), (more, "dim")])
    return lines


def explain_no_value(rule: Mapping[str, Any]) -> str:
    """Return why a rule in use has no level."""
    if rule["conditions"].get("active_time"):
        return tr("not judged outside of its hours")
    return tr("unknown until a runtime evaluates it")


def is_broken(level: Mapping[str, Any]) -> bool:
    """Return whether a comparison is true now."""
    value, limit = level["value"], level["limit"]
    return value is not None and limit is not None and IS_BROKEN_BY[level["op"]](value, limit)


def find_charted(levels: Levels) -> Mapping[str, Any] | None:
    """Return the level whose values a trail has: the first that is no deadline."""
    return next((level for level in levels if "due" not in level), None)


def draw_due(levels: Levels, room: int, height: int, now: float, look: Look) -> list[list[Span]]:
    """Draw the time to the first deadline, with the range of a forecast; nothing without space."""
    level = next((level for level in levels if level.get("due") is not None), None)
    cells = min(BAR_CELLS, room - 8)
    if level is None or height < 2 or cells < 30:
        return []
    due, expected = level["due"], level.get("expected")
    times = [at for at in (expected or ()) if at is not None]
    begin = now if times else min(level["since"], now)
    span = max(due, now, *times) - begin or 1.0

    def place(at: float) -> int:
        return max(0, min(cells - 1, round((at - begin) / span * (cells - 1))))

    bar = ["·"] * cells
    if times:
        _fill(bar, place(times[0]), place(times[-1]), "─")
        bar[place(times[0])], bar[place(times[-1])] = "‹", "›"
        bar[place(times[min(1, len(times) - 1)])] = "●"
    else:
        _fill(bar, 0, place(now), "━")
    bar[place(due)] = "│"
    style = "late" if is_broken(level) else ""
    labels = [
        (place(due), tr("due {time}", time=format_wall_time(due, now))),
        (place(now), tr("now")),
        (0, "" if times else format_wall_time(begin, now)),
    ]
    return [
        [(f"    {look.adapt_text(''.join(bar))}", style)],
        [(f"    {_set_labels(labels, cells)}", "dim")],
    ]


def _fill(bar: list[str], first: int, last: int, glyph: str) -> None:
    bar[first : last + 1] = [glyph] * (last + 1 - first)


def _set_labels(labels: Sequence[tuple[int, str]], cells: int) -> str:
    """Return a line with labels at their places; a label that finds no room is left out."""
    line = [" "] * cells
    for place, text in labels:
        first = min(place, cells - measure_width(text))
        end = first + measure_width(text)
        if text and not "".join(line[max(0, first - 1) : end + 1]).strip():
            line[first:end] = [text, *[""] * (end - first - 1)]
    return "".join(line).rstrip()
