"""A runtime that nobody can reach any more ends by itself, and the next one takes over."""

from __future__ import annotations

import shutil

import pytest

from app import paths
from tests.living import Living, alive, until


@pytest.mark.parametrize("name", [paths.CONTROL, paths.LOCK])
def test_a_runtime_whose_socket_or_lock_was_removed_ends_and_the_next_one_has_its_jobs(runtime: Living, name: str):
    task = runtime.submit("sh", "-c", "until [ -e gate ]; do sleep 0.02; done; exit 3")
    runtime.reach(task, "running")
    pid = runtime.pid

    (runtime.home / "run" / name).unlink()

    until(lambda: not alive(pid), "the runtime gone")
    assert runtime.start() != pid
    (runtime.home / "gate").touch()
    assert runtime.ended(task)[0]["code"] == 3


def test_a_runtime_whose_home_was_removed_ends_and_its_keeper_with_it(runtime: Living):
    pids = [runtime.pid, *(runtime.call("status")["keeper"][name] for name in ("pid", "guard_pid"))]

    shutil.rmtree(runtime.home)

    until(lambda: not any(map(alive, pids)), "all of them gone")
    assert list(runtime.processes()) == []
    runtime.home.mkdir()  # for those who tidy up
