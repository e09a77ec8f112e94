"""Recurrence rules: fire times, clock changes, long series, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from dateutil import rrule
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.schedules.recurrence_rule import find_next, normalize_rule

BERLIN = ZoneInfo("Europe/Berlin")
START = date(2026, 1, 15)


def list_times(rule: str, after: datetime, count: int, start: date = START) -> list[str]:
    """Return the local fire times after a moment."""
    rule, at = normalize_rule(rule, start), after
    found: list[str] = []
    while len(found) < count and (following := find_next(rule, start, at, BERLIN)):
        assert following > at
        found.append(f"{following.astimezone(BERLIN):%Y-%m-%d %H:%M}")
        at = following
    return found


def test_the_last_weekday_of_a_month_is_found():
    rule = "RRULE:FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1;BYHOUR=8;BYMINUTE=30"

    assert list_times(rule, datetime(2026, 1, 1, tzinfo=UTC), 3) == [
        "2026-01-30 08:30",
        "2026-02-27 08:30",
        "2026-03-31 08:30",
    ]


def test_a_rule_without_hour_fires_at_midnight():
    assert list_times("FREQ=DAILY", datetime(2026, 2, 1, tzinfo=UTC), 1) == ["2026-02-02 00:00"]


def test_a_skipped_time_moves_behind_the_gap():
    rule = "FREQ=DAILY;BYHOUR=2;BYMINUTE=30"

    assert list_times(rule, datetime(2026, 3, 28, 12, tzinfo=UTC), 2) == [
        "2026-03-29 03:30",
        "2026-03-30 02:30",
    ]


def test_a_repeated_time_fires_once():
    rule = "FREQ=DAILY;BYHOUR=2;BYMINUTE=30"

    assert list_times(rule, datetime(2026, 10, 24, 12, tzinfo=UTC), 2) == [
        "2026-10-25 02:30",
        "2026-10-26 02:30",
    ]


def test_a_count_ends_the_series():
    rule = "FREQ=WEEKLY;BYDAY=TH;COUNT=2"

    assert list_times(rule, datetime(2026, 1, 1, tzinfo=UTC), 5) == [
        "2026-01-15 00:00",
        "2026-01-22 00:00",
    ]


@pytest.mark.parametrize(
    ("until", "count"),
    [("20260117", 3), ("20260117T075959", 2), ("20260117T080000", 3), ("20260117T070000Z", 3),
     ("20260117T065959Z", 2)],
)  # fmt: skip
def test_a_rule_ends_with_its_until(until: str, count: int):
    rule = f"FREQ=DAILY;UNTIL={until}" + (";BYHOUR=8" if "T" in until else "")
    assert len(list_times(rule, datetime(2026, 1, 1, tzinfo=UTC), 5)) == count


@settings(deadline=None)
@given(
    frequency=st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY"]),
    interval=st.integers(1, 5),
    days=st.sampled_from(["", ";BYDAY=MO,FR", ";BYDAY=2TU", ";BYMONTHDAY=31", ";BYMONTH=3"]),
    start=st.dates(date(2020, 1, 1), date(2022, 1, 1)),
    ahead=st.integers(0, 4000),
)
def test_a_late_search_finds_the_times_of_the_whole_series(
    frequency: str, interval: int, days: str, start: date, ahead: int
):
    if "2TU" in days and frequency in ("DAILY", "WEEKLY"):
        days = ""  # RFC 5545 knows no second Tuesday of a week
    if "BYMONTH=" in days and frequency == "MONTHLY":
        interval = 1  # other intervals may never meet March
    rule = normalize_rule(f"FREQ={frequency};INTERVAL={interval}{days}", start)
    first = datetime.combine(start, datetime.min.time())
    after = first.fromordinal(first.toordinal() + ahead)
    utc = ZoneInfo("UTC")

    expected = list(islice(rrule.rrulestr(rule, dtstart=first).xafter(after), 3))

    at, found = after.replace(tzinfo=UTC), []
    for _ in expected:
        at = find_next(rule, start, at, utc)
        assert at is not None
        found.append(at.replace(tzinfo=None))
    assert found == expected


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("FREQ=HOURLY", "use --every or --cron"),
        ("DAILY", "NAME=VALUE"),
        ("FREQ=DAILY;FREQ=DAILY", "twice"),
        ("FREQ=DAILY;UNTIL=tomorrow", "must have UNTIL=20271231"),
        ("FREQ=DAILY;UNTIL=20251231", "never fires"),
        ("FREQ=DAILY;UNTIL=20270101;COUNT=3", "not both"),
        ("FREQ=DAILY;COLOUR=1", "unknown part"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL=1 to 10000"),
        ("FREQ=DAILY;COUNT=1001", "COUNT=1 to 1000"),
        ("FREQ=DAILY;BYHOUR=0,1,2,3,4,5,6;BYMINUTE=0,10,20,30", "at most 24"),
        ("FREQ=DAILY;BYHOUR=99", "is wrong|never fires"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never fires"),
        ("FREQ=DAILY;" + "X" * 1000, "at most 1,000"),
    ],
)
def test_a_wrong_rule_is_refused(rule: str, words: str):
    with pytest.raises(ValueError, match=words):
        normalize_rule(rule, START)


def test_a_rule_is_checked_from_its_first_day():
    rule = "FREQ=MONTHLY;INTERVAL=3;BYMONTH=3"

    assert normalize_rule(rule, date(2026, 12, 1)) == rule
    with pytest.raises(ValueError, match="never fires"):
        normalize_rule(rule, date(2026, 1, 1))
