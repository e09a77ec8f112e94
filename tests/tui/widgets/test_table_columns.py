"""Which columns fit, and how wide they are."""

from __future__ import annotations

import pytest

from app.tui.style import Look
from app.tui.widgets.table_columns import Bar, Cell, Column, furthest, heads, layout, row_strip

COLUMNS = (
    Column("ID", 4, 7, right=True, fits=True, gap=0),
    Column("NAME", 10, 20, grow=1, floor=5, cut="middle"),
    Column("QUEUE", 6, drop=2),
    Column("OUTPUT", 12, grow=2, floor=8, drop=1),
)


def widths(room: int, contents: tuple[int, ...] = (), begin: int = 0) -> dict[str, int]:
    return {COLUMNS[place.number].head: place.width for place in layout(COLUMNS, room, contents, begin)}


def test_all_columns_stand_at_their_least_when_there_is_just_room():
    assert widths(37) == {"ID": 4, "NAME": 10, "QUEUE": 6, "OUTPUT": 12}


def test_spare_room_goes_to_the_name_first_and_then_to_the_rest():
    assert widths(60) == {"ID": 4, "NAME": 20, "QUEUE": 6, "OUTPUT": 25}


def test_columns_shrink_to_their_floor_before_any_is_dropped():
    assert widths(29) == {"ID": 4, "NAME": 6, "QUEUE": 6, "OUTPUT": 8}


def test_columns_are_dropped_in_their_order():
    assert widths(26) == {"ID": 4, "NAME": 12, "QUEUE": 6}
    assert widths(16) == {"ID": 4, "NAME": 9}


def test_numbers_are_never_cut_but_widen_their_column():
    assert widths(37, (6,))["ID"] == 6


MANY = (Column("ID", 4, gap=0), *(Column(head, 5, drop=drop) for head, drop in zip("ABCDE", (2, 1, 1, 3, 1), strict=True)))


def along(begin: int, room: int = 24) -> str:
    return "".join(MANY[place.number].head for place in layout(MANY, room, (), begin)).removeprefix("ID")


def test_going_sideways_shows_the_columns_in_their_order_until_the_last_one_is_in():
    assert [along(begin) for begin in range(4)] == ["ADE", "ABC", "BCD", "CDE"]
    assert furthest(MANY, 24) == 3


def test_where_all_columns_fit_there_is_nowhere_to_go():
    assert furthest(MANY, 60) == 0


def test_the_last_column_is_shown_alone_where_there_is_room_for_one_only():
    assert [along(furthest(MANY, room), room) for room in (12, 11)] == ["E", ""]


def test_heads_stand_over_their_columns():
    assert heads(COLUMNS, layout(COLUMNS, 37)) == [(4, "ID"), (7, "NAME"), (18, "QUEUE"), (25, "OUTPUT")]


@pytest.mark.parametrize("room", range(12, 80))
def test_a_row_fills_its_room_exactly_even_with_wide_names(room: int):
    cells = (Cell("1042"), Cell("夜间备份夜间备份夜间备份"), Cell("default"), Cell(Bar(1, 2)))
    strip = row_strip(COLUMNS, layout(COLUMNS, room), cells, room, Look())
    assert sum(segment.cell_length for segment in strip) == room


def test_a_cell_may_cover_the_columns_after_it():
    cells = (Cell("1"), Cell("no limit at all, it runs on", "", 3), Cell(""), Cell(""))
    assert row_strip(COLUMNS, layout(COLUMNS, 37), cells, 37, Look()).text == "     1 no limit at all, it runs on   "
