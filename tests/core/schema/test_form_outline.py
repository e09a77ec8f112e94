"""Tests of a schema's form outline and of texts that become values."""

from __future__ import annotations

import time
from typing import Any

import pytest

from app.core.schema import parameters
from app.core.schema.form_fields import (
    REST_NAME,
    FormField,
    format_value,
    is_equal_json,
    parse_value,
)
from app.core.schema.form_outline import build_outline

KINDS = ("integer", "number", "boolean", "null", "array", "object", "string")


def get_only_field(schema: dict[str, Any], name: str = "x") -> FormField:
    """Return the field of a parameter with this schema."""
    found = build_outline(
        {
            "type": "object",
            "properties": {name: schema},
            "$defs": {"n": {"type": "integer", "default": 3}},
        }
    )
    assert [*found.fields] == [(name,)]
    return found.fields[(name,)]


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, "007", "007"),
        ({"type": "string"}, "null", "null"),
        ({"type": "string"}, '""', ""),
        ({"type": "string"}, '"\\"\\""', '""'),
        ({"type": "string"}, '"a"', '"a"'),
        ({"type": "integer"}, "-4", -4),
        ({"type": "number"}, "1.5", 1.5),
        ({"type": "boolean"}, "true", True),
        ({"type": ["string", "null"]}, "null", None),
        ({"type": ["string", "null"]}, '"null"', "null"),
        ({"type": ["integer", "string"]}, "2", 2),
        ({"type": ["integer", "string"]}, '"2"', "2"),
        ({"type": ["boolean", "string"]}, "true", True),
        ({"type": "array", "items": {"type": "integer"}}, "1, 2", [1, 2]),
        ({"type": "array", "items": {"type": "string"}}, 'a, "b, c"', ["a", "b, c"]),
        ({"type": "array"}, "7", ["7"]),
        ({"type": "array"}, "[]", []),
        ({"type": "array", "items": {"type": ["string", "null"]}}, "null, x", [None, "x"]),
        ({"type": ["array", "string"]}, '["a"]', ["a"]),
        ({"type": ["array", "string"]}, "a,b", "a,b"),
        ({"type": "array", "items": {"type": "object"}}, '[{"a": 1}]', [{"a": 1}]),
        ({"type": "object"}, '{"a": 1.0}', {"a": 1.0}),
        ({"enum": ["a", 1, "1", None, True]}, "1", 1),
        ({"enum": ["a", "1", 1, None, True]}, "1", "1"),
        ({"enum": ["a", 1, "1", None, True]}, "true", True),
        ({"const": "only"}, "only", "only"),
        ({"oneOf": [{"const": 1, "title": "one"}, {"const": 2}]}, "2", 2),
        ({"anyOf": [{"enum": ["a"]}, {"type": "null"}]}, "null", None),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "5", 5),
        ({"$ref": "#/$defs/n"}, "4", 4),
        ({"allOf": [{"type": "integer"}, {"minimum": 3}]}, "4", 4),
    ],
)
def test_texts_and_values_convert_both_ways(schema: dict[str, Any], text: str, value: Any) -> None:
    field = get_only_field(schema)

    assert is_equal_json(parse_value(field, text), value)
    assert format_value(field, value) == text


@pytest.mark.parametrize(
    "value",
    ["", " ", "a\nb", '"', '""', "[1]", "1", "true", "null", "a,b", 'a "b"', 0, -1.5, True, None,
    [], [[]], ["a,b", ""], {"": 1}],
)  # fmt: skip
@pytest.mark.parametrize(
    "kinds",
    [
        "string",
        "array",
        ["string", "integer", "null"],
        ["array", "string", "object", "boolean", "null"],
    ],
)
def test_every_stored_value_survives_its_text(kinds: Any, value: Any) -> None:
    field = get_only_field({"type": kinds})
    held = parse_value(field, format_value(field, value))

    assert is_equal_json(held, value) or not field.kinds & {_get_kind(value)}


def _get_kind(value: Any) -> str:
    names = {
        str: "string",
        bool: "boolean",
        int: "integer",
        float: "number",
        list: "array",
        dict: "object",
    }
    return names.get(type(value), "null")


def test_unparsable_text_is_kept_for_the_schema_to_refuse() -> None:
    assert parse_value(get_only_field({"type": "integer"}), "many") == "many"
    assert parse_value(get_only_field({"type": "object"}), "{") == "{"


