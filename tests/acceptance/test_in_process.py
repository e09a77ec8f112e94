"""Acceptance tests of `taskdeck --in-process`: deck and runtime in one process."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app import runtime_launcher
from tests.acceptance.acceptance_home import PROGRAM, AcceptanceHome
from tests.acceptance.escape_sequences import find_faults
from tests.acceptance.terminal import Terminal
from tests.runtime_process import is_alive, kill_processes, wait_until
from tests.tui.pty_process import PtyProcess

ROOT = Path(__file__).parents[2]
END_TIMEOUT = 5.0
"""Seconds within which the process must end."""

GATED_SCRIPT = "until [ -e gate ]; do sleep 0.1; done; exit 5"


@pytest.fixture
def acceptance_home(acceptance_home: AcceptanceHome) -> Iterator[AcceptanceHome]:
    """Yield a home whose jobs and keeper are killed at the end."""
    yield acceptance_home
    kill_processes(list_marks(acceptance_home))


def list_marks(house: AcceptanceHome) -> set[bytes]:
    """Return the marks of all processes of a home."""
    return {os.fsencode(house.home), b"HOME=" + os.fsencode(house.work.parent)}


def open_deck(house: AcceptanceHome, columns: int = 80, rows: int = 24, **env: str) -> Terminal:
    """Open the deck with its runtime and wait for both."""
    return house.open_terminal("--in-process", columns=columns, rows=rows, **env).wait(
        lambda t: "● ok" in t.text or "● runtime ok" in t.text
    )


def open_faulty_deck(house: AcceptanceHome, fault: str) -> Terminal:
    """Open the deck of a program with an injected fault."""
    program = (
        f"import sys; sys.argv = ['taskdeck', '--in-process']; {fault}; from app.__main__ import"
        " main; main()"
    )
    env = house.env | {"PYTHONPATH": str(ROOT)}
    return Terminal([sys.executable, "-c", program], env, house.work, 120, 40)


def submit_gated(house: AcceptanceHome, deck: Terminal) -> tuple[str, int]:
    """Submit a task that exits with 5 once the file `gate` exists.

    Return its number and the pid of its process.
    """
    number = house.submit("-n", "gated", "--", "sh", "-c", GATED_SCRIPT)
    deck.wait("● gated")
    return number, house.run_json("instances", number)[0]["pid"]


def let_job_end(house: AcceptanceHome, job: int) -> None:
    """Check that the job is running, and let it end while no runtime runs."""
    assert is_alive(job)
    (house.work / "gate").touch()
    wait_until(lambda: not is_alive(job), "the job has ended")
    (house.work / "gate").unlink()


def is_result_known(house: AcceptanceHome, number: str) -> bool:
    """Return true if the runtime knows the exit code of a job that ran once before it."""
    return (
        house.run_cli("wait", number).returncode == 5
        and len(house.run_json("instances", number)) == 1
    )


def is_closed_cleanly(house: AcceptanceHome) -> bool:
    """Return true if the runtime has cleared its lock file and was not stopped by a user."""
    return (house.home / "run" / "runtime.lock").read_text() == "" and not (
        house.home / "run" / "stopped"
    ).exists()


def quit_without_runtime(deck: Terminal) -> None:
    """Quit with `q` without leaving a runtime."""
    deck.type("q").wait("Leave Taskdeck").wait("The job continues to its end. No task waits.")
    deck.wait("› b  Leave a runtime in the background").press("o", until="1 job continues")
    assert deck.end(END_TIMEOUT) == 0
    assert "1 job continues. No runtime is running. Back: taskdeck" in deck.text


def make_signal_end(number: signal.Signals) -> Callable[[Terminal], None]:
    """Return a function that ends the deck by a signal."""

    def ended(deck: Terminal) -> None:
        os.kill(deck.pid, number)
        assert deck.end(END_TIMEOUT) == 128 + number
        assert (
            "1 job continues. No runtime is running." in deck.text
            and find_faults(bytes(deck.raw)) == []
        )

    return ended


def close_window(deck: Terminal) -> None:
    """Close the deck's window."""
    deck.close(END_TIMEOUT)
    assert deck.code == 128 + signal.SIGHUP


