"""Restore advice for a damaged database."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.errors import Usage
from app.home import restore_advice
from app.offline import backup_picker
from app.runtime.change_feed import ChangeFeed
from app.runtime.dispatch.dispatcher import Dispatcher
from app.runtime.duties.usage import UsageSampler as Measured
from app.runtime.serve import Runtime
from app.service.context import Call
from app.service.database import backups
from db.errors import DamagedDatabase


@pytest.fixture
def config_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(tmp_path))
    path = tmp_path / "taskdeck" / "config.toml"
    path.parent.mkdir()
    return path


@pytest.mark.parametrize("said", ['foldr = "{far}"', "folder = '{far}", 'folder = ["{far}"]'])
async def test_unreadable_settings_are_reported_instead_of_missing_backups(
    call: Call, config_path: Path, tmp_path: Path, said: str
):
    config_path.write_text(f'[backup]\nfolder = "{tmp_path}/far"\n')
    taken = await backups.backup(call)
    config_path.write_text("[backup]\n" + said.replace("{far}", f"{tmp_path}/far"))

    told = restore_advice.advise_restore(call.home, DamagedDatabase("the database is damaged."))

    assert (
        f"{config_path}" in told.message
        and "backup folder is therefore unknown" in told.message
        and "no good backup" not in str(told)
    )
    with pytest.raises(Usage, match="backup folder is therefore unknown"):
        backup_picker.describe_choice(os.fspath(call.home), None, None)
    config_path.write_text(f'theme = "nope"\n[backup]\nfolder = "{tmp_path}/far"\n')
    assert backup_picker.describe_choice(os.fspath(call.home), None, None)["id"] == taken["id"]
    assert (
        "Newest good backup"
        in restore_advice.advise_restore(
            call.home, DamagedDatabase("the database is damaged.")
        ).message
    )


async def test_the_board_gives_advice_about_a_damaged_database(dispatcher: Dispatcher, home: Path):
    dispatcher.keeper = None
    runtime = Runtime(home, dispatcher, Measured(home), ChangeFeed())
    assert runtime.get_facts().cure == ""

    dispatcher.halted = "database damaged since 10:31"
    assert runtime.get_facts().cure == DamagedDatabase.without_backup
