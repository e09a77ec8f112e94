"""What is written reads back the same, and nothing that is read can do harm."""

import sys
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.definitions import toml_yaml
from app.errors import Refused, Usage

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20) | st.sampled_from(
    [
        "a\nb\n",
        "'''",
        "it's\n'",
        "\r\n",
        "\\",
        '"',
        "\x1b\x7f\x85\u2028",
        "#",
        "on",
        "1e3",
        "\ufeff",
        " ",
        "a: b",
        "\t\n x",
    ]
)
NUMBERS = st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False)
PLAIN = TEXT | NUMBERS | st.booleans()
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)
BODIES = st.dictionaries(st.sampled_from(["schema", "parameters", "queue", "description"]), VALUES, max_size=4)
SPREAD = st.dictionaries(st.sampled_from(["properties", "$defs", "type"]), st.dictionaries(TEXT, VALUES, max_size=3))


def whole(bodies: dict[str, Any]) -> dict[str, Any]:
    """Without empty tables, which no text holds."""
    return {"templates": bodies} if bodies else {}


@pytest.mark.parametrize("format", toml_yaml.FORMATS)
@settings(deadline=None)
@given(bodies=st.dictionaries(TEXT, BODIES, max_size=3), spread=SPREAD)
def test_what_is_written_reads_back_the_same(format: str, bodies: dict[str, Any], spread: dict[str, Any]) -> None:
    document = whole(bodies | {"spread": {"engine": "exec", "parameters": spread}})
    assert toml_yaml.read(toml_yaml.write(document, format), format) == document


def test_scripts_of_several_lines_stay_readable() -> None:
    script = 'set -e\necho "it\'s \\ here"\n'
    document = {"templates": {"a": {"engine": "shell", "schema": {"script": script}}}}
    assert script in toml_yaml.write(document, "toml")
    assert '    echo "it' in toml_yaml.write(document, "yaml")


def test_a_parameter_gets_a_line_of_its_own() -> None:
    parameters = {"type": "object", "properties": {"a": {"type": "string"}, "b c": {"type": "string"}}}
    text = toml_yaml.write({"templates": {"x": {"parameters": parameters}}}, "toml")
    assert 'properties.a = {type = "string"}\nproperties."b c" = {type = "string"}' in text


def calls(parameters: int) -> int:
    """How many functions are called to write so many parameters."""
    made: Counter[str] = Counter()
    properties = {f"p{n}": {"type": "string", "description": "what it is"} for n in range(parameters)}
    document = {"templates": {"x": {"parameters": {"type": "object", "properties": properties}}}}
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, arg: made.update((event,)))
    try:
        toml_yaml.write(document, "toml")
    finally:
        sys.setprofile(before)
    return made["call"] + made["c_call"]


def test_what_is_four_times_as_long_takes_no_more_than_four_times_the_work() -> None:
    assert calls(200) < 4.2 * calls(50)


def test_what_nobody_can_see_is_written_as_an_escape() -> None:
    document = {"templates": {"a": {"description": "\x7f\x85\u2028\ufeff\x1b"}}}
    text = toml_yaml.write(document, "toml")
    assert r'"\u007f\u0085\u2028\ufeff\u001b"' in text
    assert toml_yaml.read(text, "toml") == document


def test_null_is_written_in_yaml_only() -> None:
    document = {"templates": {"a": {"parameters": {"properties": {"x": {"default": None}}}}}}
    with pytest.raises(Refused, match=r"templates\.a\.parameters\.properties\.x\.default is null.*--format yaml"):
        toml_yaml.write(document, "toml")
    assert toml_yaml.read(toml_yaml.write(document, "yaml"), "yaml") == document


def bomb() -> str:
    lines = ["a0: &a0 [1,1,1,1,1,1,1,1,1,1]"]
    return "\n".join(lines + [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)])


@pytest.mark.parametrize(
    ("text", "format", "words"),
    [
        ("x =", "toml", "at the end: Invalid value"),
        ("a = 1\nb = 1\na = 2\n", "toml", "line 3"),
        ('[queues."a\x7f"]', "toml", "names and texts take no control characters"),
        ("[" * 100_000, "toml", "."),
        ("a: [", "yaml", "line 1"),
        ("a: 1\na: 2", "yaml", "twice"),
        ("- a", "yaml", "must hold tables"),
        ("a: &a [*a]", "yaml", "200,000"),
        ("a: !!python/object/apply:os.system [id]", "yaml", "line 1"),
        ("? {a: b}\n: c", "yaml", "line 1"),
        ("[" * 3_000, "yaml", "."),
        ("a = '\ud800'", "toml", "UTF-8"),
        ('a: "\\ud800"', "yaml", "surrogate"),
        ("#" * (5 * 1024 * 1024), "toml", "4M"),
        ("", "json", "toml or yaml"),
    ],
)
def test_a_text_that_cannot_be_read_is_refused_with_the_line(text: str, format: str, words: str) -> None:
    with pytest.raises(Usage) as caught:
        toml_yaml.read(text, format)
    assert words in str(caught.value)


def test_a_yaml_text_that_grows_without_end_is_refused() -> None:
    with pytest.raises(Usage, match=r"200,000"):
        toml_yaml.read(bomb(), "yaml")


def test_an_empty_file_defines_nothing() -> None:
    assert toml_yaml.read("", "toml") == toml_yaml.read("", "yaml") == {}
