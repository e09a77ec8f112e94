"""Tests of the systemd unit: written once, and read back as intended."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from app.cli.commands.service import make_unit
from app.paths import STOPPED_CODE


def parse_unit(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser


def test_jobs_outlive_the_unit():
    service = parse_unit(make_unit("/srv/deck", system=True))["Service"]

    assert service["ExecStart"].endswith("taskdeck --home /srv/deck serve --replace")
    assert (service["KillMode"], service["OOMPolicy"], service["Restart"], service["TasksMax"]) == (
        "process", "continue", "always", "infinity",
    )  # fmt: skip
    assert service["User"]
    assert service["RestartPreventExitStatus"] == service["SuccessExitStatus"] == str(STOPPED_CODE)


HOMES = [
    "/srv/deck",
    "/a b",
    "/50%",
    "/100%h and %%",
    '/q"',
    "/it's",
    "/$HOME",
    "/${HOME}",
    "/b\\",
    "/b\\n c",
    "/ü 日本",
    "/a;b #c",
]


def split_exec_line(line: str) -> list[str]:
    """Split a command line like systemd: quotes, specifiers, then variables.

    Variables are expanded after the first word only.
    """
    found, word, quote, left = [], None, "", iter(line)
    for c in left:
        if c == "\\":
            word = (word or "") + next(left)
        elif c in (quote or "\"'"):
            word, quote = word or "", "" if quote else c
        elif c == " " and not quote:
            found, word = ([*found, word] if word is not None else found), None
        else:
            word = (word or "") + c
    found = [one.replace("%%", "\0") for one in [*found, *([word] if word is not None else [])]]
    assert not quote and not any("%" in one for one in found)
    found = [found[0], *(one.replace("$$", "\1") for one in found[1:])]
    assert not any("$" in one for one in found[1:])
    return [one.replace("\0", "%").replace("\1", "$") for one in found]


@pytest.mark.parametrize("home", HOMES)
def test_systemd_reads_every_home_path_back(home: str):
    assert split_exec_line(parse_unit(make_unit(home, system=False))["Service"]["ExecStart"])[
        1:
    ] == ["--home", home, "serve", "--replace"]


@pytest.mark.parametrize("place", HOMES)
def test_the_unit_names_the_installed_program(place: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.executable", f"{place}/python")

    assert (
        split_exec_line(parse_unit(make_unit("/srv", system=False))["Service"]["ExecStart"])[0]
        == f"{place}/taskdeck"
    )


@pytest.mark.process
@pytest.mark.parametrize("home", HOMES)
def test_systemd_accepts_the_unit(home: str, tmp_path: Path):
    path = tmp_path / "taskdeck.service"
    path.write_text(make_unit(home, system=True))
    verify = (
        ["systemd-analyze", "--man=no", "verify"]
        if shutil.which("systemd-analyze")
        else ["grep", "^ExecStart="]
    )

    done = subprocess.run([*verify, path], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("home", ["/a\nb", "/\x7f", "/\udcff"])
def test_a_home_that_no_unit_can_name_is_refused(cli, home: str):
    said = cli("service", "install", "--user", "--home", home)

    assert said.code == 2 and "which a unit file cannot hold" in said.err


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.geteuid", lambda: 54321)

    assert parse_unit(make_unit("/srv", system=True))["Service"]["User"] == "54321"


def test_the_unit_of_another_home_is_not_overwritten(cli, tmp_path: Path):
    cli("service", "install", "--user", "--home", "/first")

    said = cli("service", "install", "--user", "--home", "/first one")

    path = tmp_path / "config" / "systemd" / "user" / "taskdeck.service"
    assert (said.code, said.err) == (
        4,
        (
            f"taskdeck: {path} runs another home. The unit was not changed. To replace it: rm "
            f"{path}\n"
        ),
    )
    assert "--home /first serve" in path.read_text()


def test_install_writes_the_unit_once_and_prints_the_next_commands(cli, tmp_path: Path):
    first, second = cli("service", "install", "--user"), cli("service", "install", "--user")

    path = tmp_path / "config" / "systemd" / "user" / "taskdeck.service"
    assert (first.code, first.err) == (
        0,
        f"taskdeck: wrote {path}.\n",
    ) and "ExecStart=" in path.read_text()
    assert "systemctl --user enable --now taskdeck" in first.out
    assert second.err == f"taskdeck: {path} is up to date.\n"


def test_user_and_system_are_exclusive(cli):
    said = cli("service", "install", "--user", "--system")

    assert said.code == 2 and "--user, --system and --pacemaker cannot be combined" in said.err


def test_uninstall_removes_the_unit_and_what_starts_it(cli, tmp_path: Path):
    cli("service", "install", "--user")
    folder = tmp_path / "config" / "systemd" / "user"
    (folder / "default.target.wants").mkdir()
    (folder / "default.target.wants" / "taskdeck.service").symlink_to(folder / "taskdeck.service")

    said, again = cli("service", "uninstall", "--user"), cli("service", "uninstall", "--user")

    assert (said.code, said.out) == (
        0,
        "systemctl --user stop taskdeck\nsystemctl --user daemon-reload\n",
    )
    assert [path for path in folder.rglob("*") if not path.is_dir()] == []
    assert (again.code, again.out) == (0, "") and "is not there" in again.err


def test_uninstall_leaves_the_unit_of_another_home(cli):
    cli("service", "install", "--user", "--home", "/first")

    said = cli("service", "uninstall", "--user", "--home", "/second")

    assert said.code == 4 and "runs another home. Nothing was removed" in said.err
    assert "up to date" in cli("service", "install", "--user", "--home", "/first").err
