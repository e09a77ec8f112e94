"""The config watcher: follows config.toml; errors in the file never end the runtime."""

from __future__ import annotations

from pathlib import Path

from app.core.maintenance_settings import BackupSettings, MaintenanceSettings
from app.runtime.config_watcher import ConfigWatcher


def test_a_missing_file_gives_defaults_and_a_new_one_is_read(tmp_path: Path):
    path = tmp_path / "config.toml"
    settings = ConfigWatcher(str(path))
    assert settings.maintenance == MaintenanceSettings() and settings.problem is None
    path.write_text('[backup]\nkeep = "7d"\n')
    assert settings.maintenance.backup.keep == 7 * 86400


def test_an_invalid_file_is_reported_and_keeps_the_last_settings(tmp_path: Path):
    path = tmp_path / "config.toml"
    path.write_text("[slow]\nthreshold = 1\n")
    settings = ConfigWatcher(str(path))
    assert settings.maintenance.slow.threshold == 1
    path.write_text("[slow]\nthreshold = 'never'\n")
    assert settings.maintenance.slow.threshold == 1
    assert "slow.threshold: must be a duration" in str(settings.problem)
    path.unlink()
    assert settings.maintenance == MaintenanceSettings() and settings.problem is None


def test_a_fault_leaves_slurm_pools_their_spool(tmp_path: Path):
    path = tmp_path / "config.toml"
    path.write_text('[slurm]\nspool = "/shared"\n')
    settings = ConfigWatcher(str(path))
    assert settings.slurm.spool == "/shared"
    for text in ("[slurm", '[slurm]\nspool = "shared"\n', '[slum]\nspool = "/other"\n'):
        path.write_text(text)
        assert settings.slurm.spool == "/shared"
    path.write_text("")
    assert settings.slurm.spool is None


def test_valid_sections_are_applied_although_another_is_invalid(tmp_path: Path):
    path = tmp_path / "config.toml"
    path.write_text('[backup]\nkeep = "7d"\nfull = "2h"\n[slow]\nthreshold = 1\n')
    settings = ConfigWatcher(str(path))
    assert settings.maintenance.backup.full == 7200
    path.write_text('[backup]\nkeep = 7\nfull = "3h"\n[slow]\nthreshold = 2\n')

    upkeep = settings.maintenance

    assert (upkeep.slow.threshold, upkeep.backup.full, upkeep.backup.keep) == (2, 7200, None)
    assert 'not "7". Nothing is removed until it is fixed. Unchanged: [backup]. The file: ' in str(
        settings.problem
    )


def test_reported_errors_are_the_same_after_a_restart(tmp_path: Path):
    path = tmp_path / "config.toml"
    path.write_text('[retention]\nkeep = "400d"\n[bakup]\nkeep = "9d"\n')
    settings = ConfigWatcher(str(path))

    upkeep = settings.maintenance

    assert upkeep.retention.all.keep == 400 * 86400 and upkeep.retention_fault.startswith(
        f'{path}, line 3: there is no setting "bakup".'
    )
    assert "Nothing is removed until it is fixed. Faulty settings have their defaults." in str(
        settings.problem
    )
    path.write_text('[retention]\nkeep = "400d"\n[backup]\nkeep = "9d"\n')
    assert (
        settings.maintenance.retention_fault,
        settings.maintenance.backup.keep,
        settings.problem,
    ) == ("", 9 * 86400, None)


def test_no_backup_is_taken_while_the_target_was_never_known(tmp_path: Path):
    path = tmp_path / "config.toml"
    path.write_text('[backup]\nfoldr = "/mnt/x"\n')
    settings = ConfigWatcher(str(path))
    assert (
        not settings.maintenance.backup.enabled
        and "No backup is taken, as the backup folder is unknown." in str(settings.problem)
    )

    path.write_text('[backup]\nfolder = "/mnt/x"\n')
    assert settings.maintenance.backup.enabled
    path.write_text('[backup]\nfolders = "/mnt/x"\n')
    assert settings.maintenance.backup == BackupSettings(
        folder="/mnt/x", keep=None
    ) and "No backup" not in str(settings.problem)


def test_an_inaccessible_file_is_not_a_missing_one(tmp_path: Path):
    (tmp_path / "file").write_text("")
    settings = ConfigWatcher(str(tmp_path / "file" / "config.toml"))

    assert (
        "cannot be read: Not a directory" in settings.maintenance.retention_fault
        and settings.problem is not None
    )


def test_a_file_with_a_corrected_mode_is_read_again(tmp_path: Path):
    path = tmp_path / "config.toml"
    path.write_text("[slow]\nthreshold = 1\n")
    settings = ConfigWatcher(str(path))
    before = settings._read_mark()

    path.chmod(0o600 if path.stat().st_mode & 0o044 else 0o644)

    assert settings._read_mark() != before
