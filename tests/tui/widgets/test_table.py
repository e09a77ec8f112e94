"""The table: a cursor and marks by key, windows of parts, and only what changed drawn again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import App, ComposeResult
from textual.strip import Strip

from app.tui.style import Look
from app.tui.widgets.strips import differing
from app.tui.widgets.table import Table
from app.tui.widgets.table_columns import Cell, Column
from app.tui.widgets.table_parts import Grid, Part


@dataclass(frozen=True)
class Row:
    key: str
    text: str = ""


def cells(row: Row, look: Look, now: float) -> tuple[Cell, ...]:
    return Cell(look.theirs(row.key)), Cell(look.theirs(row.text))


GRID = Grid((Column("KEY", 6, gap=0), Column("TEXT", 10, grow=1)), cells)


def rows(*keys: str) -> list[Row]:
    return [Row(key) for key in keys]


def letters(first: int, count: int) -> list[Row]:
    return rows(*(f"r{n}" for n in range(first, first + count)))


class TableApp(App[None]):
    """One table of two parts."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Table((Part("top", GRID), Part("low", GRID)), id="table")
        self.opened: list[Any] = []

    def ticks(self) -> float:
        return 7.0

    def now(self) -> float:
        return 0.0

    def compose(self) -> ComposeResult:
        yield self.table

    def on_table_opened(self, event: Table.Opened) -> None:
        self.opened.append(event.item)


def drawn(table: Table) -> list[str]:
    return [line.rstrip() for line in table.shown_text()]


def count_refreshes(table: Table) -> list[int]:
    """The lines that are drawn again from now on."""
    lines: list[int] = []
    refresh = table.refresh

    def counting(*regions: Any, **options: Any) -> Any:
        for region in regions:
            lines.extend(range(region.y, region.bottom))
        return refresh(*regions, **options)

    table.refresh = counting  # type: ignore[method-assign]
    return lines


async def pressed(keys: Iterable[str], **shown: list[Row]) -> tuple[Table, list[str]]:
    """The table after these keys, and its lines as they then stood."""
    app = TableApp()
    async with app.run_test(size=(30, 10)) as pilot:
        app.table.show(shown)
        await pilot.press(*keys)
        return app.table, drawn(app.table)


async def test_the_cursor_walks_through_all_parts():
    table, shown = await pressed(["j", "j", "j"], top=rows("a", "b"), low=rows("c", "d"))
    assert table.cursor == "d"
    assert [line[:3] for line in shown if line.startswith("›")] == ["› d"]


async def test_the_cursor_stays_on_its_row_when_rows_come_and_go_around_it():
    app = TableApp()
    async with app.run_test(size=(30, 10)) as pilot:
        app.table.show({"top": rows("a", "b", "c")})
        await pilot.press("j")
        app.table.show({"top": rows("x", "y", "a", "b")})
        assert app.table.cursor == "b"
        app.table.show({"top": rows("y"), "low": rows("b")})
        assert app.table.cursor == "b"
        assert app.table.jumped_at == float("-inf")


async def test_when_its_row_goes_away_the_cursor_takes_the_place_and_the_jump_is_remembered():
    app = TableApp()
    async with app.run_test(size=(30, 10)) as pilot:
        app.table.show({"top": rows("a", "b", "c")})
        await pilot.press("j")
        app.table.show({"top": rows("a", "c")})
        assert app.table.cursor == "c"
        assert app.table.jumped_at == 7.0


async def test_the_cursor_goes_to_a_row_that_was_made_when_it_comes():
    app = TableApp()
    async with app.run_test(size=(30, 10)):
        app.table.show({"top": rows("a", "c")})
        app.table.lead_to("b")
        assert app.table.cursor == "a"
        app.table.show({"top": rows("a", "b", "c")})
        assert (app.table.cursor, app.table.jumped_at) == ("b", 7.0), "nobody has seen it there yet"


