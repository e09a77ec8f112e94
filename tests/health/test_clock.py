"""The clock: set back, set while the runtime lives, and not kept right."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest

from app.health import clock


def at(**ago: float) -> str:
    """A time so long ago, as it is stored."""
    return (datetime.now(UTC) - timedelta(**ago)).isoformat()


def look(status=None, newest=None):
    (found,) = clock.clock("/srv", status, newest)
    return found


def running(since: str, lived: float = 0.0):
    """A status; the runtime began so many seconds ago, whatever the clock said then."""
    begun = clock.time.clock_gettime(clock.time.CLOCK_BOOTTIME) - lived
    return {"runtime": {"state": "running", "pid": os.getpid(), "since": since, "boottime": begun}}


@pytest.mark.parametrize("kept", [True, False])
def test_a_clock_behind_the_newest_task_is_broken_wherever_it_comes_from(monkeypatch: pytest.MonkeyPatch, kept: bool):
    monkeypatch.setattr(clock, "synchronised", lambda: kept)

    assert look(newest=at(hours=-3)).state == "broken" and "2h59m behind the newest task" in look(newest=at(hours=-3)).text


def test_a_clock_that_was_set_since_the_runtime_began_is_a_hint():
    lived = 60.0

    assert "was put 1h ahead" in look(running(at(seconds=lived + 3630), lived)).text
    assert "was put 1h back" in look(running(at(seconds=lived - 3630), lived)).text
    assert "was put" not in look(running(at(seconds=lived), lived)).text


@pytest.mark.parametrize(("kept", "state"), [(True, "well"), (None, "well"), (False, "hint")])
def test_a_clock_that_nothing_keeps_is_a_hint(monkeypatch: pytest.MonkeyPatch, kept: bool | None, state: str):
    monkeypatch.setattr(clock, "synchronised", lambda: kept)
    monkeypatch.setattr(clock, "contained", lambda: False)

    assert look(newest=at(days=1)).state == state


def test_a_container_is_not_blamed_for_its_hosts_clock(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(clock, "synchronised", lambda: False)
    monkeypatch.setattr(clock, "contained", lambda: True)

    assert look().state == "well"


def test_the_kernel_is_asked_in_its_own_words():
    assert clock.synchronised() in (True, False, None)
    assert clock.Timex.status.offset == (40 if clock.ctypes.sizeof(clock.ctypes.c_long) == 8 else 20)
