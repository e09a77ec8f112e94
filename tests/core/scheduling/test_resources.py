"""Tests of names and amounts of resources."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.scheduling.resources import (
    check_named,
    format_named,
    format_named_option,
    get_named,
    make_amounts,
    parse_named,
)


def test_amounts_hold_all_resources_by_name():
    amounts = make_amounts(2.0, 512.0, {"gpu": 1})

    assert amounts == {"cpu": 2.0, "memory": 512.0, "gpu": 1}
    assert get_named(amounts) == {"gpu": 1}


@pytest.mark.parametrize(
    ("text", "parsed"), [("gpu=2", ("gpu", 2)), ("tape", ("tape", 1)), ("a.b=0", ("a.b", 0))]
)
def test_an_option_names_a_resource_and_its_amount(text: str, parsed: tuple[str, int]):
    assert parse_named(text) == parsed


@pytest.mark.parametrize("text", ["gpu=x", "gpu=-1", "gpu=1.5", "=2", "a b=1", "gpu=٣", "x" * 65])
def test_a_wrong_option_is_refused(text: str):
    with pytest.raises(ValueError, match="no name of a resource|no amount of a resource"):
        parse_named(text)


def test_cpu_is_no_named_resource():
    with pytest.raises(ValueError, match="cpu is no named resource: give cpu by itself"):
        parse_named("cpu=2")


@pytest.mark.parametrize(
    "value", [3, [], {"gpu": -1}, {"gpu": 0.5}, {"gpu": True}, {"gpu": 1e9}, {"\x1b[1m": 1}]
)
def test_a_wrong_table_is_refused(value: Any):
    with pytest.raises(ValueError, match="must be|no name of a resource"):
        check_named(value)


def test_resources_are_told_in_the_order_of_their_names():
    assert format_named({"tape": 1, "gpu": 2}) == "gpu 2, tape 1"
    assert format_named(None) == ""
    assert format_named_option("gpu", 2) == "--gpu 2"
    assert format_named_option("tape", 1) == "--resource tape=1"
