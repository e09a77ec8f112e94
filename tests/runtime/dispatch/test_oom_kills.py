"""Tests of retries with more memory: real runs that are killed, and the count of the kernel."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.runtime.dispatch import oom_kills
from app.runtime.dispatch.oom_kills import OomKills
from tests.runtime_process import RuntimeProcess, wait_until

HUNGRY = "import signal; held = bytearray(60 << 20); print('full', flush=True); signal.pause()"


def submit_hungry(runtime: RuntimeProcess, **more: object) -> str:
    return runtime.submit(sys.executable, "-c", HUNGRY, memory="64M", retry_delay=0, **more)


def wait_until_full(runtime: RuntimeProcess, task: str, attempt: int) -> int:
    """Return the pid of an attempt once its program holds its memory."""

    def is_full() -> bool:
        runs = runtime.call("log", id=task, attempt="all")["runs"]
        if len(runs) < attempt or runs[-1]["status"] != "running":
            return False
        log = Path(runs[-1]["path"])
        return log.exists() and "full" in log.read_text()

    wait_until(is_full, f"attempt {attempt} is full")
    return runtime.show(task)["instances"][-1]["pid"]


@pytest.mark.process
def test_a_killed_run_is_retried_once_with_more_memory(runtime: RuntimeProcess):
    task = submit_hungry(runtime, retry_on_oom="1.25")
    # The kernel kills from outside, too.
    os.kill(wait_until_full(runtime, task, 1), signal.SIGKILL)
    second = wait_until_full(runtime, task, 2)
    shown = runtime.show(task)
    first = shown["instances"][0]["reason"]
    more = "signal 9 (KILL); retried with "
    assert first.startswith(more) and " after running out of " in first
    assert shown["memory"] == round(shown["oom_memory"] * 1.25) and shown["failures"] == 0

    runtime.kill(signal.SIGKILL)
    runtime.client.close()
    runtime.client = runtime.open_client()
    os.kill(second, signal.SIGKILL)

    (end,) = runtime.wait_for_end(task)
    assert end["status"] == "failed" and "out of memory" not in str(first)
    last = runtime.show(task)["instances"][-1]["reason"]
    assert "signal 9 (KILL)" in last and len(runtime.show(task)["instances"]) == 2


@pytest.mark.process
def test_a_kill_far_below_the_reservation_is_no_reason(runtime: RuntimeProcess):
    task = runtime.submit("sleep", "3600", memory="64M", retry_on_oom="2")
    runtime.wait_for_status(task, "running")

    os.kill(runtime.show(task)["instances"][0]["pid"], signal.SIGKILL)

    assert runtime.wait_for_end(task)[0]["reason"] == "signal 9 (KILL)"


def test_a_kill_of_the_kernel_during_a_run_is_noted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(oom_kills, "COUNTERS", tmp_path / "vmstat")
    (tmp_path / "vmstat").write_text("pgmajfault 5\noom_kill 3\n")
    kills = OomKills()
    kills.note_starts(["a", "b"])
    assert kills.add_kill({"run": "a"}) == {"run": "a"}

    (tmp_path / "vmstat").write_text("pgmajfault 5\noom_kill 4\n")

    assert kills.add_kill({"run": "b"}) == {"run": "b", "oom_kill": True}
    assert kills.add_kill({"run": "unknown"}) == {"run": "unknown"}
    (tmp_path / "vmstat").unlink()
    assert oom_kills.read_count() == 0


@pytest.fixture
def small_cgroup() -> Iterator[Path]:
    """Yield a memory cgroup of 40 MiB, where the machine allows one."""
    folder = Path(f"/sys/fs/cgroup/memory/taskdeck-test-{os.getpid()}")
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text("40M")
    except OSError as error:
        pytest.skip(f"no memory cgroup can be made: {error}")
    yield folder
    folder.rmdir()


@pytest.mark.process
def test_a_run_that_the_kernel_kills_in_a_cgroup_is_retried(
    runtime: RuntimeProcess, small_cgroup: Path
):
    enter = f'test "$TASKDECK_ATTEMPT" = 2 && exit 0; echo $$ > {small_cgroup}/cgroup.procs;'
    script = f"{enter} exec {sys.executable} -c 'bytearray(200 << 20)'"

    task = runtime.submit("sh", "-c", script, memory="1G", retry_on_oom="1.5", retry_delay=0)

    assert runtime.wait_for_end(task)[0]["status"] == "succeeded"
    reason = runtime.show(task)["instances"][0]["reason"]
    assert reason == "signal 9 (KILL); retried with 1.5G after running out of 1.0G"
