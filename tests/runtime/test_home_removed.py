"""Removal of socket, lock or home: the unreachable runtime ends, and the next one takes over."""

from __future__ import annotations

import shutil

from app import paths
from tests.runtime_process import RuntimeProcess, is_alive, wait_until


def test_a_runtime_without_its_files_ends_and_the_next_takes_over(runtime: RuntimeProcess):
    task = runtime.submit("sh", "-c", "until [ -e gate ]; do sleep 0.05; done; exit 3")
    runtime.wait_for_status(task, "running")
    for name in (paths.CONTROL_SOCKET, paths.LOCK_FILE):
        pid = runtime.pid
        (runtime.home / "run" / name).unlink()
        wait_until(lambda pid=pid: not is_alive(pid), f"the runtime gone whose {name} was removed")
        assert runtime.start() != pid
    (runtime.home / "gate").touch()
    assert runtime.wait_for_end(task)[0]["code"] == 3

    pids = [runtime.pid, *(runtime.call("status")["keeper"][name] for name in ("pid", "guard_pid"))]

    shutil.rmtree(runtime.home)

    wait_until(lambda: not any(map(is_alive, pids)), "the runtime gone, and its keeper with it")
    assert list(runtime.list_processes()) == []
    runtime.home.mkdir()  # for the cleanup of the fixture
