"""Tests of what is said about the age of a replica."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.text.replica_text import format_age_and_missed


@pytest.mark.parametrize(
    ("lag", "missed", "says"),
    [
        (None, None, "not copied yet"),
        (40.0, None, "40s old"),
        (40.0, {"tasks": 0, "ends": 0}, "40s old, misses nothing"),
        (40.0, {"tasks": 1, "ends": 1}, "40s old, misses 1 new task and 1 end"),
        (3605.0, {"tasks": 10_001, "ends": 23}, "1h old, misses more than 10,000 new tasks and 23"),
    ],
)
def test_the_age_is_told_with_what_is_missed(
    lag: float | None, missed: dict[str, Any] | None, says: str
):
    found = {"lag": lag, "missed": missed and missed | {"most": 10_000}}

    assert format_age_and_missed(found).startswith(says)
