"""The short form of `python -m tests.faults`."""

from __future__ import annotations

import pytest

from tests.faults.trial import CALLS, Fault, impossible, trials
from tests.living import Living

FAULTS = [Fault(call, "ENOSPC", n, kill) for call in CALLS for n, kill in ((1, False), (2, True))]


def test_a_disk_that_fails_at_any_call_loses_nothing_that_was_acknowledged(living: Living):
    if why := impossible():
        pytest.skip(why)

    found = list(trials(living, FAULTS))

    assert [one for one in found if one.wrong] == []
    assert all(one.known for one in found) and sum(one.refused for one in found) > 0
