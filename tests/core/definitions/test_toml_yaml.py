"""Tests of TOML and YAML: exact round trips and harmless parsing."""

import json
import subprocess
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
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
BODIES = st.dictionaries(
    st.sampled_from(["schema", "parameters", "queue", "description"]), VALUES, max_size=4
)
SPREAD = st.dictionaries(
    st.sampled_from(["properties", "$defs", "type"]), st.dictionaries(TEXT, VALUES, max_size=3)
)


def make_document(bodies: dict[str, Any]) -> dict[str, Any]:
    """Return a document without empty tables, which no text can express."""
    return {"templates": bodies} if bodies else {}


@pytest.mark.parametrize("format", toml_yaml.FORMATS)
@settings(deadline=None)
@given(bodies=st.dictionaries(TEXT, BODIES, max_size=3), spread=SPREAD)
def test_written_documents_are_read_back_unchanged(
    format: str, bodies: dict[str, Any], spread: dict[str, Any]
) -> None:
    document = make_document(bodies | {"spread": {"engine": "exec", "parameters": spread}})
    assert toml_yaml.read_document(toml_yaml.write_document(document, format), format) == document


def test_multi_line_scripts_stay_readable() -> None:
    script = 'set -e\necho "it\'s \\ here"\n'
    document = {"templates": {"a": {"engine": "shell", "schema": {"script": script}}}}
    assert script in toml_yaml.write_document(document, "toml")
    assert '    echo "it' in toml_yaml.write_document(document, "yaml")


def test_each_parameter_gets_its_own_line() -> None:
    parameters = {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b c": {"type": "string"}},
    }
    text = toml_yaml.write_document({"templates": {"x": {"parameters": parameters}}}, "toml")
    assert 'properties.a = {type = "string"}\nproperties."b c" = {type = "string"}' in text


def count_calls(parameters: int) -> int:
    """Count the function calls needed to write the parameters."""
    made: Counter[str] = Counter()
    properties = {
        f"p{n}": {"type": "string", "description": "what it is"} for n in range(parameters)
    }
    document = {"templates": {"x": {"parameters": {"type": "object", "properties": properties}}}}
    before = sys.getprofile()
    sys.setprofile(lambda frame, event, arg: made.update((event,)))
    try:
        toml_yaml.write_document(document, "toml")
    finally:
        sys.setprofile(before)
    return made["call"] + made["c_call"]


def test_writing_takes_linear_time() -> None:
    assert count_calls(200) < 4.2 * count_calls(50)


def test_invisible_characters_are_escaped() -> None:
    document = {"templates": {"a": {"description": "\x7f\x85\u2028\ufeff\x1b"}}}
    text = toml_yaml.write_document(document, "toml")
    assert r'"\u007f\u0085\u2028\ufeff\u001b"' in text
    assert toml_yaml.read_document(text, "toml") == document


def test_null_is_written_in_yaml_only() -> None:
    document = {"templates": {"a": {"parameters": {"properties": {"x": {"default": None}}}}}}
    with pytest.raises(
        Refused, match=r"templates\.a\.parameters\.properties\.x\.default is null.*--format yaml"
    ):
        toml_yaml.write_document(document, "toml")
    assert toml_yaml.read_document(toml_yaml.write_document(document, "yaml"), "yaml") == document


