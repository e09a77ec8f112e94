"""Acceptance tests of a full, read-only or slow disk: nothing is lost, and work resumes.

A preloaded library injects the faults into system calls. A real disk cannot become read-only while
its files are open for writing, and cannot be repaired on demand.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.acceptance_home import AcceptanceHome
from tests.acceptance.conftest import open_home
from tests.runtime_process import wait_until

GATED_SCRIPT = "until [ -e gate ]; do sleep 0.05; done; exit 3"


class FaultyDisk:
    """Switch for the disk's fault, as one line in a file."""

    def __init__(self, how: Path) -> None:
        self.how = how

    def set_fault(self, sick: str) -> None:
        """Set the fault: readonly, full, or the seconds of each sync."""
        new = self.how.with_suffix(".new")
        new.write_text(sick)
        new.replace(self.how)

    def clear_fault(self) -> None:
        self.how.unlink()


@pytest.fixture(scope="module")
def fault_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the fault library. Building it needs a C compiler, which `.ci/run` provides."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler (cc) on this machine to build the library with")
    built = tmp_path_factory.mktemp("disk") / "faulty_disk.so"
    source = Path(__file__).with_name("faulty_disk.c")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", built, source, "-ldl"], check=True)
    return built


@pytest.fixture(scope="module")
def acceptance_home(fault_library: Path) -> Iterator[AcceptanceHome]:
    """Yield a home on a disk without faults, with a running runtime."""
    with open_home() as house:
        how = house.work / "how"
        house.env |= {
            "LD_PRELOAD": str(fault_library),
            "SICK_HOME": str(house.home),
            "SICK_HOW": str(how),
        }
        house.run_ok("serve", "--detach")
        house.run_ok("queue", "set", "default", "--capacity", "1")
        yield house


@pytest.fixture
def faulty_disk(acceptance_home: AcceptanceHome) -> Iterator[FaultyDisk]:
    disk = FaultyDisk(acceptance_home.work / "how")
    yield disk
    disk.how.unlink(missing_ok=True)


@pytest.fixture
def running_task(acceptance_home: AcceptanceHome, faulty_disk: FaultyDisk) -> Iterator[str]:
    """Yield the number of a running task that waits for the file `gate`.

    The task is released afterwards, so that a failed test leaves the queue's slot free.
    """
    gate = acceptance_home.work / "gate"
    gate.unlink(missing_ok=True)
    number = acceptance_home.submit("-n", "gated", "--", "sh", "-c", GATED_SCRIPT)
    wait_until(
        lambda: acceptance_home.run_json("show", number)["status"] == "running",
        "the gated task runs",
    )
    yield number
    gate.touch()


@pytest.fixture
def next_task(acceptance_home: AcceptanceHome, running_task: str) -> str:
    """Return the number of the next task."""
    return acceptance_home.submit("-n", "next", "--", "true")


def measure_time(act: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    began = time.monotonic()
    act()
    return time.monotonic() - began


@pytest.mark.parametrize(("sick", "word"), [("readonly", "disk read-only"), ("full", "disk full")])
def test_a_failing_disk_loses_no_job_or_exit_and_work_resumes(
    acceptance_home: AcceptanceHome,
    faulty_disk: FaultyDisk,
    running_task: str,
    next_task: str,
    sick: str,
    word: str,
):
    faulty_disk.set_fault(sick)

    refused = acceptance_home.run_cli("submit", "--", "true")

    assert (refused.returncode, refused.stdout) == (5, "")
    (acceptance_home.work / "gate").touch()
    with acceptance_home.open_terminal() as deck:
        deck.wait("NOTHING STARTS since").type("q")
        assert deck.end() == 0
    folder = re.escape(str(acceptance_home.home).lower())
    # The database may still find room in its log; the next task then fails to start in the keeper.
    keeper = r"the keeper cannot start processes \(.*: no space left on device\)"
    told = rf"nothing starts: ({word}( \({folder}.*\))?|{keeper}) since "
    wait_until(
        lambda: re.search(told, acceptance_home.run_ok("why", next_task).lower()),
        "why names the disk",
    )
    wait_until(lambda: "Nothing starts: " in acceptance_home.run_ok("status"), "status, likewise")
    faulty_disk.clear_fault()
    assert acceptance_home.run_cli("wait", running_task, next_task).returncode == 3
    assert [run["exit_code"] for run in acceptance_home.run_json("instances")[:2]] == [0, 3]
    assert acceptance_home.run_cli("status", "--check").returncode == 0


def test_a_slow_disk_delays_neither_deck_nor_readers(
    acceptance_home: AcceptanceHome, faulty_disk: FaultyDisk, running_task: str, next_task: str
):
    faulty_disk.set_fault("3.0")
    with acceptance_home.open_terminal() as deck:
        deck.wait("○ next").wait("● gated")
        submitting = subprocess.Popen(
            ["taskdeck", "submit", "-n", "later", "--", "true"],
            env=acceptance_home.env,
            cwd=acceptance_home.work,
        )
        took: list[float] = []
        while submitting.poll() is None and len(took) < 20:
            took += [measure_time(lambda: deck.type("?").wait("The deck as a whole"))]
            took += [
                measure_time(
                    lambda: deck.type("q").wait(lambda t: "The deck as a whole" not in t.text)
                )
            ]
        read = [
            measure_time(lambda: acceptance_home.run_ok("status")),
            measure_time(lambda: acceptance_home.run_ok("ls")),
        ]
        assert submitting.wait() == 0
        assert max(took + read) < 3.0, ("something waited for the disk", took, read)
        deck.type("q")
        assert deck.end() == 0
    faulty_disk.clear_fault()
    (acceptance_home.work / "gate").touch()
    assert acceptance_home.run_cli("wait", running_task, next_task, "later").returncode == 3


def test_running_tasks_on_a_full_disk_can_be_cancelled(
    acceptance_home: AcceptanceHome, faulty_disk: FaultyDisk, running_task: str
):
    faulty_disk.set_fault("full")

    done = acceptance_home.run_cli("cancel", running_task)
    assert (done.returncode, "but not its author" in done.stderr) == (0, True), done.stderr
    faulty_disk.clear_fault()

    assert acceptance_home.run_cli("wait", running_task).returncode == 125
    assert acceptance_home.run_json("show", running_task)["reason"] == "cancelled by taskdeck"
