"""Title lines of tables: counts and hints in the space beside title and headings."""

from __future__ import annotations

import pytest

from app.tui.style import Look
from app.tui.widgets.table_title import add_filter, fit_title

pytestmark = pytest.mark.unit

SHOWN_COUNTS = ("first 5 of 31: 5 shows all", "first 5 of 31", "first 5")
TODAY_COUNTS = ("today 141 ok",)
ZOOM_HINTS = ("zoomed: z shows all panes", "zoomed (z)")


def test_hints_go_behind_the_title_without_space_at_the_end():
    assert fit_title("Just ended", [(28, "WHEN")], (SHOWN_COUNTS, TODAY_COUNTS), (), 50) == (
        "Just ended  today 141 ok",
        "first 5 of 31",
    )


@pytest.mark.parametrize(("room", "tail"), [
    (100, "first 5 of 31: 5 shows all  today 141 ok"), (73, "first 5 of 31  today 141 ok"),
    (60, "first 5  today 141 ok"),
])  # fmt: skip
def test_the_longest_fitting_variants_are_chosen(room: int, tail: str):
    assert fit_title("Just ended", [(28, "WHEN")], (SHOWN_COUNTS, TODAY_COUNTS), (), room) == (
        "Just ended",
        tail,
    )


def test_a_count_moves_behind_the_title_if_it_hides_no_heading():
    heads = [(28, "QUEUE"), (60, "MEMORY")]
    assert fit_title("3 Running 7", heads, (SHOWN_COUNTS,), (), 70) == ("3 Running 7  first 5", "")
    assert fit_title("3 Running 1,234,567", heads, (SHOWN_COUNTS,), (), 70) == (
        "3 Running 1,234,567",
        "",
    )


def test_mandatory_hints_may_hide_headings():
    heads = [(13, "LOAD"), (60, "STATE")]
    title, tail = fit_title("1 Queues", heads, (), (ZOOM_HINTS,), 70)
    assert (title, tail) == ("1 Queues  zoomed (z)", "")
    assert Look().draw_rule(70, [(2, title), *heads]).startswith("─ 1 Queues  zoomed (z) ───")


@pytest.mark.parametrize("room", range(60, 130))
def test_the_tail_always_fits_the_title_line(room: int):
    heads = [(28, "QUEUE"), (40, "MEMORY")]
    title, tail = fit_title("Work", heads, (SHOWN_COUNTS, TODAY_COUNTS), (ZOOM_HINTS,), room)
    rule = Look().draw_rule(room, [(2, title), *heads], tail)
    assert len(rule) == room and tail in rule and title in rule


@pytest.mark.parametrize(("kept", "marks", "title"), [
    ("", ", 3 marked", "Tasks 7, 3 marked"),
    ("gpu", ", 3 marked", "Tasks 7, 3 marked /gpu"),
    ("x" * 50, ", 3 marked", f"Tasks 7, 3 marked /{'x' * 12}…"),
    ("x" * 50, ", 3,000,000 marked", f"Tasks 7 /{'x' * 22}…"),
    ("x" * 500, "", f"Tasks 7 /{'x' * 22}…"),
])  # fmt: skip
def test_filter_and_marks_hide_no_heading(kept: str, marks: str, title: str):
    heads = [(35, "QUEUE"), (58, "STATE"), (70, "AGE")]
    assert add_filter("Tasks 7", kept, marks, "", heads, 80, Look()) == title
    shown = Look().draw_rule(80, [(2, title), *heads])
    assert title in shown and all(head in shown for _, head in heads)


def test_the_age_of_old_rows_is_shown_even_over_a_heading():
    heads = [(20, "QUEUE"), (58, "STATE")]
    title = add_filter("Tasks 7", "", ", 3 marked", "  as of 10:42, 1m old", heads, 80, Look())
    assert title == "Tasks 7  as of 10:42, 1m old"


def test_a_filter_longer_than_the_line_is_cut():
    title = add_filter("Tasks 7", "x" * 500, "", "", [], 40, Look())
    assert title in Look().draw_rule(40, [(2, title)]) and title.endswith("x…")
