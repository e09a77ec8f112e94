"""Acceptance tests of reading a replica: commands, the deck, and syncs meanwhile."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from app.errors import Conflict, Storage
from app.offline import replica_reads
from app.runtime.duties.replicator import Replicator
from tests.acceptance.acceptance_home import AcceptanceHome
from tests.runtime_process import TIMEOUT
from tests.service.calls import submit_task


@pytest.fixture(scope="module")
def source_home(shared_home: AcceptanceHome) -> AcceptanceHome:
    """Return a home with an ended task, which has a log, and a held one."""
    shared_home.run_ok("wait", shared_home.submit("-n", "first", "--", "/bin/echo", "seen"))
    shared_home.submit("--hold", "-n", "later", "--", "/bin/true")
    return shared_home


@pytest.fixture(scope="module")
def replica_folder(source_home: AcceptanceHome, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a replica of the source home."""
    there = tmp_path_factory.mktemp("copied") / "second"
    source_home.run_ok("db", "replica", "set", str(there))
    source_home.run_ok("db", "replica", "off")
    return there


def read_state(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return content and time of each file of a folder, by name."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


def read_replica(home: AcceptanceHome, there: Path, *words: str) -> Any:
    return home.run_cli("--read-only", "--home", str(there), *words)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("ls",), "later"),
        (("show", "1"), "first"),
        (("why", "2"), "held"),
        (("logs", "1"), "seen\n"),
        (("status",), "none; this is a replica, "),
        (("export",), "default"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_reading_commands_answer_from_a_replica(
    source_home: AcceptanceHome, replica_folder: Path, words: tuple[str, ...], says: str
):
    before = read_state(replica_folder)

    said = read_replica(source_home, replica_folder, *words)

    assert said.returncode == 0 and says in said.stdout
    origin = f"{socket.gethostname()}:{source_home.home}"
    assert said.stderr.startswith(f"taskdeck: this is a replica of {origin}, from ")
    assert " old.\n" in said.stderr
    assert read_state(replica_folder) == before


def test_a_held_task_of_a_replica_waits_for_its_release_not_for_a_runtime(
    source_home: AcceptanceHome, replica_folder: Path
):
    assert "runtime" not in read_replica(source_home, replica_folder, "why", "2").stdout


def test_the_file_of_a_replica_names_it_and_copied_logs_are_read(
    source_home: AcceptanceHome, replica_folder: Path, tmp_path: Path
):
    there = tmp_path / "with logs"
    shutil.copytree(replica_folder, there)
    shutil.copytree(source_home.home / "runs", there / "runs")
    (log,) = there.glob("runs/*/*.log")
    log.write_text("from the copied log\n")

    said = read_replica(source_home, there / "replica.db", "logs", "1")

    assert (said.returncode, said.stdout) == (0, "from the copied log\n")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("submit", "--", "/bin/true"), "submit may change something, which --read-only forbids"),
        (("cancel", "2"), "cancel may change something, which --read-only forbids"),
        (("db", "promote", "--yes"), "db promote may change something"),
        (("serve", "--detach"), "serve may change something"),
        (("submit", "--dry-run", "--", "/bin/true"), "submit needs a home, and "),
        (("doctor",), "doctor needs a home, and "),
        (("wait", "2"), "wait needs a home, and "),
        (("db", "check"), "db check needs a home, and "),
        (("logs", "-f", "2"), "logs needs a home, and "),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else None,
)
def test_other_commands_are_refused_and_leave_nothing(
    source_home: AcceptanceHome, replica_folder: Path, words: tuple[str, ...], says: str
):
    before = read_state(replica_folder)

    said = read_replica(source_home, replica_folder, *words)

    assert (said.returncode, said.stdout) == (4, "") and says in said.stderr
    assert "Nothing was done." in said.stderr
    assert read_state(replica_folder) == before


def test_without_read_only_the_refusal_names_both_ways(
    source_home: AcceptanceHome, replica_folder: Path
):
    said = source_home.run_cli("--home", str(replica_folder / "replica.db"), "ls")

    assert said.returncode == 4
    assert f"To read it: taskdeck --read-only --home {replica_folder}. Make it" in said.stderr


def test_the_deck_shows_a_replica_and_its_age_and_writes_nothing(
    source_home: AcceptanceHome, replica_folder: Path
):
    before = read_state(replica_folder)

    with source_home.open_terminal("--read-only", "--home", str(replica_folder)) as deck:
        deck.wait("COPY ").wait("later")
        assert "NO RUNTIME" not in deck.text and "READ ONLY" in deck.text
        deck.type("n").wait("changes nothing")
        deck.type("B").wait("› Database")
        deck.type("0").wait("later")
        deck.type("q")
        assert deck.end() == 0
        assert f"Back: taskdeck --read-only --home {replica_folder}" in deck.text

    assert read_state(replica_folder) == before


def test_reads_during_syncs_are_consistent(unstarted_home: AcceptanceHome, tmp_path: Path):
    there, syncs, is_complete = tmp_path / "second", 6, Event()

    async def submit_and_sync(call: Any) -> None:
        await Replicator(call.db, call.home).choose_target(str(there), "ann")
        is_complete.set()
        for _ in range(syncs):
            await submit_task(call, hold=True)
            await Replicator(call.db, call.home).sync()

    writer = Thread(target=lambda: unstarted_home.run_offline(submit_and_sync))
    writer.start()
    assert is_complete.wait(TIMEOUT)
    seen: list[list[int]] = []
    while writer.is_alive():
        rows = replica_reads.read(there, "ls", {})["tasks"]
        seen.append(sorted(row["number"] for row in rows))
    writer.join()
    seen.append(sorted(row["number"] for row in replica_reads.read(there, "ls", {})["tasks"]))

    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in seen)
    assert len(seen[-1]) == 1 + syncs and [*map(len, seen)] == sorted(map(len, seen))


def test_a_read_that_overlaps_with_a_change_is_repeated(
    replica_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    there = tmp_path / "second"
    shutil.copytree(replica_folder, there)
    answers: list[str] = []

    async def answer_and_change(*args: object) -> str:
        if not answers:
            os.utime(there / "replica.db", ns=(1, 1))
        answers.append(f"answer {len(answers) + 1}")
        return answers[-1]

    monkeypatch.setattr(replica_reads, "_answer", answer_and_change)

    assert replica_reads.read(there, "ls", {}) == "answer 2"


def test_a_damaged_or_foreign_replica_is_reported(replica_folder: Path, tmp_path: Path):
    there = tmp_path / "second"
    shutil.copytree(replica_folder, there)
    complete = (there / "replica.db").read_bytes()
    (there / "replica.db").write_bytes(b"")
    with pytest.raises(Storage, match="the replica is incomplete"):
        replica_reads.read(there, "ls", {})

    (there / "replica.db").write_bytes(complete)
    with closing(sqlite3.connect(there / "replica.db")) as c, c:
        c.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Storage, match="newer than this program"):
        replica_reads.read(there, "ls", {})

    size = (there / "replica.db").stat().st_size
    with (there / "replica.db").open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * (size - 100))
    with pytest.raises(Storage, match="the replica is damaged"):
        replica_reads.read(there, "ls", {})


def test_verbs_that_need_a_home_are_refused_by_name(replica_folder: Path):
    with pytest.raises(Conflict, match="db check needs a home, and .* is a replica"):
        replica_reads.read(replica_folder, "db.check", {})
