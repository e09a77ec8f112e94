"""Tests of config.toml: accepted settings and error messages."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.config import CHOICES, Config, LoadedConfig, read, read_regular_file


def _read_text(path: Path, text: str) -> LoadedConfig:
    path.write_text(text)
    return read(str(path))


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("autostart = false\nthme = 1", False),
        ("thme = 1", True),
        ("autostart = false\n[", True),
        ("autostart = 1", True),
        ("autostart = false\n[retention]\nkeep = 1", False),
    ],
)
def test_autostart_is_read_despite_other_errors(tmp_path: Path, text: str, starts: bool):
    (tmp_path / "config.toml").write_text(text)
    assert read(str(tmp_path / "config.toml")).settings.autostart is starts
    assert read(str(tmp_path / "none.toml")).settings.autostart is True


def test_a_cluster_turns_autostart_off(tmp_path: Path):
    found = _read_text(tmp_path / "config.toml", "autostart = true\ncluster = true").settings

    assert (found.cluster, found.autostart) == (True, False)


@pytest.mark.parametrize(
    ("text", "is_cluster"),
    [
        ('cluster = "yes"', True),
        ("cluster = True", True),
        ("cluster = true\ntheme = = 1", True),
        ("cluster = false\ntheme = = 1", False),
        ("theme = = 1  # cluster = true", False),
    ],
)
def test_a_fault_turns_no_cluster_off(tmp_path: Path, text: str, is_cluster: bool):
    found = _read_text(tmp_path / "config.toml", text)

    assert found.faults and found.settings.cluster == is_cluster
    assert found.settings.autostart == (not is_cluster)


def test_a_missing_file_means_defaults(tmp_path: Path):
    found = read(str(tmp_path / "config.toml"))
    assert (found.settings, found.fault_summary) == (Config(), "")


@pytest.mark.process
def test_a_missing_file_does_not_import_tomllib(tmp_path: Path):
    program = (
        f"import sys; from app.config import read; read({os.fspath(tmp_path / 'config.toml')!r});"
        " print('tomllib' in sys.modules)"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout
        == "False\n"
    )


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_special_files_are_refused_without_blocking(tmp_path: Path, make: Callable[[Path], None]):
    make(path := tmp_path / "config.toml")

    found = read(str(path))

    assert (
        found.settings == Config()
        and found.folder_fault
        and "cannot be read" in found.fault_summary
    )
    with pytest.raises(OSError):
        read_regular_file(str(path))


@pytest.mark.parametrize(("name", "words"), CHOICES.items())
def test_each_allowed_choice_is_accepted(tmp_path: Path, name: str, words: tuple[str, ...]):
    for word in words:
        found = _read_text(tmp_path / "config.toml", f'{name} = "{word}"')
        assert (getattr(found.settings, name), found.fault_summary) == (word, "")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "theem = 1",
            (
                'there is no setting "theem". Nearest: theme. There are: autostart, cluster,'
                " cgroup, theme, glyphs, mouse,"
            ),
        ),
        ('theme = "neon"', "theme must be one of quiet, light, contrast."),
        ("mouse = true", "mouse must be one of clicks, off."),
        ("theme = []", "theme must be one of"),
        ("autostart = 1", "autostart must be true or false."),
        ("keys = 3", "keys must be a table."),
        ('[keys]\n"task.cancel" = ""', 'keys."task.cancel" must be a string of key names.'),
        ("[keys]\na = 1", 'keys."a" must be a string of key names.'),
        ("theme =", "is not valid TOML"),
    ],
)
def test_errors_name_the_setting_and_the_file(tmp_path: Path, text: str, says: str):
    found = _read_text(tmp_path / "config.toml", text)
    assert says in found.fault_summary and str(tmp_path / "config.toml") in found.fault_summary
    assert (
        found.short_notice.startswith("config.toml")
        and found.short_notice.endswith("; ignored.")
        and str(tmp_path) not in found.short_notice
    )


DAY = 86400.0


def test_valid_settings_apply_despite_errors_elsewhere(tmp_path: Path):
    path = tmp_path / "config.toml"
    keys, backup, slow = (
        '[keys]\na = 1\nb = "x"\n',
        '[backup]\nfolder = "/mnt/x"\nfull = 7\n',
        '[slow]\nthreshold = "10ms"\n',
    )
    path.write_text(f'theme = "neon"\nmouse = "off"\n{keys}{backup}{slow}')

    found = read(str(path))

    assert (found.settings.theme, found.settings.mouse, found.settings.keys) == (
        None,
        "off",
        {"b": "x"},
    )
    assert (
        found.maintenance.backup.folder,
        found.maintenance.backup.full,
        found.maintenance.slow.threshold,
    ) == ("/mnt/x", DAY, 0.01)
    assert [one.where for one in found.faults] == [("backup", "full"), ("theme",), ("keys", "a")]
    unit = 'needs a unit, such as 30d or 12h, not "7"'
    assert (
        found.fault_summary == f"{path}, line 8: backup.full: {unit}. And 2 more: taskdeck doctor."
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[retention]\nkeep = "400d"\n\n[bakup]\nkeep = "9d"\n', 4),
        ("[retention.queue.scratch]\nruns = 0\n", 2),
        ("[retention]\nqueue.scratch.runs = 0\n", 2),
        ('[retention.template."a b"]\n"runs" = 0\n', 2),
        ("slow.threshold = 'never'\n", 1),
        ("slow = { threshold = 'never' }\n", None),
    ],
)
def test_errors_name_the_line_where_known(tmp_path: Path, text: str, line: int | None):
    path = tmp_path / "config.toml"
    path.write_text(text)

    assert read(str(path)).fault_summary.startswith(
        f"{path}, line {line}: " if line else f"{path}: "
    )


@pytest.mark.parametrize(
    "text",
    [
        '[retention]\nkeep = "400d"\n[bakup]\nkeep = "9d"\n',
        '[retnetion]\nkeep = "400d"\n',
        'keep = "400d"\n',
        "[retention]\nkeep = 400\n",
        '[retention]\nkep = "400d"\n',
        '[retention.queue.scratch]\nkeep = "some"\n',
        '[retention]\nqueues = { scratch = { keep = "400d" } }\n',
        "retention = 3\n",
        '[backup]\nkep = "400d"\n',
        '[retention]\nkeep = "400d\n',
    ],
)
def test_doubtful_retention_settings_suspend_removal(tmp_path: Path, text: str):
    path = tmp_path / "config.toml"
    path.write_text(text)

    found = read(str(path)).maintenance

    assert found.retention_fault.startswith(str(path)) and found.backup.keep is None


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ('[backup]\nfolder = "mnt"\n', True),
        ('[backup]\nfoldr = "/mnt"\n', True),
        ('[bakup]\nfolder = "/mnt"\n', True),
        ('backup = "/mnt"\n', True),
        ('[backup]\nfolder = "/mnt\n', True),
        ('[backup]\nfolder = "/mnt"\nkeep = 7\nfoldr = "/x"\n', False),
        ('[backup]\nkeep = 7\nafter = "/bin/true"\nkep = "7d"\n', False),
        ('[bakup]\nkeep = "9d"\n', False),
        ('theme = "/neon"\n[keys]\na = 1\n', False),
    ],
)
def test_an_unknown_backup_folder_is_reported(tmp_path: Path, text: str, lost: bool):
    path = tmp_path / "config.toml"
    path.write_text(text)

    found = read(str(path))

    assert (
        found.faults
        and found.folder_fault.startswith(str(path)) == lost
        and (lost or not found.folder_fault)
    )


def test_an_unreadable_file_suspends_removal_and_a_missing_one_does_not(tmp_path: Path):
    (tmp_path / "config.toml").write_bytes(b"\xff")
    assert "not UTF-8 text" in read(str(tmp_path / "config.toml")).maintenance.retention_fault
    assert "is a directory" in read(str(tmp_path)).maintenance.retention_fault.lower()
    assert read(str(tmp_path / "none.toml")).maintenance.retention_fault == ""


@pytest.mark.parametrize(
    "text",
    [
        'theme = "neon"',
        "mouse = 3",
        "[keys]\na = 1",
        "autostart = 1",
        "[slow]\nthreshold = 'never'",
    ],
)
def test_unrelated_errors_do_not_suspend_cleanup(tmp_path: Path, text: str):
    (tmp_path / "config.toml").write_text(f'{text}\n[retention]\nkeep = "7d"\n')

    found = read(str(tmp_path / "config.toml"))

    assert found.faults and (
        found.maintenance.retention_fault,
        found.maintenance.retention.all.keep,
    ) == ("", 7 * DAY)


def test_a_faulty_user_command_leaves_keys_and_other_commands(tmp_path: Path):
    good = '[keys.commands."ctrl+o"]\nname = "x"\nargv = ["true"]\n'
    bad = '[keys.commands.L]\nname = "y"\nargv = ["less", "{lgo}"]\n'
    found = _read_text(tmp_path / "config.toml", f'[keys]\n"task.cancel" = "c"\n{good}{bad}')

    assert dict(found.settings.keys) == {"task.cancel": "c"}
    assert [command.key for command in found.commands] == ["ctrl+o"]
    assert [fault.message.partition(": ")[0][-6:] for fault in found.faults] == ["line 8"]
    assert found.retention_fault == "" and "commands" not in found.settings.keys