def end_unread(deck: Terminal) -> None:
    """Send a signal while nobody reads the deck's output."""
    deck.block_output()
    deck.type("\x0c" * 100)
    os.kill(deck.pid, signal.SIGTERM)
    assert deck.is_ended_unread(END_TIMEOUT)
    assert deck.end() == 128 + signal.SIGTERM and b"\x1b[?1049l" in deck.raw


def kill_deck(deck: Terminal) -> None:
    """Kill the deck without a chance to clean up."""
    os.kill(deck.pid, signal.SIGKILL)
    assert deck.end() == -signal.SIGKILL


WAYS_TO_END = (
    quit_without_runtime,
    make_signal_end(signal.SIGINT),
    close_window,
    end_unread,
    kill_deck,
)


def test_every_end_is_clean_and_the_next_runtime_knows_the_result(acceptance_home: AcceptanceHome):
    before = None
    for end_it in WAYS_TO_END:
        with open_deck(acceptance_home) as deck:
            assert before is None or is_result_known(acceptance_home, before)
            before, job = submit_gated(acceptance_home, deck)
            end_it(deck)
        assert is_closed_cleanly(acceptance_home) or end_it is kill_deck
        let_job_end(acceptance_home, job)

    acceptance_home.run_ok("serve", "--detach")
    assert is_result_known(acceptance_home, before)


def test_a_lost_terminal_ends_it_cleanly_and_q_may_start_a_runtime(acceptance_home: AcceptanceHome):
    with PtyProcess(
        [os.fspath(PROGRAM), "--in-process"], env=acceptance_home.env, cwd=acceptance_home.work
    ) as deck:
        deck.wait_for("q quit")
        task = acceptance_home.submit("--", "sh", "-c", GATED_SCRIPT)
        job = wait_until(
            lambda: acceptance_home.run_json("instances", task)[0]["pid"], "the job runs"
        )
        assert deck.hang_up() == 128 + signal.SIGHUP

    assert is_closed_cleanly(acceptance_home)
    let_job_end(acceptance_home, job)

    with open_deck(acceptance_home, 120, 40) as deck:
        assert is_result_known(acceptance_home, task)
        acceptance_home.run_ok("queue", "set", "default", "--capacity", "1")
        number, job = submit_gated(acceptance_home, deck)
        waits = acceptance_home.submit("-n", "waits", "--", "true")
        deck.wait("○ waits").type("q").wait(
            "The job continues to its end. One task waits for a runtime."
        )
        deck.press("\r", until="1 job continues. 1 task waits")
        assert deck.end() == 0

    runtime = acceptance_home.run_json("status")["runtime"]
    assert (
        f"The runtime stays up (pid {runtime['pid']})." in deck.text
        and runtime["pid"] != deck.pid
        and is_alive(job)
    )
    (acceptance_home.work / "gate").touch()
    assert [acceptance_home.run_cli("wait", one).returncode for one in (number, waits)] == [5, 0]


def test_runtimes_come_and_go_beside_one_deck_and_its_job(acceptance_home: AcceptanceHome):
    with open_deck(acceptance_home, 120, 40) as deck:
        assert runtime_launcher.is_in_deck(str(acceptance_home.home), deck.pid)
        task, job = submit_gated(acceptance_home, deck)
        acceptance_home.run_ok("stop")
        deck.wait("stopped it (taskdeck stop). Nothing starts. 1 job continues")
        assert (acceptance_home.home / "run" / "stopped").exists()
        assert acceptance_home.run_cli("submit", "--", "true").returncode == 4

        process = os.pidfd_open(deck.pid)  # its lock file is empty by now, but the deck still runs
        assert not runtime_launcher.is_in_deck(str(acceptance_home.home), deck.pid)
        assert runtime_launcher.wait_for_end(
            str(acceptance_home.home), deck.pid, process, in_deck=True, seconds=END_TIMEOUT
        )
        os.close(process)

        acceptance_home.run_ok("serve", "--detach")
        deck.wait(lambda t: "● runtime ok" in t.text and "stopped it" not in t.text)
        acceptance_home.run_ok("stop")
        deck.wait("stopped it (taskdeck stop).").type("S").wait("● runtime ok")
        assert acceptance_home.run_json("status")["runtime"]["pid"] == deck.pid and is_alive(job)

        acceptance_home.run_ok("serve", "--replace", "--detach")
        pid = acceptance_home.run_json("status")["runtime"]["pid"]
        assert (
            pid != deck.pid
            and is_alive(job)
            and not (acceptance_home.home / "run" / "stopped").exists()
        )
        acceptance_home.submit("-n", "seen", "--", "true")
        deck.wait("✓ seen").type("q")
        assert deck.end() == 0

    assert f"1 job continues. The runtime stays up (pid {pid})." in deck.text
    (acceptance_home.work / "gate").touch()
    assert is_result_known(acceptance_home, task)

    with acceptance_home.open_terminal("--in-process") as deck:
        assert deck.end() == 4
    assert f"taskdeck: a runtime already has this home: pid {pid}," in deck.text
    assert "See it: taskdeck" in deck.text and b"\x1b[?1049h" not in deck.raw
    assert acceptance_home.run_json("status")["runtime"]["pid"] == pid


