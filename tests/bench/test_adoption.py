"""Short form of the adoption benchmark: no run is lost or repeated."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.acceptance_home import AcceptanceHome
from tests.bench.adoption import end_runs, measure_restart, start_runs


def test_two_new_runtimes_adopt_every_run_with_its_exit_code(tmp_path: Path):
    house = AcceptanceHome(tmp_path)
    try:
        gate = start_runs(house, 60)

        for _ in range(2):
            assert measure_restart(house, 60) > 0

        end_runs(house, gate, 60)
    finally:
        house.close()
