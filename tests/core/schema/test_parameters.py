"""Tests of template parameters: conversion, defaults and complete error reports."""

import time
from typing import Any

import pytest

from app.core.schema import json_schema, parameters
from app.core.schema.secrets import get_secret_reference
from app.errors import Usage

ENCODE: dict[str, Any] = {
    "type": "object",
    "required": ["input", "output"],
    "properties": {
        "input": {"type": "string"},
        "output": {"type": "string", "description": "where the .mp4 goes"},
        "crf": {"type": "integer", "minimum": 0, "maximum": 51, "default": 23},
        "fast": {"type": "boolean"},
        "limit": {"type": ["integer", "null"]},
        "scale": {"type": "number"},
        "tracks": {"type": "array", "items": {"type": "integer"}},
        "names": {"type": "array", "items": {"type": "string"}},
        "meta": {
            "type": "object",
            "properties": {"lang": {"type": "string", "default": "en"}, "n": {"type": "integer"}},
        },
        "preset": {"enum": ["slow", "fast"]},
        "when": {"anyOf": [{"type": "integer"}, {"const": "auto"}]},
    },
}
GIVEN = [("input", "a.mkv"), ("output", "a.mp4")]


def resolve_texts(
    *texts: tuple[str, str], schema: dict[str, Any] = ENCODE, **values: Any
) -> dict[str, Any]:
    return parameters.resolve_values(
        schema, parameters.convert_texts(texts, schema) | values, "encode"
    )


def resolve_error(*texts: tuple[str, str], schema: dict[str, Any] = ENCODE, **values: Any) -> str:
    with pytest.raises(Usage) as caught:
        resolve_texts(*texts, schema=schema, **values)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("input", "007", "007"), ("input", "", ""), ("input", "null", "null"), ("crf", "7", 7),
        ("fast", "yes", True),
        ("fast", "false", False), ("limit", "null", None), ("limit", "3", 3), ("scale", "1.5", 1.5),
        ("scale", "2", 2),
        ("tracks", "[1, 2]", [1, 2]), ("tracks", "4", [4]), ("names", '["a", "b"]', ["a", "b"]),
        ("names", "7", ["7"]),
        ("meta", '{"n": 3}', {"lang": "en", "n": 3}), ("when", "auto", "auto"), ("when", "9", 9),
        ("preset", "slow", "slow"),
    ],
)  # fmt: skip
def test_a_text_is_converted_to_the_schemas_type(name: str, text: str, value: object) -> None:
    found = resolve_texts(*[pair for pair in GIVEN if pair[0] != name], (name, text))
    assert found[name] == value
    assert type(found[name]) is type(value)


def test_a_list_can_be_given_item_by_item() -> None:
    assert resolve_texts(*GIVEN, ("tracks", "1"), ("tracks", "2"))["tracks"] == [1, 2]


def test_a_single_value_given_twice_is_refused() -> None:
    assert "crf is given twice" in resolve_error(*GIVEN, ("crf", "1"), ("crf", "2"))


def test_defaults_are_filled_in_beside_given_values() -> None:
    assert resolve_texts(*GIVEN) == {"input": "a.mkv", "output": "a.mp4", "crf": 23}
    assert resolve_texts(*GIVEN, ("crf", "1"))["crf"] == 1


def test_a_missing_parameter_is_reported_with_the_words_to_add() -> None:
    assert (
        resolve_error(GIVEN[0]) == "encode needs output (where the .mp4 goes). Add: -p output=PATH"
    )


def test_a_value_out_of_range_is_reported_with_its_range() -> None:
    assert (
        resolve_error(*GIVEN, ("crf", "99"))
        == "encode: crf must be 0 to 51, not 99 (parameter crf). Nothing was submitted."
    )


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("crf", "many", 'crf must be a whole number, not "many"'),
        ("crf", "NaN", "crf must be a whole number"),
        ("scale", "1e999", "scale must be a number"),
        ("tracks", "x", 'tracks[0] must be a whole number, not "x"'),
        ("preset", "slwo", 'preset must be one of slow, fast, not "slwo"'),
        ("meta", '{"n": "x"}', 'meta.n must be a whole number, not "x"'),
        ("limit", "x", "limit must be a whole number or null"),
        ("otput", "x", 'there is no parameter "otput" (nearest: output)'),
        ("input\x1b[31m", "x", 'there is no parameter "input␛[31m"'),
    ],
)
def test_an_error_names_its_parameter_and_an_accepted_value(
    name: str, text: str, words: str
) -> None:
    assert words in resolve_error(*GIVEN, (name, text))


