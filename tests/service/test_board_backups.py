"""The age of the newest backup on the board."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from app.core.board import BackupFacts, Board
from app.core.maintenance_settings import BackupSettings, MaintenanceSettings
from app.service.board import show_board, show_status
from app.service.context import Call
from app.service.database import backup_files
from db.timestamps import from_unix
from tests.service.conftest import FakeRuntimeHandle


async def read_board(call: Call) -> Board:
    return Board.from_dict(await show_board(call))


async def add_backup(
    call: Call, ago: float, good: bool = True, file: str = "x", base: int | None = None
) -> float:
    """Record a backup taken `ago` seconds ago and return its time."""
    (call.home / "backups").mkdir(exist_ok=True)
    (call.home / "backups" / file).touch()
    moment = round(time.time() - ago, 3)
    at = from_unix(moment)
    values = (file, base, at if good else None, None if good else "it was damaged", at, at)
    insert = (
        "INSERT INTO backups (kind, file, parent_id, verified_at, problem, created_at, updated_at)"
        " VALUES ('full', ?, ?, ?, ?, ?, ?)"
    )
    await call.db.write(lambda c: c.exec_driver_sql(insert, values))
    return moment


async def test_no_backup_is_no_problem(call: Call):
    assert (await read_board(call)).backup == BackupFacts(None, late=False)


async def test_the_newest_good_backup_counts(call: Call):
    moment = await add_backup(call, 60)
    await add_backup(call, 10, good=False)
    assert (await read_board(call)).backup == BackupFacts(
        pytest.approx(moment, abs=0.001), late=False
    )


async def test_a_backup_older_than_its_rule_is_late(
    runtime_call: Call, fake_runtime: FakeRuntimeHandle, monkeypatch: pytest.MonkeyPatch
):
    await add_backup(runtime_call, 3 * 3600)
    assert (await read_board(runtime_call)).backup.late  # type: ignore[union-attr]
    monkeypatch.setattr(
        FakeRuntimeHandle,
        "maintenance",
        MaintenanceSettings(backup=BackupSettings(increment=2 * 3600.0)),
    )
    assert not (await read_board(runtime_call)).backup.late  # type: ignore[union-attr]
    monkeypatch.setattr(
        FakeRuntimeHandle, "maintenance", MaintenanceSettings(backup=BackupSettings(enabled=False))
    )
    assert (await read_board(runtime_call)).backup is None


@pytest.fixture
def no_backup_cache(monkeypatch: pytest.MonkeyPatch):
    """Make every board check whether the backup file exists."""
    monkeypatch.setattr("app.service.database.backups.NEWEST_TTL", 0.0)


async def test_a_backup_whose_file_or_folder_is_gone_does_not_count(
    runtime_call: Call, home: Path, no_backup_cache: None
):
    await add_backup(runtime_call, 60)
    assert (await show_status(runtime_call))["backup"]["gone"] is None

    (home / "backups" / "x").unlink()
    assert (await read_board(runtime_call)).backup == BackupFacts(None, late=True)
    told = (await show_status(runtime_call))["backup"]
    assert told == {
        "at": None,
        "late": True,
        "folder": str(home / "backups"),
        "gone": "its file is gone",
    }

    shutil.rmtree(home / "backups")
    assert (await show_status(runtime_call))["backup"]["gone"] == "its folder is gone"
    await add_backup(runtime_call, 30)
    assert (await show_status(runtime_call))["backup"]["gone"] is None


async def test_without_the_newest_file_the_previous_restorable_backup_counts(
    runtime_call: Call, home: Path, no_backup_cache: None
):
    first = await add_backup(runtime_call, 300, file="first")
    await add_backup(runtime_call, 200, file="base")
    await add_backup(runtime_call, 100, file="upon", base=2)
    await add_backup(runtime_call, 50, file="last")

    for lost in ("last", "base"):
        (home / "backups" / lost).unlink()

    assert (await show_status(runtime_call))["backup"] == {
        "at": from_unix(first),
        "late": False,
        "folder": str(home / "backups"),
        "gone": None,
    }
    assert (await read_board(runtime_call)).backup == BackupFacts(
        pytest.approx(first, abs=0.001), late=False
    )


async def test_the_file_is_looked_up_in_the_folder_of_the_settings(
    runtime_call: Call, home: Path, no_backup_cache: None, monkeypatch: pytest.MonkeyPatch
):
    rule = BackupSettings(folder=str(home / "second"))
    await add_backup(runtime_call, 60)
    monkeypatch.setattr(FakeRuntimeHandle, "maintenance", MaintenanceSettings(backup=rule))
    assert (await show_status(runtime_call))["backup"]["gone"] == "its folder is gone"

    there = backup_files.get_folder(home, rule)
    there.mkdir(parents=True)
    (there / "x").touch()

    assert (await show_status(runtime_call))["backup"]["gone"] is None


async def test_a_frequently_read_board_checks_the_file_once(
    runtime_call: Call, home: Path, monkeypatch: pytest.MonkeyPatch
):
    looked: list[str] = []
    monkeypatch.setattr(
        "app.service.database.backups._find_file_problem", lambda path: looked.append(path) or ""
    )
    monkeypatch.setattr("app.service.database.backups.NEWEST_TTL", 60.0)
    await add_backup(runtime_call, 60)

    for _ in range(5):
        await read_board(runtime_call)

    assert looked == [str(home / "backups" / "x")]


async def test_without_readable_settings_or_runtime_backups_are_not_shown(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        "app.service.database.backups.paths.get_config_path", lambda: str(tmp_path / "config.toml")
    )
    await add_backup(call, 60)
    assert (await show_status(call))["backup"]["gone"] is None

    (tmp_path / "config.toml").write_text("[backup\n")

    assert (await show_status(call))["backup"] is None
