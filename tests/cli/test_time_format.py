"""Tests of the display of stored times, also damaged ones."""

from __future__ import annotations

import pytest

from app.cli import time_format
from app.core.times import to_unix

GOOD = "2026-11-26T09:30:58.193820Z"


@pytest.mark.parametrize(
    "damaged", ["2026-11-26Tp9:30:58.193820Z", "x", "2026-1\x1b-26T09:30:58.193820Z"]
)
def test_a_damaged_time_is_shown_sanitized_and_not_computed_with(damaged: str):
    safe = damaged.replace("\x1b", "\u241b")

    assert time_format.format_clock(damaged) == time_format.format_moment(damaged) == safe
    assert (
        time_format.seconds_since(damaged) is None
        and time_format.seconds_between(damaged, None) is None
    )
    assert (
        time_format.seconds_between(damaged, GOOD) is None
        and time_format.seconds_between(GOOD, damaged) is None
    )


def test_the_difference_of_two_times_is_never_negative():
    assert time_format.seconds_between(GOOD, "2026-11-26T09:31:00.193820Z") == pytest.approx(2.0)
    assert (
        time_format.seconds_between(None, GOOD) is None
        and time_format.seconds_between(GOOD, "2026-11-26T09:30:00.000000Z") == 0.0
    )
    assert (
        time_format.seconds_since(GOOD, to_unix(GOOD) + 5) == pytest.approx(5.0)
        and time_format.seconds_since(None) is None
    )
