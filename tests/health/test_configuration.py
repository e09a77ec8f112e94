"""Tests of the doctor's check of config.toml."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.health.configuration import check_settings


@pytest.fixture
def config_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of the settings, which do not exist yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", os.fspath(tmp_path))
    (tmp_path / "taskdeck").mkdir()
    return tmp_path / "taskdeck" / "config.toml"


def test_an_invalid_setting_is_broken_with_the_file_to_edit(config_path: Path):
    assert list(check_settings()) == []
    config_path.write_text('theme = "drak"\n[backup]\nkep = "14d"\n')

    one, other = check_settings()

    assert (
        other.text.startswith(f"{config_path}, line 1: theme must be one of")
        and other.state == "broken"
    )

    assert (one.check, one.state) == (
        "config",
        "broken",
    ) and one.cure == f'"${{EDITOR:-vi}}" {config_path}'
    assert one.text.startswith(
        f'{config_path}, line 3: backup: there is no setting "kep". Nearest: keep.'
    )
    assert one.text.endswith("Ignored; nothing is removed until it is fixed")


def test_a_suspiciously_short_retention_is_a_hint(config_path: Path):
    queues = '[retention.queue.meant]\nkeep = "6h"\n[retention.queue.x]\nkeep = "1s"\n'
    config_path.write_text(f'[backup]\nkeep = "12h"\n[retention]\nkeep = "1m"\n{queues}')

    well, *brief = check_settings()

    assert (well.state, well.text) == ("well", str(config_path)) and [
        one.state for one in brief
    ] == ["hint"] * 3
    assert [one.text for one in brief] == [
        "[backup] keeps only 12 hours (m is minutes, d is days)",
        "[retention] keeps only 1 minute (m is minutes, d is days)",
        "[retention.queue.x] keeps only 1 second (s is seconds, d is days)",
    ]  # fmt: skip


def test_a_webhook_to_a_private_address_is_broken(config_path: Path):
    channel = '[channels.chat]\nwebhook = "http://localhost:8065/x"\n'
    config_path.write_text(channel)
    (_, found) = check_settings()
    assert (found.state, found.text) == (
        "broken",
        "channel chat cannot be reached: 127.0.0.1 is a private address; to allow it: [actions]"
        ' allow_private = ["127.0.0.1"]',
    )
    config_path.write_text(f'{channel}[actions]\nallow_private = ["127.0.0.0/8"]\n')
    assert [one.state for one in check_settings()] == ["well"]


def test_faults_of_user_commands_are_broken(config_path: Path):
    config_path.write_text('[keys.commands.L]\nname = "x"\nargv = ["true"]\n')
    found = list(check_settings(lambda loaded: [f"odd: {loaded.commands[0].name}"]))

    assert [(one.state, one.text) for one in found] == [("broken", "odd: x")]
