"""The command line in this process, and a runtime that answers it."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from app.__main__ import _keys
from app.cli.main import run
from tests.cli.fake_runtime import Answering

collect_ignore = [] if shutil.which("zsh") and shutil.which("fish") else ["completion/test_zsh_fish.py"]


class Said(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(
    home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Said]:
    """Run a command on the home; `feed` is its stdin."""
    monkeypatch.setenv("TASKDECK_HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")

    def command(*words: str, feed: bytes = b"") -> Said:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(feed)))
        code = run(list(words), deck=_not_here, serve=_not_here, keys=_keys)
        return Said(code, *capfd.readouterr())

    return command


def _not_here(*_: Any, **__: Any) -> int:
    raise AssertionError("neither deck nor runtime is wanted here")


@pytest.fixture
def answering(home: Path) -> Iterator[Callable[..., Answering]]:
    """Let a runtime answer the given verbs (dots in their names as double underscores), from now on in this way."""
    runtime = Answering(home)

    def answer(**answers: Any) -> Answering:
        runtime.answers.update({verb.replace("__", "."): found for verb, found in answers.items()})
        return runtime

    yield answer
    runtime.close()
