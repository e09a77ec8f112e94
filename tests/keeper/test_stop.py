"""Stops, signals and deadlines."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

# Five processes that ignore TERM, some in sessions of their own, some orphaned; each writes its pid to {0}.
STUBBORN = (
    "trap '' TERM; (setsid sleep 300 & echo $! >> {0}); (sleep 301 & echo $! >> {0}); "
    "setsid sleep 302 & echo $! >> {0}; sleep 303 & echo $! >> {0}; echo $$ >> {0}; wait"
)


def stubborn(home, wait_until, pids: Path, **more) -> tuple[str, list[int]]:
    """Start such a tree; its run and pids."""
    run = home.spawn("sh", "-c", STUBBORN.format(pids), **more)
    wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 5, "five processes")
    return run, [int(pid) for pid in pids.read_text().split()]


def test_a_stop_ends_a_stubborn_tree_after_its_grace(kept, wait_until, is_alive, tmp_path):
    run, pids = stubborn(kept, wait_until, tmp_path / "pids")
    began = time.monotonic()

    kept.send("stop", run=run, reason="cancel", grace=0.4)
    end = kept.event("ended", run)

    assert 0.4 <= time.monotonic() - began < 2.4
    assert (end["stop"], end["signal"], end["left"]) == ("cancel", signal.SIGKILL, 0)
    assert not any(map(is_alive, pids))


def test_a_stop_leaves_time_to_end_well(kept, wait_until):
    run = kept.spawn("sh", "-c", "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done")
    wait_until(lambda: kept.log(run).read_text() == "up\n", "ready")

    kept.send("stop", run=run, reason="cancel", grace=20)
    end = kept.event("ended", run)

    assert (end["code"], end["stop"], kept.log(run).read_text()[-4:]) == (3, "cancel", "bye\n")


def test_a_stop_finds_a_daemon_that_shed_environment_and_session(kept, wait_until, is_alive, tmp_path):
    script = f"env -i setsid sh -c 'trap \"\" TERM; echo $$ > {tmp_path}/pid; sleep 300 & wait; sleep 300' & wait"
    run = kept.spawn("sh", "-c", script)
    wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip(), "the daemon runs")

    kept.send("stop", run=run, reason="cancel", grace=0.2)
    kept.event("ended", run)

    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_a_second_stop_can_shorten_the_grace_and_keeps_the_reason(kept, wait_until, tmp_path):
    run, _ = stubborn(kept, wait_until, tmp_path / "pids")
    began = time.monotonic()

    kept.send("stop", run=run, reason="cancel", grace=60)
    kept.send("stop", run=run, reason="impatience", grace=0)
    end = kept.event("ended", run)

    assert end["stop"] == "cancel" and time.monotonic() - began < 10


def test_a_paused_run_can_be_stopped_and_resumed(kept, wait_until):
    def state(pid: int) -> str:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]

    run = kept.spawn("sleep", "60", wait=False)
    pid = kept.event("started", run)["pid"]

    kept.send("signal", run=run, signal=signal.SIGSTOP)
    wait_until(lambda: state(pid) == "T", "paused")
    kept.send("signal", run=run, signal=signal.SIGCONT)
    wait_until(lambda: state(pid) == "S", "going on")
    kept.send("signal", run=run, signal=signal.SIGSTOP)
    wait_until(lambda: state(pid) == "T", "paused again")
    kept.send("stop", run=run, reason="cancel", grace=30)

    assert kept.event("ended", run)["signal"] == signal.SIGTERM


def test_the_keeper_alone_keeps_a_deadline(kept, wait_until, is_alive, tmp_path):
    run, pids = stubborn(kept, wait_until, tmp_path / "pids", timeout=0.1, grace=0.1)

    acted = kept.event("stopping", run)
    end = kept.event("ended", run)

    assert acted["reason"] == "timeout" == end["stop"]
    assert 2.1 <= end["run_seconds"] < 6 and not any(map(is_alive, pids))


def test_a_stop_is_carried_through_by_whoever_lives(home, wait_until, is_alive, tmp_path):
    for who in ("pid", "guard"):
        run, pids = stubborn(home, wait_until, tmp_path / who)
        home.send("stop", run=run, reason="cancel", grace=0.5)
        home.send("refuse", run=run)
        assert home.event("started", run)["stop"] == "cancel"

        home.kill(who)
        end = home.known(run)
        if end["is"] != "ended":
            end = home.event("ended", run)

        assert (end["stop"], end["lost"], end["signal"]) == ("cancel", False, signal.SIGKILL)
        assert not any(map(is_alive, pids))


def test_many_stops_at_once_end_soon(kept):
    runs = [kept.spawn("sleep", "60") for _ in range(40)]
    began = time.monotonic()

    for run in runs:
        kept.send("stop", run=run, reason="cancel", grace=5)
    ends = {}
    while len(ends) < len(runs):
        event = kept.next()
        ends[event["run"]] = (event["is"], event["signal"])

    assert set(ends.values()) == {("ended", signal.SIGTERM)} and time.monotonic() - began < 4


def test_a_stop_of_what_is_not_known_is_an_error_and_of_what_has_ended_its_end(kept):
    kept.send("stop", run="no-such-run", reason="cancel", grace=1)
    assert kept.event("error", "no-such-run")["code"] == "unknown-run"

    run = kept.run("true")["run"]
    kept.send("stop", run=run, reason="cancel", grace=1)
    assert kept.event("ended", run)["stop"] is None


def test_a_stop_spares_what_only_shares_a_pid_number_or_a_folder(kept, is_alive, tmp_path):
    bystander = kept.spawn("sleep", "60", wait=False, cwd=str(tmp_path))
    pid = kept.event("started", bystander)["pid"]
    run = kept.spawn("sleep", "60", cwd=str(tmp_path))

    kept.send("stop", run=run, reason="cancel", grace=0)
    kept.event("ended", run)

    assert is_alive(pid)
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
    assert kept.event("ended", bystander)["stop"] is None


FIRST_THREAD_ENDS = """
import ctypes, os, threading, time
threading.Thread(target=time.sleep, args=(300,)).start()
print("up", flush=True)
ctypes.CDLL(None).syscall({"x86_64": 60}.get(os.uname().machine, 93), 0)
"""


def test_a_stop_ends_a_process_whose_first_thread_has_ended(kept, wait_until):
    run = kept.spawn(sys.executable, "-I", "-S", "-c", FIRST_THREAD_ENDS, wait=False)
    pid = kept.event("started", run)["pid"]
    wait_until(lambda: "Z (zombie)" in Path(f"/proc/{pid}/status").read_text(), "the first thread has ended")

    kept.send("stop", run=run, reason="cancel", grace=20)
    end = kept.event("ended", run)

    assert (end["signal"], end["stop"]) == (signal.SIGTERM, "cancel")


def test_many_runs_are_paused_and_resumed_in_order_at_once(kept, wait_until):
    runs = [kept.spawn("sh", "-c", "trap 'exit 4' USR1; echo up; while :; do sleep 0.01; done") for _ in range(30)]
    wait_until(lambda: all(kept.log(run).exists() and kept.log(run).read_text() for run in runs), "all are up")
    began = time.monotonic()

    for number in (signal.SIGSTOP, signal.SIGUSR1, signal.SIGCONT):
        for run in runs:
            kept.send("signal", run=run, signal=number)
    ends = {}
    while len(ends) < len(runs):
        event = kept.next()
        ends[event["run"]] = event.get("code")

    assert set(ends.values()) == {4} and time.monotonic() - began < 5
