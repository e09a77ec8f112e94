"""A copy that becomes the database of its folder, whatever an earlier one has left there."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from db.engine import write_engine
from db.errors import Storage
from db.maintenance import integrity
from db.restore import previous_databases, promote, swap
from tests.db.builders import Made, names, submit


@pytest.fixture
def copy(database: Path) -> Path:
    """The copy of a home with one task, in a folder whose own database is gone but for its log, which holds another task."""
    submit(database, "copied")
    path = database.with_name("replica.db")
    with closing(sqlite3.connect(database)) as other, closing(sqlite3.connect(path)) as to:
        other.backup(to)
        submit(database, "in the log")
        shutil.copy(f"{database}-wal", f"{database}.left")
    for ending in ("", *swap.BESIDE):
        database.with_name(f"{database.name}{ending}").unlink(missing_ok=True)
    os.rename(f"{database}.left", f"{database}-wal")
    database.with_name(f"{database.name}-journal").write_bytes(b"a journal")
    return path


def test_what_a_database_that_is_gone_has_left_is_put_aside_and_not_played_into_the_copy(database: Path, copy: Path):
    log = database.with_name(f"{database.name}-wal").read_bytes()
    database.with_name("search.db").write_bytes(b"of the one before")

    promote.promote(copy, database, "ann")

    assert names(database) == ["copied"] and integrity.check(database) == [] and not list(database.parent.glob("replica.db*"))
    aside = {path.name[-4:]: path.read_bytes() for path in database.parent.glob(f"{database.name}{previous_databases.BEFORE_RESTORE}*")}
    assert aside == {"-wal": log, "rnal": b"a journal"} and not database.with_name("search.db").exists()


def test_a_promoted_copy_gets_a_uuid_of_its_own_and_keeps_the_one_of_its_origin(database: Path, copy: Path):
    with closing(sqlite3.connect(copy)) as file:
        ((origin, parent),) = file.execute("SELECT uuid, parent FROM home")

    promote.promote(copy, database, "ann")

    with closing(sqlite3.connect(database)) as file:
        ((uuid, after),) = file.execute("SELECT uuid, parent FROM home")
    assert parent is None and after == origin and uuid != origin


def test_a_damaged_copy_is_told_once_and_leaves_nothing_behind(database: Path, copy: Path):
    with closing(sqlite3.connect(copy)) as file:
        (root,) = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events'").fetchone()
    with copy.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)

    with pytest.raises(Storage) as told:
        promote.promote(copy, database, "ann")

    said = told.value.message
    assert said.startswith("the copy is damaged (") and said.endswith(f"): {copy}. It was not changed.") and said.count("damaged") == 1
    assert not list(database.parent.glob("*.promoting*")) and copy.exists()


def test_of_what_ran_elsewhere_another_boot_is_not_taken_for_a_restart_after_which_it_may_be_tried_again(database: Path, copy: Path):
    engine = write_engine(copy)
    with engine.begin() as c:
        made = Made(c)
        made.run(made.task(retries=1))
    engine.dispose()

    promote.promote(copy, database, "ann")

    with closing(sqlite3.connect(database)) as c:
        assert c.execute("SELECT status, boot_id FROM instances").fetchall() == [("running", None)]


@pytest.mark.parametrize("told", [True, False])
def test_a_copy_goes_last_only_when_what_was_made_of_it_is_whole(
    database: Path, copy: Path, told: bool, monkeypatch: pytest.MonkeyPatch
):
    look = integrity.damage

    def found(path: Path) -> list[str]:
        if path == database and not told:
            raise Storage("it cannot be read")
        return ["a page is lost"] if path == database else look(path)

    monkeypatch.setattr(integrity, "damage", found)
    with pytest.raises(Storage, match="a page is lost.*It was not changed" if told else "it cannot be read"):
        promote.promote(copy, database, "ann")

    assert not list(database.parent.glob("taskdeck.db")) and names(copy) == ["copied"]
