"""The runtime's view of config.toml: followed while it lives, and never a reason to end."""

from __future__ import annotations

from pathlib import Path

from app.core.maintenance_settings import Backup, Upkeep
from app.runtime.config_watcher import Settings


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


def test_sections_that_are_well_are_followed_though_another_is_wrong_which_holds_as_it_was(tmp_path: Path):
    path = tmp_path / "config.toml"
    path.write_text('[backup]\nkeep = "7d"\nfull = "2h"\n[slow]\nthreshold = 1\n')
    settings = Settings(str(path))
    assert settings.upkeep.backup.full == 7200
    path.write_text('[backup]\nkeep = 7\nfull = "3h"\n[slow]\nthreshold = 2\n')

    upkeep = settings.upkeep

    assert (upkeep.slow.threshold, upkeep.backup.full, upkeep.backup.keep) == (2, 7200, None)
    assert 'not "7". Nothing is removed until it is mended. As before: [backup]. The file: ' in str(settings.problem)


def test_what_is_told_is_true_after_a_restart_too(tmp_path: Path):
    path = tmp_path / "config.toml"
    path.write_text('[retention]\nkeep = "400d"\n[bakup]\nkeep = "9d"\n')
    settings = Settings(str(path))

    upkeep = settings.upkeep

    assert upkeep.retention.all.keep == 400 * 86400 and upkeep.doubt.startswith(f'{path}, line 3: there is no setting "bakup".')
    assert "Nothing is removed until it is mended. For what is wrong the defaults hold. The file: " in str(settings.problem)
    path.write_text('[retention]\nkeep = "400d"\n[backup]\nkeep = "9d"\n')
    assert (settings.upkeep.doubt, settings.upkeep.backup.keep, settings.problem) == ("", 9 * 86400, None)


def test_none_is_taken_while_it_was_never_known_where_to(tmp_path: Path):
    path = tmp_path / "config.toml"
    path.write_text('[backup]\nfoldr = "/mnt/x"\n')
    settings = Settings(str(path))
    assert not settings.upkeep.backup.enabled and "No backup is taken, as it is not known where to." in str(settings.problem)

    path.write_text('[backup]\nfolder = "/mnt/x"\n')
    assert settings.upkeep.backup.enabled
    path.write_text('[backup]\nfolders = "/mnt/x"\n')
    assert settings.upkeep.backup == Backup(folder="/mnt/x", keep=None) and "No backup" not in str(settings.problem)


def test_a_file_that_is_there_and_cannot_be_looked_at_is_no_missing_one(tmp_path: Path):
    (tmp_path / "file").write_text("")
    settings = Settings(str(tmp_path / "file" / "config.toml"))

    assert "cannot be read: Not a directory" in settings.upkeep.doubt and settings.problem is not None


def test_a_file_whose_mode_was_mended_is_read_again(tmp_path: Path):
    path = tmp_path / "config.toml"
    path.write_text("[slow]\nthreshold = 1\n")
    settings = Settings(str(path))
    before = settings._mark()

    path.chmod(0o600 if path.stat().st_mode & 0o044 else 0o644)

    assert settings._mark() != before
