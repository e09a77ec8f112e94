"""`taskdeck --in-process` on a real terminal: deck and runtime are one process, and every promise holds all the same."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app import runtime_launcher
from tests.acceptance.acceptance_home import PROGRAM, House
from tests.acceptance.escape_sequences import faults
from tests.acceptance.terminal import Terminal
from tests.runtime_process import alive, end, until
from tests.tui.pty_process import OnPty

ROOT = Path(__file__).parents[2]
WITHIN = 5.0
"""Seconds in which it ends, whatever ends it."""

GATED = "until [ -e gate ]; do sleep 0.1; done; exit 5"


@pytest.fixture
def house(house: House) -> Iterator[House]:
    """A home whose jobs and keeper are killed at the end, which the others leave to a runtime."""
    yield house
    end(belongings(house))


def belongings(house: House) -> set[bytes]:
    """What all processes of a home are known by."""
    return {os.fsencode(house.home), b"HOME=" + os.fsencode(house.work.parent)}


def opened(house: House, columns: int = 80, rows: int = 24, **env: str) -> Terminal:
    """The deck with its runtime, which answers."""
    return house.terminal("--in-process", columns=columns, rows=rows, **env).wait("● ").wait("db ok")


def spoilt(house: House, fault: str) -> Terminal:
    """The same, of a program in which something was made to fail."""
    program = f"import sys; sys.argv = ['taskdeck', '--in-process']; {fault}; from app.__main__ import main; main()"
    env = house.env | {"PYTHONPATH": str(ROOT)}
    return Terminal([sys.executable, "-c", program], env, house.work, 120, 40)


def gated(house: House, deck: Terminal) -> tuple[str, int]:
    """A task that runs, and exits with 5 once the file `gate` is there: its number, and the pid of its process."""
    number = house.submit("-n", "gated", "--", "sh", "-c", GATED)
    deck.wait("● gated")
    return number, house.json("instances", number)[0]["pid"]


def ends_with_5(house: House, job: int) -> None:
    """The job went on, and ends while no runtime is up."""
    assert alive(job)
    (house.work / "gate").touch()
    until(lambda: not alive(job), "the job has ended")
    (house.work / "gate").unlink()


def told_of_5(house: House, number: str) -> bool:
    """The runtime that is up tells how a job ended before it, which was run once."""
    return house.td("wait", number).returncode == 5 and len(house.json("instances", number)) == 1


def ended_in_order(house: House) -> bool:
    """A runtime that closed all it had takes its name off the lock at last; and nobody wished it stopped."""
    return (house.home / "run" / "runtime.lock").read_text() == "" and not (house.home / "run" / "stopped").exists()


def left_to_itself(deck: Terminal) -> None:
    """`q`, and no runtime goes on."""
    deck.type("q").wait("Leave Taskdeck").wait("The job runs on to its end; nothing waits.")
    deck.wait("› b  Leave a runtime in the background").press("o", until="1 job goes on")
    assert deck.end(WITHIN) == 0
    assert "1 job goes on, 0 wait; no runtime is up. Back: taskdeck" in deck.text


def ended_by(number: signal.Signals) -> Callable[[Terminal], None]:
    """A signal."""

    def ended(deck: Terminal) -> None:
        os.kill(deck.pid, number)
        assert deck.end(WITHIN) == 128 + number
        assert "1 job goes on, 0 wait; no runtime is up." in deck.text and faults(bytes(deck.raw)) == []

    return ended


def closed(deck: Terminal) -> None:
    """Its window is."""
    deck.close(WITHIN)
    assert deck.code == 128 + signal.SIGHUP


def ended_while_stuck(deck: Terminal) -> None:
    """A signal, while nobody reads what it writes."""
    deck.clog()
    deck.type("\x0c" * 100)
    os.kill(deck.pid, signal.SIGTERM)
    assert deck.ends_unread(WITHIN)
    assert deck.end() == 128 + signal.SIGTERM and b"\x1b[?1049l" in deck.raw


def killed(deck: Terminal) -> None:
    """And nothing can be put in order."""
    os.kill(deck.pid, signal.SIGKILL)
    assert deck.end() == -signal.SIGKILL


ENDS = (left_to_itself, ended_by(signal.SIGINT), closed, ended_while_stuck, killed)


def test_whatever_ends_it_ends_it_in_order_and_the_next_runtime_tells_how_its_job_ended(house: House):
    before = None
    for end_it in ENDS:
        with opened(house) as deck:
            assert before is None or told_of_5(house, before)
            before, job = gated(house, deck)
            end_it(deck)
        assert ended_in_order(house) or end_it is killed
        ends_with_5(house, job)

    house.ok("serve", "--detach")
    assert told_of_5(house, before)


def test_a_terminal_that_goes_without_a_signal_ends_it_in_order_too_and_q_may_leave_a_runtime_that_goes_on_with_the_queue(house: House):
    with OnPty([os.fspath(PROGRAM), "--in-process"], env=house.env, cwd=house.work) as deck:
        deck.wait_for("q quit")
        task = house.submit("--", "sh", "-c", GATED)
        job = until(lambda: house.json("instances", task)[0]["pid"], "the job runs")
        assert deck.hang_up() == 128 + signal.SIGHUP

    assert ended_in_order(house)
    ends_with_5(house, job)

    with opened(house, 120, 40) as deck:
        assert told_of_5(house, task)
        house.ok("queue", "set", "default", "--capacity", "1")
        number, job = gated(house, deck)
        waits = house.submit("-n", "waits", "--", "true")
        deck.wait("○ waits").type("q").wait("The job runs on to its end; one waits for a new start.")
        deck.press("\r", until="1 job goes on, 1 wait")
        assert deck.end() == 0

    runtime = house.json("status")["runtime"]
    assert f"runtime pid {runtime['pid']}." in deck.text and runtime["pid"] != deck.pid and alive(job)
    (house.work / "gate").touch()
    assert [house.td("wait", one).returncode for one in (number, waits)] == [5, 0]


def test_other_runtimes_may_come_and_go_while_neither_job_nor_deck_ends_and_no_second_deck_has_its_own(house: House):
    with opened(house, 120, 40) as deck:
        assert runtime_launcher.lives_in_deck(str(house.home), deck.pid)
        task, job = gated(house, deck)
        house.ok("stop")
        deck.wait("stopped it (taskdeck stop). Nothing starts. The job runs on")
        assert (house.home / "run" / "stopped").exists()
        assert house.td("submit", "--", "true").returncode == 4

        process = os.pidfd_open(deck.pid)  # its lock is empty by now, and it lives on
        assert not runtime_launcher.lives_in_deck(str(house.home), deck.pid)
        assert runtime_launcher.ended(str(house.home), deck.pid, process, in_deck=True, seconds=WITHIN)
        os.close(process)

        house.ok("serve", "--detach")
        pid = house.json("status")["runtime"]["pid"]
        deck.wait(lambda t: f"● runtime {pid}" in t.text and "stopped it" not in t.text)
        house.ok("stop")
        deck.wait("stopped it (taskdeck stop).").type("S").wait(f"● runtime {deck.pid}")
        assert house.json("status")["runtime"]["pid"] == deck.pid and alive(job)

        house.ok("serve", "--replace", "--detach")
        pid = house.json("status")["runtime"]["pid"]
        assert pid != deck.pid and alive(job) and not (house.home / "run" / "stopped").exists()
        deck.wait(f"● runtime {pid}").type("q")
        assert deck.end() == 0

    assert f"1 job goes on, 0 wait; runtime pid {pid}." in deck.text
    (house.work / "gate").touch()
    assert told_of_5(house, task)

    with house.terminal("--in-process") as deck:
        assert deck.end() == 4
    assert f"taskdeck: a runtime already has this home: pid {pid}," in deck.text
    assert "See it: taskdeck" in deck.text and b"\x1b[?1049h" not in deck.raw
    assert house.json("status")["runtime"]["pid"] == pid


FAILS_ON_REQUEST = """
import asyncio, errno, os
from app.runtime.serve import Runtime
from app.runtime import embedded as inside
open_runtime = inside.open_runtime
async def ended(self):
    gate, loop, told = os.open('break', os.O_RDONLY | os.O_NONBLOCK), asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(gate, told.set)
    try:
        await told.wait()
    finally:
        loop.remove_reader(gate)
        os.close(gate)
    raise OSError(errno.EIO, 'Input/output error')
