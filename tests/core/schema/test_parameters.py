"""Parameters: converted by type, defaults filled in, everything that is wrong told at once and in words."""

import time
from typing import Any

import pytest

from app.core.schema import parameters
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


def resolved(*texts: tuple[str, str], schema: dict[str, Any] = ENCODE, **values: Any) -> dict[str, Any]:
    return parameters.resolve(schema, parameters.convert(texts, schema) | values, "encode")


def refusal(*texts: tuple[str, str], schema: dict[str, Any] = ENCODE, **values: Any) -> str:
    with pytest.raises(Usage) as caught:
        resolved(*texts, schema=schema, **values)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("input", "007", "007"), ("input", "", ""), ("input", "null", "null"), ("crf", "7", 7), ("fast", "yes", True),
        ("fast", "false", False), ("limit", "null", None), ("limit", "3", 3), ("scale", "1.5", 1.5), ("scale", "2", 2),
        ("tracks", "[1, 2]", [1, 2]), ("tracks", "4", [4]), ("names", '["a", "b"]', ["a", "b"]), ("names", "7", ["7"]),
        ("meta", '{"n": 3}', {"lang": "en", "n": 3}), ("when", "auto", "auto"), ("when", "9", 9), ("preset", "slow", "slow"),
    ],
)  # fmt: skip
def test_a_text_becomes_what_the_schema_asks_for(name: str, text: str, value: object) -> None:
    found = resolved(*[pair for pair in GIVEN if pair[0] != name], (name, text))
    assert found[name] == value
    assert type(found[name]) is type(value)


def test_a_list_can_be_given_one_item_at_a_time() -> None:
    assert resolved(*GIVEN, ("tracks", "1"), ("tracks", "2"))["tracks"] == [1, 2]


def test_one_value_given_twice_is_refused() -> None:
    assert "crf is given twice" in refusal(*GIVEN, ("crf", "1"), ("crf", "2"))


def test_defaults_are_filled_in_and_what_is_given_stays() -> None:
    assert resolved(*GIVEN) == {"input": "a.mkv", "output": "a.mp4", "crf": 23}
    assert resolved(*GIVEN, ("crf", "1"))["crf"] == 1


def test_a_missing_parameter_is_asked_for_with_the_words_to_add() -> None:
    assert refusal(GIVEN[0]) == "encode needs output (where the .mp4 goes). Add: -p output=PATH"


def test_a_value_out_of_range_is_told_with_its_range() -> None:
    assert refusal(*GIVEN, ("crf", "99")) == (
        "encode: crf must be 0 to 51, not 99 (parameter crf). Nothing was submitted."
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
        ("otput", "x", 'no parameter "otput" (nearest: output)'),
        ("input\x1b[31m", "x", 'no parameter "input␛[31m"'),
    ],
)
def test_a_fault_names_its_parameter_and_what_would_do(name: str, text: str, words: str) -> None:
    assert words in refusal(*GIVEN, (name, text))


def test_everything_that_is_wrong_is_told_at_once() -> None:
    said = refusal(("input", "a"), ("crf", "99"), ("preset", "x"), ("tims", "2"))
    assert all(word in said for word in ("crf must be", "preset must be", '"tims"', "needs output"))


@pytest.mark.parametrize("value", ["a\0b", ["a\0b"], "x" * 131_072, ["x" * 131_072], float("nan"), "\ud800", {1, 2}])
def test_a_value_that_no_process_can_be_given_is_refused(value: object) -> None:
    assert "input " in refusal(GIVEN[1], input=value)


def test_undecodable_bytes_pass_unchanged() -> None:
    assert resolved(GIVEN[1], ("input", "a\udcff"))["input"] == "a\udcff"


def test_an_unlisted_name_is_welcome_only_where_the_schema_says_so() -> None:
    schema = ENCODE | {"additionalProperties": True}
    assert resolved(*GIVEN, ("more", "1"), schema=schema)["more"] == "1"
    assert "no parameter" in refusal(*GIVEN, ("more", "1"))


def test_the_value_of_a_secret_is_not_repeated() -> None:
    schema = {"type": "object", "properties": {"api_key": {"type": "integer"}}}
    assert "hunter2" not in refusal(("api_key", "hunter2"), schema=schema)


SECRETS: dict[str, tuple[dict[str, Any], Any]] = {
    "by a part": ({"writeOnly": True, "allOf": [{"type": "integer"}]}, "pp9"),
    "by a reference": ({"$ref": "#/$defs/short", "writeOnly": True}, ["pp9"]),
    "by its items": ({"type": "array", "items": {"writeOnly": True}, "contains": {"const": 1}}, ["pp9"]),
    "a part of it": ({"writeOnly": True, "properties": {"a": {"type": "integer"}}}, {"a": "pp9"}),
    "a name in it": ({"writeOnly": True, "type": "object", "propertyNames": {"maxLength": 1}}, {"pp9": 1}),
    "one of a few": ({"writeOnly": True, "enum": ["pp9"]}, "other"),
    "beside forms": (
        {"properties": {"a": {"writeOnly": True}}, "oneOf": [{"properties": {"a": {"pattern": "^x"}}}, {"required": ["b"]}]}, {"a": "pp9"}
    ),
    "in what is no text": ({"type": "string"}, {"password": "pp9"}),
    "in JSON that is torn": ({"type": ["object", "null"], "properties": {"password": {}}}, '{"password": "pp9"'),
    "in a list of which none fits": ({"contains": {"const": 1}}, [{"password": "pp9"}]),
    "one of forms": ({"anyOf": [{"writeOnly": True, "const": "pp9"}, {"type": "null"}]}, "other"),
}