def test_a_secret_may_be_a_reference_but_not_a_path() -> None:
    secret = get_only_field({"type": "string"}, "api_token")

    assert parse_value(secret, "env:TOKEN") == {"secret": {"env": "TOKEN"}}
    assert format_value(secret, {"secret": {"file": "~/.t"}}) == "file:~/.t"
    assert not get_only_field({"type": "string", "format": "file-path"}, "dbgap_key").is_secret
    assert get_only_field({"type": "string", "format": "password"}, "word").is_secret


NESTED: dict[str, Any] = {
    "type": "object",
    "required": ["ref", "star"],
    "properties": {
        "name": {"type": "string"},
        "ref": {
            "type": "object",
            "title": "Reference",
            "required": ["species", "on"],
            "properties": {
                "species": {"type": "string"},
                "release": {"type": "integer", "default": 1},
                "on": {"type": "boolean"},
            },
        },
        "star": {"$ref": "#/$defs/star"},
        "trim": {
            "type": "object",
            "properties": {"on": {"type": "boolean", "default": True}, "by": {"type": "integer"}},
        },
    },
    "$defs": {
        "star": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "index": {"type": "string"},
                "deep": {"type": "object", "properties": {"n": {"type": "number"}}},
            },
        }
    },
}


def test_objects_are_groups_under_their_path() -> None:
    groups = [
        (group.path, group.title, [field.name for field in group.fields])
        for group in build_outline(NESTED).groups
    ]

    assert groups == [
        ((), "", ["name"]),
        (("ref",), "Reference", ["ref.species", "ref.release", "ref.on", "ref.*"]),
        (("star",), "", ["star.index"]),
        (("star", "deep"), "", ["star.deep.n", "star.deep.*"]),
        (("trim",), "", ["trim.on", "trim.by", "trim.*"]),
    ]


def test_only_required_objects_are_present_by_default() -> None:
    assert build_outline(NESTED).parse_texts({}) == {"ref": {"on": False}, "star": {}}


def test_nested_values_keep_their_types_and_get_their_defaults() -> None:
    found = build_outline(NESTED)
    texts = {("ref", "species"): "x", ("star", "deep", "n"): "1.5", ("trim", "by"): "2"}
    values = found.parse_texts(texts)

    assert values == {
        "ref": {"species": "x", "on": False},
        "star": {"deep": {"n": 1.5}},
        "trim": {"by": 2},
    }
    filled = parameters.resolve_values(NESTED, values)
    assert filled["ref"] == {"species": "x", "on": False, "release": 1}
    assert filled["trim"] == {"by": 2, "on": True}
    assert found.format_values(values) == texts | {("ref", "on"): "false"}


def test_defaults_of_an_absent_object_are_ignored() -> None:
    found = build_outline(NESTED)

    assert not found.is_present(("trim", "on"), {})
    assert found.is_present(("trim", "on"), {("trim", "by"): "2"})
    assert found.is_present(("ref", "release"), {})
    assert found.format_given_values(
        {"ref": {"release": 1, "species": "x"}, "trim": {"on": True}}
    ) == {("ref", "species"): "x", ("trim", "on"): "true"}


def test_extra_values_of_an_object_are_kept() -> None:
    found = build_outline(NESTED)
    values = {"ref": {"species": "x", "more": {"a": [1]}, "on": True}, "star": {}}

    assert found.parse_texts(found.format_values(values)) == values
    assert [field.name for field in found.find_unparsed({("ref", REST_NAME): "no object"})] == [
        "ref.*"
    ]


def test_titled_parts_are_groups_and_hidden_parameters_are_marked() -> None:
    schema = {
        "properties": {"own": {}},
        "allOf": [
            {"$ref": "#/$defs/io"},
            {"title": "Rest", "properties": {"z": {"type": "string", "hidden": True}}},
        ],
        "$defs": {
            "io": {
                "title": "In and out",
                "description": "files",
                "required": ["a"],
                "properties": {"a": {"type": "string"}},
            }
        },
    }
    found = build_outline(schema)

    assert [(group.title, group.about,
    [field.name for field in group.fields]) for group in found.groups] == [
        ("", "", ["own"]), ("In and out", "files", ["a"]), ("Rest", "", ["z"])]  # fmt: skip
    assert found.fields[("a",)].required
    assert found.fields[("z",)].is_hidden


def test_alternative_forms_of_an_object_become_one_group() -> None:
    forms = [
        {
            "properties": {"kind": {"const": "file"}, "path": {"type": "string"}},
            "required": ["kind", "path"],
        },
        {
            "properties": {"kind": {"const": "url"}, "href": {"type": "string"}},
            "required": ["kind", "href"],
        },
    ]
    found = build_outline({"properties": {"source": {"type": "object", "oneOf": forms}}})

    assert [field.name for field in found.fields.values()] == [
        "source.kind",
        "source.path",
        "source.href",
        "source.*",
    ]
    assert [choice[0] for choice in found.fields[("source", "kind")].choices] == ["file", "url"]


