"""Each engine gives parameters to real processes exactly as they are, and to nothing else."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app import engines
from app.core.schema import parameters
from app.errors import Refused, Usage

EVIL = "$(touch pwned); `touch pwned`'; touch pwned; \"; touch pwned #\n{{ word }} $HOME ☃ \udcff"
WORD = {"type": "object", "properties": {"word": {"type": "string"}}}
ALL = {"type": "object", "additionalProperties": True}


def run(engine: str, schema: dict[str, Any], given: dict[str, Any], declared: dict[str, Any], **base: str) -> Any:
    """What the launch of a template writes, run in the current directory."""
    engines.check(engine, schema, declared)
    launch = engines.launch(engine, schema, given, declared)
    environment = engines.environment(launch, {**os.environ, **base})
    return subprocess.run(launch["argv"], env=environment, capture_output=True, timeout=30)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("engine", "schema"),
    [
        ("exec", {"argv": ["printf", "%s", "{{ word }}"]}),
        ("shell", {"script": 'printf %s "$PARAM_word"'}),
        ("shell", {"script": 'printf %s "$PARAM_word"', "shell": "/bin/bash"}),
        ("python", {"script": "import os; os.write(1, os.fsencode(word))", "python": sys.executable}),
        ("python", {"callable": "own:show", "python": sys.executable}),
    ],
)
def test_a_hostile_text_arrives_as_it_is_and_nothing_of_it_runs(here: Path, engine: str, schema: dict[str, Any]) -> None:
    (here / "own.py").write_text("import os\ndef show(word):\n    os.write(1, os.fsencode(word))\n")
    done = run(engine, schema, {"word": EVIL}, WORD)
    assert (done.returncode, done.stdout) == (0, os.fsencode(EVIL)), done.stderr
    assert not (here / "pwned").exists()


def test_a_parameter_stays_inside_its_element(here: Path) -> None:
    schema = {"argv": ["printf", "%s|", "{{ word }}", "a{{word}}b", "{{ 1+1 }}", "{{word", "{x}", "{{ {{ word }} }}"]}
    assert run("exec", schema, {"word": "1 2"}, WORD).stdout == b"1 2|a1 2b|{{ 1+1 }}|{{word|{x}|{{ 1 2 }}|"


def test_an_element_whose_parameter_is_not_given_is_left_out() -> None:
    schema = {"argv": ["printf", "%s|", "{{ word }}", "--word={{ word }}", "end"]}
    assert run("exec", schema, {}, WORD).stdout == b"end|"


def test_what_is_no_string_arrives_as_json(here: Path) -> None:
    given = {"a": [1, None, "é"], "b": True, "c": 2.5}
    declared = {"type": "object", "properties": {"a": {}, "b": {}, "c": {}}}
    assert run("exec", {"argv": ["echo", "{{ a }}", "{{ b }}", "{{ c }}"]}, given, declared).stdout == (
        b'[1, null, "\\u00e9"] true 2.5\n'
    )
    assert run("shell", {"script": 'echo "$PARAM_a $PARAM_b"'}, given, declared).stdout == b'[1, null, "\\u00e9"] true\n'
    script = {"script": "print(a, b, c)", "python": sys.executable}
    assert run("python", script, given, declared).stdout.decode() == "[1, None, 'é'] True 2.5\n"


def test_a_variable_of_the_submitter_does_not_pass_for_a_parameter() -> None:
    schema = {"script": 'echo "[$PARAM_word$PARAM_other]"'}
    assert run("shell", schema, {}, WORD, PARAM_word="leak", PARAM_other="leak").stdout == b"[]\n"


def test_a_command_typed_as_it_is_keeps_its_environment() -> None:
    launch = engines.launch("shell", {"script": "true"}, {})
    assert engines.environment(launch, {"PARAM_word": "mine"}) == {"PARAM_word": "mine"}


def test_code_runs_without_our_path_and_without_its_parameters_in_the_environment(here: Path) -> None:
    script = "import os, sys; print(sys.path[0] == '', [k for k in os.environ if k.startswith('PARAM_')], sys.argv)"
    done = run("python", {"script": script, "python": sys.executable}, {"word": "x"}, WORD)
    assert done.stdout == b"True [] ['-c']\n"


def test_a_coroutine_is_run_to_its_end(here: Path) -> None:
    (here / "own.py").write_text("async def show(word):\n    print(word)\n")
    assert run("python", {"callable": "own:show", "python": sys.executable}, {"word": "x"}, WORD).stdout == b"x\n"


def test_the_exit_code_is_the_program_s_own(here: Path) -> None:
    assert run("python", {"script": "raise SystemExit(7)", "python": sys.executable}, {}, ALL).returncode == 7
    assert run("shell", {"script": "exit 9"}, {}, ALL).returncode == 9


def test_a_secret_is_looked_up_at_the_start_and_stands_in_no_launch(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from the file\n")
    declared = {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}}
    given = {"a": {"secret": {"env": "TOKEN"}}, "b": {"secret": {"file": str(tmp_path / "key")}}}
    launch = engines.launch("shell", {"script": 'echo "$PARAM_a, $PARAM_b"'}, given, declared)
    assert "from" not in str(launch)
    for engine, schema in (("shell", {"script": 'echo "$PARAM_a, $PARAM_b"'}),
                           ("python", {"script": "print(a, b, sep=', ')", "python": sys.executable})):  # fmt: skip
        assert run(engine, schema, given, declared, TOKEN="from ann").stdout == b"from ann, from the file\n"


@pytest.mark.parametrize("reference", [{"env": "NO_SUCH"}, {"file": "/no/such/file"}, {"file": "/"}, {"file": "a\0b"}])
def test_a_secret_that_is_not_there_is_named(reference: dict[str, str]) -> None:
    launch = engines.launch("shell", {"script": "true"}, {"word": {"secret": reference}}, WORD)
    with pytest.raises(Refused, match="secret word"):
        engines.environment(launch, {})


def test_a_secret_is_never_put_in_an_argument() -> None:
    given = {"word": {"secret": {"env": "TOKEN"}}}
    with pytest.raises(Usage, match="word is a secret"):
        engines.launch("exec", {"argv": ["echo", "{{ word }}"]}, given, WORD)


def test_parameters_too_long_together_are_refused() -> None:
    given = {f"p{n}": "x" * 100_000 for n in range(20)}
    with pytest.raises(Usage, match=r"over 1\.5M together"):
        engines.launch("shell", {"script": "true"}, given, ALL)
    with pytest.raises(Usage, match="over 128K"):
        engines.launch("exec", {"argv": ["echo", "{{ a }}{{ b }}"]}, {"a": "x" * 90_000, "b": "x" * 90_000}, ALL)


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
        ("exec", {"argv": ["echo", "{{ wrod }}"]}, WORD, 'names "wrod", which is no parameter. Nearest: word'),
        ("exec", {"argv": ["{{ word }}"]}, WORD, "may be missing"),
        ("exec", {"argv": ["echo"], "script": "x"}, {}, 'engine exec has no "script"'),
        ("exec", [], {}, "must be a table"),
        ("shell", {}, {}, "script must be a text"),
        ("shell", {"script": "  "}, {}, "script must be a text"),
        ("shell", {"script": "x" * 131_072}, {}, "script must be a text of less than 128K"),
        ("shell", {"script": "true", "shel": "/bin/sh"}, {}, "Nearest: shell"),
        ("shell", {"script": "true"}, {"properties": {"a-b": {}}}, '"a-b" cannot be a variable'),
        ("python", {}, {}, "needs one of callable and script"),
        ("python", {"callable": "a:b", "script": "x"}, {}, "needs one of callable and script"),
        ("python", {"callable": "os.system"}, {}, 'must be "module:function"'),
        ("python", {"callable": "os:system('x')"}, {}, 'must be "module:function"'),
        ("python", {"script": "x"}, {"properties": {"1a": {}}}, '"1a" cannot be a variable'),
    ],
)
def test_a_template_that_could_not_run_is_refused(engine: str, schema: Any, declared: Any, words: str) -> None:
    with pytest.raises(Usage) as caught:
        engines.check(engine, schema, declared)
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
def test_without_a_parameter_schema_a_template_takes_what_it_names(engine: str, schema: Any, names: list[str]) -> None:
    assert [*parameters.shape(engines.declared(engine, schema)).properties] == names


def test_a_secret_that_is_a_pipe_is_refused_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key")
    launch = engines.launch("shell", {"script": "true"}, {"word": {"secret": {"file": str(tmp_path / "key")}}}, WORD)
    with pytest.raises(Refused, match="it is no file"):
        engines.environment(launch, {})