def test_all_errors_are_reported_at_once() -> None:
    said = resolve_error(("input", "a"), ("crf", "99"), ("preset", "x"), ("tims", "2"))
    assert all(word in said for word in ("crf must be", "preset must be", '"tims"', "needs output"))


@pytest.mark.parametrize(
    "value", ["a\0b", ["a\0b"], "x" * 131_072, ["x" * 131_072], float("nan"), "\ud800", {1, 2}]
)
def test_a_value_that_no_process_accepts_is_refused(value: object) -> None:
    assert "input " in resolve_error(GIVEN[1], input=value)


def test_undecodable_bytes_are_unchanged() -> None:
    assert resolve_texts(GIVEN[1], ("input", "a\udcff"))["input"] == "a\udcff"


def test_an_unlisted_name_is_accepted_only_if_allowed() -> None:
    schema = ENCODE | {"additionalProperties": True}
    assert resolve_texts(*GIVEN, ("more", "1"), schema=schema)["more"] == "1"
    assert "no parameter" in resolve_error(*GIVEN, ("more", "1"))


def test_a_secret_value_is_not_repeated() -> None:
    schema = {"type": "object", "properties": {"api_key": {"type": "integer"}}}
    assert "hunter2" not in resolve_error(("api_key", "hunter2"), schema=schema)


SECRETS: dict[str, tuple[dict[str, Any], Any]] = {
    "by a part": ({"writeOnly": True, "allOf": [{"type": "integer"}]}, "pp9"),
    "by a reference": ({"$ref": "#/$defs/short", "writeOnly": True}, ["pp9"]),
    "by its items": (
        {"type": "array", "items": {"writeOnly": True}, "contains": {"const": 1}},
        ["pp9"],
    ),
    "a part of it": ({"writeOnly": True, "properties": {"a": {"type": "integer"}}}, {"a": "pp9"}),
    "a name in it": (
        {"writeOnly": True, "type": "object", "propertyNames": {"maxLength": 1}},
        {"pp9": 1},
    ),
    "one of a few": ({"writeOnly": True, "enum": ["pp9"]}, "other"),
    "beside forms": (
        {
            "properties": {"a": {"writeOnly": True}},
            "oneOf": [{"properties": {"a": {"pattern": "^x"}}}, {"required": ["b"]}],
        },
        {"a": "pp9"},
    ),
    "in what is no text": ({"type": "string"}, {"password": "pp9"}),
    "in JSON that is torn": (
        {"type": ["object", "null"], "properties": {"password": {}}},
        '{"password": "pp9"',
    ),
    "in a list of which none fits": ({"contains": {"const": 1}}, [{"password": "pp9"}]),
    "one of forms": ({"anyOf": [{"writeOnly": True, "const": "pp9"}, {"type": "null"}]}, "other"),
}


@pytest.mark.parametrize(("inner", "value"), SECRETS.values(), ids=SECRETS)
def test_neither_a_secret_value_nor_its_choices_are_shown(
    inner: dict[str, Any], value: Any
) -> None:
    schema = {
        "properties": {"pin": inner},
        "required": ["pin"],
        "$defs": {"short": {"type": "string"}},
    }

    with pytest.raises(Usage) as refused:
        parameters.resolve_values(schema, {"pin": value})
    with pytest.raises(Usage) as missing:
        parameters.resolve_values(schema, {})

    told = [
        str(refused.value),
        str(missing.value),
        *(found.text for found in parameters.find_faults(schema, {"pin": value})),
    ]
    assert len(told) == 3 and "pp9" not in "".join(told)
    with pytest.raises(Usage) as default:
        parameters.check_schema(
            {"properties": {"pin": inner | {"default": value}}, "$defs": schema["$defs"]}
        )
    assert "pp9" not in str(default.value)


def test_a_secret_reference_counts_as_text() -> None:
    found = resolve_texts(GIVEN[1], input={"secret": {"env": "TOKEN"}})
    assert get_secret_reference(found["input"]) == {"env": "TOKEN"}
    assert "input must be text" in resolve_error(GIVEN[1], input={"secret": {"url": "x"}})


def test_parameters_of_schema_parts_count_too() -> None:
    schema = {
        "allOf": [{"$ref": "#/$defs/in"}, {"if": {"required": ["a"]}, "then": {"required": ["b"]}}],
        "$defs": {
            "in": {
                "properties": {"a": {"type": "integer"}, "b": {"type": "integer", "default": 4}},
                "required": ["a"],
            }
        },
    }
    parameters.check_schema(schema)
    assert parameters.read_shape(schema).required == {"a"}
    assert resolve_texts(("a", "1"), schema=schema) == {"a": 1, "b": 4}


