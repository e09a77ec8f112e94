"""A runtime comes up when somebody needs it, once, and ends when it is told to."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from app import paths, runtime_launcher
from app.client import Client
from app.errors import Conflict, Problem
from tests.db.maintenance.upgrades import old
from tests.runtime_process import Living, alive, command, until

Td = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def down(shared: Living) -> Living:
    """That home with no runtime up, as the test before leaves it, and none that was stopped on purpose."""
    if shared.another(autostart=False).runtime_up():
        shared.kill()
    Path(paths.stopped_mark(shared.home)).unlink(missing_ok=True)
    return shared


def test_whoever_starts_it_at_the_same_moment_meets_the_same_runtime(living: Living):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda at: runtime_launcher.runtime(os.fspath(living.home)), range(4)))
        pids = set(pool.map(lambda at: living.another().call("status")["runtime"]["pid"], range(4)))

    assert len(pids) == 1
    log = Path(paths.runtime_log(living.home)).read_text()
    assert log.count("runtime up") == 1


def test_a_fresh_home_has_a_pool_and_a_queue_and_is_private(up: Living):
    status = up.call("status")

    assert [(q["name"], q["pool"], q["capacity"]) for q in status["queues"]] == [
        ("default", "default", len(os.sched_getaffinity(0)))
    ]
    assert [p["total_cpu"] for p in status["pools"]] == [len(os.sched_getaffinity(0))]
    modes = {path.relative_to(up.home): path.stat().st_mode & 0o077 for path in up.home.rglob("*")}
    assert {path for path, open_ in modes.items() if open_} == set()


PREPARES = """
import os, sys
from pathlib import Path
from app.home import setup as fresh
from app.home.lock import hold_lock
from db.maintenance import migrate

def at_work(home):
    os.write(1, b"at work")
    os.read(0, 1)

fresh.prepare = at_work
migrate.HEAD = "0002"
with hold_lock(Path(sys.argv[1])):
    fresh.prepare_apart(Path(sys.argv[1]))
