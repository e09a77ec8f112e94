"""Acceptance tests of a home on a small, completely full disk."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.acceptance_home import AcceptanceHome
from tests.acceptance.conftest import open_home
from tests.runtime_process import wait_until


@pytest.fixture
def small_disk_home() -> Iterator[AcceptanceHome]:
    """Yield a home on its own disk of 40 MiB."""
    with open_home() as house:
        house.home.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=40m,mode=700", "tmpfs", str(house.home)]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(
                f"no disk of its own can be made here ({done.stderr.strip()[-100:]}); it takes root"
            )
        try:
            yield house
        finally:
            house.close()
            subprocess.run(["umount", "-l", str(house.home)], check=True)


def fill_disk(path: Path) -> None:
    """Use the last byte of the disk."""
    with path.open("wb", buffering=0) as file:
        for size in (2**20, 4096, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError:
                continue


def test_a_deck_shows_disk_usage_cleanup_and_loses_nothing(small_disk_home: AcceptanceHome):
    house = small_disk_home
    house.submit("-n", "runs", "--", "sh", "-c", "until [ -e gate ]; do sleep 0.05; done")
    (house.home / "stuff").mkdir()
    with house.open_terminal(columns=130) as deck:  # the whole sentence fits
        deck.wait("● runs")
        fill_disk(house.home / "stuff" / "ballast")
        deck.wait(
            f"✗ DISK FULL: {house.home} has 0 bytes free. Nothing new starts. The running job"
            " continues; nothing is lost."
        )
        deck.wait(
            lambda t: (
                "dispatch resumes by itself. Largest: stuff/ 3" in t.text
                and "shows what cleanup would free" in t.text
            )
        )
        deck.type("B").wait("Deck › Database").wait("DISK FULL").wait(
            "nothing is old enough to delete"
        ).type("q").wait("3 Running")
        deck.type("n").wait("New task").type("true\n")
        deck.wait("The disk is full: no task is accepted, since it must be on disk first.").type(
            "\x1b"
        ).wait("3 Running")
        (house.home / "stuff" / "ballast").unlink()
        deck.wait(
            lambda t: "DISK FULL" not in t.text and "● runtime" in t.text and "db ok" in t.text
        )
        deck.type("q")
        assert deck.end() == 0
    (house.work / "gate").touch()
    assert house.run_cli("wait", 1).returncode == 0


def test_cleanup_and_stop_work_on_a_full_disk(small_disk_home: AcceptanceHome):
    house = small_disk_home
    (Path(house.env["XDG_CONFIG_HOME"]) / "taskdeck").mkdir(parents=True)
    (Path(house.env["XDG_CONFIG_HOME"]) / "taskdeck" / "config.toml").write_text(
        '[retention]\nkeep = "1ms"\n'
    )
    for _ in range(3):
        house.run_ok(
            "wait",
            house.submit(
                "-n", "loud", "--", "sh", "-c", "head -c 2000000 /dev/zero | tr '\\0' '\\n'"
            ),
        )
    (house.home / "stuff").mkdir()
    fill_disk(house.home / "stuff" / "ballast")

    refused = house.run_cli("submit", "--", "true")
    assert refused.returncode == 5
    assert (
        "Free space, then try again; taskdeck db cleanup --dry-run shows what could go."
        in refused.stderr
    )
    done = house.run_json("db", "cleanup")
    assert (done["runs"], done["tasks"], done["kept"]) == (2, 2, 1)
    assert done["freed"]["logs"] == 2
    assert len(list((house.home / "runs").glob("*/*.log"))) == 1

    fill_disk(house.home / "stuff" / "more")
    house.run_ok("stop")
    assert house.run_json("status")["runtime"]["state"] == "stopped"


def test_an_accepted_bulk_submission_waits_for_space_and_starts_whole(
    small_disk_home: AcceptanceHome,
):
    house, lines = small_disk_home, 60_000
    file = house.work / "lines"
    file.write_text('{"argv": ["true"]}\n' * lines)

    sent = house.run_cli("submit", "--from", file)

    assert (sent.returncode, sent.stdout) == (0, "")
    assert "All 60,000 tasks are accepted, and stored once" in sent.stderr
    assert "60,000 tasks of a bulk submission are being stored" in house.run_ok("status")
    assert 0 < sum(house.run_json("status")["counts"].values()) < lines
    assert house.run_json("instances") == []

    os.kill(house.run_json("status")["runtime"]["pid"], signal.SIGKILL)
    resize = ["mount", "-o", "remount,size=400m", str(house.home)]
    subprocess.run(resize, check=True)
    house.run_ok("queue", "pause", "default")
    wait_until(lambda: not house.run_json("status")["storing"], "all tasks are stored")

    assert sum(house.run_json("status")["counts"].values()) == lines


def test_a_bulk_submission_that_does_not_fit_is_refused_whole(small_disk_home: AcceptanceHome):
    house = small_disk_home
    house.run_ok("queue", "pause", "default")
    (house.home / "stuff").mkdir()
    fill_disk(house.home / "stuff" / "ballast")
    with (house.home / "stuff" / "ballast").open("rb+") as file:
        file.truncate(file.seek(0, os.SEEK_END) - 4 * 2**20)
    (house.work / "lines").write_text('{"argv": ["true"]}\n' * 40_000)

    refused = house.run_cli("submit", "--from", house.work / "lines")

    assert refused.returncode == 5 and "No task was accepted" in refused.stderr
    assert house.run_json("status")["counts"] == {}
    assert os.listdir(house.home / "run" / "submissions") == []
