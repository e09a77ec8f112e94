"""Starting, stopping and draining a runtime."""

from __future__ import annotations

import json
import os
import select
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from app import paths, runtime_launcher
from app.client import Client
from app.errors import Conflict, Problem
from app.keeper.marks import read_mark
from db.defaults import create_defaults
from db.maintenance import migrate
from tests.runtime_process import RuntimeProcess, is_alive, run_command, wait_until

RunCommand = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def stopped_runtime(module_runtime: RuntimeProcess) -> RuntimeProcess:
    """Return a home without a runtime, and without the mark of a manual stop."""
    if module_runtime.open_client(autostart=False).is_runtime_up():
        module_runtime.kill()
    Path(paths.get_stop_marker_path(module_runtime.home)).unlink(missing_ok=True)
    return module_runtime


def test_concurrent_starters_get_the_same_runtime(lazy_runtime: RuntimeProcess):
    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(
                lambda at: runtime_launcher.ensure_runtime(os.fspath(lazy_runtime.home)), range(4)
            )
        )
        pids = set(
            pool.map(
                lambda at: lazy_runtime.open_client().call("status")["runtime"]["pid"], range(4)
            )
        )

    assert len(pids) == 1
    log = Path(paths.get_runtime_log_path(lazy_runtime.home)).read_text()
    assert log.count("runtime up") == 1


def test_a_new_home_is_private_and_has_a_pool_and_a_queue(shared_runtime: RuntimeProcess):
    status = shared_runtime.call("status")

    assert [(q["name"], q["pool"], q["capacity"]) for q in status["queues"]] == [
        ("default", "default", 1000)
    ]
    assert [p["total_cpu"] for p in status["pools"]] == [len(os.sched_getaffinity(0))]
    modes = {
        path.relative_to(shared_runtime.home): path.stat().st_mode & 0o077
        for path in shared_runtime.home.rglob("*")
    }
    assert {path for path, open_ in modes.items() if open_} == set()


PREPARE_SCRIPT = """
import os, sys
from pathlib import Path
from app.home import setup
from app.home.lock import hold_lock
from db.maintenance import migrate

def wait_for_input(home):
    os.write(1, b"at work")
    os.read(0, 1)

setup.prepare_database = wait_for_input
migrate.HEAD = "0999"
with hold_lock(Path(sys.argv[1])):
    setup.prepare_in_subprocess(Path(sys.argv[1]))
"""


