"""Column layout: which columns fit and how wide they are."""

from __future__ import annotations

import pytest

from app.tui.style import Look
from app.tui.widgets.table_columns import (
    BarCell,
    Cell,
    TableColumn,
    find_last_offset,
    make_row_strip,
    place_columns,
    place_heads,
)

pytestmark = pytest.mark.unit

COLUMNS = (
    TableColumn("ID", 4, 7, right=True, fits=True, gap=0),
    TableColumn("NAME", 10, 20, grow=1, floor=5, cut="middle"),
    TableColumn("QUEUE", 6, drop=2),
    TableColumn("OUTPUT", 12, grow=2, floor=8, drop=1),
)


def measure_widths(room: int, contents: tuple[int, ...] = (), begin: int = 0) -> dict[str, int]:
    return {
        COLUMNS[place.number].head: place.width
        for place in place_columns(COLUMNS, room, contents, begin)
    }


def test_all_columns_have_their_minimum_when_space_just_suffices():
    assert measure_widths(37) == {"ID": 4, "NAME": 10, "QUEUE": 6, "OUTPUT": 12}


def test_spare_width_goes_to_the_name_first():
    assert measure_widths(60) == {"ID": 4, "NAME": 20, "QUEUE": 6, "OUTPUT": 25}


def test_columns_shrink_to_their_floor_before_one_is_dropped():
    assert measure_widths(29) == {"ID": 4, "NAME": 6, "QUEUE": 6, "OUTPUT": 8}


def test_columns_are_dropped_in_their_order():
    assert measure_widths(26) == {"ID": 4, "NAME": 12, "QUEUE": 6}
    assert measure_widths(16) == {"ID": 4, "NAME": 9}


def test_numbers_widen_their_column_and_are_never_cut():
    assert measure_widths(37, (6,))["ID"] == 6


TEXT_COLUMNS = (
    TableColumn("NAME", 6, 20, fits=True, grow=1, floor=6),
    TableColumn("OUTPUT", 6, fits=True, grow=2, floor=10),
)


@pytest.mark.parametrize(
    ("contents", "widths"),
    [((4, 4), [6, 6]), ((18, 4), [18, 6]), ((18, 90), [18, 19]), ((90, 90), [20, 17])],
)
def test_names_come_before_outputs_and_need_no_more_than_their_content(
    contents: tuple[int, int], widths: list[int]
):
    assert [place.width for place in place_columns(TEXT_COLUMNS, 40, contents)] == widths


MANY_COLUMNS = (
    TableColumn("ID", 4, gap=0),
    *(TableColumn(head, 5, drop=drop) for head, drop in zip("ABCDE", (2, 1, 1, 3, 1), strict=True)),
)


def list_scrolled_columns(begin: int, room: int = 24) -> str:
    return "".join(
        MANY_COLUMNS[place.number].head for place in place_columns(MANY_COLUMNS, room, (), begin)
    ).removeprefix("ID")


def test_scrolling_sideways_shows_columns_in_order_up_to_the_last():
    assert [list_scrolled_columns(begin) for begin in range(4)] == ["ADE", "ABC", "BCD", "CDE"]
    assert find_last_offset(MANY_COLUMNS, 24) == 3


def test_no_scrolling_where_all_columns_fit():
    assert find_last_offset(MANY_COLUMNS, 60) == 0


def test_the_last_column_is_shown_alone_where_only_one_fits():
    assert [
        list_scrolled_columns(find_last_offset(MANY_COLUMNS, room), room) for room in (12, 11)
    ] == ["E", ""]


def test_headings_align_with_their_columns():
    assert place_heads(COLUMNS, place_columns(COLUMNS, 37)) == [
        (4, "ID"),
        (7, "NAME"),
        (18, "QUEUE"),
        (25, "OUTPUT"),
    ]


@pytest.mark.parametrize("room", range(12, 80))
def test_a_row_fills_its_width_exactly_even_with_wide_names(room: int):
    cells = (Cell("1042"), Cell("夜间备份夜间备份夜间备份"), Cell("default"), Cell(BarCell(1, 2)))
    strip = make_row_strip(COLUMNS, place_columns(COLUMNS, room), cells, room, Look())
    assert sum(segment.cell_length for segment in strip) == room


def test_a_cell_may_span_the_following_columns():
    cells = (Cell("1"), Cell("no limit at all, it runs on", "", 3), Cell(""), Cell(""))
    assert (
        make_row_strip(COLUMNS, place_columns(COLUMNS, 37), cells, 37, Look()).text
        == "     1 no limit at all, it runs on   "
    )
