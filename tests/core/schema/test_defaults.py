"""Tests of defaults: where they apply, and the limit of a walk over a schema."""

import time
from typing import Any

import pytest

from app.core.schema import json_schema, parameters
from app.core.schema.defaults import fill_defaults
from app.errors import Usage

KIND: dict[str, Any] = {"properties": {"kind": {"enum": ["x", "y"]}}, "required": ["kind"]}
X: dict[str, Any] = {"properties": {"kind": {"const": "x"}, "n": {"type": "integer", "default": 1}}}
Y: dict[str, Any] = {"properties": {"kind": {"const": "y"}, "m": {"type": "integer", "default": 2}}}
CLOSED: dict[str, Any] = {"additionalProperties": False}
MODE: dict[str, Any] = {"properties": {"mode": {"enum": ["fast", "slow"], "default": "fast"}}}
IF_SLOW: dict[str, Any] = {
    **MODE,
    "if": {"properties": {"mode": {"const": "slow"}}},
    "then": {"properties": {"limit": {"type": "integer", "default": 5}}},
    "else": {"properties": {"boost": {"default": 9}}},
}
IMPOSSIBLE: dict[str, Any] = {
    "oneOf": [
        {"properties": {"end": {"type": "integer", "default": None}, "width": {"default": 80}}},
        {"type": "string"},
    ]
}
NEEDS_A = {"properties": {"a": {"default": 1}}, "required": ["a"]}
NEEDS_B = {"properties": {"b": {"default": 2}}, "required": ["b"]}


@pytest.mark.parametrize(
    ("schema", "given", "filled"),
    [
        ({**KIND, "oneOf": [X, Y]}, {"kind": "x"}, {"kind": "x", "n": 1}),
        ({**KIND, "oneOf": [X, Y]}, {"kind": "y"}, {"kind": "y", "m": 2}),
        ({**KIND, "anyOf": [X, Y]}, {"kind": "y"}, {"kind": "y", "m": 2}),
        ({**KIND, "oneOf": [X | CLOSED, Y | CLOSED]}, {"kind": "x"}, {"kind": "x", "n": 1}),
        ({**KIND, "oneOf": [{"$ref": "#/$defs/x"}, Y], "$defs": {"x": X}}, {"kind": "x"},
         {"kind": "x", "n": 1}),
        (IF_SLOW, {}, {"mode": "fast", "boost": 9}),
        (IF_SLOW, {"mode": "slow"}, {"mode": "slow", "limit": 5}),
        ({"dependentSchemas": {"a": NEEDS_B}}, {"a": 3}, {"a": 3, "b": 2}),
        ({"properties": {"a": {}}, "dependentSchemas": {"a": NEEDS_B}}, {}, {}),
        (IMPOSSIBLE, {}, {"width": 80}),
        ({"oneOf": [NEEDS_A, {"required": ["z"]}]}, {}, {"a": 1}),
        ({"oneOf": [NEEDS_A, NEEDS_B]}, {"b": 5}, {"b": 5}),
        ({"anyOf": [X | CLOSED, Y | CLOSED]}, {}, {"n": 1}),
        ({"properties": {"o": {"oneOf": [X, Y]}}}, {"o": {"kind": "x"}},
         {"o": {"kind": "x", "n": 1}}),
    ],
)  # fmt: skip
def test_only_a_branch_that_the_values_fit_gives_defaults(
    schema: dict[str, Any], given: dict[str, Any], filled: dict[str, Any]
):
    assert fill_defaults(schema, given) == filled
    parameters.check_schema({"type": "object", **schema})


