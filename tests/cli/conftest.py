"""Fixtures of the command line tests: a command in this process, and a fake runtime."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from app.__main__ import _check_keys
from app.cli.main import run
from tests.cli.fake_control_server import FakeControlServer

collect_ignore = (
    [] if shutil.which("zsh") and shutil.which("fish") else ["completion/test_zsh_fish.py"]
)


class CommandResult(NamedTuple):
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(
    home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., CommandResult]:
    """Return a function that runs a command on the home, with `feed` as its stdin."""
    monkeypatch.setenv("TASKDECK_HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")

    def command(*words: str, feed: bytes = b"") -> CommandResult:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(feed)))
        none = _fail_if_called
        code = run(list(words), deck=none, serve=none, keys=_check_keys, agents=none)
        return CommandResult(code, *capfd.readouterr())

    return command


def _fail_if_called(*_: Any, **__: Any) -> int:
    raise AssertionError("neither deck nor runtime is wanted here")


@pytest.fixture
def fake_runtime(home: Path) -> Iterator[Callable[..., FakeControlServer]]:
    """Return a function that sets a fake runtime's answers.

    Dots in the verbs' names are written as double underscores.
    """
    runtime = FakeControlServer(home)

    def answer(**answers: Any) -> FakeControlServer:
        runtime.answers.update({verb.replace("__", "."): found for verb, found in answers.items()})
        return runtime

    yield answer
    runtime.close()
