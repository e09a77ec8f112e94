"""Tests of the doctor's clock check: set back, changed, or not synchronized."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest

from app.health import clock


def make_past_time(**ago: float) -> str:
    """Return a stored time in the past."""
    return (datetime.now(UTC) - timedelta(**ago)).isoformat()


def run_check(status=None, newest=None):
    (found,) = clock.check_clock("/srv", status, newest)
    return found


def make_status(since: str, lived: float = 0.0):
    """Return a status whose runtime started the given seconds ago by the boot clock."""
    begun = clock.time.clock_gettime(clock.time.CLOCK_BOOTTIME) - lived
    return {"runtime": {"state": "running", "pid": os.getpid(), "since": since, "boottime": begun}}


@pytest.mark.parametrize("kept", [True, False])
def test_a_clock_behind_the_newest_task_is_broken(monkeypatch: pytest.MonkeyPatch, kept: bool):
    monkeypatch.setattr(clock, "is_synchronized", lambda: kept)

    assert (
        run_check(newest=make_past_time(hours=-3)).state == "broken"
        and "2h59m behind the newest task" in run_check(newest=make_past_time(hours=-3)).text
    )


def test_a_clock_set_since_the_runtimes_start_is_a_hint():
    lived = 60.0

    assert (
        "moved 1h ahead" in run_check(make_status(make_past_time(seconds=lived + 3630), lived)).text
    )
    assert (
        "moved 1h back" in run_check(make_status(make_past_time(seconds=lived - 3630), lived)).text
    )
    assert "moved" not in run_check(make_status(make_past_time(seconds=lived), lived)).text


@pytest.mark.parametrize(("kept", "state"), [(True, "well"), (None, "well"), (False, "hint")])
def test_an_unsynchronized_clock_is_a_hint(
    monkeypatch: pytest.MonkeyPatch, kept: bool | None, state: str
):
    monkeypatch.setattr(clock, "is_synchronized", lambda: kept)
    monkeypatch.setattr(clock, "is_in_container", lambda: False)

    assert run_check(newest=make_past_time(days=1)).state == state


def test_a_container_is_not_blamed_for_its_hosts_clock(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clock, "is_synchronized", lambda: False)
    monkeypatch.setattr(clock, "is_in_container", lambda: True)

    assert run_check().state == "well"


def test_the_kernel_reports_synchronization():
    assert clock.is_synchronized() in (True, False, None)
    assert clock.Timex.status.offset == (
        40 if clock.ctypes.sizeof(clock.ctypes.c_long) == 8 else 20
    )
