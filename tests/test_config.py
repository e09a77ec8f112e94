"""What may be written in config.toml, and how what may not is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.config import CHOICES, Config, Reading, contents, read


def _read(path: Path, text: str) -> Reading:
    path.write_text(text)
    return read(str(path))


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("autostart = false\nthme = 1", False), ("thme = 1", True), ("autostart = false\n[", True), ("autostart = 1", True),
        ("autostart = false\n[retention]\nkeep = 1", False),
    ],
)
def test_whether_a_runtime_is_brought_up_is_read_whatever_else_is_wrong(tmp_path: Path, text: str, starts: bool):
    (tmp_path / "config.toml").write_text(text)
    assert read(str(tmp_path / "config.toml")).settings.autostart is starts
    assert read(str(tmp_path / "none.toml")).settings.autostart is True


def test_no_file_is_the_defaults(tmp_path: Path):
    found = read(str(tmp_path / "config.toml"))
    assert (found.settings, found.said) == (Config(), "")


def test_without_a_file_nothing_is_loaded_that_reads_one(tmp_path: Path):
    program = f"import sys; from app.config import read; read({os.fspath(tmp_path / 'config.toml')!r}); print('tomllib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, make: Callable[[Path], None]):
    make(path := tmp_path / "config.toml")

    found = read(str(path))

    assert found.settings == Config() and found.lost and "cannot be read" in found.said
    with pytest.raises(OSError):
        contents(str(path))


@pytest.mark.parametrize(("name", "words"), CHOICES.items())
def test_each_choice_is_taken(tmp_path: Path, name: str, words: tuple[str, ...]):
    for word in words:
        found = _read(tmp_path / "config.toml", f'{name} = "{word}"')
        assert (getattr(found.settings, name), found.said) == (word, "")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("theem = 1", 'there is no setting "theem". Nearest: theme. There are: autostart, theme, glyphs, mouse,'),
        ('theme = "neon"', "theme must be one of quiet, dark, light, contrast."),
        ("mouse = true", "mouse must be one of clicks, off."),
        ("theme = []", "theme must be one of"),
        ("autostart = 1", "autostart must be true or false."),
        ("keys = 3", "keys must be a table."),
        ('[keys]\n"task.cancel" = ""', 'keys."task.cancel" must be text that names keys.'),
        ("[keys]\na = 1", 'keys."a" must be text that names keys.'),
        ("theme =", "is not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path: Path, text: str, says: str):
    found = _read(tmp_path / "config.toml", text)
    assert says in found.said and str(tmp_path / "config.toml") in found.said
    assert found.in_short.startswith("config.toml") and found.in_short.endswith("; passed over.") and str(tmp_path) not in found.in_short


DAY = 86400.0


def test_what_is_well_holds_whatever_is_wrong_beside_it(tmp_path: Path):
    path = tmp_path / "config.toml"
    keys, backup, slow = '[keys]\na = 1\nb = "x"\n', '[backup]\nfolder = "/mnt/x"\nfull = 7\n', '[slow]\nthreshold = "10ms"\n'
    path.write_text(f'theme = "neon"\nmouse = "off"\n{keys}{backup}{slow}')

    found = read(str(path))

    assert (found.settings.theme, found.settings.mouse, found.settings.keys) == (None, "off", {"b": "x"})
    assert (found.upkeep.backup.folder, found.upkeep.backup.full, found.upkeep.slow.threshold) == ("/mnt/x", DAY, 0.01)
    assert [one.where for one in found.wrong] == [("backup", "full"), ("theme",), ("keys", "a")]
    unit = 'needs a unit, such as 30d or 12h, not "7"'
    assert found.said == f"{path}, line 8: backup.full: {unit}. And 2 more: taskdeck doctor."


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
def test_the_line_is_told_where_it_can_be(tmp_path: Path, text: str, line: int | None):
    path = tmp_path / "config.toml"
    path.write_text(text)

    assert read(str(path)).said.startswith(f"{path}, line {line}: " if line else f"{path}: ")


@pytest.mark.parametrize(
    "text",
    [
        '[retention]\nkeep = "400d"\n[bakup]\nkeep = "9d"\n',
        '[retnetion]\nkeep = "400d"\n',
        'keep = "400d"\n',
        '[retention]\nkeep = 400\n',
        '[retention]\nkep = "400d"\n',
        '[retention.queue.scratch]\nkeep = "some"\n',
        '[retention]\nqueues = { scratch = { keep = "400d" } }\n',
        "retention = 3\n",
        '[backup]\nkep = "400d"\n',
        '[retention]\nkeep = "400d\n',
    ],
)
def test_nothing_is_removed_while_what_is_wrong_may_be_about_how_long_things_are_kept(tmp_path: Path, text: str):
    path = tmp_path / "config.toml"
    path.write_text(text)

    found = read(str(path)).upkeep

    assert found.doubt.startswith(str(path)) and found.backup.keep is None


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
def test_it_is_told_where_it_is_not_known_in_which_folder_the_backups_lie(tmp_path: Path, text: str, lost: bool):
    path = tmp_path / "config.toml"
    path.write_text(text)

    found = read(str(path))

    assert found.wrong and found.lost.startswith(str(path)) == lost and (lost or not found.lost)


def test_a_file_that_cannot_be_read_removes_nothing_and_one_that_is_not_there_does_as_usual(tmp_path: Path):
    (tmp_path / "config.toml").write_bytes(b"\xff")
    assert "it is not UTF-8 text" in read(str(tmp_path / "config.toml")).upkeep.doubt
    assert "is a directory" in read(str(tmp_path)).upkeep.doubt.lower()
    assert read(str(tmp_path / "none.toml")).upkeep.doubt == ""


@pytest.mark.parametrize("text", ['theme = "neon"', "mouse = 3", "[keys]\na = 1", "autostart = 1", "[slow]\nthreshold = 'never'"])
def test_what_has_nothing_to_do_with_it_pauses_no_cleanup(tmp_path: Path, text: str):
    (tmp_path / "config.toml").write_text(f'{text}\n[retention]\nkeep = "7d"\n')

    found = read(str(tmp_path / "config.toml"))

    assert found.wrong and (found.upkeep.doubt, found.upkeep.retention.all.keep) == ("", 7 * DAY)
