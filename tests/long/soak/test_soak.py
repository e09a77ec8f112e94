"""Short soak test with some thousand tasks: too short for slopes, long enough for leaks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.long.soak.sampling import ROLES, Sample
from tests.long.soak.trial import SoakResult, format_report, run_soak

SLOW_VERDICTS = ("memory", "database", "runs")
"""Verdicts that take minutes to settle."""


def list_failures(found: SoakResult) -> list[str]:
    """List the failed verdicts."""
    return [what for what, _, good in found.list_verdicts() if not good]


def test_full_load_leaves_nothing_open_unreaped_or_wrong():
    found = run_soak(8.0, looks=8)

    assert not [what for what in list_failures(found) if not what.startswith(SLOW_VERDICTS)], (
        format_report(found)
    )
    assert found.submitted >= 1000


def make_steady_sample(at: int) -> Sample:
    """Return a sample of a home that does not grow, a thousand tasks after the previous one."""
    each = dict.fromkeys(ROLES, 50.0)
    return Sample(
        at,
        at * 1000,
        each,
        each,
        dict.fromkeys(ROLES, 12),
        0,
        0.5,
        0.0,
        0.0,
        4.0,
        20.0,
        0.3,
        15_000,
    )


GROWING = {
    "memory of the runtime, flat": lambda s: {"rss": s.rss | {"runtime": 50 + s.ended / 10_000}},
    "memory of the keeper, flat": lambda s: {"rss": s.rss | {"keeper": 6 + s.ended / 50_000}},
    "descriptors of the guard, constant": lambda s: {
        "descriptors": s.descriptors | {"guard": int(s.seconds)}
    },
    "no zombie": lambda s: {"zombies": int(s.seconds == 30)},
    "journal bounded": lambda s: {"journal": s.seconds / 4},
    "old logs go": lambda s: {"files": s.ended + 2000},
}


@pytest.mark.parametrize("what", GROWING)
def test_growth_is_detected(what: str):
    samples = [make_steady_sample(at) for at in range(60)]
    assert list_failures(SoakResult(60_000, 60.0, samples, [])) == []

    grown = [replace(one, **GROWING[what](one)) for one in samples]

    assert list_failures(SoakResult(60_000, 60.0, grown, [])) == [what]
