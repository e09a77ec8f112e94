"""Tests of parsing and formatting durations, sizes, numbers and times."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.text import units

NOW = datetime(2026, 11, 25, 10, 42, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("2h", 7200),
        ("1d", 86400),
        ("1h30m", 5400),
        ("90", 90),
        ("1.5h", 5400),
        (" 10S ", 10),
        ("250ms", 0.25),
        ("1m5MS", 60.005),
        ("0", 0),
        ("1:30:00", 5400),
        ("2-01:00:05", 176405),
    ],
)
def test_a_duration_is_parsed_to_seconds(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "-5s",
        "nan",
        "inf",
        "soon",
        "1e999d",
        "9" * 400 + "d",
        "",
        "1m1h",
        "1h1h",
        "s",
        "ms",
        "5ms1s",
        "1m s",
        "11y",
        "3654d",
        "1_0s",
    ],
)
def test_an_invalid_duration_is_refused_with_the_input(text: str) -> None:
    with pytest.raises(ValueError, match="must") as refusal:
        units.parse_duration(text)
    assert units.quote(text) in str(refusal.value) and len(str(refusal.value)) < 120


def test_a_limit_of_0_is_refused() -> None:
    """A timeout of 0 would end the run at its start, and reads like no timeout."""
    assert units.parse_positive_duration("0.5s") == 0.5
    for text in ("0", "0s", "0:00:00"):
        with pytest.raises(ValueError, match="must be above 0"):
            units.parse_positive_duration(text)


@pytest.mark.parametrize(
    ("text", "mib"),
    [
        ("512M", 512),
        ("4G", 4096),
        ("1.5G", 1536),
        ("2T", 2 * 1024**2),
        ("100K", 100 / 1024),
        ("512MiB", 512),
        ("4gb", 4096),
        ("64", 64),
    ],
)
def test_a_size_is_parsed_to_mib(text: str, mib: float) -> None:
    assert units.parse_size(text) == mib


@pytest.mark.parametrize(
    "text", ["-1M", "nan", "inf", "1e999G", "4 parsecs", "", "9" * 400 + "G", "G", "1GG", "1000T"]
)
def test_an_invalid_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        units.parse_size(text)


@pytest.mark.parametrize(
    "text", ["-1", "nan", "inf", "-inf", "1e999", "9" * 400, "two", "", "0.0001", "100001"]
)
def test_invalid_cores_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        units.parse_cpu(text)


@pytest.mark.parametrize(
    "text", ["-1", "1.5", "nan", "9" * 400, "9" * 9000, "high", "", "101", "١"]
)
def test_an_integer_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        units.parse_int(text, 0, 100)


def test_cores_and_integers_are_parsed() -> None:
    assert [units.parse_cpu(t) for t in ("0", "0.05", "1.5", "64")] == [0, 0.05, 1.5, 64]
    assert [units.parse_int(t, -5, 100) for t in ("-5", "+7", "007")] == [-5, 7, 7]


def test_echoed_input_is_sanitized() -> None:
    with pytest.raises(ValueError) as refusal:
        units.parse_duration("\x1b[2J\u202e")
    assert str(refusal.value).isprintable()


@given(st.text(max_size=30))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    for parse in (
        units.parse_duration,
        units.parse_size,
        units.parse_cpu,
        lambda t: units.parse_int(t, 0, 9),
        _parse_time,
    ):
        try:
            assert parse(text) >= 0
        except ValueError as refusal:
            assert "must" in str(refusal)


def _parse_time(text: str) -> float:
    return units.parse_time(text, NOW).timestamp() + 1e11


def test_a_time_of_day_is_the_next_one() -> None:
    found = units.parse_time("23:30", NOW)
    again = units.parse_time("23:30", found)
    assert (found.astimezone().hour, found.astimezone().minute) == (23, 30)
    assert NOW < found <= NOW + timedelta(days=1) and again.date() == found.date() + timedelta(
        days=1
    )


def test_times_are_iso_relative_or_named_days() -> None:
    assert units.parse_time("3s", NOW) == NOW + timedelta(seconds=3)
    assert units.parse_time("2099-01-31T08:00:00Z", NOW) == datetime(2099, 1, 31, 8, tzinfo=UTC)
    assert units.parse_time("2099-01-31 08:00", NOW) == datetime(2099, 1, 31, 8).astimezone()
    tomorrow = units.parse_time("tomorrow 02:00", NOW).astimezone()
    assert (tomorrow.date() - NOW.astimezone().date()).days == 1 and tomorrow.hour == 2


@pytest.mark.parametrize("word", ["mon", "monday", "Mon"])
def test_a_weekday_is_the_next_one(word: str) -> None:
    found = units.parse_time(f"{word} 09:00", NOW).astimezone()
    again = units.parse_time(f"{word} 09:00", found).astimezone()
    assert found.weekday() == 0 and found.hour == 9 and NOW < found <= NOW + timedelta(days=7)
    assert again.date() == found.date() + timedelta(days=7)


@pytest.mark.parametrize("word", ["mont 09:00", "mo 09:00", "mon 9", "mon tue"])
def test_a_wrong_weekday_is_no_time(word: str) -> None:
    with pytest.raises(ValueError, match="must be a time"):
        units.parse_time(word, NOW)


ZONES = (
    "Europe/Berlin", "Europe/London", "Europe/Dublin", "Europe/Lisbon", "Europe/Athens",
    "Europe/Chisinau", "America/New_York", "America/Los_Angeles", "America/St_Johns",
    "America/Havana", "America/Santiago", "America/Asuncion", "Asia/Beirut", "Asia/Jerusalem",
    "Africa/Cairo", "Australia/Sydney", "Australia/Lord_Howe", "Pacific/Auckland",
    "Pacific/Chatham", "Antarctica/Troll",
)  # fmt: skip
"""Zones whose clock changes: by 30 minutes to 2 hours, some of them at midnight."""
BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"


@contextmanager
def set_zone(name: str) -> Iterator[None]:
    """Make a zone the local one."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
        time.tzset()


