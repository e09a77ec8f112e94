"""Tests of intents without a pid, which a dead keeper left."""

import json
import os
import signal
import uuid

from tests.keeper.keeper_home import spawn_gated
from tests.runtime_process import wait_until


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