def refer_outside(target: Any, **more: Any) -> dict[str, Any]:
    """Return a schema with a reference to a place that no draft knows."""
    beside = {key: more.pop(key) for key in ("y",) if key in more}
    parameter = {"$ref": "#/components/x"}
    return {"properties": {"a": parameter}, "components": {"x": target, **beside}, **more}


def test_a_reference_to_a_place_that_no_draft_knows_is_followed() -> None:
    parameters.check_schema(refer_outside({"type": "integer"}))
    parameters.check_schema(refer_outside(True))
    parameters.check_schema(
        {"properties": {"a": {"$ref": "http://json-schema.org/draft-07/schema"}}}
    )


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "array"}, 'type must be "object"'),
        ([], "must be a JSON Schema"),
        ({"properties": {"a": {"type": "integr"}}}, "properties.a.type"),
        ({"properties": {"a": 7}}, "properties.a"),
        (
            {"properties": {"a": {"type": "integer", "default": "x"}}},
            "the default of a must be a whole number",
        ),
        ({"properties": {"a": {"$ref": "#/no"}}}, "leads nowhere"),
        ({"properties": {"a": {"$ref": "http://127.0.0.1:9/x.json"}}}, "outside of the schema"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "outside of the schema"),
        ({"allOf": [{"$ref": "#"}]}, '"#" leads back to itself without end'),
        (
            {
                "properties": {"a": {"$ref": "#/$defs/x"}},
                "$defs": {"x": {"not": {"$ref": "#/$defs/y"}}, "y": {"if": {"$ref": "#/$defs/x"}}},
            },
            "leads back to itself",
        ),
        (refer_outside({"enum": 5}), '"#/components/x": 5 is not of type'),
        (refer_outside({"properties": 5}), '"#/components/x": 5 is not of type'),
        (refer_outside({"multipleOf": 0}), "#/components/x"),
        (refer_outside({"$ref": "#/components/y"}, y={"pattern": 5}), "#/components/y"),
        (refer_outside({"$ref": 3}), "#/components/x"),
        (refer_outside(5), '"#/components/x": 5 is not of type'),
        (
            refer_outside({"$ref": 3}, **{"$schema": "http://json-schema.org/draft-04/schema#"}),
            "$ref must be text",
        ),
        ({"properties": {"a": {"pattern": "("}}}, "the pattern"),
        ({"properties": {"a/b": {}}}, "a name"),
        (
            {"properties": {"a": {}}, "required": ["b"]},
            "b is required, but properties does not describe it",
        ),
        (
            {"patternProperties": {"^a$": {}}, "unevaluatedProperties": False},
            "patternProperties cannot stand in a schema with unevaluatedProperties",
        ),
        ({"$schema": "http://example.com/own", "type": "object"}, "is not a supported draft"),
        ({"properties": {"a": {"default": float("inf")}}}, "JSON cannot write"),
    ],
)
def test_an_unusable_schema_is_refused_with_the_location(schema: Any, words: str) -> None:
    with pytest.raises(Usage) as caught:
        parameters.check_schema(schema)
    assert str(caught.value).startswith("parameters: ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "name", "other"),
    [
        ("^branches(-ignore)?$", "branches-ignore", "branches-"),
        (r"^[^*]*\*[^*]*$", "src/*", "src"),
        (r"^[\]+*]{2}$", "]*", "a*"),
        ("^[0-9]+(-[0-9]+)?(tcp|udp)?$", "80-90tcp", "80-"),
    ],
)
def test_optional_groups_and_signs_in_a_set_are_no_dangerous_repetition(
    pattern: str, name: str, other: str
):
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"o": {"patternProperties": {pattern: {}}, "additionalProperties": False}},
    }
    parameters.check_schema(schema)

    assert parameters.resolve_values(schema, {"o": {name: 1}}) == {"o": {name: 1}}
    with pytest.raises(Usage):
        parameters.resolve_values(schema, {"o": {other: 1}})


@pytest.mark.parametrize(
    "dialect", ["http://json-schema.org/schema#", "https://json-schema.org/schema"]
)
def test_a_dialect_without_a_version_means_the_newest(dialect: str):
    schema = {"$schema": dialect, "properties": {"a": {"prefixItems": [{"type": "integer"}]}}}

    parameters.check_schema(schema)

    with pytest.raises(Usage, match=r"a\[0\] must be a whole number"):
        parameters.resolve_values(schema, {"a": ["x"]})


