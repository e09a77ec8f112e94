"""Tests of schemas that no submission can satisfy."""

from typing import Any

import pytest

from app.core.schema import parameters
from app.errors import Usage

A: dict[str, Any] = {"properties": {"a": {}}, "required": ["a"]}


def require_a(**schema: Any) -> dict[str, Any]:
    """Return a schema that requires `a`, of this schema."""
    return {"type": "object", "properties": {"a": schema}, "required": ["a"]}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"required": ["b"], "properties": {"a": {}}},
         "b is required, but properties does not describe it"),
        ({"allOf": [{**A, "additionalProperties": False}, {"properties": {"b": {}}}],
          "required": ["b"]},
         "b is required, but additionalProperties: false forbids it"),
        ({"properties": {"a": False}, "required": ["a"]}, "its schema allows no value"),
        (require_a(type="integer", enum=["x", "y"]), "its schema allows no value"),
        (require_a(type="string", const=1), "its schema allows no value"),
        (require_a(minimum=5, type="integer", allOf=[{"maximum": 4}]),
         "its schema allows no value"),
        (require_a(type="string", minLength=5, maxLength=4), "its schema allows no value"),
        ({**require_a(type="string"), "allOf": [{"properties": {"a": {"type": "integer"}}}]},
         "its schema allows no value"),
        ({**A, "not": {}}, "not: {} forbids every value"),
        (require_a(**{"not": True}), "its schema allows no value"),
        ({**A, "minProperties": 2}, "at least 2 parameters are needed, but there are 1"),
        ({**A, "maxProperties": 0}, "at most 0 parameters are allowed, but 1 are required"),
    ],
)  # fmt: skip
def test_a_schema_that_no_submission_can_pass_is_refused(schema: dict[str, Any], words: str):
    with pytest.raises(Usage, match=r"parameters: no submission can pass: ") as caught:
        parameters.check_schema(schema)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("schema", "given"),
    [
        ({**A, "properties": {}, "additionalProperties": True}, {"a": 1}),
        ({"required": ["a"], "patternProperties": {"^a": {}}}, {"a": 1}),
        ({"required": ["a"], "oneOf": [{"properties": {"a": {"const": 1}}}]}, {"a": 1}),
        (require_a(type=["integer", "string"], minimum=5, maximum=4), {"a": "x"}),
        (require_a(type="number", allOf=[{"type": "integer"}]), {"a": 1}),
        (require_a(enum=["x", 3], type="integer"), {"a": 3}),
        ({"properties": {"a": False}}, {}),
        (
            {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"n": {"type":
             "integer"}}, **require_a(**{"$ref": "#/definitions/n", "type": "string"})},
            {"a": 1},
        ),
        ({"properties": {"a": {}, "b": {}}, "minProperties": 2}, {"a": 1, "b": 2}),
        ({"properties": {"a": {"default": 1}, "b": {"default": 2}}, "maxProperties": 1}, {"a": 5}),
        ({"allOf": [{**A, "additionalProperties": False}, {"properties": {"b": {"default": 1}}}]},
         {"a": 5}),
    ],
)  # fmt: skip
def test_a_schema_that_one_submission_can_pass_is_accepted(
    schema: dict[str, Any], given: dict[str, Any]
):
    parameters.check_schema(schema)
    assert parameters.resolve_values(schema, given) == given