def test_a_start_killed_during_an_upgrade_releases_the_home(lazy_runtime: RuntimeProcess):
    path = Path(paths.get_database_path(lazy_runtime.home))
    migrate.migrate(path, create_defaults)
    migrate.migrate_to(path, migrate.REVISIONS[-2])
    argv = [sys.executable, "-c", PREPARE_SCRIPT, os.fspath(lazy_runtime.home)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None and killed.stdout.read(7) == b"at work"
        killed.kill()

    assert lazy_runtime.start() > 0


def test_a_home_is_private_and_usable_whatever_the_umask(home: Path):
    before = os.umask(0o777)
    try:
        paths.make_home(home / "inner")
    finally:
        os.umask(before)

    made = (home / "inner", home / "inner" / "run", home / "inner" / "runs")
    assert [oct(path.stat().st_mode & 0o777) for path in made] == ["0o700"] * 3


def test_stop_leaves_a_mark_that_only_a_person_removes(
    runtime: RuntimeProcess, run_cli: RunCommand
):
    runtime.wait_for_end(runtime.submit("true"))
    pid = runtime.pid
    assert run_cli("stop").returncode == 0
    wait_until(lambda: not is_alive(pid), "the runtime has ended")

    done = run_cli("submit", "--", "true")
    assert done.returncode == 4
    assert (
        "the runtime was stopped by" in done.stderr
        and f"taskdeck --home {runtime.home} serve --detach" in done.stderr
    )
    looked = run_cli("ls", "--json")
    assert (looked.returncode, len(json.loads(looked.stdout))) == (0, 1)
    assert runtime.call("status")["runtime"]["state"] == "stopped"
    assert [p for p in runtime.list_processes() if is_alive(p)] == []

    assert run_cli("serve", "--detach").returncode == 0
    assert run_cli("submit", "--", "true").stdout == "2\n"


def test_a_stop_that_cannot_leave_its_mark_is_refused(shared_runtime: RuntimeProcess):
    (shared_runtime.home / "run" / "stopped.new").mkdir()
    pid = shared_runtime.pid

    done = run_command(shared_runtime.home, "stop")

    assert done.returncode == 5 and "keeps running" in done.stderr and f"kill {pid}" in done.stderr
    (shared_runtime.home / "run" / "stopped.new").rmdir()
    assert shared_runtime.pid == pid and not os.path.exists(
        paths.get_stop_marker_path(shared_runtime.home)
    )


@pytest.mark.parametrize(("how", "code"), [("stop", paths.STOPPED_CODE), ("TERM", 0)])
def test_systemd_can_tell_a_stop_by_a_person(lazy_runtime: RuntimeProcess, how: str, code: int):
    shell = [
        "sh",
        "-c",
        'SYSTEMD_EXEC_PID=$$ exec "$@"',
        "-",
        sys.executable,
        "-P",
        "-m",
        "taskdeck",
        "--home",
        os.fspath(lazy_runtime.home),
    ]
    with subprocess.Popen(
        [*shell, "serve"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as unit:
        wait_until(lazy_runtime.client.is_runtime_up, "the unit's runtime up")
        lazy_runtime.call("stop") if how == "stop" else unit.terminate()

        assert unit.wait(20) == code


def test_a_drain_starts_nothing_and_ends_with_the_last_run(shared_runtime: RuntimeProcess):
    gate = shared_runtime.home / "gate"
    task = shared_runtime.submit("sh", "-c", f"until [ -e {gate} ]; do sleep 0.05; done")
    shared_runtime.wait_for_status(task, "running")
    pid = shared_runtime.pid
    shared_runtime.call("stop", drain=True)
    later = shared_runtime.submit("true")
    assert "draining" in shared_runtime.call("why", ids=[later])[0]["reasons"][0]["text"]

    gate.touch()

    wait_until(lambda: not is_alive(pid), "the drained runtime has ended")
    rows = {
        row["number"]: row["status"] for row in shared_runtime.open_client().call("ls")["tasks"]
    }
    assert rows | {int(task): "succeeded", int(later): "queued"} == rows


def test_a_stop_during_a_drain_starts_nothing(shared_runtime: RuntimeProcess):
    task = shared_runtime.submit("sh", "-c", "until [ -e over ]; do sleep 0.05; done")
    shared_runtime.wait_for_status(task, "running")
    pid = shared_runtime.pid
    shared_runtime.call("stop", drain=True)
    later = shared_runtime.submit("true")

    shared_runtime.call("stop")

    wait_until(lambda: not is_alive(pid), "the runtime has ended")
    assert shared_runtime.show(later)["status"] == "queued"
    (shared_runtime.home / "over").touch()


def test_a_runtime_keeps_no_variables_mark_and_descriptors_of_its_starter(
    stopped_runtime: RuntimeProcess, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TASKDECK_RUNID", "x")
    ours, its = os.pipe()
    os.set_inheritable(its, True)
    pid = stopped_runtime.start()
    os.close(its)

    assert b"TASKDECK_RUNID" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert read_mark(pid) not in (0, read_mark(os.getpid()))
    assert select.select([ours], [], [], 0) == ([ours], [], [])
    os.close(ours)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("UPDATE alembic_version SET version_num = '0999'", "newer than this program"),
        ("PRAGMA application_id = 7", "another program"),
    ],
)
def test_a_failed_start_is_explained_to_the_command(
    database_path: Path, run_cli: RunCommand, spoil: str, said: str
):
    with closing(sqlite3.connect(database_path)) as file:
        file.execute(spoil)
        file.commit()

    done = run_cli("submit", "--", "true")

    assert (done.returncode, done.stdout) == (5, "")
    assert said in done.stderr and done.stderr.startswith("taskdeck: ")
    assert "Traceback" not in done.stderr


def test_autostart_off_starts_no_runtime(lazy_runtime: RuntimeProcess):
    with pytest.raises(Conflict, match="no runtime is running.*taskdeck serve --detach"):
        lazy_runtime.open_client(autostart=False).call("submit", {"tasks": [{"argv": ["true"]}]})

    assert list(lazy_runtime.list_processes()) == []


def test_a_home_may_have_a_long_and_unusual_path(home: Path):
    odd = RuntimeProcess(home / ("x" * 200) / "sp ace\n'\"" / os.fsdecode(b"by\xfftes"))
    odd.home.parent.mkdir(parents=True)
    try:
        task = odd.submit("true")
        assert odd.wait_for_end(task)[0]["code"] == 0
    finally:
        odd.kill_all()


def test_a_home_that_cannot_be_created_is_reported(home: Path):
    (home / "file").touch()

    with pytest.raises(Problem, match="cannot be used: not a directory. Nothing was done") as told:
        Client(home / "file" / "below").call("submit", {"tasks": [{"argv": ["true"]}]})

    assert told.value.exit_code == 5


def test_a_job_survives_serve_replace_and_a_terminated_runtime(shared_runtime: RuntimeProcess):
    before = shared_runtime.pid
    gate = shared_runtime.home / "noticed"
    number = shared_runtime.submit(
        "sh", "-c", f"while [ ! -e '{gate}' ]; do sleep 0.05; done; exit 5"
    )
    job = shared_runtime.wait_for_status(number, "running")["instances"][0]["pid"]

    done = run_command(shared_runtime.home, "serve", "--detach", "--replace")

    assert done.returncode == 0, done.stderr
    assert shared_runtime.pid != before and not is_alive(before) and is_alive(job)
    began = time.monotonic()

    shared_runtime.kill(signal.SIGTERM)

    assert time.monotonic() - began < 5
    assert is_alive(job)
    assert not os.path.exists(paths.get_stop_marker_path(shared_runtime.home))
    assert shared_runtime.show(number)["status"] == "running"
    gate.touch()
    assert shared_runtime.wait_for_end(number)[0]["code"] == 5


def test_a_runtime_under_the_former_name_is_found_and_replaced(
    lazy_runtime: RuntimeProcess, tmp_path: Path
):
    home = os.fspath(lazy_runtime.home)
    former = [sys.executable, "-P", "-m", "app", "--home", home, "serve"]
    with subprocess.Popen(former, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as old:
        wait_until(lazy_runtime.client.is_runtime_up, "the former runtime up")
        number = lazy_runtime.submit("sh", "-c", "until [ -e over ]; do sleep 0.05; done; exit 5")
        lazy_runtime.wait_for_status(number, "running")

        doctor = run_command(lazy_runtime.home, "doctor").stdout
        neighbour = run_command(tmp_path / "neighbour", "doctor").stdout
        done = run_command(lazy_runtime.home, "serve", "--replace", "--detach")

        assert f"✓ runtime   pid {old.pid}\n" in doctor
        assert f"runtime pid {old.pid}, home {home}\n" in neighbour
        assert done.returncode == 0 and old.wait(60) == 0, done.stderr
    words = Path(f"/proc/{lazy_runtime.pid}/cmdline").read_text().split("\0")
    assert words[1:4] == ["-P", "-m", "taskdeck"]
    (lazy_runtime.home / "over").touch()
    assert lazy_runtime.wait_for_end(number)[0]["code"] == 5


def test_a_wait_survives_serve_replace(shared_runtime: RuntimeProcess):
    number, noted = shared_runtime.submit("true", hold=True), threading.Event()
    with ThreadPoolExecutor(1) as pool, closing(shared_runtime.open_client()) as waiter:
        waiting = pool.submit(waiter.call, "wait", {"ids": [number]}, lambda text: noted.set())
        assert noted.wait(60)
        done = run_command(shared_runtime.home, "serve", "--detach", "--replace")
        assert done.returncode == 0, done.stderr
        shared_runtime.call("release", ids=[number])

        assert waiting.result(60)[0]["code"] == 0


def test_serve_cancels_a_drain(shared_runtime: RuntimeProcess):
    task = shared_runtime.submit("sh", "-c", "until [ -e better ]; do sleep 0.05; done")
    shared_runtime.wait_for_status(task, "running")
    shared_runtime.call("stop", drain=True)
    waiting = shared_runtime.submit("true")

    assert run_command(shared_runtime.home, "serve", "--detach").returncode == 0

    assert shared_runtime.wait_for_end(waiting)[0]["code"] == 0
    assert not Path(paths.get_stop_marker_path(shared_runtime.home)).exists()
    (shared_runtime.home / "better").touch()
    shared_runtime.wait_for_end(task)


def test_an_interrupted_drain_is_no_success(shared_runtime: RuntimeProcess):
    task = shared_runtime.submit("sh", "-c", "until [ -e short ]; do sleep 0.05; done")
    shared_runtime.wait_for_status(task, "running")
    with ThreadPoolExecutor(1) as pool:
        drain = pool.submit(run_command, shared_runtime.home, "stop", "--drain")
        wait_until(lambda: shared_runtime.call("status")["runtime"]["halted"], "it drains")
        shared_runtime.kill()
        said = drain.result()
    (shared_runtime.home / "short").touch()

    assert (said.returncode, "1 task still runs" in said.stderr) == (1, True)


def _block_signals() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})


def test_ignored_or_blocked_signals_of_the_shell_reach_the_runtime(stopped_runtime: RuntimeProcess):
    said = run_command(
        stopped_runtime.home, "submit", "--", "sh", "-c", "exit 3", preexec_fn=_block_signals
    )
    assert said.returncode == 0, said.stderr

    assert stopped_runtime.wait_for_end(said.stdout.strip())[0]["code"] == 3
    status = dict(
        line.split(":\t")
        for line in Path(f"/proc/{stopped_runtime.pid}/status").read_text().splitlines()
        if ":\t" in line
    )
    assert int(status["SigBlk"], 16) == 0
    assert not int(status["SigIgn"], 16) >> signal.SIGCHLD - 1 & 1


def test_wait_continues_without_a_runtime_and_answers_for_ended_tasks(
    shared_runtime: RuntimeProcess,
):
    over, going = (
        shared_runtime.submit("sh", "-c", "exit 4"),
        shared_runtime.submit("sh", "-c", "until [ -e waited ]; do sleep 0.05; done; exit 7"),
    )
    shared_runtime.wait_for_end(over)
    shared_runtime.wait_for_status(going, "running")
    assert run_command(shared_runtime.home, "stop").returncode == 0

    assert run_command(shared_runtime.home, "wait", over).returncode == 4
    limited = run_command(shared_runtime.home, "wait", going, "--timeout", "0.2")
    assert (limited.returncode, "no runtime was started" in limited.stderr) == (6, True)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run_command, shared_runtime.home, "wait", going)
        (shared_runtime.home / "waited").touch()
        assert run_command(shared_runtime.home, "serve", "--detach").returncode == 0
        assert waiting.result().returncode == 7
