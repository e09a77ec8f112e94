"""Tests of the definitions file: parsing, writing and error messages."""

import pytest

from app.core.definitions import document, toml_yaml
from app.errors import Usage

EXAMPLE = """
[pools.gpu]
total_cpu = 8
total_memory = "32G"

[queues.media]
pool = "gpu"
capacity = 2
priority = 10

[templates.encode]
engine = "shell"
queue = "media"
timeout = "30m"
cpu = 2
memory = "512M"
schema = { script = 'ffmpeg -i "$PARAM_input" -crf "$PARAM_crf" "$PARAM_output"' }
[templates.encode.parameters]
type = "object"
required = ["input", "output"]
properties.input = { type = "string" }
properties.output = { type = "string" }
properties.crf = { type = "integer", minimum = 0, maximum = 51, default = 23 }

[slas.encode-on-time]
conditions = { preset = "finishes-within", value = "45m", match = { template = "encode" } }
"""


def parse_error(text: str, format: str = "toml") -> str:
    with pytest.raises(Usage) as caught:
        document.parse_document(text, format)
    return str(caught.value)


def build_rows(found: document.Definitions) -> dict[str, dict[str, dict[str, object]]]:
    return {
        kind: {
            name: document.build_definition(kind, row.model_dump(by_alias=True))
            for name, row in tables.items()
        }
        for kind, tables in found.items()
    }


def test_the_design_example_is_parsed_with_its_amounts() -> None:
    found = document.parse_document(EXAMPLE)
    assert (found["pools"]["gpu"].total_cpu, found["pools"]["gpu"].total_memory) == (8, 32768)
    assert (found["queues"]["media"].pool, found["queues"]["media"].capacity) == ("gpu", 2)
    encode = found["templates"]["encode"]
    assert (encode.timeout, encode.cpu, encode.memory, encode.retries) == (1800, 2, 512, None)
    assert found["slas"]["encode-on-time"].severity == 2


@pytest.mark.parametrize("format", toml_yaml.FORMATS)
def test_a_parsed_file_survives_writing(format: str) -> None:
    found = document.parse_document(EXAMPLE)
    assert (
        document.parse_document(toml_yaml.write_document(build_rows(found), format), format)
        == found
    )


def test_numbers_are_written_as_users_type_them() -> None:
    written = toml_yaml.write_document(build_rows(document.parse_document(EXAMPLE)), "toml")
    for line in (
        'total_memory = "32G"',
        "total_cpu = 8",
        'timeout = "30m"',
        'memory = "512M"',
        "cpu = 2",
    ):
        assert line in written


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("engine =", "enigne =", 'templates.encode: unknown key "enigne". Nearest: engine'),
        ("[queues.media]", "[queue.media]", 'unknown table "queue". Nearest: queues'),
        ("capacity = 2", "capacity = -1", "queues.media: capacity must be 0 to"),
        ("capacity = 2", "capacity = 1.5", "queues.media: capacity must be a whole number"),
        ("capacity = 2", "capacity = true", "queues.media: capacity must be a whole number"),
        ("capacity = 2", "capacity = 99999999999999999999", "queues.media: capacity must be"),
        ("priority = 10", 'priority = "high"', "queues.media: priority must be a whole number"),
        ('"32G"', '"4 parsecs"', "pools.gpu: total_memory must be a size"),
        ("total_cpu = 8", "total_cpu = nan", "pools.gpu: total_cpu must be"),
        ("total_cpu = 8", "total_cpu = inf", "pools.gpu: total_cpu must be"),
        ("total_cpu = 8\n", "", "pools.gpu: needs total_cpu"),
        ('"30m"', '"-5s"', "templates.encode: timeout must be 0 or more"),
        ('"30m"', "1979-05-27", "templates.encode: timeout must be"),
        ('properties.input = {', "properties.input = 7 #",
        "templates.encode: parameters: properties.input: 7"),
        ("default = 23", "default = 99",
        "templates.encode: parameters: the default of crf must be 0 to 51"),
        ('"finishes-within"', '"finishs-within"',
        "slas.encode-on-time: conditions: preset must be"),
        ('value = "45m"', 'value = "soon"',
        "slas.encode-on-time: conditions: value must be a duration"),
        ("{ template =", "{ templat =", 'match: unknown key "templat". Nearest: template'),
        ("[queues.media]", '[queues."a/b"]', "queues: a name must not"),
        ("[queues.media]", '[queues."a\\u001b[2J"]', "queues: a name must"),
        ("[queues.media]", '[queues.""]', "queues: a name must not be empty"),
    ],
)  # fmt: skip
def test_an_error_names_its_table_and_key(old: str, new: str, words: str) -> None:
    said = parse_error(EXAMPLE.replace(old, new))
    assert words in said
    assert said.endswith("Nothing was changed.")
    assert said.isprintable()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("queues = 3", "queues must be tables"),
        ("[queues]\npool = 1", "queues.pool: must be a table"),
        ("a = 1", "table"),
    ],
)
def test_a_value_in_place_of_a_table_is_refused(text: str, words: str) -> None:
    assert words in parse_error(text)


def test_all_errors_are_reported_at_once() -> None:
    said = parse_error(
        EXAMPLE.replace("capacity = 2", "capacity = -2").replace("cpu = 2", "cpu = -2")
    )
    assert "queues.media: capacity" in said
    assert "templates.encode: cpu" in said


def test_a_non_text_name_in_yaml_is_refused() -> None:
    assert "the key 1 is not text" in parse_error("queues: {1: {capacity: 2}}", "yaml")


def test_an_sla_has_a_short_form() -> None:
    found = document.parse_document(
        '[slas.a]\nseverity = "critical"\nconditions = { preset = "starts-within", value = 60 }'
    )
    sla = found["slas"]["a"]
    assert sla.severity == 3
    assert build_rows(found)["slas"]["a"] == {
        "conditions": {"preset": "starts-within", "value": "1m"},
        "severity": "critical",
    }


def test_the_schemas_of_a_file_share_a_limit_of_steps() -> None:
    properties = {f"p{n}": {"type": "string"} for n in range(2_000)}
    template = {"engine": "shell", "schema": {"script": "true"}}
    one = template | {"parameters": {"type": "object", "properties": properties}}
    document.validate_tables({"templates": {"a": one}})
    words = r"templates\.\w+: .* over 200,000 steps for all schemas of one file \(split it\)"
    with pytest.raises(Usage, match=words):
        document.validate_tables({"templates": dict.fromkeys("abcdefghij", one)})
