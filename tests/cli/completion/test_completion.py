"""Tests of shell completion: the scripts, and candidates from the runtime."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import registry
from app.cli.commands.completion import build_script
from app.cli.completion import candidates
from tests.acceptance.terminal import Terminal
from tests.cli.builders import make_group, make_list_answer, make_task

TASKS = [make_task(1042, "nightly etl", "running"), make_task(7, "\x1b[2Jevil", "held")]
QUEUES = [
    {"name": name, "current_load": 1, "capacity": 2, "waiting": 0}
    for name in ("my media", "a:b", "gpu", "e\u202evil")
]
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


def complete_in_bash(text: str, line: str) -> list[str]:
    """Return bash's completions at the end of a line."""
    words = line.split(" ")
    ask = (
        f"COMP_WORDS=({' '.join(map(repr, words))}); COMP_CWORD={len(words) - 1};"
        f" COMP_LINE={line!r}; COMP_POINT={len(line)}"
    )
    code = f'{text}\n{ask}\n_taskdeck taskdeck "{words[-1]}"\nprintf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.process
def test_bash_completes_verbs_subcommands_and_options(cli):
    text = cli("completion", "bash").out

    assert complete_in_bash(text, "taskdeck su") == ["submit"]
    assert complete_in_bash(text, "taskdeck queue dra") == ["drain"]
    assert complete_in_bash(text, "taskdeck submit --prio") == ["--priority"]
    assert complete_in_bash(text, "taskdeck ls --status fa") == ["failed"]
    assert complete_in_bash(text, "taskdeck ls -o n") == ["name"]
    assert complete_in_bash(text, "taskdeck sla create fresh --metric re") == ["replica-lag"]
    assert complete_in_bash(text, "taskdeck cancel -s US") == ["USR1", "USR2"]
    assert complete_in_bash(text, "taskdeck help tro") == ["troubleshooting"]
    assert complete_in_bash(text, "taskdeck help qu") == ["queue"]


@pytest.mark.process
def test_bash_accepts_the_script(cli):
    text = cli("completion", "bash").out

    done = subprocess.run(
        ["bash", "-c", f"{text}\ncomplete -p taskdeck"], capture_output=True, text=True, check=True
    )

    assert done.stdout.endswith("-F _taskdeck taskdeck\n")


def test_zsh_and_fish_scripts_contain_verbs_and_options(cli):
    zsh, fish = cli("completion", "zsh").out, cli("completion", "fish").out

    assert zsh.startswith("#compdef taskdeck")
    for text in (zsh, fish):
        assert all(
            word in text
            for word in (
                "submit",
                "drain",
                "retry-delay",
                "queue a command, a shell script or a template",
            )
        )
    assert (
        '"*:number, uuid or name of a task, or a group:{_taskdeck_names task:cancel}"' in zsh
        and "{--queue=,-q}" in zsh
    )
    assert (
        '-xka "(__taskdeck_names parameter)"' in fish and "(__taskdeck_names task:cancel)" in fish
    )


def test_every_shell_offers_topics_and_commands_after_help(cli):
    for shell in ("bash", "zsh", "fish"):
        said = cli("completion", shell).out
        offered = next(line for line in said.splitlines() if "troubleshooting" in line)
        assert "exit-codes" in offered and "instances" in offered, shell


def test_hidden_options_are_not_offered(cli):
    for shell in ("bash", "zsh", "fish"):
        assert "ready-fd" not in cli("completion", shell).out
    assert registry.COMPLETE_COMMAND not in cli("--help").out


def list_candidates(cli, kind, *line, shell="fish"):
    """Return the candidates of a kind with their descriptions."""
    said = cli(registry.COMPLETE_COMMAND, shell, kind, "taskdeck", *line)
    assert (said.code, said.err) == (0, "")
    return [tuple(row.split("\t")) for row in said.out.splitlines()]


GROUP = ("g12", "grid ␛[2J, 37/100")


def test_task_numbers_come_with_names(fake_runtime, cli):
    runtime = fake_runtime(ls=make_list_answer(TASKS, 2, 2), group__ls=[make_group(12, "running")])

    assert list_candidates(cli, "task:cancel", "cancel", "") == [
        ("1042", "nightly etl, running"),
        ("7", "␛[2Jevil, held"),
        GROUP,
    ]
    assert (
        "succeeded" not in runtime.get_last_args("ls")["status"]
        and "held" in runtime.get_last_args("ls")["status"]
    )
    assert list_candidates(cli, "task:cancel", "cancel", "1042", "g12", "") == [
        ("7", "␛[2Jevil, held")
    ]
    assert list_candidates(cli, "task:show", "show", "10") == [("1042", "nightly etl, running")]
    assert "status" not in runtime.get_last_args("ls")


def test_backup_arguments_offer_backups_and_no_tasks(fake_runtime, cli):
    fake_runtime(
        db__backups=[
            {"id": "20260101T000000Z-full", "kind": "full", "bytes": 4096},
            {"id": "x\x1b", "kind": "full", "bytes": 1},
        ]
    )

    assert list_candidates(cli, "backup", "db", "restore", "") == [
        ("20260101T000000Z-full", "full, 4.0K")
    ]
    for shell in ("bash", "zsh", "fish"):
        text = cli("completion", shell).out
        assert "taskdeck_names backup" in text and "task:db" not in text


