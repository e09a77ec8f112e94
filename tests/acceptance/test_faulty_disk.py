"""A disk that is full, read-only or slow: nothing is lost, it is said, and all goes on by itself.

The disk is made sick by a library that stands between the programs and their system calls, since a real one cannot be
made read-only while files on it are open for writing, and cannot be mended at a wish.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.acceptance_home import House
from tests.acceptance.conftest import opened
from tests.runtime_process import until

GATE = "until [ -e gate ]; do sleep 0.05; done; exit 3"


class Disk:
    """What is wrong with the disk of a house, as one line in a file."""

    def __init__(self, how: Path) -> None:
        self.how = how

    def becomes(self, sick: str) -> None:
        """readonly, full, or the seconds that each sync takes."""
        new = self.how.with_suffix(".new")
        new.write_text(sick)
        new.replace(self.how)

    def is_well(self) -> None:
        self.how.unlink()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library, built here. A machine without a compiler cannot make a disk sick; `.ci/run` sees to one."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler (cc) on this machine to build the library with")
    built = tmp_path_factory.mktemp("disk") / "faulty_disk.so"
    source = Path(__file__).with_name("faulty_disk.c")
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", built, source, "-ldl"], check=True)
    return built


@pytest.fixture(scope="module")
def house(library: Path) -> Iterator[House]:
    """A home on a disk that is well until it is told otherwise, with a runtime up."""
    with opened() as house:
        how = house.work / "how"
        house.env |= {"LD_PRELOAD": str(library), "SICK_HOME": str(house.home), "SICK_HOW": str(how)}
        house.ok("serve", "--detach")
        house.ok("queue", "set", "default", "--capacity", "1")
        yield house


@pytest.fixture
def disk(house: House) -> Iterator[Disk]:
    """Its disk."""
    disk = Disk(house.work / "how")
    yield disk
    disk.how.unlink(missing_ok=True)


@pytest.fixture
def gated(house: House, disk: Disk) -> str:
    """A task that runs, and waits for a gate; its number."""
    (house.work / "gate").unlink(missing_ok=True)
    number = house.submit("-n", "gated", "--", "sh", "-c", GATE)
    until_running(house, number)
    return number


@pytest.fixture
def following(house: House, gated: str) -> str:
    """The one that is next; its number."""
    return house.submit("-n", "next", "--", "true")


def until_running(house: House, number: str) -> None:
    """Return once the task runs."""
    while house.json("show", number)["status"] != "running":
        pass


def waited(act: Callable[[], object]) -> float:
    """Seconds that something took."""
    began = time.monotonic()
    act()
    return time.monotonic() - began


@pytest.mark.parametrize(("sick", "word"), [("readonly", "disk read-only"), ("full", "disk full")])
def test_a_disk_that_takes_nothing_costs_no_job_and_no_exit_and_all_goes_on_once_it_is_well(
    house: House, disk: Disk, gated: str, following: str, sick: str, word: str
):
    disk.becomes(sick)

    refused = house.td("submit", "--", "true")

    assert (refused.returncode, refused.stdout) == (5, "")
    (house.work / "gate").touch()
    with house.terminal() as deck:
        deck.wait("NOTHING STARTS since").type("q")
        assert deck.end() == 0
    told = rf"nothing starts: {word}( \({re.escape(str(house.home).lower())}.*\))? since "
    until(lambda: re.search(told, house.ok("why", following).lower()), "why names the disk")  # the keeper may have been the first to notice
    assert "Nothing starts: " in house.ok("status")
    disk.is_well()
    assert house.td("wait", gated, following).returncode == 3
    assert [run["exit_code"] for run in house.json("instances")[:2]] == [0, 3]
    assert house.td("status", "--check").returncode == 0


def test_a_slow_disk_makes_neither_deck_nor_readers_wait(house: House, disk: Disk, gated: str, following: str):
    disk.becomes("3.0")
    with house.terminal() as deck:
        deck.wait("○ next").wait("● gated")
        submitting = subprocess.Popen(["taskdeck", "submit", "-n", "later", "--", "true"], env=house.env, cwd=house.work)
        took: list[float] = []
        while submitting.poll() is None and len(took) < 20:
            took += [waited(lambda: deck.type("?").wait("Digits go places"))]
            took += [waited(lambda: deck.type("q").wait(lambda t: "Digits go places" not in t.text))]
        read = [waited(lambda: house.ok("status")), waited(lambda: house.ok("ls"))]
        assert submitting.wait() == 0
        assert max(took + read) < 3.0, ("something waited for the disk", took, read)
        deck.type("q")
        assert deck.end() == 0
    disk.is_well()
    (house.work / "gate").touch()
    assert house.td("wait", gated, following, "later").returncode == 3


def test_what_runs_on_a_full_disk_can_be_cancelled(house: House, disk: Disk, gated: str):
    disk.becomes("full")

    done = house.td("cancel", gated)
    assert (done.returncode, "not by whom" in done.stderr) == (0, True), done.stderr
    disk.is_well()

    assert house.td("wait", gated).returncode == 125
    assert house.json("show", gated)["reason"] == "cancelled by taskdeck"
