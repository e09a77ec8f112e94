"""What past runs say about the next request: percentiles with a margin, rounded to what people type."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.scheduling.run_stats import Run, learn, rounded_cpu, rounded_memory, typed_memory
from app.core.text.units import parse_size


def runs(*peaks: float | None, seconds: float = 100.0, cores: float = 2.9) -> list[Run]:
    return [Run(seconds, seconds * cores, peak) for peak in peaks]


def test_two_runs_say_nothing_and_three_say_how_long_and_how_much():
    assert learn("name", runs(100.0, 100.0)) is None

    past = learn("name", runs(100.0, 200.0, 300.0))

    assert past is not None
    assert (past.n, past.memory_most, past.memory) == (3, 300.0, 360.0)
    assert past.usual is not None
    assert (past.usual.median, past.usual.p95) == (100.0, 100.0)


def test_the_request_is_the_95th_percentile_and_a_fifth_more_not_the_one_that_went_astray():
    past = learn("template", runs(*[9.1 * 1024] * 39, 40 * 1024.0))

    assert past is not None
    assert past.memory_most == 40 * 1024
    assert past.memory == 11 * 1024


def test_cores_are_means_of_whole_runs_and_short_ones_say_nothing_about_them():
    assert (learn("name", runs(1.0, 1.0, 1.0, cores=2.9)) or pytest.fail()).cpu == 3.5
    assert (learn("name", runs(1.0, 1.0, 1.0, cores=0.31)) or pytest.fail()).cpu == 0.4
    assert (learn("name", runs(1.0, 1.0, 1.0, seconds=0.2)) or pytest.fail()).cpu is None


def test_what_was_never_measured_is_not_asked_for():
    past = learn("name", [Run(5.0, None, None)] * 4)

    assert past is not None
    assert (past.cpu, past.memory, past.memory_most) == (None, None, None)


@given(st.floats(0.1, 1e6))
def test_a_rounded_request_is_never_less_never_much_more_and_can_be_typed(mib: float):
    rounded = rounded_memory(mib)

    assert mib - 0.06 <= rounded <= mib * 1.12 + 1.0
    assert abs(parse_size(typed_memory(rounded)) - rounded) < 0.01


@given(st.floats(0.0, 1000.0))
def test_rounded_cores_are_never_less_than_what_was_used(cores: float):
    assert cores - 1e-6 <= rounded_cpu(cores) <= max(0.1, cores + 0.5)
