"""What doctor says of the backups and of the copy, by what `status` tells of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.health import backups as looked_at

HOME = "/srv/deck"


def ago(**how: float) -> str:
    return (datetime.now(UTC) - timedelta(**how)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def backup(**values: Any) -> dict[str, Any]:
    return {"at": ago(), "late": False, "folder": "/srv/deck/backups", "gone": None} | values


def copy(**values: Any) -> dict[str, Any]:
    return {"target": "bob@far:/srv/deck", "at": ago(seconds=40), "lag": 40.0, "late": False, "problem": None, "promoted": False} | values


@pytest.mark.parametrize(
    ("found", "state", "says"),
    [
        (backup(), "well", "the newest 41m old, in /srv/deck/backups, restored and checked"),
        (backup(late=True), "hint", "the newest 41m old, in /srv/deck/backups: late"),
        (backup(at=None), "well", "none yet in /srv/deck/backups"),
        (backup(at=None, late=True, gone="its folder is gone"), "broken", "none: its folder is gone: /srv/deck/backups"),
        (backup(at=None, late=True, gone="its file is gone"), "broken", "the newest is lost: its file is gone: /srv/deck/backups"),
        (backup(folder="/srv/deck/\x1b[2J"), "well", "/srv/deck/␛[2J"),
    ],
)
def test_the_newest_backup_its_age_and_its_folder_are_told(found: dict[str, Any], state: str, says: str):
    at = found["at"] and ago(minutes=41, seconds=5)  # the list above was made before other tests ran
    (one,) = looked_at.backups(HOME, found | {"at": at})
    assert (one.check, one.state) == ("backups", state) and says in one.text
    assert one.cure == ("" if state == "well" else f"taskdeck --home {HOME} db backup")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """That of a home, within the one that the settings name."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "config" / "taskdeck").mkdir(parents=True)
    (tmp_path / "config" / "taskdeck" / "config.toml").write_text(f'[backup]\nfolder = "{tmp_path}/disk/there"\n')
    return tmp_path / "disk" / "there" / "deck-1"


def test_where_no_backup_can_be_put_nothing_is_well(folder: Path, tmp_path: Path):

    def look(**more: Any) -> Any:
        (one,) = looked_at.backups(HOME, backup(folder=str(folder), **more))
        return one

    none = look(at=None)
    assert none.state == "broken" and none.cure.startswith("mount its disk, or name another folder: ")
    assert none.cure.endswith(f"/config.toml; where there is to be no disk: mkdir -p {tmp_path}/disk")
    assert none.text.startswith(f"none, and none can be taken: there is no folder {tmp_path}/disk, in which there is to be made")
    assert ", and no other can be taken: there is no folder" in look().text
    (tmp_path / "disk").mkdir()
    assert look(at=None).state == "well"
    folder.parent.touch()
    assert look(at=None).text.endswith(f"can be taken: {folder.parent} is no folder")


def test_a_folder_that_cannot_be_written_to_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch):
    folder.parent.mkdir(parents=True)
    monkeypatch.setattr(looked_at.os, "access", lambda path, how: False)

    (one,) = looked_at.backups(HOME, backup(at=None, folder=str(folder)))

    assert one.state == "broken" and one.text.endswith(f"{folder.parent} cannot be written to")


def test_that_none_are_taken_is_a_hint_to_the_settings():
    (one,) = looked_at.backups(HOME, None)
    assert one.state == "hint" and one.cure.endswith("config.toml")


@pytest.mark.parametrize(
    ("found", "state", "says"),
    [
        (copy(), "well", "bob@far:/srv/deck, 40s old"),
        (copy(problem="no route"), "hint", "40s old: no route"),
        (copy(problem="no route", late=True, lag=None), "broken", "never copied yet: no route"),
        (copy(late=True, lag=3605.0), "hint", "1h old, late"),
    ],
)
def test_how_old_the_copy_is_and_what_keeps_it_back_are_told(found: dict[str, Any], state: str, says: str):
    (one,) = looked_at.replica(HOME, found)
    assert (one.check, one.state) == ("replica", state) and says in one.text
    assert bool(one.cure) is (state != "well")


def test_where_no_copy_is_to_be_nothing_is_told_and_one_that_was_promoted_is_to_be_let_go():
    assert list(looked_at.replica(HOME, copy(target=None))) == []
    (one,) = looked_at.replica(HOME, copy(promoted=True, late=True, problem="it was promoted"))
    assert one.cure == f"taskdeck --home {HOME} db replica off"
