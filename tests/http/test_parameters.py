"""Values of parameters, checked against their schemas."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import Usage
from app.http.parameters import (
    Parameter,
    make_choice,
    make_integer,
    make_list,
    make_text,
    parse_parameters,
)

PARAMETERS = (
    Parameter("number", "", make_integer(1, 99), in_path=True),
    Parameter("limit", "", make_integer(1, 10, 5)),
    Parameter("order", "", make_choice("up", "down")),
    Parameter("tag", "", make_list(make_text(9, pattern="^[a-z]+="), 2)),
)


def parse(*query: tuple[str, str], number: str = "7") -> dict[str, Any]:
    return parse_parameters(PARAMETERS, {"number": number}, query)


def test_values_have_their_types_and_defaults():
    assert parse(("tag", "a=1"), ("tag", "b=")) == {
        "number": 7,
        "limit": 5,
        "order": "up",
        "tag": ["a=1", "b="],
    }


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ([("limit", "0")], "limit must be 1 to 10."),
        ([("limit", "")], "limit must be a whole number."),
        ([("limit", "1e1")], "limit must be a whole number."),
        ([("limit", "٣")], "limit must be a whole number."),
        ([("limit", "9" * 30)], "limit must be a whole number."),
        ([("limit", "1"), ("limit", "2")], "limit must be given once."),
        ([("order", "sideways")], "order must be one of up, down."),
        ([("tag", "")], "tag must not be empty."),
        ([("tag", "a=3456789x")], "tag must have at most 9 characters."),
        ([("tag", "A=1")], "tag does not have the form [a-z]+=."),
        ([("tag", "a=")] * 3, "tag must be given at most 2 times."),
        ([("number", "8")], 'there is no parameter "number".'),
        ([("limt", "8")], 'there is no parameter "limt". Nearest: limit.'),
    ],
)
def test_a_faulty_value_is_explained(query: list[tuple[str, str]], fault: str):
    with pytest.raises(Usage) as told:
        parse(*query)

    assert told.value.message == fault


def test_an_unknown_name_is_told_with_those_that_exist():
    with pytest.raises(Usage) as told:
        parse(("x\x1b[31m", "1"))

    assert "\x1b" not in told.value.message
    assert told.value.hint == "There are: limit, order, tag."
    with pytest.raises(Usage) as told:
        parse_parameters((), {}, [("x", "1")])
    assert told.value.hint == "The path takes none."


def test_a_parameter_is_described_for_openapi():
    assert PARAMETERS[0].describe()["in"] == "path"
    assert PARAMETERS[1].describe() == {
        "name": "limit",
        "in": "query",
        "required": False,
        "description": "",
        "schema": {"type": "integer", "minimum": 1, "maximum": 10, "default": 5},
    }
