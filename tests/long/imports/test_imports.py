"""A short form of the long test: a disturbed import loses nothing and runs nothing twice."""

from __future__ import annotations

import os
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from app.cli.imports import pueue, take_over
from app.cli.imports.journal import TAKEN
from tests.long.imports.peers import GflowHome, PueueHome, SpoolerHome
from tests.long.imports.trial import ImportFaultError, run_trials

pytestmark = pytest.mark.process


@pytest.mark.skipif(not shutil.which("tsp"), reason="task-spooler is not installed")
def test_disturbed_imports_from_task_spooler_lose_nothing(runtime, tmp_path: Path):
    assert len(list(run_trials(runtime, SpoolerHome, tmp_path, 11))) >= 5


@pytest.fixture
def gflow_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the programs of gflow into PATH, from PyPI if they are not installed. Else skip."""
    if not shutil.which("tmux"):
        pytest.skip("tmux, in which gflow runs jobs, is not installed")
    if shutil.which("gflowd"):
        return
    venv.create(tmp_path / "venv", with_pip=True)
    programs = tmp_path / "venv" / "bin"
    done = subprocess.run([programs / "pip", "install", "-q", "runqd"], capture_output=True)
    if done.returncode:
        pytest.skip("runqd cannot be installed from PyPI")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")


def test_disturbed_imports_from_gflow_lose_nothing(gflow_programs, runtime, tmp_path: Path):
    assert len(list(run_trials(runtime, GflowHome, tmp_path, 17))) >= 2


def keep_there(self, items, journal):
    yield from ((item, TAKEN) for item in items)


FAULTS = {
    "leaves the tasks in pueue": (pueue.Pueue, "withdraw", keep_there),
    "releases what pueue has run": (take_over, "_find_mark", lambda *_: TAKEN),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_found(name: str, runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(*FAULTS[name])

    with pytest.raises(ImportFaultError):
        list(run_trials(runtime, PueueHome, tmp_path, 1))
