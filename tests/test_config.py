"""What may be written in config.toml, and how what may not is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config import CHOICES, Config, autostart, load
from app.errors import Usage


def _load(path: Path, text: str) -> Config:
    path.write_text(text)
    return load(str(path))


@pytest.mark.parametrize(
    ("text", "starts"),
    [("autostart = false\nthme = 1", False), ("thme = 1", True), ("autostart = false\n[", True), ("autostart = 1", True)],
)
def test_whether_a_runtime_is_brought_up_is_read_whatever_else_is_wrong(tmp_path: Path, text: str, starts: bool):
    (tmp_path / "config.toml").write_text(text)
    assert autostart(str(tmp_path / "config.toml")) is starts
    assert autostart(str(tmp_path / "none.toml")) is True


def test_no_file_is_the_defaults(tmp_path: Path):
    assert load(str(tmp_path / "config.toml")) == Config()


@pytest.mark.parametrize(("name", "words"), CHOICES.items())
def test_each_choice_is_taken(tmp_path: Path, name: str, words: tuple[str, ...]):
    for word in words:
        assert getattr(_load(tmp_path / "config.toml", f'{name} = "{word}"'), name) == word


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("theem = 1", 'there is no setting "theem". Nearest: theme.'),
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
    with pytest.raises(Usage) as refused:
        _load(tmp_path / "config.toml", text)
    assert says in str(refused.value)
    assert str(tmp_path / "config.toml") in str(refused.value)
