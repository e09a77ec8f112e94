"""Tests of stops of processes that left their run: daemons, as root and as an ordinary user."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.health.left_processes import find_left_processes
from app.keeper import keeper, marks, processes
from tests.keeper.keeper_home import KeeperHome
from tests.runtime_process import is_alive, wait_until

USER = 65534
START_AS_USER = """
import os, sys
sys.path.insert(0, sys.argv[1])
from app.keeper import keeper, system_calls
os.setgroups([]), os.setgid(65534), os.setuid(65534)
system_calls.libc.prctl(4, 1, 0, 0, 0)
sys.exit(keeper.main(os.fsencode(sys.argv[2])))
"""

DAEMONS = {
    "plain": "{0}/sleep 300",
    "environment cleared": "env -i {0}/sleep 300",
    "not dumpable": "{0}/unreadable 300",
    "not dumpable, environment cleared": "env -i {0}/unreadable 300",
    "hops": "{0}/hop {0}",
    "hops, environment cleared": "env -i /bin/sh {0}/hop {0}",
    "TERM ignored, environment cleared": "sh -c 'trap \"\" TERM; exec env -i {0}/sleep 300'",
}
"""Commands of daemons that leave session and parent. Each has its folder, {0}, in its words."""

HOP = """#!/bin/sh
trap '' TERM
[ -e "$1/go" ] && /usr/bin/env setsid "$0" "$1" &
"""


HIDE_PROCESSES = ("unshare", "-m", "sh", "-c", 'mount -t proc -o hidepid=2 proc /proc && exec "$@"')
"""Beginning of a command for which /proc hides what its user may not trace."""


class UserKeeperHome(KeeperHome):
    """Home whose keeper runs as an ordinary user while the test is root."""

    prefix: tuple[str, ...] = ()

    def start_keeper(self) -> int:
        folder = os.path.abspath(f"{keeper.__file__}/../../..")
        command = [sys.executable, "-I", "-S", "-c", START_AS_USER, folder, self.path]
        command = [*self.prefix, *command]
        return subprocess.run(command, stdin=subprocess.DEVNULL, cwd="/", check=False).returncode


class HiddenKeeperHome(UserKeeperHome):
    """Home of an ordinary user whose /proc hides processes that are not dumpable."""

    prefix = (*HIDE_PROCESSES, "sh")


HOMES = {
    "own user": KeeperHome,
    "ordinary user": UserKeeperHome,
    "hidden processes": HiddenKeeperHome,
}


@pytest.fixture(params=["own user", "ordinary user"])
def daemon_home(request: pytest.FixtureRequest) -> Iterator[KeeperHome]:
    """Yield the home of a running keeper, with the programs of `DAEMONS` beside it."""
    other = request.param != "own user"
    if other and os.getuid() != 0:
        pytest.skip("only root can become another user")
    if request.param == "hidden processes" and not can_hide_processes():
        pytest.skip("this machine cannot mount /proc")
    folder = Path(tempfile.mkdtemp(prefix="taskdeck-test-"))
    home = HOMES[request.param](folder / "home")
    try:
        make_programs(folder)
        if other:
            os.chown(folder, USER, USER)
        assert home.start_keeper() == 0
        home.greet()
        yield home
    finally:
        (folder / "go").unlink(missing_ok=True)
        home.kill_all()
        for pid in list_daemons(folder):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder)


def can_hide_processes() -> bool:
    try:
        return subprocess.run([*HIDE_PROCESSES, "sh", "true"], check=False).returncode == 0
    except OSError:
        return False


def make_programs(folder: Path) -> None:
    """Create the programs; the kernel makes one that cannot be read not dumpable."""
    folder.chmod(0o755)
    sleep = shutil.which("sleep")
    assert sleep
    for name, mode in (("sleep", 0o755), ("unreadable", 0o111)):
        shutil.copyfile(sleep, folder / name)
        (folder / name).chmod(mode)
    (folder / "hop").write_text(HOP)
    (folder / "hop").chmod(0o755)
    (folder / "go").touch()


def list_daemons(folder: Path) -> list[int]:
    """Return the living processes that were started from a folder."""
    word = os.fsencode(folder) + b"/"
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [
        pid
        for pid in pids
        if pid != os.getpid()
        and any(words.startswith(word) for words in read_words(pid)[:2])
        and is_alive(pid)
    ]


def read_words(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def spawn_daemon(home: KeeperHome, command: str, **more: Any) -> str:
    """Start a run whose daemon has lost its parent; return the run once the daemon is alone."""
    folder = home.path.parent
    script = f"(setsid {command.format(folder)} &); exec sleep 301"
    run = home.spawn("sh", "-c", script, **more)
    wait_until(lambda: is_orphan(home, list_daemons(folder)), "the daemon is the keeper's child")
    return run


def is_orphan(home: KeeperHome, pids: list[int]) -> bool:
    return any(
        found.parent in (home.hello["pid"], home.hello["guard"])
        for pid in pids
        if (found := processes.read_process(pid))
    )


def assert_no_daemon(home: KeeperHome) -> None:
    """Check several times, since a hopping process can hide from one look."""
    assert [list_daemons(home.path.parent) for _ in range(5)] == [[]] * 5


@pytest.mark.parametrize("kind", DAEMONS)
def test_a_cancel_ends_a_daemon(daemon_home, kind):
    run = spawn_daemon(daemon_home, DAEMONS[kind])

    daemon_home.send("stop", run=run, reason="cancel", grace=0.2)
    end = daemon_home.wait_for_event("ended", run)

    assert_no_daemon(daemon_home)
    assert (end["stop"], end["left"]) == ("cancel", 0)


@pytest.mark.parametrize("daemon_home", ["hidden processes"], indirect=True)
@pytest.mark.parametrize("kind", ["not dumpable", "not dumpable, environment cleared", "hops"])
def test_a_cancel_ends_a_daemon_that_proc_hides(daemon_home: KeeperHome, kind: str) -> None:
    run = spawn_daemon(daemon_home, DAEMONS[kind])

    daemon_home.send("stop", run=run, reason="cancel", grace=0.2)
    daemon_home.wait_for_event("ended", run)

    assert_no_daemon(daemon_home)


def test_a_timeout_ends_a_daemon(daemon_home):
    run = spawn_daemon(daemon_home, DAEMONS["hops"], timeout=1, grace=0.2)

    end = daemon_home.wait_for_event("ended", run)

    assert_no_daemon(daemon_home)
    assert (end["stop"], end["left"]) == ("timeout", 0)


@pytest.mark.parametrize("killed", ["pid", "guard", "both"])
@pytest.mark.parametrize("kind", ["not dumpable, environment cleared", "hops, environment cleared"])
def test_a_new_keeper_still_finds_the_daemon(daemon_home, kind, killed):
    run = spawn_daemon(daemon_home, DAEMONS[kind])

    if killed == "both":
        daemon_home.kill_both()
        daemon_home.restart()
    else:
        daemon_home.kill_one(killed)
    daemon_home.send("stop", run=run, reason="cancel", grace=0.2)
    daemon_home.wait_for_event("ended", run)

    assert_no_daemon(daemon_home)


def test_a_cancel_spares_the_daemon_of_another_run(daemon_home):
    spared = spawn_daemon(daemon_home, DAEMONS["environment cleared"])
    before = list_daemons(daemon_home.path.parent)
    script = f"(setsid env -i {daemon_home.path.parent}/sleep 9 &) ; :"
    end = daemon_home.run_to_end("sh", "-c", script)
    run = end["run"]

    daemon_home.send("stop", run=run, reason="cancel", grace=0)
    other = daemon_home.spawn("sleep", "302")
    daemon_home.send("stop", run=other, reason="cancel", grace=0)
    daemon_home.wait_for_event("ended", other)

    assert all(map(is_alive, before))
    assert end["left"] == 1, "the end tells of a daemon that only the mark can attribute"
    daemon_home.send("stop", run=spared, reason="cancel", grace=0)
    daemon_home.wait_for_event("ended", spared)
    assert not any(map(is_alive, before))


def test_a_daemon_that_lowered_its_mark_is_found_by_its_environment(daemon_home):
    lowered = "bash -c 'ulimit -R 1000; exec {0}/sleep 300'"
    if subprocess.run(["bash", "-c", "ulimit -R 1000"], check=False).returncode:
        pytest.skip("this bash cannot set the limit")
    run = spawn_daemon(daemon_home, lowered)

    daemon_home.send("stop", run=run, reason="cancel", grace=0.2)
    daemon_home.wait_for_event("ended", run)

    assert_no_daemon(daemon_home)


@pytest.mark.parametrize("kind", ["environment cleared", "hops, environment cleared"])
def test_a_daemon_that_lowered_its_mark_is_listed(daemon_home: KeeperHome, kind: str) -> None:
    """Nothing tells whose it is, and a hopping one is gone before its files are read."""
    if subprocess.run(["bash", "-c", "ulimit -R 1000"], check=False).returncode:
        pytest.skip("this bash cannot set the limit")
    run = spawn_daemon(daemon_home, f"bash -c 'ulimit -R 1000; exec {DAEMONS[kind]}'")
    daemon_home.send("stop", run=run, reason="cancel", grace=0.2)
    daemon_home.wait_for_event("ended", run)
    supervisors = [daemon_home.hello["pid"], daemon_home.hello["guard"]]

    for _ in range(5):
        (left,) = find_left_processes(str(daemon_home.path), supervisors)
        assert left.is_disguised and left.name


def test_a_daemon_that_proc_hides_is_listed(
    daemon_home: KeeperHome, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = spawn_daemon(daemon_home, DAEMONS["environment cleared"])
    (pid,) = list_daemons(daemon_home.path.parent)
    (leader,) = set(processes.list_children(daemon_home.hello["pid"])) - {pid}
    os.kill(leader, signal.SIGKILL)
    daemon_home.wait_for_event("ended", run)
    monkeypatch.setattr(processes, "read_process", lambda _: None)

    left = find_left_processes(str(daemon_home.path), [daemon_home.hello["pid"]])

    assert [(one.pid, one.name, one.is_disguised) for one in left] == [(pid, "hidden", True)]


def test_a_keeper_that_a_job_started_outlives_the_job(keeper_home, tmp_path):
    inner = KeeperHome(tmp_path / "inner")
    try:
        start = f"{sys.executable} -I -S {keeper.__file__} {inner.path}; exec sleep 301"
        run = keeper_home.spawn("sh", "-c", start)
        inner_run = wait_until(
            lambda: inner.socket.exists() and inner.greet() and inner.spawn("sleep", "303"),
            "the inner keeper runs",
        )

        keeper_home.send("stop", run=run, reason="cancel", grace=0.2)
        keeper_home.wait_for_event("ended", run)

        assert is_alive(inner.hello["pid"]) and is_alive(inner.hello["guard"])
        inner.greet()
        known = inner.find_known(inner_run)
        assert known is not None and known["is"] == "started"
    finally:
        inner.kill_all()


def test_each_run_and_each_supervisor_has_a_mark_of_its_own(keeper_home):
    runs = [keeper_home.spawn("sleep", "300", wait=False) for _ in range(3)]
    pids = [keeper_home.wait_for_event("started", run)["pid"] for run in runs]
    keeper_home.kill_one("pid")
    later = keeper_home.spawn("sleep", "300", wait=False)
    pids.append(keeper_home.wait_for_event("started", later)["pid"])

    pids += [keeper_home.hello["pid"], keeper_home.hello["guard"]]

    found = {marks.read_mark(pid) for pid in pids}

    assert len(found) == 6 and min(found) >= marks.LEAST_MARK


@pytest.mark.parametrize("daemon_home", ["ordinary user"], indirect=True)
def test_a_job_beyond_the_limit_of_processes_is_refused_by_its_name(daemon_home: KeeperHome):
    limit = ("prlimit", "--nproc=1:1", "--pid", str(daemon_home.hello["pid"]))
    assert daemon_home.run_to_end(*limit)["code"] == 0

    refused = daemon_home.wait_for_event("error", daemon_home.spawn("true", wait=False))

    assert refused["code"] == "no-process" and refused["message"].endswith("; ulimit -u is 1")
