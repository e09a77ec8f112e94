"""A short form of the long test: a disturbed import loses nothing and runs nothing twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from app.cli.imports import pueue, take_over
from app.cli.imports.journal import TAKEN
from tests.long.imports.peers import PueueHome, SpoolerHome
from tests.long.imports.trial import ImportFaultError, run_trials

pytestmark = pytest.mark.process


@pytest.mark.skipif(not shutil.which("tsp"), reason="task-spooler is not installed")
def test_disturbed_imports_from_task_spooler_lose_nothing(runtime, tmp_path: Path):
    assert len(list(run_trials(runtime, SpoolerHome, tmp_path, 11))) >= 5


def keep_there(self, items, journal):
    yield from ((item, TAKEN) for item in items)


FAULTS = {
    "leaves the tasks in pueue": (pueue.Pueue, "withdraw", keep_there),
    "releases what pueue has run": (take_over, "_judge", lambda *_: TAKEN),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_are_found(name: str, runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(*FAULTS[name])

    with pytest.raises(ImportFaultError):
        list(run_trials(runtime, PueueHome, tmp_path, 1))
