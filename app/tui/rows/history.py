"""History rows: series, figures and formats of each metric for queues, pools, templates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from app.core.text import units
from app.translation import tr, tr_noop
from app.tui.style import Look
from app.tui.widgets.chart import Series, Value
from app.tui.widgets.table_columns import Cell, Cells, TableColumn
from app.tui.widgets.table_parts import TableGrid, TableSection

SeriesStyle = tuple[str, str, str, str]
"""Series: name in the reply, legend, style, letter."""


@dataclass(frozen=True, slots=True)
class HistoryMetric:
    """Presentation of a metric.

    `unit` formats its series; `figures` are the columns as (name in the reply, heading, unit).
    """

    word: str
    title: str
    unit: str
    lines: tuple[SeriesStyle, ...]
    figures: tuple[tuple[str, str, str], ...]
    trend: str


def _make_duration_figures(of: str) -> tuple[tuple[str, str, str], ...]:
    return (
        ("count", of, "count"),
        ("p50", "P50", "time"),
        ("p95", "P95", "time"),
        ("most", tr_noop("MOST"), "time"),
    )


_HALVES: tuple[SeriesStyle, ...] = (("p50", "p50", "alive", "h"), ("p95", "p95", "warn", "n"))
_USE: tuple[SeriesStyle, ...] = (
    ("reserved", tr_noop("reserved"), "warn", "r"),
    ("measured", tr_noop("used"), "alive", "u"),
)


def _make_use_figures(unit: str) -> tuple[tuple[str, str, str], ...]:
    return (
        ("measured", tr_noop("USED"), unit),
        ("reserved", tr_noop("RESERVED"), unit),
        ("most", tr_noop("PEAK"), unit),
        ("of", tr_noop("OF"), unit),
    )


METRICS: dict[str, HistoryMetric] = {
    "throughput": HistoryMetric(
        "Throughput", "Throughput per {step}", "count",
        (("started", tr_noop("started"), "alive", "s"), ("ended", tr_noop("ended"), "well", "e"),
        ("failed", tr_noop("failed"), "late", "f")),
        (("started", tr_noop("STARTED"), "count"), ("ended", tr_noop("ENDED"), "count"),
        ("failed", tr_noop("FAILED"), "bad")),
        "ended",
    ),
    "waits": HistoryMetric("Waits", "Waited before the start, per {step}", "time", _HALVES,
    _make_duration_figures(tr_noop("STARTS")), "p95"),
    "runs": HistoryMetric("Run times", "Run times of successes, per {step}", "time", _HALVES,
    _make_duration_figures(tr_noop("SUCCEEDED")), "p95"),
    "failures": HistoryMetric(
        "Failures", "Failed of what ended, per {step}", "share",
        (("share", "failed", "late", "f"),),
        (("ended", "ENDED", "count"), ("failed", "FAILED", "bad"),
        ("share", tr_noop("SHARE"), "share")),
        "share",
    ),
    "cpu": HistoryMetric("CPU", "Cores, mean of {step}", "cores", _USE, _make_use_figures("cores"),
    "measured"),
    "memory": HistoryMetric("Memory", "Memory, mean of {step}", "size", _USE,
    _make_use_figures("size"), "measured"),
    "resources": HistoryMetric(
        "Resources", "Units of named resources, mean of {step}", "mean",
        (("reserved", "reserved", "warn", "r"),),
        (("reserved", "RESERVED", "mean"), ("most", "PEAK", "count"), ("of", "OF", "count")),
        "reserved",
    ),
    "waiting": HistoryMetric(
        "Waiting", "Tasks, mean of {step}", "mean",
        (("waiting", tr_noop("waiting"), "warn", "w"),
        ("running", tr_noop("running"), "alive", "r")),
        (("waiting", tr_noop("WAITING"), "mean"), ("running", tr_noop("RUNNING"), "mean"),
        ("most", "MOST", "count")),
        "waiting",
    ),
}  # fmt: skip

_FORMATS: dict[str, Callable[[float], str]] = {
    "count": units.format_count, "bad": units.format_count, "time": units.format_duration_setting,
    "size": units.format_memory, "cores": units.format_number,
    "share": lambda share: f"{share * 100:.3g}%",
    "mean": lambda number: f"{number:.3g}" if number < 100 else units.format_count(number),
}  # fmt: skip


def format_figure(value: Value, unit: str) -> str:
    """Format a figure; `–` if unknown."""
    if value is None:
        return units.MISSING
    return units.format_cpu(value) if unit == "cores" else _FORMATS[unit](value)


def format_tick(value: float, unit: str) -> str:
    """Format a figure for the axis."""
    return _FORMATS[unit](value)


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """A queue, pool or template, or the sum of all, with series and totals."""

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
        """Series drawn in the chart."""
        return tuple(
            Series(tr(word), tuple(self.series.get(name, ())), style, letter)
            for name, word, style, letter in METRICS[self.metric].lines
        )

    @property
    def trend(self) -> tuple[Value, ...]:
        """Series drawn in the table."""
        return tuple(self.series.get(METRICS[self.metric].trend, ()))


def make_rows(answer: Mapping[str, Any]) -> list[HistoryRow]:
    """Return the rows of a `history` reply."""
    return [
        HistoryRow(answer["metric"], answer["by"], row["name"], row["series"], row["total"])
        for row in answer["rows"]
    ]


def get_row_name(row: HistoryRow, look: Look) -> str:
    """Return the name of a row."""
    if row.name is None:
        return tr("all")
    return look.sanitize(row.name) or tr("(no template)")


@dataclass(frozen=True, slots=True)
class TrendCell:
    """A one-row chart: the maximum per cell, blank if unknown."""

    values: tuple[Value, ...]

    def draw(self, look: Look, cells: int) -> str:
        count = len(self.values)
        cut = [
            self.values[
                count * at // cells : max(count * at // cells + 1, count * (at + 1) // cells)
            ]
            for at in range(cells)
        ]
        most = [max((value for value in part if value is not None), default=None) for part in cut]
        top = max((value for value in most if value is not None), default=0.0)
        return "".join(
            " " if value is None else look.draw_sparkline([value], 1, top or None) for value in most
        )


def make_group_cells(row: HistoryRow, look: Look, now: float) -> Cells:
    """Return the cells of a row: name, trend, figures."""
    plain = row.name is None or row.name == ""
    figures = [
        Cell(
            look.adapt_text(format_figure(row.total.get(name), unit)),
            "late" if unit == "bad" and row.total.get(name) else "",
        )
        for name, _, unit in METRICS[row.metric].figures
    ]
    return (
        Cell(get_row_name(row, look), "bold" if row.name is None else "dim" if plain else ""),
        Cell(TrendCell(row.trend), "dim"),
        *figures,
    )


@cache
def get_section(metric: str) -> TableSection:
    """Return the table section of a metric."""
    figures = [
        TableColumn(head, max(7, len(head)), 10, right=True, fits=True, gap=2)
        for _, head, _ in METRICS[metric].figures
    ]
    columns = (
        TableColumn("", 12, 28, fits=True, floor=8, grow=2, gap=0, cut="middle"),
        TableColumn("", 10, 0, drop=1, grow=1, gap=2),
        *figures,
    )
    return TableSection("groups", TableGrid(columns, make_group_cells))
