"""Recurrences of every kind: parsing, fire times that follow, words."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest

from app.core.schedules.recurrence import describe_recurrence, find_next, iterate, parse_recurrence

START = datetime(2026, 11, 1, 9, 30, 15, 500, tzinfo=UTC)


def list_times(kind: str, text: str, count: int, after: datetime = START, zone: str = "UTC"):
    found = parse_recurrence(kind, text, zone, START)
    return [f"{at:%m-%d %H:%M:%S}" for at in islice(iterate(found, after), count)]


def test_an_interval_counts_from_the_start():
    assert list_times("every", "10m", 2) == ["11-01 09:40:15", "11-01 09:50:15"]


def test_an_interval_does_not_shift_with_the_clock_change():
    before = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)  # an hour later clocks go back in Berlin
    found = parse_recurrence("every", "1h", "Europe/Berlin", before)

    times = list(islice(iterate(found, before), 3))

    assert [f"{at:%H:%M}" for at in times] == ["01:00", "02:00", "03:00"]


def test_an_interval_passes_millions_of_steps_at_once():
    found = parse_recurrence("every", "1s", "UTC", START)
    after = datetime(2126, 1, 1, 0, 0, 0, 1, tzinfo=UTC)

    assert find_next(found, after) == datetime(2126, 1, 1, 0, 0, 1, tzinfo=UTC)


def test_nothing_follows_after_a_single_time():
    assert list_times("at", "2026-11-02 08:00", 5, zone="Europe/Berlin") == ["11-02 07:00:00"]


def test_a_single_time_may_be_a_duration_from_now():
    assert list_times("at", "2h", 5) == ["11-01 11:30:15"]


def test_a_boot_has_no_fire_times():
    assert list_times("boot", "", 5) == []


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("every", "0.5s", "at least 1s"),
        ("every", "1.5s", "whole seconds"),
        ("every", "often", 'not "often"'),
        ("at", "soon", 'not "soon"'),
        ("cron", "* *", "5 fields"),
        ("rrule", "FREQ=DAYLY", "must have FREQ="),
    ],
)
def test_a_wrong_recurrence_is_refused(kind: str, text: str, words: str):
    with pytest.raises(ValueError, match=words):
        parse_recurrence(kind, text, "UTC", START)


def test_no_fire_time_lies_beyond_the_calendar():
    found = parse_recurrence("every", "1s", "UTC", START)

    assert find_next(found, datetime(9500, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        ("cron", "@daily", "at 00:00 every day"),
        ("every", "90m", "every 1h30m"),
        ("every", "3601s", "every 3601s"),
        ("at", "2026-12-24 18:00", "once, at 2026-12-24 18:00"),
        ("rrule", "freq=daily", "by the rule FREQ=DAILY"),
        ("boot", "", "at each boot of this machine"),
    ],
)
def test_a_recurrence_is_described_in_words(kind: str, text: str, words: str):
    assert describe_recurrence(parse_recurrence(kind, text, "UTC", START)) == words