def opened(home):
    if os.path.exists('broken'):
        raise OSError(errno.EIO, 'Input/output error')
    return open_runtime(home)
Runtime.ended = ended
inside.open_runtime = opened
"""


def test_a_runtime_that_fails_leaves_the_deck_open_and_begins_again_by_itself(house: House):
    os.mkfifo(house.work / "break")
    with spoilt(house, f"exec({FAILS_ON_REQUEST!r})").wait("● runtime").wait("db ok") as deck:
        _, job = gated(house, deck)
        (house.work / "broken").touch()
        (house.work / "break").write_text("now")
        deck.wait("NO RUNTIME since").wait("Nothing starts. The job runs on; what ends is kept. Trying to start one.")
        deck.wait("cannot be used: Input/output error")
        (house.work / "broken").unlink()
        deck.wait("● runtime")

        assert house.json("status")["runtime"]["pid"] == deck.pid and alive(job)

    said = bytes(deck.raw).rpartition(b"\x1b")[0]  # it was cut off while it drew
    assert faults(said) == [] and "Traceback" not in deck.raw.decode()
    assert "the runtime failed" in (house.home / "run" / "runtime.log").read_text()


@pytest.mark.parametrize("fault", ["DeckScreen.on_mount = lambda self: 1 / 0", "TaskdeckApp.run = lambda self, **_: 1 / 0"])
def test_a_deck_that_fails_closes_its_runtime_in_order(house: House, fault: str):
    parts = "from app.tui.app import TaskdeckApp; from app.tui.screens.deck.screen import DeckScreen"
    with spoilt(house, f"{parts}; {fault}") as deck:
        assert deck.end() == 1

    assert "ZeroDivisionError" in deck.text and "Traceback" not in deck.raw.decode()
    assert ended_in_order(house)


def test_a_log_that_cannot_be_written_shows_nowhere_on_the_screen(house: House):
    (house.home / "run").mkdir(parents=True)
    (house.home / "run" / "runtime.log").symlink_to("/dev/full")

    with opened(house) as deck:
        house.submit("-n", "works", "--", "true")
        deck.wait("✓ works").type("q")
        assert deck.end() == 0

    assert "Nothing runs or waits; no runtime is up." in deck.text
    assert faults(bytes(deck.raw)) == [] and ended_in_order(house)
    assert "Logging error" not in deck.raw.decode() and "No space left" not in deck.raw.decode()


def test_every_key_is_heard_while_the_runtime_drains_a_long_queue(house: House):
    jobs = house.work / "jobs.jsonl"
    jobs.write_text('{"argv": ["true"]}\n' * 2000)
    with opened(house) as deck:
        house.ok("submit", "--from", jobs)
        for _ in range(3):
            deck.type("?").wait("Digits go places").type("q").wait(lambda t: "Digits go places" not in t.text)
            deck.type("/").type("zz").wait("zz").type("\x1b").wait(lambda t: "zz" not in t.text)

        assert house.json("status")["counts"]["queued"] > 0
        began = time.monotonic()
        os.kill(deck.pid, signal.SIGHUP)
        assert deck.end(WITHIN) == 128 + signal.SIGHUP
        assert time.monotonic() - began < WITHIN

    assert "wait; no runtime is up." in deck.text and faults(bytes(deck.raw)) == []
    assert ended_in_order(house)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--in-process"], "--in-process opens the deck, which needs a terminal. Without one: taskdeck serve"),
        (["--in-process", "ls"], "--in-process opens the deck, so no command goes with it. Type: taskdeck --in-process"),
        (["--read-only", "--in-process"], "it cannot be read only. To look only: taskdeck --read-only"),
        (["--home", "--in-process", "lss"], '"lss" is not a command.'),
        (["submit", "--in-process"], "--in-process"),
    ],
)
def test_what_cannot_be_is_a_usage_error_that_says_what_to_type(house: House, words: list[str], said: str):
    done = house.td(*words)

    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith("taskdeck: ") and said in done.stderr
    assert not house.home.exists()


@pytest.fixture(scope="module")
def deck(shared_house: House) -> Iterator[Terminal]:
    """One for the tests that leave it as it is, which are the last: typed into a job's shell, by a user whose files the group may write."""
    before = os.umask(0o002)
    try:
        deck = opened(shared_house, 120, 40, TASKDECK_RUNID="0123", TASKDECK_TASK="1")
    finally:
        os.umask(before)
    with deck:
        yield deck
    end(belongings(shared_house))


