"""Clients, refusals, forgetting, space, and the end of an idle keeper."""

import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from app.keeper import keeper
from app.version import VERSION


def test_the_hello_names_both_and_the_boot(kept):
    hello = kept.hello

    assert (hello["is"], hello["protocol"], hello["version"], hello["runs"]) == ("hello", keeper.PROTOCOL, VERSION, [])
    assert hello["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    parent = int(Path(f"/proc/{hello['pid']}/stat").read_text().rpartition(")")[2].split()[1])
    assert parent == hello["guard"]


def test_a_hello_closes_older_clients_and_what_they_had_sent_is_not_heard(home, tmp_path):
    older, keeper = home.sock, home.hello["pid"]
    os.kill(keeper, signal.SIGSTOP)
    home.sock = socket.socket(socket.AF_UNIX)
    late = str(uuid.uuid4())
    # The new hello is waiting in the backlog when the older client's request arrives.
    home.sock.connect(str(home.socket))
    home.send("hello", protocol=home.hello["protocol"], version="0.1.0")
    os.kill(keeper, signal.SIGCONT)
    assert home.next()["is"] == "hello"

    with pytest.raises(OSError):
        for _ in range(100):
            older.sendall(b'{"do":"refuse","run":"%s"}\n' % late.encode())
    older.close()
    home.greet()
    assert home.known(late) is None


def test_nobody_is_served_before_hello(kept):
    other = socket.socket(socket.AF_UNIX)
    other.connect(str(kept.socket))
    other.settimeout(20)

    other.sendall(b'{"do":"refuse","run":"x"}\n')

    assert b"say hello first" in other.recv(4096)
    other.close()


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"7", b"null", b'{"do":"fly"}', b'{"do":"spawn"}', b'{"do":"spawn","run":"x","argv":[]}']
    + [b'{"do":"stop","run":"x","reason":"r","grace":NaN}', b'{"do":"forget","runs":7}', b'{"do":["x"]}', b"[" * 9999]
    + [b'{"do":"spawn","run":"x","argv":"true","cwd":1,"env":{},"umask":0,"log":"/x","timeout":null,"grace":1}'],
)
def test_a_bad_request_is_answered_and_changes_nothing(kept, text):
    kept.sock.sendall(text + b"\n")

    assert kept.next()["code"] == "bad-request"
    assert kept.run("true")["code"] == 0
    assert kept.greet()["runs"][0]["code"] == 0 and len(kept.hello["runs"]) == 1


def test_a_refused_run_never_starts_even_after_kills(home):
    run = str(uuid.uuid4())

    home.send("refuse", run=run)
    assert home.event("refused", run) == {"is": "refused", "run": run}
    for who in ("pid", "guard"):
        home.kill(who)
        home.spawn("true", run=run, wait=False)

        assert home.next() == {"is": "refused", "run": run}


def test_a_refusal_that_comes_late_is_answered_with_what_is_known(kept):
    running = kept.spawn("sleep", "60")
    over = kept.run("sh", "-c", "exit 2")["run"]

    kept.send("refuse", run=running)
    kept.send("refuse", run=over)

    assert kept.event("started", running)["pid"]
    assert kept.event("ended", over)["code"] == 2


def test_an_end_stays_until_it_is_forgotten(home):
    first, second = home.run("true")["run"], home.run("false")["run"]

    assert {event["run"] for event in home.greet()["runs"]} == {first, second}
    home.send("forget", runs=[first, "unknown"])
    home.settle()
    assert {event["run"] for event in home.greet()["runs"]} == {second}
    home.kill("pid")
    assert {event["run"] for event in home.hello["runs"]} == {second}
    home.send("forget", runs=[second])
    home.settle()
    home.kill("guard")
    assert home.hello["runs"] == []


def test_a_living_run_cannot_be_forgotten(kept):
    run = kept.spawn("sleep", "60")

    kept.send("forget", runs=[run])

    assert kept.greet()["runs"][0]["run"] == run


