"""Completion scripts are real ones, and know what there is now."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import registry
from app.cli.commands.completion import script
from app.cli.completion import candidates
from tests.acceptance.terminal import Terminal
from tests.cli.builders import a_task, listed

TASKS = [a_task(1042, "nightly etl", "running"), a_task(7, "\x1b[2Jevil", "held")]
QUEUES = [{"name": name, "current_load": 1, "capacity": 2, "waiting": 0} for name in ("my media", "a:b", "gpu", "e\u202evil")]
ENCODE = {
    "parameters": {
        "required": ["input"],
        "properties": {
            "input": {"type": "string", "description": "the film"},
            "crf": {"type": "integer", "default": 23},
            "preset": {"enum": ["fast", "slow"]},
            "two": {"type": "boolean"},
            "odd": True,
        },
    }
}


def completed(text: str, line: str) -> list[str]:
    """What bash offers at the end of a line."""
    words = line.split(" ")
    ask = f"COMP_WORDS=({' '.join(map(repr, words))}); COMP_CWORD={len(words) - 1}; COMP_LINE={line!r}; COMP_POINT={len(line)}"
    code = f'{text}\n{ask}\n_taskdeck taskdeck "{words[-1]}"\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_bash_completes_verbs_second_words_and_options(cli):
    text = cli("completion", "bash").out

    assert completed(text, "taskdeck su") == ["submit"]
    assert completed(text, "taskdeck queue dra") == ["drain"]
    assert completed(text, "taskdeck submit --prio") == ["--priority"]
    assert completed(text, "taskdeck ls --status fa") == ["failed"]
    assert completed(text, "taskdeck ls -o n") == ["name"]
    assert completed(text, "taskdeck sla create fresh --metric re") == ["replica-lag"]
    assert completed(text, "taskdeck cancel -s US") == ["USR1", "USR2"]


def test_bash_takes_the_script_as_the_completion_of_taskdeck(cli):
    text = cli("completion", "bash").out

    done = subprocess.run(["bash", "-c", f"{text}\ncomplete -p taskdeck"], capture_output=True, text=True, check=True)

    assert done.stdout.endswith("-F _taskdeck taskdeck\n")


def test_zsh_and_fish_know_the_verbs_and_their_options(cli):
    zsh, fish = cli("completion", "zsh").out, cli("completion", "fish").out

    assert zsh.startswith("#compdef taskdeck")
    for text in (zsh, fish):
        assert all(
            word in text for word in ("submit", "drain", "retry-delay", "queue a command, shell text or a template")
        )
    assert '"*:its number, uuid or name:{_taskdeck_names task:cancel}"' in zsh and "{--queue=,-q}" in zsh
    assert '-xka "(__taskdeck_names parameter)"' in fish and "(__taskdeck_names task:cancel)" in fish


def test_hidden_options_are_not_offered(cli):
    for shell in ("bash", "zsh", "fish"):
        assert "ready-fd" not in cli("completion", shell).out
    assert registry.COMPLETE not in cli("--help").out


def asked(cli, kind, *line, shell="fish"):
    """Candidates of a kind, with what they are."""
    said = cli(registry.COMPLETE, shell, kind, "taskdeck", *line)
    assert (said.code, said.err) == (0, "")
    return [tuple(row.split("\t")) for row in said.out.splitlines()]


def test_numbers_of_tasks_come_with_their_names(answering, cli):
    runtime = answering(ls=listed(TASKS, 2, 2))

    assert asked(cli, "task:cancel", "cancel", "") == [("1042", "nightly etl, running"), ("7", "␛[2Jevil, held")]
    assert "succeeded" not in runtime.args("ls")["status"] and "held" in runtime.args("ls")["status"]
    assert asked(cli, "task:cancel", "cancel", "1042", "") == [("7", "␛[2Jevil, held")]
    assert asked(cli, "task:show", "show", "10") == [("1042", "nightly etl, running")]
    assert "status" not in runtime.args("ls")


def test_where_a_backup_is_meant_backups_are_offered_and_no_tasks(answering, cli):
    answering(db__backups=[{"id": "20260101T000000Z-full", "kind": "full", "bytes": 4096}, {"id": "x\x1b", "kind": "full", "bytes": 1}])

    assert asked(cli, "backup", "db", "restore", "") == [("20260101T000000Z-full", "full, 4.0K")]
    for shell in ("bash", "zsh", "fish"):
        text = cli("completion", shell).out
        assert "taskdeck_names backup" in text and "task:db" not in text


def test_names_that_cannot_be_typed_are_not_offered_and_the_others_are_quoted_for_bash(answering, cli):
    answering(queue__ls=QUEUES)

    assert [name for name, _ in asked(cli, "queue", "submit", "-q", "")] == ["my media", "a:b", "gpu"]
    for typed, offered in (("my", "my\\ media"), ("'my", "my media"), ('"my', "my media"), ("my\\ m", "my\\ media")):
        assert asked(cli, "queue", "submit", "-q", typed, shell="bash")[0][0] == offered
    assert asked(cli, "queue", "submit", "--queue=gp")[0][0] == "gpu"


def test_parameters_are_those_of_the_template_that_are_not_given_yet(answering, cli):
    runtime = answering(template__show=ENCODE)

    found = asked(cli, "parameter", "submit", "--hold", "-q", "media", "encode", "-p", "crf=3", "-p", "")

    assert runtime.args("template.show") == {"name": "encode"}
    assert found == [("input=", "string, needed: the film"), ("preset=", "any"), ("two=", "boolean"), ("odd=", "any")]
    assert [row[0] for row in asked(cli, "parameter", "submit", "encode", "-p", "preset=s")] == ["preset=slow"]
    assert [row[0] for row in asked(cli, "parameter", "submit", "encode", "-p", "two=")] == ["two=true", "two=false"]
    assert asked(cli, "parameter", "submit", "-p", "") == []


def test_nothing_is_offered_and_nothing_said_where_there_is_no_answer(cli, home, monkeypatch):
    assert asked(cli, "queue", "submit", "-q", "") == []
    assert asked(cli, "no-such-kind", "x") == [] and cli(registry.COMPLETE).out == ""
    monkeypatch.setattr(candidates, "PATIENCE", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(os.fspath(home / "run" / "control.sock"))
        silent.listen()
        assert asked(cli, "queue", "submit", "-q", "") == []
    assert not (home / "taskdeck.db").exists()


def test_the_home_that_the_line_names_is_asked(answering, cli, home, monkeypatch):
    monkeypatch.setenv("TASKDECK_HOME", "/nowhere")
    answering(queue__ls=QUEUES)

    for named in (("--home", str(home)), (f"--home={home}",)):
        said = cli(registry.COMPLETE, "fish", "queue", "sudo", "/opt/bin/taskdeck", *named, "queue", "show", "g")
        assert said.out.startswith("gpu\t")


@pytest.fixture
def bash(answering, home: Path, tmp_path):
    """An interactive bash with the completion loaded, in a folder with a file."""
    answering(ls=listed(TASKS, 2, 2), queue__ls=QUEUES, template__show=ENCODE, template__ls=[{"name": "encode", "engine": "shell"}])
    (tmp_path / "film one.mkv").touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "taskdeck").write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m app "$@"\n')
    (tmp_path / "bin" / "taskdeck").chmod(0o700)
    (tmp_path / "rc").write_text(f"{script('bash')}\nPS1='> '\nbind 'set show-all-if-ambiguous on' 'set bell-style none'\n")
    env = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "TASKDECK_HOME": str(home), "HOME": str(tmp_path), "LC_ALL": "C.UTF-8",
           "TERM": "xterm-256color", "PYTHONPATH": os.getcwd()}  # fmt: skip
    with Terminal(["/bin/bash", "--rcfile", str(tmp_path / "rc"), "-i"], env, tmp_path, 100, 24) as terminal:
        terminal.wait(lambda t: ">" in t.lines)
        yield terminal


def test_a_tab_in_bash_completes_what_there_is_now(bash):
    for typed, shown in (
        ("submit enc", "submit encode "),
        ("submit encode -p inp", "submit encode -p input="),
        ("submit encode -p preset=s", "submit encode -p preset=slow "),
        ("submit encode -p input=fi", "submit encode -p input=film\\ one.mkv "),
        ("submit -q my", "submit -q my\\ media "),
        ("submit -q 'my", "submit -q 'my media' "),
        ("submit -q a:", "submit -q a:b "),
        ("submit --queue=g", "submit --queue=gpu "),
        ("submit -- base6", "submit -- base64 "),
        ("submit -- gzip fi", "submit -- gzip film\\ one.mkv "),
        ("cancel 1", "cancel 1042 "),
    ):
        line = f"> taskdeck {shown}"
        bash.type(f"\x15taskdeck {typed}\t")
        bash.wait(lambda t, line=line: t.lines[0] == line.rstrip() and t.screen.cursor.x == len(line))
        assert not any(bash.lines[1:])


def test_several_candidates_in_bash_stand_with_what_they_are(bash):
    bash.type("taskdeck logs \t")
    bash.wait("1042  (nightly etl, running)")

    bash.type("7\t").wait("taskdeck logs 7")
    assert "\x1b[2J" not in bash.text
