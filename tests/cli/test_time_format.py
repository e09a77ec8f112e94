"""Tests of the display of stored times, also damaged ones."""

from __future__ import annotations

import pytest

from app.cli import time_format
from app.core.times import to_unix
from app.tui.time_format import format_fire_time, format_wall_time

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


@pytest.mark.parametrize(
    ("zone", "clock", "fire"),
    [
        ("UTC", "09:30", "today 09:30:58"),
        ("Atlantic/Reykjavik", "09:30", "today 09:30:58"),
        ("Asia/Tokyo", "18:30 +09:00", "today 18:30:58 +09:00"),
        ("Pacific/Kiritimati", "23:30 +14:00", "today 23:30:58 +14:00"),
        ("no/such", "09:30", "today 09:30:58"),
    ],
)
def test_a_time_of_another_zone_has_its_offset(utc: None, zone: str, clock: str, fire: str):
    at = to_unix(GOOD)
    day = "Thu 26 Nov" if time_format.get_local_now().year == 2026 else "26 Nov 2026"

    assert format_wall_time(at, at, zone=zone) == clock
    assert format_fire_time(at, at, zone) == fire
    assert time_format.format_moment(GOOD, zone).startswith(f"{day} {clock[:5]}")


def test_a_day_of_another_zone_begins_there(utc: None):
    at = to_unix("2026-11-26T16:00:00.000000Z")

    assert format_fire_time(at, at - 3600 * 4, "Asia/Tokyo") == "tomorrow 01:00 +09:00"


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
