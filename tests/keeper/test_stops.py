"""Tests of stops, signals and deadlines."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from tests.runtime_process import is_alive, wait_until

# Five processes that ignore TERM, some in their own sessions, some orphaned; each writes its pid to
# {0}.
STUBBORN_SCRIPT = (
    "trap '' TERM; (setsid sleep 300 & echo $! >> {0}); (sleep 301 & echo $! >> {0}); "
    "setsid sleep 302 & echo $! >> {0}; sleep 303 & echo $! >> {0}; echo $$ >> {0}; wait"
)


def spawn_stubborn(keeper_home, pids: Path, **more) -> tuple[str, list[int]]:
    """Start a process tree that ignores TERM; return its run and pids."""
    run = keeper_home.spawn("sh", "-c", STUBBORN_SCRIPT.format(pids), **more)
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 5, "five processes")
    return run, [int(pid) for pid in pids.read_text().split()]


def test_a_stop_ends_a_stubborn_tree_after_its_grace(shared_home, tmp_path):
    run, pids = spawn_stubborn(shared_home, tmp_path / "pids")
    began = time.monotonic()

    shared_home.send("stop", run=run, reason="cancel", grace=0.4)
    end = shared_home.wait_for_event("ended", run)

    assert 0.4 <= time.monotonic() - began < 2.4
    assert (end["stop"], end["signal"], end["left"]) == ("cancel", signal.SIGKILL, 0)
    assert not any(map(is_alive, pids))


def test_a_stop_leaves_time_for_a_clean_exit(shared_home):
    run = shared_home.spawn(
        "sh", "-c", "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done"
    )
    wait_until(lambda: shared_home.get_log_path(run).read_text() == "up\n", "ready")

    shared_home.send("stop", run=run, reason="cancel", grace=20)
    end = shared_home.wait_for_event("ended", run)

    assert (end["code"], end["stop"], shared_home.get_log_path(run).read_text()[-4:]) == (
        3,
        "cancel",
        "bye\n",
    )


def test_a_stop_finds_a_daemon_that_changed_environment_and_session(shared_home, tmp_path):
    script = (
        f'env -i setsid sh -c \'trap "" TERM; echo $$ > {tmp_path}/pid; sleep 300 & wait; sleep'
        " 300' & wait"
    )
    run = shared_home.spawn("sh", "-c", script)
    wait_until(
        lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip(),
        "the daemon runs",
    )

    shared_home.send("stop", run=run, reason="cancel", grace=0.2)
    shared_home.wait_for_event("ended", run)

    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_a_second_stop_can_shorten_the_grace_and_keeps_the_reason(shared_home, tmp_path):
    run, _ = spawn_stubborn(shared_home, tmp_path / "pids")
    began = time.monotonic()

    shared_home.send("stop", run=run, reason="cancel", grace=60)
    shared_home.send("stop", run=run, reason="impatience", grace=0)
    end = shared_home.wait_for_event("ended", run)

    assert end["stop"] == "cancel" and time.monotonic() - began < 10


def test_a_paused_run_can_be_stopped_and_resumed(shared_home):
    def state(pid: int) -> str:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]

    run = shared_home.spawn("sleep", "60", wait=False)
    pid = shared_home.wait_for_event("started", run)["pid"]

    shared_home.send("signal", run=run, signal=signal.SIGSTOP)
    wait_until(lambda: state(pid) == "T", "paused")
    shared_home.send("signal", run=run, signal=signal.SIGCONT)
    wait_until(lambda: state(pid) == "S", "going on")
    shared_home.send("signal", run=run, signal=signal.SIGSTOP)
    wait_until(lambda: state(pid) == "T", "paused again")
    shared_home.send("stop", run=run, reason="cancel", grace=30)

    assert shared_home.wait_for_event("ended", run)["signal"] == signal.SIGTERM


def test_the_keeper_enforces_a_deadline_alone(shared_home, tmp_path):
    run, pids = spawn_stubborn(shared_home, tmp_path / "pids", timeout=0.1, grace=0.1)

    acted = shared_home.wait_for_event("stopping", run)
    end = shared_home.wait_for_event("ended", run)

    assert acted["reason"] == "timeout" == end["stop"]
    assert 2.1 <= end["run_seconds"] < 6 and not any(map(is_alive, pids))


def test_a_stop_is_completed_by_the_surviving_process(keeper_home, tmp_path):
    for who in ("pid", "guard"):
        run, pids = spawn_stubborn(keeper_home, tmp_path / who)
        keeper_home.send("stop", run=run, reason="cancel", grace=0.5)
        keeper_home.send("refuse", run=run)
        assert keeper_home.wait_for_event("started", run)["stop"] == "cancel"

        keeper_home.kill_one(who)
        end = keeper_home.find_known(run)
        if end["is"] != "ended":
            end = keeper_home.wait_for_event("ended", run)

        assert (end["stop"], end["lost"], end["signal"]) == ("cancel", False, signal.SIGKILL)
        assert not any(map(is_alive, pids))


def test_many_concurrent_stops_end_quickly(shared_home):
    runs = [shared_home.spawn("sleep", "60") for _ in range(40)]
    began = time.monotonic()

    for run in runs:
        shared_home.send("stop", run=run, reason="cancel", grace=5)
    ends = {}
    while len(ends) < len(runs):
        event = shared_home.read_event()
        ends[event["run"]] = (event["is"], event["signal"])

    assert set(ends.values()) == {("ended", signal.SIGTERM)} and time.monotonic() - began < 4


def test_stopping_an_unknown_run_fails_and_an_ended_one_repeats_its_end(shared_home):
    shared_home.send("stop", run="no-such-run", reason="cancel", grace=1)
    assert shared_home.wait_for_event("error", "no-such-run")["code"] == "unknown-run"

    run = shared_home.run_to_end("true")["run"]
    shared_home.send("stop", run=run, reason="cancel", grace=1)
    assert shared_home.wait_for_event("ended", run)["stop"] is None


def test_a_stop_spares_processes_that_share_only_a_number_or_folder(shared_home, tmp_path):
    bystander = shared_home.spawn("sleep", "60", wait=False, cwd=str(tmp_path))
    pid = shared_home.wait_for_event("started", bystander)["pid"]
    run = shared_home.spawn("sleep", "60", cwd=str(tmp_path))

    shared_home.send("stop", run=run, reason="cancel", grace=0)
    shared_home.wait_for_event("ended", run)

    assert is_alive(pid)
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
    assert shared_home.wait_for_event("ended", bystander)["stop"] is None


FIRST_THREAD_ENDS = """
import ctypes, os, threading, time
threading.Thread(target=time.sleep, args=(300,)).start()
print("up", flush=True)
ctypes.CDLL(None).syscall({"x86_64": 60}.get(os.uname().machine, 93), 0)
"""


def test_a_stop_ends_a_process_whose_first_thread_has_exited(shared_home):
    run = shared_home.spawn(sys.executable, "-I", "-S", "-c", FIRST_THREAD_ENDS, wait=False)
    pid = shared_home.wait_for_event("started", run)["pid"]
    wait_until(
        lambda: "Z (zombie)" in Path(f"/proc/{pid}/status").read_text(),
        "the first thread has ended",
    )

    shared_home.send("stop", run=run, reason="cancel", grace=20)
    end = shared_home.wait_for_event("ended", run)

    assert (end["signal"], end["stop"]) == (signal.SIGTERM, "cancel")


def test_many_runs_are_paused_and_resumed_in_order(shared_home):
    runs = [
        shared_home.spawn("sh", "-c", "trap 'exit 4' USR1; echo up; while :; do sleep 0.01; done")
        for _ in range(30)
    ]
    wait_until(
        lambda: all(
            shared_home.get_log_path(run).exists() and shared_home.get_log_path(run).read_text()
            for run in runs
        ),
        "all are up",
    )
    began = time.monotonic()

    for number in (signal.SIGSTOP, signal.SIGUSR1, signal.SIGCONT):
        for run in runs:
            shared_home.send("signal", run=run, signal=number)
    ends = {}
    while len(ends) < len(runs):
        event = shared_home.read_event()
        ends[event["run"]] = event.get("code")

    assert set(ends.values()) == {4} and time.monotonic() - began < 5
