"""What a rule says beside its title and its heads, by the room there is."""

from __future__ import annotations

import pytest

from app.tui.style import Look
from app.tui.widgets.table_title import fitted, with_filter

CUT = ("first 5 of 31: 5 shows all", "first 5 of 31", "first 5")
TODAY = ("today 141 ok",)
ZOOMED = ("zoomed: z shows all panes", "zoomed (z)")


def test_what_is_left_over_goes_behind_the_title():
    assert fitted("Just ended", [(28, "WHEN")], (CUT, TODAY), (), 50) == ("Just ended  today 141 ok", "first 5 of 31")


@pytest.mark.parametrize(("room", "tail"), [
    (100, "first 5 of 31: 5 shows all  today 141 ok"), (73, "first 5 of 31  today 141 ok"), (60, "first 5  today 141 ok"),
])  # fmt: skip
def test_all_is_said_in_the_longest_words_that_fit_and_rather_in_short_ones_than_not_at_all(room: int, tail: str):
    assert fitted("Just ended", [(28, "WHEN")], (CUT, TODAY), (), room) == ("Just ended", tail)


def test_what_has_no_room_at_the_end_stands_before_the_first_head_if_it_hides_none():
    heads = [(28, "QUEUE"), (60, "MEMORY")]
    assert fitted("3 Running 7", heads, (CUT,), (), 70) == ("3 Running 7  first 5", "")
    assert fitted("3 Running 1,234,567", heads, (CUT,), (), 70) == ("3 Running 1,234,567", "")


def test_what_must_be_said_is_said_whatever_it_hides():
    heads = [(13, "LOAD"), (60, "STATE")]
    title, tail = fitted("1 Queues", heads, (), (ZOOMED,), 70)
    assert (title, tail) == ("1 Queues  zoomed (z)", "")
    assert Look().rule(70, [(2, title), *heads]).startswith("─ 1 Queues  zoomed (z) ───")


@pytest.mark.parametrize("room", range(60, 130))
def test_the_tail_is_never_longer_than_what_the_rule_has_room_for(room: int):
    heads = [(28, "QUEUE"), (40, "MEMORY")]
    title, tail = fitted("Work", heads, (CUT, TODAY), (ZOOMED,), room)
    rule = Look().rule(room, [(2, title), *heads], tail)
    assert len(rule) == room and tail in rule and title in rule


@pytest.mark.parametrize(("kept", "title"), [
    ("", "Tasks 7  loading"), ("gpu", "Tasks 7 /gpu  loading"), ("x" * 37, f"Tasks 7 /{'x' * 37}  loading"),
    ("x" * 38, f"Tasks 7 /{'x' * 36}…  loading"), ("x" * 500, f"Tasks 7 /{'x' * 36}…  loading"),
])  # fmt: skip
def test_a_long_filter_leaves_the_heads_where_they_are(kept: str, title: str):
    heads = [(20, "QUEUE"), (58, "STATE"), (70, "AGE")]
    assert with_filter("Tasks 7", kept, "  loading", heads, 80, Look()) == title
    shown = Look().rule(80, [(2, title), *heads])
    assert title in shown and "STATE" in shown and "AGE" in shown


def test_a_filter_that_is_longer_than_the_rule_is_cut():
    title = with_filter("Tasks 7", "x" * 500, "", [], 40, Look())
    assert title in Look().rule(40, [(2, title)]) and title.endswith("x…")
