"""The verbs that need there to be no runtime: who asks a person keeps nobody out meanwhile, and does what was agreed to or nothing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app import offline, paths
from app.errors import Conflict, Storage
from app.runtime.lock import RuntimeExists, held, hold_lock
from db import restore
from db.backup.taking import Rules, take
from tests.db.making import names, submit


@pytest.fixture(autouse=True)
def no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(tmp_path / "config"))


@pytest.fixture
def backed_up(home: Path, database: Path) -> Path:
    """A home with a task and a backup of that, and a change of it since."""
    submit(database, "first")
    take(database, home / "backups", Rules())
    with closing(sqlite3.connect(database)) as c:
        c.execute("UPDATE tasks SET priority = 7")
        c.commit()
    return home


def priorities(home: Path) -> list[int]:
    with closing(sqlite3.connect(paths.database(home))) as c:
        return [priority for (priority,) in c.execute("SELECT priority FROM tasks ORDER BY number")]


def restored(home: Path, agree: Any) -> dict[str, Any]:
    return offline.restore_home(os.fspath(home), None, None, agree, asks=True)


def test_nobody_is_kept_from_the_home_while_a_person_is_asked(backed_up: Path):
    asked: list[bool] = []

    def agree(told: dict[str, Any]) -> bool:
        with hold_lock(backed_up):
            asked.append(not list(backed_up.glob("*.restoring*")))
        return True

    assert restored(backed_up, agree)["restored"] and asked == [True]
    assert priorities(backed_up) == [0] and not held(backed_up)


def test_who_says_no_has_changed_nothing(backed_up: Path):
    assert not restored(backed_up, lambda told: False)["restored"]
    assert priorities(backed_up) == [7] and not list(backed_up.glob("*restor*"))


def test_what_came_while_a_person_was_asked_is_not_restored_over(backed_up: Path):
    def agree(told: dict[str, Any]) -> bool:
        submit(paths.database(backed_up), "meanwhile")
        return True

    with pytest.raises(Conflict, match="something has changed since you were asked. Nothing was restored"):
        restored(backed_up, agree)

    assert names(paths.database(backed_up)) == ["first", "meanwhile"] and priorities(backed_up) == [7, 0]


def test_a_run_of_which_there_is_only_a_log_may_have_been_any_tasks_whatever_the_clock_said(backed_up: Path):
    log = Path(paths.log_path(backed_up, "00000000-0000-7000-8000-000000000000"))  # the clock was set back behind the backup
    log.parent.mkdir()
    log.touch()
    restore.remove(paths.database(backed_up))

    carried = restored(backed_up, lambda told: True)["carried"]

    assert (carried["unknown"], carried["held"]) == (1, 1)


def test_nothing_is_asked_while_a_runtime_has_the_home(backed_up: Path):
    with hold_lock(backed_up), pytest.raises(RuntimeExists, match="Nothing was restored"):
        restored(backed_up, lambda told: pytest.fail("asked"))


@pytest.mark.parametrize("ending", restore.BESIDE)
def test_a_log_that_lies_where_a_new_file_is_to_come_is_not_made_its_own(backed_up: Path, tmp_path: Path, ending: str):
    log = tmp_path / f"then.db{ending}"
    log.write_bytes(b"of another")

    with pytest.raises(Conflict, match=f"then.db{ending} is there already. Nothing was restored"):
        offline.restore_to(os.fspath(backed_up), None, None, os.fspath(tmp_path / "then.db"))

    assert not (tmp_path / "then.db").exists() and log.read_bytes() == b"of another"


@pytest.fixture
def copy(home: Path, database: Path) -> Iterator[Path]:
    """The folder of a copy of another home, that has one task."""
    submit(database, "copied")
    with closing(sqlite3.connect(database)) as other, closing(sqlite3.connect(paths.replica(home))) as to:
        other.backup(to)
    restore.remove(database)
    yield home


def test_a_home_that_was_promoted_while_another_was_asked_is_not_replaced(copy: Path):
    told = offline.copy_at(os.fspath(copy))
    kept = paths.replica(copy).read_bytes()
    offline.promote_home(os.fspath(copy))
    submit(paths.database(copy), "since")
    paths.replica(copy).write_bytes(kept)  # the home that is copied has made it anew

    with pytest.raises(Conflict, match="is a home of its own already"):
        offline.promote_home(os.fspath(copy))

    assert told["running"] == [] and names(paths.database(copy)) == ["copied", "since"] and paths.replica(copy).exists()


@pytest.mark.parametrize("act", [offline.repair_home, offline.migrate_home])
def test_a_mark_that_a_killed_restore_left_goes_before_anything_is_written(home: Path, database: Path, act: Any):
    mark = database.with_name(f"{database.name}.unfinished")
    mark.write_text(f"{database.stat().st_ino} {'0' * 64} {database.name}{restore.KEPT}2026-11-26T000000.000000", "ascii")

    act(os.fspath(home))

    assert not mark.exists()


DAMAGE = "PRAGMA ignore_check_constraints=ON; UPDATE queues SET status = 'actiwe'"


@pytest.mark.parametrize(
    ("verb", "change", "found"),
    [
        ("ls", f"{DAMAGE}; UPDATE tasks SET tags = '['", r"the database is damaged \(1 row breaks the rule of queues"),
        ("ls", "UPDATE tasks SET tags = '['", r"the database is not in order \(1 row of tasks without JSON in tags"),
        ("status", "UPDATE counters SET value = 'many'", r"the database is not in order \(counter tasks/default/queued says many"),
    ],
)
def test_what_cannot_be_read_for_what_is_wrong_with_the_file_is_told_so(backed_up: Path, verb: str, change: str, found: str):
    with closing(sqlite3.connect(paths.database(backed_up))) as c:
        c.executescript(change)

    with pytest.raises(Storage, match=found):
        offline.read(os.fspath(backed_up), verb, {})
