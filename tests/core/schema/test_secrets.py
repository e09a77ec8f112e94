"""Tests of secret parameters: their detection and the masking of values."""

import json
from typing import Any

import pytest

from app.core.schema import parameters
from app.core.schema.secrets import (
    DeclaredNames,
    find_declared_names,
    find_secret_texts,
    mask_record,
    mask_value,
)
from app.core.text.sanitize import MASK
from app.errors import Usage

PIN: dict[str, Any] = {"type": "string", "writeOnly": True}
SCHEMAS: dict[str, dict[str, Any]] = {
    "by writeOnly": {"properties": {"pin": PIN}},
    "by format": {"properties": {"pin": {"type": "string", "format": "password"}}},
    "by reference": {"properties": {"pin": {"$ref": "#/$defs/pin"}}, "$defs": {"pin": PIN}},
    "in a part": {"allOf": [{"properties": {"pin": {"anyOf": [PIN, {"type": "null"}]}}}]},
    "as an item": {"properties": {"pin": {"type": "array", "items": PIN}}},
    "by a pattern": {"patternProperties": {"^p.n$": PIN}},
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_a_parameter_is_secret_where_its_schema_says_so(schema: dict[str, Any]):
    assert find_declared_names(schema, {"pin": "pp9", "who": "ann"}).secret == ["pin"]
    assert find_declared_names(schema, {"who": "ann"}).secret == []


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_a_parameter_is_plain_where_its_schema_says_so(schema: dict[str, Any]):
    text = json.dumps(schema).replace("true", "false").replace("pin", "token")
    plain = json.loads(
        text.replace('"format": "password"', '"writeOnly": false').replace("p.n", "t.*n")
    )

    assert find_declared_names(plain, {"token": "t1", "who": "ann"}) == DeclaredNames([], ["token"])


def test_a_plain_value_with_a_secret_name_is_shown():
    schema: dict[str, Any] = {
        "properties": {
            "token": {"type": "string", "writeOnly": False, "default": "t1"},
            "password": {"type": "string", "writeOnly": False, "format": "password"},
        }
    }
    given = {"token": "t1", "password": "pp9"}

    names = find_declared_names(schema, given)

    assert mask_value(given, names) == {"token": "t1", "password": MASK}
    assert mask_record(schema) == schema


def test_a_part_of_a_parameter_can_be_secret():
    schema = {
        "properties": {
            "door": {
                "type": "object",
                "properties": {"pin": {"type": "integer", "writeOnly": True}},
            }
        }
    }
    given = {"door": {"pin": 9214, "floor": 3}}

    names = find_declared_names(schema, given)

    assert mask_value(given, names) == {"door": {"pin": MASK, "floor": 3}}
    assert list(find_secret_texts(given, names)) == ["9214"]


def test_a_text_in_an_object_is_masked_in_its_json_form_too():
    value = {"pin": 'p"é\\'}

    texts = find_secret_texts(value, DeclaredNames(["pin"]))

    assert set(texts) == {value["pin"], json.dumps(value["pin"])[1:-1]}


def test_a_structured_value_is_masked_in_its_command_form():
    assert list(find_secret_texts({"pins": {"a": [True, "x"]}}, DeclaredNames(["pins"]))) == [
        '{"a": [true, "x"]}',
        '[true, "x"]',
        "true",
        "x",
    ]


@pytest.mark.parametrize("word", ["default", "const", "enum", "examples"])
def test_a_masked_schema_shows_no_value_of_a_secret(word: str):
    said = {"title": "t", word: ["pp9"]}
    schema = {
        "properties": {"api_token": said, "pin": {**PIN, word: ["pp9"]}, "who": said},
        "$defs": {"pin": {**PIN, word: "pp9"}},
    }

    seen = mask_record(schema)

    hidden = {"title": "t", word: MASK}
    assert seen["properties"] == {"api_token": hidden, "pin": {**PIN, word: MASK}, "who": said}
    assert seen["$defs"]["pin"][word] == MASK


@pytest.mark.parametrize(("schema", "label"), [
    ({"api_token": {"default": "hunter2"}}, "api_token"),
    ({"pin": {"writeOnly": True, "enum": ["hunter2", ""]}}, "pin"),
    ({"pin": {"$ref": "#/$defs/pin"}}, "pin"),
    ({"a": {"properties": {"pin": {"writeOnly": True, "const": 1234}}}},
     "properties.a.properties.pin"),
])  # fmt: skip
def test_a_schema_with_the_value_of_a_secret_is_refused(schema: dict[str, Any], label: str):
    defs = {"pin": {"allOf": [{"format": "password"}, {"default": "hunter2"}]}}
    with pytest.raises(Usage, match=f"parameters: {label} is secret, but its") as caught:
        parameters.check_schema({"properties": schema, "$defs": defs})
    assert "hunter2" not in str(caught.value) and "1234" not in str(caught.value)


@pytest.mark.parametrize("schema", [
    {"writeOnly": False, "default": "t1"}, {"default": ""}, {"default": None}, {"enum": [True]},
    {"type": "string", "default": {"secret": {"env": "TOKEN"}}},
    {"properties": {"token_mode": {"default": "header"}}},
])  # fmt: skip
def test_a_schema_that_gives_no_secret_away_applies(schema: dict[str, Any]):
    parameters.check_schema({"properties": {"token": schema}})


def test_a_default_may_refer_to_a_secret():
    reference = {"secret": {"env": "TOKEN"}}
    schema = {"properties": {"token": {"type": "string", "default": reference}}}
    assert parameters.resolve_values(schema, {}) == {"token": reference}
