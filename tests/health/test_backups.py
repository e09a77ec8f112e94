"""What doctor says of the backups and of the copy, by what `status` tells of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.health import backups as looked_at

HOME = "/srv/deck"


def ago(**how: float) -> str:
    return (datetime.now(UTC) - timedelta(**how)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def backup(**values: Any) -> dict[str, Any]:
    return {"at": ago(), "late": False, "folder": "/mnt/second/deck-1", "gone": None} | values


def copy(**values: Any) -> dict[str, Any]:
    return {"target": "bob@far:/srv/deck", "at": ago(seconds=40), "lag": 40.0, "late": False, "problem": None, "promoted": False} | values


@pytest.mark.parametrize(
    ("found", "state", "says"),
    [
        (backup(), "well", "the newest 41m old, in /mnt/second/deck-1, restored and checked"),
        (backup(late=True), "hint", "the newest 41m old, in /mnt/second/deck-1: late"),
        (backup(at=None), "well", "none yet in /mnt/second/deck-1"),
        (backup(at=None, late=True, gone="its folder is gone"), "broken", "none: its folder is gone: /mnt/second/deck-1"),
        (backup(at=None, late=True, gone="its file is gone"), "broken", "the newest is lost: its file is gone: /mnt/second/deck-1"),
        (backup(folder="/mnt/\x1b[2J"), "well", "/mnt/␛[2J"),
    ],
)
def test_the_newest_backup_its_age_and_its_folder_are_told(found: dict[str, Any], state: str, says: str):
    at = found["at"] and ago(minutes=41, seconds=5)  # the list above was made before other tests ran
    (one,) = looked_at.backups(HOME, found | {"at": at})
    assert (one.check, one.state) == ("backups", state) and says in one.text
    assert one.cure == ("" if state == "well" else f"taskdeck --home {HOME} db backup")


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
