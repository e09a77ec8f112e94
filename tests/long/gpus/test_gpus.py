"""A short form of the long test: devices and reasons are right, and faults in them are found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from app.core.scheduling import devices
from app.core.scheduling.explanations import reasons
from tests.long.gpus.machine import GpuFault, run_hour

SEED, TASKS = 1, 60


def test_devices_and_reasons_agree_with_the_plan():
    seen = run_hour(SEED, TASKS)

    assert seen["starts"] == TASKS
    assert {"shared-gpu", "pool-gpu", "reservation", "behind"} <= seen.keys()


def give_the_highest(wanted: Any, held: Any, known: Sequence[str] | None = None) -> Any:
    return ASSIGN(wanted, held, None if known is None else known[::-1])


ASSIGN = devices.assign_devices
FAULTS = {
    "gives the highest devices": (devices, "assign_devices", give_the_highest),
    "reasons count devices that fail": (reasons, "_withhold", lambda view, need: need),
    "reasons name no run": (reasons, "_format_releases", lambda need, runs: "#1 frees 99"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_found(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(*FAULTS[name])

    with pytest.raises(GpuFault):
        run_hour(SEED, TASKS)
