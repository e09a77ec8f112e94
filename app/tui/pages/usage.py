"""Usage page: what tasks of a period used, a line for each group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from app.core.filter_query import quote_word
from app.core.text import units
from app.core.text.sanitize import measure_width, pad
from app.translation import tr, tr_noop
from app.tui.style import Look, Span
from app.tui.time_format import format_wall_time
from app.tui.widgets.document import DocRow, Section

TAG = "tag:"
_WORDS = {
    "queue": tr_noop("Queue"), "template": tr_noop("Template"), "user": tr_noop("User"),
    "group": tr_noop("Group"), "name": tr_noop("Name"),
}  # fmt: skip
KINDS = tuple(_WORDS)
SPANS = ("1d", "7d", "30d", "90d", "365d")
"""Periods that one key steps through."""
MAX_ROWS = 500
"""Groups that are listed, those with most CPU hours first."""
NAME_CELLS = 24
"""Width up to which columns are left out for long names."""


class _Column(NamedTuple):
    title: str
    key: str
    drop: int
    """Order in which columns are left out: the highest goes first; 0 stays."""


_COLUMNS = (
    _Column(tr_noop("TASKS"), "tasks", 0),
    _Column(tr_noop("RUNS"), "runs", 6),
    _Column(tr_noop("FAILED"), "failed", 1),
    _Column(tr_noop("CPU H"), "cpu_hours", 0),
    _Column(tr_noop("USED H"), "cpu_used_hours", 4),
    _Column(tr_noop("MEM GIB H"), "memory_gib_hours", 5),
    _Column(tr_noop("GPU H"), "gpu_hours", 0),
    _Column(tr_noop("WAIT"), "mean_wait", 2),
    _Column(tr_noop("LONGEST"), "longest_wait", 3),
)


def build_usage(
    found: Mapping[str, Any] | None, by: str, since: str, now: float, room: int, look: Look
) -> Iterator[Section]:
    """Yield the table, with the sum of all groups first, and what it lacks."""
    title = tr(
        "By {kind}, last {since}",
        kind=look.sanitize(by.removeprefix(TAG)) if by.startswith(TAG) else tr(_WORDS[by]).lower(),
        since=since,
    )
    if found is None:
        yield Section(title, (DocRow(((look.adapt_text(tr("reading…")), "dim"),)),))
        return
    rows = found["rows"][:MAX_ROWS]
    if not rows:
        yield Section(title, (DocRow(((tr("No runs in this time."), "dim"),)),))
    else:
        yield Section(title, tuple(_build_table(found, rows, room, look)))
    notes: list[str] = []
    if left := len(found["rows"]) - len(rows):
        notes.append(tr("{left:,} more groups are not listed.", left=left))
    if complete := found["complete_since"]:
        at = format_wall_time(datetime.fromisoformat(complete).timestamp(), now)
        notes.append(tr("Complete since {at}: cleanup removed older runs.", at=at))
    if notes:
        yield Section("", tuple(DocRow(((look.adapt_text(note), "dim"),)) for note in notes))


def _build_table(
    found: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], room: int, look: Look
) -> Iterator[DocRow]:
    shown = [found["total"] | {"name": tr("all")}, *rows]
    names = [units.MISSING if row["name"] is None else look.sanitize(row["name"]) for row in shown]
    cells = [[_format(column.key, row) for row in shown] for column in _COLUMNS]
    widths = [
        max(measure_width(tr(column.title)), *map(len, texts))
        for column, texts in zip(_COLUMNS, cells, strict=True)
    ]
    kept = list(range(len(_COLUMNS)))
    least = min(NAME_CELLS, max(map(measure_width, names)))
    while sum(widths[at] + 2 for at in kept) + least + 4 > room and len(kept) > 3:
        kept.remove(max(kept, key=lambda at: _COLUMNS[at].drop))
    left = room - 4 - sum(widths[at] + 2 for at in kept)
    width = max(6, min(left, max(map(measure_width, names))))
    head = "".join(f"  {pad(tr(_COLUMNS[at].title), widths[at], '>')}" for at in kept)
    yield DocRow(((" " * width + head, "dim"),))
    for number, name in enumerate(names):
        figures = "".join(f"  {cells[at][number]:>{widths[at]}}" for at in kept)
        span: Span = (pad(look.cut(name, width, "middle"), width), "" if number else "bold")
        target = f"row:{number}" if number else ""
        yield DocRow((span, (look.adapt_text(figures), "" if number else "bold")), target)


def _format(key: str, row: Mapping[str, Any]) -> str:
    value = row[key]
    if key.endswith("_wait"):
        return units.format_duration(value)
    return units.format_hours(value) if key.endswith("hours") else f"{value:,}"


def make_filter(by: str, name: str | None) -> str | None:
    """Return the filter of the tasks of a group, None if no filter selects them."""
    if by.startswith(TAG):
        key = by.removeprefix(TAG)
        return (
            f"tag:{quote_word(f'{key}={name}')}" if name is not None else f"!tag:{quote_word(key)}"
        )
    if name is None:
        return None
    word = {"user": "by"}.get(by, by)
    return f"{word}:{quote_word(name)}"
