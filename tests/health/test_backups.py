"""Tests of the doctor's checks of backups and replica."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.health import backups as looked_at

HOME = "/srv/deck"


def make_past_time(**how: float) -> str:
    return (datetime.now(UTC) - timedelta(**how)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def make_backup(**values: Any) -> dict[str, Any]:
    return {
        "at": make_past_time(),
        "late": False,
        "folder": "/srv/deck/backups",
        "gone": None,
    } | values


def make_replica(**values: Any) -> dict[str, Any]:
    return {
        "target": "bob@far:/srv/deck",
        "at": make_past_time(seconds=40),
        "lag": 40.0,
        "late": False,
        "problem": None,
        "promoted": False,
    } | values


@pytest.mark.parametrize(
    ("found", "state", "says"),
    [
        (
            make_backup(),
            "well",
            "the newest is 41m old, in /srv/deck/backups, restored and checked",
        ),
        (make_backup(late=True), "hint", "the newest is 41m old, in /srv/deck/backups: late"),
        (make_backup(at=None), "well", "/srv/deck/backups has no backup yet"),
        (
            make_backup(at=None, late=True, gone="its folder is gone"),
            "broken",
            "none: its folder is gone: /srv/deck/backups",
        ),
        (
            make_backup(at=None, late=True, gone="its file is gone"),
            "broken",
            "the newest is lost: its file is gone: /srv/deck/backups",
        ),
        (make_backup(folder="/srv/deck/\x1b[2J"), "well", "/srv/deck/␛[2J"),
    ],
)
def test_the_newest_backup_is_reported_with_age_and_folder(
    found: dict[str, Any], state: str, says: str
):
    # the parameters were built before other tests ran
    at = found["at"] and make_past_time(minutes=41, seconds=5)
    (one,) = looked_at.check_backups(HOME, found | {"at": at})
    assert (one.check, one.state) == ("backups", state) and says in one.text
    assert one.cure == ("" if state == "well" else f"taskdeck --home {HOME} db backup")


@pytest.fixture
def backup_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the backup folder of a home within the configured one."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "config" / "taskdeck").mkdir(parents=True)
    (tmp_path / "config" / "taskdeck" / "config.toml").write_text(
        f'[backup]\nfolder = "{tmp_path}/disk/there"\n'
    )
    return tmp_path / "disk" / "there" / "deck-1"


def test_an_unusable_backup_folder_is_broken(backup_folder: Path, tmp_path: Path):

    def look(**more: Any) -> Any:
        (one,) = looked_at.check_backups(HOME, make_backup(folder=str(backup_folder), **more))
        return one

    none = look(at=None)
    assert none.state == "broken" and none.cure.startswith(
        "mount the disk, or set another folder: "
    )
    assert none.cure.endswith(f"/config.toml; if no disk is expected: mkdir -p {tmp_path}/disk")
    assert none.text.startswith(
        f"none yet, and none can be taken: folder {tmp_path}/disk, which should hold there,"
        " does not exist"
    )
    assert f", and no other can be taken: folder {tmp_path}/disk" in look().text
    (tmp_path / "disk").mkdir()
    assert look(at=None).state == "well"
    backup_folder.parent.touch()
    assert look(at=None).text.endswith(f"can be taken: {backup_folder.parent} is not a folder")


def test_an_unwritable_folder_is_reported(backup_folder: Path, monkeypatch: pytest.MonkeyPatch):
    backup_folder.parent.mkdir(parents=True)
    monkeypatch.setattr(looked_at.os, "access", lambda path, how: False)

    (one,) = looked_at.check_backups(HOME, make_backup(at=None, folder=str(backup_folder)))

    assert one.state == "broken" and one.text.endswith(f"{backup_folder.parent} is not writable")


def test_disabled_backups_get_a_hint_to_the_settings():
    (one,) = looked_at.check_backups(HOME, None)
    assert one.state == "hint" and one.cure.endswith("config.toml")


@pytest.mark.parametrize(
    ("found", "state", "says"),
    [
        (make_replica(), "well", "bob@far:/srv/deck, 40s old"),
        (make_replica(problem="no route"), "hint", "40s old: no route"),
        (
            make_replica(problem="no route", late=True, lag=None),
            "broken",
            "not copied yet: no route",
        ),
        (make_replica(late=True, lag=3605.0), "hint", "1h old, late"),
    ],
)
def test_the_replicas_age_and_problem_are_reported(found: dict[str, Any], state: str, says: str):
    (one,) = looked_at.check_replica(HOME, found)
    assert (one.check, one.state) == ("replica", state) and says in one.text
    assert bool(one.cure) is (state != "well")


def test_no_replica_reports_nothing_and_a_promoted_one_is_switched_off():
    assert list(looked_at.check_replica(HOME, make_replica(target=None))) == []
    (one,) = looked_at.check_replica(
        HOME, make_replica(promoted=True, late=True, problem="it was promoted")
    )
    assert one.cure == f"taskdeck --home {HOME} db replica off"
