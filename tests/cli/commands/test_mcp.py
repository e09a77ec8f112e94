"""`taskdeck mcp`: what the command line checks before it serves an agent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.main import run
from app.extras import make_install_command


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["mcp"], {"name": "agent", "read_only": False}),
        (["mcp", "--client", "a.b-1", "--read-only"], {"name": "a.b-1", "read_only": True}),
        (["--read-only", "mcp"], {"name": "agent", "read_only": True}),
    ],
)
def test_the_agent_gets_name_and_rights(
    home: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], expected: dict[str, object]
):
    monkeypatch.setattr("sys.stdin", None)
    calls: list[dict[str, object]] = []

    def serve(home: str, **options: object) -> int:
        calls.append(options)
        return 0

    def fail(*_: object, **__: object) -> int:
        raise AssertionError

    run(["--home", str(home), *words], deck=fail, serve=fail, keys=lambda _: [], agents=serve)

    assert [{name: call[name] for name in expected} for call in calls] == [expected]


def test_a_name_that_is_not_plain_is_refused(cli):
    said = cli("mcp", "--client", "a b")

    assert said.code == 2 and "--client must have at most 40 letters" in said.err


def test_a_terminal_is_told_how_to_set_up_an_agent(cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("app.cli.output.is_stdin_terminal", lambda: True)
    said = cli("mcp")

    assert said.code == 2 and "To set one up: taskdeck help agents" in said.err


@pytest.mark.process
def test_a_missing_sdk_is_told_with_the_command_to_install_it(home: Path):
    code = (
        "import sys; sys.modules['mcp_types'] = sys.modules['mcp'] = None;"
        "sys.argv = ['taskdeck', 'mcp']; from app.__main__ import main; main()"
    )
    env = os.environ | {"TASKDECK_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, input=""
    )

    assert done.returncode == 4
    assert "not installed: mcp." in done.stderr
    assert make_install_command("mcp") in done.stderr
