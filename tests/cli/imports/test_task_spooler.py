"""Tests of the import from a real server of task-spooler."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile

import pytest

from app.cli.imports import task_spooler
from tests.runtime_process import wait_until

pytestmark = pytest.mark.process
needs_tsp = pytest.mark.skipif(not shutil.which("tsp"), reason="task-spooler is not installed")


@pytest.fixture
def tsp(tmp_path, monkeypatch):
    """Return a function that calls tsp; job 0 runs and keeps the others waiting."""
    sockets = tempfile.TemporaryDirectory(prefix="td-")  # a path of at most 107 bytes
    monkeypatch.setenv("TS_SOCKET", f"{sockets.name}/gpu.sock")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> str:
        done = subprocess.run(
            ["tsp", *words], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        return done.stdout.decode().strip()

    call("sleep", "600")
    # The server cannot kill a job whose pid it has not heard yet.
    wait_until(lambda: call("-p", "0") not in ("", "0"))
    yield call
    call("-k", "0")
    call("-K")
    sockets.cleanup()


def list_waiting(tsp) -> list[str]:
    rows = [line.split() for line in tsp("-l").splitlines()[1:]]
    return [row[0] for row in rows if row[1] == "queued"]


@needs_tsp
def test_queued_jobs_are_taken_over_with_their_exact_words(cli, runtime, tsp, tmp_path):
    tsp("-L", "words", "sh", "-c", 'printf "<%s>" "$@"; pwd; echo "$KEY"', "x", "a  b", "", "\n")
    tsp("-d", "-E", "true")
    tsp("-D", "0", "true")

    done = cli("import", "task-spooler", "--apply", "--json")

    first, second = [item for item in json.loads(done.out)["items"] if item["number"]]
    assert (first["name"], first["queue"]) == ("words", "task-spooler-gpu")
    assert second["options"] == ["--after", str(first["number"]), "--split"]
    assert list_waiting(tsp) == ["3"]  # it depends on the running job
    runtime.wait_for_end(str(first["number"]), str(second["number"]))
    assert cli("logs", str(first["number"])).out == f"<a  b><><\n>{tmp_path}\n\n"


@needs_tsp
def test_a_preview_changes_nothing(cli, home, tsp):
    tsp("-n", "-N", "2", "make", "all")

    done = cli("--read-only", "import", "task-spooler")

    assert "new, capacity 1 (-S 1)" in done.out
    assert "--cpu 2" in done.out
    assert "1: -n: the output is kept, as the log of the task" in done.out
    assert "0: runs there, and ends there: sleep 600" in done.out
    assert list_waiting(tsp) == ["1"]
    assert not (home / "taskdeck.db").exists()


@needs_tsp
def test_a_stopped_client_goes_on_if_the_job_cannot_be_removed(cli, runtime, tsp, monkeypatch):
    tsp("true")
    run_program = task_spooler.run_program

    def fail(command, *more):
        found = run_program(command if "-r" not in command else ["false"], *more)
        return found

    monkeypatch.setattr(task_spooler, "run_program", fail)
    done = cli("import", "task-spooler", "--apply", "--json")

    assert [item["outcome"] for item in json.loads(done.out)["items"]] == ["stays", "stays"]
    tsp("-k", "0")
    wait_until(lambda: tsp("-s", "1") == "finished")
    assert [row["status"] for row in runtime.call("ls")["tasks"]] == ["cancelled"]


@needs_tsp
def test_a_client_that_was_left_stopped_goes_on(tsp):
    tsp("true")
    peer = task_spooler.TaskSpooler()
    client = max(peer._list_clients(), key=lambda client: client.pid)
    os.kill(client.pid, signal.SIGSTOP)

    peer.recover()

    tsp("-k", "0")
    wait_until(lambda: tsp("-s", "1") == "finished")


@pytest.mark.parametrize("name", ["none", "file"])
def test_a_missing_server_is_reported_and_not_started(cli, tmp_path, monkeypatch, name):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TS_SOCKET", str(tmp_path / name))

    done = cli("import", "task-spooler")

    assert done.code == 3
    assert "no server of task-spooler answers" in done.err
    assert not (tmp_path / "none").exists()
