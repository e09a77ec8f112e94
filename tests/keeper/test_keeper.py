"""Tests of the start of keeper and guard: the home, its files, the environment and signals."""

import os
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from app.keeper import keeper
from tests.runtime_process import is_alive


def test_a_second_keeper_of_a_home_exits(shared_home):
    assert shared_home.start_keeper() == 4
    assert shared_home.run_to_end("true")["code"] == 0


def test_an_unusable_home_is_reported(empty_home):
    empty_home.path.write_text("a file")

    assert empty_home.start_keeper() == 5


def test_a_home_with_a_very_long_path_works(tmp_path, empty_home):
    deep = tmp_path / ("d" * 120) / ("e" * 120)
    other = type(empty_home)(deep)
    try:
        assert other.start_keeper() == 0
        other.greet()
        assert other.run_to_end("sh", "-c", "exit 3")["code"] == 3
    finally:
        other.kill_all()


def test_files_are_private(shared_home):
    shared_home.run_to_end("true")
    run = shared_home.path / "run"

    folders = {
        stat.S_IMODE(path.stat().st_mode) for path in (shared_home.path, run, shared_home.journal)
    }
    files = {
        stat.S_IMODE(path.stat().st_mode)
        for path in [*run.glob("keeper*"), *shared_home.journal.iterdir()]
    }

    assert (folders, files) == ({0o700}, {0o600})


def test_neither_process_carries_the_environment_of_a_run(empty_home, monkeypatch):
    monkeypatch.setenv("TASKDECK_RUNID", "someone-elses")
    monkeypatch.setenv("TASKDECK_TASK", "7")

    assert empty_home.start_keeper() == 0
    empty_home.greet()

    for pid in (empty_home.hello["pid"], empty_home.hello["guard"]):
        assert b"TASKDECK" not in Path(f"/proc/{pid}/environ").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_an_ignorable_signal_ends_neither_process(shared_home, number):
    for one in ("pid", "guard"):
        os.kill(shared_home.hello[one], number)

    assert shared_home.run_to_end("true")["code"] == 0 and is_alive(shared_home.hello["guard"])


def test_keeper_and_guard_run_on_without_their_files(empty_home, tmp_path):
    source, copied = Path(keeper.__file__).parents[1], tmp_path / "old" / "app"
    shutil.copytree(source / "keeper", copied / "keeper")
    shutil.copy(source / "__init__.py", copied)
    program = copied / "keeper" / "keeper.py"
    subprocess.run([sys.executable, "-I", "-S", program, empty_home.path], check=True)
    empty_home.greet()
    shutil.rmtree(copied)
    failing = empty_home.run_to_end("sh", "-c", "exit 7", timeout=60, early=[10, 1])
    missing = empty_home.run_to_end("/no/such/program")
    for killed in ("pid", "guard"):
        empty_home.kill_one(killed)
        run = empty_home.spawn("sleep", "300")
        empty_home.send("stop", run=run, reason="cancel", grace=0)
        assert empty_home.wait_for_event("ended", run)["signal"] == signal.SIGKILL

    assert (failing["code"], missing["code"]) == (7, 127)
