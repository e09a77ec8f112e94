"""Short run of the state machine over schedules, which must find some injected faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.long.schedules.faults import QUICK, inject_fault
from tests.long.schedules.schedule_machine import run_machine


def test_each_fire_time_is_handled_exactly_once(fresh_database: Path):
    assert run_machine(fresh_database, steps=500) > 200


@pytest.mark.parametrize("fault", QUICK)
def test_an_injected_fault_is_found(fault: str, fresh_database: Path):
    with inject_fault(fault), pytest.raises((AssertionError, ExceptionGroup)):
        run_machine(fresh_database, steps=2000)
