"""Tests that a forked command behaves like a new process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import fork_server
from tests.acceptance.acceptance_home import AcceptanceHome
from tests.acceptance.conftest import acceptance_home as acceptance_home
from tests.acceptance.terminal import Terminal


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
    argv = [sys.executable, "-P", "-m", "taskdeck", *words]
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


@pytest.mark.parametrize("words", [["ls"], ["lss"]], ids=" ".join)
def test_a_forked_program_on_a_terminal_behaves_like_a_new_process(
    home: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
):
    (home / "run" / "stopped").write_text("ann\t2026-11-01T10:00:00Z\n")
    env = {"PATH": os.environ["PATH"], "TASKDECK_HOME": os.fspath(home), "LANG": "C.UTF-8"}
    monkeypatch.setattr(fork_server, "_is_first_use", lambda verb: False)
    argv, seen = [fork_server.PROGRAM, *words], []
    for is_forked in (True, False):
        if not is_forked:
            monkeypatch.setattr(fork_server, "start_on_terminal", lambda *given: None)
        with Terminal(argv, {**env, "TERM": "xterm-256color"}, home) as terminal:
            assert (terminal.forked is not None) == is_forked
            seen.append((terminal.end(), terminal.text))

    assert seen[0] == seen[1] and seen[0][1]


def test_a_forked_deck_leads_a_session_and_shows_its_command(acceptance_home: AcceptanceHome):
    acceptance_home.run_ok("serve", "--detach")
    with acceptance_home.open_terminal(), acceptance_home.open_terminal() as deck:
        deck.wait("1 Queues")
        shown = Path(f"/proc/{deck.pid}")
        words = shown.joinpath("cmdline").read_bytes().split(b"\0")
        assert deck.forked and os.getsid(deck.pid) == deck.pid
        assert words[-2:] == [os.fsencode(fork_server.PROGRAM), b""]
        assert os.fsencode(f"TASKDECK_HOME={acceptance_home.home}") in shown.joinpath(
            "environ"
        ).read_bytes().split(b"\0")
        deck.hang_up()
        assert deck.is_ended_unread()
