"""Time zones: lookup by name, and wall times around a clock change."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from app.core.schedules.zones import get_local_zone_name, get_zone, resolve_wall_time

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("name", "near"),
    [("Europe/Berln", "Europe/Berlin"), ("../../etc/passwd", ""), ("", ""), ("\x1b[2J", "")],
)
def test_an_unknown_zone_is_refused_with_the_nearest(name: str, near: str):
    with pytest.raises(ValueError) as caught:
        get_zone(name)

    assert near in str(caught.value) and str(caught.value).isprintable()


def test_the_local_zone_is_known():
    assert get_zone(get_local_zone_name())


def test_a_skipped_wall_time_moves_forward():
    at = resolve_wall_time(datetime(2026, 3, 29, 2, 30), BERLIN)

    assert at.isoformat() == "2026-03-29T01:30:00+00:00"


def test_the_first_of_two_equal_wall_times_is_taken():
    at = resolve_wall_time(datetime(2026, 10, 25, 2, 30), BERLIN)

    assert at.isoformat() == "2026-10-25T00:30:00+00:00"
