"""Line charts over time, drawn by plotext.

Colours, gaps and the marked moment are added here. plotext is imported with the first chart, so
that the screen appears at once: the import takes 30 ms, a chart 2 to 5 ms.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.translation import ENGLISH, get_language
from app.tui.style import Look, Span

Value = float | None
_COLOURS = {"alive": 6, "well": 2, "warn": 3, "late": 1, "": 7, "dim": 8}
"""Colour numbers in plotext's output by style name; used only to find the style again."""
_STYLES = {f"38;5;{number}": style for style, number in _COLOURS.items()} | {
    f"{30 + number}": style for style, number in _COLOURS.items() if number < 8
}
_SGR = re.compile(r"\x1b\[([\d;]*)m")
_ASCII = str.maketrans("┤┬└─│", "|++-|")
GAP, MOMENT = "·", "│"


@dataclass(frozen=True, slots=True)
class Series:
    """A line with one value per bucket, None where unknown. `letter` draws it without colours."""

    word: str
    values: tuple[Value, ...]
    style: str
    letter: str


@dataclass(frozen=True, slots=True)
class Plot:
    """A chart: lines, known buckets, and the ticks of both axes as {place: label}."""

    lines: tuple[Series, ...]
    known: tuple[bool, ...]
    ticks: Mapping[float, str]
    marks: Mapping[int, str]

    @property
    def last(self) -> int:
        """Number of the last bucket."""
        return max(1, len(self.known) - 1)


@dataclass(frozen=True, slots=True)
class PlotArea:
    """Position of the plot area: first cell and width in cells."""

    left: int
    width: int

    def find_cell(self, bucket: int, last: int) -> int:
        """Return the cell of a bucket."""
        return self.left + round(bucket / last * (self.width - 1))

    def find_bucket(self, column: int, last: int) -> int:
        """Return the bucket at a cell."""
        return max(0, min(last, round((column - self.left) / max(1, self.width - 1) * last)))


def draw_chart(
    shown: Plot, width: int, height: int, look: Look
) -> tuple[list[list[Span]], PlotArea]:
    """Draw a chart; return its lines and the position of the plot area."""
    import plotext as figure

    figure.clear_figure()
    figure.theme("clear")
    figure.limitsize(False, False)
    figure.plotsize(width, height)
    figure.xaxes(True, False)
    figure.yaxes(True, False)
    figure.plot([0], [0], marker=" ")  # plotext draws no ticks without a point
    for line in shown.lines:
        for first, values in split_segments(line.values):
            places = list(range(first, first + len(values)))
            figure.plot(
                places,
                values,
                marker=choose_marker(line, len(values), look),
                color=_COLOURS[line.style],
            )
    figure.xlim(0, shown.last)
    figure.ylim(0, max(shown.ticks, default=1) or 1)
    figure.yticks(list(shown.ticks), list(shown.ticks.values()))
    figure.xticks(list(shown.marks), list(shown.marks.values()))
    rows = [_parse_spans(line, look) for line in figure.build().splitlines()]
    left = max((len(label) for label in shown.ticks.values()), default=0) + 1
    return rows[:height], PlotArea(left, width - left)


def choose_marker(line: Series, length: int, look: Look) -> str:
    """Return the marker of a line: dots if colours distinguish lines, else its letter.

    A single point gets a large dot.
    """
    if look.ascii or not look.colour:
        return line.letter
    return "braille" if length > 1 else "•"


def split_segments(values: Sequence[Value]) -> Iterable[tuple[int, list[float]]]:
    """Split values at gaps; return the position and values of each segment."""
    found: list[tuple[int, list[float]]] = []
    for at, value in enumerate(values):
        if value is None:
            continue
        if found and found[-1][0] + len(found[-1][1]) == at:
            found[-1][1].append(value)
        else:
            found.append((at, [value]))
    return found