@cache
def list_change_days(name: str) -> list[datetime]:
    """Return the days from 2015 to 2026 on which a zone changes its clock."""
    zone, first = ZoneInfo(name), datetime(2015, 1, 1)
    days = [first + timedelta(days=n) for n in range(12 * 365)]
    return [
        day
        for day in days
        if day.replace(tzinfo=zone).utcoffset()
        != (day + timedelta(days=1)).replace(tzinfo=zone).utcoffset()
    ]


@pytest.mark.skipif(not available_timezones().issuperset(ZONES), reason="no time zone data")
@pytest.mark.parametrize("name", ZONES)
def test_a_local_time_on_a_day_of_clock_change_is_never_early(name: str) -> None:
    days = list_change_days(name)
    assert len(days) >= 6

    @given(st.sampled_from(days), st.integers(-60, 25 * 60))
    def check(day: datetime, minute: int) -> None:
        typed = day + timedelta(minutes=minute)
        # With fold 0 this is the first of two, or the time after the gap.
        expected = typed.replace(tzinfo=ZoneInfo(name)).astimezone(UTC)
        before = expected - timedelta(minutes=1)
        found = units.parse_time(f"{typed:%Y-%m-%dT%H:%M}", before)
        assert found == expected
        assert found.astimezone().replace(tzinfo=None) >= typed
        if before.astimezone().date() == typed.date():
            assert units.parse_time(f"{typed:%H:%M}", before) == found
            assert units.parse_time(f"today {typed:%H:%M}", before) == found
        if before.astimezone().date() == (typed - timedelta(days=1)).date():
            assert units.parse_time(f"tomorrow {typed:%H:%M}", before) == found

    with set_zone(name):
        check()


