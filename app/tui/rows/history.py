"""What the history screen shows of each metric: its lines, its figures, how they are written. Rows of queues, pools and templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from app.core.text import units
from app.tui.style import Look
from app.tui.widgets.chart import Series, Value
from app.tui.widgets.table_columns import Cell, Cells, Column
from app.tui.widgets.table_parts import Grid, Part

LineLook = tuple[str, str, str, str]
"""A series: its name in the answer, its word in the legend, its style, its letter."""


@dataclass(frozen=True, slots=True)
class Metric:
    """How one metric is shown. `unit` is how its lines are written, `figures` the columns: (name in the answer, head, unit)."""

    word: str
    title: str
    unit: str
    lines: tuple[LineLook, ...]
    figures: tuple[tuple[str, str, str], ...]
    trend: str


def _durations(of: str) -> tuple[tuple[str, str, str], ...]:
    return ("count", of, "count"), ("p50", "P50", "time"), ("p95", "P95", "time"), ("most", "MOST", "time")


_HALVES: tuple[LineLook, ...] = (("p50", "p50", "alive", "h"), ("p95", "p95", "warn", "n"))
_USE: tuple[LineLook, ...] = (("reserved", "reserved", "warn", "r"), ("measured", "used", "alive", "u"))


def _use(unit: str) -> tuple[tuple[str, str, str], ...]:
    return ("measured", "USED", unit), ("reserved", "RESERVED", unit), ("most", "PEAK", unit), ("of", "OF", unit)


SHOWN: dict[str, Metric] = {
    "throughput": Metric(
        "Throughput", "Throughput per {step}", "count",
        (("started", "started", "alive", "s"), ("ended", "ended", "well", "e"), ("failed", "failed", "late", "f")),
        (("started", "STARTED", "count"), ("ended", "ENDED", "count"), ("failed", "FAILED", "bad")), "ended",
    ),
    "waits": Metric("Waits", "Waited before the start, per {step}", "time", _HALVES, _durations("STARTS"), "p95"),
    "runs": Metric("Run times", "Run times of successes, per {step}", "time", _HALVES, _durations("SUCCEEDED"), "p95"),
    "failures": Metric(
        "Failures", "Failed of what ended, per {step}", "share", (("share", "failed", "late", "f"),),
        (("ended", "ENDED", "count"), ("failed", "FAILED", "bad"), ("share", "SHARE", "share")), "share",
    ),
    "cpu": Metric("CPU", "Cores, mean of {step}", "cores", _USE, _use("cores"), "measured"),
    "memory": Metric("Memory", "Memory, mean of {step}", "size", _USE, _use("size"), "measured"),
    "waiting": Metric(
        "Waiting", "Tasks, mean of {step}", "mean", (("waiting", "waiting", "warn", "w"), ("running", "running", "alive", "r")),
        (("waiting", "WAITING", "mean"), ("running", "RUNNING", "mean"), ("most", "MOST", "count")), "waiting",
    ),
}  # fmt: skip

_SAID: dict[str, Callable[[float], str]] = {
    "count": units.count, "bad": units.count, "time": units.setting, "size": units.memory, "cores": units.plain,
    "share": lambda share: f"{share * 100:.3g}%",
    "mean": lambda number: f"{number:.3g}" if number < 100 else units.count(number),
}  # fmt: skip


def said(value: Value, unit: str) -> str:
    """A figure as it is written: `–` where there is none."""
    if value is None:
        return units.MISSING
    return units.cpu(value) if unit == "cores" else _SAID[unit](value)


def tick(value: float, unit: str) -> str:
    """A figure on the axis."""
    return _SAID[unit](value)


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One queue, pool or template (by "all": all of them) with its lines and its figures of the whole span."""

    metric: str
    by: str
    name: str | None
    series: Mapping[str, Sequence[Value]]
    total: Mapping[str, Value]

    @property
    def key(self) -> str:
        return "all" if self.name is None else f"{self.by}:{self.name}"

    @property
    def lines(self) -> tuple[Series, ...]:
        """What the chart draws of it."""
        return tuple(
            Series(word, tuple(self.series.get(name, ())), style, letter) for name, word, style, letter in SHOWN[self.metric].lines
        )

    @property
    def trend(self) -> tuple[Value, ...]:
        """The line that stands in the table."""
        return tuple(self.series.get(SHOWN[self.metric].trend, ()))


def rows_of(answer: Mapping[str, Any]) -> list[GroupRow]:
    """The rows of an answer to `history`."""
    return [GroupRow(answer["metric"], answer["by"], row["name"], row["series"], row["total"]) for row in answer["rows"]]


def name_of(row: GroupRow, look: Look) -> str:
    """What a row is called."""
    if row.name is None:
        return "all"
    return look.theirs(row.name) or "(no template)"


@dataclass(frozen=True, slots=True)
class TrendLine:
    """A line in one row: the greatest value of each cell, blank where nothing is known."""

    values: tuple[Value, ...]

    def draw(self, look: Look, cells: int) -> str:
        count = len(self.values)
        cut = [self.values[count * at // cells : max(count * at // cells + 1, count * (at + 1) // cells)] for at in range(cells)]
        most = [max((value for value in part if value is not None), default=None) for part in cut]
        top = max((value for value in most if value is not None), default=0.0)
        return "".join(" " if value is None else look.spark([value], 1, top or None) for value in most)


def group_cells(row: GroupRow, look: Look, now: float) -> Cells:
    """Name, trend, figures."""
    plain = row.name is None or row.name == ""
    figures = [
        Cell(look.own(said(row.total.get(name), unit)), "late" if unit == "bad" and row.total.get(name) else "")
        for name, _, unit in SHOWN[row.metric].figures
    ]
    return (Cell(name_of(row, look), "bold" if row.name is None else "dim" if plain else ""), Cell(TrendLine(row.trend), "dim"), *figures)


@cache
def part_of(metric: str) -> Part:
    """The part of the table for a metric."""
    figures = [Column(head, max(7, len(head)), 10, right=True, fits=True, gap=2) for _, head, _ in SHOWN[metric].figures]
    columns = (Column("", 12, 28, fits=True, floor=8, grow=2, gap=0, cut="middle"), Column("", 10, 0, drop=1, grow=1, gap=2), *figures)
    return Part("groups", Grid(columns, group_cells))