def _parse_spans(line: str, look: Look) -> list[Span]:
    """Convert a line of plotext's output to spans."""
    spans: list[Span] = []
    style = "dim"
    for at, piece in enumerate(_SGR.split(line)):
        if at % 2:
            style = _STYLES.get(piece, "dim")
        elif piece:
            spans.append((piece.translate(_ASCII) if look.ascii else piece, style))
    return spans


def overlay_marks(
    rows: Sequence[Sequence[Span]], canvas: PlotArea, shown: Plot, moment: int | None, look: Look
) -> list[list[Span]]:
    """Add dots to unknown buckets and mark the moment under the cursor."""
    gaps = [
        n + canvas.left
        for n in range(canvas.width)
        if not shown.known[canvas.find_bucket(n + canvas.left, shown.last)]
    ]
    at = None if moment is None else canvas.find_cell(moment, shown.last)
    return [_overlay_row(row, gaps, at, look) for row in rows[:-2]] + [
        list(row) for row in rows[-2:]
    ]


def _overlay_row(
    row: Sequence[Span], gaps: Sequence[int], at: int | None, look: Look
) -> list[Span]:
    cells = [(c, style) for text, style in row for c in text]
    for column in gaps:
        if column < len(cells) and cells[column][0] == " ":
            cells[column] = (look.adapt_text(GAP), "dim")
    if at is not None and at < len(cells):
        cells[at] = (
            (look.adapt_text(MOMENT), "bold")
            if cells[at][0] in (" ", look.adapt_text(GAP))
            else (cells[at][0], "cursor")
        )
    return merge_spans(cells)


def merge_spans(cells: Iterable[Span]) -> list[Span]:
    """Merge neighbouring spans of one style."""
    spans: list[Span] = []
    for text, style in cells:
        if spans and spans[-1][1] == style:
            spans[-1] = (spans[-1][0] + text, style)
        else:
            spans.append((text, style))
    return spans


# --- scales ---

_DURATIONS = (
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    14400,
    28800,
    43200,
    86400,
)


def make_ticks(
    top: float, most: int, kind: str, format_tick: Callable[[float], str]
) -> dict[float, str]:
    """Return ticks from 0 to at least `top`, with at most `most` above 0.

    Steps are 1, 2 or 5 times a power of ten (whole for `count`), clock units for `time`, powers of
    two for `size`. `format_tick` formats a tick.
    """
    step = next(step for step in _iter_steps(kind) if step * most >= top)
    number = max(1, math.ceil(top / step - 1e-9))
    ticks = [round(step * n, 9) for n in range(number + 1)]
    return {tick: format_tick(tick) for tick in ticks}


def _iter_steps(kind: str) -> Iterable[float]:
    if kind == "size":
        yield from (2.0**power for power in range(0, 60))
    if kind == "time":
        yield from _DURATIONS
    day = _DURATIONS[-1] if kind == "time" else 1.0
    for power in range(0 if kind in ("count", "time") else -3, 18):
        yield from (day * one * 10.0**power for one in (1, 2, 5))


def make_time_labels(at: Sequence[float], step: float, room: int) -> dict[int, str]:
    """Return time axis labels as {bucket: label}, at round local times that fit in `room` cells.

    A week is labelled with days.
    """
    every = next(
        (
            minutes
            for minutes in (5, 10, 15, 30, 60, 120, 180, 240, 360, 720)
            if _has_room(minutes, at, step, room)
        ),
        1440,
    )
    moments = [datetime.fromtimestamp(begin).astimezone() for begin in at]
    # the chart cannot place wide characters
    day = "%a" if get_language() == ENGLISH else "%m-%d"
    return {
        number: f"{moment:{day}}" if every == 1440 else f"{moment:%H:%M}"
        for number, moment in enumerate(moments)
        if (moment.hour * 60 + moment.minute) % every < step / 60
    }


def _has_room(minutes: int, at: Sequence[float], step: float, room: int) -> bool:
    return step <= minutes * 60 and len(at) * step / 60 / minutes * 9 <= room
