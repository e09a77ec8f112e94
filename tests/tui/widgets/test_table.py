"""Table: cursor and marks by key, sections that scroll, and minimal redrawing."""

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
from app.tui.widgets.strips import find_difference
from app.tui.widgets.table import Table
from app.tui.widgets.table_columns import Cell, TableColumn
from app.tui.widgets.table_parts import TableGrid, TableSection


@dataclass(frozen=True)
class KeyedRow:
    key: str
    text: str = ""


def make_cells(row: KeyedRow, look: Look, now: float) -> tuple[Cell, ...]:
    return Cell(look.sanitize(row.key)), Cell(look.sanitize(row.text))


GRID = TableGrid((TableColumn("KEY", 6, gap=0), TableColumn("TEXT", 10, grow=1)), make_cells)


def make_rows(*keys: str) -> list[KeyedRow]:
    return [KeyedRow(key) for key in keys]


def make_numbered_rows(first: int, count: int) -> list[KeyedRow]:
    return make_rows(*(f"r{n}" for n in range(first, first + count)))


class TableApp(App[None]):
    """An app with one table of two sections."""

    look = Look()

    def __init__(self) -> None:
        super().__init__()
        self.table = Table((TableSection("top", GRID), TableSection("low", GRID)), id="table")
        self.opened: list[Any] = []

    def ticks(self) -> float:
        return 7.0

    def now(self) -> float:
        return 0.0

    def compose(self) -> ComposeResult:
        yield self.table

    def on_table_opened(self, event: Table.Opened) -> None:
        self.opened.append(event.item)


def read_table_lines(table: Table) -> list[str]:
    return [line.rstrip() for line in table.list_text()]


def record_refreshed_lines(table: Table) -> list[int]:
    """Return a list that receives the lines redrawn from now on."""
    lines: list[int] = []
    refresh = table.refresh

    def counting(*regions: Any, **options: Any) -> Any:
        for region in regions:
            lines.extend(range(region.y, region.bottom))
        return refresh(*regions, **options)

    table.refresh = counting  # type: ignore[method-assign]
    return lines


async def press_keys(keys: Iterable[str], **shown: list[KeyedRow]) -> tuple[Table, list[str]]:
    """Press keys, and return the table and its lines."""
    app = TableApp()
    async with app.run_test(size=(30, 10)) as pilot:
        app.table.show(shown)
        await pilot.press(*keys)
        return app.table, read_table_lines(app.table)


async def test_the_cursor_moves_through_all_sections():
    table, shown = await press_keys(
        ["j", "j", "j"], top=make_rows("a", "b"), low=make_rows("c", "d")
    )
    assert table.cursor == "d"
    assert [line[:3] for line in shown if line.startswith("›")] == ["› d"]


async def test_the_cursor_stays_on_its_row_when_other_rows_change():
    app = TableApp()
    async with app.run_test(size=(30, 10)) as pilot:
        app.table.show({"top": make_rows("a", "b", "c")})
        await pilot.press("j")
        app.table.show({"top": make_rows("x", "y", "a", "b")})
        assert app.table.cursor == "b"
        app.table.show({"top": make_rows("y"), "low": make_rows("b")})
        assert app.table.cursor == "b"
        assert app.table.jumped_at == float("-inf")


async def test_a_removed_row_moves_the_cursor_and_records_the_jump():
    app = TableApp()
    async with app.run_test(size=(30, 10)) as pilot:
        app.table.show({"top": make_rows("a", "b", "c")})
        await pilot.press("j")
        app.table.show({"top": make_rows("a", "c")})
        assert app.table.cursor == "c"
        assert app.table.jumped_at == 7.0


async def test_the_cursor_moves_to_an_expected_row_once_it_appears():
    app = TableApp()
    async with app.run_test(size=(30, 10)):
        app.table.show({"top": make_rows("a", "c")})
        app.table.go_when_listed("b")
        assert app.table.cursor == "a"
        app.table.show({"top": make_rows("a", "b", "c")})
        assert (app.table.cursor, app.table.jumped_at) == ("b", 7.0), "nobody has seen it there yet"


async def test_a_moved_cursor_stays_when_the_expected_row_appears():
    app = TableApp()
    async with app.run_test(size=(30, 10)) as pilot:
        app.table.show({"top": make_rows("a", "c")})
        app.table.go_when_listed("b")
        await pilot.press("j")
        app.table.show({"top": make_rows("a", "b", "c")})
        assert app.table.cursor == "c"


async def test_only_changed_lines_are_redrawn():
    app = TableApp()
    async with app.run_test(size=(30, 10)):
        app.table.show({"top": make_rows("a", "b", "c"), "low": make_rows("d")})
        lines = record_refreshed_lines(app.table)
        app.table.show(
            {
                "top": [*make_rows("a"), KeyedRow("b", "news"), *make_rows("c")],
                "low": make_rows("d"),
            }
        )
        assert lines == [2]
        app.table.show(
            {
                "top": [*make_rows("a"), KeyedRow("b", "news"), *make_rows("c")],
                "low": make_rows("d"),
            }
        )
        assert lines == [2]


async def test_equal_rows_keep_their_cached_strip():
    app = TableApp()
    async with app.run_test(size=(30, 10)):
        app.table.show({"top": make_rows("a")})
        before = app.table.render_line(1)
        app.table.show({"top": [replace(KeyedRow("a"))]})
        assert app.table.render_line(1) is before


async def test_a_long_section_scrolls_and_leaves_the_next_one_visible():
    table, shown = await press_keys(
        ["G", "k", "k", "k"], top=make_numbered_rows(0, 20), low=make_numbered_rows(100, 3)
    )
    assert table.cursor == "r19"
    assert "› r19" in shown[4] and shown[1].strip() == "r16"
    assert [line.strip() for line in shown[6:9]] == ["r100", "r101", "r102"]


