"""Tests of the differences that the operation log stores."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db import differences

pytestmark = pytest.mark.unit

SCHEMA = {
    "type": "object",
    "properties": {
        "input": {"type": "string", "enum": ["a", "b"]},
        "token": {"type": "string", "writeOnly": True, "default": "x", "items": {"type": "null"}},
        "options": {"type": "object", "properties": {"deep": {"type": "integer"}}},
    },
    "allOf": [{"required": ["input"]}, {"if": {"properties": {}}}],
}


def change(path: list[Any], value: Any) -> Any:
    """Return the schema with another value at a path."""
    changed = json.loads(json.dumps(SCHEMA))
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def test_a_changed_value_is_stored_with_the_plain_values_beside_it():
    after = change(["properties", "token", "default"], "y")

    assert differences.prune(SCHEMA, after) == (
        {
            "type": "object",
            "properties": {"token": {"type": "string", "writeOnly": True, "default": "x"}},
        },
        {
            "type": "object",
            "properties": {"token": {"type": "string", "writeOnly": True, "default": "y"}},
        },
    )


def test_a_removed_property_keeps_the_names_of_the_others():
    after = json.loads(json.dumps(SCHEMA))
    removed = after["properties"].pop("token")
    pruned = differences.prune(SCHEMA, after)

    assert pruned[0]["properties"] == {"input": {}, "token": removed, "options": {}}
    assert pruned[1]["properties"] == {"input": {}, "options": {}}
    assert list(differences.revert(after, *pruned)["properties"]) == ["input", "token", "options"]


def test_shared_items_of_a_list_are_not_stored():
    after = change(["allOf", 1, "if"], {"required": ["input"]})

    assert differences.prune(SCHEMA, after)[1]["allOf"] == [{}, {"if": {"required": ["input"]}}]


def test_true_differs_from_one_inside_a_value():
    after = change(["properties", "options", "properties", "deep"], {"type": 1})
    other = change(["properties", "options", "properties", "deep"], {"type": True})

    pruned = differences.prune(other, after)
    assert json.dumps(differences.revert(after, *pruned)) == json.dumps(other)


def test_a_value_changed_since_is_noticed():
    after = change(["properties", "token", "default"], "y")
    pruned = differences.prune(SCHEMA, after)

    assert differences.is_after(after, *pruned)
    for other in (
        SCHEMA,
        change(["properties", "token", "default"], "z"),
        change(["properties", "token"], 1),
        {},
    ):
        assert not differences.is_after(other, *pruned)


def test_whole_values_of_older_operations_are_reverted():
    after = change(["properties", "more"], {"type": "string"})

    assert differences.is_after(after, SCHEMA, after)
    assert differences.revert(after, SCHEMA, after) == SCHEMA


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["", "a"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES, VALUES)
def test_any_change_is_reverted_exactly(before: Any, after: Any):
    pruned = differences.prune(before, after)

    assert differences.is_after(after, *pruned)
    assert json.dumps(differences.revert(after, *pruned)) == json.dumps(before)


def test_integers_that_no_float_holds_are_compared():
    before, after = {"default": 10**400, "text": "a"}, {"default": 10**400, "text": "b"}

    assert differences.revert(after, *differences.prune(before, after)) == before
    assert differences.to_comparable(10**400) != differences.to_comparable(10**400 + 1)
    assert differences.to_comparable(3) == differences.to_comparable(3.0)
