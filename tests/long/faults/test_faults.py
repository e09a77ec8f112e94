"""The short form of `python -m tests.long.faults`."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from app import paths
from app.home import setup
from db.maintenance import integrity, migrate
from db.readonly import reading
from tests.long.faults import killed_restore, killed_setup
from tests.long.faults.disk_faults import CALLS, Fault, impossible, trials
from tests.runtime_process import Living

FAULTS = [Fault(call, "ENOSPC", n, kill) for call in CALLS for n, kill in ((1, False), (2, True))]


def test_a_disk_that_fails_at_any_call_loses_nothing_that_was_acknowledged(living: Living):
    if why := impossible():
        pytest.skip(why)

    found = list(trials(living, FAULTS))

    assert [one for one in found if one.wrong] == []
    assert all(one.known for one in found) and sum(one.refused for one in found) > 0


@pytest.mark.parametrize("damaged", [False, True], ids=["whole", "damaged"])
def test_a_restore_that_is_killed_at_any_step_is_finished_by_the_next_one(tmp_path: Path, damaged: bool):
    if why := impossible():
        pytest.skip(why)

    case = killed_restore.make(tmp_path, damaged)
    found = [*killed_restore.trials(case, killed_restore.STEPS[:2]), *killed_restore.trials(case, killed_restore.STEPS[2:], every=9)]

    assert [one for one in found if one.wrong] == []
    assert {one.call for one in found} == set(killed_restore.STEPS)


@pytest.mark.parametrize("call", ["fdatasync", "fsync", "rename"])
def test_a_home_that_is_killed_at_any_step_of_its_making_is_made_by_the_next_start(tmp_path: Path, call: str):
    if why := impossible():
        pytest.skip(why)

    for n in count(1):
        if not killed_setup.killed_at(tmp_path / str(n), call, n):
            break
        setup.prepare(tmp_path / str(n))
        path = paths.database(tmp_path / str(n))
        with reading(path) as c:
            assert c.execute("SELECT q.name, p.name FROM queues q JOIN pools p ON p.name = q.pool").fetchall() == [("default", "default")]
        assert migrate.version_of(path) == migrate.HEAD and integrity.check(path) == []
        assert not list(path.parent.glob("*.new*"))
    assert n > 1
