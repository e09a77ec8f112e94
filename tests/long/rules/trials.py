"""Runs of the state machine with a seed and a number of steps."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from db import timestamps
from tests.long.rules.machine import AlertMachine

STEPS = 50
"""Steps of one run of the machine."""


def find_fault(steps: int, number: int = 1) -> str | None:
    """Return the first fault that runs of the machine find, or None."""
    random.seed(number)
    before = timestamps.utcnow
    limits = settings(
        max_examples=max(1, steps // STEPS),
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.filter_too_much,
            HealthCheck.data_too_large,
        ],
        print_blob=False,
    )
    try:
        run_state_machine_as_test(seed(number)(AlertMachine), settings=limits)
    except AssertionError as fault:
        return str(fault).splitlines()[0] if str(fault) else type(fault).__name__
    finally:
        timestamps.utcnow = before
    return None
