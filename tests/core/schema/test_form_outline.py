"""A schema as groups of fields, and texts that become values and back."""

from __future__ import annotations

import time
from typing import Any

import pytest

from app.core.schema import parameters
from app.core.schema.form_fields import REST, Field, same, text_of, value_of
from app.core.schema.form_outline import outline

KINDS = ("integer", "number", "boolean", "null", "array", "object", "string")


def only(schema: dict[str, Any], name: str = "x") -> Field:
    """The one field of a parameter with this schema."""
    found = outline({"type": "object", "properties": {name: schema}, "$defs": {"n": {"type": "integer", "default": 3}}})
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
def test_a_text_is_a_value_and_the_value_that_text(schema: dict[str, Any], text: str, value: Any) -> None:
    field = only(schema)

    assert same(value_of(field, text), value)
    assert text_of(field, value) == text


@pytest.mark.parametrize(
    "value",
    ["", " ", "a\nb", '"', '""', "[1]", "1", "true", "null", "a,b", 'a "b"', 0, -1.5, True, None, [], [[]], ["a,b", ""], {"": 1}],
)  # fmt: skip
@pytest.mark.parametrize(
    "kinds", ["string", "array", ["string", "integer", "null"], ["array", "string", "object", "boolean", "null"]]
)
def test_whatever_a_task_had_comes_back_from_its_text(kinds: Any, value: Any) -> None:
    field = only({"type": kinds})
    held = value_of(field, text_of(field, value))

    assert same(held, value) or not field.kinds & {_kind(value)}


def _kind(value: Any) -> str:
    names = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "null")


def test_what_cannot_be_read_stays_text_for_the_schema_to_refuse() -> None:
    assert value_of(only({"type": "integer"}), "many") == "many"
    assert value_of(only({"type": "object"}), "{") == "{"


def test_a_secret_may_be_a_reference_and_a_path_is_none() -> None:
    secret = only({"type": "string"}, "api_token")

    assert value_of(secret, "env:TOKEN") == {"secret": {"env": "TOKEN"}}
    assert text_of(secret, {"secret": {"file": "~/.t"}}) == "file:~/.t"
    assert not only({"type": "string", "format": "file-path"}, "dbgap_key").secret
    assert only({"type": "string", "format": "password"}, "word").secret


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
    groups = [(group.path, group.title, [field.name for field in group.fields]) for group in outline(NESTED).groups]

    assert groups == [
        ((), "", ["name"]),
        (("ref",), "Reference", ["ref.species", "ref.release", "ref.on", "ref.*"]),
        (("star",), "", ["star.index"]),
        (("star", "deep"), "", ["star.deep.n", "star.deep.*"]),
        (("trim",), "", ["trim.on", "trim.by", "trim.*"]),
    ]


def test_only_objects_that_must_be_there_are_there_unasked() -> None:
    assert outline(NESTED).values({}) == {"ref": {"on": False}, "star": {}}


def test_nested_values_keep_their_types_and_get_their_defaults() -> None:
    found = outline(NESTED)
    texts = {("ref", "species"): "x", ("star", "deep", "n"): "1.5", ("trim", "by"): "2"}
    values = found.values(texts)

    assert values == {"ref": {"species": "x", "on": False}, "star": {"deep": {"n": 1.5}}, "trim": {"by": 2}}
    filled = parameters.resolve(NESTED, values)
    assert filled["ref"] == {"species": "x", "on": False, "release": 1}
    assert filled["trim"] == {"by": 2, "on": True}
    assert found.texts(values) == texts | {("ref", "on"): "false"}


def test_defaults_of_an_object_that_is_not_there_do_not_count() -> None:
    found = outline(NESTED)

    assert not found.present(("trim", "on"), {})
    assert found.present(("trim", "on"), {("trim", "by"): "2"})
    assert found.present(("ref", "release"), {})
    assert found.given({"ref": {"release": 1, "species": "x"}, "trim": {"on": True}}) == {
        ("ref", "species"): "x",
        ("trim", "on"): "true",
    }


def test_what_an_object_holds_beside_its_fields_is_kept() -> None:
    found = outline(NESTED)
    values = {"ref": {"species": "x", "more": {"a": [1]}, "on": True}, "star": {}}

    assert found.values(found.texts(values)) == values
    assert [field.name for field in found.unread({("ref", REST): "no object"})] == ["ref.*"]