def test_jobs_run_through_it_and_commands_from_elsewhere_use_it(shared_house: House, deck: Terminal):
    number = shared_house.submit("-n", "made elsewhere", "--", "sh", "-c", "echo hello")
    deck.wait("✓ made elsewhere")

    assert shared_house.td("wait", number).returncode == 0
    assert shared_house.ok("logs", number) == "hello\n"
    assert [task["status"] for task in shared_house.json("ls")] == ["succeeded"]
    assert shared_house.json("status")["runtime"]["pid"] == deck.pid


def test_what_the_deck_submits_has_the_users_umask_and_directory_and_the_home_is_private(shared_house: House, deck: Terminal):
    deck.type("n").wait("Command")
    deck.type("touch by-the-form").wait("by-the-form").type("\n").wait("✓ touch")

    assert (shared_house.work / "by-the-form").stat().st_mode & 0o777 == 0o664
    assert {path.name for path in shared_house.home.rglob("*") if path.stat().st_mode & 0o077} == set()


def test_started_from_a_job_it_is_no_part_of_that_job(shared_house: House, deck: Terminal):
    environment = Path(f"/proc/{deck.pid}/environ").read_bytes()

    assert shared_house.json("status")["runtime"]["pid"] == deck.pid
    assert b"TASKDECK_RUNID" not in environment and b"TASKDECK_TASK" not in environment


def test_a_second_runtime_is_told_that_a_deck_has_the_home(shared_house: House, deck: Terminal):
    done = shared_house.td("serve")

    assert done.returncode == 4
    assert f"pid {deck.pid}," in done.stderr and "in a deck (--in-process). See it: taskdeck" in done.stderr


def test_the_question_before_it_ends_may_be_left_and_nothing_has_happened(shared_house: House, deck: Terminal):
    gated(shared_house, deck)

    for key in ("q", "\x1b"):
        deck.type("q").wait("Leave Taskdeck").type(key).wait(lambda t: "Leave Taskdeck" not in t.text and "● gated" in t.text)
        assert shared_house.json("status")["runtime"]["pid"] == deck.pid
