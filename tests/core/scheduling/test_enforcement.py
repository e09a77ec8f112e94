"""Tests of the limits that a pool lets the kernel enforce."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.scheduling.enforcement import (
    format_enforce,
    list_enforced,
    make_limits,
    normalize_enforce,
    parse_enforce,
)

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("memory,cpu", "memory,cpu"),
        (" cpu, memory ", "memory,cpu"),
        (["cpu", "cpu"], "cpu"),
        ("none", None),
        ([], None),
        (None, None),
    ],
)
def test_limits_are_stored_in_one_form(value: Any, stored: str | None):
    assert normalize_enforce(value) == stored
    assert parse_enforce(format_enforce(list_enforced(stored))) == (stored or "none")


@pytest.mark.parametrize("value", ["mem", "cpu,", ["gpu"], 7, {"cpu": 1}])
def test_other_limits_are_refused(value: Any):
    with pytest.raises(ValueError, match="must be memory, cpu or both"):
        normalize_enforce(value)


def test_limits_of_a_run_are_what_it_asked_for():
    needs = {"cpu": 2.5, "memory": 64.0, "gpu": 1.0}

    assert make_limits("memory,cpu", needs, True) == {"memory": 65536, "cpu": 2.5}
    assert make_limits("cpu", {"cpu": 0.0, "memory": 64.0}, True) == {"memory": None, "cpu": 0.01}
    assert make_limits("memory", {"cpu": 1.0, "memory": 0.0}, False) == {
        "memory": None,
        "cpu": None,
    }
    assert make_limits(None, needs, True) is None


def test_a_run_limited_in_memory_only_still_weighs_as_its_cores():
    assert make_limits("memory", {"cpu": 16.0, "memory": 1.0}, True) == {
        "memory": 1024,
        "cpu": 16.0,
    }
