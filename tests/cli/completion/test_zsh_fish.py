"""Tests of the completion in zsh and fish, where installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.commands.completion import build_script
from tests.acceptance.terminal import Terminal
from tests.cli.builders import make_list_answer, make_task

pytestmark = pytest.mark.process

ENCODE = {
    "parameters": {
        "properties": {"input": {"type": "string"}, "preset": {"enum": ["fast", "slow"]}}
    }
}
SETUPS = {
    "zsh": (
        "-f",
        (
            "PS1='> '; fpath=($HOME/scripts $fpath); autoload -U compinit; compinit -u -D;"
            " PS1='ready> '"
        ),
    ),
    "fish": (
        "--no-config",
        "function fish_prompt; echo 'ready> '; end; source $HOME/scripts/taskdeck.fish",
    ),
}


@pytest.fixture(params=["zsh", "fish"])
def shell(request, fake_runtime, home, tmp_path):
    """Yield an interactive shell with the completion loaded, in a folder with a file."""
    queues = [
        {"name": name, "current_load": 1, "capacity": 2, "waiting": 0}
        for name in ("my media", "gpu")
    ]
    tasks = make_list_answer(
        [make_task(1042, "nightly", "running"), make_task(77, "other", "held")], 2, 2
    )
    fake_runtime(
        ls=tasks,
        group__ls=[],
        queue__ls=queues,
        template__show=ENCODE,
        template__ls=[{"name": "encode", "engine": "shell"}],
    )
    for folder in ("bin", "scripts"):
        (tmp_path / folder).mkdir()
    (tmp_path / "film one.mkv").touch()
    (tmp_path / "bin" / "taskdeck").write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -P -m taskdeck "$@"\n'
    )
    (tmp_path / "bin" / "taskdeck").chmod(0o700)
    (
        tmp_path / "scripts" / {"zsh": "_taskdeck", "fish": "taskdeck.fish"}[request.param]
    ).write_text(build_script(request.param))
    env = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin", "TASKDECK_HOME": str(home),
    "HOME": str(tmp_path), "LC_ALL": "C.UTF-8",
           "TERM": "xterm-256color", "PYTHONPATH": os.getcwd()}  # fmt: skip
    option, setup = SETUPS[request.param]
    with Terminal([f"/usr/bin/{request.param}", option, "-i"], env, tmp_path, 160, 24) as terminal:
        terminal.wait(lambda t: t.text.strip())
        terminal.type(f"{setup}\r").wait(lambda t: t.lines[t.screen.cursor.y].startswith("ready>"))
        yield terminal


def test_a_tab_completes_current_names(shell):
    for typed, shown in (
        ("taskdeck submit enc", "taskdeck submit encode"),
        ("taskdeck submit encode -p inp", "taskdeck submit encode -p input="),
        ("taskdeck submit encode -p preset=s", "taskdeck submit encode -p preset=slow"),
        ("taskdeck submit encode -p input=fi", "taskdeck submit encode -p input=film\\ one.mkv"),
        ("taskdeck submit -q my", "taskdeck submit -q my\\ media"),
        ("taskdeck submit --queue=g", "taskdeck submit --queue=gpu"),
        ("taskdeck submit -- gzip fi", "taskdeck submit -- gzip film\\ one.mkv"),
        ("taskdeck cancel 1042 7", "taskdeck cancel 1042 77"),
        ("taskdeck ls --status fai", "taskdeck ls --status failed"),
    ):
        shell.type(f"\x15{typed}").wait(
            lambda t, typed=typed: t.lines[t.screen.cursor.y].endswith(typed)
        )
        shell.type("\t").wait(lambda t, shown=shown: t.lines[t.screen.cursor.y].endswith(shown))


@pytest.mark.parametrize("begun", ["autoload -U compinit; compinit -u -D; ", ""])
def test_zsh_completes_with_a_sourced_script(tmp_path: Path, begun: str):
    (tmp_path / "script").write_text(build_script("zsh"))
    text = f"{begun}source <(cat script); print $_comps[taskdeck]"

    env = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(
        ["zsh", "-f", "-c", text], cwd=tmp_path, env=env, capture_output=True, text=True
    )

    assert done.stdout == "_shtab_taskdeck\n", done.stderr


def test_several_candidates_have_descriptions(shell):
    shell.type("taskdeck logs \t").wait("nightly, running")

    assert "other, held" in shell.text
