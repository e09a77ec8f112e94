"""What the words of the filter line mean, and how the line completes them."""

from __future__ import annotations

import pytest

from app.tui.filterline import QUALIFIERS, STATE_NAMES, completed
from app.tui.filters import both, parse, quoted
from tests.tui import boards

ROWS = (*boards.RUNNING, *boards.NEXT, *boards.ENDED)


def numbers(line: str) -> list[int]:
    keep = parse(line)
    return [row.number for row in ROWS if keep is None or keep(row)]


def test_an_empty_line_is_no_filter():
    assert parse("   ") is None


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("#1042", [1042, 1049]),
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
def test_all_words_must_hold(line: str, found: list[int]):
    assert numbers(line) == found


def test_a_name_of_several_words_can_be_quoted():
    spaced = boards.running(7, "x", "my own queue", 1, None, None, (1, 1), (1, 1), "")
    keep = parse(quoted("queue:", "My own Queue"))
    assert keep is not None and keep(spaced)
    assert not any(keep(row) for row in ROWS)


def test_both_filters_must_hold_where_there_are_two():
    first, second = parse("resnet50"), parse("status:queued")
    keep = both(first, second)
    assert keep is not None
    assert [row.number for row in ROWS if keep(row)] == [1049]
    assert both(None, first) is first
    assert both(first, None) is first


@pytest.mark.parametrize(
    ("typed", "whole"),
    [
        ("qu", "queue:"),
        ("abc !st", "abc !status:"),
        ("status:tim", "status:timed-out"),
        ("status:s", "status:s"),
        ("queue:me", "queue:media"),
        ("x", "x"),
        ("", ""),
    ],
)
def test_tab_completes_what_can_only_be_one_thing(typed: str, whole: str):
    assert completed(typed, QUALIFIERS, {"status": STATE_NAMES, "queue": ["media", "gpu"]}) == whole