FAILS_ON_REQUEST = """
import asyncio, errno, os
from app.runtime.serve import Runtime
from app.runtime import embedded as inside
open_runtime = inside.open_runtime
async def ended(self):
    gate = os.open('break', os.O_RDONLY | os.O_NONBLOCK)
    loop, told = asyncio.get_running_loop(), asyncio.Event()
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
Runtime.wait_for_end = ended
inside.open_runtime = opened
"""


def test_a_failing_runtime_leaves_the_deck_open_and_restarts(acceptance_home: AcceptanceHome):
    os.mkfifo(acceptance_home.work / "break")
    with (
        open_faulty_deck(acceptance_home, f"exec({FAILS_ON_REQUEST!r})")
        .wait("● runtime")
        .wait("db ok") as deck
    ):
        _, job = submit_gated(acceptance_home, deck)
        (acceptance_home.work / "broken").touch()
        (acceptance_home.work / "break").write_text("now")
        deck.wait("NO RUNTIME since").wait(
            "Nothing starts. 1 job continues; its end is recorded. Trying to start one."
        )
        deck.wait("cannot be used: Input/output error")
        (acceptance_home.work / "broken").unlink()
        deck.wait("● runtime")

        assert acceptance_home.run_json("status")["runtime"]["pid"] == deck.pid and is_alive(job)

    said = bytes(deck.raw).rpartition(b"\x1b")[0]  # the output was cut off within a sequence
    assert find_faults(said) == [] and "Traceback" not in deck.raw.decode()
    assert "the runtime failed" in (acceptance_home.home / "run" / "runtime.log").read_text()


@pytest.mark.parametrize(
    "fault",
    ["DeckScreen.on_mount = lambda self: 1 / 0", "TaskdeckApp.run = lambda self, **_: 1 / 0"],
)
def test_a_failing_deck_closes_its_runtime_cleanly(acceptance_home: AcceptanceHome, fault: str):
    parts = (
        "from app.tui.app import TaskdeckApp; from app.tui.screens.deck.screen import DeckScreen"
    )
    with open_faulty_deck(acceptance_home, f"{parts}; {fault}") as deck:
        assert deck.end() == 1

    assert "ZeroDivisionError" in deck.text and "Traceback" not in deck.raw.decode()
    assert is_closed_cleanly(acceptance_home)


def test_an_unwritable_log_does_not_show_on_the_screen(acceptance_home: AcceptanceHome):
    (acceptance_home.home / "run").mkdir(parents=True)
    (acceptance_home.home / "run" / "runtime.log").symlink_to("/dev/full")

    with open_deck(acceptance_home) as deck:
        acceptance_home.submit("-n", "works", "--", "true")
        deck.wait("✓ works").type("q")
        assert deck.end() == 0

    assert "No task is running or waiting. No runtime is running." in deck.text
    assert find_faults(bytes(deck.raw)) == [] and is_closed_cleanly(acceptance_home)
    assert "Logging error" not in deck.raw.decode() and "No space left" not in deck.raw.decode()


def test_every_key_is_obeyed_while_the_runtime_drains_a_long_queue(acceptance_home: AcceptanceHome):
    jobs = acceptance_home.work / "jobs.jsonl"
    jobs.write_text('{"argv": ["true"]}\n' * 2000)
    with open_deck(acceptance_home) as deck:
        acceptance_home.run_ok("submit", "--from", jobs)
        for _ in range(3):
            deck.type("?").wait("The deck as a whole").type("q").wait(
                lambda t: "The deck as a whole" not in t.text
            )
            deck.type("/").type("zz").wait("zz").type("\x1b").wait(lambda t: "zz" not in t.text)

        assert acceptance_home.run_json("status")["counts"]["queued"] > 0
        began = time.monotonic()
        os.kill(deck.pid, signal.SIGHUP)
        assert deck.end(END_TIMEOUT) == 128 + signal.SIGHUP
        assert time.monotonic() - began < END_TIMEOUT

    assert "wait. No runtime is running." in deck.text and find_faults(bytes(deck.raw)) == []
    assert is_closed_cleanly(acceptance_home)


