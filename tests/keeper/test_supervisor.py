"""Tests that killing keeper or guard loses nothing, and that unknown exits are reported as lost."""

import itertools
import os
import signal
import subprocess

import pytest

from tests.keeper.keeper_home import GATED_SCRIPT, spawn_gated
from tests.runtime_process import is_alive, wait_until


@pytest.mark.parametrize("who", ["pid", "guard"])
def test_killing_one_process_loses_no_exit_code(keeper_home, tmp_path, who):
    for turn in range(4):
        runs = {spawn_gated(keeper_home, tmp_path, f"go{turn}", code): code for code in (0, 3, 42)}

        hello = keeper_home.kill_one(who)
        assert all(keeper_home.find_known(run)["is"] == "started" for run in runs)
        assert hello["pid"] != hello["guard"]
        (tmp_path / f"go{turn}").touch()
        ends = [keeper_home.read_event() for _ in runs]

        assert {end["run"]: end["code"] for end in ends} == runs
        assert all(end["cpu"] is not None and end["maxrss"] and not end["lost"] for end in ends)
        keeper_home.send("forget", runs=list(runs))
        keeper_home.drain()


@pytest.mark.parametrize("who", ["pid", "guard"])
def test_an_end_without_a_client_is_in_the_next_hello(keeper_home, tmp_path, who):
    run = spawn_gated(keeper_home, tmp_path, "go", 5)
    keeper_home.sock.close()

    (tmp_path / "go").touch()
    keeper_home.greet()
    wait_until(
        lambda: keeper_home.try_to_greet() and keeper_home.find_known(run)["is"] == "ended", "ended"
    )
    keeper_home.kill_one(who)

    assert (keeper_home.find_known(run)["code"], keeper_home.find_known(run)["lost"]) == (5, False)


def test_new_runs_start_after_each_kill(keeper_home):
    for who in ["pid", "guard", "guard", "pid"]:
        keeper_home.kill_one(who)

        assert keeper_home.run_to_end("sh", "-c", "exit 6")["code"] == 6


def test_killing_both_processes_makes_a_run_lost_at_its_end(keeper_home, tmp_path):
    run = spawn_gated(keeper_home, tmp_path, "go", 0)

    keeper_home.kill_both()
    keeper_home.restart()
    assert keeper_home.find_known(run)["is"] == "started"
    (tmp_path / "go").touch()
    end = keeper_home.wait_for_event("ended", run)

    assert (end["lost"], end["reason"], end["code"], end["signal"]) == (
        True,
        "supervisors killed",
        None,
        None,
    )


def test_killing_both_in_turn_makes_a_run_lost(keeper_home, tmp_path):
    run = spawn_gated(keeper_home, tmp_path, "go", 0)

    keeper_home.kill_one("pid")
    keeper_home.kill_one("guard")
    (tmp_path / "go").touch()

    assert keeper_home.wait_for_event("ended", run)["reason"] == "supervisors killed"


def test_a_run_that_ended_without_supervisors_is_lost_at_once(keeper_home, tmp_path):
    run = keeper_home.spawn("sh", "-c", GATED_SCRIPT.format(tmp_path / "go", 0), wait=False)
    pid = keeper_home.wait_for_event("started", run)["pid"]
    keeper_home.kill_both()

    (tmp_path / "go").touch()
    wait_until(lambda: not is_alive(pid), "ended")
    keeper_home.restart()

    assert (keeper_home.find_known(run)["lost"], keeper_home.find_known(run)["reason"]) == (
        True,
        "supervisors killed",
    )


def test_a_run_of_dead_supervisors_is_still_stopped_at_its_deadline(keeper_home):
    cancelled = keeper_home.spawn("sleep", "60")
    overdue = keeper_home.spawn("sleep", "60", timeout=0.1, grace=0.5)

    keeper_home.kill_both()
    keeper_home.restart()
    keeper_home.send("stop", run=cancelled, reason="cancel", grace=1)
    ends = {}
    while len(ends) < 2:
        event = keeper_home.read_event()
        if event["is"] == "ended":
            ends[event["run"]] = (event["stop"], event["lost"])

    assert ends == {cancelled: ("cancel", True), overdue: ("timeout", True)}