def test_dependencies_may_mix_schemas_and_lists():
    schema: dict[str, Any] = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "properties": {
            "a": {"$ref": "#any"},
            "b": {},
            "dependencies": {"$id": "#any", "properties": {}, "required": ["x"]},
        },
        "dependencies": {"b": {"required": ["a"]}, "a": ["b"]},
    }

    parameters.check_schema(schema)

    assert parameters.resolve_values(schema, {"a": {"x": 1}, "b": 2}) == {"a": {"x": 1}, "b": 2}
    for given, missing in (({"a": {"x": 1}}, "b"), ({"b": 2}, "a"), ({"a": {}, "b": 2}, "x")):
        with pytest.raises(Usage, match=rf"needs {missing}|a\.{missing} is required"):
            parameters.resolve_values(schema, given)


def make_deep_schema(levels: int) -> dict[str, Any]:
    return {"properties": {"a": make_deep_schema(levels - 1)}} if levels else {}


def make_reference_chain(parts: int) -> dict[str, Any]:
    """Return a parameter whose schema is a long chain of references."""
    links = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(parts)} | {f"d{parts}": {}}
    return {"properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": links}


def test_an_oversized_schema_is_refused() -> None:
    for schema in (
        make_deep_schema(40),
        make_reference_chain(3_000),
        {"description": "x" * 300_000},
    ):
        with pytest.raises(Usage):
            parameters.check_schema(schema)


HOSTILE: list[tuple[dict[str, Any], Any]] = [
    ({"type": "string", "pattern": "^(a|a)*$"}, "a" * 40 + "b"),
    ({"allOf": [{"$ref": "#/$defs/d0"}]}, 1),
    ({"type": "array", "uniqueItems": True}, [{"n": n} for n in range(9_000)]),
    ({"type": "array", "items": {"enum": list(range(20_000))}}, [-1] * 30_000),
    (
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "pattern": "^(a+)+$"},
        "a" * 40 + "b",
    ),
]


@pytest.mark.parametrize(("inner", "value"), HOSTILE)
def test_no_schema_and_no_value_hangs(inner: dict[str, Any], value: Any) -> None:
    doubling = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)} | {
        "d40": {"type": "string"}
    }
    schema = {"type": "object", "properties": {"x": inner}, "$defs": doubling}
    parameters.check_schema(schema)
    began = time.process_time()
    try:
        parameters.resolve_values(schema, {"x": value})
    except Usage as refused:
        assert str(refused)
    assert time.process_time() - began < 20


def test_a_part_may_forbid_a_parameter_that_another_part_describes() -> None:
    schema = {
        "properties": {"a": {}},
        "allOf": [{"properties": {"c": {}}, "additionalProperties": False}],
    }

    assert parameters.resolve_values(schema, {"c": 1}, "t") == {"c": 1}
    with pytest.raises(Usage, match="must not have a"):
        parameters.resolve_values(schema, {"a": 1}, "t")
    assert [fault.text for fault in parameters.find_faults(schema, {"a": 1})] == ["must not have a"]


@pytest.mark.parametrize(
    "schema", [{"properties": {"a": {"pattern": "["}}}, {"patternProperties": {"[": {}}}]
)
def test_a_stored_template_with_an_unreadable_pattern_refuses_values(schema: dict[str, Any]):
    with pytest.raises(Usage, match="t: a pattern cannot be read"):
        parameters.resolve_values(schema, {"a": "x"}, "t")
    assert "a pattern cannot be read" in parameters.find_faults(schema, {"a": "x"})[0].text


def test_a_submission_is_refused_after_fewer_steps_than_a_schema():
    levels = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 9} for n in range(14)}
    schema = {
        "properties": {"a": {"anyOf": [{"$ref": "#/$defs/d0"}] * 9}},
        "$defs": levels | {"d14": {"type": "string"}},
    }
    parameters.check_schema(schema)
    with pytest.raises(Usage, match="t: takes too long to check: over 20,000 steps"):
        parameters.resolve_values(schema, {"a": 1}, "t")


@pytest.mark.parametrize("schema", [
    {"properties": {f"a{n}": {"items": {}} for n in range(10_000)}},
    {"properties": {"a": {"oneOf": [5] * 60_000}}},
])  # fmt: skip
def test_a_schema_of_too_many_parts_is_refused(schema: dict[str, Any]):
    """The check against the meta-schema counts its steps too."""
    with pytest.raises(Usage, match="the schema takes too long to check: over 100,000 steps"):
        parameters.check_schema(schema)


def test_three_thousand_branches_apply_with_few_steps(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(json_schema, "MAX_STEPS", 70_000)
    branches = [{"properties": {"k": {"const": n}}} for n in range(3_000)]
    parameters.check_schema({"properties": {"a": {"oneOf": branches}}})
