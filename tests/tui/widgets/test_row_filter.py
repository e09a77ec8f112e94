"""Row filter: the meaning of a filter line, and its completions."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from app.core import filter_query
from app.tui.widgets.row_filter import (
    combine_filters,
    list_completions,
    make_row_predicate,
    needs_task_list,
    parse_filter,
)
from tests.tui import boards

pytestmark = pytest.mark.unit

ROWS = (*boards.RUNNING, *boards.NEXT, *boards.ENDED)


NOW = datetime.fromtimestamp(boards.NOW, UTC)


def filter_numbers(line: str) -> list[int]:
    keep = parse_filter(line, NOW)
    return [row.number for row in ROWS if keep is None or keep(row)]


def test_an_empty_line_is_no_filter():
    assert parse_filter("   ", NOW) is None


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("#1042", [1042]),
        ("RESNET50", [1042, 1043, 1049]),
        ("resnet50 !sweep-07", [1042, 1049]),
        ("status:timed-out", [1045]),
        ("status:timed_out", [1045]),
        ("status:paused", [1052]),
        ("queue:backup", [1031]),
        ("!queue:media !queue:gpu !queue:default", [1047, 1060, 1031]),
        ("夜间", [1051]),
        ("status:failed queue:media thumbs", [1048]),
        ("'", []),
    ],
)
def test_all_words_must_match(line: str, found: list[int]):
    assert filter_numbers(line) == found


def test_a_name_of_several_words_can_be_quoted():
    spaced = boards.make_running(7, "x", "my own queue", 1, None, None, (1, 1), (1, 1), "")
    keep = parse_filter(f"queue:{filter_query.quote_word('my own queue')}", NOW)
    assert keep is not None and keep(spaced)
    assert not any(keep(row) for row in ROWS)


def test_two_filters_must_both_match():
    first, second = parse_filter("resnet50", NOW), parse_filter("status:queued", NOW)
    keep = combine_filters(first, second)
    assert keep is not None
    assert [row.number for row in ROWS if keep(row)] == [1049]
    assert combine_filters(None, first) is first
    assert combine_filters(first, None) is first


@pytest.mark.parametrize(
    ("typed", "whole"),
    [
        ("b", ["by:"]),
        ("abc !ve", ["abc !verb:"]),
        ("by:a", ["by:ann", "by:anton"]),
        ("x", []),
        ("", []),
    ],
)
def test_a_list_completes_its_qualifiers_and_names(typed: str, whole: list[str]):
    assert list_completions(typed, ("by:", "verb:"), {"by": ["ann", "anton", "bob"]}) == whole


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("by:ann", ["a"]),
        ("!by:ann", ["b"]),
        ("cancel", ["a"]),
        ("who:ann", []),
        ('"two words"', ["b"]),
    ],
)
def test_words_and_qualifiers_match_the_fields_of_rows(line: str, found: list[str]):
    rows = {"a": {"by": "ann", "verb": "cancel"}, "b": {"by": "bob", "verb": "two words"}}
    keep = make_row_predicate(line, lambda row: rows[row])
    assert keep is not None
    assert [row for row in rows if keep(row)] == found


@pytest.mark.parametrize(
    ("line", "elsewhere"),
    [("tag:env", True), ("by:ann x", True), ("queue:gpu", False), ("status:nix", False)],
)
def test_filters_unknown_to_the_deck_search_all_tasks(line: str, elsewhere: bool):
    assert needs_task_list(line, NOW) is elsewhere
