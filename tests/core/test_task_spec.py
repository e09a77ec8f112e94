"""Tests of the submission model and its error messages."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.core.task_spec import MAX_ARGUMENT, TaskSpec, describe_error, format_value
from app.core.text.sanitize import sanitize


def validate_error(**spec: Any) -> str:
    with pytest.raises(ValidationError) as told:
        TaskSpec.model_validate({"argv": ["a"], **spec})
    return describe_error(told.value)


def test_a_command_is_sufficient():
    spec = TaskSpec.model_validate({"argv": ["true"]})

    assert (spec.priority, spec.retry_delay, spec.grace, spec.hold, spec.timeout) == (
        0,
        1.0,
        5.0,
        False,
        None,
    )


def test_numbers_and_amounts_are_equivalent():
    words = {
        "timeout": "1h30m",
        "memory": "1.5G",
        "cpu": "0.25",
        "retries": "3",
        "priority": "-5",
        "grace": "2s",
    }
    figures = {
        "timeout": 5400,
        "memory": 1536,
        "cpu": 0.25,
        "retries": 3,
        "priority": -5,
        "grace": 2.0,
    }

    assert TaskSpec.model_validate({"argv": ["a"], **words}) == TaskSpec.model_validate(
        {"argv": ["a"], **figures}
    )


@pytest.mark.parametrize("name", ["timeout", "memory", "cpu", "retry_delay", "grace", "log_limit"])
@pytest.mark.parametrize(
    "value",
    [-1, "-1", math.nan, math.inf, "nan", "inf", "1e400", "", " ", "many", True, [], {}, "9" * 500],
)
def test_an_invalid_amount_is_refused_with_its_name(name: str, value: Any):
    said = validate_error(**{name: value})

    assert said.startswith(name) and len(said) < 200


@pytest.mark.parametrize("name", ["priority", "retries"])
@pytest.mark.parametrize("value", [1.5, "1.5", "x", True, None, [], 10**30, "9" * 5000, -(10**30)])
def test_an_invalid_integer_is_refused_with_its_name(name: str, value: Any):
    if name == "retries" and value is None:
        assert TaskSpec.model_validate({"argv": ["a"], "retries": None}).retries is None
        return
    said = validate_error(**{name: value})

    assert said.startswith(name) and len(said) < 200


def test_an_unknown_option_suggests_the_nearest():
    assert validate_error(prioritty=1) == 'there is no option "prioritty". Nearest: priority'
    assert validate_error(qqqqqqq=1) == 'there is no option "qqqqqqq"'


def test_gpu_is_short_for_a_named_resource():
    spec = TaskSpec.model_validate({"argv": ["a"], "gpu": 2, "resources": {"tape": 1}})

    assert spec.resources == {"gpu": 2, "tape": 1}
    assert "leave out one" in validate_error(gpu=2, resources={"gpu": 1})


def test_the_position_of_an_invalid_item_is_named():
    assert validate_error(argv=["a", 5]).startswith("argv.1 must be text")


def test_types_are_not_guessed():
    assert validate_error(hold=1) == "hold must be true or false, not 1"
    assert validate_error(tags={"a": 1}) == "tags.a must be text, not 1"
    assert validate_error(argv="ls") == 'argv must be a list, not "ls"'
    assert validate_error(parameters=[]).startswith("parameters must be an object")


def test_an_error_shows_no_secret_of_any_shape():
    wrong = [
        {"env": {"PASSWORD": 5150}}, {"env": ["PASSWORD=5150"]}, {"env": {"PASSWORD=5150": ""}},
        {"tags": {"token": 5150}},
        {"parameters": [{"password": "5150"}]}, {"parameter_texts": ["password=5150"]},
        {"parameter_texts": [["password", 5150]]},
        {"name": {"password": "5150"}},
    ]  # fmt: skip
    said = [validate_error(**one) for one in wrong]

    assert "5150" not in str(said)
    assert said[:3] == [
        "env.PASSWORD must be text",
        "env must be an object",
        'env: "PASSWORD=…" is not a variable name',
    ]


def test_arguments_may_contain_any_byte_but_nul():
    odd = "caf\udce9\x01\n"

    assert TaskSpec.model_validate({"argv": [odd], "env": {"A": odd}, "cwd": odd}).argv == [odd]
    assert "NUL" in validate_error(cwd="a\0")
    assert validate_error(cwd="").startswith("cwd must not be empty") and validate_error(
        queue=""
    ).startswith("queue must not be empty")


def test_an_argument_may_be_as_long_as_linux_allows():
    assert TaskSpec.model_validate({"argv": ["a" * MAX_ARGUMENT]}).argv
    assert "128 KiB" in validate_error(argv=["a" * (MAX_ARGUMENT + 1)])
    assert "longer than a command line may be" in validate_error(argv=["a" * 100_000] * 16)


@given(st.dictionaries(st.text(max_size=8),
st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=6) | st.integers(),
                                                         lambda inner: st.lists(inner, max_size=3),
                                                         max_leaves=4), max_size=4))  # fmt: skip
def test_any_input_gives_a_spec_or_a_short_safe_message(sent: dict[str, Any]):
    try:
        TaskSpec.model_validate(sent)
    except ValidationError as error:
        said = describe_error(error)
        assert said and len(said) < 400 and said == sanitize(said)


@given(st.text(max_size=40))
def test_any_json_text_gives_a_spec_or_a_safe_message(text: str):
    try:
        TaskSpec.model_validate_json(text.encode("utf-8", "replace"))
    except ValidationError as error:
        assert describe_error(error)


def test_a_spec_read_from_json_is_equal():
    sent = {
        "argv": ["a"],
        "after": [12, "x"],
        "tags": {"k": "v"},
        "at": "2h",
        "parameter_texts": None,
    }

    assert TaskSpec.model_validate_json(json.dumps(sent)) == TaskSpec.model_validate(sent)


def test_shown_values_are_short_and_safe():
    assert format_value("x" * 500) == '"' + "x" * 58 + "…"
    assert "\x1b" not in format_value("\x1b[2J") and format_value(5) == "5"
