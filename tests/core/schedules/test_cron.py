"""Cron expressions: Debian's meaning, macros, clock changes, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.core.schedules.cron import MACROS, describe_cron, find_next, normalize_cron
from tests.core.scheduling.trace_files import CASES

BERLIN = ZoneInfo("Europe/Berlin")


def read_cases(name: str, key: str) -> list[dict[str, Any]]:
    """Return recorded cases, or none where they are not at hand."""
    return json.loads((CASES / "cron" / name).read_text())[key] if CASES else []


def list_next(text: str, after: str, count: int, zone: ZoneInfo = BERLIN) -> list[str]:
    """Return the fire times after a time with offset, as local ISO times."""
    expression, at = normalize_cron(text), datetime.fromisoformat(after).astimezone(UTC)
    found: list[str] = []
    while len(found) < count:
        following = find_next(expression, at, zone)
        assert following is not None and following > at
        found.append(following.astimezone(zone).isoformat())
        at = following
    return found


@pytest.mark.parametrize(
    "case", read_cases("cases.json", "cases"), ids=lambda case: f"{case['id']} {case['expr']}"
)
def test_recorded_fire_times_are_found(case: dict[str, Any]):
    zone, expected = ZoneInfo(case["tz"]), case.get("expected", ["any"])
    if expected is None:
        with pytest.raises(ValueError, match="never fires"):
            normalize_cron(case["expr"])
        return

    found = list_next(case["expr"], case["after"], len(expected), zone)

    if wrong := case.get("must_not_be"):
        assert datetime.fromisoformat(found[0]) != datetime.fromisoformat(wrong)
    else:
        assert list(map(datetime.fromisoformat, found)) == list(
            map(datetime.fromisoformat, expected)
        )


FIELD_WORDS = {
    "Minutes": "minute",
    "Hours": "hour",
    "Days of month": "day of the month",
    "Months": "month",
    "Days of week": "day of the week",
    "": "",
}


@pytest.mark.parametrize(
    "case", read_cases("invalid.json", "must_reject"), ids=lambda case: case["expr"]
)
def test_recorded_faults_are_refused_with_the_field(case: dict[str, Any]):
    with pytest.raises(ValueError, match=f"must have 5 fields|{FIELD_WORDS[case['field']]}"):
        normalize_cron(case["expr"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("60 * * * *", 'wrong minute: "60" (allowed: 0 to 59)'),
        ("* 24 * * *", "wrong hour"),
        ("* * 0 * *", "wrong day of the month"),
        ("* * * 13 *", "wrong month"),
        ("* * * * 8", "wrong day of the week"),
        ("* * * *", "must have 5 fields"),
        ("0 * * * * *", "has 6; seconds cannot be given"),
        ("", "must have 5 fields"),
        ("0 0 30 2 *", "never fires"),
        ("@reboot", "use --at-boot"),
        ("@dayly", "must be one of @hourly"),
        ("* " * 600, "at most 1,000"),
        ("* * \x1b[2J * *", "wrong day of the month"),
    ],
)
def test_a_wrong_expression_is_refused_with_its_field(text: str, words: str):
    with pytest.raises(ValueError) as caught:
        normalize_cron(text)

    assert words in str(caught.value) and str(caught.value).isprintable()


def test_day_of_month_and_day_of_week_are_joined_by_or():
    # 1 November 2026 is a Sunday
    assert list_next("0 0 13 * FRI", "2026-11-01T00:00:00+01:00", 3) == [
        "2026-11-06T00:00:00+01:00",
        "2026-11-13T00:00:00+01:00",
        "2026-11-20T00:00:00+01:00",
    ]


@pytest.mark.parametrize("macro", [*MACROS, "@DAILY"])
def test_macros_are_expanded(macro: str):
    assert normalize_cron(f" {macro} ") == MACROS[macro.lower()]


def test_blanks_between_fields_do_not_matter():
    assert normalize_cron(" 0\t2  * * MON-FRI ") == "0 2 * * MON-FRI"


def test_a_month_with_too_few_days_waits_for_the_next_one():
    assert list_next("0 0 31 * *", "2026-01-31T00:00:00+01:00", 1) == ["2026-03-31T00:00:00+02:00"]
    assert list_next("0 0 29 2 *", "2026-01-01T00:00:00+01:00", 1) == ["2028-02-29T00:00:00+01:00"]


def test_a_skipped_time_fires_once_right_after_the_gap():
    assert list_next("30 2 * * *", "2026-03-28T12:00:00+01:00", 2) == [
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ]


def test_a_repeated_time_fires_once():
    assert list_next("30 2 * * *", "2026-10-24T12:00:00+02:00", 2) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
    ]


def test_every_hour_fires_in_both_hours_of_a_fold():
    assert list_next("0 * * * *", "2026-10-25T01:00:00+02:00", 3) == [
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00",
        "2026-10-25T03:00:00+01:00",
    ]


def test_an_expression_is_described_in_words():
    assert describe_cron("0 2 * * *") == "at 02:00 every day"


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 9 13 * 5", "at 09:00 on the 13th day of month or on Friday"),
        ("0 9 13,14 1 mon-fri", "at 09:00 in January on the 13th and the 14th day of month or on"
         " Monday through Friday"),
        ("0 9 L * 5L", "at 09:00 on the last day of the month or on the last Friday of the month"),
        ("*/5 * 1-7 * 1", "every fifth minute of every hour on every day of month from 1 through 7"
         " or on Monday"),
        ("0 9 1-31 * 5", "at 09:00 every day"),
        ("0 9 13 1 0-7", "at 09:00 every day in January"),
        ("0 9 */2 * 5", "at 09:00 on every second day of month if it's on Friday"),
        ("0 9 13 * */2", "at 09:00 on the 13th day of month if it's on every second day of week"),
        ("0 9 * * 5", "at 09:00 on Friday"),
    ],
)  # fmt: skip
def test_two_day_fields_are_joined_as_they_fire(expression, words):
    either = " or " in words
    date, week = (find_days(expression, field) for field in (4, 2))

    assert describe_cron(expression) == words
    days = find_days(expression)
    assert days == (date | week if either or "every day" in words else date & week)


def find_days(expression: str, without: int | None = None) -> set[str]:
    """Return the days of a year on which an expression fires, with `*` for one of its fields."""
    fields = ["*" if at == without else word for at, word in enumerate(expression.split())]
    begin, zone = datetime(2026, 1, 1, tzinfo=UTC), ZoneInfo("UTC")
    found, after = set[str](), begin
    while (at := find_next(normalize_cron(" ".join(fields)), after, zone)) and at.year == 2026:
        found.add(at.date().isoformat())
        after = at.replace(hour=23, minute=59)
    return found


@pytest.mark.parametrize(
    ("zone", "expression", "after", "fire"),
    [
        ("Australia/Lord_Howe", "0 */10 * * *", "2026-04-05T00:30+11:00", "04-05 10:00"),
        ("America/Santiago", "* 1 * * SUN", "2026-09-05T12:00-04:00", "09-06 01:00"),
        ("America/Santiago", "* 0,2 * * SUN", "2026-09-05T12:00-04:00", "09-06 02:00"),
        ("America/Havana", "*/5 */10 * * SUN", "2026-03-07T12:00-05:00", "03-08 10:00"),
        ("Pacific/Chatham", "48 */2 * * *", "2026-04-05T02:48+13:45", "04-05 02:48"),
        ("Pacific/Chatham", "48 */2 * * *", "2026-04-05T02:48+12:45", "04-05 04:48"),
        ("Pacific/Chatham", "48 */2 * * *", "2026-09-27T02:00+12:45", "09-27 04:48"),
    ],
)
def test_unusual_clock_changes_lose_no_minute(zone: str, expression: str, after: str, fire: str):
    found = find_next(expression, datetime.fromisoformat(after).astimezone(UTC), ZoneInfo(zone))
    assert found is not None and f"{found.astimezone(ZoneInfo(zone)):%m-%d %H:%M}" == fire