def make_yaml_bomb() -> str:
    lines = ["a0: &a0 [1,1,1,1,1,1,1,1,1,1]"]
    return "\n".join(
        lines + [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    )


@pytest.mark.parametrize(
    ("text", "format", "words"),
    [
        ("x =", "toml", "at the end: Invalid value"),
        ("a = 1\nb = 1\na = 2\n", "toml", "line 3"),
        ('[queues."a\x7f"]', "toml", "names and texts take no control characters"),
        ("a = {}\na.b = 1", "toml", "this table was closed by { … }"),
        ("[" * 100_000, "toml", "."),
        ("a: [", "yaml", "line 1"),
        ("a: 1\na: 2", "yaml", "twice"),
        ("a: {on: 1}", "yaml", "the key on is not text: write 'on'"),
        ("1: 2", "yaml", "the key 1 is not text: write '1'"),
        ("- a", "yaml", "must hold tables"),
        ("a: &a [*a]", "yaml", "64 levels"),
        ("a: !!python/object/apply:os.system [id]", "yaml", "line 1"),
        ("? {a: b}\n: c", "yaml", "line 1"),
        ("[" * 3_000, "yaml", "."),
        ("a = '\ud800'", "toml", "UTF-8"),
        ('a: "\\ud800"', "yaml", "line 1"),
        ("#" * (5 * 1024 * 1024), "toml", "4M"),
        ("", "json", "toml or yaml"),
    ],
)
def test_an_unreadable_text_is_refused_with_its_line(text: str, format: str, words: str) -> None:
    with pytest.raises(Usage) as caught:
        toml_yaml.read_document(text, format)
    assert words in str(caught.value)


def test_an_exponentially_growing_yaml_text_is_refused() -> None:
    with pytest.raises(Usage, match=r"100,000"):
        toml_yaml.read_document(make_yaml_bomb(), "yaml")


def test_an_empty_file_defines_nothing() -> None:
    assert toml_yaml.read_document("", "toml") == toml_yaml.read_document("", "yaml") == {}


MEASURING_PROGRAM = """
import json, os, resource, sys, time
from app.core.definitions import document, toml_yaml
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def measure(name, text, format):
    before, at = peak(), time.process_time()
    try: document.parse_document(text, format)
    except Exception as problem: said = f'{type(problem).__name__}: {problem}'
    print(json.dumps([name, time.process_time() - at, peak() - before, said]), flush=True)
for name, (text, format, _) in json.load(sys.stdin).items():
    if not (pid := os.fork()):
        measure(name, text, format)
        os._exit(0)
    os.waitpid(pid, 0)
"""


@pytest.fixture(scope="module")
def measured_files() -> dict[str, tuple[float, float, str]]:
    """Return seconds, MiB and the refusal of each hostile file, each parsed by its own process."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURING_PROGRAM], input=json.dumps(HOSTILE), text=True,
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    return {name: (*found,) for name, *found in map(json.loads, done.stdout.splitlines())}


_MERGED = ", ".join(f"k{n}: 1" for n in range(1_000))
HOSTILE = {
    "dots": ("a" + ".a" * 40_000 + "=1", "toml", "64 levels"),
    "quoted dots": ('"a"' + ' . "a"' * 40_000 + "=1", "toml", "64 levels"),
    "dots after text": ('x={a="""b"""", ' + "a" + ".a" * 40_000 + "=1}", "toml", "64 levels"),
    "deep keys": ("".join(f"b{n}{'.a' * 60}=1\n" for n in range(20_000)), "toml", "100,000"),
    "values": ("x=[" + "1," * 2_000_000 + "]", "toml", "100,000"),
    "open strings": ('x="""' + '""a' * 1_300_000, "toml", "at the end"),
    "unknown": ("[queues.a]\n" + "".join(f"c{n}=1\n" for n in range(40_000)), "toml", "39990 more"),
    "yaml values": ("pools: [" + "a," * 500_000 + "a]", "yaml", "100,000"),
    "yaml deep": ("[" * 2_000_000, "yaml", "64 levels"),
    "yaml deep block": ("- " * 2_000_000, "yaml", "64 levels"),
    "yaml merges": (f"a: &a {{{_MERGED}}}\nb: {{<<: [{'*a,' * 100_000}]}}", "yaml", "100,000"),
    "yaml queues": (
        "queues:\n" + "".join(f" a{n}: {{capacty: 1}}\n" for n in range(24_000)),
        "yaml",
        "more",
    ),
    "yaml keys": ("".join(f"k{n}: 1\n" for n in range(49_000)), "yaml", "48990 more"),
    "yaml text": (f"a: &a {'x' * 1_000_000}\nb: [{'*a,' * 90_000}]", "yaml", "4M of text"),
    "yaml number": ("a: " + "1:" * 2_000_000 + "1", "yaml", "1,000 char"),
    "yaml tags": ("".join(f"%TAG !a{n}! b\n" for n in range(100_000)), "yaml", "%TAG"),
}


@pytest.mark.process
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_costs_little_time_and_memory(
    measured_files: dict[str, tuple[float, float, str]], name: str
) -> None:
    words = HOSTILE[name][2]
    seconds, mib, said = measured_files[name]
    assert said.startswith("Usage: ") and words in said
    assert seconds < 3 and mib < 100


def test_signs_in_strings_and_comments_do_not_count() -> None:
    dots = "." * 300_000
    text = f'a = "{dots}\\"{dots}"\nb = """\n"{dots}""""\nc = \'{dots}\' # {dots}\n'
    text += f"d = '''\n'{dots}'''\n"
    assert sorted(toml_yaml.read_document(text, "toml")) == ["a", "b", "c", "d"]


def test_a_merge_of_mappings_is_read() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [*a, {z: 4}]}\n"
    assert toml_yaml.read_document(text, "yaml") == {
        "a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 1, "y": 2, "z": 4},
    }  # fmt: skip
