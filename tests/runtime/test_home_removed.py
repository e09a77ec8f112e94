"""A runtime that nobody can reach any more ends by itself, and the next one takes over."""

from __future__ import annotations

import shutil

from app import paths
from tests.runtime_process import Living, alive, until


def test_a_runtime_whose_socket_lock_or_home_was_removed_ends_and_the_next_one_has_its_jobs(runtime: Living):
    task = runtime.submit("sh", "-c", "until [ -e gate ]; do sleep 0.05; done; exit 3")
    runtime.reach(task, "running")
    for name in (paths.CONTROL, paths.LOCK):
        pid = runtime.pid
        (runtime.home / "run" / name).unlink()
        until(lambda pid=pid: not alive(pid), f"the runtime gone whose {name} was removed")
        assert runtime.start() != pid
    (runtime.home / "gate").touch()
    assert runtime.ended(task)[0]["code"] == 3

    pids = [runtime.pid, *(runtime.call("status")["keeper"][name] for name in ("pid", "guard_pid"))]

    shutil.rmtree(runtime.home)

    until(lambda: not any(map(alive, pids)), "the runtime gone, and its keeper with it")
    assert list(runtime.processes()) == []
    runtime.home.mkdir()  # for those who tidy up