"""


def test_one_killed_while_it_upgrades_the_database_leaves_nothing_behind_that_holds_the_home(living: Living, tmp_path: Path):
    shutil.copy(old(tmp_path), paths.database(living.home))
    argv = [sys.executable, "-c", PREPARES, os.fspath(living.home)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None and killed.stdout.read(7) == b"at work"
        killed.kill()

    assert living.start() > 0


def test_a_home_is_private_and_usable_whatever_the_umask(home: Path):
    before = os.umask(0o777)
    try:
        paths.make_home(home / "inner")
    finally:
        os.umask(before)

    made = (home / "inner", home / "inner" / "run", home / "inner" / "runs")
    assert [oct(path.stat().st_mode & 0o777) for path in made] == ["0o700"] * 3


def test_stop_ends_it_and_leaves_a_mark_that_only_a_person_lifts(runtime: Living, td: Td):
    runtime.submit("true")
    pid = runtime.pid
    assert td("stop").returncode == 0
    until(lambda: not alive(pid), "the runtime has ended")

    done = td("submit", "--", "true")
    assert done.returncode == 4
    assert "the runtime was stopped by" in done.stderr and f"taskdeck --home {runtime.home} serve --detach" in done.stderr
    looked = td("ls", "--json")
    assert (looked.returncode, len(json.loads(looked.stdout))) == (0, 1)
    assert runtime.call("status")["runtime"]["state"] == "stopped"
    assert [p for p in runtime.processes() if alive(p)] == []

    assert td("serve", "--detach").returncode == 0
    assert td("submit", "--", "true").stdout == "2\n"


def test_a_stop_that_cannot_leave_its_mark_is_refused_and_the_runtime_goes_on(up: Living):
    (up.home / "run" / "stopped.new").mkdir()
    pid = up.pid

    done = command(up.home, "stop")

    assert done.returncode == 5 and "It goes on." in done.stderr and f"kill {pid}" in done.stderr
    (up.home / "run" / "stopped.new").rmdir()
    assert up.pid == pid and not os.path.exists(paths.stopped_mark(up.home))


@pytest.mark.parametrize(("how", "code"), [("stop", paths.STOPPED_CODE), ("TERM", 0)])
def test_systemd_learns_that_it_was_stopped_by_a_person(living: Living, how: str, code: int):
    shell = ["sh", "-c", 'SYSTEMD_EXEC_PID=$$ exec "$@"', "-", sys.executable, "-P", "-m", "app", "--home", os.fspath(living.home)]
    with subprocess.Popen([*shell, "serve"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as unit:
        until(living.client.runtime_up, "the unit's runtime up")
        living.call("stop") if how == "stop" else unit.terminate()

        assert unit.wait(20) == code


def test_a_drain_starts_nothing_more_and_ends_when_the_last_run_has(up: Living):
    gate = up.home / "gate"
    task = up.submit("sh", "-c", f"until [ -e {gate} ]; do sleep 0.05; done")
    up.reach(task, "running")
    pid = up.pid
    up.call("stop", drain=True)
    later = up.submit("true")
    assert "draining" in up.call("why", ids=[later])[0]["reasons"][0]["text"]

    gate.touch()

    until(lambda: not alive(pid), "the drained runtime has ended")
    rows = {row["number"]: row["status"] for row in up.another().call("ls")["tasks"]}
    assert rows | {int(task): "succeeded", int(later): "queued"} == rows


def test_a_runtime_keeps_none_of_our_variables_and_descriptors(down: Living, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TASKDECK_RUNID", "x")
    ours, its = os.pipe()
    os.set_inheritable(its, True)
    pid = down.start()
    os.close(its)

    assert b"TASKDECK_RUNID" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert select.select([ours], [], [], 0) == ([ours], [], [])
    os.close(ours)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("UPDATE alembic_version SET version_num = '0999'", "newer than this program"),
        ("PRAGMA application_id = 7", "another program"),
    ],
)
def test_a_runtime_that_cannot_start_says_why_to_the_command_that_wanted_it(
    database: Path, td: Td, spoil: str, said: str
):
    with closing(sqlite3.connect(database)) as file:
        file.execute(spoil)
        file.commit()

    done = td("submit", "--", "true")

    assert (done.returncode, done.stdout) == (5, "")
    assert said in done.stderr and done.stderr.startswith("taskdeck: ")
    assert "Traceback" not in done.stderr


def test_autostart_off_means_what_it_says(living: Living):
    with pytest.raises(Conflict, match="no runtime is up.*taskdeck serve --detach"):
        living.another(autostart=False).call("submit", {"tasks": [{"argv": ["true"]}]})

    assert list(living.processes()) == []


def test_a_home_may_be_long_and_odd(home: Path):
    odd = Living(home / ("x" * 200) / "sp ace\n'\"" / os.fsdecode(b"by\xfftes"))
    odd.home.parent.mkdir(parents=True)
    try:
        task = odd.submit("true")
        assert odd.ended(task)[0]["code"] == 0
    finally:
        odd.end()


def test_a_home_that_cannot_be_made_is_told(home: Path):
    (home / "file").touch()

    with pytest.raises(Problem, match="cannot be used: not a directory. Nothing was done") as told:
        Client(home / "file" / "below").call("submit", {"tasks": [{"argv": ["true"]}]})

    assert told.value.exit_code == 5


def test_a_job_notices_neither_that_serve_replace_takes_over_nor_that_term_ends_it_without_the_mark(up: Living):
    before = up.pid
    gate = up.home / "noticed"
    number = up.submit("sh", "-c", f"while [ ! -e '{gate}' ]; do sleep 0.05; done; exit 5")
    job = up.reach(number, "running")["instances"][0]["pid"]

    done = command(up.home, "serve", "--detach", "--replace")

    assert done.returncode == 0, done.stderr
    assert up.pid != before and not alive(before) and alive(job)
    began = time.monotonic()

    up.kill(signal.SIGTERM)

    assert time.monotonic() - began < 5
    assert alive(job)
    assert not os.path.exists(paths.stopped_mark(up.home))
    assert up.show(number)["status"] == "running"
    gate.touch()
    assert up.ended(number)[0]["code"] == 5


def test_a_drain_that_was_thought_better_of_is_ended_by_serve(up: Living):
    task = up.submit("sh", "-c", "until [ -e better ]; do sleep 0.05; done")
    up.reach(task, "running")
    up.call("stop", drain=True)
    waiting = up.submit("true")

    assert command(up.home, "serve", "--detach").returncode == 0

    assert up.ended(waiting)[0]["code"] == 0
    assert not Path(paths.stopped_mark(up.home)).exists()
    (up.home / "better").touch()
    up.ended(task)


def test_a_drain_that_was_cut_short_is_no_success(up: Living):
    task = up.submit("sh", "-c", "until [ -e short ]; do sleep 0.05; done")
    up.reach(task, "running")
    with ThreadPoolExecutor(1) as pool:
        drain = pool.submit(command, up.home, "stop", "--drain")
        until(lambda: up.call("status")["runtime"]["halted"], "it drains")
        up.kill()
        said = drain.result()
    (up.home / "short").touch()

    assert (said.returncode, "1 task still runs" in said.stderr) == (1, True)


def _deaf() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGCHLD})


def test_signals_that_the_shell_ignores_or_blocks_reach_the_runtime_all_the_same(down: Living):
    said = command(down.home, "submit", "--", "sh", "-c", "exit 3", preexec_fn=_deaf)
    assert said.returncode == 0, said.stderr

    assert down.ended(said.stdout.strip())[0]["code"] == 3
    status = dict(line.split(":\t") for line in Path(f"/proc/{down.pid}/status").read_text().splitlines() if ":\t" in line)
    assert int(status["SigBlk"], 16) == 0
    assert not int(status["SigIgn"], 16) >> signal.SIGCHLD - 1 & 1


def test_wait_goes_on_while_no_runtime_is_up_and_needs_none_for_what_has_ended(up: Living):
    over, going = up.submit("sh", "-c", "exit 4"), up.submit("sh", "-c", "until [ -e waited ]; do sleep 0.05; done; exit 7")
    up.ended(over)
    up.reach(going, "running")
    assert command(up.home, "stop").returncode == 0

    assert command(up.home, "wait", over).returncode == 4
    limited = command(up.home, "wait", going, "--timeout", "0.2")
    assert (limited.returncode, "no runtime is up" in limited.stderr) == (6, True)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(command, up.home, "wait", going)
        (up.home / "waited").touch()
        assert command(up.home, "serve", "--detach").returncode == 0
        assert waiting.result().returncode == 7
