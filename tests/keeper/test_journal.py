"""Tests of the journal: kept, truncated, copied, moved, removed, and on a full disk."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.keeper.keeper_home import KeeperHome
from tests.runtime_process import is_alive, wait_until

LIMITED_LAUNCHER = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
os.execv(sys.argv[2], sys.argv[2:])
"""


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


def test_forgetting_removes_journal_files_and_a_long_run_keeps_few(keeper_home):
    long = keeper_home.spawn("sleep", "60")
    for _ in range(15):
        runs = [keeper_home.spawn("/no/such/program", wait=False) for _ in range(200)]
        ends = [keeper_home.wait_for_event("ended", run)["run"] for run in runs]
        keeper_home.send("forget", runs=ends)
        keeper_home.drain()

    assert [event["run"] for event in keeper_home.greet()["runs"]] == [long]
    assert len(keeper_home.list_segments()) == 1 and int(keeper_home.list_segments()[0][:-4]) > 1
    keeper_home.kill_one("pid")
    assert keeper_home.find_known(long)["is"] == "started"


def test_the_journal_of_a_dead_pair_is_removed_when_forgotten(keeper_home):
    for who in ("pid", "guard", "pid"):
        keeper_home.run_to_end("true")
        keeper_home.kill_one(who)

    keeper_home.send("forget", runs=[event["run"] for event in keeper_home.hello["runs"]])
    keeper_home.drain()
    keeper_home.kill_one("pid")

    assert keeper_home.hello["runs"] == [] and keeper_home.list_segments() == []


def test_without_disk_space_a_spawn_is_refused_and_later_works(empty_home):
    keeper_home = empty_home
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limited = [sys.executable, "-c", LIMITED_LAUNCHER, str(100 * 1024)]
    keeper = [
        sys.executable,
        "-I",
        "-S",
        Path(__file__).parents[2] / "app" / "keeper" / "keeper.py",
        keeper_home.path,
    ]
    subprocess.run([*limited, *keeper], check=True)
    keeper_home.greet()

    run = keeper_home.spawn("true", wait=False)
    refused = keeper_home.wait_for_event("error", run)
    resource.prlimit(keeper_home.hello["pid"], resource.RLIMIT_FSIZE, (soft, hard))

    assert refused["code"] == "no-space" and not keeper_home.get_log_path(run).exists(), (
        "a log tells of a run that began"
    )
    assert (
        keeper_home.run_to_end("true", run=run)["code"] == 0
        and keeper_home.get_log_path(run).exists()
    )


def test_an_exit_that_cannot_be_written_is_kept_until_it_can(keeper_home, tmp_path):
    for _ in range(4):
        keeper_home.run_to_end("true")
    run = keeper_home.spawn(
        "sh", "-c", f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; exit 12"
    )
    keeper, limits = keeper_home.hello["pid"], resource.getrlimit(resource.RLIMIT_FSIZE)
    (segment,) = keeper_home.journal.iterdir()
    resource.prlimit(
        keeper, resource.RLIMIT_FSIZE, (len(segment.read_bytes().rstrip(b"\0")) + 20, limits[1])
    )

    (tmp_path / "go").touch()
    wait_until(lambda: "exit of" in keeper_home.socket.with_suffix(".log").read_text(), "said")
    resource.prlimit(keeper, resource.RLIMIT_FSIZE, limits)

    assert keeper_home.wait_for_event("ended", run)["code"] == 12
    keeper_home.kill_one("pid")
    assert keeper_home.find_known(run)["code"] == 12
