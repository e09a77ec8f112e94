"""The small form of the bench's adoption: whatever it takes, no run is lost and none runs twice."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.acceptance_home import House
from tests.bench.adoption import begun, ended, restarted


def test_every_running_run_is_adopted_by_each_of_two_new_runtimes_and_keeps_its_exit_code(tmp_path: Path):
    house = House(tmp_path)
    try:
        gate = begun(house, 60)

        for _ in range(2):
            assert restarted(house, 60) > 0

        ended(house, gate, 60)
    finally:
        house.close()
