"""Tests that a forked command behaves like a new process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import fork_server


@pytest.mark.parametrize(
    ("words", "fed"),
    [
        (["ls", "--json"], ""),
        (["show", "7"], ""),
        (["lss"], ""),
        (["submit", "--each", "--", "true"], "ü\n" * 9000),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_a_forked_command_behaves_like_a_new_process(home: Path, words: list[str], fed: str):
    # prevents the command from starting a runtime
    (home / "run" / "stopped").write_text("ann\t2026-11-01T10:00:00Z\n")
    env = {
        "PATH": os.environ["PATH"],
        "TASKDECK_HOME": os.fspath(home),
        "LANG": "C.UTF-8",
        "TZ": "Asia/Kathmandu",
    }
    argv = [sys.executable, "-P", "-m", "app", *words]
    fresh = subprocess.run(
        argv, capture_output=True, text=True, check=False, env=env, cwd=home, input=fed
    )

    done = fork_server.run(words, home, env, home, fed) or fork_server.run(
        words, home, env, home, fed
    )

    assert done is not None and done.args == ["taskdeck", *words]
    assert (done.returncode, done.stdout, done.stderr) == (
        fresh.returncode,
        fresh.stdout,
        fresh.stderr,
    )


def test_only_known_verbs_with_short_input_are_forked(home: Path):
    env = {"PATH": os.environ["PATH"], "TASKDECK_HOME": os.fspath(home)}

    assert fork_server.run(["nosuch", "verb"], home, env, home) is None
    assert (
        done := fork_server.run(["nosuch", "verb"], home, env, home)
    ) is not None and done.returncode == 2
    assert (
        fork_server.run(["nosuch", "verb"], home, env, home, "x" * (fork_server.MAX_REQUEST + 1))
        is None
    )