def test_titled_parts_are_groups_and_hidden_parameters_are_known() -> None:
    schema = {
        "properties": {"own": {}},
        "allOf": [{"$ref": "#/$defs/io"}, {"title": "Rest", "properties": {"z": {"type": "string", "hidden": True}}}],
        "$defs": {
            "io": {
                "title": "In and out",
                "description": "files",
                "required": ["a"],
                "properties": {"a": {"type": "string"}},
            }
        },
    }
    found = outline(schema)

    assert [(group.title, group.about, [field.name for field in group.fields]) for group in found.groups] == [
        ("", "", ["own"]), ("In and out", "files", ["a"]), ("Rest", "", ["z"])]  # fmt: skip
    assert found.fields[("a",)].required
    assert found.fields[("z",)].hidden


def test_forms_of_an_object_are_fields_of_one_group_with_all_their_choices() -> None:
    forms = [
        {"properties": {"kind": {"const": "file"}, "path": {"type": "string"}}, "required": ["kind", "path"]},
        {"properties": {"kind": {"const": "url"}, "href": {"type": "string"}}, "required": ["kind", "href"]},
    ]
    found = outline({"properties": {"source": {"type": "object", "oneOf": forms}}})

    assert [field.name for field in found.fields.values()] == ["source.kind", "source.path", "source.href", "source.*"]
    assert [choice[0] for choice in found.fields[("source", "kind")].choices] == ["file", "url"]


def test_further_parameters_have_a_field_only_where_they_are_welcome() -> None:
    assert [*outline({"properties": {"a": {}}}).fields] == [("a",)]
    found = outline({"properties": {"a": {}}, "additionalProperties": {"type": "integer"}})
    assert found.values({(REST,): '{"b": 2}', ("a",): "x"}) == {"a": "x", "b": 2}
    assert not found.fields[(REST,)].hidden


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
def test_a_schema_without_an_end_has_an_outline_in_time(schema: dict[str, Any]) -> None:
    began = time.process_time()
    found = outline(schema)

    assert 0 < len(found.fields) <= 10_000
    assert time.process_time() - began < 3.0


def test_a_place_in_the_values_leads_to_its_field_or_its_object() -> None:
    found = outline(NESTED)

    assert found.place(("ref", "species")) == ("ref", "species")
    assert found.place(("ref", "more", "a", 0)) == ("ref", REST)
    assert found.place(("star", "none")) == ("star",)
    assert found.place(()) == ()


def test_all_that_is_wrong_is_found_each_at_its_place() -> None:
    schema = {
        **NESTED,
        "properties": {
            **NESTED["properties"],
            "mail": {"type": "string", "format": "email"},
            "word": {"type": "string", "format": "password", "minLength": 9},
        },
        "dependentRequired": {"mail": ["name"]},
    }
    found = parameters.findings(schema, {"ref": {"release": "x"}, "mail": "nobody", "word": "s3cret", "wrong": 1})

    assert {(finding.path, finding.text, finding.missing) for finding in found} == {
        (("ref", "species"), "ref.species is required", True),
        (("ref", "on"), "ref.on is required", True),
        (("ref", "release"), 'ref.release must be a whole number, not "x"', False),
        (("star",), "star is required", True),
        (("mail",), 'mail must be an e-mail address, not "nobody"', False),
        (("word",), "word must have at least 9 characters", False),
        (("name",), "name is needed with mail", True),
        (("wrong",), 'no parameter "wrong"', False),
    }


def test_form_and_command_line_refuse_the_same() -> None:
    schema = {
        "properties": {"a": {"type": "string", "format": "date"}, "b": {"type": "integer"}},
        "dependentRequired": {"a": ["b"]},
    }

    for given in ({}, {"a": "2026-01-31", "b": 1}, {"a": "31.1."}, {"a": "2026-01-31"}, {"b": "x"}):
        try:
            parameters.resolve(schema, given)
            refused = False
        except parameters.Usage:
            refused = True
        assert refused is bool(parameters.findings(schema, given)), given


@pytest.mark.parametrize("value", ["a b", "2", "true", "", 7, 1.5, True, None, [1], {"a": 1}])
@pytest.mark.parametrize("kinds", [["string"], ["string", "integer"], [*KINDS]])
def test_what_is_written_for_the_command_line_is_read_as_the_same(kinds: list[str], value: Any) -> None:
    schema = {"properties": {"x": {"type": kinds}}}
    texts, others = parameters.texts({"x": value}, schema)
    read = parameters.convert([(name, text) for name, text in texts], schema) | others

    assert same(read["x"], value)
    assert not (texts and others)
