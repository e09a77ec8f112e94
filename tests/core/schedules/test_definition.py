"""Definitions of schedules and calendars: keys, faults, and the way back from a stored row."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.core.definitions.document import parse_document
from app.core.schedules.definition import (
    CalendarDefinition,
    FiledSchedule,
    ScheduleDefinition,
    build_source,
)

NOW = datetime(2026, 11, 30, 6, tzinfo=UTC)


def check(**keys: Any) -> ScheduleDefinition:
    return ScheduleDefinition.model_validate({"argv": ["true"], "timezone": "UTC", **keys})


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({}, "needs one of cron, every, at, rrule, at_boot"),
        ({"cron": "@daily", "every": "1h"}, "not cron and every"),
        ({"cron": "* * *"}, "cron must have 5 fields"),
        ({"every": "0s"}, "every must be at least 1s"),
        ({"every": "1h", "timezone": "Mars"}, "must be a time zone"),
        ({"every": "1h", "overlap": "both"}, "must be skip or queue"),
        ({"every": "1h", "until": "never"}, "until "),
        ({"every": "1h", "argv": None}, "template"),
        ({"every": "1h", "script": "true"}, "argv"),
        ({"every": "1h", "memory": "lots"}, "memory"),
        ({"every": "1h", "missed_within": "59s"}, "missed_within must be at least 1m"),
        ({"every": "1h", "colour": "red"}, "colour"),
    ],
)
def test_a_wrong_definition_is_refused(keys: dict[str, Any], words: str):
    with pytest.raises(ValidationError, match=words):
        check(**keys)


def test_the_task_has_its_units_resolved():
    task = check(every=60, memory="1G", timeout="2m", tags={"a": "b"}).make_task()

    assert task == {"argv": ["true"], "memory": 1024.0, "timeout": 120.0, "tags": {"a": "b"}}


def test_the_end_is_wall_time_in_the_zone():
    until = check(every="1h", until="2026-12-24 18:00", timezone="Asia/Tokyo").get_until(NOW)

    assert until == datetime(2026, 12, 24, 9, tzinfo=UTC)


@pytest.mark.parametrize("until", ["14d", "2h", "23:30", "tomorrow 08:00"])
def test_a_file_has_no_end_that_each_apply_would_count_again(until: str):
    keys = {"every": "1h", "argv": ["true"], "timezone": "UTC"}
    parse_document("[schedules.s]\nevery = '1h'\nargv = ['true']\nuntil = 2030-12-31T18:00:00")

    with pytest.raises(ValidationError, match="until must be a date in a file, such as 2026-12-31"):
        FiledSchedule.model_validate({**keys, "until": until})
    assert check(every="1h", until=until)


@given(seconds=st.integers(1, 10**7))
def test_an_interval_survives_storage(seconds: int):
    expression = check(every=f"{seconds}s").make_recurrence(NOW).expression
    row = {
        "kind": "every", "expression": expression, "zone": "UTC", "overlap": "queue",
        "missed": "run-once", "missed_within": 3600.0, "jitter": 0.0, "until": None,
        "exclude": [], "description": None, "task": {"argv": ["true"], "timeout": 90.0},
    }  # fmt: skip

    source = build_source(row)

    assert source.keys() == {"every", "timezone", "overlap", "missed_within", "argv", "timeout"}
    again = ScheduleDefinition.model_validate(source)
    assert again.make_recurrence(NOW).expression == expression
    assert (again.missed_within, again.make_task()) == (3600.0, row["task"])


@given(
    timeout=st.floats(0.5, 10**6),
    memory=st.floats(1, 10**6) | st.integers(1, 10**6),
    cpu=st.integers(1, 64) | st.sampled_from([0.5, 1.25]),
)
def test_the_settings_of_a_task_survive_storage(timeout: float, memory: float, cpu: float):
    task = check(every="1h", timeout=timeout, memory=memory, cpu=cpu).make_task()
    row = {
        "kind": "every", "expression": "3600", "zone": "UTC", "overlap": "skip",
        "missed": "run-once", "missed_within": None, "jitter": 0.0, "until": None,
        "exclude": [], "description": None, "task": task,
    }  # fmt: skip

    assert ScheduleDefinition.model_validate(build_source(row)).make_task() == task


def test_the_dates_of_a_calendar_are_sorted_and_unique():
    found = CalendarDefinition(dates=["2026-12-26", "2026-12-25", "2026-12-25"])

    assert found.dates == ["2026-12-25", "2026-12-26"]


@pytest.mark.parametrize("dates", [[], "2026-12-25", ["25.12."], [7], ["2026-02-30"]])
def test_wrong_dates_are_refused(dates: Any):
    with pytest.raises(ValidationError, match="dates"):
        CalendarDefinition(dates=dates)
