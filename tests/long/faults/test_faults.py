"""Short fault test; the long one is `python -m tests.long.faults`."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from app import paths
from app.home import setup
from db.maintenance import integrity, migrate
from db.readonly import open_read_only
from tests.long.faults import killed_restore, killed_setup
from tests.long.faults.disk_faults import CALLS, DiskFault, find_obstacle, run_trials
from tests.runtime_process import RuntimeProcess

FAULTS = [
    DiskFault(call, "ENOSPC", n, kill) for call in CALLS for n, kill in ((1, False), (2, True))
]


def test_a_failing_disk_loses_no_acknowledged_task(lazy_runtime: RuntimeProcess):
    if why := find_obstacle():
        pytest.skip(why)

    found = list(run_trials(lazy_runtime, FAULTS))

    assert [one for one in found if one.failures] == []
    assert all(one.known for one in found) and sum(one.refused for one in found) > 0


@pytest.mark.parametrize("damaged", [False, True], ids=["whole", "damaged"])
def test_a_restore_killed_at_any_step_is_completed_by_the_next(tmp_path: Path, damaged: bool):
    if why := find_obstacle():
        pytest.skip(why)

    case = killed_restore.make_case(tmp_path, damaged)
    found = [
        *killed_restore.run_trials(case, killed_restore.STEPS[:2]),
        *killed_restore.run_trials(case, killed_restore.STEPS[2:], every=9),
    ]

    assert [one for one in found if one.failures] == []
    assert {one.call for one in found} == set(killed_restore.STEPS)


@pytest.mark.parametrize("call", ["fdatasync", "fsync", "rename"])
def test_a_home_killed_during_setup_is_completed_by_the_next_start(tmp_path: Path, call: str):
    if why := find_obstacle():
        pytest.skip(why)

    for n in count(1):
        if not killed_setup.kill_setup(tmp_path / str(n), call, n):
            break
        setup.prepare_database(tmp_path / str(n))
        path = paths.get_database_path(tmp_path / str(n))
        with open_read_only(path) as c:
            assert c.execute(
                "SELECT q.name, p.name FROM queues q JOIN pools p ON p.name = q.pool"
            ).fetchall() == [("default", "default")]
        assert migrate.read_version(path) == migrate.HEAD and integrity.check_database(path) == []
        assert not list(path.parent.glob("*.new*"))
    assert n > 1