@pytest.mark.parametrize("text", ["02:30", "today 02:30", "2027-03-28T02:30", "2027-03-28 02:30"])
def test_a_time_skipped_in_spring_moves_forward(text: str) -> None:
    with set_zone(BERLIN):
        found = units.parse_time(text, datetime(2027, 3, 28, 0, 55, tzinfo=UTC))
        assert f"{found:%d %H:%M %z}" == "28 03:30 +0200"


def test_tomorrow_at_a_skipped_time_moves_forward() -> None:
    with set_zone(BERLIN):
        found = units.parse_time("tomorrow 02:30", datetime(2027, 3, 27, 12, tzinfo=UTC))
        assert f"{found:%d %H:%M %z}" == "28 03:30 +0200"


def test_of_a_time_that_occurs_twice_the_first_is_taken() -> None:
    with set_zone(BERLIN):
        found = units.parse_time("2027-10-31T02:30:00.25", NOW)
        assert found == datetime(2027, 10, 31, 0, 30, 0, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "begin", "length"),
    [
        ("yesterday", "2026-11-24 00:00", 24.0),
        ("Today", "2026-11-25 00:00", 24.0),
        ("yesterday  9:30", "2026-11-24 09:30", 0.0),
        ("1h 30m ago", "2026-11-25 08:30", 0.0),
        ("10:01", "2026-11-24 10:01", 0.0),
        ("2026-01-31", "2026-01-31 00:00", 24.0),
        ("7200", "2026-11-25 08:00", 0.0),
        ("1-12:00:00", "2026-11-23 22:00", 0.0),
    ],
)
def test_a_past_time_has_a_start_and_an_end(text: str, begin: str, length: float) -> None:
    with set_zone("UTC"):
        found = units.parse_past_period(text, datetime(2026, 11, 25, 10, tzinfo=UTC))
    assert f"{found[0]:%Y-%m-%d %H:%M}" == begin
    assert (found[1] - found[0]).total_seconds() == length * 3600


@pytest.mark.parametrize("text", ["", "tomorrow", "yesterday noon", "2026-02-30", "-5m"])
def test_an_invalid_past_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a time such as 2h"):
        units.parse_past_period(text, NOW)


def test_an_age_is_not_negative() -> None:
    assert units.parse_age("90m", NOW) == 5400.0
    with pytest.raises(ValueError, match="must be in the past"):
        units.parse_age("2999-01-01", NOW)


@pytest.mark.parametrize(
    "text",
    [
        "yesterweek",
        "2026-13-01",
        "25:00",
        "tomato",
        "0001-01-01",
        "0999-01-01",
        "9999-12-31T23:59:59-23:59",
        "9999-12-31",
        "",
    ],
)
def test_an_invalid_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be a time.* or 2h \(from now\), not"):
        units.parse_time(text, NOW)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0.4s"), (3.2, "3.2s"), (9.96, "10s"), (31, "31s"), (59.9, "59s"), (727, "12m07s"),
        (600, "10m"),
        (11880, "3h18m"), (86399, "23h59m"), (6 * 86400 + 3 * 3600, "6d03h"), (412 * 86400, "412d"),
        (None, "–"), (float("nan"), "–"), (-3, "0.0s"),
    ],
)  # fmt: skip
def test_a_duration_has_at_most_two_units(seconds: float | None, text: str) -> None:
    assert units.format_duration(seconds) == text


@given(st.floats(0, 1e9))
def test_a_duration_fits_its_column(seconds: float) -> None:
    assert len(units.format_duration(seconds)) <= 6 and len(units.format_estimate(seconds)) <= 7


def test_a_setting_has_no_useless_decimal() -> None:
    assert [units.format_duration_setting(s) for s in (2, 1.5, 600, None)] == [
        "2s",
        "1.5s",
        "10m",
        "–",
    ]


