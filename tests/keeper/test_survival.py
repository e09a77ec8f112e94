"""Nothing is lost when keeper or guard is killed; what cannot be known is said to be lost."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import uuid

import pytest

from tests.keeper.keeper_home import Home

GATED = "while [ ! -e {0} ]; do sleep 0.01; done; exit {1}"


def gated(home, tmp_path, name, code):
    """A run that ends with the code once the file is there."""
    return home.spawn("sh", "-c", GATED.format(tmp_path / name, code))


@pytest.mark.parametrize("who", ["pid", "guard"])
def test_a_kill_of_one_of_the_two_loses_no_exit_code(home, tmp_path, who):
    for turn in range(4):
        runs = {gated(home, tmp_path, f"go{turn}", code): code for code in (0, 3, 42)}

        hello = home.kill(who)
        assert all(home.known(run)["is"] == "started" for run in runs)
        assert hello["pid"] != hello["guard"]
        (tmp_path / f"go{turn}").touch()
        ends = [home.next() for _ in runs]

        assert {end["run"]: end["code"] for end in ends} == runs
        assert all(end["cpu"] is not None and end["maxrss"] and not end["lost"] for end in ends)
        home.send("forget", runs=list(runs))
        home.settle()


@pytest.mark.parametrize("who", ["pid", "guard"])
def test_an_end_while_nobody_listens_is_in_the_next_hello(home, tmp_path, who, wait_until):
    run = gated(home, tmp_path, "go", 5)
    home.sock.close()

    (tmp_path / "go").touch()
    home.greet()
    wait_until(lambda: home.try_to_greet() and home.known(run)["is"] == "ended", "ended")
    home.kill(who)

    assert (home.known(run)["code"], home.known(run)["lost"]) == (5, False)


def test_new_work_runs_after_each_kill(home):
    for who in ["pid", "guard", "guard", "pid"]:
        home.kill(who)

        assert home.run("sh", "-c", "exit 6")["code"] == 6


def test_both_killed_within_its_life_ends_a_run_as_lost_when_it_ends(home, tmp_path):
    run = gated(home, tmp_path, "go", 0)

    home.kill_both()
    home.revive()
    assert home.known(run)["is"] == "started"
    (tmp_path / "go").touch()
    end = home.event("ended", run)

    assert (end["lost"], end["reason"], end["code"], end["signal"]) == (True, "supervisors killed", None, None)


def test_one_after_the_other_killed_within_its_life_ends_a_run_as_lost(home, tmp_path):
    run = gated(home, tmp_path, "go", 0)

    home.kill("pid")
    home.kill("guard")
    (tmp_path / "go").touch()

    assert home.event("ended", run)["reason"] == "supervisors killed"


def test_a_run_that_ended_while_both_were_dead_is_lost_at_once(home, tmp_path, wait_until, is_alive):
    run = home.spawn("sh", "-c", GATED.format(tmp_path / "go", 0), wait=False)
    pid = home.event("started", run)["pid"]
    home.kill_both()

    (tmp_path / "go").touch()
    wait_until(lambda: not is_alive(pid), "ended")
    home.revive()

    assert (home.known(run)["lost"], home.known(run)["reason"]) == (True, "supervisors killed")


def test_a_run_without_supervisors_is_still_stopped_and_keeps_its_deadline(home):
    cancelled = home.spawn("sleep", "60")
    overdue = home.spawn("sleep", "60", timeout=0.1, grace=0.5)

    home.kill_both()
    home.revive()
    home.send("stop", run=cancelled, reason="cancel", grace=1)
    ends = {}
    while len(ends) < 2:
        event = home.next()
        if event["is"] == "ended":
            ends[event["run"]] = (event["stop"], event["lost"])

    assert ends == {cancelled: ("cancel", True), overdue: ("timeout", True)}


def test_a_pid_that_was_given_to_another_process_is_neither_watched_nor_stopped(home, is_alive):
    run = home.spawn("sleep", "60", wait=False)
    start = home.event("started", run)
    home.kill_both()
    (segment,) = home.journal.iterdir()
    began = b'"ticks":%d' % start["ticks"]
    segment.write_bytes(segment.read_bytes().replace(began, began[:-1] + (b"0" if began[-1:] != b"0" else b"1")))

    home.revive()
    home.send("stop", run=run, reason="cancel", grace=0)
    end = home.event("ended", run)

    assert (end["lost"], end["reason"]) == (True, "supervisors killed")
    assert is_alive(start["pid"])


def test_a_restarted_host_ends_its_runs_as_lost(home):
    run = home.spawn("sleep", "60")
    home.kill_both()
    (segment,) = home.journal.iterdir()
    records = segment.read_bytes()
    segment.write_bytes(records.replace(home.hello["boot"].encode(), b"another-boot".ljust(36, b"-")))

    home.revive()

    told = home.known(run)
    assert (told["lost"], told["reason"], told["again"]) == (True, "host restarted", True)


@pytest.mark.parametrize("known", ["pid", "intent"])
def test_in_a_copy_of_a_home_what_runs_in_the_other_is_lost_and_never_stopped(home, tmp_path, is_alive, known):
    run = home.spawn("sleep", "60", wait=False)
    pid = home.event("started", run)["pid"]
    copy = Home(tmp_path / "copy")
    shutil.copytree(home.journal, copy.journal)
    if known == "intent":
        (segment,) = copy.journal.iterdir()
        segment.write_bytes(b"".join(line for line in segment.read_bytes().splitlines(True) if not line.startswith(b'{"p"')))

    try:
        copy.revive()
        told = copy.known(run)
        assert (told["lost"], told["reason"]) == (True, "the home was copied, or moved to another disk, while it ran")
        copy.kill_both()
        copy.revive()
        assert copy.known(run)["again"] is False, "nobody starts again what may live on"
        copy.send("stop", run=run, reason="cancel", grace=0)
        copy.settle()
    finally:
        copy.end()

    assert is_alive(pid) and home.kill("pid") and home.known(run)["is"] == "started"


def test_a_home_that_was_moved_goes_on_with_what_runs(home, tmp_path):
    run = home.spawn("sleep", "60")
    home.kill_both()
    moved = Home(home.path.rename(tmp_path / "moved"))

    try:
        moved.revive()
        assert moved.known(run)["is"] == "started"
        moved.send("stop", run=run, reason="cancel", grace=1)
        assert moved.event("ended", run)["stop"] == "cancel"
    finally:
        moved.end()


@pytest.mark.parametrize("tail", (b'{"i":"half-a-rec', b"[" * 100_000 + b"\n"), ids=("torn", "nested"))
def test_a_last_line_that_is_no_record_is_passed_over(home, tail):
    run = home.run("sh", "-c", "exit 3")["run"]
    home.kill_both()
    (segment,) = home.journal.iterdir()
    records = segment.read_bytes().rstrip(b"\0")
    segment.write_bytes(records + tail)

    home.revive()
    after = home.run("sh", "-c", "exit 4")["run"]
    home.kill("pid")

    assert (home.known(run)["code"], home.known(after)["code"]) == (3, 4)
    assert len(home.hello["runs"]) == 2


def test_an_intent_that_never_became_a_process_is_refused_for_good(home):
    run = str(uuid.uuid4())
    keeper = home.hello["pid"]
    home.run("true")  # so that there is a journal file
    os.kill(keeper, signal.SIGSTOP)
    (segment,) = home.journal.iterdir()
    write_intent(segment, run)

    home.kill("pid")
    home.spawn("true", run=run, wait=False)

    assert home.known(run) == {"is": "refused", "run": run} == home.event("refused", run)


def test_an_intent_whose_pid_was_not_written_is_found_again(home, tmp_path):
    run = gated(home, tmp_path, "go", 9)
    os.kill(home.hello["pid"], signal.SIGSTOP)
    (segment,) = home.journal.iterdir()
    cut_after_intent(segment)

    home.kill("pid")
    assert home.known(run)["is"] == "started"
    (tmp_path / "go").touch()

    assert (home.event("ended", run)["code"], home.known(run)["pid"] > 0) == (9, True)


def test_an_intent_whose_process_has_ended_already_keeps_its_exit_code(home, wait_until):
    run = home.spawn("sh", "-c", "exit 8", wait=False)
    home.event("ended", run)
    slow = home.spawn("sh", "-c", "kill -STOP $PPID; exit 11", wait=False)
    keeper = home.hello["pid"]
    wait_until(lambda: b"T" in state(keeper), "the keeper is stopped by its own run")
    segment = max(home.journal.iterdir())
    cut_after_intent(segment)

    home.kill("pid")
    end = home.known(slow)
    if end["is"] != "ended":
        end = home.event("ended", slow)

    assert (home.known(run)["code"], end["code"]) == (8, 11)


def test_after_both_died_an_intent_is_found_by_its_cookie(home, tmp_path):
    run = gated(home, tmp_path, "go", 9)
    home.kill_both()
    (segment,) = home.journal.iterdir()
    cut_after_intent(segment)

    home.revive()
    assert home.known(run)["is"] == "started"
    (tmp_path / "go").touch()

    assert home.event("ended", run)["lost"]


def state(pid: int) -> bytes:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[0]


def write_intent(segment, run: str) -> None:
    """Add what a keeper writes before it starts a run."""
    records = segment.read_bytes().rstrip(b"\0").splitlines(keepends=True)
    intent = next(json.loads(line) for line in reversed(records) if line.startswith(b'{"i"'))
    segment.write_bytes(b"".join(records) + json.dumps(intent | {"i": run}).encode() + b"\n")


def cut_after_intent(segment) -> None:
    """Take away what was written after the last intent."""
    records = segment.read_bytes().rstrip(b"\0").splitlines(keepends=True)
    while not records[-1].startswith(b'{"i"'):
        records.pop()
    segment.write_bytes(b"".join(records))


def test_three_hundred_runs_and_ten_kills_lose_nothing(home, tmp_path):
    codes, ends, victims = {}, {}, itertools.cycle(["pid", "guard"])
    for turn in range(10):
        for number in range(30):
            code = (turn + number) % 5
            run = home.spawn("sh", "-c", f"echo >> {tmp_path}/ran.{turn}.{number}; exit {code}", wait=False)
            codes[run] = (code, turn, number)
        home.settle()
        home.kill(next(victims))
        ends |= {event["run"]: event for event in home.hello["runs"] if event["is"] == "ended"}
        while ends.keys() != codes.keys():
            event = home.next()
            if event["is"] == "ended":
                ends[event["run"]] = event

    assert not any(end["lost"] for end in ends.values())
    assert {run: end["code"] for run, end in ends.items()} == {run: code for run, (code, *_) in codes.items()}
    assert all((tmp_path / f"ran.{t}.{n}").read_text() == "\n" for _, t, n in codes.values())


def test_without_a_guard_nothing_is_started(home, wait_until, is_alive):
    os.kill(home.hello["pid"], signal.SIGSTOP)
    runs = [home.spawn("true", wait=False) for _ in range(10)]
    os.kill(home.hello["guard"], signal.SIGKILL)
    wait_until(lambda: not is_alive(home.hello["guard"]), "dead")
    os.kill(home.hello["pid"], signal.SIGCONT)

    home.greet()

    assert not any(home.known(run) for run in runs)


def test_a_guard_that_was_asleep_takes_over_when_it_wakes(home, tmp_path, wait_until, is_alive):
    run = gated(home, tmp_path, "go", 6)
    os.kill(home.hello["guard"], signal.SIGSTOP)
    os.kill(home.hello["pid"], signal.SIGKILL)
    (tmp_path / "go").touch()
    wait_until(lambda: not is_alive(home.hello["pid"]), "dead")
    os.kill(home.hello["guard"], signal.SIGCONT)

    home.greet()
    wait_until(lambda: home.try_to_greet() and home.known(run)["is"] == "ended", "ended")

    assert (home.known(run)["code"], home.known(run)["lost"]) == (6, False)


def test_the_pair_leaves_no_zombies_and_no_descriptors(home):
    def children(pid: int) -> int:
        listed = subprocess.run(["ps", "--ppid", str(pid), "-o", "stat="], capture_output=True, text=True, check=False)
        return sum(line.startswith("Z") for line in listed.stdout.splitlines())

    for who in ["pid", "guard"] * 3:
        home.run("sh", "-c", "sleep 0 & exit 0")
        home.kill(who)
    home.send("forget", runs=[event["run"] for event in home.hello["runs"]])
    end = home.run("true")

    assert end["code"] == 0
    for one in ("pid", "guard"):
        assert children(home.hello[one]) == 0
        assert len(os.listdir(f"/proc/{home.hello[one]}/fd")) < 20


def test_many_kills_leave_few_journal_files_and_descriptors_however_much_is_remembered(home):
    kept = []
    for who in ["pid", "guard"] * 8:
        kept.append(home.run("sh", "-c", "exit 3")["run"])
        home.kill(who)

    assert len(home.segments()) <= 6
    assert all(home.known(run)["code"] == 3 for run in kept)
    for one in ("pid", "guard"):
        assert len(os.listdir(f"/proc/{home.hello[one]}/fd")) < 20
    home.send("forget", runs=kept)
    home.settle()
    home.kill("pid")
    assert home.hello["runs"] == [] and home.segments() == []


def test_a_restarted_host_is_noticed_whatever_the_number_of_journal_files(home):
    runs = []
    for _ in range(7):
        runs.append(home.spawn("sleep", "60"))
        home.kill("pid")
    assert all(home.known(run)["is"] == "started" for run in runs)
    home.kill_both()
    for segment in home.journal.iterdir():
        records = segment.read_bytes()
        segment.write_bytes(records.replace(home.hello["boot"].encode(), b"another-boot".ljust(36, b"-")))

    home.revive()

    assert {home.known(run)["reason"] for run in runs} == {"host restarted"}
