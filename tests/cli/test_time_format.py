"""Stored times as they are shown, and what is shown of one that is damaged."""

from __future__ import annotations

import pytest

from app.cli import time_format
from app.core.times import unix

GOOD = "2026-11-26T09:30:58.193820Z"


@pytest.mark.parametrize("damaged", ["2026-11-26Tp9:30:58.193820Z", "x", "2026-1\x1b-26T09:30:58.193820Z"])
def test_a_time_that_is_damaged_is_shown_as_it_stands_and_nothing_is_counted_from_it(damaged: str):
    safe = damaged.replace("\x1b", "\u241b")

    assert time_format.clock(damaged) == time_format.moment(damaged) == safe
    assert time_format.since(damaged) is None and time_format.between(damaged, None) is None
    assert time_format.between(damaged, GOOD) is None and time_format.between(GOOD, damaged) is None


def test_what_lies_between_two_times_is_seconds_and_never_less_than_none():
    assert time_format.between(GOOD, "2026-11-26T09:31:00.193820Z") == pytest.approx(2.0)
    assert time_format.between(None, GOOD) is None and time_format.between(GOOD, "2026-11-26T09:30:00.000000Z") == 0.0
    assert time_format.since(GOOD, unix(GOOD) + 5) == pytest.approx(5.0) and time_format.since(None) is None