def test_the_ids_of_silences_are_offered_to_end_them(fake_runtime, cli):
    fake_runtime(alert__silences=[{"id": "s3", "words": "queue gpu*"}])

    assert list_candidates(cli, "silence", "alert", "unsilence", "") == [("s3", "queue gpu*")]
    assert "taskdeck_names silence" in cli("completion", "bash").out


def test_untypable_names_are_left_out_and_others_quoted_for_bash(fake_runtime, cli):
    fake_runtime(queue__ls=QUEUES)

    assert [name for name, _ in list_candidates(cli, "queue", "submit", "-q", "")] == [
        "my media",
        "a:b",
        "gpu",
    ]
    for typed, offered in (
        ("my", "my\\ media"),
        ("'my", "my media"),
        ('"my', "my media"),
        ("my\\ m", "my\\ media"),
    ):
        assert list_candidates(cli, "queue", "submit", "-q", typed, shell="bash")[0][0] == offered
    assert list_candidates(cli, "queue", "submit", "--queue=gp")[0][0] == "gpu"


def test_parameters_not_yet_given_are_offered(fake_runtime, cli):
    runtime = fake_runtime(template__show=ENCODE)

    found = list_candidates(
        cli, "parameter", "submit", "--hold", "-q", "media", "encode", "-p", "crf=3", "-p", ""
    )

    assert runtime.get_last_args("template.show") == {"name": "encode"}
    assert found == [
        ("input=", "string, required: the film"),
        ("preset=", "any"),
        ("two=", "boolean"),
        ("odd=", "any"),
    ]
    assert [
        row[0] for row in list_candidates(cli, "parameter", "submit", "encode", "-p", "preset=s")
    ] == ["preset=slow"]
    assert [
        row[0] for row in list_candidates(cli, "parameter", "submit", "encode", "-p", "two=")
    ] == ["two=true", "two=false"]
    assert list_candidates(cli, "parameter", "submit", "-p", "") == []


def test_nothing_is_offered_or_printed_without_a_runtime(cli, home, monkeypatch):
    assert list_candidates(cli, "queue", "submit", "-q", "") == []
    assert (
        list_candidates(cli, "no-such-kind", "x") == [] and cli(registry.COMPLETE_COMMAND).out == ""
    )
    monkeypatch.setattr(candidates, "TIMEOUT", 0.05)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(os.fspath(home / "run" / "control.sock"))
        silent.listen()
        assert list_candidates(cli, "queue", "submit", "-q", "") == []
    assert not (home / "taskdeck.db").exists()


def test_the_home_on_the_line_is_asked(fake_runtime, cli, home, monkeypatch):
    monkeypatch.setenv("TASKDECK_HOME", "/nowhere")
    fake_runtime(queue__ls=QUEUES)

    for named in (("--home", str(home)), (f"--home={home}",)):
        said = cli(
            registry.COMPLETE_COMMAND,
            "fish",
            "queue",
            "sudo",
            "/opt/bin/taskdeck",
            *named,
            "queue",
            "show",
            "g",
        )
        assert said.out.startswith("gpu\t")


@pytest.fixture
def bash(fake_runtime, home: Path, tmp_path):
    """Yield an interactive bash with the completion loaded, in a folder with a file."""
    fake_runtime(
        ls=make_list_answer(TASKS, 2, 2),
        group__ls=[],
        queue__ls=QUEUES,
        template__show=ENCODE,
        template__ls=[{"name": "encode", "engine": "shell"}],
    )
    (tmp_path / "film one.mkv").touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "taskdeck").write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -P -m taskdeck "$@"\n'
    )
    (tmp_path / "bin" / "taskdeck").chmod(0o700)
    (tmp_path / "rc").write_text(
        f"{build_script('bash')}\nPS1='> '\nbind 'set show-all-if-ambiguous on' 'set bell-style"
        " none'\n"
    )
    env = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "TASKDECK_HOME": str(home),
    "HOME": str(tmp_path), "LC_ALL": "C.UTF-8",
           "TERM": "xterm-256color", "PYTHONPATH": os.getcwd()}  # fmt: skip
    with Terminal(
        ["/bin/bash", "--rcfile", str(tmp_path / "rc"), "-i"], env, tmp_path, 100, 24
    ) as terminal:
        terminal.wait(lambda t: ">" in t.lines)
        yield terminal


@pytest.mark.process
def test_a_tab_in_bash_completes_current_names(bash):
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
        bash.wait(
            lambda t, line=line: t.lines[0] == line.rstrip() and t.screen.cursor.x == len(line)
        )
        assert not any(bash.lines[1:])


@pytest.mark.process
def test_several_candidates_in_bash_have_descriptions(bash):
    bash.type("taskdeck logs \t")
    bash.wait("1042  (nightly etl, running)")

    bash.type("7\t").wait("taskdeck logs 7")
    assert "\x1b[2J" not in bash.text
