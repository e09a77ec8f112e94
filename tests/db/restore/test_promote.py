"""Promotion of a replica, whatever an earlier database left in the folder."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from db.engine import create_write_engine
from db.errors import Storage
from db.maintenance import integrity
from db.restore import previous_databases, promote, swap
from tests.db.builders import TaskBuilder, list_task_names, submit_task_to


@pytest.fixture
def replica_path(database_path: Path) -> Path:
    """Return a replica with one task beside the remains of a lost database.

    Only the WAL and a journal of that database are left; the WAL holds another task.
    """
    submit_task_to(database_path, "copied")
    path = database_path.with_name("replica.db")
    with closing(sqlite3.connect(database_path)) as other, closing(sqlite3.connect(path)) as to:
        other.backup(to)
        submit_task_to(database_path, "in the log")
        shutil.copy(f"{database_path}-wal", f"{database_path}.left")
    for ending in ("", *swap.SIDE_SUFFIXES):
        database_path.with_name(f"{database_path.name}{ending}").unlink(missing_ok=True)
    os.rename(f"{database_path}.left", f"{database_path}-wal")
    database_path.with_name(f"{database_path.name}-journal").write_bytes(b"a journal")
    return path


def test_remains_of_a_lost_database_are_set_aside_not_replayed(
    database_path: Path, replica_path: Path
):
    log = database_path.with_name(f"{database_path.name}-wal").read_bytes()
    database_path.with_name("search.db").write_bytes(b"of the one before")

    promote.promote_replica(replica_path, database_path, "ann")

    assert (
        list_task_names(database_path) == ["copied"]
        and integrity.check_database(database_path) == []
        and not list(database_path.parent.glob("replica.db*"))
    )
    aside = {
        path.name[-4:]: path.read_bytes()
        for path in database_path.parent.glob(
            f"{database_path.name}{previous_databases.BEFORE_RESTORE_INFIX}*"
        )
    }
    assert (
        aside == {"-wal": log, "rnal": b"a journal"}
        and not database_path.with_name("search.db").exists()
    )


def test_a_promoted_copy_gets_a_uuid_of_its_own_and_keeps_the_one_of_its_origin(
    database_path: Path, replica_path: Path
):
    with closing(sqlite3.connect(replica_path)) as file:
        ((origin, parent),) = file.execute("SELECT uuid, parent FROM home")

    promote.promote_replica(replica_path, database_path, "ann")

    with closing(sqlite3.connect(database_path)) as file:
        ((uuid, after),) = file.execute("SELECT uuid, parent FROM home")
    assert parent is None and after == origin and uuid != origin


def test_a_damaged_replica_is_reported_once_and_leaves_nothing(
    database_path: Path, replica_path: Path
):
    with closing(sqlite3.connect(replica_path)) as file:
        (root,) = file.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'events'"
        ).fetchone()
    with replica_path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)

    with pytest.raises(Storage) as told:
        promote.promote_replica(replica_path, database_path, "ann")

    said = told.value.message
    assert (
        said.startswith("the replica is damaged (")
        and said.endswith(f"): {replica_path}. It was not changed.")
        and said.count("damaged") == 1
    )
    assert not list(database_path.parent.glob("*.promoting*")) and replica_path.exists()


def test_a_run_of_another_machine_is_not_retried_as_after_a_reboot(
    database_path: Path, replica_path: Path
):
    engine = create_write_engine(replica_path)
    with engine.begin() as c:
        made = TaskBuilder(c)
        made.start_run(made.submit_task(retries=1))
    engine.dispose()

    promote.promote_replica(replica_path, database_path, "ann")

    with closing(sqlite3.connect(database_path)) as c:
        assert c.execute("SELECT status, boot_id FROM instances").fetchall() == [("running", None)]


@pytest.mark.parametrize("told", [True, False])
def test_the_replica_is_removed_last_after_the_result_is_whole(
    database_path: Path, replica_path: Path, told: bool, monkeypatch: pytest.MonkeyPatch
):
    look = integrity.find_damage

    def found(path: Path) -> list[str]:
        if path == database_path and not told:
            raise Storage("it cannot be read")
        return ["a page is lost"] if path == database_path else look(path)

    monkeypatch.setattr(integrity, "find_damage", found)
    with pytest.raises(
        Storage, match="a page is lost.*It was not changed" if told else "it cannot be read"
    ):
        promote.promote_replica(replica_path, database_path, "ann")

    assert not list(database_path.parent.glob("taskdeck.db")) and list_task_names(replica_path) == [
        "copied"
    ]