async def test_the_cursor_stays_where_it_was_put_while_the_row_was_waited_for():
    app = TableApp()
    async with app.run_test(size=(30, 10)) as pilot:
        app.table.show({"top": rows("a", "c")})
        app.table.lead_to("b")
        await pilot.press("j")
        app.table.show({"top": rows("a", "b", "c")})
        assert app.table.cursor == "c"


async def test_only_the_lines_that_differ_are_drawn_again():
    app = TableApp()
    async with app.run_test(size=(30, 10)):
        app.table.show({"top": rows("a", "b", "c"), "low": rows("d")})
        lines = count_refreshes(app.table)
        app.table.show({"top": [*rows("a"), Row("b", "news"), *rows("c")], "low": rows("d")})
        assert lines == [2]
        app.table.show({"top": [*rows("a"), Row("b", "news"), *rows("c")], "low": rows("d")})
        assert lines == [2]


async def test_equal_rows_keep_their_very_strip():
    app = TableApp()
    async with app.run_test(size=(30, 10)):
        app.table.show({"top": rows("a")})
        before = app.table.render_line(1)
        app.table.show({"top": [replace(Row("a"))]})
        assert app.table.render_line(1) is before


async def test_a_long_part_scrolls_in_its_window_and_leaves_the_next_part_in_sight():
    table, shown = await pressed(["G", "k", "k", "k"], top=letters(0, 20), low=letters(100, 3))
    assert table.cursor == "r19"
    assert "› r19" in shown[4] and shown[1].strip() == "r16"
    assert [line.strip() for line in shown[6:9]] == ["r100", "r101", "r102"]


async def test_pages_and_edges_move_far():
    assert (await pressed(["G"], top=letters(0, 50)))[0].cursor == "r49"
    assert (await pressed(["G", "g"], top=letters(0, 50)))[0].cursor == "r0"
    assert (await pressed(["pagedown"], top=letters(0, 50)))[0].cursor == "r8"
    assert (await pressed(["ctrl+d", "ctrl+d", "ctrl+u"], top=letters(0, 50)))[0].cursor == "r4"


async def test_space_marks_and_goes_down_and_the_marked_rows_are_the_chosen_ones():
    table, shown = await pressed(["space", "j", "space"], top=rows("a", "b", "c", "d"))
    assert [row.key for row in table.chosen()] == ["a", "c"]
    assert [line[:3] for line in shown[1:5]] == [" *a", "  b", " *c", "› d"]


async def test_a_mark_goes_with_its_row():
    app = TableApp()
    async with app.run_test(size=(30, 10)) as pilot:
        app.table.show({"top": rows("a", "b")})
        await pilot.press("space")
        app.table.show({"top": rows("b")})
        assert [row.key for row in app.table.chosen()] == ["b"]
        assert not app.table.marks


async def test_a_filter_hides_rows_and_says_so_in_the_title():
    app = TableApp()
    async with app.run_test(size=(30, 10)):
        app.table.view("top").title = "Rows"
        app.table.show({"top": rows("ab", "cd", "ae")})
        app.table.filter(lambda row: "a" in row.key, "a")
        assert [row.key for row in app.table.view("top").rows] == ["ab", "ae"]
        assert "Rows /a" in drawn(app.table)[0]
        app.table.filter(None)
        assert len(app.table.view("top").rows) == 3


async def test_a_click_moves_the_cursor_and_a_double_click_opens():
    app = TableApp()
    async with app.run_test(size=(30, 10)) as pilot:
        app.table.show({"top": rows("a", "b", "c")})
        await pilot.click(app.table, offset=(5, 3))
        assert app.table.cursor == "c"
        await pilot.click(app.table, offset=(5, 2), times=2)
        await pilot.pause()
        assert [row.key for row in app.opened] == ["b"]


