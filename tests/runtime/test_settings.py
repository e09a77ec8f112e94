"""The runtime's view of config.toml: followed while it lives, and never a reason to end."""

from __future__ import annotations

from pathlib import Path

from app.core.upkeep import Upkeep
from app.runtime.settings import Settings


def test_no_file_is_the_defaults_and_one_that_comes_is_read(tmp_path: Path):
    path = tmp_path / "config.toml"
    settings = Settings(str(path))
    assert settings.upkeep == Upkeep() and settings.problem is None
    path.write_text('[backup]\nkeep = "7d"\n')
    assert settings.upkeep.backup.keep == 7 * 86400


def test_a_file_that_is_wrong_leaves_what_held_before_and_is_told(tmp_path: Path):
    path = tmp_path / "config.toml"
    path.write_text("[slow]\nthreshold = 1\n")
    settings = Settings(str(path))
    assert settings.upkeep.slow.threshold == 1
    path.write_text("[slow]\nthreshold = 'never'\n")
    assert settings.upkeep.slow.threshold == 1
    assert "slow.threshold: must be a duration" in str(settings.problem)
    path.unlink()
    assert settings.upkeep == Upkeep() and settings.problem is None