def test_an_age_omits_seconds_after_a_minute() -> None:
    assert [units.format_age(s) for s in (3.9, 70, 2460, 7920, 34800)] == [
        "3s",
        "1m",
        "41m",
        "2h12m",
        "9h40m",
    ]


def test_an_estimate_is_rounded() -> None:
    assert [units.format_estimate(s) for s in (0, 40, 59.7, 360, 3599, 4680, 7200)] == [
        "~1s",
        "~40s",
        "~1m",
        "~6m",
        "~1h",
        "~1h18m",
        "~2h",
    ]


def test_an_upper_bound_is_rounded_up() -> None:
    assert [units.format_upper_bound(s) for s in (0, 33.2, 59.7, 366, 3599, 4681)] == [
        "1s",
        "34s",
        "1m",
        "7m",
        "1h",
        "1h19m",
    ]


def test_distant_clock_times_are_less_precise() -> None:
    now = datetime(2026, 11, 25, 10, 42, 7).astimezone()
    assert (
        units.format_clock_time(now, now) == "10:42"
        and units.format_clock_time(now, now, seconds=True) == "10:42:07"
    )
    assert units.format_clock_time(now.replace(day=24), now) == "Tue 10:42"
    assert units.format_clock_time(now.replace(day=3), now) == "11-03 10:42"
    assert units.format_clock_time(now.replace(year=2025, day=3), now) == "2025-11-03"
    assert units.format_time_range(now, now + timedelta(minutes=13), now) == "10:42–10:55"


def test_memory_and_sizes_have_one_letter_and_three_digits() -> None:
    assert [units.format_memory(m) for m in (84, 1229, 12288, 1024**2, 3.5, 0, None)] == [
        "84M",
        "1.2G",
        "12.0G",
        "1.0T",
        "3.5M",
        "0M",
        "–",
    ]
    assert [units.format_bytes(b) for b in (412, 2150, 4.3e6, 312 * 2**20)] == [
        "412B",
        "2.1K",
        "4.1M",
        "312M",
    ]


def test_a_pair_names_its_unit_once() -> None:
    assert units.format_memory_pair(30 * 1024, 32 * 1024) == "30.0/32G"
    assert units.format_memory_pair(2.6 * 1024, 4096) == "2.6/4.0G"
    assert units.format_memory_pair(20, 100) == "20/100M"
    assert units.format_memory_pair(None, 100) == "–"
    assert (
        units.format_cpu_pair(2.9, 4),
        units.format_cpu_pair(1, 1.5),
        units.format_cpu(5.1),
    ) == ("2.9/4", "1.0/1.5", "5.1")


def test_counts_percents_and_ordinals() -> None:
    assert [units.format_count(n) for n in (0, 9999, 12_400, 124_000, 999_999)] == [
        "0",
        "9,999",
        "12.4k",
        "124k",
        "1.0M",
    ]
    assert [units.format_percent(p, 1000) for p in (0, 999.9, 1000, 20_000)] == [
        "0%",
        "99%",
        "100%",
        ">999%",
    ]
    assert units.format_percent(1, 0) == "–"
    assert [units.format_ordinal(n) for n in (1, 10, 11, 22, 113, 1001)] == [
        "first",
        "tenth",
        "11th",
        "22nd",
        "113th",
        "1,001st",
    ]


@pytest.mark.parametrize(
    ("first", "last", "short", "wait"),
    [
        (240, 540, "4–9m", "in 4–9m"),
        (40, 130, "40s–2m", "in 40s–2m"),
        (300, 330, "~5m", "in ~5m"),
        (0, 540, "<9m", "within 9m"),
        (0, 0, "~1s", "in ~1s"),
        (3700, 6100, "1h02m–1h42m", "in 1h02m–1h42m"),
    ],
)
def test_a_range_is_shown_with_both_ends_unless_narrow(
    first: float, last: float, short: str, wait: str
):
    assert (units.format_estimate_range(first, last), units.format_wait_range(first, last)) == (
        short,
        wait,
    )