@pytest.mark.parametrize(("inner", "value"), SECRETS.values(), ids=SECRETS)
def test_neither_a_secret_value_nor_what_it_may_be_is_told(inner: dict[str, Any], value: Any) -> None:
    schema = {"properties": {"pin": inner}, "required": ["pin"], "$defs": {"short": {"type": "string"}}}

    with pytest.raises(Usage) as refused:
        parameters.resolve(schema, {"pin": value})
    with pytest.raises(Usage) as missing:
        parameters.resolve(schema, {})

    told = [str(refused.value), str(missing.value), *(found.text for found in parameters.findings(schema, {"pin": value}))]
    assert len(told) == 3 and "pp9" not in "".join(told)
    with pytest.raises(Usage) as default:
        parameters.check_schema({"properties": {"pin": inner | {"default": value}}, "$defs": schema["$defs"]})
    assert "pp9" not in str(default.value)


def test_a_reference_to_a_secret_stands_for_a_text() -> None:
    found = resolved(GIVEN[1], input={"secret": {"env": "TOKEN"}})
    assert parameters.secret(found["input"]) == {"env": "TOKEN"}
    assert "input must be text" in refusal(GIVEN[1], input={"secret": {"url": "x"}})


def test_parameters_of_parts_count_as_the_schema_s_own() -> None:
    schema = {
        "allOf": [{"$ref": "#/$defs/in"}, {"if": {"required": ["a"]}, "then": {"required": ["b"]}}],
        "$defs": {
            "in": {"properties": {"a": {"type": "integer"}, "b": {"type": "integer", "default": 4}}, "required": ["a"]}
        },
    }
    parameters.check_schema(schema)
    assert parameters.shape(schema).required == {"a"}
    assert resolved(("a", "1"), schema=schema) == {"a": 1, "b": 4}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "array"}, 'type must be "object"'),
        ([], "must be a JSON Schema"),
        ({"properties": {"a": {"type": "integr"}}}, "properties.a.type"),
        ({"properties": {"a": 7}}, "properties.a"),
        ({"properties": {"a": {"type": "integer", "default": "x"}}}, "the default of a must be a whole number"),
        ({"properties": {"a": {"$ref": "#/no"}}}, "leads nowhere"),
        ({"properties": {"a": {"$ref": "http://127.0.0.1:9/x.json"}}}, "leads nowhere"),
        ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "leads nowhere"),
        ({"properties": {"a": {"pattern": "("}}}, "the pattern"),
        ({"properties": {"a/b": {}}}, "a name"),
        ({"patternProperties": {"(a+)+b": {}}}, "repeats a group"),
        ({"$schema": "http://example.com/own", "type": "object"}, "no draft known"),
        ({"properties": {"a": {"default": float("inf")}}}, "JSON cannot write"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused_with_the_place(schema: Any, words: str) -> None:
    with pytest.raises(Usage) as caught:
        parameters.check_schema(schema)
    assert str(caught.value).startswith("parameters: ")
    assert words in str(caught.value)


def deep(levels: int) -> dict[str, Any]:
    return {"properties": {"a": deep(levels - 1)}} if levels else {}


def chain(parts: int) -> dict[str, Any]:
    """A parameter whose schema refers on and on."""
    links = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(parts)} | {f"d{parts}": {}}
    return {"properties": {"a": {"$ref": "#/$defs/d0"}}, "$defs": links}


def test_a_schema_too_deep_or_too_large_is_refused() -> None:
    for schema in (deep(40), chain(3_000), {"description": "x" * 300_000}):
        with pytest.raises(Usage):
            parameters.check_schema(schema)


HOSTILE: list[tuple[dict[str, Any], Any]] = [
    ({"type": "string", "pattern": "^(a|a)*$"}, "a" * 40 + "b"),
    ({"$ref": "#/properties/x"}, 1),
    ({"allOf": [{"$ref": "#/$defs/d0"}]}, 1),
    ({"type": "array", "uniqueItems": True}, [{"n": n} for n in range(9_000)]),
    ({"type": "array", "items": {"enum": list(range(20_000))}}, [-1] * 30_000),
    ({"$schema": "https://json-schema.org/draft/2020-12/schema", "pattern": "^(a+)+$"}, "a" * 40 + "b"),
]


@pytest.mark.parametrize(("inner", "value"), HOSTILE)
def test_no_schema_and_no_value_hangs(inner: dict[str, Any], value: Any) -> None:
    doubling = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)} | {
        "d40": {"type": "string"}
    }
    schema = {"type": "object", "properties": {"x": inner}, "$defs": doubling}
    parameters.check_schema(schema)
    began = time.monotonic()
    try:
        parameters.resolve(schema, {"x": value})
    except Usage as refused:
        assert str(refused)
    assert time.monotonic() - began < 20