async def test_page_and_edge_keys_move_far():
    assert (await press_keys(["G"], top=make_numbered_rows(0, 50)))[0].cursor == "r49"
    assert (await press_keys(["G", "g"], top=make_numbered_rows(0, 50)))[0].cursor == "r0"
    assert (await press_keys(["pagedown"], top=make_numbered_rows(0, 50)))[0].cursor == "r8"
    assert (await press_keys(["ctrl+d", "ctrl+d", "ctrl+u"], top=make_numbered_rows(0, 50)))[
        0
    ].cursor == "r4"


async def test_space_marks_a_row_and_moves_down():
    table, shown = await press_keys(["space", "j", "space"], top=make_rows("a", "b", "c", "d"))
    assert [row.key for row in table.list_selected()] == ["a", "c"]
    assert [line[:3] for line in shown[1:5]] == [" *a", "  b", " *c", "› d"]


async def test_a_mark_disappears_with_its_row():
    app = TableApp()
    async with app.run_test(size=(30, 10)) as pilot:
        app.table.show({"top": make_rows("a", "b")})
        await pilot.press("space")
        app.table.show({"top": make_rows("b")})
        assert [row.key for row in app.table.list_selected()] == ["b"]
        assert not app.table.marks


async def test_a_filter_hides_rows_and_appears_in_the_title():
    app = TableApp()
    async with app.run_test(size=(30, 10)):
        app.table.find_view("top").title = "Rows"
        app.table.show({"top": make_rows("ab", "cd", "ae")})
        app.table.filter(lambda row: "a" in row.key, "a")
        assert [row.key for row in app.table.find_view("top").rows] == ["ab", "ae"]
        assert "Rows /a" in read_table_lines(app.table)[0]
        app.table.filter(None)
        assert len(app.table.find_view("top").rows) == 3


async def test_a_click_moves_the_cursor_and_a_double_click_opens():
    app = TableApp()
    async with app.run_test(size=(30, 10)) as pilot:
        app.table.show({"top": make_rows("a", "b", "c")})
        await pilot.click(app.table, offset=(5, 3))
        assert app.table.cursor == "c"
        await pilot.click(app.table, offset=(5, 2), times=2)
        await pilot.pause()
        assert [row.key for row in app.opened] == ["b"]


async def test_a_click_on_the_cursor_row_opens_it_unless_it_focuses():
    app = TableApp()
    async with app.run_test(size=(30, 10)) as pilot:
        app.table.show({"top": make_rows("a", "b", "c")})
        app.set_focus(None)
        await pilot.click(app.table, offset=(5, 1))
        assert app.table.cursor == "a" and app.opened == []
        await pilot.click(app.table, offset=(7, 1))
        await pilot.pause()
        assert [row.key for row in app.opened] == ["a"]


async def test_enter_opens_the_cursor_row():
    app = TableApp()
    async with app.run_test(size=(30, 10)) as pilot:
        app.table.show({"top": make_rows("a", "b")})
        await pilot.press("j", "enter")
        assert [row.key for row in app.opened] == ["b"]


async def test_an_empty_section_shows_its_own_text():
    app = TableApp()
    async with app.run_test(size=(30, 10)):
        app.table.find_view("low").empty = [[("  Nothing waits.", "dim")]]
        app.table.show({"top": make_rows("a")})
        assert "  Nothing waits." in read_table_lines(app.table)


async def test_markup_in_a_row_is_plain_text():
    table, shown = await press_keys([], top=[KeyedRow("[red]", "[/]x[b]")])
    assert shown[1] == "› [red]  [/]x[b]"


async def test_the_wheel_scrolls_a_section_and_keeps_the_cursor_visible():
    app = TableApp()
    async with app.run_test(size=(30, 10)) as pilot:
        app.table.show({"top": make_numbered_rows(0, 20), "low": make_numbered_rows(100, 9)})
        app.table.post_message(make_wheel_event(events.MouseScrollDown, app.table, 2))
        await pilot.pause()
        assert app.table.find_view("top").offset == 3
        assert app.table.cursor == "r3"
        app.table.post_message(make_wheel_event(events.MouseScrollDown, app.table, 7))
        await pilot.pause()
        assert app.table.find_view("low").offset == 3
        assert app.table.cursor == "r3"


def make_wheel_event(kind: type[events.MouseEvent], table: Table, y: int) -> events.MouseEvent:
    """Return a mouse wheel event over a line of the table."""
    return kind(table, 3, y, 0, 1, 0, False, False, False, 3, y)


async def test_the_cursor_highlight_follows_the_focus_at_once():
    app = TableApp()
    async with app.run_test(size=(30, 10)) as pilot:
        app.table.show({"top": make_rows("a")})
        assert read_table_lines(app.table)[0].startswith("━▌KEY") and read_table_lines(app.table)[
            1
        ].startswith("›")
        app.set_focus(None)
        await pilot.pause()
        assert read_table_lines(app.table)[0].startswith("─ KEY") and not read_table_lines(
            app.table
        )[1].startswith("›")
        app.set_focus(app.table)
        await pilot.pause()
        assert read_table_lines(app.table)[1].startswith("›")


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
def test_only_changed_cells_are_redrawn_and_no_wide_one_is_split(
    before: str, after: str, cells: tuple[int, int]
):
    assert find_difference(Strip([Segment(before)]), Strip([Segment(after)])) == cells


def test_a_cell_with_another_style_counts_as_changed():
    red = Strip([Segment("a"), Segment("b", Style(color="red")), Segment("c")])
    assert find_difference(Strip([Segment("abc")]), red) == (1, 2)
