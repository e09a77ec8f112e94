"""Tests that each engine passes parameters to real processes unchanged."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app import engines
from app.core.schema import parameters
from app.errors import Refused, Usage

pytestmark = pytest.mark.process

HOSTILE_TEXT = (
    "$(touch pwned); `touch pwned`'; touch pwned; \"; touch pwned #\n{{ word }} $HOME ☃ \udcff"
)
WORD_SCHEMA = {"type": "object", "properties": {"word": {"type": "string"}}}
OPEN_SCHEMA = {"type": "object", "additionalProperties": True}


def run_launch(
    engine: str,
    schema: dict[str, Any],
    given: dict[str, Any],
    declared: dict[str, Any],
    **base: str,
) -> Any:
    """Run the launch of a template in the current directory."""
    engines.check_template(engine, schema, declared)
    launch = engines.make_launch(engine, schema, given, declared)
    environment = engines.build_environment(launch, {**os.environ, **base})
    return subprocess.run(launch["argv"], env=environment, capture_output=True, timeout=30)


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("engine", "schema"),
    [
        ("exec", {"argv": ["printf", "%s", "{{ word }}"]}),
        ("shell", {"script": 'printf %s "$PARAM_word"'}),
        ("shell", {"script": 'printf %s "$PARAM_word"', "shell": "/bin/bash"}),
        (
            "python",
            {"script": "import os; os.write(1, os.fsencode(word))", "python": sys.executable},
        ),
        ("python", {"callable": "own:show", "python": sys.executable}),
    ],
)
def test_hostile_text_arrives_unchanged_and_nothing_is_executed(
    working_folder: Path, engine: str, schema: dict[str, Any]
) -> None:
    (working_folder / "own.py").write_text(
        "import os\ndef show(word):\n    os.write(1, os.fsencode(word))\n"
    )
    done = run_launch(engine, schema, {"word": HOSTILE_TEXT}, WORD_SCHEMA)
    assert (done.returncode, done.stdout) == (0, os.fsencode(HOSTILE_TEXT)), done.stderr
    assert not (working_folder / "pwned").exists()


def test_a_parameter_stays_within_its_argument(working_folder: Path) -> None:
    schema = {
        "argv": [
            "printf",
            "%s|",
            "{{ word }}",
            "a{{word}}b",
            "{{ 1+1 }}",
            "{{word",
            "{x}",
            "{{ {{ word }} }}",
        ]
    }
    assert (
        run_launch("exec", schema, {"word": "1 2"}, WORD_SCHEMA).stdout
        == b"1 2|a1 2b|{{ 1+1 }}|{{word|{x}|{{ 1 2 }}|"
    )


def test_an_argument_without_its_parameter_is_left_out() -> None:
    schema = {"argv": ["printf", "%s|", "{{ word }}", "--word={{ word }}", "end"]}
    assert run_launch("exec", schema, {}, WORD_SCHEMA).stdout == b"end|"


def test_non_text_values_arrive_as_json(working_folder: Path) -> None:
    given = {"a": [1, None, "é"], "b": True, "c": 2.5}
    declared = {"type": "object", "properties": {"a": {}, "b": {}, "c": {}}}
    assert (
        run_launch(
            "exec", {"argv": ["echo", "{{ a }}", "{{ b }}", "{{ c }}"]}, given, declared
        ).stdout
        == b'[1, null, "\\u00e9"] true 2.5\n'
    )
    assert (
        run_launch("shell", {"script": 'echo "$PARAM_a $PARAM_b"'}, given, declared).stdout
        == b'[1, null, "\\u00e9"] true\n'
    )
    script = {"script": "print(a, b, c)", "python": sys.executable}
    assert (
        run_launch("python", script, given, declared).stdout.decode() == "[1, None, 'é'] True 2.5\n"
    )


def test_a_submitters_variable_is_not_taken_for_a_parameter() -> None:
    schema = {"script": 'echo "[$PARAM_word$PARAM_other]"'}
    assert (
        run_launch("shell", schema, {}, WORD_SCHEMA, PARAM_word="leak", PARAM_other="leak").stdout
        == b"[]\n"
    )


def test_a_plain_command_keeps_its_environment() -> None:
    launch = engines.make_launch("shell", {"script": "true"}, {})
    assert engines.build_environment(launch, {"PARAM_word": "mine"}) == {"PARAM_word": "mine"}


def test_python_code_gets_neither_our_path_nor_parameter_variables(working_folder: Path) -> None:
    script = (
        "import os, sys; print(sys.path[0] == '', [k for k in os.environ if"
        " k.startswith('PARAM_')], sys.argv)"
    )
    done = run_launch(
        "python", {"script": script, "python": sys.executable}, {"word": "x"}, WORD_SCHEMA
    )
    assert done.stdout == b"True [] ['-c']\n"


def test_a_coroutine_runs_to_its_end(working_folder: Path) -> None:
    (working_folder / "own.py").write_text("async def show(word):\n    print(word)\n")
    assert (
        run_launch(
            "python", {"callable": "own:show", "python": sys.executable}, {"word": "x"}, WORD_SCHEMA
        ).stdout
        == b"x\n"
    )


def test_the_exit_code_is_the_programs(working_folder: Path) -> None:
    assert (
        run_launch(
            "python", {"script": "raise SystemExit(7)", "python": sys.executable}, {}, OPEN_SCHEMA
        ).returncode
        == 7
    )
    assert run_launch("shell", {"script": "exit 9"}, {}, OPEN_SCHEMA).returncode == 9


def test_a_secret_is_read_at_the_start_and_not_stored(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from the file\n")
    declared = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    given = {"a": {"secret": {"env": "TOKEN"}}, "b": {"secret": {"file": str(tmp_path / "key")}}}
    launch = engines.make_launch("shell", {"script": 'echo "$PARAM_a, $PARAM_b"'}, given, declared)
    assert "from" not in str(launch)
    for engine, schema in (("shell", {"script": 'echo "$PARAM_a, $PARAM_b"'}),
                           ("python", {"script": "print(a, b, sep=', ')",
                           "python": sys.executable})):  # fmt: skip
        assert (
            run_launch(engine, schema, given, declared, TOKEN="from ann").stdout
            == b"from ann, from the file\n"
        )


@pytest.mark.parametrize(
    "reference", [{"env": "NO_SUCH"}, {"file": "/no/such/file"}, {"file": "/"}, {"file": "a\0b"}]
)
def test_a_missing_secret_is_named(reference: dict[str, str]) -> None:
    launch = engines.make_launch(
        "shell", {"script": "true"}, {"word": {"secret": reference}}, WORD_SCHEMA
    )
    with pytest.raises(Refused, match="secret word"):
        engines.build_environment(launch, {})


def test_a_secret_is_never_put_in_an_argument() -> None:
    given = {"word": {"secret": {"env": "TOKEN"}}}
    with pytest.raises(Usage, match="word is a secret"):
        engines.make_launch("exec", {"argv": ["echo", "{{ word }}"]}, given, WORD_SCHEMA)


def test_parameters_above_the_total_limit_are_refused() -> None:
    given = {f"p{n}": "x" * 100_000 for n in range(20)}
    with pytest.raises(Usage, match=r"1\.5M in total"):
        engines.make_launch("shell", {"script": "true"}, given, OPEN_SCHEMA)
    with pytest.raises(Usage, match="exceeds 128K"):
        engines.make_launch(
            "exec",
            {"argv": ["echo", "{{ a }}{{ b }}"]},
            {"a": "x" * 90_000, "b": "x" * 90_000},
            OPEN_SCHEMA,
        )


@pytest.mark.parametrize(
    ("engine", "schema", "declared", "words"),
    [
        ("exce", {}, {}, "engine must be exec, shell or python"),
        ("exec", {}, {}, "argv must be a list"),
        ("exec", {"argv": "echo"}, {}, "argv must be a list"),
        ("exec", {"argv": []}, {}, "argv must be a list"),
        ("exec", {"argv": [""]}, {}, "argv must be a list"),
        ("exec", {"argv": ["a", 3]}, {}, "argv must be a list"),
        ("exec", {"argv": ["a\0b"]}, {}, "NUL"),
        (
            "exec",
            {"argv": ["echo", "{{ wrod }}"]},
            WORD_SCHEMA,
            'names "wrod", which is not a parameter. Nearest: word',
        ),
        ("exec", {"argv": ["{{ word }}"]}, WORD_SCHEMA, "may be missing"),
        ("exec", {"argv": ["echo"], "script": "x"}, {}, 'engine exec has no "script"'),
        ("exec", [], {}, "must be a table"),
        ("shell", {}, {}, "script must be text"),
        ("shell", {"script": "  "}, {}, "script must be text"),
        ("shell", {"script": "x" * 131_072}, {}, "script must be text of less than 128K"),
        ("shell", {"script": "true", "shel": "/bin/sh"}, {}, "Nearest: shell"),
        ("shell", {"script": "true"}, {"properties": {"a-b": {}}}, '"a-b" cannot be a variable'),
        ("python", {}, {}, "needs exactly one of callable and script"),
        (
            "python",
            {"callable": "a:b", "script": "x"},
            {},
            "needs exactly one of callable and script",
        ),
        ("python", {"callable": "os.system"}, {}, 'must be "module:function"'),
        ("python", {"callable": "os:system('x')"}, {}, 'must be "module:function"'),
        ("python", {"script": "x"}, {"properties": {"1a": {}}}, '"1a" cannot be a variable'),
    ],
)
def test_an_invalid_template_is_refused(
    engine: str, schema: Any, declared: Any, words: str
) -> None:
    with pytest.raises(Usage) as caught:
        engines.check_template(engine, schema, declared)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("engine", "schema", "names"),
    [
        ("exec", {"argv": ["cp", "{{ a }}", "{{ b }}/{{ a }}"]}, ["a", "b"]),
        ("shell", {"script": 'echo "$PARAM_who ${PARAM_n:-1} $OTHER"'}, ["who", "n"]),
        ("python", {"callable": "a:b"}, []),
        ("none", {}, []),
    ],
)
def test_without_a_schema_a_template_accepts_the_names_it_uses(
    engine: str, schema: Any, names: list[str]
) -> None:
    assert [*parameters.read_shape(engines.derive_parameters(engine, schema)).properties] == names


@pytest.mark.parametrize(
    ("script", "required"),
    [
        ("sleep ${PARAM_n:-1}", []),
        ("sleep ${PARAM_n-1}", []),
        ("sleep ${PARAM_n:-1}; echo $PARAM_n", ["n"]),
        ("echo $PARAM_n-1 ${PARAM_m}", ["n", "m"]),
    ],
)
def test_a_parameter_with_a_default_in_the_script_is_optional(
    script: str, required: list[str]
) -> None:
    assert engines.derive_parameters("shell", {"script": script})["required"] == required


def test_a_secret_in_a_pipe_is_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key")
    launch = engines.make_launch(
        "shell",
        {"script": "true"},
        {"word": {"secret": {"file": str(tmp_path / "key")}}},
        WORD_SCHEMA,
    )
    with pytest.raises(Refused, match="not a regular file"):
        engines.build_environment(launch, {})