async def test_a_click_on_the_row_under_the_cursor_opens_it_however_late_but_not_the_one_that_brings_the_focus():
    app = TableApp()
    async with app.run_test(size=(30, 10)) as pilot:
        app.table.show({"top": rows("a", "b", "c")})
        app.set_focus(None)
        await pilot.click(app.table, offset=(5, 1))
        assert app.table.cursor == "a" and app.opened == []
        await pilot.click(app.table, offset=(7, 1))
        await pilot.pause()
        assert [row.key for row in app.opened] == ["a"]


async def test_enter_opens_the_row_under_the_cursor():
    app = TableApp()
    async with app.run_test(size=(30, 10)) as pilot:
        app.table.show({"top": rows("a", "b")})
        await pilot.press("j", "enter")
        assert [row.key for row in app.opened] == ["b"]


async def test_an_empty_part_says_its_own_words():
    app = TableApp()
    async with app.run_test(size=(30, 10)):
        app.table.view("low").empty = [[("  Nothing waits.", "dim")]]
        app.table.show({"top": rows("a")})
        assert "  Nothing waits." in drawn(app.table)


async def test_markup_in_a_row_is_only_text():
    table, shown = await pressed([], top=[Row("[red]", "[/]x[b]")])
    assert shown[1] == "› [red]  [/]x[b]"


async def test_the_wheel_moves_the_window_under_it_and_keeps_the_cursor_in_sight():
    app = TableApp()
    async with app.run_test(size=(30, 10)) as pilot:
        app.table.show({"top": letters(0, 20), "low": letters(100, 9)})
        app.table.post_message(wheel(events.MouseScrollDown, app.table, 2))
        await pilot.pause()
        assert app.table.view("top").offset == 3
        assert app.table.cursor == "r3"
        app.table.post_message(wheel(events.MouseScrollDown, app.table, 7))
        await pilot.pause()
        assert app.table.view("low").offset == 3
        assert app.table.cursor == "r3"


def wheel(kind: type[events.MouseEvent], table: Table, y: int) -> events.MouseEvent:
    """A turn of the wheel over a line of the table."""
    return kind(table, 3, y, 0, 1, 0, False, False, False, 3, y)


async def test_the_cursor_is_lit_where_the_focus_is_at_once():
    app = TableApp()
    async with app.run_test(size=(30, 10)) as pilot:
        app.table.show({"top": rows("a")})
        assert drawn(app.table)[0].startswith("━▌KEY") and drawn(app.table)[1].startswith("›")
        app.set_focus(None)
        await pilot.pause()
        assert drawn(app.table)[0].startswith("─ KEY") and not drawn(app.table)[1].startswith("›")
        app.set_focus(app.table)
        await pilot.pause()
        assert drawn(app.table)[1].startswith("›")


@pytest.mark.parametrize(
    ("before", "after", "cells"),
    [
        ("10:42:07 ", "10:42:08 ", (7, 8)),
        ("夜间备份 a", "夜间份备 a", (4, 8)),
        ("e\u0301x", "ex", (0, 1)),
        ("ae\u0301x", "ae\u0300x", (1, 2)),
        ("夜\u0301x", "夜x", (0, 2)),
        ("ae\u0301\u0302x", "ae\u0301\u0303x", (1, 2)),
        ("ae\u0301\u0301x", "ae\u0301x", (1, 2)),
        ("x夜y", "夜xy", (0, 3)),
        ("same", "same", (0, 0)),
        ("short", "longer", (0, 6)),
    ],
)
def test_only_cells_that_differ_count_as_changed_and_no_wide_one_is_split(
    before: str, after: str, cells: tuple[int, int]
):
    assert differing(Strip([Segment(before)]), Strip([Segment(after)])) == cells


def test_a_cell_of_another_style_counts_as_changed():
    red = Strip([Segment("a"), Segment("b", Style(color="red")), Segment("c")])
    assert differing(Strip([Segment("abc")]), red) == (1, 2)
