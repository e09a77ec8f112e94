"""The short form of `python -m tests.faults`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import restoring
from tests.faults.trial import CALLS, Fault, impossible, trials
from tests.living import Living

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

    case = restoring.make(tmp_path, damaged)
    found = [*restoring.trials(case, restoring.STEPS[:2]), *restoring.trials(case, restoring.STEPS[2:], every=9)]

    assert [one for one in found if one.wrong] == []
    assert {one.call for one in found} == set(restoring.STEPS)
