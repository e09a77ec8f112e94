"""Tests of the doctor's checks of process limits and control groups."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.health import limits, procfs
from db import host

NONE = float("inf")
StartLimited = Callable[[int, int], int]


@pytest.fixture
def start_limited() -> Iterator[StartLimited]:
    """Return a function that starts a process with one limit and returns its pid."""
    started: list[subprocess.Popen[bytes]] = []

    def start(which: int, most: int) -> int:
        started.append(subprocess.Popen(["sleep", "300"]))
        resource.prlimit(started[-1].pid, which, (most, resource.getrlimit(which)[1]))
        return started[-1].pid

    yield start
    for one in started:
        one.kill()
        one.wait()


def make_status(pid: int | None = None, capacity: int = 2, cpu: float = 2.0, memory: float = 64.0):
    pool, queue = (
        {"name": "big pool", "total_cpu": cpu, "total_memory": memory},
        {"name": "q", "pool": "big pool", "capacity": capacity},
    )
    return {
        "runtime": {"pid": None},
        "keeper": {"pid": pid or os.getpid(), "guard_pid": None},
        "pools": [pool],
        "queues": [queue],
    }


@pytest.mark.process
def test_a_file_size_limit_is_broken_and_the_command_lifts_it(start_limited: StartLimited):
    pid = start_limited(resource.RLIMIT_FSIZE, 1 << 20)

    (found,) = limits.check_limits("/srv", make_status(pid))

    assert found.state == "broken" and "cannot write files above 1.0M" in found.text
    subprocess.run(["sh", "-c", found.cure.removeprefix("sudo ")], check=True)
    assert procfs.read_limits(pid)["Max file size"] == NONE and [
        one.state for one in limits.check_limits("/srv", make_status(pid))
    ] == ["well"]


@pytest.mark.process
def test_too_few_descriptors_are_broken(start_limited: StartLimited):
    (found,) = limits.check_limits("/srv", make_status(start_limited(resource.RLIMIT_NOFILE, 100)))

    assert found.state == "broken" and found.cure.endswith("--nofile=4096:4096")


def test_too_many_jobs_for_the_process_limit_are_broken_with_a_fix(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        limits,
        "_list_headroom",
        lambda pid: iter([(300.0, "pids.max of /sys/fs/cgroup/x"), (9000.0, "kernel.pid_max")]),
    )

    (found,) = limits.check_limits("/srv", make_status(capacity=500, cpu=500))

    assert (
        "500 concurrent jobs, but only 300 more processes are possible"
        " (pids.max of /sys/fs/cgroup/x)" in found.text
    )
    assert found.cure == "taskdeck --home /srv queue set q --capacity 236"
    assert [
        one.state for one in limits.check_limits("/srv", make_status(capacity=236, cpu=500))
    ] == ["well"]


def test_concurrent_jobs_are_the_minimum_of_queue_and_pool():
    assert (
        limits.count_max_jobs(make_status(capacity=500)),
        limits.count_max_jobs(make_status(capacity=1)),
        limits.count_max_jobs(None),
    ) == (2, 1, 0)


@pytest.mark.parametrize(
    ("lines", "controller", "groups"),
    [
        ("0::/user.slice/x.scope\n", "pids", ["/user.slice/x.scope", "/user.slice", ""]),
        ("8:pids:/a\n4:memory:/b/c\n0::/\n", "memory", ["/memory/b/c", "/memory/b", "/memory", ""]),
    ],
)
def test_both_cgroup_versions_are_read_up_to_the_root(
    monkeypatch: pytest.MonkeyPatch, lines: str, controller: str, groups: list[str]
):
    monkeypatch.setattr(limits, "read_file", lambda path: lines)
    present = (
        {"/sys/fs/cgroup", "/sys/fs/cgroup/memory"}
        if controller == "memory"
        else {"/sys/fs/cgroup"}
    )
    monkeypatch.setattr(os.path, "isdir", lambda path: path in present)

    assert list(limits.iter_cgroup_folders(1, controller)) == [
        f"/sys/fs/cgroup{group}" for group in groups
    ]


@pytest.mark.parametrize(
    ("limit", "told"), [("max", False), ("9223372036854771712", False), (str(32 * 2**20), True)]
)
def test_pools_beyond_the_memory_are_a_hint(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, told: bool
):
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    monkeypatch.setattr(
        limits, "iter_cgroup_folders", lambda pid, controller: iter([str(tmp_path)])
    )

    found = list(limits.check_memory("/srv", make_status()))

    assert [one.cure for one in found] == (
        ["taskdeck --home /srv pool set 'big pool' --memory 32M"] if told else []
    )


@pytest.mark.parametrize(
    ("cpu", "memory", "cure"),
    [
        (2, 64, None),
        (2, 65, "taskdeck --home /srv pool set 'big pool' --memory 64M"),
        (200, 500 * 1024, "taskdeck --home /srv pool set 'big pool' --cpu 2 --memory 64M"),
    ],
)
def test_a_pool_larger_than_the_machine_is_a_hint(
    monkeypatch: pytest.MonkeyPatch, cpu: float, memory: float, cure: str | None
):
    monkeypatch.setattr(host, "read_capacity", lambda: host.HostCapacity(2, 64))

    found = list(limits.check_pools("/srv", make_status(cpu=cpu, memory=memory)))

    assert [(one.state, one.cure) for one in found] == ([("hint", cure)] if cure else [])


def test_pools_are_not_checked_without_a_status():
    assert not list(limits.check_pools("/srv", None))