def test_additional_parameters_have_a_field_only_if_allowed() -> None:
    assert [*build_outline({"properties": {"a": {}}}).fields] == [("a",)]
    found = build_outline({"properties": {"a": {}}, "additionalProperties": {"type": "integer"}})
    assert found.parse_texts({(REST_NAME,): '{"b": 2}', ("a",): "x"}) == {"a": "x", "b": 2}
    assert not found.fields[(REST_NAME,)].is_hidden


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"tree": {"$ref": "#"}}},
        {
            "properties": {"a": {"$ref": "#/$defs/a"}},
            "$defs": {"a": {"properties": {n: {"$ref": "#/$defs/a"} for n in "bcdefghijk"}}},
        },
        {"properties": {f"p{n}": {"type": "integer"} for n in range(3_000)}},
        {"properties": {"x": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"$ref": "#/$defs/x"}}},
    ],
)
def test_a_recursive_schema_has_an_outline_in_time(schema: dict[str, Any]) -> None:
    began = time.process_time()
    found = build_outline(schema)

    assert 0 < len(found.fields) <= 10_000
    assert time.process_time() - began < 3.0


def test_a_location_leads_to_its_field_or_object() -> None:
    found = build_outline(NESTED)

    assert found.find_location(("ref", "species")) == ("ref", "species")
    assert found.find_location(("ref", "more", "a", 0)) == ("ref", REST_NAME)
    assert found.find_location(("star", "none")) == ("star",)
    assert found.find_location(()) == ()


def test_all_errors_are_found_at_their_locations() -> None:
    schema = {
        **NESTED,
        "properties": {
            **NESTED["properties"],
            "mail": {"type": "string", "format": "email"},
            "word": {"type": "string", "format": "password", "minLength": 9},
        },
        "dependentRequired": {"mail": ["name"]},
    }
    found = parameters.find_faults(
        schema, {"ref": {"release": "x"}, "mail": "nobody", "word": "s3cret", "wrong": 1}
    )

    assert {(finding.path, finding.text, finding.missing) for finding in found} == {
        (("ref", "species"), "ref.species is required", True),
        (("ref", "on"), "ref.on is required", True),
        (("ref", "release"), 'ref.release must be a whole number, not "x"', False),
        (("star",), "star is required", True),
        (("mail",), 'mail must be an e-mail address, not "nobody"', False),
        (("word",), "word must have at least 9 characters", False),
        (("name",), "name is needed with mail", True),
        (("wrong",), 'there is no parameter "wrong"', False),
    }


def test_form_and_command_line_refuse_the_same_values() -> None:
    schema = {
        "properties": {"a": {"type": "string", "format": "date"}, "b": {"type": "integer"}},
        "dependentRequired": {"a": ["b"]},
    }

    for given in ({}, {"a": "2026-01-31", "b": 1}, {"a": "31.1."}, {"a": "2026-01-31"}, {"b": "x"}):
        try:
            parameters.resolve_values(schema, given)
            refused = False
        except parameters.Usage:
            refused = True
        assert refused is bool(parameters.find_faults(schema, given)), given


@pytest.mark.parametrize("value", ["a b", "2", "true", "", 7, 1.5, True, None, [1], {"a": 1}])
@pytest.mark.parametrize("kinds", [["string"], ["string", "integer"], [*KINDS]])
def test_a_value_formatted_for_the_command_line_is_parsed_back(
    kinds: list[str], value: Any
) -> None:
    schema = {"properties": {"x": {"type": kinds}}}
    texts, others = parameters.split_texts({"x": value}, schema)
    read = parameters.convert_texts([(name, text) for name, text in texts], schema) | others

    assert is_equal_json(read["x"], value)
    assert not (texts and others)


def test_the_default_of_a_conditional_part_is_left_out() -> None:
    limit = {"properties": {"limit": {"type": "integer", "default": 5}}}
    schema = {
        "type": "object",
        "properties": {"mode": {"enum": ["fast", "slow"], "default": "fast"}},
        "if": {"properties": {"mode": {"const": "slow"}}},
        "then": limit,
    }

    fields = build_outline(schema).fields

    assert (fields["mode",].default, fields["limit",].default) == ("fast", "")
    always = build_outline({**schema, "allOf": [limit]}).fields
    assert always["limit",].default == "5"
