"""Tests of the retry with more memory."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.oom_retry import (
    OomRetry,
    choose_memory,
    describe_retry,
    find_conflict,
    find_note,
    is_out_of_memory,
    normalize,
    parse_oom_retry,
)

pytestmark = pytest.mark.unit
KILLED = {"signal": 9, "code": None}


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("1.5", "1.5"),
        (" 2,max=65536M", "2,max=64G"),
        ("1.25,max=1500M", "1.25,max=1500M"),
        (2, "2"),
        ({"factor": 1.5, "max": "64G"}, "1.5,max=64G"),
        ({"factor": 1.5}, "1.5"),
        (None, None),
        ("none", None),
    ],
)
def test_a_rule_is_stored_in_one_form(value: Any, stored: str | None):
    assert normalize(value) == stored
    assert stored is None or str(parse_oom_retry(stored)) == stored


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("1", "factor above 1"),
        ("nan", "factor above 1"),
        ("1.5,64G", "FACTOR,max=SIZE"),
        ("1.5,most=64G", "FACTOR,max=SIZE"),
        ("much", "FACTOR,max=SIZE"),
        (True, "FACTOR"),
        ({"max": "64G"}, "keys factor"),
        ("1.5,max=lots", "must"),
    ],
)
def test_a_rule_without_a_meaning_is_refused(value: Any, said: str):
    with pytest.raises(ValueError, match=said):
        normalize(value)


@pytest.mark.parametrize(
    ("end", "is_oom"),
    [
        (KILLED | {"maxrss": 900 * 1024}, True),
        (KILLED | {"maxrss": 100 * 1024}, False),
        (KILLED | {"maxrss": None}, False),
        (KILLED | {"maxrss": 100 * 1024, "oom_kill": True}, True),
        ({"signal": None, "code": 137, "maxrss": 900 * 1024}, True),
        (KILLED | {"maxrss": 900 * 1024, "oom_kill": True, "oom": False}, False),
        (KILLED | {"maxrss": 100 * 1024, "oom": True}, True),
        (KILLED | {"maxrss": 900 * 1024, "oom": None}, True),
        ({"signal": 11, "code": None, "maxrss": 900 * 1024, "oom_kill": True}, False),
        ({"signal": None, "code": 1, "maxrss": 900 * 1024, "oom_kill": True}, False),
    ],
)
def test_a_kill_near_the_reservation_or_by_the_kernel_is_for_memory(
    end: dict[str, Any], is_oom: bool
):
    assert is_out_of_memory(end, 1000.0, False) is is_oom
    assert not is_out_of_memory(end, 1000.0, True)


def test_the_memory_of_the_retry_ends_at_limit_and_pool():
    rule = OomRetry(1.5, 8192.0)

    assert choose_memory(rule, 4096.0, 100.0, 65536.0) == 6144.0
    assert choose_memory(rule, 1024.0, 4096.0, 65536.0) == 6144.0
    assert choose_memory(rule, 7000.0, 0.0, 65536.0) == 8192.0
    assert choose_memory(rule, 4096.0, 0.0, 5000.0) == 5000.0
    assert choose_memory(rule, 8192.0, 0.0, 65536.0) is None
    assert choose_memory(OomRetry(2.0), 0.0, 100.0, 100.0) is None


def test_a_limit_below_the_memory_of_the_task_is_a_conflict():
    assert "at most 1.0G, and the task has 2.0G" in find_conflict("1.5,max=1G", 2048.0)
    assert find_conflict("1.5,max=4G", 2048.0) == find_conflict("1.5", 0.0) == ""
    assert find_conflict(None, 1.0) == ""


def test_the_note_is_found_in_a_reason():
    note = describe_retry(4096.0, 6144.0)

    assert note == "retried with 6.0G after running out of 4.0G"
    assert find_note(f"signal 9 (KILL); {note}") == note
    assert find_note("exit 1") == find_note(None) == ""
