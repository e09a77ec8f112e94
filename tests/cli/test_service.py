"""The systemd unit: written once, in words that systemd reads back as they were meant."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from app.cli.service import unit


def read(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser


def test_a_unit_lets_jobs_outlive_the_runtime():
    service = read(unit("/srv/deck", system=True))["Service"]

    assert service["ExecStart"].endswith("taskdeck --home /srv/deck serve --replace")
    assert (service["KillMode"], service["OOMPolicy"], service["Restart"], service["TasksMax"]) == (
        "process", "continue", "always", "infinity",
    )  # fmt: skip
    assert service["User"]


@pytest.mark.parametrize(("home", "word"), [("/a b", '"/a b"'), ("/50%", '"/50%%"'), ('/q"', '"/q\\""'), ("/$HOME", '"/$$HOME"')])
def test_a_home_is_quoted_for_systemd(home: str, word: str):
    assert f"--home {word} serve" in read(unit(home, system=False))["Service"]["ExecStart"]


def test_install_writes_it_once_and_says_what_to_type(cli, tmp_path: Path):
    first, second = cli("service", "install", "--user"), cli("service", "install", "--user")

    path = tmp_path / "config" / "systemd" / "user" / "taskdeck.service"
    assert (first.code, first.err) == (0, f"taskdeck: wrote {path}.\n") and "ExecStart=" in path.read_text()
    assert "systemctl --user enable --now taskdeck" in first.out
    assert second.err == f"taskdeck: {path} is as it should be.\n"


def test_both_kinds_at_once_are_refused(cli):
    said = cli("service", "install", "--user", "--system")

    assert said.code == 2 and "which of the two" in said.err
