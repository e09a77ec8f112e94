"""Tests that killing keeper or guard loses nothing, and that unknown exits are reported as lost."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import uuid

import pytest

from tests.keeper.keeper_home import KeeperHome
from tests.runtime_process import is_alive, wait_until

GATED_SCRIPT = "while [ ! -e {0} ]; do sleep 0.01; done; exit {1}"


def spawn_gated(keeper_home, tmp_path, name, code):
    """Start a run that ends with the code once the file exists."""
    return keeper_home.spawn("sh", "-c", GATED_SCRIPT.format(tmp_path / name, code))


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


def test_a_reboot_ends_runs_as_lost(keeper_home):
    run = keeper_home.spawn("sleep", "60")
    keeper_home.kill_both()
    (segment,) = keeper_home.journal.iterdir()
    records = segment.read_bytes()
    segment.write_bytes(
        records.replace(keeper_home.hello["boot"].encode(), b"another-boot".ljust(36, b"-"))
    )

    keeper_home.restart()

    told = keeper_home.find_known(run)
    assert (told["lost"], told["reason"], told["again"]) == (True, "host restarted", True)


@pytest.mark.parametrize("known", ["pid", "intent"])
def test_a_copied_home_treats_foreign_runs_as_lost_and_stops_none(keeper_home, tmp_path, known):
    run = keeper_home.spawn("sleep", "60", wait=False)
    pid = keeper_home.wait_for_event("started", run)["pid"]
    copy = KeeperHome(tmp_path / "copy")
    shutil.copytree(keeper_home.journal, copy.journal)
    if known == "intent":
        (segment,) = copy.journal.iterdir()
        segment.write_bytes(
            b"".join(
                line
                for line in segment.read_bytes().splitlines(True)
                if not line.startswith(b'{"p"')
            )
        )

    try:
        copy.restart()
        told = copy.find_known(run)
        assert (told["lost"], told["reason"]) == (
            True,
            "the home was copied, or moved to another disk, while it ran",
        )
        copy.kill_both()
        copy.restart()
        assert copy.find_known(run)["again"] is False, "nobody starts again what may live on"
        copy.send("stop", run=run, reason="cancel", grace=0)
        copy.drain()
    finally:
        copy.kill_all()

    assert (
        is_alive(pid)
        and keeper_home.kill_one("pid")
        and keeper_home.find_known(run)["is"] == "started"
    )


def test_a_moved_home_keeps_its_runs(keeper_home, tmp_path):
    run = keeper_home.spawn("sleep", "60")
    keeper_home.kill_both()
    moved = KeeperHome(keeper_home.path.rename(tmp_path / "moved"))

    try:
        moved.restart()
        assert moved.find_known(run)["is"] == "started"
        moved.send("stop", run=run, reason="cancel", grace=1)
        assert moved.wait_for_event("ended", run)["stop"] == "cancel"
    finally:
        moved.kill_all()


@pytest.mark.parametrize(
    "tail", (b'{"i":"half-a-rec', b"[" * 100_000 + b"\n"), ids=("torn", "nested")
)
def test_a_truncated_last_record_is_ignored(keeper_home, tail):
    run = keeper_home.run_to_end("sh", "-c", "exit 3")["run"]
    keeper_home.kill_both()
    (segment,) = keeper_home.journal.iterdir()
    records = segment.read_bytes().rstrip(b"\0")
    segment.write_bytes(records + tail)

    keeper_home.restart()
    after = keeper_home.run_to_end("sh", "-c", "exit 4")["run"]
    keeper_home.kill_one("pid")

    assert (keeper_home.find_known(run)["code"], keeper_home.find_known(after)["code"]) == (3, 4)
    assert len(keeper_home.hello["runs"]) == 2


def test_an_intent_without_a_process_is_refused_permanently(keeper_home):
    run = str(uuid.uuid4())
    keeper = keeper_home.hello["pid"]
    keeper_home.run_to_end("true")  # creates a journal file
    os.kill(keeper, signal.SIGSTOP)
    (segment,) = keeper_home.journal.iterdir()
    write_intent(segment, run)

    keeper_home.kill_one("pid")
    keeper_home.spawn("true", run=run, wait=False)

    assert (
        keeper_home.find_known(run)
        == {"is": "refused", "run": run}
        == keeper_home.wait_for_event("refused", run)
    )


def test_an_intent_without_a_written_pid_is_found_again(keeper_home, tmp_path):
    run = spawn_gated(keeper_home, tmp_path, "go", 9)
    os.kill(keeper_home.hello["pid"], signal.SIGSTOP)
    (segment,) = keeper_home.journal.iterdir()
    truncate_after_intent(segment)

    keeper_home.kill_one("pid")
    assert keeper_home.find_known(run)["is"] == "started"
    (tmp_path / "go").touch()

    assert (
        keeper_home.wait_for_event("ended", run)["code"],
        keeper_home.find_known(run)["pid"] > 0,
    ) == (9, True)


def test_an_intent_of_an_ended_process_keeps_its_exit_code(keeper_home):
    run = keeper_home.spawn("sh", "-c", "exit 8", wait=False)
    keeper_home.wait_for_event("ended", run)
    slow = keeper_home.spawn("sh", "-c", "kill -STOP $PPID; exit 11", wait=False)
    keeper = keeper_home.hello["pid"]
    wait_until(lambda: b"T" in read_state(keeper), "the keeper is stopped by its own run")
    segment = max(keeper_home.journal.iterdir())
    truncate_after_intent(segment)

    keeper_home.kill_one("pid")
    end = keeper_home.find_known(slow)
    if end["is"] != "ended":
        end = keeper_home.wait_for_event("ended", slow)

    assert (keeper_home.find_known(run)["code"], end["code"]) == (8, 11)


def test_after_both_died_an_intent_is_found_by_its_cookie(keeper_home, tmp_path):
    run = spawn_gated(keeper_home, tmp_path, "go", 9)
    keeper_home.kill_both()
    (segment,) = keeper_home.journal.iterdir()
    truncate_after_intent(segment)

    keeper_home.restart()
    assert keeper_home.find_known(run)["is"] == "started"
    (tmp_path / "go").touch()

    assert keeper_home.wait_for_event("ended", run)["lost"]


def read_state(pid: int) -> bytes:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[0]


def write_intent(segment, run: str) -> None:
    """Append the record that a keeper writes before it starts a run."""
    records = segment.read_bytes().rstrip(b"\0").splitlines(keepends=True)
    intent = next(json.loads(line) for line in reversed(records) if line.startswith(b'{"i"'))
    segment.write_bytes(b"".join(records) + json.dumps(intent | {"i": run}).encode() + b"\n")


def truncate_after_intent(segment) -> None:
    """Remove the records after the last intent."""
    records = segment.read_bytes().rstrip(b"\0").splitlines(keepends=True)
    while not records[-1].startswith(b'{"i"'):
        records.pop()
    segment.write_bytes(b"".join(records))


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


def test_many_kills_leave_few_journal_files_and_descriptors(keeper_home):
    kept = []
    for who in ["pid", "guard"] * 8:
        kept.append(keeper_home.run_to_end("sh", "-c", "exit 3")["run"])
        keeper_home.kill_one(who)

    assert len(keeper_home.list_segments()) <= 6
    assert all(keeper_home.find_known(run)["code"] == 3 for run in kept)
    for one in ("pid", "guard"):
        assert len(os.listdir(f"/proc/{keeper_home.hello[one]}/fd")) < 20
    keeper_home.send("forget", runs=kept)
    keeper_home.drain()
    keeper_home.kill_one("pid")
    assert keeper_home.hello["runs"] == [] and keeper_home.list_segments() == []


def test_a_reboot_is_detected_with_any_number_of_journal_files(keeper_home):
    runs = []
    for _ in range(7):
        runs.append(keeper_home.spawn("sleep", "60"))
        keeper_home.kill_one("pid")
    assert all(keeper_home.find_known(run)["is"] == "started" for run in runs)
    keeper_home.kill_both()
    for segment in keeper_home.journal.iterdir():
        records = segment.read_bytes()
        segment.write_bytes(
            records.replace(keeper_home.hello["boot"].encode(), b"another-boot".ljust(36, b"-"))
        )

    keeper_home.restart()

    assert {keeper_home.find_known(run)["reason"] for run in runs} == {"host restarted"}