def test_forgetting_removes_journal_files_and_a_long_run_keeps_few(home):
    long = home.spawn("sleep", "60")
    for _ in range(15):
        runs = [home.spawn("/no/such/program", wait=False) for _ in range(200)]
        ends = [home.event("ended", run)["run"] for run in runs]
        home.send("forget", runs=ends)
        home.settle()

    assert [event["run"] for event in home.greet()["runs"]] == [long]
    assert len(home.segments()) == 1 and int(home.segments()[0][:-4]) > 1
    home.kill("pid")
    assert home.known(long)["is"] == "started"


def test_the_journal_of_the_dead_goes_when_it_is_forgotten(home):
    for who in ("pid", "guard", "pid"):
        home.run("true")
        home.kill(who)

    home.send("forget", runs=[event["run"] for event in home.hello["runs"]])
    home.settle()
    home.kill("pid")

    assert home.hello["runs"] == [] and home.segments() == []


def test_without_space_a_spawn_is_refused_and_works_later(empty_home):
    home = empty_home
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limited = [sys.executable, "-c", LIMITED, str(100 * 1024)]
    keeper = [sys.executable, "-I", "-S", Path(__file__).parents[2] / "app" / "keeper" / "keeper.py", home.path]
    subprocess.run([*limited, *keeper], check=True)
    home.greet()

    run = home.spawn("true", wait=False)
    refused = home.event("error", run)
    resource.prlimit(home.hello["pid"], resource.RLIMIT_FSIZE, (soft, hard))

    assert refused["code"] == "no-space" and not home.log(run).exists(), "a log tells of a run that began"
    assert home.run("true", run=run)["code"] == 0 and home.log(run).exists()


def test_a_run_that_is_not_begun_for_want_of_a_guard_leaves_no_log(home, is_alive, wait_until):
    keeper, guard = home.hello["pid"], home.hello["guard"]
    os.kill(keeper, signal.SIGSTOP)
    run = home.spawn("true", wait=False)
    os.kill(guard, signal.SIGKILL)
    wait_until(lambda: not is_alive(guard), "the guard is gone")
    os.kill(keeper, signal.SIGCONT)
    home.greet()

    assert not home.known(run) and home.log(run).parent.is_dir() and not home.log(run).exists()
    assert home.run("true", run=run)["code"] == 0


LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_an_exit_that_cannot_be_written_is_kept_until_it_can(home, tmp_path, wait_until):
    for _ in range(4):
        home.run("true")
    run = home.spawn("sh", "-c", f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; exit 12")
    keeper, limits = home.hello["pid"], resource.getrlimit(resource.RLIMIT_FSIZE)
    (segment,) = home.journal.iterdir()
    resource.prlimit(keeper, resource.RLIMIT_FSIZE, (len(segment.read_bytes().rstrip(b"\0")) + 20, limits[1]))

    (tmp_path / "go").touch()
    wait_until(lambda: "exit of" in home.socket.with_suffix(".log").read_text(), "said")
    resource.prlimit(keeper, resource.RLIMIT_FSIZE, limits)

    assert home.event("ended", run)["code"] == 12
    home.kill("pid")
    assert home.known(run)["code"] == 12


def test_bye_ends_keeper_and_guard_when_nothing_runs(home, wait_until, is_alive):
    home.run("true")

    home.send("bye")

    wait_until(lambda: not is_alive(home.hello["pid"]) and not is_alive(home.hello["guard"]), "both gone")
    assert home.up() == 0 and home.greet()["runs"][0]["code"] == 0


def test_bye_leaves_what_runs_in_their_care(kept, is_alive):
    run = kept.spawn("sleep", "60")
    pids = kept.hello["pid"], kept.hello["guard"]

    kept.send("bye")

    assert kept.sock.recv(1) == b"" and all(map(is_alive, pids))
    assert kept.greet()["runs"][0]["run"] == run


def test_a_second_keeper_of_a_home_goes_away(kept):
    assert kept.up() == 4
    assert kept.run("true")["code"] == 0


def test_a_home_that_cannot_be_used_is_said(empty_home):
    empty_home.path.write_text("a file")

    assert empty_home.up() == 5


def test_a_home_with_a_very_long_path_works(tmp_path, empty_home):
    deep = tmp_path / ("d" * 120) / ("e" * 120)
    other = type(empty_home)(deep)
    try:
        assert other.up() == 0
        other.greet()
        assert other.run("sh", "-c", "exit 3")["code"] == 3
    finally:
        other.end()


def test_files_are_private(kept):
    kept.run("true")
    run = kept.path / "run"

    folders = {stat.S_IMODE(path.stat().st_mode) for path in (kept.path, run, kept.journal)}
    files = {stat.S_IMODE(path.stat().st_mode) for path in [*run.glob("keeper*"), *kept.journal.iterdir()]}

    assert (folders, files) == ({0o700}, {0o600})


def test_neither_of_the_two_carries_the_environment_of_a_run(empty_home, monkeypatch):
    monkeypatch.setenv("TASKDECK_RUNID", "someone-elses")
    monkeypatch.setenv("TASKDECK_TASK", "7")

    assert empty_home.up() == 0
    empty_home.greet()

    for pid in (empty_home.hello["pid"], empty_home.hello["guard"]):
        assert b"TASKDECK" not in Path(f"/proc/{pid}/environ").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_may_be_ignored_ends_neither(kept, is_alive, number):
    for one in ("pid", "guard"):
        os.kill(kept.hello[one], number)

    assert kept.run("true")["code"] == 0 and is_alive(kept.hello["guard"])


def test_an_idle_keeper_is_not_woken(home):
    def switches() -> list[str]:
        texts = [Path(f"/proc/{home.hello[one]}/status").read_text().splitlines() for one in ("pid", "guard")]
        return [line for text in texts for line in text if "ctxt_switches" in line]

    home.send("forget", runs=[home.run("true")["run"]])
    home.greet()
    subprocess.run(["sleep", "0.3"], check=True)
    before = switches()
    subprocess.run(["sleep", "0.6"], check=True)

    assert switches() == before


def test_a_very_long_request_is_read_soon(home):
    began = time.monotonic()

    home.send("refuse", run="x", ballast="x" * 24_000_000)
    home.event("refused", "x")

    assert time.monotonic() - began < 5


def test_a_line_without_end_closes_its_client_only(home):
    other = socket.socket(socket.AF_UNIX)
    other.connect(str(home.socket))

    with pytest.raises(OSError):
        for _ in range(40):
            other.sendall(b"x" * (1 << 20))
    other.close()

    assert home.run("true")["code"] == 0


def test_clients_that_say_nothing_crowd_nobody_out(kept):
    silent = [socket.socket(socket.AF_UNIX) for _ in range(100)]
    for one in silent:
        one.connect(str(kept.socket))
        kept.settle()

    assert kept.run("true")["code"] == 0
    assert len(os.listdir(f"/proc/{kept.hello['pid']}/fd")) < 60
    for one in silent:
        one.close()


def test_a_client_that_never_reads_holds_up_nothing_and_loses_nothing(home, wait_until, tmp_path):
    deaf, home.sock = home.sock, socket.socket(socket.AF_UNIX)
    ask = b'{"do":"refuse","run":"%s"}\n' % (b"y" * 100)
    deaf.settimeout(1)
    for _ in range(40):
        deaf.sendall(ask * 500)
    home.sock, spare = deaf, home.sock
    run = home.spawn("sh", "-c", "exit 7", wait=False)
    home.sock = spare
    wait_until(home.log(run).exists, "started although nobody reads")

    home.greet()
    wait_until(lambda: home.try_to_greet() and home.known(run)["is"] == "ended", "ended")

    assert home.known(run)["code"] == 7
    deaf.close()


def test_what_is_planned_for_runs_that_have_ended_is_cleared_away():
    one = keeper.Keeper.__new__(keeper.Keeper)
    one.house, one.ledger = keeper.House(None, keeper.Ledger(-1, "")), keeper.Ledger(-1, "")
    one.agenda, one.foreign = [], {}

    for number in range(1000):
        one.plan(1e9, keeper.Run(str(number)), 0)

    assert len(one.agenda) <= 64
