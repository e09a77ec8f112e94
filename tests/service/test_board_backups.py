"""How old the newest backup and the replica are, as the board tells it."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from app.core.board import BackupFacts, Board
from app.core.maintenance_settings import Backup, Upkeep
from app.service.board import board, status
from app.service.context import Call
from app.service.database import backup_files
from db.timestamps import from_unix
from tests.service.conftest import Up


async def facts(call: Call) -> Board:
    return Board.from_dict(await board(call))


async def taken(call: Call, ago: float, good: bool = True, file: str = "x", base: int | None = None) -> float:
    """When a backup was taken, of which a row says that its file lies in the home."""
    (call.home / "backups").mkdir(exist_ok=True)
    (call.home / "backups" / file).touch()
    moment = round(time.time() - ago, 3)
    at = from_unix(moment)
    values = (file, base, at if good else None, None if good else "it was damaged", at, at)
    insert = (
        "INSERT INTO backups (kind, file, parent_id, verified_at, problem, created_at, updated_at) VALUES ('full', ?, ?, ?, ?, ?, ?)"
    )
    await call.db.write(lambda c: c.exec_driver_sql(insert, values))
    return moment


async def test_no_backup_is_no_reason_to_shout(call: Call):
    assert (await facts(call)).backup == BackupFacts(None, late=False)


async def test_the_newest_that_is_good_counts(call: Call):
    moment = await taken(call, 60)
    await taken(call, 10, good=False)
    assert (await facts(call)).backup == BackupFacts(pytest.approx(moment, abs=0.001), late=False)


async def test_one_older_than_its_rule_is_late(live: Call, up: Up, monkeypatch: pytest.MonkeyPatch):
    await taken(live, 3 * 3600)
    assert (await facts(live)).backup.late  # type: ignore[union-attr]
    monkeypatch.setattr(Up, "upkeep", Upkeep(backup=Backup(increment=2 * 3600.0)))
    assert not (await facts(live)).backup.late  # type: ignore[union-attr]
    monkeypatch.setattr(Up, "upkeep", Upkeep(backup=Backup(enabled=False)))
    assert (await facts(live)).backup is None


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch):
    """Every board looks whether the file is there."""
    monkeypatch.setattr("app.service.database.backups.LOOK_AGAIN", 0.0)


async def test_one_whose_file_or_folder_is_gone_is_none(live: Call, home: Path, looks: None):
    await taken(live, 60)
    assert (await status(live))["backup"]["gone"] is None

    (home / "backups" / "x").unlink()
    assert (await facts(live)).backup == BackupFacts(None, late=True)
    told = (await status(live))["backup"]
    assert told == {"at": None, "late": True, "folder": str(home / "backups"), "gone": "its file is gone"}

    shutil.rmtree(home / "backups")
    assert (await status(live))["backup"]["gone"] == "its folder is gone"
    await taken(live, 30)
    assert (await status(live))["backup"]["gone"] is None


async def test_where_the_newest_is_gone_the_one_before_counts_that_can_be_restored(live: Call, home: Path, looks: None):
    first = await taken(live, 300, file="first")
    await taken(live, 200, file="base")
    await taken(live, 100, file="upon", base=2)
    await taken(live, 50, file="last")

    for lost in ("last", "base"):
        (home / "backups" / lost).unlink()

    assert (await status(live))["backup"] == {"at": from_unix(first), "late": False, "folder": str(home / "backups"), "gone": None}
    assert (await facts(live)).backup == BackupFacts(pytest.approx(first, abs=0.001), late=False)


async def test_the_file_is_looked_for_in_the_folder_of_the_settings(live: Call, home: Path, looks: None, monkeypatch: pytest.MonkeyPatch):
    rule = Backup(folder=str(home / "second"))
    await taken(live, 60)
    monkeypatch.setattr(Up, "upkeep", Upkeep(backup=rule))
    assert (await status(live))["backup"]["gone"] == "its folder is gone"

    there = backup_files.folder(home, rule)
    there.mkdir(parents=True)
    (there / "x").touch()

    assert (await status(live))["backup"]["gone"] is None


async def test_a_board_that_is_asked_for_often_looks_once(live: Call, home: Path, monkeypatch: pytest.MonkeyPatch):
    looked: list[str] = []
    monkeypatch.setattr("app.service.database.backups._gone", lambda path: looked.append(path) or "")
    monkeypatch.setattr("app.service.database.backups.LOOK_AGAIN", 60.0)
    await taken(live, 60)

    for _ in range(5):
        await facts(live)

    assert looked == [str(home / "backups" / "x")]


async def test_without_a_runtime_and_with_settings_that_cannot_be_read_nothing_is_said_of_backups(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("app.service.database.backups.paths.config_file", lambda: str(tmp_path / "config.toml"))
    await taken(call, 60)
    assert (await status(call))["backup"]["gone"] is None

    (tmp_path / "config.toml").write_text("[backup\n")

    assert (await status(call))["backup"] is None
