"""JSON with keys that appear twice."""

from __future__ import annotations

import pytest

from app.core.strict_json import DuplicateKeyError, load_json


def test_json_is_parsed_as_usual():
    assert load_json('{"a": [{"b": 1}, {"b": 2}], "c": {"a": null}}') == {
        "a": [{"b": 1}, {"b": 2}], "c": {"a": None},
    }  # fmt: skip
    with pytest.raises(ValueError):
        load_json("{")


@pytest.mark.parametrize(
    ("text", "key"), [('{"a": 1, "a": 1}', "a"), ('[{"x": {"b": 1, "c": 2, "b": 3}}]', "b")]
)
def test_a_key_that_appears_twice_is_named(text: str, key: str):
    with pytest.raises(DuplicateKeyError, match=f'"{key}" appears twice in one object.'):
        load_json(text)