def test_a_reused_pid_is_neither_watched_nor_stopped(keeper_home):
    run = keeper_home.spawn("sleep", "60", wait=False)
    start = keeper_home.wait_for_event("started", run)
    keeper_home.kill_both()
    (segment,) = keeper_home.journal.iterdir()
    began = b'"ticks":%d' % start["ticks"]
    segment.write_bytes(
        segment.read_bytes().replace(began, began[:-1] + (b"0" if began[-1:] != b"0" else b"1"))
    )

    keeper_home.restart()
    keeper_home.send("stop", run=run, reason="cancel", grace=0)
    end = keeper_home.wait_for_event("ended", run)

    assert (end["lost"], end["reason"]) == (True, "supervisors killed")
    assert is_alive(start["pid"])


def test_three_hundred_runs_and_ten_kills_lose_nothing(keeper_home, tmp_path):
    codes, ends, victims = {}, {}, itertools.cycle(["pid", "guard"])
    for turn in range(10):
        for number in range(30):
            code = (turn + number) % 5
            run = keeper_home.spawn(
                "sh", "-c", f"echo >> {tmp_path}/ran.{turn}.{number}; exit {code}", wait=False
            )
            codes[run] = (code, turn, number)
        keeper_home.drain()
        keeper_home.kill_one(next(victims))
        ends |= {
            event["run"]: event for event in keeper_home.hello["runs"] if event["is"] == "ended"
        }
        while ends.keys() != codes.keys():
            event = keeper_home.read_event()
            if event["is"] == "ended":
                ends[event["run"]] = event

    assert not any(end["lost"] for end in ends.values())
    assert {run: end["code"] for run, end in ends.items()} == {
        run: code for run, (code, *_) in codes.items()
    }
    assert all((tmp_path / f"ran.{t}.{n}").read_text() == "\n" for _, t, n in codes.values())


def test_nothing_is_started_without_a_guard(keeper_home):
    os.kill(keeper_home.hello["pid"], signal.SIGSTOP)
    runs = [keeper_home.spawn("true", wait=False) for _ in range(10)]
    os.kill(keeper_home.hello["guard"], signal.SIGKILL)
    wait_until(lambda: not is_alive(keeper_home.hello["guard"]), "dead")
    os.kill(keeper_home.hello["pid"], signal.SIGCONT)

    keeper_home.greet()

    assert not any(keeper_home.find_known(run) for run in runs)


def test_a_suspended_guard_takes_over_when_resumed(keeper_home, tmp_path):
    run = spawn_gated(keeper_home, tmp_path, "go", 6)
    os.kill(keeper_home.hello["guard"], signal.SIGSTOP)
    os.kill(keeper_home.hello["pid"], signal.SIGKILL)
    (tmp_path / "go").touch()
    wait_until(lambda: not is_alive(keeper_home.hello["pid"]), "dead")
    os.kill(keeper_home.hello["guard"], signal.SIGCONT)

    keeper_home.greet()
    wait_until(
        lambda: keeper_home.try_to_greet() and keeper_home.find_known(run)["is"] == "ended", "ended"
    )

    assert (keeper_home.find_known(run)["code"], keeper_home.find_known(run)["lost"]) == (6, False)


def test_the_pair_leaves_no_zombies_and_no_descriptors(keeper_home):
    def children(pid: int) -> int:
        listed = subprocess.run(
            ["ps", "--ppid", str(pid), "-o", "stat="], capture_output=True, text=True, check=False
        )
        return sum(line.startswith("Z") for line in listed.stdout.splitlines())

    for who in ["pid", "guard"] * 3:
        keeper_home.run_to_end("sh", "-c", "sleep 0 & exit 0")
        keeper_home.kill_one(who)
    keeper_home.send("forget", runs=[event["run"] for event in keeper_home.hello["runs"]])
    end = keeper_home.run_to_end("true")

    assert end["code"] == 0
    for one in ("pid", "guard"):
        assert children(keeper_home.hello[one]) == 0
        assert len(os.listdir(f"/proc/{keeper_home.hello[one]}/fd")) < 20
