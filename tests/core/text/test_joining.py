"""Tests for joined texts."""

import pytest

from app.core.text.joining import join_and, join_clauses, join_commas, join_or


@pytest.mark.parametrize(
    ("join", "joined"),
    [
        (join_and, "a and b and c"),
        (join_or, "a or b or c"),
        (join_commas, "a, b, c"),
        (join_clauses, "a; b; c"),
    ],
)
def test_parts_are_joined_in_english(join, joined):
    assert (join([]), join(iter(["a"]))) == ("", "a")
    assert join(["a", "b", "c"]) == joined
