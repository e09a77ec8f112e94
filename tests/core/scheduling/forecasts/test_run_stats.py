"""Tests of requests suggested by past runs: percentiles with a margin, rounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.scheduling.forecasts.run_stats import (
    PastRun,
    compute_run_stats,
    format_exact_memory,
    round_up_cpu,
    round_up_memory,
)
from app.core.text.units import parse_size


def make_runs(*peaks: float | None, seconds: float = 100.0, cores: float = 2.9) -> list[PastRun]:
    return [PastRun(seconds, seconds * cores, peak) for peak in peaks]


def test_statistics_need_three_runs():
    assert compute_run_stats("name", make_runs(100.0, 100.0)) is None

    past = compute_run_stats("name", make_runs(100.0, 200.0, 300.0))

    assert past is not None
    assert (past.n, past.memory_most, past.memory) == (3, 300.0, 360.0)
    assert past.usual is not None
    assert (past.usual.median, past.usual.p95) == (100.0, 100.0)


def test_the_request_is_p95_plus_a_fifth_without_outliers():
    past = compute_run_stats("template", make_runs(*[9.1 * 1024] * 39, 40 * 1024.0))

    assert past is not None
    assert past.memory_most == 40 * 1024
    assert past.memory == 11 * 1024


def test_cores_are_means_of_whole_runs_without_short_ones():
    assert (
        compute_run_stats("name", make_runs(1.0, 1.0, 1.0, cores=2.9)) or pytest.fail()
    ).cpu == 3.5
    assert (
        compute_run_stats("name", make_runs(1.0, 1.0, 1.0, cores=0.31)) or pytest.fail()
    ).cpu == 0.4
    assert (
        compute_run_stats("name", make_runs(1.0, 1.0, 1.0, seconds=0.2)) or pytest.fail()
    ).cpu is None


def test_unmeasured_resources_are_not_suggested():
    past = compute_run_stats("name", [PastRun(5.0, None, None)] * 4)

    assert past is not None
    assert (past.cpu, past.memory, past.memory_most) == (None, None, None)


@given(st.floats(0.1, 1e6))
def test_a_rounded_request_is_slightly_larger_and_can_be_typed(mib: float):
    rounded = round_up_memory(mib)

    assert mib - 0.06 <= rounded <= mib * 1.12 + 1.0
    assert abs(parse_size(format_exact_memory(rounded)) - rounded) < 0.01


@given(st.floats(0.0, 1000.0))
def test_rounded_cores_are_never_below_the_usage(cores: float):
    assert cores - 1e-6 <= round_up_cpu(cores) <= max(0.1, cores + 0.5)