@pytest.mark.parametrize(
    ("schema", "given"),
    [
        ({"o": {"properties": {"n": {"type": "integer", "default": "600"}}}}, {"o": {}}),
        (
            {"o": {"properties": {"n": {"default": 1}, "m": {}}, "maxProperties": 1}},
            {"o": {"m": 2}},
        ),
        ({"n": {"default": 1}, "m": {}}, {"m": 2}),
    ],
)
def test_values_that_are_valid_as_given_get_no_default_that_breaks_them(
    schema: dict[str, Any], given: dict[str, Any]
):
    whole = {"type": "object", "properties": schema, "dependentRequired": {"n": ["o"]}}
    parameters.check_schema(whole)
    assert parameters.resolve_values(whole, given) == given
    assert parameters.find_faults(whole, given) == []


def test_an_unused_branch_refuses_no_submission():
    closed = {**KIND, "oneOf": [X | CLOSED, Y | CLOSED]}

    assert parameters.resolve_values(closed, {"kind": "x"}) == {"kind": "x", "n": 1}
    assert parameters.resolve_values(IMPOSSIBLE, {"end": 3}) == {"end": 3, "width": 80}


def test_a_default_of_a_recursive_schema_follows_the_values():
    node = {"properties": {"n": {"default": 1}, "next": {"$ref": "#/$defs/node"}}}
    schema = {"properties": {"root": {"$ref": "#/$defs/node"}}, "$defs": {"node": node}}

    assert fill_defaults(schema, {}) == {}
    assert fill_defaults(schema, {"root": {"next": {}}}) == {"root": {"n": 1, "next": {"n": 1}}}


def make_recursive_schema(more: dict[str, Any]) -> dict[str, Any]:
    """Return a tree whose nodes have eight nodes each."""
    node = {"$ref": "#/definitions/node", **more}
    return {
        "type": "object",
        "definitions": {"node": {"type": "object", "properties": dict.fromkeys("abcdefgh", node)}},
        "properties": {"root": node, "x": {"default": 1}},
    }


def test_a_recursive_default_adds_nothing_inside_itself():
    schema = make_recursive_schema({"default": {}})

    parameters.check_schema(schema)

    nodes: dict[str, Any] = {name: {} for name in "abcdefgh"}
    assert fill_defaults(schema, {}) == {"root": nodes, "x": 1}
    assert fill_defaults(schema, {"root": {"a": {}}})["root"]["a"] == nodes


def test_a_schema_whose_parts_refer_to_each_other_applies_at_once():
    schema = make_recursive_schema({})
    began = time.process_time()

    parameters.check_schema(schema)

    assert time.process_time() - began < 1
    assert parameters.resolve_values(schema, {"root": {}}) == {"root": {}, "x": 1}


def test_defaults_that_take_too_many_steps_are_refused():
    levels = {
        f"d{n}": {
            "properties": {
                name: {"$ref": f"#/$defs/d{n + 1}", "default": {}} for name in "abcdefgh"
            }
        }
        for n in range(9)
    }
    schema: dict[str, Any] = {"$ref": "#/$defs/d0", "$defs": levels | {"d9": {}}}
    began = time.process_time()

    with pytest.raises(Usage, match=r"the schema takes too long to check: over 100,000 steps"):
        parameters.check_schema(schema)
    with pytest.raises(Usage, match="takes too long to check: over 20,000 steps"):
        parameters.resolve_values(schema, {})

    assert time.process_time() - began < 10


def test_walks_inside_one_limit_share_its_steps(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(json_schema, "MAX_STEPS", 10)
    schema = {"properties": {"a": {"default": 1}}}

    with pytest.raises(json_schema.LimitExceededError), json_schema.limit_steps():
        for _ in range(10):
            fill_defaults(schema, {})

    for _ in range(10):
        assert fill_defaults(schema, {}) == {"a": 1}


def test_a_value_too_deep_for_the_stack_is_refused():
    links = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(10)}
    node = {"d10": {"properties": {"a": {"$ref": "#/$defs/d0"}}}}
    schema = {"type": "object", "properties": node["d10"]["properties"], "$defs": links | node}
    value: dict[str, Any] = {}
    for _ in range(60):
        value = {"a": value}
    parameters.check_schema(schema)
    with pytest.raises(Usage, match="is nested too deeply to check"):
        parameters.resolve_values(schema, value)