def test_version_and_help_need_no_terminal(acceptance_home: AcceptanceHome):
    version = acceptance_home.run_ok("version")

    assert acceptance_home.run_ok("--in-process", "--version") == version
    assert acceptance_home.run_ok("--in-process", "--help", "submit").startswith("usage:")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--in-process"],
            (
                "--in-process opens the deck, which needs a terminal. Without a terminal: taskdeck "
                "serve"
            ),
        ),
        (
            ["--in-process", "ls"],
            "--in-process opens the deck and takes no command. Use: taskdeck --in-process",
        ),
        (
            ["--read-only", "--in-process"],
            "it cannot be read-only. To view only: taskdeck --read-only",
        ),
        (["--home", "--in-process", "lss"], '"lss" is not a command.'),
        (["submit", "--in-process"], "--in-process"),
    ],
)
def test_impossible_options_are_usage_errors_with_a_hint(
    acceptance_home: AcceptanceHome, words: list[str], said: str
):
    done = acceptance_home.run_cli(*words)

    assert (
        (done.returncode, done.stdout) == (2, "")
        and done.stderr.startswith("taskdeck: ")
        and said in done.stderr
    )
    assert not acceptance_home.home.exists()


@pytest.fixture(scope="module")
def deck(shared_home: AcceptanceHome) -> Iterator[Terminal]:
    """Yield one deck for the last tests, which do not change it.

    It is started from the shell of a job, by a user whose files are group-writable.
    """
    before = os.umask(0o002)
    try:
        deck = open_deck(shared_home, 120, 40, TASKDECK_RUNID="0123", TASKDECK_TASK="1")
    finally:
        os.umask(before)
    with deck:
        yield deck
    kill_processes(list_marks(shared_home))


def test_jobs_run_and_outside_commands_use_its_runtime(shared_home: AcceptanceHome, deck: Terminal):
    number = shared_home.submit("-n", "made elsewhere", "--", "sh", "-c", "echo hello")
    deck.wait("✓ made elsewhere")

    assert shared_home.run_cli("wait", number).returncode == 0
    assert shared_home.run_ok("logs", number) == "hello\n"
    assert [task["status"] for task in shared_home.run_json("ls")] == ["succeeded"]
    assert shared_home.run_json("status")["runtime"]["pid"] == deck.pid


def test_submissions_use_the_users_umask_and_the_home_is_private(
    shared_home: AcceptanceHome, deck: Terminal
):
    deck.type("n").wait("Command")
    deck.type("touch by-the-form").wait("by-the-form").type("\n").wait("✓ touch")

    assert (shared_home.work / "by-the-form").stat().st_mode & 0o777 == 0o664
    assert {
        path.name for path in shared_home.home.rglob("*") if path.stat().st_mode & 0o077
    } == set()


def test_a_deck_started_from_a_job_is_not_part_of_the_job(
    shared_home: AcceptanceHome, deck: Terminal
):
    environment = Path(f"/proc/{deck.pid}/environ").read_bytes()

    assert shared_home.run_json("status")["runtime"]["pid"] == deck.pid
    assert b"TASKDECK_RUNID" not in environment and b"TASKDECK_TASK" not in environment


def test_a_second_runtime_is_told_of_the_deck(shared_home: AcceptanceHome, deck: Terminal):
    done = shared_home.run_cli("serve")

    assert done.returncode == 4
    assert (
        f"pid {deck.pid}," in done.stderr
        and "in a deck (--in-process). See it: taskdeck" in done.stderr
    )


def test_the_quit_question_can_be_dismissed(shared_home: AcceptanceHome, deck: Terminal):
    submit_gated(shared_home, deck)

    for key in ("q", "\x1b"):
        deck.type("q").wait("Leave Taskdeck").type(key).wait(
            lambda t: "Leave Taskdeck" not in t.text and "● gated" in t.text
        )
        assert shared_home.run_json("status")["runtime"]["pid"] == deck.pid
