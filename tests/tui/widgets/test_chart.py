"""Charts: lines, gaps and the cursor, in colour, in letters and in ASCII."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.text import units
from app.core.text.sanitize import measure_width as cells_of
from app.tui.style import Look
from app.tui.widgets import chart
from app.tui.widgets.chart import Plot, Series
from tests.test_imports import list_loaded_modules

COLOURS, PLAIN, ASCII = Look(), Look(colour=False), Look(ascii=True, utf8=False)
STARTED_LINE = Series("started", (0.0, 2.0, None, None, 4.0, 3.0, 1.0, 0.0), "alive", "s")


def make_plot(*lines: Series, top: float = 4) -> Plot:
    """Return a plot of lines, known in the buckets where the first line has a value."""
    known = tuple(value is not None for value in lines[0].values)
    return Plot(
        lines,
        known,
        chart.make_ticks(top, 4, "count", units.format_count),
        {0: "10:00", len(known) - 1: "12:00"},
    )


def draw_plot(
    plot: Plot, look: Look, moment: int | None = None, size: tuple[int, int] = (60, 10)
) -> list[str]:
    """Return the chart as lines of text."""
    rows, canvas = chart.draw_chart(plot, *size, look)
    return [
        "".join(text for text, _ in row)
        for row in chart.overlay_marks(rows, canvas, plot, moment, look)
    ]


@pytest.mark.parametrize("look", [COLOURS, PLAIN, ASCII])
@pytest.mark.parametrize("size", [(40, 5), (60, 10), (120, 20), (200, 30)])
def test_a_chart_fills_its_area_exactly(look: Look, size: tuple[int, int]):
    lines = draw_plot(make_plot(STARTED_LINE), look, 4, size)

    assert len(lines) == size[1] and {cells_of(line) for line in lines} == {size[0]}
    assert "\x1b" not in "".join(lines)


def test_an_ascii_chart_is_ascii():
    lines = draw_plot(make_plot(STARTED_LINE), ASCII, 4)

    assert "".join(lines).isascii() and {"s", ".", "|"} <= {
        c for line in lines[:-2] for c in line[2:]
    }


def test_each_line_has_its_letter_without_colours():
    other = Series("failed", (4.0, 4.0, None, None, 1.0, 1.0, 1.0, 1.0), "late", "f")

    lines = draw_plot(make_plot(STARTED_LINE, other), PLAIN)

    assert "s" in "".join(lines) and "f" in "".join(lines)


def test_unknown_buckets_are_dotted_and_not_drawn_as_zero():
    rows, canvas = chart.draw_chart(make_plot(STARTED_LINE), 60, 10, COLOURS)
    lines = draw_plot(make_plot(STARTED_LINE), COLOURS)

    gap = range(canvas.find_cell(2, 7), canvas.find_cell(3, 7) + 1)
    assert all(line[column] == "·" for line in lines[:-2] for column in gap)
    assert "·" not in lines[-1] + lines[-2]


def test_the_moment_under_the_cursor_is_a_line_through_the_chart():
    rows, canvas = chart.draw_chart(make_plot(STARTED_LINE), 60, 10, COLOURS)

    lines = draw_plot(make_plot(STARTED_LINE), COLOURS, 6)

    at = canvas.find_cell(6, 7)
    assert (
        all(line[at] != " " for line in lines[:-2])
        and sum(line[at] == "│" for line in lines[:-2]) >= 5
    )


@given(st.integers(2, 200), st.integers(20, 200), st.data())
def test_a_click_on_the_cell_of_a_bucket_finds_it_again(
    buckets: int, width: int, data: st.DataObject
):
    canvas, bucket = chart.PlotArea(5, width), data.draw(st.integers(0, buckets - 1))

    found = canvas.find_bucket(canvas.find_cell(bucket, buckets - 1), buckets - 1)

    assert found == bucket or (width < buckets and abs(found - bucket) <= buckets / width)


def test_an_empty_chart_keeps_its_axis():
    empty = Series("started", (None,) * 8, "alive", "s")

    lines = draw_plot(make_plot(empty, top=0), COLOURS)

    assert lines[0].startswith("1┤") and lines[-3].startswith("0┤") and "10:00" in lines[-1]


def test_a_single_value_between_gaps_is_visible():
    lone = Series("p50", (None, None, 3.0, None, None, None, None, None), "alive", "h")

    assert "•" in "".join(draw_plot(make_plot(lone), COLOURS))


@pytest.mark.parametrize(
    ("top", "kind", "labels"),
    [
        (0, "count", ["0", "1"]),
        (7, "count", ["0", "2", "4", "6", "8"]),
        (12_345, "count", ["0", "5,000", "10.0k", "15.0k"]),
        (0.07, "share", ["0", "0.02", "0.04", "0.06", "0.08"]),
        (7000, "time", ["0s", "30m", "1h", "1h30m", "2h"]),
        (3, "time", ["0s", "1s", "2s", "3s"]),
        (500_000, "time", ["0s", "2d", "4d", "6d"]),
        (9000, "size", ["0M", "4.0G", "8.0G", "12.0G"]),
    ],
)
def test_the_ticks_of_a_scale_are_round(top: float, kind: str, labels: list[str]):
    said = {
        "time": units.format_duration_setting,
        "size": units.format_memory,
        "share": units.format_number,
        "count": units.format_count,
    }[kind]

    found = chart.make_ticks(top, 4, kind, said)

    assert list(found.values()) == labels and max(found) >= top


@given(st.floats(0, 1e12), st.sampled_from(["count", "time", "size", "cores", "share"]))
def test_every_scale_reaches_its_top_in_a_few_ticks(top: float, kind: str):
    found = chart.make_ticks(top, 4, kind, str)

    assert 2 <= len(found) <= 5 and max(found) >= top * 0.999999


def test_time_labels_are_at_round_times():
    hour = chart.make_time_labels([1_795_028_760 + n * 60 for n in range(60)], 60, 80)
    day = chart.make_time_labels([1_795_028_400 + n * 900 for n in range(96)], 900, 80)
    week = chart.make_time_labels([1_795_024_800 + n * 7200 for n in range(84)], 7200, 80)

    assert len(hour) >= 4 and all(label[-1] == "0" and ":" in label for label in hour.values())
    assert len(day) >= 5 and all(label.endswith(":00") for label in day.values())
    assert len(week) == 7 and set(week.values()) <= {
        "Mon",
        "Tue",
        "Wed",
        "Thu",
        "Fri",
        "Sat",
        "Sun",
    }


def test_the_chart_library_is_loaded_with_the_first_chart():
    assert "plotext" not in list_loaded_modules("import app.tui.app, app.tui.screens.history")
